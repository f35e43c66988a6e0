// Dense product: the rows of the weight matrix that belong to active inputs, summed by column blocks.

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "compact.h"
#include "dense_kernel.h"
#include "ffi_util.h"
#include "parallel.h"

namespace eventops {

const DenseKernels& ChosenDenseKernels() {
  static const DenseKernels chosen = [] {
    const char* wish = std::getenv("EVENTOPS_ISA");
    const auto wished = [&](const char* name) { return wish != nullptr && std::strcmp(wish, name) == 0; };
    const int widest = wished("plain") ? 0 : wished("avx2") ? 1 : 2;
    (void)widest;
#ifdef EVENTOPS_X86
    if (widest >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      return Avx512DenseKernels();
    }
    if (widest >= 1 && __builtin_cpu_supports("avx2")) return Avx2DenseKernels();
#endif
    return PlainDenseKernels();
  }();
  return chosen;
}

namespace {

// Columns per unit of work: the block of the output stays in the first-level cache while rows stream by.
constexpr int64_t kMaxBlock = 2048;
constexpr int64_t kMinBlock = 256;

DenseBlock<float> Pick(const DenseKernels& k, float*) { return k.f32; }
DenseBlock<double> Pick(const DenseKernels& k, double*) { return k.f64; }
DenseBlock<Float16> Pick(const DenseKernels& k, Float16*) { return k.f16; }
DenseBlock<BFloat16> Pick(const DenseKernels& k, BFloat16*) { return k.bf16; }

// weight: (V, n_in, n_out); the events are those of V * B vectors; out: (V * B, n_out).
template <typename W>
void DenseForward(ffi::ThreadPool& pool, const EventLists<Accumulator<W>>& lists, const W* weight,
                  int64_t n_weights, int64_t n_batch, int64_t n_in, int64_t n_out,
                  Accumulator<W>* out) {
  const auto block_kernel = Pick(ChosenDenseKernels(), static_cast<W*>(nullptr));
  const int64_t n_vectors = n_weights * n_batch;
  const int64_t bytes = lists.total() * n_out * static_cast<int64_t>(sizeof(W));
  const int64_t threads = ThreadsFor(pool, bytes);
  // Blocks of equal width, as many for each thread; multiples of 64 columns keep lines whole.
  int64_t block = kMaxBlock;
  if (threads > 1 && n_vectors < threads) {
    const int64_t rounds = (n_out + kMaxBlock * threads - 1) / (kMaxBlock * threads);
    block = std::clamp((n_out / (rounds * threads) + 64) / 64 * 64, kMinBlock, kMaxBlock);
  }
  const int64_t n_blocks = (n_out + block - 1) / block;
  // Consecutive units are the vectors of one column block: they find its rows in the cache.
  ParallelFor(pool, threads, n_blocks * n_vectors, [&](int64_t unit) {
    const int64_t vector = unit % n_vectors;
    const int64_t column = unit / n_vectors * block;
    const W* matrix = weight + vector / n_batch * n_in * n_out;
    block_kernel(lists.begin(vector), lists.count(vector), matrix + column, n_out,
                 std::min(block, n_out - column), out + vector * n_out + column);
  });
}

ffi::Error DenseForwardImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                            ffi::Result<ffi::AnyBuffer> out) {
  if (spikes.dimensions().size() != 3 || weight.dimensions().size() != 3) {
    return Invalid("dense product takes spikes (V, B, in) and weights (V, in, out)");
  }
  const int64_t n_weights = spikes.dimensions()[0], n_batch = spikes.dimensions()[1];
  const int64_t n_in = spikes.dimensions()[2], n_out = weight.dimensions()[2];
  if (!HasShape(weight, {n_weights, n_in, n_out}) || !HasShape(*out, {n_weights, n_batch, n_out})) {
    return Invalid("dense product: shapes of spikes, weights and result do not fit");
  }
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (out->element_type() != AccumulatorDtype<A>()) return Invalid("dense product: wrong result dtype");
    const W* w = static_cast<const W*>(weight.untyped_data());
    A* y = static_cast<A*>(out->untyped_data());
    if (spikes.element_type() == ffi::DataType::PRED) {
      const auto& lists = Compact<A>(static_cast<const bool*>(spikes.untyped_data()), n_weights * n_batch, n_in);
      DenseForward<W>(pool, lists, w, n_weights, n_batch, n_in, n_out, y);
    } else if (spikes.element_type() == AccumulatorDtype<A>()) {
      const auto& lists = Compact<A>(static_cast<const A*>(spikes.untyped_data()), n_weights * n_batch, n_in);
      DenseForward<W>(pool, lists, w, n_weights, n_batch, n_in, n_out, y);
    } else {
      return Invalid("dense product: spikes must be bool or of the accumulator's dtype");
    }
    return ffi::Error::Success();
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_EXPORT const char* EventopsIsa() { return eventops::ChosenDenseKernels().name; }

EVENTOPS_HANDLER(EventopsDenseForward, eventops::DenseForwardImpl,
                 Ffi::Bind().Ctx<ThreadPool>().Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>());
