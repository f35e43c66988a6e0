// The products over stored rows on the device: see ../device/rows.cu.

#include "gpu/host/products.h"
#include "ffi/rows_args.h"

namespace eventops::gpu {
namespace {

constexpr int64_t kTileBytes = 64 << 10;      // of shared memory for one block, so that several fit
constexpr int64_t kSynapsesPerSegment = 32;   // with fewer, lanes would idle and blocks read more pointers than offsets
constexpr int64_t kScatterBlocks = 2048;

ffi::Error Read(const std::string& name, const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post, const ffi::AnyBuffer& weight,
                const ffi::AnyBuffer& ptr, const ffi::AnyBuffer& offsets, int64_t n_out, int64_t tile, RowsParams* p) {
  Rows rows;
  RowsShape shape = {};
  const ffi::Error error = ReadRows(name, pre, post, weight, ptr, offsets, n_out, tile, &rows, &shape);
  if (error.failure()) return error;
  *p = {};
  p->ptr = rows.ptr;
  p->offsets = rows.offsets;
  p->n_in = rows.n_in;
  p->n_out = n_out;
  p->n_synapses = rows.n_synapses;
  p->n_vectors = shape.n_weights * shape.n_batch;
  p->n_batch = shape.n_batch;
  p->tile = static_cast<int32_t>(tile);
  p->n_tiles = static_cast<int32_t>(rows.n_tiles);
  p->homogeneous = shape.homogeneous;
  return ffi::Error::Success();
}

ffi::Error RowsForwardImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer weight, ffi::AnyBuffer ptr,
                           ffi::AnyBuffer offsets, ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> counts,
                           ffi::Result<ffi::AnyBuffer> index, ffi::Result<ffi::AnyBuffer> partial, int64_t n_out,
                           int64_t tile, int64_t slices, int64_t atomics) {
  const std::string name = "gpu rows forward";
  RowsParams p;
  Dtypes d;
  ffi::Error error = Read(name, spikes, *out, weight, ptr, offsets, n_out, tile, &p);
  if (error.success()) error = ReadDtypes(name, weight.element_type(), &spikes, &d);
  if (error.failure()) return error;
  p.narrow = IsNarrow(*out, d);
  if (p.narrow && out->element_type() != d.weight) return Invalid(name + ": wrong result dtype");
  const int64_t n = p.n_vectors * n_out;
  if (slices < 1 || slices > 1024 || static_cast<int64_t>(partial->element_count()) < slices * n ||
      partial->element_type() != d.sums) {
    return Invalid(name + ": the buffer of partial sums is too small");
  }
  // Spikes that are all 1 and one weight: events are counted, in whole numbers, and any order gives the same.
  const bool counted = p.homogeneous && d.unit_spikes;
  const bool sparse = p.n_synapses < kSynapsesPerSegment * p.n_in * p.n_tiles;
  const bool scatter = counted ? sparse : atomics != 0;
  Work work(stream, d.types);
  error = Compact(work, spikes, p.n_vectors, 1, p.n_in, *counts, *index);
  if (error.failure()) return error;
  p.spikes = spikes.untyped_data();
  p.weight = weight.untyped_data();
  p.counts = Data<int32_t>(*counts);
  p.index = Data<int32_t>(*index);
  p.out = out->untyped_data();
  p.partial = partial->untyped_data();
  p.n_chunks = static_cast<int32_t>(counts->dimensions()[1] - 1);
  p.n_slices = static_cast<int32_t>(slices);
  const int64_t sum_bytes = counted ? 4 : d.sum_bytes;
  if (scatter) {
    work.Clear(p.partial, n * sum_bytes);
    p.blocks_per_vector = static_cast<int32_t>(std::max<int64_t>(
        1, std::min(CeilDiv(p.n_in * p.n_tiles, kThreads / 32), kScatterBlocks / std::max<int64_t>(1, p.n_vectors))));
    work.Launch("rows.cu", counted ? "RowsScatterCount" : "RowsScatter", p.blocks_per_vector * p.n_vectors, p);
  } else {
    const int64_t room = std::min(kTileBytes, work.SharedBytes());
    const int64_t posts = std::min(tile, n_out);
    p.n_parts = static_cast<int32_t>(CeilDiv(posts * sum_bytes, std::max<int64_t>(room, 1024)));
    p.width = static_cast<int32_t>(CeilDiv(posts, p.n_parts));
    work.Launch("rows.cu", counted ? "RowsForwardCount" : "RowsForward",
                p.n_parts * p.n_tiles * slices * p.n_vectors, p, p.width * sum_bytes);
  }
  if (scatter || slices > 1) {
    work.Launch("compact.cu", "Combine", CeilDiv(n, kThreads),
                CombineParams{p.partial, p.weight, p.out, n, p.n_batch * n_out,
                              static_cast<int32_t>(scatter ? 1 : slices), counted, p.narrow});
  }
  return work.Done();
}

int64_t GatherBlocks(const RowsParams& p) {
  const int64_t n_weights = p.n_batch == 0 ? 0 : p.n_vectors / p.n_batch;
  return CeilDiv(n_weights * p.n_in * CeilDiv(p.n_batch, kGatherGroup), kThreads / 32);
}

ffi::Error RowsSpikeCotangentImpl(Stream stream, ffi::AnyBuffer weight, ffi::AnyBuffer g, ffi::AnyBuffer ptr,
                                  ffi::AnyBuffer offsets, ffi::Result<ffi::AnyBuffer> out, int64_t n_out, int64_t tile) {
  const std::string name = "gpu rows spike cotangent";
  RowsParams p;
  Dtypes d;
  ffi::Error error = Read(name, *out, g, weight, ptr, offsets, n_out, tile, &p);
  if (error.success()) error = ReadDtypes(name, weight.element_type(), nullptr, &d);
  if (error.failure()) return error;
  if (g.element_type() != d.sums || out->element_type() != d.sums) {
    return Invalid(name + ": cotangents must be of the accumulator's dtype");
  }
  p.weight = weight.untyped_data();
  p.g = g.untyped_data();
  p.out = out->untyped_data();
  Work work(stream, d.types);
  work.Launch("rows.cu", "RowsGather", GatherBlocks(p), p);
  return work.Done();
}

// `terms` (V, B, n_in) and `pieces` (V, n) are used where there is one weight for all synapses.
ffi::Error RowsWeightCotangentImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer g, ffi::AnyBuffer ptr,
                                   ffi::AnyBuffer offsets, ffi::Result<ffi::AnyBuffer> out,
                                   ffi::Result<ffi::AnyBuffer> terms, ffi::Result<ffi::AnyBuffer> pieces, int64_t n_out,
                                   int64_t tile) {
  const std::string name = "gpu rows weight cotangent";
  RowsParams p;
  Dtypes d;
  ffi::Error error = Read(name, spikes, g, *out, ptr, offsets, n_out, tile, &p);
  if (error.success()) error = ReadDtypes(name, out->element_type(), &spikes, &d);
  if (error.failure()) return error;
  if (out->element_type() != d.sums || g.element_type() != d.sums) {
    return Invalid(name + ": cotangents must be of the accumulator's dtype");
  }
  p.spikes = spikes.untyped_data();
  p.g = g.untyped_data();
  Work work(stream, d.types);
  const int64_t n_weights = spikes.dimensions()[0];
  if (out->dimensions()[0] != n_weights) return Invalid(name + ": wrong result");
  if (!p.homogeneous) {
    p.out = out->untyped_data();
    work.Launch("rows.cu", "RowsOuter", CeilDiv(n_weights * p.n_in, kThreads / 32), p);
    return work.Done();
  }
  if (!HasShape(*terms, {n_weights, p.n_batch, p.n_in}) || terms->element_type() != d.sums ||
      pieces->dimensions().size() != 2 || pieces->dimensions()[0] != n_weights || pieces->element_type() != d.sums) {
    return Invalid(name + ": the buffers of partial sums have the wrong shape");
  }
  p.out = terms->untyped_data();
  work.Launch("rows.cu", "RowsGather", GatherBlocks(p), p);
  SumAll(work, n_weights, p.n_batch * p.n_in, terms->untyped_data(), pieces->untyped_data(), pieces->dimensions()[1],
         out->untyped_data());
  return work.Done();
}

}  // namespace
}  // namespace eventops::gpu

EVENTOPS_GPU_HANDLER(EventopsGpuRowsForward, eventops::gpu::RowsForwardImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>()
                         .Attr<int64_t>("n_out").Attr<int64_t>("tile").Attr<int64_t>("slices").Attr<int64_t>("atomics"));
EVENTOPS_GPU_HANDLER(EventopsGpuRowsSpikeCotangent, eventops::gpu::RowsSpikeCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>()
                         .Attr<int64_t>("n_out").Attr<int64_t>("tile"));
EVENTOPS_GPU_HANDLER(EventopsGpuRowsWeightCotangent, eventops::gpu::RowsWeightCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>().Arg<AnyBuffer>()
                         .Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>()
                         .Attr<int64_t>("n_out").Attr<int64_t>("tile"));
