// The two cotangents of the product over stored rows. Both read the same rows as the forward product.
//
//   spikes:  ds[i] = sum over the synapses k of row i of w[k] * g[post(k)]      dense in i
//   weights: dw[k] = sum over the batch of s[i] * g[post(k)]                    active rows only

#include <vector>

#include "cpu/compact.h"
#include "ffi/ffi_util.h"
#include "cpu/isa/kernels.h"
#include "cpu/lanes.h"
#include "cpu/parallel.h"
#include "cpu/results.h"
#include "ffi/rows.h"
#include "ffi/rows_args.h"

namespace eventops {
namespace {

constexpr int64_t kRowsPerUnit = 128;
constexpr int64_t kEventsPerUnit = 128;

// The sum over one segment, in four partial sums: additions of a single one would wait for each other.
template <typename A, typename Term>
A SumOf(int64_t n, Term term) {
  A s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  int64_t k = 0;
  for (; k + 4 <= n; k += 4) {
    s0 += term(k);
    s1 += term(k + 1);
    s2 += term(k + 2);
    s3 += term(k + 3);
  }
  for (; k < n; ++k) s0 += term(k);
  return (s0 + s1) + (s2 + s3);
}

template <typename A>
A GatherRow(const Rows& rows, int64_t row, const A* g) {
  A sum = 0;
  for (int64_t t = 0; t < rows.n_tiles; ++t) {
    const auto s = rows.SegmentOf(row, t);
    const uint16_t* offset = rows.offsets + s.begin;
    const auto tile = rows.Tile(g, t);
    sum += SumOf<A>(s.end - s.begin, [&](int64_t k) { return tile[offset[k]]; });
  }
  return sum;
}

template <typename W, typename A>
A GatherWeightedRow(const Rows& rows, int64_t row, const W* weight, const A* g) {
  A sum = 0;
  for (int64_t t = 0; t < rows.n_tiles; ++t) {
    const auto s = rows.SegmentOf(row, t);
    const uint16_t* offset = rows.offsets + s.begin;
    const W* w = weight + s.begin;
    const auto tile = rows.Tile(g, t);
    sum += SumOf<A>(s.end - s.begin, [&](int64_t k) { return Load(w + k) * tile[offset[k]]; });
  }
  return sum;
}

// Several vectors at once: each row is read once for all of them. The sums are those of GatherRow.
template <typename W>
void SpikeCotangentLanes(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape, const W* weight,
                         const Accumulator<W>* g, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const auto groups = LaneGroups<A>(shape.n_weights, shape.n_batch);
  const int64_t n_groups = static_cast<int64_t>(groups.size());
  const int64_t chunks = (rows.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t threads = ThreadsFor(pool, n_groups * rows.n_synapses * 32);
  A* const lanes = ScratchOf<A, Scratch::kLanes>(n_groups * rows.n_out * kLanes<A>);
  const int64_t tiles = n_groups * rows.n_tiles;
  ParallelFor(pool, threads, tiles, [&](int64_t unit) {
    const LaneGroup& group = groups[unit / rows.n_tiles];
    const int64_t begin = unit % rows.n_tiles * rows.tile;
    ToLanes(g + group.first * rows.n_out + begin, rows.n_out, group.size, rows.TileWidth(unit % rows.n_tiles),
            lanes + (unit / rows.n_tiles * rows.n_out + begin) * kLanes<A>);
  });
  ParallelFor(pool, threads, chunks * n_groups, [&](int64_t unit) {
    const LaneGroup& group = groups[unit / chunks];
    const A* gl = lanes + unit / chunks * rows.n_out * kLanes<A>;
    const int64_t first = unit % chunks * kRowsPerUnit, last = std::min(first + kRowsPerUnit, rows.n_in);
    const W* w = shape.homogeneous ? nullptr : weight + group.v * rows.n_synapses;
    A sums[kRowsPerUnit * kLanes<A>] = {};
    for (int64_t t = 0; t < rows.n_tiles; ++t) {
      for (int64_t i = first; i < last; ++i) {
        const auto s = rows.SegmentOf(i, t);
        ChosenLoops<W>().gather_lanes(rows.offsets + s.begin, s.end - s.begin, w == nullptr ? w : w + s.begin,
                                      static_cast<uint32_t>(rows.TileWidth(t) - 1),
                                      gl + t * rows.tile * kLanes<A>, sums + (i - first) * kLanes<A>);
      }
    }
    if (shape.homogeneous) {
      for (A& x : sums) x = Load(weight + group.v) * x;
    }
    FromLanes(sums, group.size, last - first, out + group.first * rows.n_in + first, rows.n_in);
  });
}

// Fewer vectors than this are faster one by one.
constexpr int64_t kLanesFrom = 4;

template <typename W>
void SpikeCotangent(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape, const W* weight,
                    const Accumulator<W>* g, Accumulator<W>* out) {
  if (shape.n_batch >= kLanesFrom) return SpikeCotangentLanes(pool, rows, shape, weight, g, out);
  const int64_t chunks = (rows.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t n_vectors = shape.n_weights * shape.n_batch;
  const int64_t threads = ThreadsFor(pool, n_vectors * rows.n_synapses * 4);
  ParallelFor(pool, threads, chunks * n_vectors, [&](int64_t unit) {
    const int64_t vector = unit % n_vectors, first = unit / n_vectors * kRowsPerUnit;
    const int64_t v = vector / shape.n_batch;
    const auto* gv = g + vector * rows.n_out;
    for (int64_t i = first; i < std::min(first + kRowsPerUnit, rows.n_in); ++i) {
      out[vector * rows.n_in + i] =
          shape.homogeneous ? Load(weight + v) * GatherRow(rows, i, gv)
                            : GatherWeightedRow(rows, i, weight + v * rows.n_synapses, gv);
    }
  });
}

// One number per weight set. Partial sums belong to fixed groups of events, not to threads, so the result
// is the same for any number of threads.
template <typename A, typename S>
void HomogeneousWeightCotangent(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape,
                                const S* spikes, const A* g, A* out) {
  const int64_t n_vectors = shape.n_weights * shape.n_batch;
  const auto& lists = Compact<A>(spikes, n_vectors, rows.n_in);
  struct Group {
    int64_t vector, begin, end;
  };
  std::vector<Group> groups;
  for (int64_t b = 0; b < n_vectors; ++b) {
    for (int64_t e = 0; e < lists.count(b); e += kEventsPerUnit) {
      groups.push_back({b, e, std::min(e + kEventsPerUnit, lists.count(b))});
    }
  }
  std::vector<A> partial(groups.size());
  const int64_t threads = ThreadsFor(pool, lists.total() * rows.MeanDegree() * 4);
  ParallelFor(pool, threads, static_cast<int64_t>(groups.size()), [&](int64_t unit) {
    const Group& group = groups[unit];
    const Event<A>* events = lists.begin(group.vector);
    A sum = 0;
    for (int64_t e = group.begin; e < group.end; ++e) {
      sum += events[e].value * GatherRow(rows, events[e].index, g + group.vector * rows.n_out);
    }
    partial[unit] = sum;
  });
  std::fill(out, out + shape.n_weights, A(0));
  for (size_t i = 0; i < groups.size(); ++i) out[groups[i].vector / shape.n_batch] += partial[i];
}

// A unit owns a range of rows, hence of synapses: it clears them and adds the events that fall in it.
template <typename A, typename S>
void SynapseWeightCotangent(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape,
                            const S* spikes, const A* g, A* out) {
  const auto& lists = Compact<A>(spikes, shape.n_weights * shape.n_batch, rows.n_in);
  const int64_t chunks = (rows.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t threads = ThreadsFor(pool, shape.n_weights * rows.n_synapses * static_cast<int64_t>(sizeof(A)));
  ParallelFor(pool, threads, chunks * shape.n_weights, [&](int64_t unit) {
    const int64_t v = unit / chunks, first = unit % chunks * kRowsPerUnit;
    const int64_t last = std::min(first + kRowsPerUnit, rows.n_in);
    A* dw = out + v * rows.n_synapses;
    // Neighbours meet at the same pointer and the ends are those of the buffer: nothing stays unset.
    const int64_t begin = first == 0 ? 0 : rows.SegmentOf(first, 0).begin;
    const int64_t end = last == rows.n_in ? rows.n_synapses : rows.SegmentOf(last, 0).begin;
    if (begin < end) std::fill(dw + begin, dw + end, A(0));
    for (int64_t b = v * shape.n_batch; b < (v + 1) * shape.n_batch; ++b) {
      const Event<A>* events_end = lists.begin(b) + lists.count(b);
      const Event<A>* e = std::lower_bound(
          lists.begin(b), events_end, first, [](const Event<A>& x, int64_t row) { return x.index < row; });
      for (; e != events_end && e->index < last; ++e) {
        for (int64_t t = 0; t < rows.n_tiles; ++t) {
          const auto s = rows.SegmentOf(e->index, t);
          const auto tile = rows.Tile(g + b * rows.n_out, t);
          for (int64_t k = s.begin; k < s.end; ++k) dw[k] += e->value * tile[rows.offsets[k]];
        }
      }
    }
  });
}

template <typename A, typename S>
void WeightCotangent(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape, const S* spikes,
                     const A* g, A* out) {
  if (shape.homogeneous) {
    HomogeneousWeightCotangent(pool, rows, shape, spikes, g, out);
  } else {
    SynapseWeightCotangent(pool, rows, shape, spikes, g, out);
  }
}

ffi::Error RowsSpikeCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer g,
                                  ffi::AnyBuffer ptr, ffi::AnyBuffer offsets,
                                  ffi::Result<ffi::AnyBuffer> out, int64_t n_out, int64_t tile) {
  Rows rows;
  RowsShape shape;
  ffi::Error error = ReadRows("rows spike cotangent", *out, g, weight, ptr, offsets, n_out, tile, &rows, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (g.element_type() != AccumulatorDtype<A>() || out->element_type() != AccumulatorDtype<A>()) {
      return Invalid("rows spike cotangent: cotangents must be of the accumulator's dtype");
    }
    SpikeCotangent<W>(pool, rows, shape, static_cast<const W*>(weight.untyped_data()),
                      static_cast<const A*>(g.untyped_data()), static_cast<A*>(out->untyped_data()));
    return ffi::Error::Success();
  });
}

template <typename A>
ffi::Error WeightCotangentOf(ffi::ThreadPool& pool, const Rows& rows, const RowsShape& shape,
                             ffi::AnyBuffer spikes, ffi::AnyBuffer g, ffi::AnyBuffer out) {
  const A* gp = static_cast<const A*>(g.untyped_data());
  A* dw = static_cast<A*>(out.untyped_data());
  if (g.element_type() != AccumulatorDtype<A>()) {
    return Invalid("rows weight cotangent: cotangents must be of the result's dtype");
  }
  if (spikes.element_type() == ffi::DataType::PRED) {
    WeightCotangent(pool, rows, shape, static_cast<const bool*>(spikes.untyped_data()), gp, dw);
  } else if (spikes.element_type() == AccumulatorDtype<A>()) {
    WeightCotangent(pool, rows, shape, static_cast<const A*>(spikes.untyped_data()), gp, dw);
  } else {
    return Invalid("rows weight cotangent: spikes must be bool or of the accumulator's dtype");
  }
  return ffi::Error::Success();
}

ffi::Error RowsWeightCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer g,
                                   ffi::AnyBuffer ptr, ffi::AnyBuffer offsets,
                                   ffi::Result<ffi::AnyBuffer> out, int64_t n_out, int64_t tile) {
  Rows rows;
  RowsShape shape;
  ffi::Error error = ReadRows("rows weight cotangent", spikes, g, *out, ptr, offsets, n_out, tile, &rows, &shape);
  if (error.failure()) return error;
  if (out->dimensions()[0] != shape.n_weights) return Invalid("rows weight cotangent: wrong result");
  if (IsEmpty(*out)) return ffi::Error::Success();
  if (out->element_type() == ffi::DataType::F64) {
    return WeightCotangentOf<double>(pool, rows, shape, spikes, g, *out);
  }
  if (out->element_type() == ffi::DataType::F32) {
    return WeightCotangentOf<float>(pool, rows, shape, spikes, g, *out);
  }
  return Invalid("rows weight cotangent: the result must be float32 or float64");
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsRowsSpikeCotangent, eventops::RowsSpikeCotangentImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("n_out")
                     .Attr<int64_t>("tile"));

EVENTOPS_HANDLER(EventopsRowsWeightCotangent, eventops::RowsWeightCotangentImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("n_out")
                     .Attr<int64_t>("tile"));
