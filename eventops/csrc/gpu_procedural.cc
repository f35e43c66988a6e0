// The products over graphs that are drawn on every call, on the device: see cuda/procedural.cu.

#include "gpu_products.h"
#include "graph.h"

namespace eventops::gpu {
namespace {

constexpr int64_t kBitmapBytes = 16 << 10;  // of shared memory; longer ones are in device memory

bool InShared(int64_t words) { return words * 4 <= kBitmapBytes; }
bool IsBitmap(const ffi::AnyBuffer& bits, int64_t n_blocks, int64_t words) {
  return bits.element_type() == ffi::DataType::U32 && HasShape(bits, {n_blocks, words});
}

// Reads a graph whose rows blocks can draw; `bits` (blocks, words) of uint32, or anything where shared memory will do.
ffi::Error ReadLines(const std::string& name, const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps,
                     const ffi::AnyBuffer& bits, int64_t n_blocks, int64_t threads, ffi::Dictionary attrs, Graph* graph,
                     GraphParams* p) {
  ffi::Error error = ReadGraph(selected, gaps, /*law=*/nullptr, attrs, graph);
  if (error.failure()) return error;
  if (graph->rule == kFixedPre) return Invalid(name + " needs a rule whose lines are rows");
  if (graph->pre.size() != graph->n_in || graph->post.size() != graph->n_out) return Invalid(name + " takes whole graphs");
  if (threads < 32 || threads > kThreads || threads % 32 != 0 || n_blocks < 1 || n_blocks > 1 << 20) {
    return Invalid(name + ": the number of blocks or threads is out of range");
  }
  const bool needs_bits = graph->rule == kFixedPost && !graph->allow_multi;
  const int64_t words = needs_bits ? CeilDiv(graph->n_out, 32) : 0;
  if (!InShared(words) && !IsBitmap(bits, n_blocks, words)) {
    return Invalid(name + ": the buffer of bitmaps has the wrong shape");
  }
  if (graph->rule == kBernoulli && graph->n_digits > 4) return Invalid(name + ": gaps have at most 4 digits");
  *p = {graph->selected, static_cast<const uint64_t*>(graph->gap_words), InShared(words) ? nullptr : Data<uint32_t>(bits),
        graph->n_in, graph->n_out, graph->conn_num, graph->n_selected, graph->seed, static_cast<int32_t>(graph->rule),
        graph->rule == kBernoulli ? static_cast<int32_t>(graph->n_digits) : 0, static_cast<int32_t>(words),
        static_cast<uint32_t>(graph->lane), graph->allow_multi, graph->allow_self};
  return ffi::Error::Success();
}

// `pre` is (V, B, n_in), `post` (V, B, n_out) and `weight` (V,).
ffi::Error Read(const std::string& name, const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post, const ffi::AnyBuffer& weight,
                const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps, const ffi::AnyBuffer& bits, int64_t n_blocks,
                int64_t threads, ffi::Dictionary attrs, ProceduralParams* p) {
  Graph graph;
  *p = {};
  ffi::Error error = ReadLines(name, selected, gaps, bits, n_blocks, threads, attrs, &graph, &p->graph);
  if (error.failure()) return error;
  if (pre.dimensions().size() != 3) return Invalid(name + ": inputs must have shape (V, B, in)");
  const int64_t V = pre.dimensions()[0], B = pre.dimensions()[1];
  if (!HasShape(pre, {V, B, graph.n_in}) || !HasShape(post, {V, B, graph.n_out}) || !HasShape(weight, {V})) {
    return Invalid(name + ": shapes of inputs, outputs and weights do not fit");
  }
  p->n_weights = V;
  p->n_vectors = V * B;
  p->n_batch = B;
  return ffi::Error::Success();
}

int64_t SharedFor(const GraphParams& graph) { return graph.bits == nullptr ? graph.n_words * int64_t{4} : 0; }

void ClearBits(Work& work, const GraphParams& graph, int64_t n_blocks) {
  if (graph.bits != nullptr) work.Clear(graph.bits, n_blocks * graph.n_words * 4);
}

ffi::Error ProceduralForwardImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer weight, ffi::AnyBuffer selected,
                                 ffi::AnyBuffer gaps, ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> counts,
                                 ffi::Result<ffi::AnyBuffer> index, ffi::Result<ffi::AnyBuffer> partial,
                                 ffi::Result<ffi::AnyBuffer> bits, ffi::Dictionary attrs) {
  const std::string name = "gpu procedural forward";
  const auto slices = attrs.get<int64_t>("slices"), threads = attrs.get<int64_t>("threads");
  if (!slices.has_value() || !threads.has_value()) return Invalid(name + ": an attribute is missing");
  const int64_t n_blocks = *slices * (spikes.dimensions().size() == 3 ? spikes.dimensions()[0] : 0);
  ProceduralParams p;
  Dtypes d;
  ffi::Error error = Read(name, spikes, *out, weight, selected, gaps, *bits, n_blocks, *threads, attrs, &p);
  if (error.success()) error = ReadDtypes(name, weight.element_type(), &spikes, &d);
  if (error.failure()) return error;
  const bool narrow = IsNarrow(*out, d), counted = d.unit_spikes;
  if (narrow && out->element_type() != d.weight) return Invalid(name + ": wrong result dtype");
  const int64_t n = p.n_vectors * p.graph.n_out;
  const int64_t copies = partial->dimensions().size() == 3 ? partial->dimensions()[0] : 0;
  if ((copies != 1 && copies != *slices) || partial->element_type() != d.sums ||
      static_cast<int64_t>(partial->element_count()) != copies * n) {
    return Invalid(name + ": the buffer of partial sums has the wrong shape");
  }
  Work work(stream, d.types);
  error = Compact(work, spikes, p.n_weights, p.n_batch, p.graph.n_in, *counts, *index);
  if (error.failure()) return error;
  p.spikes = spikes.untyped_data();
  p.weight = weight.untyped_data();
  p.counts = Data<int32_t>(*counts);
  p.index = Data<int32_t>(*index);
  p.partial = partial->untyped_data();
  p.stride = copies == 1 ? 0 : n;
  p.n_chunks = static_cast<int32_t>(counts->dimensions()[1] - 1);
  p.n_slices = static_cast<int32_t>(*slices);
  work.Clear(p.partial, copies * n * (counted ? 4 : d.sum_bytes));
  ClearBits(work, p.graph, n_blocks);
  work.Launch("procedural.cu", counted ? "ProceduralForwardCount" : "ProceduralForward", n_blocks, p, SharedFor(p.graph),
              static_cast<int>(*threads));
  work.Launch("compact.cu", "Combine", CeilDiv(n, kThreads),
              CombineParams{p.partial, p.weight, out->untyped_data(), n, p.n_batch * p.graph.n_out,
                            static_cast<int32_t>(copies), counted, narrow});
  return work.Done();
}

// Reads what both cotangents have: `graph_of` are their attributes, blocks and threads.
ffi::Error Gather(const std::string& name, Stream stream, const ffi::AnyBuffer& pre, const ffi::AnyBuffer& g,
                  const ffi::AnyBuffer& weight, const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps,
                  const ffi::AnyBuffer& bits, ffi::Dictionary attrs, const ffi::AnyBuffer* spikes,
                  const ffi::AnyBuffer& out, const ffi::AnyBuffer* pieces, void* sum) {
  const auto blocks = attrs.get<int64_t>("blocks"), threads = attrs.get<int64_t>("threads");
  if (!blocks.has_value() || !threads.has_value()) return Invalid(name + ": an attribute is missing");
  ProceduralParams p;
  Dtypes d;
  ffi::Error error = Read(name, pre, g, weight, selected, gaps, bits, *blocks, *threads, attrs, &p);
  if (error.success()) error = ReadDtypes(name, weight.element_type(), spikes, &d);
  if (error.failure()) return error;
  if (g.element_type() != d.sums || out.element_type() != d.sums) {
    return Invalid(name + ": cotangents must be of the accumulator's dtype");
  }
  p.spikes = spikes == nullptr ? nullptr : spikes->untyped_data();
  p.weight = weight.untyped_data();
  p.g = g.untyped_data();
  p.out = out.untyped_data();
  Work work(stream, d.types);
  ClearBits(work, p.graph, *blocks);
  work.Launch("procedural.cu", "ProceduralGather", *blocks, p, SharedFor(p.graph), static_cast<int>(*threads));
  if (pieces != nullptr) {
    SumAll(work, p.n_weights, p.n_batch * p.graph.n_in, p.out, pieces->untyped_data(), pieces->dimensions()[1], sum);
  }
  return work.Done();
}

ffi::Error ProceduralSpikeCotangentImpl(Stream stream, ffi::AnyBuffer weight, ffi::AnyBuffer g, ffi::AnyBuffer selected,
                                        ffi::AnyBuffer gaps, ffi::Result<ffi::AnyBuffer> out,
                                        ffi::Result<ffi::AnyBuffer> bits, ffi::Dictionary attrs) {
  return Gather("gpu procedural spike cotangent", stream, *out, g, weight, selected, gaps, *bits, attrs, nullptr, *out,
                nullptr, nullptr);
}

ffi::Error ProceduralWeightCotangentImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer g, ffi::AnyBuffer selected,
                                         ffi::AnyBuffer gaps, ffi::Result<ffi::AnyBuffer> out,
                                         ffi::Result<ffi::AnyBuffer> terms, ffi::Result<ffi::AnyBuffer> pieces,
                                         ffi::Result<ffi::AnyBuffer> bits, ffi::Dictionary attrs) {
  const std::string name = "gpu procedural weight cotangent";
  const auto given = spikes.dimensions();
  if (given.size() != 3 || !HasShape(*terms, {given[0], given[1], given[2]}) || pieces->dimensions().size() != 2 ||
      pieces->dimensions()[0] != given[0] || pieces->element_type() != terms->element_type() ||
      out->element_type() != terms->element_type()) {
    return Invalid(name + ": the buffers of partial sums have the wrong shape");
  }
  const ffi::AnyBuffer partial = *pieces;
  return Gather(name, stream, spikes, g, *out, selected, gaps, *bits, attrs, &spikes, *terms, &partial,
                out->untyped_data());
}

// How many synapses each (row, tile) of a graph has: (n_in * n_tiles,) int32.
ffi::Error DrawCountImpl(Stream stream, ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::Result<ffi::AnyBuffer> counts,
                         ffi::Result<ffi::AnyBuffer> bits, ffi::Dictionary attrs) {
  const std::string name = "gpu draw";
  const auto blocks = attrs.get<int64_t>("blocks"), threads = attrs.get<int64_t>("threads");
  if (!blocks.has_value() || !threads.has_value()) return Invalid(name + ": an attribute is missing");
  Graph graph;
  DrawParams p = {};
  const ffi::Error error = ReadLines(name, selected, gaps, *bits, *blocks, *threads, attrs, &graph, &p.graph);
  if (error.failure()) return error;
  const int64_t n = graph.n_in * graph.n_tiles;
  if (counts->element_type() != ffi::DataType::S32 || !HasShape(*counts, {n})) {
    return Invalid(name + ": counts must be int32 of length in * tiles");
  }
  p.counts = Data<int32_t>(*counts);
  p.tile = static_cast<int32_t>(graph.tile);
  p.n_tiles = static_cast<int32_t>(graph.n_tiles);
  Work work(stream, {"float", "bool"});
  work.Clear(p.counts, n * 4);
  ClearBits(work, p.graph, *blocks);
  work.Launch("draw.cu", "DrawCount", *blocks, p, SharedFor(p.graph), static_cast<int>(*threads));
  return work.Done();
}

// Their offsets; places behind the last synapse are left as they are.
ffi::Error DrawFillImpl(Stream stream, ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer ptr,
                        ffi::Result<ffi::AnyBuffer> offsets, ffi::Result<ffi::AnyBuffer> bits,
                        ffi::Result<ffi::AnyBuffer> marks, ffi::Dictionary attrs) {
  const std::string name = "gpu draw";
  const auto blocks = attrs.get<int64_t>("blocks"), threads = attrs.get<int64_t>("threads");
  if (!blocks.has_value() || !threads.has_value()) return Invalid(name + ": an attribute is missing");
  Graph graph;
  DrawParams p = {};
  const ffi::Error error = ReadLines(name, selected, gaps, *bits, *blocks, *threads, attrs, &graph, &p.graph);
  if (error.failure()) return error;
  const int64_t n_marks = CeilDiv(graph.n_out, 32);
  if (graph.rule == kFixedPost && graph.allow_multi) return Invalid(name + ": repeats cannot be drawn in order");
  if (ptr.element_type() != ffi::DataType::S32 || !HasShape(ptr, {graph.n_in * graph.n_tiles + 1}) ||
      offsets->element_type() != ffi::DataType::U16 || offsets->dimensions().size() != 1 ||
      (!InShared(n_marks) && !IsBitmap(*marks, *blocks, n_marks))) {
    return Invalid(name + ": ptr, offsets or marks have the wrong shape");
  }
  p.ptr = Data<int32_t>(ptr);
  p.offsets = Data<uint16_t>(*offsets);
  p.n_synapses = static_cast<int64_t>(offsets->element_count());
  p.marks = InShared(n_marks) ? nullptr : Data<uint32_t>(*marks);
  p.tile = static_cast<int32_t>(graph.tile);
  p.n_tiles = static_cast<int32_t>(graph.n_tiles);
  Work work(stream, {"float", "bool"});
  ClearBits(work, p.graph, *blocks);
  if (p.marks != nullptr) work.Clear(p.marks, *blocks * n_marks * 4);
  const int64_t shared = SharedFor(p.graph) + (p.marks == nullptr ? n_marks * 4 : 0);
  work.Launch("draw.cu", "DrawFill", *blocks, p, shared, static_cast<int>(*threads));
  return work.Done();
}

}  // namespace
}  // namespace eventops::gpu

EVENTOPS_GPU_HANDLER(EventopsGpuProceduralForward, eventops::gpu::ProceduralForwardImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
EVENTOPS_GPU_HANDLER(EventopsGpuProceduralSpikeCotangent, eventops::gpu::ProceduralSpikeCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
EVENTOPS_GPU_HANDLER(EventopsGpuProceduralWeightCotangent, eventops::gpu::ProceduralWeightCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
EVENTOPS_GPU_HANDLER(EventopsGpuDrawCount, eventops::gpu::DrawCountImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
EVENTOPS_GPU_HANDLER(EventopsGpuDrawFill, eventops::gpu::DrawFillImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
