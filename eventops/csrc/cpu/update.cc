// Event-driven weight updates by the built-in rules, in the buffer of the weights.
//
//   w[k] = rule(w[k], s[line] * trace[partner(k)])  for the synapses k of each line with s[line] != 0
//
// Each synapse is on one line and is written once, so results do not depend on the number of threads, which
// share out the events.

#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/compact.h"
#include "ffi/ffi_util.h"
#include "cpu/parallel.h"
#include "cpu/prefetch.h"
#include "ffi/rows.h"
#include "cpu/update.h"

namespace eventops {
namespace {

// Lines are short and far apart: touch their parts this many events before they are needed.
constexpr int64_t kAhead = 4;
// The weights of a column are one to a cache line: touch each this many synapses ahead.
constexpr int64_t kSynapsesAhead = 24;
constexpr int64_t kSynapsesPerUnit = 1 << 13;

// Calls body(v, events of this unit and set, their number, number left behind them) for fixed groups of events.
template <typename A, typename F>
void ForEvents(ffi::ThreadPool& pool, int64_t threads, const EventLists<A>& lists, int64_t per_unit, F body) {
  const int64_t total = lists.total();
  ParallelFor(pool, threads, (total + per_unit - 1) / per_unit, [&](int64_t unit) {
    const int64_t end = std::min(total, (unit + 1) * per_unit);
    int64_t at = unit * per_unit;
    auto set = std::upper_bound(lists.start.begin(), lists.start.end(), at) - lists.start.begin() - 1;
    while (at < end) {
      const int64_t stop = std::min(end, lists.start[set + 1]);
      if (at < stop) body(static_cast<int64_t>(set), lists.events.data() + at, stop - at);
      at = std::max(at, stop);
      ++set;
    }
  });
}

template <typename W, typename Rule>
void UpdateSegment(const Lines& lines, const Rows::Segment& s, const Rows::TileOf<Accumulator<W>>& trace,
                   Accumulator<W> value, Rule rule, W* weight) {
  const uint16_t* offset = lines.rows.offsets;
  if (lines.position == nullptr) {
    for (int64_t k = s.begin; k < s.end; ++k) {
      Store(rule(Load(weight + k), value * trace[offset[k]]), weight + k);
    }
    return;
  }
  const auto update = [&](int64_t k) {
    W* w = weight + lines.At(k);
    Store(rule(Load(w), value * trace[offset[k]]), w);
  };
  int64_t k = s.begin;
  for (; k + kSynapsesAhead < s.end; ++k) {
    __builtin_prefetch(weight + lines.At(k + kSynapsesAhead), 1);
    update(k);
  }
  for (; k < s.end; ++k) update(k);
}

template <typename W, typename Rule>
void UpdateLines(ffi::ThreadPool& pool, const Lines& lines, const EventLists<Accumulator<W>>& lists,
                 const Accumulator<W>* trace, const Rule* rule, W* weight) {
  const Rows& rows = lines.rows;
  const int64_t per_unit = std::clamp<int64_t>(kSynapsesPerUnit / (rows.MeanDegree() + 1), 1, 1 << 10);
  const int64_t threads = ThreadsFor(pool, lists.total() * rows.MeanDegree() * 8);
  ForEvents(pool, threads, lists, per_unit, [&](int64_t v, const auto* events, int64_t n_events) {
    W* w = weight + v * rows.n_synapses;
    for (int64_t e = 0; e < n_events; ++e) {
      if (e + 2 * kAhead < n_events) __builtin_prefetch(rows.ptr + events[e + 2 * kAhead].index * rows.n_tiles);
      if (e + kAhead < n_events) {
        const int64_t next = events[e + kAhead].index, begin = rows.SegmentOf(next, 0).begin;
        const int64_t n = rows.SegmentOf(next, rows.n_tiles - 1).end - begin;
        PrefetchSpan<Fetch::kAll>(rows.offsets + begin, n * 2);
        if (lines.position == nullptr) {
          PrefetchSpan<Fetch::kAll>(w + begin, n * static_cast<int64_t>(sizeof(W)));
        } else {
          PrefetchSpan<Fetch::kAll>(lines.position + begin, n * 4);
        }
      }
      for (int64_t t = 0; t < rows.n_tiles; ++t) {
        UpdateSegment(lines, rows.SegmentOf(events[e].index, t), rows.Tile(trace + v * rows.n_out, t),
                      events[e].value, rule[v], w);
      }
    }
  });
}

// A row of a matrix for each event.
template <typename W, typename Rule>
void UpdateRowsOf(ffi::ThreadPool& pool, int64_t n_in, int64_t n_out, const EventLists<Accumulator<W>>& lists,
                  const Accumulator<W>* trace, const Rule* rule, W* weight) {
  const int64_t threads = ThreadsFor(pool, lists.total() * n_out * 8);
  const int64_t blocks = (n_out + kSynapsesPerUnit - 1) / kSynapsesPerUnit;
  const int64_t per_unit = std::max<int64_t>(1, kSynapsesPerUnit / n_out);
  const int64_t pieces = (lists.total() + per_unit - 1) / per_unit;
  const int64_t* start = lists.start.data();
  ParallelFor(pool, threads, pieces * blocks, [&](int64_t unit) {
    const int64_t begin = unit % blocks * kSynapsesPerUnit, end = std::min(begin + kSynapsesPerUnit, n_out);
    const int64_t first = unit / blocks * per_unit, last = std::min(first + per_unit, lists.total());
    int64_t v = std::upper_bound(start, start + lists.start.size(), first) - start - 1;
    for (int64_t e = first; e < last; ++e) {
      while (e >= start[v + 1]) ++v;
      const auto event = lists.events[e];
      const Rule f = rule[v];
      const Accumulator<W>* x = trace + v * n_out;
      W* w = weight + (v * n_in + event.index) * n_out;
      for (int64_t j = begin; j < end; ++j) Store(f(Load(w + j), event.value * x[j]), w + j);
    }
  });
}

// A column of a matrix for each event: row by row, so that threads write to different rows.
template <typename W, typename Rule>
void UpdateColumnsOf(ffi::ThreadPool& pool, int64_t n_in, int64_t n_out, const EventLists<Accumulator<W>>& lists,
                     const Accumulator<W>* trace, const Rule* rule, W* weight) {
  if (lists.total() == 0) return;
  const int64_t n_sets = static_cast<int64_t>(lists.start.size()) - 1;
  const int64_t threads = ThreadsFor(pool, lists.total() * n_in * 16);
  const int64_t per_unit = std::max<int64_t>(1, kSynapsesPerUnit * n_sets / lists.total());
  const int64_t chunks = (n_in + per_unit - 1) / per_unit;
  ParallelFor(pool, threads, chunks * n_sets, [&](int64_t unit) {
    const int64_t v = unit / chunks, first = unit % chunks * per_unit;
    const auto* events = lists.begin(v);
    const int64_t n_events = lists.count(v);
    const Rule f = rule[v];
    for (int64_t i = first; i < std::min(first + per_unit, n_in); ++i) {
      const Accumulator<W> x = trace[v * n_in + i];
      W* w = weight + (v * n_in + i) * n_out;
      if (i + 1 < n_in) {
        for (int64_t e = 0; e < std::min<int64_t>(n_events, 256); ++e) {
          __builtin_prefetch(w + n_out + events[e].index, 1);
        }
      }
      for (int64_t e = 0; e < n_events; ++e) {
        W* p = w + events[e].index;
        Store(f(Load(p), events[e].value * x), p);
      }
    }
  });
}

// Calls body(rules), one for each set of weights.
template <typename A, typename F>
void WithRules(const ffi::AnyBuffer& limits, int64_t n_sets, bool soft, F body) {
  const A* bounds = static_cast<const A*>(limits.untyped_data());
  const auto with = [&](auto none) {
    std::vector<decltype(none)> rules(n_sets);
    for (int64_t v = 0; v < n_sets; ++v) rules[v] = {bounds[2 * v], bounds[2 * v + 1]};
    body(rules.data());
  };
  if (soft) {
    with(UpdateRule<A, true>{});
  } else {
    with(UpdateRule<A, false>{});
  }
}

template <typename A>
bool ValidOperands(const Sets& sets, const ffi::AnyBuffer& trace, const ffi::AnyBuffer& limits) {
  const auto type = AccumulatorDtype<A>();
  return trace.element_type() == type && limits.element_type() == type &&
         sets.Have(limits, {2});
}

// The weights are the result's buffer where XLA could give them that, else they are copied there first.
inline void Begin(const ffi::AnyBuffer& weight, ffi::AnyBuffer& out) {
  if (weight.untyped_data() != out.untyped_data()) {
    std::memcpy(out.untyped_data(), weight.untyped_data(), weight.size_bytes());
  }
}

ffi::Error UpdateStored(const std::string& name, ffi::ThreadPool& pool, ffi::AnyBuffer weight, ffi::AnyBuffer spikes,
                        ffi::AnyBuffer trace, ffi::AnyBuffer limits, ffi::AnyBuffer ptr, ffi::AnyBuffer offsets,
                        const ffi::AnyBuffer* position, ffi::AnyBuffer out, int64_t tile, int64_t soft) {
  Lines lines;
  Sets sets;
  ffi::Error error = ReadLines(name, weight, spikes, trace, ptr, offsets, position, tile, &lines, &sets);
  if (error.failure()) return error;
  if (out.element_type() != weight.element_type() || !sets.Have(out, {lines.rows.n_synapses})) {
    return Invalid(name + ": the result must be like the weights");
  }
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (!ValidOperands<A>(sets, trace, limits)) {
      return Invalid(name + ": traces and limits must be of the accumulator's dtype");
    }
    Begin(weight, out);
    return WithEvents<A>(name, sets, spikes, [&](const EventLists<A>& lists) {
      WithRules<A>(limits, sets.n, soft != 0, [&](const auto* rules) {
        UpdateLines(pool, lines, lists, static_cast<const A*>(trace.untyped_data()), rules,
                    static_cast<W*>(out.untyped_data()));
      });
    });
  });
}

ffi::Error RowsUpdateOnPreImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer spikes,
                               ffi::AnyBuffer trace, ffi::AnyBuffer limits, ffi::AnyBuffer ptr,
                               ffi::AnyBuffer offsets, ffi::Result<ffi::AnyBuffer> out, int64_t tile, int64_t soft) {
  return UpdateStored("rows update on pre", pool, weight, spikes, trace, limits, ptr, offsets, nullptr, *out, tile,
                      soft);
}

ffi::Error RowsUpdateOnPostImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer spikes,
                                ffi::AnyBuffer trace, ffi::AnyBuffer limits, ffi::AnyBuffer ptr,
                                ffi::AnyBuffer offsets, ffi::AnyBuffer position, ffi::Result<ffi::AnyBuffer> out,
                                int64_t tile, int64_t soft) {
  return UpdateStored("rows update on post", pool, weight, spikes, trace, limits, ptr, offsets, &position, *out,
                      tile, soft);
}

ffi::Error DenseUpdateImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer spikes, ffi::AnyBuffer trace,
                           ffi::AnyBuffer limits, ffi::Result<ffi::AnyBuffer> out, int64_t on_post, int64_t soft) {
  const std::string name = "dense update";
  const Sets sets = Sets::Of(weight, 2);
  if (sets.n < 0) return Invalid(name + ": weights must have shape (in, out) or (V, in, out)");
  const int64_t n_in = *(weight.dimensions().end() - 2), n_out = weight.dimensions().back();
  if (n_in <= 0 || n_out <= 0) return Invalid(name + ": there are no weights");
  if (!sets.Have(spikes, {on_post ? n_out : n_in}) || !sets.Have(trace, {on_post ? n_in : n_out})) {
    return Invalid(name + ": spikes and traces must have the sizes of the weights");
  }
  if (out->element_type() != weight.element_type() || !sets.Have(*out, {n_in, n_out})) {
    return Invalid(name + ": the result must be like the weights");
  }
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (!ValidOperands<A>(sets, trace, limits)) {
      return Invalid(name + ": traces and limits must be of the accumulator's dtype");
    }
    Begin(weight, *out);
    return WithEvents<A>(name, sets, spikes, [&](const EventLists<A>& lists) {
      WithRules<A>(limits, sets.n, soft != 0, [&](const auto* rules) {
        const A* x = static_cast<const A*>(trace.untyped_data());
        W* w = static_cast<W*>(out->untyped_data());
        if (on_post) {
          UpdateColumnsOf(pool, n_in, n_out, lists, x, rules, w);
        } else {
          UpdateRowsOf(pool, n_in, n_out, lists, x, rules, w);
        }
      });
    });
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsRowsUpdateOnPre, eventops::RowsUpdateOnPreImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("tile")
                     .Attr<int64_t>("soft"));

EVENTOPS_HANDLER(EventopsRowsUpdateOnPost, eventops::RowsUpdateOnPostImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("tile")
                     .Attr<int64_t>("soft"));

EVENTOPS_HANDLER(EventopsDenseUpdate, eventops::DenseUpdateImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("on_post")
                     .Attr<int64_t>("soft"));
