// Draws the rows of a graph to be stored: the first pass counts the synapses of each (row, tile), the second writes them.
// Rows without repeats; see csrc/draw.cc for the rest.

#include "line.cuh"

using namespace eventops;  // NOLINT

EVENTOPS_KERNEL(DrawCount, DrawParams) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ uint64_t thresholds[kMaxDigits * 256];
  Line line(p.graph, thresholds, reinterpret_cast<uint32_t*>(memory));
  for (int64_t row = blockIdx.x; row < p.graph.n_in; row += gridDim.x) {
    line.Draw(row, [&](int64_t post) { atomicAdd(p.counts + row * p.n_tiles + post / p.tile, 1); });
  }
}

// A row's partners come in any order and are marked; the marks are read in theirs.
EVENTOPS_KERNEL(DrawFill, DrawParams) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ uint64_t thresholds[kMaxDigits * 256];
  uint32_t* shared = reinterpret_cast<uint32_t*>(memory);
  Line line(p.graph, thresholds, shared);
  const int64_t n_marks = (p.graph.n_out + 31) / 32;
  uint32_t* marks = p.marks == nullptr ? shared + p.graph.n_words : p.marks + blockIdx.x * n_marks;
  if (p.marks == nullptr) {
    for (int64_t w = threadIdx.x; w < n_marks; w += blockDim.x) marks[w] = 0;
  }
  __syncthreads();
  for (int64_t row = blockIdx.x; row < p.graph.n_in; row += gridDim.x) {
    line.Draw(row, [&](int64_t post) { atomicOr(marks + post / 32, 1u << post % 32); });
    __syncthreads();
    int64_t next = p.ptr[row * p.n_tiles];
    for (int64_t first = 0; first < n_marks; first += blockDim.x) {
      const int64_t w = first + threadIdx.x;
      uint32_t set = w < n_marks ? marks[w] : 0;
      int all;
      int64_t k = next + BlockScan(__popc(set), 0, Plus(), &all);
      next += all;
      if (set != 0) marks[w] = 0;
      for (; set != 0; set &= set - 1, ++k) {
        const int64_t post = 32 * w + __ffs(set) - 1;
        if (k >= 0 && k < p.n_synapses) p.offsets[k] = static_cast<uint16_t>(post % p.tile);
      }
    }
    __syncthreads();
  }
}
