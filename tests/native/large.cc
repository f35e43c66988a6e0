// Index arithmetic beyond 2**31 elements, with buffers that are all address and hardly any memory.
//
// An untouched page of an anonymous mapping costs nothing and reads as zero, so a matrix of 2**32 numbers takes
// kilobytes where a product visits a few of its rows. Each product must find the numbers at the far end.
#include <sys/mman.h>

#include <cstdio>

#include "calls.h"

namespace {

using host::Buffer;
using host::Call;

void* Virtual(int64_t bytes) {
  void* at = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    std::perror("mmap");
    std::exit(2);
  }
  return at;
}

Buffer Huge(XLA_FFI_DataType dtype, std::vector<int64_t> dims) {
  Buffer shape(dtype, {0});
  shape.dims = std::move(dims);
  return Buffer(dtype, shape.dims, Virtual(shape.count() * host::ItemSize(dtype)));
}

void Done(const Buffer& huge) { munmap(huge.memory.get(), static_cast<size_t>(huge.count() * host::ItemSize(huge.dtype))); }

int failures = 0;

void Expect(const char* what, double found, double expected) {
  const bool same = found == expected;
  failures += !same;
  std::printf("%s %s: %g, expected %g\n", same ? "ok    " : "FAILED", what, found, expected);
}

void Call_(XLA_FFI_Handler* handler, Call& call, host::Pool& pool, const char* what) {
  const std::string message = host::Run(handler, call, pool);
  if (!message.empty()) ++failures, std::printf("FAILED %s: %s\n", what, message.c_str());
}

constexpr auto kFloat = XLA_FFI_DataType_F32;
constexpr auto kBool = XLA_FFI_DataType_PRED;
constexpr auto kInt = XLA_FFI_DataType_S32;
constexpr auto kOffset = XLA_FFI_DataType_U16;

// 3 x 40,000 x 40,000 = 4.8e9 weights; the last row of the last set.
void Dense(host::Pool& pool) {
  constexpr int64_t V = 3, n = 40000;
  Buffer weight = Huge(kFloat, {V, n, n});
  for (int64_t j = 0; j < n; ++j) weight.as<float>()[(V - 1) * n * n + (n - 1) * n + j] = static_cast<float>(j % 7);
  for (int64_t B : {1, 5}) {
    Buffer spikes(kBool, {V, B, n});
    spikes.as<uint8_t>()[V * B * n - 1] = 1;
    Call call{{spikes, weight}, {Buffer(kFloat, {V, B, n})}, {}};
    Call_(EventopsDenseForward, call, pool, "dense forward");
    const float* out = call.results[0].as<float>();
    Expect(B == 1 ? "dense forward, last output" : "dense forward, last output of a batch", out[V * B * n - 1],
           (n - 1) % 7);
    Expect("dense forward, one before the last row", out[V * B * n - 1 - n], 0);
  }
  Done(weight);
}

// Two weight sets of 1.5e9 synapses each, in rows of one tile: the last synapse of the second set.
void Rows(host::Pool& pool) {
  constexpr int64_t V = 2, n_in = 30000, n_out = 50000, synapses = n_in * n_out;
  Buffer offsets = Huge(kOffset, {synapses}), weight = Huge(kFloat, {V, synapses}), ptr(kInt, {n_in + 1});
  for (int64_t i = 0; i <= n_in; ++i) ptr.as<int32_t>()[i] = static_cast<int32_t>(i * n_out);
  for (int64_t j = 0; j < n_out; ++j) offsets.as<uint16_t>()[synapses - n_out + j] = static_cast<uint16_t>(j);
  weight.as<float>()[V * synapses - 1] = 5;
  Buffer spikes(kBool, {V, 1, n_in}), g(kFloat, {V, 1, n_out});
  spikes.as<uint8_t>()[V * n_in - 1] = 1;
  g.as<float>()[V * n_out - 1] = 2;
  Call forward{{spikes, weight, ptr, offsets}, {Buffer(kFloat, {V, 1, n_out})}, {}};
  forward.Set("n_out", n_out);
  forward.Set("tile", n_out);
  Call_(EventopsRowsForward, forward, pool, "rows forward");
  Expect("rows forward, last output", forward.results[0].as<float>()[V * n_out - 1], 5);
  Expect("rows forward, the one before", forward.results[0].as<float>()[V * n_out - 2], 0);
  Done(weight);
  Done(offsets);
}

// The last of 2**31 - 1 posts, and a pre neuron beyond 2**30, of a graph that is not stored.
void Drawn(host::Pool& pool) {
  constexpr int64_t n_in = INT32_MAX, n_out = INT32_MAX, first = n_in - 3;
  Buffer none(kInt, {0}), gaps(XLA_FFI_DataType_U32, {1, 256, 4}), law(XLA_FFI_DataType_U32, {0}),
      seed(XLA_FFI_DataType_U32, {2});
  Call count{{none, gaps, law, seed}, {Buffer(kInt, {3 * ((n_out + 65535) / 65536) + 1})}, {}};
  const std::pair<const char*, int64_t> attributes[] = {
      {"rule", 2}, {"n_in", n_in}, {"n_out", n_out}, {"tile", 65536}, {"conn_num", 1000}, {"allow_multi", 0},
      {"allow_self", 0}, {"n_selected", n_in}, {"lane", 0}, {"pre_begin", first}, {"pre_end", n_in},
      {"post_begin", 0}, {"post_end", n_out}};
  for (const auto& [name, value] : attributes) count.Set(name, value);
  Call_(EventopsDrawCount, count, pool, "draw count");
  Expect("draw count, synapses of the last three rows", count.results[0].as<int32_t>()[count.results[0].count() - 1], 3000);
}

}  // namespace

int main() {
  host::Pool pool(2);
  Dense(pool);
  Rows(pool);
  Drawn(pool);
  return failures == 0 ? 0 : 1;
}
