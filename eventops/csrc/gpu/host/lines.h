// What handlers share that draw lines of a graph on the device: see ../device/line.cuh.
#ifndef EVENTOPS_GPU_LINES_H_
#define EVENTOPS_GPU_LINES_H_

#include "gpu/host/products.h"
#include "cpu/graph.h"

namespace eventops::gpu {

constexpr int64_t kBitmapBytes = 16 << 10;  // of shared memory; longer ones are in device memory

inline bool InShared(int64_t words) { return words * 4 <= kBitmapBytes; }
inline bool IsBitmap(const ffi::AnyBuffer& bits, int64_t n_blocks, int64_t words) {
  return bits.element_type() == ffi::DataType::U32 && HasShape(bits, {n_blocks, words});
}

// Reads a whole graph whose lines blocks can draw; `bits` (blocks, words) of uint32, or anything where shared memory will do.
inline ffi::Error ReadLines(const std::string& name, const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps,
                     const ffi::AnyBuffer& law, const ffi::AnyBuffer& bits, int64_t n_blocks, int64_t threads, ffi::Dictionary attrs, Graph* graph,
                     GraphParams* p) {
  ffi::Error error = ReadGraph(selected, gaps, law, attrs, graph, /*on_device=*/true);
  if (error.failure()) return error;
  if (graph->pre.size() != graph->n_in || graph->post.size() != graph->n_out) return Invalid(name + " takes whole graphs");
  if (threads < 32 || threads > kThreads || threads % 32 != 0 || n_blocks < 1 || n_blocks > 1 << 20) {
    return Invalid(name + ": the number of blocks or threads is out of range");
  }
  const bool independent = graph->rule == kBernoulli || graph->rule == kDistance;
  const int64_t words =
      independent || graph->allow_multi ? 0 : CeilDiv(graph->rule == kFixedPre ? graph->n_selected : graph->n_out, 32);
  if (!InShared(words) && !IsBitmap(bits, n_blocks, words)) {
    return Invalid(name + ": the buffer of bitmaps has the wrong shape");
  }
  if (graph->rule == kBernoulli && graph->n_digits > 4) return Invalid(name + ": gaps have at most 4 digits");
  *p = {graph->selected, graph->law, static_cast<const uint64_t*>(graph->gap_words), InShared(words) ? nullptr : Data<uint32_t>(bits),
        graph->n_in, graph->n_out, graph->conn_num, graph->n_selected, graph->n_law, graph->seed,
        static_cast<int32_t>(graph->rule), static_cast<int32_t>(graph->n_digits), static_cast<int32_t>(words),
        static_cast<uint32_t>(graph->lane), graph->allow_multi, graph->allow_self};
  return ffi::Error::Success();
}

// Of shared memory for the bitmap of a line.
inline int64_t SharedFor(const GraphParams& graph) { return graph.bits == nullptr ? graph.n_words * int64_t{4} : 0; }

inline void ClearBits(Work& work, const GraphParams& graph, int64_t n_blocks) {
  if (graph.bits != nullptr) work.Clear(graph.bits, n_blocks * graph.n_words * 4);
}

}  // namespace eventops::gpu

#endif  // EVENTOPS_GPU_LINES_H_
