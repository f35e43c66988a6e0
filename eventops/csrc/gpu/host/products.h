// What the products on the device share: a sequence of kernels, and the checks of their buffers.
#ifndef EVENTOPS_GPU_PRODUCTS_H_
#define EVENTOPS_GPU_PRODUCTS_H_

#include <algorithm>
#include <limits>
#include <string>

#include "shared/params.h"
#include "ffi/ffi_util.h"
#include "gpu/host/gpu.h"

// As EVENTOPS_HANDLER, for calls that XLA may record in a command buffer (a CUDA graph): all that they do is to put
// kernels on the stream.
#define EVENTOPS_GPU_HANDLER(name, impl, ...)                                                                     \
  EVENTOPS_EXPORT XLA_FFI_Error* name(XLA_FFI_CallFrame* frame) {                                                 \
    using namespace xla::ffi; /* NOLINT */                                                                        \
    static auto* handler = (Ffi::Bind().Ctx<eventops::gpu::StreamContext>() __VA_ARGS__)                          \
                               .To([](auto... args) { return eventops::Guarded(impl, args...); },                 \
                                   {Traits::kCmdBufferCompatible})                                                \
                               .release();                                                                        \
    return handler->Call(frame);                                                                                  \
  }                                                                                                               \
  static_assert(true, "")

namespace eventops::gpu {

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Kernels on one stream, in order; after the first problem nothing more is launched.
class Work {
 public:
  Work(const Stream& stream, Types types) : stream_(stream), types_(types) {}

  template <typename Params>
  void Launch(const char* source, const char* kernel, int64_t blocks, const Params& params, int64_t shared_bytes = 0,
              int threads = kThreads) {
    if (!problem_.empty() || blocks == 0) return;
    if (blocks > std::numeric_limits<int32_t>::max()) {
      problem_ = "more than 2**31 blocks are needed; split the product over several operators";
    } else {
      problem_ = gpu::Launch(stream_, source, kernel, types_, blocks, threads, shared_bytes, &params);
    }
  }
  void Clear(void* begin, int64_t bytes) {
    if (problem_.empty() && bytes > 0) problem_ = gpu::Clear(stream_, begin, bytes);
  }
  int64_t SharedBytes() {
    int64_t bytes = 0;
    if (problem_.empty()) problem_ = gpu::SharedBytes(stream_, &bytes);
    return bytes;
  }
  ffi::Error Done() const {
    if (problem_.empty()) return ffi::Error::Success();
    return ffi::Error(ffi::ErrorCode::kFailedPrecondition, "eventops: backend 'gpu': " + problem_);
  }

 private:
  Stream stream_;
  Types types_;
  std::string problem_;
};

// Types of a product: of its weights (for cotangents of weights the accumulator's), its spikes (bool where there are none)
// and its sums.
struct Dtypes {
  Types types = {"", ""};
  ffi::DataType weight = ffi::DataType::F32, sums = ffi::DataType::F32;
  int64_t weight_bytes = 4, sum_bytes = 4;
  bool unit_spikes = true;
};

inline ffi::Error ReadDtypes(const std::string& name, ffi::DataType weight, const ffi::AnyBuffer* spikes, Dtypes* d) {
  d->weight = weight;
  ffi::Error error = SwitchWeight(weight, [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    d->weight_bytes = sizeof(W);
    d->sum_bytes = sizeof(Accumulator<W>);
    d->sums = AccumulatorDtype<Accumulator<W>>();
    return ffi::Error::Success();
  });
  if (error.failure()) return error;
  const char* sums = d->sum_bytes == 8 ? "double" : "float";
  d->types = {weight == ffi::DataType::F16 ? "Float16" : weight == ffi::DataType::BF16 ? "BFloat16" : sums, "bool"};
  if (spikes == nullptr || spikes->element_type() == ffi::DataType::PRED) return ffi::Error::Success();
  d->unit_spikes = false;
  d->types.spikes = sums;
  if (spikes->element_type() == d->sums) return ffi::Error::Success();
  return Invalid(name + ": spikes must be bool or of the accumulator's dtype");
}

inline bool IsNarrow(const ffi::AnyBuffer& out, const Dtypes& d) { return out.element_type() != d.sums; }

template <typename T>
T* Data(const ffi::AnyBuffer& buffer) {
  return static_cast<T*>(buffer.untyped_data());
}

// Lists of events: `counts` (lists, chunks + 1) and `index` (lists, n), both int32.
inline ffi::Error Compact(Work& work, const ffi::AnyBuffer& spikes, int64_t n_lists, int64_t n_joined, int64_t n,
                          const ffi::AnyBuffer& counts, const ffi::AnyBuffer& index) {
  const int64_t n_chunks = std::max<int64_t>(1, CeilDiv(n, kChunk));
  if (counts.element_type() != ffi::DataType::S32 || index.element_type() != ffi::DataType::S32 ||
      !HasShape(counts, {n_lists, n_chunks + 1}) || !HasShape(index, {n_lists, n})) {
    return Invalid("gpu: the buffers of the events have the wrong shape");
  }
  const CompactParams p = {spikes.untyped_data(), Data<int32_t>(counts), Data<int32_t>(index), n,
                           static_cast<int32_t>(n_joined), static_cast<int32_t>(n_chunks)};
  if (n_chunks > 1) work.Launch("compact.cu", "CountChunks", n_lists * n_chunks, p);
  work.Launch("compact.cu", "Compact", n_lists * n_chunks, p);
  return ffi::Error::Success();
}

// One number for each weight set: the sum of (V, n) terms, by way of (V, pieces) sums.
inline void SumAll(Work& work, int64_t n_weights, int64_t n, const void* terms, void* pieces, int64_t n_pieces, void* out) {
  work.Launch("compact.cu", "Sum", n_weights * n_pieces, SumParams{terms, pieces, n, static_cast<int32_t>(n_pieces)});
  work.Launch("compact.cu", "Sum", n_weights, SumParams{pieces, out, n_pieces, 1});
}

}  // namespace eventops::gpu

#endif  // EVENTOPS_GPU_PRODUCTS_H_
