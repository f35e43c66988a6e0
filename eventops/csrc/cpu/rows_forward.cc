// Event-driven product over stored rows: each event adds its row to the outputs.
//
// A unit of work is one tile of one output vector. Tiles keep the part of the output that is written to
// in the cache and give threads disjoint outputs; within a tile the events are taken in ascending order,
// so the sums do not depend on the number of threads.
//
// No offset can lead outside, whatever its 16 bits say (an operator is a pytree, and anyone may map over its
// arrays). Where many synapses fall in a tile they are added in a buffer that holds all 65,536 numbers that
// an offset can name, which costs a copy of the tile; where few do, each offset is clamped.
//
// With one weight, a vector whose events are all 1 is counted, whether its spikes came as bools or numbers, alone or in
// a batch; the weight is multiplied once.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/compact.h"
#include "ffi/ffi_util.h"
#include "cpu/isa/kernels.h"
#include "cpu/lanes.h"
#include "cpu/parallel.h"
#include "cpu/prefetch.h"
#include "cpu/results.h"
#include "ffi/rows.h"
#include "ffi/rows_args.h"

namespace eventops {
namespace {

// Rows are short and far apart, so the hardware's stream prefetcher sees little of them: touch the lines
// of a row this many events before they are needed.
constexpr int64_t kAhead = 6;

template <typename A>
A* StagingBuffer() {
  thread_local std::vector<A> buffer(65536);
  return buffer.data();
}

// The processor is busy with loads and stores, one of each per synapse, so that a loop's own instructions count: eight
// synapses a turn, whose offsets are clamped together.
constexpr int64_t kUnrolled = 8;
typedef uint16_t Offsets __attribute__((vector_size(kUnrolled * sizeof(uint16_t))));

template <bool kClamped, typename A, typename Term>
inline void AddSegment(const uint16_t* offset, int64_t n, uint16_t last, Term term, A* out) {
  int64_t k = 0;
  for (; k + kUnrolled <= n; k += kUnrolled) {
    uint16_t place[kUnrolled];
    std::memcpy(place, offset + k, sizeof place);
    if (kClamped) {
      Offsets all;
      std::memcpy(&all, place, sizeof all);
      all = all < last ? all : Offsets{} + last;
      std::memcpy(place, &all, sizeof all);
    }
#pragma GCC unroll 8
    for (int64_t i = 0; i < kUnrolled; ++i) out[place[i]] += term(k + i);
  }
  for (; k < n; ++k) out[kClamped ? std::min(offset[k], last) : offset[k]] += term(k);
}

template <Fetch kTo, typename W, typename A>
__attribute__((always_inline)) inline void FetchAhead(const Rows& rows, int64_t t, const Event<A>* events, int64_t e,
                                                      int64_t n_events, const W* weight) {
  if (e + 2 * kAhead < n_events) {
    __builtin_prefetch(rows.ptr + events[e + 2 * kAhead].index * rows.n_tiles + t);
  }
  if (e + kAhead < n_events) {
    const auto next = rows.SegmentOf(events[e + kAhead].index, t);
    PrefetchSpan<kTo>(rows.offsets + next.begin, (next.end - next.begin) * 2);
    if (weight != nullptr) PrefetchSpan<kTo>(weight + next.begin, (next.end - next.begin) * sizeof(W));
  }
}

// Counts of 16 bits are half the bytes of a float to keep in the cache, and a buffer of all that an offset can name is
// cleared and read as far as the tile is wide, so that nothing is clamped. Before one could overflow they go to the sums.
constexpr int64_t kCountable = 65535;

template <typename W>
void CountTile(const Rows& rows, int64_t t, const Event<Accumulator<W>>* events, int64_t n_events,
               Accumulator<W> weight, Accumulator<W>* out) {
  using A = Accumulator<W>;
  thread_local std::vector<uint16_t> buffer(65536);
  uint16_t* const counts = buffer.data();
  const int64_t width = rows.TileWidth(t);
  const auto from_counts = ChosenLoops<W>().from_counts;
  std::fill(counts, counts + width, uint16_t{0});
  int64_t room = kCountable;
  bool summed = false;
  for (int64_t e = 0; e < n_events; ++e) {
    FetchAhead<Fetch::kAll, W>(rows, t, events, e, n_events, nullptr);
    const auto segment = rows.SegmentOf(events[e].index, t);
    for (int64_t k = segment.begin; k < segment.end;) {
      const int64_t n = std::min(segment.end - k, room);
      AddSegment<false>(rows.offsets + k, n, 0, [](int64_t) { return uint16_t{1}; }, counts);
      k += n, room -= n;
      if (room > 0) continue;
      from_counts(counts, width, A(1), summed, out);
      std::fill(counts, counts + width, uint16_t{0});
      room = kCountable, summed = true;
    }
  }
  from_counts(counts, width, weight, summed, out);
}

template <typename W, bool kHomogeneous, bool kStaged>
void ForwardTile(const Rows& rows, int64_t t, const Event<Accumulator<W>>* events, int64_t n_events,
                 const W* weight, Accumulator<W>* result) {
  using A = Accumulator<W>;
  const int64_t width = rows.TileWidth(t);
  const uint16_t last = static_cast<uint16_t>(width - 1);
  // Places alone are few lines; with weights they are more than the first level asks for at once.
  constexpr Fetch kTo = kHomogeneous ? Fetch::kAll : Fetch::kSecond;
  A* out = kStaged ? StagingBuffer<A>() : result;
  std::fill(out, out + width, A(0));
  for (int64_t e = 0; e < n_events; ++e) {
    FetchAhead<kTo, W>(rows, t, events, e, n_events, kHomogeneous ? nullptr : weight);
    const auto segment = rows.SegmentOf(events[e].index, t);
    const uint16_t* offset = rows.offsets + segment.begin;
    const int64_t n = segment.end - segment.begin;
    if (kHomogeneous) {
      const A value = events[e].value * Load(weight);
      AddSegment<!kStaged>(offset, n, last, [value](int64_t) { return value; }, out);
    } else {
      const A value = events[e].value;
      const W* w = weight + segment.begin;
      AddSegment<!kStaged>(offset, n, last, [=](int64_t k) { return value * Load(w + k); }, out);
    }
  }
  if (kStaged) std::copy(out, out + width, result);
}

// Whether the events of a vector can be counted: 0 * inf would show where none came.
template <typename W>
bool Countable(const RowsShape& shape, const EventLists<Accumulator<W>>& lists, int64_t vector, const W* weight) {
  using A = Accumulator<W>;
  if (!shape.homogeneous || !std::isfinite(Load(weight))) return false;
  const Event<A>* events = lists.begin(vector);
  return std::all_of(events, events + lists.count(vector), [](const Event<A>& e) { return e.value == A(1); });
}

template <typename W>
void ForwardSingles(ffi::ThreadPool& pool, int64_t threads, const Rows& rows, const RowsShape& shape,
                    const EventLists<Accumulator<W>>& lists, const W* weight, Accumulator<W>* out) {
  const int64_t n_vectors = shape.n_weights * shape.n_batch;
  const int64_t stride = shape.homogeneous ? 1 : rows.n_synapses;
  ParallelFor(pool, threads, rows.n_tiles * n_vectors, [&](int64_t unit) {
    // All tiles of one vector before the next: its rows are still in the cache.
    const int64_t vector = unit / rows.n_tiles, t = unit % rows.n_tiles;
    const W* w = weight + vector / shape.n_batch * stride;
    Accumulator<W>* y = out + vector * rows.n_out + t * rows.tile;
    if (Countable(shape, lists, vector, w)) {
      return CountTile<W>(rows, t, lists.begin(vector), lists.count(vector), Load(w), y);
    }
    const bool staged = lists.count(vector) * rows.MeanDegree() > rows.n_out;
    const auto tile = shape.homogeneous
                          ? (staged ? ForwardTile<W, true, true> : ForwardTile<W, true, false>)
                          : (staged ? ForwardTile<W, false, true> : ForwardTile<W, false, false>);
    tile(rows, t, lists.begin(vector), lists.count(vector), w, y);
  });
}

// A group of vectors in which most rows are active several times over: each row is read once, and one
// addition of a whole cache line per synapse serves all lanes.
template <typename W>
void ForwardLanes(ffi::ThreadPool& pool, int64_t threads, const Rows& rows, const RowsShape& shape,
                  const EventLists<Accumulator<W>>& lists, const W* weight, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const auto groups = LaneGroups<A>(shape.n_weights, shape.n_batch);
  const int64_t n_groups = static_cast<int64_t>(groups.size());
  std::vector<LaneEvents<A>> events(n_groups);
  std::vector<A> after(n_groups * kLanes<A>);
  ParallelFor(pool, threads, n_groups, [&](int64_t g) {
    events[g].Collect(lists, groups[g], rows.n_in);
    if (!shape.homogeneous) return;
    const A w = Load(weight + groups[g].v);
    A before[kLanes<A>];  // what a vector's events are multiplied by, and below its sums
    for (int64_t l = 0; l < kLanes<A>; ++l) {
      const bool counted = l < groups[g].size && Countable(shape, lists, groups[g].first + l, weight + groups[g].v);
      before[l] = counted ? A(1) : w;
      after[g * kLanes<A> + l] = counted ? w : A(1);
    }
    A* const values = events[g].value.data();
    for (size_t i = 0; i < events[g].value.size(); ++i) {
      values[i] = values[i] == A(0) ? A(0) : values[i] * before[i % kLanes<A>];
    }
  });
  ParallelFor(pool, threads, rows.n_tiles * n_groups, [&](int64_t unit) {
    const int64_t g = unit % n_groups, t = unit / n_groups;
    const LaneGroup& group = groups[g];
    const W* w = shape.homogeneous ? nullptr : weight + group.v * rows.n_synapses;
    thread_local std::vector<A> lanes(65536 * kLanes<A>);  // whatever an offset says, it is inside
    std::fill(lanes.begin(), lanes.begin() + rows.TileWidth(t) * kLanes<A>, A(0));
    const int64_t n_events = static_cast<int64_t>(events[g].row.size());
    for (int64_t e = 0; e < n_events; ++e) {
      if (e + kAhead < n_events) {
        const auto next = rows.SegmentOf(events[g].row[e + kAhead], t);
        PrefetchSpan<Fetch::kAll>(rows.offsets + next.begin, (next.end - next.begin) * 2);
        if (w != nullptr) PrefetchSpan<Fetch::kAll>(w + next.begin, (next.end - next.begin) * sizeof(W));
      }
      const auto s = rows.SegmentOf(events[g].row[e], t);
      ChosenLoops<W>().add_lanes(rows.offsets + s.begin, s.end - s.begin, w == nullptr ? w : w + s.begin,
                                 events[g].value.data() + e * kLanes<A>, lanes.data());
    }
    if (shape.homogeneous) {
      for (int64_t i = 0; i < rows.TileWidth(t); ++i) {
        for (int64_t l = 0; l < kLanes<A>; ++l) {
          A& sum = lanes[i * kLanes<A> + l];
          sum = sum * after[g * kLanes<A> + l] + A(0);  // a silent neuron of a negative weight has 0, not -0
        }
      }
    }
    FromLanes(lanes.data(), group.size, rows.TileWidth(t), out + group.first * rows.n_out + t * rows.tile,
              rows.n_out);
  });
}

// From this mean number of active vectors per row read on, lanes are faster than one vector after another.
constexpr double kLanesAbove = 3.5;

template <typename W, typename S>
void Forward(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape, const S* spikes,
             const W* weight, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const int64_t n_vectors = shape.n_weights * shape.n_batch;
  const auto& lists = Compact<A>(spikes, n_vectors, rows.n_in);
  // An addition at a random place takes the time of about 8 streamed bytes.
  const int64_t threads = ThreadsFor(pool, (lists.total() * rows.MeanDegree() + n_vectors * rows.n_out / 4) * 8);
  const double lanes = static_cast<double>(std::min<int64_t>(kLanes<A>, shape.n_batch));
  const double rate = static_cast<double>(lists.total()) / static_cast<double>(std::max<int64_t>(1, n_vectors * rows.n_in));
  const bool shared = lanes * rate > kLanesAbove * (1 - std::pow(1 - rate, lanes));
  const auto forward = shared ? ForwardLanes<W> : ForwardSingles<W>;
  forward(pool, threads, rows, shape, lists, weight, out);
}

ffi::Error RowsForwardImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                           ffi::AnyBuffer ptr, ffi::AnyBuffer offsets, ffi::Result<ffi::AnyBuffer> out,
                           int64_t n_out, int64_t tile) {
  Rows rows;
  RowsShape shape;
  ffi::Error error = ReadRows("rows forward", spikes, *out, weight, ptr, offsets, n_out, tile, &rows, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    Results<W> results(*out, weight.element_type());
    if (!results.valid()) return Invalid("rows forward: wrong result dtype");
    const W* w = static_cast<const W*>(weight.untyped_data());
    A* y = results.sums();
    if (spikes.element_type() == ffi::DataType::PRED) {
      Forward<W>(pool, rows, shape, static_cast<const bool*>(spikes.untyped_data()), w, y);
    } else if (spikes.element_type() == AccumulatorDtype<A>()) {
      Forward<W>(pool, rows, shape, static_cast<const A*>(spikes.untyped_data()), w, y);
    } else {
      return Invalid("rows forward: spikes must be bool or of the accumulator's dtype");
    }
    results.Finish(pool);
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
