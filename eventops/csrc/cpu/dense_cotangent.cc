// The two cotangents of the dense product.
//
//   spikes:  ds[i] = sum over j of w[i, j] * g[j]            every row, each read once for all vectors
//   weights: dw[i, j] = sum over the batch of s[i] * g[j]    zeros for silent rows

#include <algorithm>
#include <vector>

#include "cpu/compact.h"
#include "cpu/isa/kernels.h"
#include "ffi/ffi_util.h"
#include "cpu/parallel.h"

namespace eventops {
namespace {

constexpr int64_t kRowsPerUnit = 32;
constexpr int64_t kMaxColumns = 2048;

struct DenseShape {
  int64_t n_weights, n_batch, n_in, n_out;
};

template <typename W>
void DenseSpikeCotangent(ffi::ThreadPool& pool, const DenseShape& n, const W* weight,
                         const Accumulator<W>* g, Accumulator<W>* out) {
  const int64_t chunks = (n.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t bytes = n.n_weights * n.n_in * n.n_out * static_cast<int64_t>(sizeof(W));
  ParallelFor(pool, ThreadsFor(pool, bytes), chunks * n.n_weights, [&](int64_t unit) {
    const int64_t v = unit / chunks, first = unit % chunks * kRowsPerUnit;
    const int64_t rows = std::min(kRowsPerUnit, n.n_in - first);
    ChosenLoops<W>().dot(weight + (v * n.n_in + first) * n.n_out, n.n_out, rows, g + v * n.n_batch * n.n_out,
                         n.n_out, n.n_batch, n.n_out, out + v * n.n_batch * n.n_in + first, n.n_in);
  });
}

// Row i of dw is a product of its own: the members of the batch in which i is active are the events, and
// their output cotangents are the rows of the matrix.
template <typename W, typename S>
void DenseWeightCotangent(ffi::ThreadPool& pool, const DenseShape& n, const S* spikes, const Accumulator<W>* g,
                          W* out) {
  using A = Accumulator<W>;
  const int64_t chunks = (n.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t bytes = n.n_weights * n.n_in * n.n_out * static_cast<int64_t>(sizeof(W));
  ParallelFor(pool, ThreadsFor(pool, bytes), chunks * n.n_weights, [&](int64_t unit) {
    const int64_t v = unit / chunks, first = unit % chunks * kRowsPerUnit;
    const int64_t rows = std::min(kRowsPerUnit, n.n_in - first);
    thread_local std::vector<Event<A>> events;
    events.resize(rows * n.n_batch);
    int64_t count[kRowsPerUnit] = {};
    for (int64_t b = 0; b < n.n_batch; ++b) {
      const S* s = spikes + (v * n.n_batch + b) * n.n_in + first;
      for (int64_t r = 0; r < rows; ++r) {
        const A value = ValueOf<A>(s + r);
        if (value != A(0)) events[r * n.n_batch + count[r]++] = {static_cast<int32_t>(b), value};
      }
    }
    for (int64_t column = 0; column < n.n_out; column += kMaxColumns) {
      const int64_t width = std::min(kMaxColumns, n.n_out - column);
      for (int64_t r = 0; r < rows; ++r) {
        W* dw = out + (v * n.n_in + first + r) * n.n_out + column;
        if (count[r] == 0) {
          std::fill(dw, dw + width, W{});
          continue;
        }
        A sums[kMaxColumns];
        std::fill(sums, sums + width, A(0));
        ChosenLoops<A>().add_events(events.data() + r * n.n_batch, count[r],
                                    g + v * n.n_batch * n.n_out + column, n.n_out, width, sums);
        ChosenLoops<W>().narrow(sums, width, dw);
      }
    }
  });
}

ffi::Error DenseSpikeCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer g,
                                   ffi::Result<ffi::AnyBuffer> out) {
  if (weight.dimensions().size() != 3 || g.dimensions().size() != 3) {
    return Invalid("dense spike cotangent takes weights (V, in, out) and cotangents (V, B, out)");
  }
  const DenseShape n{g.dimensions()[0], g.dimensions()[1], weight.dimensions()[1], weight.dimensions()[2]};
  if (!HasSets(weight, {n.n_weights, n.n_in, n.n_out}) || !HasShape(g, {n.n_weights, n.n_batch, n.n_out}) || !HasShape(*out, {n.n_weights, n.n_batch, n.n_in})) {
    return Invalid("dense spike cotangent: shapes of weights, cotangents and result do not fit");
  }
  if (IsEmpty(*out)) return ffi::Error::Success();
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (g.element_type() != AccumulatorDtype<A>() || out->element_type() != AccumulatorDtype<A>()) {
      return Invalid("dense spike cotangent: cotangents must be of the accumulator's dtype");
    }
    DenseSpikeCotangent<W>(pool, n, static_cast<const W*>(weight.untyped_data()),
                           static_cast<const A*>(g.untyped_data()), static_cast<A*>(out->untyped_data()));
    return ffi::Error::Success();
  });
}

ffi::Error DenseWeightCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer g,
                                    ffi::Result<ffi::AnyBuffer> out) {
  if (spikes.dimensions().size() != 3 || g.dimensions().size() != 3) {
    return Invalid("dense weight cotangent takes spikes (V, B, in) and cotangents (V, B, out)");
  }
  const DenseShape n{spikes.dimensions()[0], spikes.dimensions()[1], spikes.dimensions()[2], g.dimensions()[2]};
  if (!HasShape(g, {n.n_weights, n.n_batch, n.n_out}) || !HasShape(*out, {n.n_weights, n.n_in, n.n_out})) {
    return Invalid("dense weight cotangent: shapes of spikes, cotangents and result do not fit");
  }
  if (IsEmpty(*out)) return ffi::Error::Success();
  return SwitchWeight(out->element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (g.element_type() != AccumulatorDtype<A>()) {
      return Invalid("dense weight cotangent: cotangents must be of the accumulator's dtype");
    }
    const A* gp = static_cast<const A*>(g.untyped_data());
    W* dw = static_cast<W*>(out->untyped_data());
    if (spikes.element_type() == ffi::DataType::PRED) {
      DenseWeightCotangent<W>(pool, n, static_cast<const bool*>(spikes.untyped_data()), gp, dw);
    } else if (spikes.element_type() == AccumulatorDtype<A>()) {
      DenseWeightCotangent<W>(pool, n, static_cast<const A*>(spikes.untyped_data()), gp, dw);
    } else {
      return Invalid("dense weight cotangent: spikes must be bool or of the accumulator's dtype");
    }
    return ffi::Error::Success();
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsDenseSpikeCotangent, eventops::DenseSpikeCotangentImpl,
                 Ffi::Bind().Ctx<ThreadPool>().Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>());

EVENTOPS_HANDLER(EventopsDenseWeightCotangent, eventops::DenseWeightCotangentImpl,
                 Ffi::Bind().Ctx<ThreadPool>().Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>());
