// The products over graphs that are drawn on every call, on the device: see ../device/procedural.cu.

#include "gpu/host/lines.h"

namespace eventops::gpu {
namespace {

// `pre` is (V, B, n_in), `post` (V, B, n_out) and `weight` (V,).
ffi::Error Read(const std::string& name, const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post, const ffi::AnyBuffer& weight,
                const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps, const ffi::AnyBuffer& law,
                const ffi::AnyBuffer& bits, int64_t n_blocks, int64_t threads, ffi::Dictionary attrs, ProceduralParams* p) {
  Graph graph;
  *p = {};
  ffi::Error error = ReadLines(name, selected, gaps, law, bits, n_blocks, threads, attrs, &graph, &p->graph);
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

ffi::Error ProceduralForwardImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer weight, ffi::AnyBuffer selected,
                                 ffi::AnyBuffer gaps, ffi::AnyBuffer law, ffi::Result<ffi::AnyBuffer> out,
                                 ffi::Result<ffi::AnyBuffer> counts, ffi::Result<ffi::AnyBuffer> index,
                                 ffi::Result<ffi::AnyBuffer> partial, ffi::Result<ffi::AnyBuffer> bits,
                                 ffi::Dictionary attrs) {
  const std::string name = "gpu procedural forward";
  const auto slices = attrs.get<int64_t>("slices"), threads = attrs.get<int64_t>("threads");
  if (!slices.has_value() || !threads.has_value()) return Invalid(name + ": an attribute is missing");
  const int64_t n_blocks = *slices * (spikes.dimensions().size() == 3 ? spikes.dimensions()[0] : 0);
  ProceduralParams p;
  Dtypes d;
  ffi::Error error = Read(name, spikes, *out, weight, selected, gaps, law, *bits, n_blocks, *threads, attrs, &p);
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
                  const ffi::AnyBuffer& law, const ffi::AnyBuffer& bits, ffi::Dictionary attrs, const ffi::AnyBuffer* spikes,
                  const ffi::AnyBuffer& out, const ffi::AnyBuffer* pieces, void* sum) {
  const auto blocks = attrs.get<int64_t>("blocks"), threads = attrs.get<int64_t>("threads");
  if (!blocks.has_value() || !threads.has_value()) return Invalid(name + ": an attribute is missing");
  ProceduralParams p;
  Dtypes d;
  ffi::Error error = Read(name, pre, g, weight, selected, gaps, law, bits, *blocks, *threads, attrs, &p);
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
                                        ffi::AnyBuffer gaps, ffi::AnyBuffer law, ffi::Result<ffi::AnyBuffer> out,
                                        ffi::Result<ffi::AnyBuffer> bits, ffi::Dictionary attrs) {
  return Gather("gpu procedural spike cotangent", stream, *out, g, weight, selected, gaps, law, *bits, attrs, nullptr, *out,
                nullptr, nullptr);
}

ffi::Error ProceduralWeightCotangentImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer g, ffi::AnyBuffer selected,
                                         ffi::AnyBuffer gaps, ffi::AnyBuffer law, ffi::Result<ffi::AnyBuffer> out,
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
  return Gather(name, stream, spikes, g, *out, selected, gaps, law, *bits, attrs, &spikes, *terms, &partial,
                out->untyped_data());
}

}  // namespace
}  // namespace eventops::gpu

EVENTOPS_GPU_HANDLER(EventopsGpuProceduralForward, eventops::gpu::ProceduralForwardImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
EVENTOPS_GPU_HANDLER(EventopsGpuProceduralSpikeCotangent, eventops::gpu::ProceduralSpikeCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
EVENTOPS_GPU_HANDLER(EventopsGpuProceduralWeightCotangent, eventops::gpu::ProceduralWeightCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Attrs());
