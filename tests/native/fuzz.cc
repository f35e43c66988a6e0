// Hostile calls of every FFI handler: an error or a result, never a crash, a hang or a byte outside a buffer.
//
// With -fsanitize=fuzzer (clang) libFuzzer looks for inputs that reach new code. Without it, `main` makes as many
// calls as it is told to from a seed, from several callers at once. `right` calls are those that must all succeed: a
// list of calls that a handler's new signature has left behind would test nothing but the refusals.
#include <cstdio>

#include "calls.h"
#include "entries.h"

namespace {

constexpr int64_t kFuzzElements = 1 << 14;

struct Tally {
  int64_t accepted[calls::kHandlers + 1] = {}, refused[calls::kHandlers + 1] = {};
};

// One call in 16 is one of the functions that make rows of entries.
void One(const uint8_t* data, size_t size, int64_t elements, bool hostile, host::Pool& pool, Tally* tally) {
  if (size == 0) return;
  if (data[0] < 16) {
    const bool well = calls::Entries(data + 1, size - 1, elements, hostile);
    ++(well ? tally->accepted : tally->refused)[calls::kHandlers];
    return;
  }
  calls::Built built = calls::Build(data + 1, size - 1, elements, hostile);
  const std::string message = host::Run(calls::kPointers[built.handler], built.call, pool);
  // Every refusal is ours or that of the FFI's own decoding; neither is silent.
  ++(message.empty() ? tally->accepted : tally->refused)[built.handler];
  if (!hostile && !message.empty()) std::printf("%s: %s\n", calls::kNames[built.handler], message.c_str());
}

}  // namespace

#ifdef EVENTOPS_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* pool = new host::Pool(2);
  Tally tally;
  One(data, size, kFuzzElements, true, *pool, &tally);
  return 0;
}

#else

int main(int argc, char** argv) {
  const int64_t n_calls = argc > 1 ? std::atoll(argv[1]) : 10000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const int n_callers = argc > 3 ? std::atoi(argv[3]) : 1;
  // Calls of 2**18 elements are worth more than one thread: see kBytesWorthAThread.
  const int64_t elements = argc > 4 ? std::atoll(argv[4]) : kFuzzElements;
  const bool hostile = argc <= 5 || std::strcmp(argv[5], "right") != 0;
  host::Pool pool(4);
  std::vector<Tally> tallies(n_callers);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < n_callers; ++caller) {
    callers.emplace_back([&, caller] {
      uint64_t state = seed * 1000003 + static_cast<uint64_t>(caller);
      uint8_t bytes[512];
      for (int64_t i = caller; i < n_calls; i += n_callers) {
        for (auto& byte : bytes) {
          state = state * 6364136223846793005u + 1442695040888963407u;
          byte = static_cast<uint8_t>(state >> 56);
        }
        One(bytes, sizeof bytes, elements, hostile, pool, &tallies[caller]);
      }
    });
  }
  for (auto& caller : callers) caller.join();
  int64_t accepted = 0, refused = 0;
  bool well = true;
  for (int handler = 0; handler <= calls::kHandlers; ++handler) {
    int64_t own = 0, other = 0;
    for (const Tally& tally : tallies) own += tally.accepted[handler], other += tally.refused[handler];
    accepted += own, refused += other;
    const char* name = handler < calls::kHandlers ? calls::kNames[handler] : "entries";
    // A handler that refuses everything is called wrongly; one that was not called needs more calls.
    const bool wrong = (own == 0 && n_calls >= 2000) || (other > 0 && !hostile);
    well &= !wrong;
    std::printf("%s %-26s %8lld accepted %8lld refused\n", wrong ? "FAILED" : "ok    ", name, static_cast<long long>(own),
                static_cast<long long>(other));
  }
  std::printf("%lld calls, %lld accepted, %lld refused\n", static_cast<long long>(n_calls),
              static_cast<long long>(accepted), static_cast<long long>(refused));
  return well ? 0 : 1;
}

#endif
