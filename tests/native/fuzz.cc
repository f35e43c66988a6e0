// Hostile calls of every FFI handler: an error or a result, never a crash, a hang or a byte outside a buffer.
//
// With -fsanitize=fuzzer (clang) libFuzzer looks for inputs that reach new code. Without it, `main` makes as many
// calls as it is told to from a seed, from several callers at once.
#include <cstdio>

#include "calls.h"

namespace {

constexpr int64_t kFuzzElements = 1 << 14;

void One(const uint8_t* data, size_t size, int64_t elements, host::Pool& pool, int64_t* accepted) {
  calls::Builder builder(data, size, elements);
  host::Call call;
  const auto handler = builder.Build(&call);
  const std::string message = host::Run(calls::kPointers[handler], call, pool);
  if (message.empty()) ++*accepted;
  // Every refusal is ours or that of the FFI's own decoding; neither is silent.
}

}  // namespace

#ifdef EVENTOPS_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* pool = new host::Pool(2);
  int64_t accepted = 0;
  One(data, size, kFuzzElements, *pool, &accepted);
  return 0;
}

#else

int main(int argc, char** argv) {
  const int64_t n_calls = argc > 1 ? std::atoll(argv[1]) : 10000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const int n_callers = argc > 3 ? std::atoi(argv[3]) : 1;
  // Calls of this size are worth more than one thread: see kBytesWorthAThread.
  const int64_t elements = argc > 4 ? std::atoll(argv[4]) : kFuzzElements;
  host::Pool pool(4);
  std::vector<int64_t> accepted(n_callers, 0);
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
        One(bytes, sizeof bytes, elements, pool, &accepted[caller]);
      }
    });
  }
  for (auto& caller : callers) caller.join();
  int64_t total = 0;
  for (int64_t n : accepted) total += n;
  std::printf("%lld calls, %lld accepted, %lld refused\n", static_cast<long long>(n_calls), static_cast<long long>(total),
              static_cast<long long>(n_calls - total));
  return 0;
}

#endif
