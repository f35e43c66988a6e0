// The three products with dense weights.

#include "gpu/device/device.cuh"

namespace eventops {

// Block (columns, slice of the events, vector). Its warps share the slice, and add their sums in order; each thread
// has n neighbouring columns, so that a warp reads whole lines of each active row.
template <int n>
void DenseForwardOf(const DenseParams& p) {
  constexpr int kColumns = 32 * n, kAhead = 4;
  __shared__ A sums[kThreads / 32][kColumns];
  const int64_t n_blocks = (p.n_out + kColumns - 1) / kColumns;
  const int64_t first = blockIdx.x % n_blocks * kColumns, column = first + Lane() * n;
  const int slice = blockIdx.x / n_blocks % p.n_slices;
  const int64_t vector = blockIdx.x / (n_blocks * p.n_slices);
  const int32_t* index = p.index + vector * p.n_in;
  const W* weight = static_cast<const W*>(p.weight) + vector / p.n_batch * p.n_in * p.n_out;
  const Range all = SliceOf(p.counts[vector * (p.n_chunks + 1) + p.n_chunks], slice, p.n_slices);
  Range own = SliceOf(all.last - all.first, Warp(), Warps());
  own = {all.first + own.first, all.first + own.last};
  A sum[n] = {};
  if (column < p.n_out) {
    int64_t e = own.first;
    for (; e + kAhead <= own.last; e += kAhead) {
      Pack<n> pack[kAhead];
      A value[kAhead];
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        const int64_t row = __ldg(index + e + a);
        pack[a] = ReadPack<n>(weight + row * p.n_out + column);
        value[a] = Value(p.spikes, vector * p.n_in + row);
      }
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
#pragma unroll
        for (int i = 0; i < n; ++i) sum[i] += value[a] * Widen(pack[a].w[i]);
      }
    }
    for (; e < own.last; ++e) {
      const int64_t row = __ldg(index + e);
      const Pack<n> pack = ReadPack<n>(weight + row * p.n_out + column);
      const A value = Value(p.spikes, vector * p.n_in + row);
#pragma unroll
      for (int i = 0; i < n; ++i) sum[i] += value * Widen(pack.w[i]);
    }
  }
#pragma unroll
  for (int i = 0; i < n; ++i) sums[Warp()][Lane() * n + i] = sum[i];
  __syncthreads();
  const int64_t j = first + threadIdx.x;
  if (threadIdx.x >= kColumns || j >= p.n_out) return;
  A total = 0;
  for (int w = 0; w < Warps(); ++w) total += sums[w][threadIdx.x];
  const int64_t place = vector * p.n_out + j;
  if (p.n_slices == 1) {
    Result(p.out, p.narrow, place, total);
  } else if (p.atomic) {
    atomicAdd(static_cast<A*>(p.partial) + place, total);
  } else {
    static_cast<A*>(p.partial)[slice * p.n_vectors * p.n_out + place] = total;
  }
}

// A warp for each row and group of vectors. n neighbouring columns at once.
template <int n>
void DenseGatherOf(const DenseParams& p) {
  const int64_t n_groups = (p.n_batch + kGatherGroup - 1) / kGatherGroup;
  const int64_t unit = int64_t{blockIdx.x} * Warps() + Warp();
  const int64_t group = unit % n_groups, row = unit / n_groups % p.n_in, v = unit / (n_groups * p.n_in);
  if (v * p.n_batch >= p.n_vectors) return;  // the whole warp
  const int64_t first = v * p.n_batch + group * kGatherGroup;
  const int count = static_cast<int>(Least<int64_t>(kGatherGroup, (v + 1) * p.n_batch - first));
  const W* weight = static_cast<const W*>(p.weight) + (v * p.n_in + row) * p.n_out;
  const A* g = static_cast<const A*>(p.g) + first * p.n_out;
  A sum[kGatherGroup] = {};
  for (int64_t j = Lane() * n; j < p.n_out; j += 32 * n) {
    const Pack<n> pack = ReadPack<n>(weight + j);
#pragma unroll
    for (int b = 0; b < kGatherGroup; ++b) {
      if (b >= count) break;
#pragma unroll
      for (int i = 0; i < n; ++i) sum[b] += Widen(pack.w[i]) * __ldg(g + b * p.n_out + j + i);
    }
  }
#pragma unroll
  for (int b = 0; b < kGatherGroup; ++b) {
    const A total = WarpSum(sum[b]);
    if (Lane() == 0 && b < count) static_cast<A*>(p.out)[(first + b) * p.n_in + row] = total;
  }
}

}  // namespace eventops

using namespace eventops;  // NOLINT

EVENTOPS_KERNEL(DenseForward, DenseParams) { DenseForwardOf<1>(p); }
EVENTOPS_KERNEL(DenseForwardWide, DenseParams) { DenseForwardOf<16 / sizeof(W)>(p); }
EVENTOPS_KERNEL(DenseGather, DenseParams) { DenseGatherOf<1>(p); }
EVENTOPS_KERNEL(DenseGatherWide, DenseParams) { DenseGatherOf<16 / sizeof(W)>(p); }

// Block (columns, row, weight set): the sum over the vectors in which the row is active, else zeros.
EVENTOPS_KERNEL(DenseOuter, DenseParams) {
  const int64_t n_blocks = (p.n_out + kThreads - 1) / kThreads;
  const int64_t j = blockIdx.x % n_blocks * kThreads + threadIdx.x;
  const int64_t row = blockIdx.x / n_blocks % p.n_in, v = blockIdx.x / (n_blocks * p.n_in);
  if (j >= p.n_out) return;
  A sum = 0;
  for (int64_t b = v * p.n_batch; b < (v + 1) * p.n_batch; ++b) {
    const A value = ValueOrZero(p.spikes, b * p.n_in + row);
    if (value != A(0)) sum += value * __ldg(static_cast<const A*>(p.g) + b * p.n_out + j);
  }
  Result(p.out, p.narrow, (v * p.n_in + row) * p.n_out + j, sum);
}
