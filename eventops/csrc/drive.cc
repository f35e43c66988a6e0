// Random drive: Poisson numbers of events, as they are or times a weight. Every neuron is drawn on its own, so the result does
// not depend on how the neurons are cut into pieces.

#include "drive.h"

#include <algorithm>
#include <limits>

#include "ffi_util.h"
#include "parallel.h"

namespace eventops {
namespace {

// Neurons that a thread takes at once; the time of a neuron is that of about 8 streamed bytes.
constexpr int64_t kPiece = 2048;
constexpr int64_t kBytesOfNeuron = 8;

// The operands of all drives that are drawn together: each has its own along the first axis, or all share one.
struct DriveOperands {
  const uint32_t *counter, *seed, *first;
  int64_t counter_stride, seed_stride, first_stride, mean_stride, mean_step;

  DriveStep Step(int64_t vector) const {
    const uint32_t *c = counter + vector * counter_stride, *s = seed + vector * seed_stride;
    return {s[0], s[1], c[0], c[1]};
  }
};

// Whether the buffer is (1 or B, ...) with these further sides; its stride along the first axis.
bool IsOfEach(const ffi::AnyBuffer& buffer, int64_t B, std::initializer_list<int64_t> sides, int64_t* stride) {
  auto dims = buffer.dimensions();
  if (dims.size() != sides.size() + 1 || (dims[0] != 1 && dims[0] != B)) return false;
  int64_t size = 1;
  size_t i = 1;
  for (int64_t side : sides) {
    if (dims[i++] != side) return false;
    size *= side;
  }
  *stride = dims[0] == 1 ? 0 : size;
  return true;
}

// The same for numbers that neurons have each, or all together.
bool IsOfNeurons(const ffi::AnyBuffer& buffer, int64_t B, int64_t n, int64_t* stride, int64_t* step) {
  *step = IsOfEach(buffer, B, {n}, stride) ? 1 : 0;
  if (*step == 1 && n == 1) *step = 0;
  return *step == 1 || IsOfEach(buffer, B, {1}, stride);
}

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

template <typename F>
ffi::Error WithOperands(ffi::AnyBuffer counter, ffi::AnyBuffer seed, ffi::AnyBuffer first, ffi::AnyBuffer mean, int64_t B,
                        int64_t n, F body) {
  DriveOperands o;
  for (const ffi::AnyBuffer& words : {counter, seed, first}) {
    if (words.element_type() != ffi::DataType::U32) return Invalid("counters, seeds and first neurons must be uint32");
  }
  if (!IsOfEach(counter, B, {2}, &o.counter_stride) || !IsOfEach(seed, B, {2}, &o.seed_stride) ||
      !IsOfEach(first, B, {}, &o.first_stride) || !IsOfNeurons(mean, B, n, &o.mean_stride, &o.mean_step)) {
    return Invalid("the operands of a random drive have other shapes than its result");
  }
  o.counter = counter.typed_data<uint32_t>();
  o.seed = seed.typed_data<uint32_t>();
  o.first = first.typed_data<uint32_t>();
  if (mean.element_type() == ffi::DataType::F32) return body(o, mean.typed_data<float>());
  if (mean.element_type() == ffi::DataType::F64) return body(o, mean.typed_data<double>());
  return Invalid("means must be float32 or float64");
}

ffi::Error CountsImpl(ffi::ThreadPool pool, ffi::AnyBuffer counter, ffi::AnyBuffer seed, ffi::AnyBuffer first,
                      ffi::AnyBuffer mean, ffi::Result<ffi::AnyBuffer> result) {
  auto dims = result->dimensions();
  if (dims.size() != 2 || result->element_type() != ffi::DataType::S32) return Invalid("counts must be int32 of two axes");
  if (IsEmpty(*result)) return ffi::Error::Success();
  const int64_t n = dims[1];
  int32_t* out = result->typed_data<int32_t>();
  return WithOperands(counter, seed, first, mean, dims[0], n, [&](const DriveOperands& operands, const auto* means) {
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
      if (weight_step == 0 && invalid == 0) {
        return loops.add_weighted(counts, some, *w, into == nullptr ? nullptr : into + at, out + at);
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
    return WithOperands(counter, seed, first, mean, B, n, [&](const DriveOperands& operands, const auto* means) {
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
