// Updates by a function of the user's: the touched synapses are taken out a chunk at a time, and put back.

#include <algorithm>
#include <cstring>

#include "cpu/compact.h"
#include "ffi/ffi_util.h"
#include "ffi/rows.h"
#include "cpu/update.h"

namespace eventops {
namespace {

// Numbers first .. first + chunk - 1 of the touched synapses of one set, in the order of its events: their
// positions, weights and changes. What is left of the chunk has position -1. Returns how many are touched.
template <typename W, typename A = Accumulator<W>>
int64_t TakeChunk(const Lines& lines, const Event<A>* events, int64_t n_events, const A* trace, const W* weight,
                  int64_t first, int64_t chunk, int32_t* position, A* taken, A* change) {
  const Rows& rows = lines.rows;
  int64_t seen = 0, at = 0;
  for (int64_t e = 0; e < n_events; ++e) {
    for (int64_t t = 0; t < rows.n_tiles; ++t) {
      const auto s = rows.SegmentOf(events[e].index, t);
      const auto tile = rows.Tile(trace, t);
      const int64_t begin = s.begin + std::clamp<int64_t>(first - seen, 0, s.end - s.begin);
      const int64_t end = std::min(s.end, begin + (chunk - at));
      seen += s.end - s.begin;
      for (int64_t k = begin; k < end; ++k, ++at) {
        const int64_t place = lines.position == nullptr ? k : lines.At(k);
        position[at] = static_cast<int32_t>(place);
        taken[at] = Load(weight + place);
        change[at] = events[e].value * tile[rows.offsets[k]];
      }
    }
  }
  std::fill(position + at, position + chunk, -1);
  std::fill(taken + at, taken + chunk, A(0));
  std::fill(change + at, change + chunk, A(0));
  return seen;
}

ffi::Error Touched(const std::string& name, ffi::AnyBuffer weight, ffi::AnyBuffer spikes, ffi::AnyBuffer trace,
                   ffi::AnyBuffer first, ffi::AnyBuffer ptr, ffi::AnyBuffer offsets, const ffi::AnyBuffer* position,
                   ffi::AnyBuffer out_position, ffi::AnyBuffer out_weight, ffi::AnyBuffer out_change,
                   ffi::AnyBuffer out_total, int64_t tile) {
  Lines lines;
  Sets sets;
  ffi::Error error = ReadLines(name, weight, spikes, trace, ptr, offsets, position, tile, &lines, &sets);
  if (error.failure()) return error;
  if (first.element_type() != ffi::DataType::S32 || !HasShape(first, {})) {
    return Invalid(name + ": the first synapse must be an int32 number");
  }
  if (out_position.dimensions().size() == 0) return Invalid(name + ": positions must have shape (V, chunk)");
  const int64_t chunk = out_position.dimensions().back();
  if (out_position.element_type() != ffi::DataType::S32 || !sets.Have(out_position, {chunk}) ||
      !sets.Have(out_weight, {chunk}) || !sets.Have(out_change, {chunk}) ||
      out_total.element_type() != ffi::DataType::S32 || !HasShape(out_total, {})) {
    return Invalid(name + ": wrong results");
  }
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    const auto type = AccumulatorDtype<A>();
    if (trace.element_type() != type || out_weight.element_type() != type || out_change.element_type() != type) {
      return Invalid(name + ": traces, weights and changes must be of the accumulator's dtype");
    }
    return WithEvents<A>(name, sets, spikes, [&](const EventLists<A>& lists) {
      const int64_t from = std::max<int64_t>(0, *static_cast<const int32_t*>(first.untyped_data()));
      int64_t most = 0;
      for (int64_t v = 0; v < sets.n; ++v) {
        const int64_t seen = TakeChunk(
            lines, lists.begin(v), lists.count(v), static_cast<const A*>(trace.untyped_data()) + v * lines.rows.n_out,
            static_cast<const W*>(weight.untyped_data()) + v * lines.rows.n_synapses, from, chunk,
            static_cast<int32_t*>(out_position.untyped_data()) + v * chunk,
            static_cast<A*>(out_weight.untyped_data()) + v * chunk,
            static_cast<A*>(out_change.untyped_data()) + v * chunk);
        most = std::max(most, seen);
      }
      // Never more than there are synapses, unless the pointers are not what construction makes.
      *static_cast<int32_t*>(out_total.untyped_data()) =
          static_cast<int32_t>(std::min(most, lines.rows.n_synapses));
    });
  });
}

ffi::Error RowsTouchedOnPreImpl(ffi::AnyBuffer weight, ffi::AnyBuffer spikes, ffi::AnyBuffer trace,
                                ffi::AnyBuffer first, ffi::AnyBuffer ptr, ffi::AnyBuffer offsets,
                                ffi::Result<ffi::AnyBuffer> position, ffi::Result<ffi::AnyBuffer> taken,
                                ffi::Result<ffi::AnyBuffer> change, ffi::Result<ffi::AnyBuffer> total, int64_t tile) {
  return Touched("touched on pre", weight, spikes, trace, first, ptr, offsets, nullptr, *position, *taken, *change,
                 *total, tile);
}

ffi::Error RowsTouchedOnPostImpl(ffi::AnyBuffer weight, ffi::AnyBuffer spikes, ffi::AnyBuffer trace,
                                 ffi::AnyBuffer first, ffi::AnyBuffer ptr, ffi::AnyBuffer offsets,
                                 ffi::AnyBuffer places, ffi::Result<ffi::AnyBuffer> position,
                                 ffi::Result<ffi::AnyBuffer> taken, ffi::Result<ffi::AnyBuffer> change,
                                 ffi::Result<ffi::AnyBuffer> total, int64_t tile) {
  return Touched("touched on post", weight, spikes, trace, first, ptr, offsets, &places, *position, *taken, *change,
                 *total, tile);
}

ffi::Error ReplaceImpl(ffi::AnyBuffer weight, ffi::AnyBuffer position, ffi::AnyBuffer value,
                       ffi::Result<ffi::AnyBuffer> out) {
  const Sets sets = Sets::Of(weight, 1);
  if (sets.n < 0 || position.dimensions().size() == 0) {
    return Invalid("replace: weights and positions must have shape (n) or (V, n)");
  }
  const int64_t n = weight.dimensions().back(), chunk = position.dimensions().back();
  if (position.element_type() != ffi::DataType::S32 || !sets.Have(position, {chunk}) ||
      !sets.Have(value, {chunk}) || !sets.Have(*out, {n}) || out->element_type() != weight.element_type()) {
    return Invalid("replace: positions and values must have shape (V, chunk), and the result that of the weights");
  }
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (value.element_type() != AccumulatorDtype<A>()) {
      return Invalid("replace: values must be of the accumulator's dtype");
    }
    W* w = static_cast<W*>(out->untyped_data());
    if (weight.untyped_data() != out->untyped_data()) std::memcpy(w, weight.untyped_data(), weight.size_bytes());
    const int32_t* at = static_cast<const int32_t*>(position.untyped_data());
    const A* x = static_cast<const A*>(value.untyped_data());
    for (int64_t k = 0; k < sets.n * chunk; ++k) {
      if (at[k] >= 0 && at[k] < n) Store(x[k], w + k / chunk * n + at[k]);
    }
    return ffi::Error::Success();
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsRowsTouchedOnPre, eventops::RowsTouchedOnPreImpl,
                 Ffi::Bind()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("tile"));

EVENTOPS_HANDLER(EventopsRowsTouchedOnPost, eventops::RowsTouchedOnPostImpl,
                 Ffi::Bind()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("tile"));

EVENTOPS_HANDLER(EventopsReplace, eventops::ReplaceImpl,
                 Ffi::Bind()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>());
