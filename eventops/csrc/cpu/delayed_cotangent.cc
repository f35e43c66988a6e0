// The two cotangents of the delivery into a ring. With `ring` the cotangent of the ring after the delivery,
//
//   spikes:  ds[i] = sum over the synapses k of row i of w[k] * ring[place of k]    dense in i
//   weights: dw[k] = sum over the batch of s[i] * ring[place of k]                  active rows only
//
// A sum is split by rows and events, never by threads, so the results do not depend on their number.

#include <algorithm>
#include <vector>

#include "cpu/compact.h"
#include "cpu/delayed.h"
#include "ffi/ffi_util.h"
#include "cpu/parallel.h"

namespace eventops {
namespace {

constexpr int64_t kRowsPerUnit = 128;
constexpr int64_t kEventsPerUnit = 128;

// The sum of term(k, number in the ring) over the synapses k of one row, in four partial sums for each tile: additions
// to a single one would wait for each other.
template <typename A, typename Code, typename Term>
A SumOfRow(const DelayedRows<Code>& rows, int64_t row, int32_t position, const A* ring, Term term) {
  const auto place = rows.PlaceAt(position);
  A sum = 0;
  for (int64_t t = 0; t < rows.n_tiles; ++t) {
    const auto s = rows.SegmentOf(row, t);
    const A* block = ring + t * rows.BlockSize();
    A part[4] = {};
    int64_t k = s.begin;
    for (; k + 4 <= s.end; k += 4) {
      for (int q = 0; q < 4; ++q) part[q] += term(k + q, block[place(rows.codes[k + q])]);
    }
    for (; k < s.end; ++k) part[0] += term(k, block[place(rows.codes[k])]);
    sum += (part[0] + part[1]) + (part[2] + part[3]);
  }
  return sum;
}

template <typename W, typename Code>
void SpikeCotangent(ffi::ThreadPool& pool, const DelayedRows<Code>& rows, const DelayedShape& shape, const W* weight,
                    const Accumulator<W>* ring, const int32_t* position, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const int64_t chunks = (rows.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t n_vectors = shape.n_weights * shape.n_batch;
  const int64_t threads = ThreadsFor(pool, n_vectors * rows.n_synapses * 4);
  ParallelFor(pool, threads, chunks * n_vectors, [&](int64_t unit) {
    const int64_t vector = unit % n_vectors, v = vector / shape.n_batch, first = unit / n_vectors * kRowsPerUnit;
    const A* r = ring + vector * rows.RingSize();
    for (int64_t i = first; i < std::min(first + kRowsPerUnit, rows.n_in); ++i) {
      A& ds = out[vector * rows.n_in + i];
      if (shape.homogeneous) {
        ds = Load(weight + v) * SumOfRow(rows, i, position[vector], r, [](int64_t, A x) { return x; });
      } else {
        const W* w = weight + v * rows.n_synapses;
        ds = SumOfRow(rows, i, position[vector], r, [w](int64_t k, A x) { return Load(w + k) * x; });
      }
    }
  });
}

// One number per weight set.
template <typename A, typename Code, typename S>
void HomogeneousWeightCotangent(ffi::ThreadPool& pool, const DelayedRows<Code>& rows, const DelayedShape& shape,
                                const S* spikes, const A* ring, const int32_t* position, A* out) {
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
    const A* r = ring + group.vector * rows.RingSize();
    A sum = 0;
    for (const Event<A>* e = lists.begin(group.vector) + group.begin; e != lists.begin(group.vector) + group.end; ++e) {
      sum += e->value * SumOfRow(rows, e->index, position[group.vector], r, [](int64_t, A x) { return x; });
    }
    partial[unit] = sum;
  });
  std::fill(out, out + shape.n_weights, A(0));
  for (size_t i = 0; i < groups.size(); ++i) out[groups[i].vector / shape.n_batch] += partial[i];
}

// A unit owns a range of rows, hence of synapses: it clears them and adds the events that fall in it.
template <typename A, typename Code, typename S>
void SynapseWeightCotangent(ffi::ThreadPool& pool, const DelayedRows<Code>& rows, const DelayedShape& shape,
                            const S* spikes, const A* ring, const int32_t* position, A* out) {
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
      const auto place = rows.PlaceAt(position[b]);
      const Event<A>* events_end = lists.begin(b) + lists.count(b);
      const Event<A>* e = std::lower_bound(lists.begin(b), events_end, first,
                                           [](const Event<A>& x, int64_t row) { return x.index < row; });
      for (; e != events_end && e->index < last; ++e) {
        for (int64_t t = 0; t < rows.n_tiles; ++t) {
          const auto s = rows.SegmentOf(e->index, t);
          const A* block = ring + b * rows.RingSize() + t * rows.BlockSize();
          for (int64_t k = s.begin; k < s.end; ++k) dw[k] += e->value * block[place(rows.codes[k])];
        }
      }
    }
  });
}

ffi::Error DelayedSpikeCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer ring,
                                     ffi::AnyBuffer position, ffi::AnyBuffer ptr, ffi::AnyBuffer codes,
                                     ffi::Result<ffi::AnyBuffer> out) {
  const std::string name = "delayed spike cotangent";
  DelayedShape shape;
  return WithDelayedRows(name, ring, *out, weight, position, ptr, codes, &shape, [&](auto rows) {
    return SwitchWeight(weight.element_type(), [&](auto* tag) {
      using W = std::remove_pointer_t<decltype(tag)>;
      using A = Accumulator<W>;
      if (ring.element_type() != AccumulatorDtype<A>() || out->element_type() != AccumulatorDtype<A>()) {
        return Invalid(name + ": cotangents must be of the accumulator's dtype");
      }
      SpikeCotangent<W>(pool, rows, shape, static_cast<const W*>(weight.untyped_data()),
                        static_cast<const A*>(ring.untyped_data()),
                        static_cast<const int32_t*>(position.untyped_data()), static_cast<A*>(out->untyped_data()));
      return ffi::Error::Success();
    });
  });
}

ffi::Error DelayedWeightCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer ring,
                                      ffi::AnyBuffer position, ffi::AnyBuffer ptr, ffi::AnyBuffer codes,
                                      ffi::Result<ffi::AnyBuffer> out) {
  const std::string name = "delayed weight cotangent";
  DelayedShape shape;
  return WithDelayedRows(name, ring, spikes, *out, position, ptr, codes, &shape, [&](auto rows) {
    if (out->dimensions()[0] != shape.n_weights) return Invalid(name + ": wrong result");
    const auto of = [&](auto* r) {
      using A = std::remove_const_t<std::remove_pointer_t<decltype(r)>>;
      if (ring.element_type() != out->element_type()) {
        return Invalid(name + ": cotangents must be of the result's dtype");
      }
      const auto* p = static_cast<const int32_t*>(position.untyped_data());
      A* dw = static_cast<A*>(out->untyped_data());
      const auto by = [&](auto* s) {
        if (shape.homogeneous) {
          HomogeneousWeightCotangent(pool, rows, shape, s, r, p, dw);
        } else {
          SynapseWeightCotangent(pool, rows, shape, s, r, p, dw);
        }
        return ffi::Error::Success();
      };
      if (spikes.element_type() == ffi::DataType::PRED) return by(static_cast<const bool*>(spikes.untyped_data()));
      if (spikes.element_type() == AccumulatorDtype<A>()) return by(static_cast<const A*>(spikes.untyped_data()));
      return Invalid(name + ": spikes must be bool or of the accumulator's dtype");
    };
    if (out->element_type() == ffi::DataType::F64) return of(static_cast<const double*>(ring.untyped_data()));
    if (out->element_type() == ffi::DataType::F32) return of(static_cast<const float*>(ring.untyped_data()));
    return Invalid(name + ": the result must be float32 or float64");
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsDelayedSpikeCotangent, eventops::DelayedSpikeCotangentImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>());

EVENTOPS_HANDLER(EventopsDelayedWeightCotangent, eventops::DelayedWeightCotangentImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>());
