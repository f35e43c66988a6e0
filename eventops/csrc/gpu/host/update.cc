// Event-driven weight updates by the built-in rules on the device: see ../device/update.cu.

#include "gpu/host/products.h"
#include "cpu/update.h"

namespace eventops::gpu {
namespace {

constexpr int64_t kUpdateBlocks = 2048;

// What all updates have, after `p` has their sizes. `counts` and `index` take the events.
ffi::Error Run(const std::string& name, Stream stream, const char* kernel, const Sets& sets, const ffi::AnyBuffer& weight,
               const ffi::AnyBuffer& spikes, const ffi::AnyBuffer& trace, const ffi::AnyBuffer& limits,
               const ffi::AnyBuffer& out, const ffi::AnyBuffer& counts, const ffi::AnyBuffer& index, int64_t units,
               int64_t soft, UpdateParams* p) {
  Dtypes d;
  const ffi::Error error = ReadDtypes(name, weight.element_type(), &spikes, &d);
  if (error.failure()) return error;
  if (out.element_type() != weight.element_type() || out.element_count() != weight.element_count()) {
    return Invalid(name + ": the result must be like the weights");
  }
  if (trace.element_type() != d.sums || limits.element_type() != d.sums || !sets.Have(limits, {2})) {
    return Invalid(name + ": traces and limits must be of the accumulator's dtype");
  }
  Work work(stream, d.types);
  const ffi::Error compacted = Compact(work, spikes, sets.n, 1, p->n_lines, counts, index);
  if (compacted.failure()) return compacted;
  // XLA gives the result the buffer of the weights, or a copy of it.
  if (weight.untyped_data() != out.untyped_data()) {
    return Invalid(name + ": the result must be in the buffer of the weights");
  }
  p->spikes = spikes.untyped_data();
  p->trace = trace.untyped_data();
  p->limits = limits.untyped_data();
  p->weight = out.untyped_data();
  p->counts = Data<int32_t>(counts);
  p->index = Data<int32_t>(index);
  p->n_chunks = static_cast<int32_t>(counts.dimensions()[1] - 1);
  p->soft = soft != 0;
  p->blocks_per_set =
      static_cast<int32_t>(std::max<int64_t>(1, std::min(units, kUpdateBlocks / std::max<int64_t>(1, sets.n))));
  work.Launch("update.cu", kernel, p->blocks_per_set * sets.n, *p);
  return work.Done();
}

ffi::Error UpdateStored(const std::string& name, Stream stream, const ffi::AnyBuffer& weight, const ffi::AnyBuffer& spikes,
                        const ffi::AnyBuffer& trace, const ffi::AnyBuffer& limits, const ffi::AnyBuffer& ptr,
                        const ffi::AnyBuffer& offsets, const ffi::AnyBuffer* position, const ffi::AnyBuffer& out,
                        const ffi::AnyBuffer& counts, const ffi::AnyBuffer& index, int64_t tile, int64_t soft) {
  Lines lines = {};
  Sets sets;
  const ffi::Error error = ReadLines(name, weight, spikes, trace, ptr, offsets, position, tile, &lines, &sets);
  if (error.failure()) return error;
  UpdateParams p = {};
  p.ptr = lines.rows.ptr;
  p.offsets = lines.rows.offsets;
  p.position = lines.position;
  p.n_lines = lines.rows.n_in;
  p.n_partners = lines.rows.n_out;
  p.n_synapses = lines.rows.n_synapses;
  p.tile = static_cast<int32_t>(tile);
  p.n_tiles = static_cast<int32_t>(lines.rows.n_tiles);
  const int64_t units = CeilDiv(p.n_lines * p.n_tiles, kThreads / 32);
  return Run(name, stream, "UpdateStored", sets, weight, spikes, trace, limits, out, counts, index, units, soft, &p);
}

ffi::Error RowsUpdateOnPreImpl(Stream stream, ffi::AnyBuffer weight, ffi::AnyBuffer spikes, ffi::AnyBuffer trace,
                               ffi::AnyBuffer limits, ffi::AnyBuffer ptr, ffi::AnyBuffer offsets,
                               ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> counts,
                               ffi::Result<ffi::AnyBuffer> index, int64_t tile, int64_t soft) {
  return UpdateStored("gpu rows update on pre", stream, weight, spikes, trace, limits, ptr, offsets, nullptr, *out, *counts,
                      *index, tile, soft);
}

ffi::Error RowsUpdateOnPostImpl(Stream stream, ffi::AnyBuffer weight, ffi::AnyBuffer spikes, ffi::AnyBuffer trace,
                                ffi::AnyBuffer limits, ffi::AnyBuffer ptr, ffi::AnyBuffer offsets, ffi::AnyBuffer position,
                                ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> counts,
                                ffi::Result<ffi::AnyBuffer> index, int64_t tile, int64_t soft) {
  return UpdateStored("gpu rows update on post", stream, weight, spikes, trace, limits, ptr, offsets, &position, *out,
                      *counts, *index, tile, soft);
}

ffi::Error DenseUpdateImpl(Stream stream, ffi::AnyBuffer weight, ffi::AnyBuffer spikes, ffi::AnyBuffer trace,
                           ffi::AnyBuffer limits, ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> counts,
                           ffi::Result<ffi::AnyBuffer> index, int64_t on_post, int64_t soft) {
  const std::string name = "gpu dense update";
  const Sets sets = Sets::Of(weight, 2);
  if (sets.n < 0) return Invalid(name + ": weights must have shape (in, out) or (V, in, out)");
  const int64_t n_in = *(weight.dimensions().end() - 2), n_out = weight.dimensions().back();
  UpdateParams p = {};
  p.n_lines = on_post ? n_out : n_in;
  p.n_partners = on_post ? n_in : n_out;
  if (n_in <= 0 || n_out <= 0 || !sets.Have(spikes, {p.n_lines}) || !sets.Have(trace, {p.n_partners})) {
    return Invalid(name + ": spikes and traces must have the sizes of the weights");
  }
  const int64_t units = on_post ? CeilDiv(n_in, kThreads / 32) : n_in;
  return Run(name, stream, on_post ? "UpdateDenseColumns" : "UpdateDenseRows", sets, weight, spikes, trace, limits, *out,
             *counts, *index, units, soft, &p);
}

}  // namespace
}  // namespace eventops::gpu

EVENTOPS_GPU_HANDLER(EventopsGpuRowsUpdateOnPre, eventops::gpu::RowsUpdateOnPreImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>()
                         .Attr<int64_t>("tile").Attr<int64_t>("soft"));
EVENTOPS_GPU_HANDLER(EventopsGpuRowsUpdateOnPost, eventops::gpu::RowsUpdateOnPostImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Arg<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>()
                         .Attr<int64_t>("tile").Attr<int64_t>("soft"));
EVENTOPS_GPU_HANDLER(EventopsGpuDenseUpdate, eventops::gpu::DenseUpdateImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>()
                         .Attr<int64_t>("on_post").Attr<int64_t>("soft"));
