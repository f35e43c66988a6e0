// Products over graphs that are drawn on every call: the same lines as csrc/cpu/lines.h, each by one block.

#include "gpu/device/line.cuh"

namespace eventops {

struct Use {
  int64_t vector;
  A value;
};

// Block (slice of the events, weight set) draws its rows one after another. Within a row all additions to one output are
// of the same number, so their order is of no account; between rows there is a barrier. T is uint32_t to count.
template <typename T>
void ProceduralForwardOf(const ProceduralParams& p) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ LineMemory shared_by_line;
  __shared__ Use uses[kThreads];
  __shared__ int n_uses;
  Line line(p.graph, shared_by_line, reinterpret_cast<uint32_t*>(memory));
  const int slice = blockIdx.x % p.n_slices;
  const int64_t v = blockIdx.x / p.n_slices;
  const int64_t n_in = p.graph.n_in, n_out = p.graph.n_out;
  const A w = Read(static_cast<const W*>(p.weight) + v);
  T* sums = static_cast<T*>(p.partial) + slice * p.stride;
  const Range range = SliceOf(p.counts[v * (p.n_chunks + 1) + p.n_chunks], slice, p.n_slices);
  for (int64_t e = range.first; e < range.last; ++e) {
    const int64_t row = p.index[v * n_in + e];
    for (int64_t first = v * p.n_batch; first < (v + 1) * p.n_batch; first += blockDim.x) {
      __syncthreads();
      if (threadIdx.x == 0) n_uses = 0;
      __syncthreads();
      const int64_t vector = first + threadIdx.x;
      const A value = vector < (v + 1) * p.n_batch ? ValueOrZero(p.spikes, vector * n_in + row) : A(0);
      if (value != A(0)) uses[atomicAdd(&n_uses, 1)] = {vector, value * w};
      __syncthreads();
      const int n = n_uses;
      if (n == 0) continue;  // for all threads
      line.Draw(row, [&](int64_t post) {
        for (int u = 0; u < n; ++u) {
          if constexpr (!kCounts<T>) {
            atomicAdd(sums + uses[u].vector * n_out + post, uses[u].value);
          } else {
            atomicAdd(sums + uses[u].vector * n_out + post, T(1));
          }
        }
      });
    }
  }
}

}  // namespace eventops

using namespace eventops;  // NOLINT

EVENTOPS_LINE_KERNEL(ProceduralForward, ProceduralParams) { ProceduralForwardOf<A>(p); }
EVENTOPS_LINE_KERNEL(ProceduralForwardCount, ProceduralParams) { ProceduralForwardOf<uint32_t>(p); }

// Blocks share the rows; each row is drawn once for a group of vectors: the spike cotangent, or with `spikes` the terms
// of the weight's.
EVENTOPS_LINE_KERNEL(ProceduralGather, ProceduralParams) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ LineMemory shared_by_line;
  Line line(p.graph, shared_by_line, reinterpret_cast<uint32_t*>(memory));
  const int64_t n_in = p.graph.n_in, n_out = p.graph.n_out;
  for (int64_t row = blockIdx.x; row < n_in; row += gridDim.x) {
    for (int64_t first = 0; first < p.n_vectors; first += kDrawGroup) {
      A factor[kDrawGroup], sum[kDrawGroup];
      bool any = false;
#pragma unroll
      for (int b = 0; b < kDrawGroup; ++b) {
        const int64_t vector = first + b;
        factor[b] = sum[b] = A(0);
        if (vector >= p.n_vectors) continue;
        factor[b] = p.spikes == nullptr ? A(1) : ValueOrZero(p.spikes, vector * n_in + row);
        any |= factor[b] != A(0);
      }
      if (any) {  // for all threads
        const A* g = static_cast<const A*>(p.g) + first * n_out;
        line.Draw(row, [&](int64_t post) {
#pragma unroll
          for (int b = 0; b < kDrawGroup; ++b) {
            if (factor[b] != A(0)) sum[b] += __ldg(g + b * n_out + post);
          }
        });
      }
#pragma unroll
      for (int b = 0; b < kDrawGroup; ++b) {
        if (first + b >= p.n_vectors) break;
        A total = any ? BlockSum(sum[b]) : A(0);
        if (threadIdx.x != 0) continue;
        if (p.spikes == nullptr) total *= Read(static_cast<const W*>(p.weight) + (first + b) / p.n_batch);
        static_cast<A*>(p.out)[(first + b) * n_in + row] = factor[b] == A(0) ? A(0) : factor[b] * total;
      }
    }
  }
}
