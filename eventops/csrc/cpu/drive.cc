// Random drive: Poisson numbers of events, as they are or times a weight. Every neuron is drawn on its own, so the result does
// not depend on how the neurons are cut into pieces.

#include "cpu/drive.h"

#include <algorithm>
#include <limits>

#include "cpu/drive_args.h"
#include "ffi/ffi_util.h"
#include "cpu/parallel.h"

namespace eventops {
namespace {

// Neurons that a thread takes at once; the time of a neuron is that of about 8 streamed bytes.
constexpr int64_t kPiece = 2048;
constexpr int64_t kBytesOfNeuron = 8;

// Calls done(vector, first neuron of the result, n, counts, invalid) for pieces of up to 64 neurons.
template <typename T, typename F>
void ForNeurons(ffi::ThreadPool& pool, const DriveOperands& operands, const T* mean, int64_t n_vectors, int64_t n, F done) {
  const Kernels& kernels = ChosenKernels();
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  ParallelFor(pool, ThreadsFor(pool, n_vectors * n * kBytesOfNeuron), n_vectors * pieces, [&](int64_t unit) {
    const int64_t vector = unit / pieces, end = std::min(n, (unit % pieces + 1) * kPiece);
    const uint32_t first = operands.first[vector * operands.first_stride];
    const PoissonNumbers numbers(operands.Step(vector), kernels);
    const T* means = mean + vector * operands.mean_stride;
    for (int64_t i = unit % pieces * kPiece; i < end;) {
      const uint32_t neuron = first + static_cast<uint32_t>(i), lane = neuron % kPoissonAtOnce;
      const int64_t some = std::min<int64_t>(kPoissonAtOnce - lane, end - i);
      uint16_t counts[kPoissonAtOnce];
      const uint64_t invalid = numbers.Draw(neuron - lane, static_cast<int>(lane), static_cast<int>(lane + some),
                                            means + i * operands.mean_step, operands.mean_step, counts);
      done(vector, i, some, counts + lane, invalid >> lane);
      i += some;
    }
  });
}

ffi::Error CountsImpl(ffi::ThreadPool pool, ffi::AnyBuffer counter, ffi::AnyBuffer seed, ffi::AnyBuffer first,
                      ffi::AnyBuffer mean, ffi::Result<ffi::AnyBuffer> result) {
  auto dims = result->dimensions();
  if (dims.size() != 2 || result->element_type() != ffi::DataType::S32) return Invalid("counts must be int32 of two axes");
  if (IsEmpty(*result)) return ffi::Error::Success();
  const int64_t n = dims[1];
  int32_t* out = result->typed_data<int32_t>();
  return WithDrives(counter, seed, first, mean, dims[0], n, [&](const DriveOperands& operands, const auto* means) {
    ForNeurons(pool, operands, means, dims[0], n,
               [&](int64_t vector, int64_t i, int64_t some, const uint16_t* counts, uint64_t invalid) {
                 int32_t* to = out + vector * n + i;
                 for (int64_t k = 0; k < some; ++k) to[k] = invalid >> k & 1 ? -1 : counts[k];
               });
    return ffi::Error::Success();
  });
}

// Results of one storage type, 64 at a time.
template <typename W>
struct Currents {
  using A = Accumulator<W>;
  const W *weight, *into;
  W* out;
  int64_t weight_stride, weight_step, n;
  const Loops<W>& loops;

  void operator()(int64_t vector, int64_t i, int64_t some, const uint16_t* counts, uint64_t invalid) const {
    const int64_t at = vector * n + i;
    const W* w = weight + vector * weight_stride + i * weight_step;
    A terms[kPoissonAtOnce];
    if constexpr (sizeof(A) == sizeof(W)) {
      if (invalid == 0) {
        return loops.add_weighted(counts, some, w, weight_step != 0, into == nullptr ? nullptr : into + at, out + at);
      }
    }
    for (int64_t k = 0; k < some; ++k) {
      const bool valid = (invalid >> k & 1) == 0;
      const A term = valid ? Load(w + k * weight_step) * A(counts[k]) : std::numeric_limits<A>::quiet_NaN();
      terms[k] = into == nullptr ? term : Load(into + at + k) + term;
    }
    for (int64_t k = 0; k < some; ++k) Store(terms[k], out + at + k);
  }
};

ffi::Error CurrentImpl(ffi::ThreadPool pool, ffi::AnyBuffer into, ffi::AnyBuffer weight, ffi::AnyBuffer counter,
                       ffi::AnyBuffer seed, ffi::AnyBuffer first, ffi::AnyBuffer mean,
                       ffi::Result<ffi::AnyBuffer> result) {
  auto dims = result->dimensions();
  if (dims.size() == 0) return Invalid("a current has an axis of neurons");
  if (weight.element_type() != result->element_type() || into.element_type() != result->element_type()) {
    return Invalid("weights and the current that is added to must have the result's dtype");
  }
  const bool adds = !HasShape(into, {0}) || HasShape(*result, {0});
  if (adds && !std::equal(dims.begin(), dims.end(), into.dimensions().begin(), into.dimensions().end())) {
    return Invalid("the current that is added to has another shape than the result");
  }
  if (IsEmpty(*result)) return ffi::Error::Success();
  const int64_t n = dims.back(), B = static_cast<int64_t>(result->element_count()) / n;
  int64_t weight_stride, weight_step;
  if (!IsOfNeurons(weight, B, n, &weight_stride, &weight_step)) return Invalid("weights of a drive must be one or one each");
  return SwitchWeight(result->element_type(), [&](auto* type) {
    using W = std::remove_pointer_t<decltype(type)>;
    const Currents<W> currents{static_cast<const W*>(weight.untyped_data()),
                               adds ? static_cast<const W*>(into.untyped_data()) : nullptr,
                               static_cast<W*>(result->untyped_data()),
                               weight_stride,
                               weight_step,
                               n,
                               ChosenLoops<W>()};
    return WithDrives(counter, seed, first, mean, B, n, [&](const DriveOperands& operands, const auto* means) {
      ForNeurons(pool, operands, means, B, n, currents);
      return ffi::Error::Success();
    });
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsPoissonCounts, eventops::CountsImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>());

EVENTOPS_HANDLER(EventopsPoissonCurrent, eventops::CurrentImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>());
