// A step of integrate-and-fire neurons for XLA. Results may be the operands: each number is read before it is replaced.

#include <algorithm>
#include <vector>

#include "ffi/ffi_util.h"
#include "cpu/isa/kernels.h"
#include "cpu/neurons.h"
#include "cpu/parallel.h"

namespace eventops {
namespace {

// Neurons that a thread takes at once: their arrays stay in its first two caches.
constexpr int64_t kNeuronsAtOnce = 8192;

// The loops for one dtype, of those that the processor runs.
inline bool Run(const NeuronArrays<float>& a, int channels, bool conductance, bool each, int64_t n) {
  return ChosenKernels().neurons_f32(a, channels, conductance, each, n);
}
inline bool Run(const NeuronArrays<double>& a, int channels, bool conductance, bool each, int64_t n) {
  return ChosenKernels().neurons_f64(a, channels, conductance, each, n);
}

struct Buffers {
  std::vector<ffi::AnyBuffer> in, out;
};

template <typename A>
ffi::Error Step(ffi::ThreadPool& pool, const Buffers& b, int channels, bool conductance, int16_t pause) {
  const ffi::AnyBuffer &law = b.in[0], &v = b.in[1], &drive = b.in.back();
  const int64_t n = v.element_count(), n_drive = drive.element_count();
  const bool each = drive.dimensions().size() > 0;
  if (n == 0) return ffi::Error::Success();
  if (law.element_count() != size_t(kChannel + 2 * channels) || n_drive == 0 || n % n_drive != 0) {
    return Invalid("Neurons: the law or the drive does not fit the neurons");
  }
  const int64_t stretch = each ? n_drive : n;  // what a thread's neurons must not cross
  const int64_t per_stretch = (stretch + kNeuronsAtOnce - 1) / kNeuronsAtOnce, units = n / stretch * per_stretch;
  const int64_t bytes = n * static_cast<int64_t>((2 + 3 * channels) * sizeof(A) + 5);
  ParallelFor(pool, ThreadsFor(pool, bytes), units, [&](int64_t unit) {
    const int64_t from = unit / per_stretch * stretch, begin = unit % per_stretch * kNeuronsAtOnce;
    const int64_t at = from + begin, size = std::min(kNeuronsAtOnce, stretch - begin);
    const auto in = [&](size_t k) { return static_cast<const A*>(b.in[k].untyped_data()) + at; };
    const auto out = [&](size_t k) { return static_cast<A*>(b.out[k].untyped_data()) + at; };
    NeuronArrays<A> a = {};
    a.law = static_cast<const A*>(law.untyped_data());
    a.pause = pause;
    a.v = in(1), a.v_out = out(0);
    a.wait = static_cast<const int16_t*>(b.in[2].untyped_data()) + at;
    a.wait_out = static_cast<int16_t*>(b.out[1].untyped_data()) + at;
    for (int k = 0; k < channels; ++k) a.synaptic[k] = in(3 + k), a.synaptic_out[k] = out(2 + k);
    for (int k = 0; k < std::max(1, channels); ++k) a.in[k] = in(3 + channels + k);
    a.drive = static_cast<const A*>(drive.untyped_data()) + (each ? at % n_drive : 0);
    a.spikes = static_cast<uint8_t*>(b.out.back().untyped_data()) + at;
    Run(a, channels, conductance, each, size);
  });
  return ffi::Error::Success();
}

ffi::Error NeuronsImpl(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t channels,
                       int64_t conductance, int64_t pause) {
  const char* wrong = "Neurons: there may be none (without conductances), one or two channels, each with an input";
  if (channels < (conductance != 0 ? 1 : 0) || channels > 2) return Invalid(wrong);
  const size_t n_args = 4 + channels + std::max<int64_t>(1, channels);
  if (args.size() != n_args || rets.size() != 3 + static_cast<size_t>(channels)) return Invalid(wrong);
  if (pause < 0 || pause > INT16_MAX) return Invalid("Neurons: the pause must fit 16 bits");
  Buffers b;
  for (size_t k = 0; k < n_args; ++k) b.in.push_back(*args.get<ffi::AnyBuffer>(k));
  for (size_t k = 0; k < rets.size(); ++k) b.out.push_back(**rets.get<ffi::AnyBuffer>(k));
  for (const auto* buffers : {&b.in, &b.out}) {
    for (const auto& buffer : *buffers) {
      if (!HasSaneSides(buffer)) return Invalid("Neurons: an array has sides that are out of range");
    }
  }
  const auto dtype = b.in[1].element_type();
  const int64_t n = b.in[1].element_count();
  const auto fits = [&](const ffi::AnyBuffer& x, ffi::DataType t) { return x.element_type() == t && int64_t(x.element_count()) == n; };
  bool right = b.in[0].element_type() == dtype && b.in.back().element_type() == dtype;
  right &= fits(b.in[2], ffi::DataType::S16) && fits(b.out[1], ffi::DataType::S16) && fits(b.out[0], dtype);
  right &= fits(b.out.back(), ffi::DataType::PRED);
  for (size_t k = 3; k + 1 < n_args; ++k) right &= fits(b.in[k], dtype);
  for (size_t k = 2; k + 1 < b.out.size(); ++k) right &= fits(b.out[k], dtype);
  if (!right) return Invalid("Neurons: all arrays must have one shape and dtype, and waits must be int16");
  if (dtype == ffi::DataType::F32) return Step<float>(pool, b, channels, conductance != 0, int16_t(pause));
  if (dtype == ffi::DataType::F64) return Step<double>(pool, b, channels, conductance != 0, int16_t(pause));
  return Invalid("Neurons: states must be float32 or float64");
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsNeurons, eventops::NeuronsImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .RemainingArgs()
                     .RemainingRets()
                     .Attr<int64_t>("channels")
                     .Attr<int64_t>("conductance")
                     .Attr<int64_t>("pause"));
