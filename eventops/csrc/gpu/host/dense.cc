// The products with dense weights on the device: see ../device/dense.cu.

#include "gpu/host/products.h"

namespace eventops::gpu {
namespace {

// Spikes (V, B, n_in), outputs (V, B, n_out), weights (V, n_in, n_out).
ffi::Error ReadDense(const std::string& name, const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post,
                     const ffi::AnyBuffer& weight, DenseParams* p) {
  if (pre.dimensions().size() != 3 || post.dimensions().size() != 3) {
    return Invalid(name + ": inputs and outputs must have shape (V, B, n)");
  }
  const int64_t V = pre.dimensions()[0], B = pre.dimensions()[1];
  *p = {};
  p->n_in = pre.dimensions()[2];
  p->n_out = post.dimensions()[2];
  p->n_vectors = V * B;
  p->n_batch = B;
  if (!HasShape(post, {V, B, p->n_out}) || !HasSets(weight, {V, p->n_in, p->n_out})) {
    return Invalid(name + ": shapes of inputs, outputs and weights do not fit");
  }
  return ffi::Error::Success();
}

// Whether rows can be read 16 bytes at a time.
bool IsWide(const ffi::AnyBuffer& weight, int64_t n_out, const Dtypes& d) {
  return n_out * d.weight_bytes % 16 == 0 && reinterpret_cast<uintptr_t>(weight.untyped_data()) % 16 == 0;
}

ffi::Error DenseForwardImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer weight, ffi::Result<ffi::AnyBuffer> out,
                            ffi::Result<ffi::AnyBuffer> counts, ffi::Result<ffi::AnyBuffer> index,
                            ffi::Result<ffi::AnyBuffer> partial, int64_t slices, int64_t atomics) {
  const std::string name = "gpu dense forward";
  DenseParams p;
  Dtypes d;
  ffi::Error error = ReadDense(name, spikes, *out, weight, &p);
  if (error.success()) error = ReadDtypes(name, weight.element_type(), &spikes, &d);
  if (error.failure()) return error;
  const bool narrow = IsNarrow(*out, d);
  if (narrow && out->element_type() != d.weight) return Invalid(name + ": wrong result dtype");
  const bool atomic = atomics != 0 && slices > 1;
  const int64_t copies = slices == 1 ? 0 : atomic ? 1 : slices, n = p.n_vectors * p.n_out;
  if (slices < 1 || slices > 1024 || static_cast<int64_t>(partial->element_count()) < copies * n ||
      partial->element_type() != d.sums) {
    return Invalid(name + ": the buffer of partial sums is too small");
  }
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
  p.atomic = atomic;
  p.narrow = narrow;
  if (atomic) work.Clear(p.partial, n * d.sum_bytes);
  const bool wide = IsWide(weight, p.n_out, d);
  const int64_t columns = 32 * (wide ? 16 / d.weight_bytes : 1);
  work.Launch("dense.cu", wide ? "DenseForwardWide" : "DenseForward", CeilDiv(p.n_out, columns) * slices * p.n_vectors, p);
  if (copies > 0) {
    work.Launch("compact.cu", "Combine", CeilDiv(n, kThreads),
                CombineParams{p.partial, p.weight, p.out, n, p.n_batch * p.n_out, static_cast<int32_t>(copies), 0, narrow});
  }
  return work.Done();
}

ffi::Error DenseSpikeCotangentImpl(Stream stream, ffi::AnyBuffer weight, ffi::AnyBuffer g,
                                   ffi::Result<ffi::AnyBuffer> out) {
  const std::string name = "gpu dense spike cotangent";
  DenseParams p;
  Dtypes d;
  ffi::Error error = ReadDense(name, *out, g, weight, &p);
  if (error.success()) error = ReadDtypes(name, weight.element_type(), nullptr, &d);
  if (error.failure()) return error;
  if (g.element_type() != d.sums || out->element_type() != d.sums) {
    return Invalid(name + ": cotangents must be of the accumulator's dtype");
  }
  p.weight = weight.untyped_data();
  p.g = g.untyped_data();
  p.out = out->untyped_data();
  Work work(stream, d.types);
  const int64_t units = p.n_vectors / std::max<int64_t>(1, p.n_batch) * p.n_in * CeilDiv(p.n_batch, kGatherGroup);
  work.Launch("dense.cu", IsWide(weight, p.n_out, d) ? "DenseGatherWide" : "DenseGather", CeilDiv(units, kThreads / 32), p);
  return work.Done();
}

ffi::Error DenseWeightCotangentImpl(Stream stream, ffi::AnyBuffer spikes, ffi::AnyBuffer g,
                                    ffi::Result<ffi::AnyBuffer> out) {
  const std::string name = "gpu dense weight cotangent";
  DenseParams p;
  Dtypes d;
  ffi::Error error = ReadDense(name, spikes, g, *out, &p);
  if (error.success()) error = ReadDtypes(name, out->element_type(), &spikes, &d);
  if (error.failure()) return error;
  if (g.element_type() != d.sums) return Invalid(name + ": cotangents must be of the accumulator's dtype");
  p.spikes = spikes.untyped_data();
  p.g = g.untyped_data();
  p.out = out->untyped_data();
  p.narrow = IsNarrow(*out, d);
  Work work(stream, d.types);
  work.Launch("dense.cu", "DenseOuter", CeilDiv(p.n_out, kThreads) * p.n_in * (p.n_vectors / std::max<int64_t>(1, p.n_batch)),
              p);
  return work.Done();
}

}  // namespace
}  // namespace eventops::gpu

EVENTOPS_GPU_HANDLER(EventopsGpuDenseForward, eventops::gpu::DenseForwardImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>().Ret<AnyBuffer>()
                         .Attr<int64_t>("slices").Attr<int64_t>("atomics"));
EVENTOPS_GPU_HANDLER(EventopsGpuDenseSpikeCotangent, eventops::gpu::DenseSpikeCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>());
EVENTOPS_GPU_HANDLER(EventopsGpuDenseWeightCotangent, eventops::gpu::DenseWeightCotangentImpl,
                     .Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>());
