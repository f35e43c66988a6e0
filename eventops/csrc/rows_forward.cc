// Event-driven product over stored rows: each event adds its row to the outputs.
//
// A unit of work is one tile of one output vector. Tiles keep the part of the output that is written to
// in the cache and give threads disjoint outputs; within a tile the events are taken in ascending order,
// so the sums do not depend on the number of threads.
//
// No offset can lead outside, whatever its 16 bits say (an operator is a pytree, and anyone may map over its
// arrays). Where many synapses fall in a tile they are added in a buffer that holds all 65,536 numbers that
// an offset can name, which costs a copy of the tile; where few do, each offset is clamped, which costs a
// tenth to a quarter of an addition.

#include <algorithm>
#include <vector>

#include "compact.h"
#include "ffi_util.h"
#include "parallel.h"
#include "rows.h"
#include "rows_args.h"

namespace eventops {
namespace {

// Rows are short and far apart, so the hardware's stream prefetcher sees little of them: touch the lines
// of a row this many events before they are needed.
constexpr int64_t kAhead = 6;
constexpr int64_t kMaxPrefetchBytes = 512;

inline void PrefetchSpan(const void* begin, int64_t bytes) {
  const char* p = static_cast<const char*>(begin);
  for (int64_t i = 0; i < std::min(bytes, kMaxPrefetchBytes); i += 64) __builtin_prefetch(p + i);
}

template <typename A>
A* StagingBuffer() {
  thread_local std::vector<A> buffer(65536);
  return buffer.data();
}

template <typename W, bool kHomogeneous, bool kStaged>
void ForwardTile(const Rows& rows, int64_t t, const Event<Accumulator<W>>* events, int64_t n_events,
                 const W* weight, Accumulator<W>* result) {
  using A = Accumulator<W>;
  const int64_t width = rows.TileWidth(t);
  const uint32_t last = static_cast<uint32_t>(width - 1);
  A* out = kStaged ? StagingBuffer<A>() : result;
  const auto place = [&](uint32_t offset) { return kStaged ? offset : std::min(offset, last); };
  std::fill(out, out + width, A(0));
  for (int64_t e = 0; e < n_events; ++e) {
    if (e + 2 * kAhead < n_events) {
      __builtin_prefetch(rows.ptr + events[e + 2 * kAhead].index * rows.n_tiles + t);
    }
    if (e + kAhead < n_events) {
      const auto next = rows.SegmentOf(events[e + kAhead].index, t);
      PrefetchSpan(rows.offsets + next.begin, (next.end - next.begin) * 2);
      if (!kHomogeneous) PrefetchSpan(weight + next.begin, (next.end - next.begin) * sizeof(W));
    }
    const auto segment = rows.SegmentOf(events[e].index, t);
    const uint16_t* offset = rows.offsets + segment.begin;
    const int64_t n = segment.end - segment.begin;
    if (kHomogeneous) {
      const A value = events[e].value * Load(weight);
      for (int64_t k = 0; k < n; ++k) out[place(offset[k])] += value;
    } else {
      const A value = events[e].value;
      const W* w = weight + segment.begin;
      for (int64_t k = 0; k < n; ++k) out[place(offset[k])] += value * Load(w + k);
    }
  }
  if (kStaged) std::copy(out, out + width, result);
}

template <typename W, typename S>
void Forward(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape, const S* spikes,
             const W* weight, Accumulator<W>* out) {
  const auto& lists = Compact<Accumulator<W>>(spikes, shape.n_weights * shape.n_batch, rows.n_in);
  const int64_t n_vectors = shape.n_weights * shape.n_batch;
  const int64_t per_row = rows.n_in == 0 ? 0 : rows.n_synapses / rows.n_in;
  // An addition at a random place takes the time of about 8 streamed bytes.
  const int64_t threads = ThreadsFor(pool, (lists.total() * per_row + n_vectors * rows.n_out / 4) * 8);
  const int64_t stride = shape.homogeneous ? 1 : rows.n_synapses;
  ParallelFor(pool, threads, rows.n_tiles * n_vectors, [&](int64_t unit) {
    const int64_t vector = unit % n_vectors, t = unit / n_vectors;
    const W* w = weight + vector / shape.n_batch * stride;
    Accumulator<W>* y = out + vector * rows.n_out + t * rows.tile;
    const bool staged = lists.count(vector) * per_row > rows.n_out;
    const auto tile = shape.homogeneous
                          ? (staged ? ForwardTile<W, true, true> : ForwardTile<W, true, false>)
                          : (staged ? ForwardTile<W, false, true> : ForwardTile<W, false, false>);
    tile(rows, t, lists.begin(vector), lists.count(vector), w, y);
  });
}

ffi::Error RowsForwardImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                           ffi::AnyBuffer ptr, ffi::AnyBuffer offsets, ffi::Result<ffi::AnyBuffer> out,
                           int64_t n_out, int64_t tile) {
  Rows rows;
  RowsShape shape;
  ffi::Error error = ReadRows("rows forward", spikes, *out, weight, ptr, offsets, n_out, tile, &rows, &shape);
  if (error.failure()) return error;
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (out->element_type() != AccumulatorDtype<A>()) return Invalid("rows forward: wrong result dtype");
    const W* w = static_cast<const W*>(weight.untyped_data());
    A* y = static_cast<A*>(out->untyped_data());
    if (spikes.element_type() == ffi::DataType::PRED) {
      Forward<W>(pool, rows, shape, static_cast<const bool*>(spikes.untyped_data()), w, y);
    } else if (spikes.element_type() == AccumulatorDtype<A>()) {
      Forward<W>(pool, rows, shape, static_cast<const A*>(spikes.untyped_data()), w, y);
    } else {
      return Invalid("rows forward: spikes must be bool or of the accumulator's dtype");
    }
    return ffi::Error::Success();
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsRowsForward, eventops::RowsForwardImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("n_out")
                     .Attr<int64_t>("tile"));
