// Graphs that are drawn on the device to be stored: see ../device/draw.cu.

#include "gpu/host/lines.h"

namespace eventops::gpu {
namespace {

constexpr int64_t kSortBlocks = 2048;

// What both passes have: a graph, the attributes `blocks` and `threads`, and the tiles.
struct Pass {
  Graph graph;
  DrawParams p = {};
  int64_t blocks = 0;
  int threads = 0;

  ffi::Error Read(const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps, const ffi::AnyBuffer& law,
                  const ffi::AnyBuffer& bits, ffi::Dictionary attrs) {
    const auto blocks_given = attrs.get<int64_t>("blocks"), threads_given = attrs.get<int64_t>("threads");
    if (!blocks_given.has_value() || !threads_given.has_value()) return Invalid("gpu draw: an attribute is missing");
    const ffi::Error error =
        ReadLines("gpu draw", selected, gaps, law, bits, *blocks_given, *threads_given, attrs, &graph, &p.graph);
    if (error.failure()) return error;
    blocks = *blocks_given;
    threads = static_cast<int>(*threads_given);
    p.tile = static_cast<int32_t>(graph.tile);
    p.n_tiles = static_cast<int32_t>(graph.n_tiles);
    return ffi::Error::Success();
  }
  int64_t n_segments() const { return graph.n_in * graph.n_tiles; }
  // One for each (row, tile).
  bool IsCounts(const ffi::AnyBuffer& counts) const {
    return counts.element_type() == ffi::DataType::S32 && HasShape(counts, {n_segments()});
  }
};

// How many synapses each (row, tile) of a graph has: (n_in * n_tiles,) int32.
ffi::Error DrawCountImpl(Stream stream, ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law,
                         ffi::Result<ffi::AnyBuffer> counts, ffi::Result<ffi::AnyBuffer> bits, ffi::Dictionary attrs) {
  Pass pass;
  const ffi::Error error = pass.Read(selected, gaps, law, *bits, attrs);
  if (error.failure()) return error;
  DrawParams& p = pass.p;
  if (!pass.IsCounts(*counts)) return Invalid("gpu draw: counts must be int32 of length in * tiles");
  p.counts = Data<int32_t>(*counts);
  Work work(stream, {"float", "bool"});
  work.Clear(p.counts, pass.n_segments() * 4);
  ClearBits(work, p.graph, pass.blocks);
  work.Launch("draw.cu", "DrawCount", pass.blocks, p, SharedFor(p.graph), pass.threads);
  return work.Done();
}

// Their offsets; places behind the last synapse are left as they are. `marks` are bitmaps of the posts of a row where
// shared memory will not do; `counts` and, for repeats, `unsorted` are used where lines are posts.
ffi::Error DrawFillImpl(Stream stream, ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law, ffi::AnyBuffer ptr,
                        ffi::Result<ffi::AnyBuffer> offsets, ffi::Result<ffi::AnyBuffer> bits,
                        ffi::Result<ffi::AnyBuffer> marks, ffi::Result<ffi::AnyBuffer> counts,
                        ffi::Result<ffi::AnyBuffer> unsorted, ffi::Dictionary attrs) {
  Pass pass;
  const ffi::Error error = pass.Read(selected, gaps, law, *bits, attrs);
  if (error.failure()) return error;
  DrawParams& p = pass.p;
  if (ptr.element_type() != ffi::DataType::S32 || !HasShape(ptr, {pass.n_segments() + 1}) ||
      offsets->element_type() != ffi::DataType::U16 || offsets->dimensions().size() != 1) {
    return Invalid("gpu draw: ptr or offsets have the wrong shape");
  }
  p.ptr = Data<int32_t>(ptr);
  p.offsets = Data<uint16_t>(*offsets);
  p.n_synapses = static_cast<int64_t>(offsets->element_count());
  const bool by_post = pass.graph.rule == kFixedPre;
  const int64_t words = CeilDiv(by_post ? pass.graph.tile : pass.graph.n_out, 32);
  Work work(stream, {"float", "bool"});
  ClearBits(work, p.graph, pass.blocks);
  if (by_post) {
    const bool in_place = !pass.graph.allow_multi;
    if (!pass.IsCounts(*counts) || (!in_place && (unsorted->element_type() != ffi::DataType::U16 ||
                                                  !HasShape(*unsorted, {p.n_synapses})))) {
      return Invalid("gpu draw: counts or unsorted have the wrong shape");
    }
    p.counts = Data<int32_t>(*counts);
    p.unsorted = in_place ? p.offsets : Data<uint16_t>(*unsorted);
    work.Clear(p.counts, pass.n_segments() * 4);
    work.Launch("draw.cu", "DrawUnsorted", pass.blocks, p, SharedFor(p.graph), pass.threads);
    work.Launch("draw.cu", "SortSegments", std::min(pass.n_segments(), kSortBlocks), p, words * 4);
    return work.Done();
  }
  if (!InShared(words)) {
    if (!IsBitmap(*marks, pass.blocks, words)) return Invalid("gpu draw: marks have the wrong shape");
    p.marks = Data<uint32_t>(*marks);
    work.Clear(p.marks, pass.blocks * words * 4);
  }
  work.Launch("draw.cu", "DrawFill", pass.blocks, p, SharedFor(p.graph) + (p.marks == nullptr ? words * 4 : 0),
              pass.threads);
  return work.Done();
}

}  // namespace
}  // namespace eventops::gpu

EVENTOPS_GPU_HANDLER(EventopsGpuDrawCount, eventops::gpu::DrawCountImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
EVENTOPS_GPU_HANDLER(EventopsGpuDrawFill, eventops::gpu::DrawFillImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
