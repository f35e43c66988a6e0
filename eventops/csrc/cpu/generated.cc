// Products over a graph that is not stored, with weights that are not stored either: see procedural.cc and weights.h.
//
// The weights of a weight set are two numbers, a location and a scale, and the product is linear in both.

#include <algorithm>
#include <vector>

#include "cpu/procedural.h"
#include "ffi/rows.h"
#include "cpu/weights.h"

namespace eventops {
namespace {

// The synapses of the line that was drawn last: post[k] with the quantile z[k], and room for its weights.
template <typename A>
struct Line {
  FixedDrawer fixed;
  std::vector<int32_t> post;
  std::vector<float> z;
  std::vector<A> weight;
  int64_t n = 0;

  void Draw(const Graph& graph, const GapTable& gaps, const float* table, int64_t row) {
    n = 0;
    if (!graph.Selected(row)) return;
    const Candidates posts = graph.Posts(row);
    const bool counted = graph.rule == kFixedPost || graph.rule == kFixedTotal;
    const size_t most = static_cast<size_t>(counted ? graph.Number(row, posts) : graph.n_out);
    if (post.size() < most) {
      post.resize(most);
      z.resize(most);
      weight.resize(most);
    }
    int32_t* next = post.data();
    // The tables of a lattice may name a pair twice: construction never does, but here nobody has looked.
    int32_t* const end = next + most;
    const auto emit = [&next, end](int64_t target) {
      if (next != end) *next++ = static_cast<int32_t>(target);
    };
    const bool repeats = counted && graph.allow_multi;
    if (repeats) {
      graph.DrawLine(gaps, fixed, row, posts, emit);  // ascending: the synapses of a pair stand beside each other
    } else {
      graph.Targets(gaps, fixed, row, emit);
    }
    n = next - post.data();
    LineWeights(graph.Key(row), repeats, post.data(), n, table, z.data());
  }

  // As they would be stored, in the type W.
  template <typename W>
  const A* Weights(const W* parameters) {
    const A location = Load(parameters), scale = Load(parameters + 1);
    A* const w = weight.data();
    for (int64_t k = 0; k < n; ++k) {
      W stored;
      Store(location + scale * static_cast<A>(z[k]), &stored);
      w[k] = Load(&stored);
    }
    return w;
  }
};

template <typename W, typename S>
void Forward(ffi::ThreadPool& pool, const Graph& graph, double prob, const Shape& shape, const S* spikes,
             const W* weight, const float* table, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const GapTable& gaps = GapsOf(graph);
  const auto add = [&](Line<A>& line, const ActiveRows<A>& active, int64_t r, int64_t v, A* sums) {
    line.Draw(graph, gaps, table, active.row[r]);
    const A* w = line.Weights(weight + 2 * v);
    const int32_t* post = line.post.data();
    for (int64_t u = active.start[r]; u < active.start[r + 1]; ++u) {
      const A value = active.use[u].value;
      A* y = sums + (active.use[u].vector - v * shape.n_batch) * graph.n_out;
      for (int64_t k = 0; k < line.n; ++k) y[post[k]] += value * w[k];
    }
  };
  SumOfRows<Line<A>, A>(pool, graph, prob, shape, spikes, out, add);
}

template <typename A>
A Dot(const int32_t* post, const A* w, int64_t n, const A* g) {
  A sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += w[k] * g[post[k]];
  return sum;
}

template <typename W>
void SpikeCotangent(ffi::ThreadPool& pool, const Graph& graph, const Shape& shape, const W* weight,
                    const float* table, const Accumulator<W>* g, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const GapTable& gaps = GapsOf(graph);
  const int64_t chunks = (graph.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t threads = graph.n_in < kRowsPerUnit ? 1 : pool.num_threads();
  ParallelFor(pool, threads, chunks, [&](int64_t chunk) {
    thread_local Line<A> line;
    const int64_t first = chunk * kRowsPerUnit;
    for (int64_t row = first; row < std::min(first + kRowsPerUnit, graph.n_in); ++row) {
      line.Draw(graph, gaps, table, row);
      for (int64_t v = 0; v < shape.n_weights; ++v) {
        const A* w = line.Weights(weight + 2 * v);
        for (int64_t b = v * shape.n_batch; b < (v + 1) * shape.n_batch; ++b) {
          out[b * graph.n_in + row] = Dot(line.post.data(), w, line.n, g + b * graph.n_out);
        }
      }
    }
  });
}

// out[v] = the derivatives by the location and the scale.
template <typename A, typename S>
void WeightCotangent(ffi::ThreadPool& pool, const Graph& graph, const Shape& shape, const S* spikes,
                     const float* table, const A* g, A* out) {
  const auto& lists = Compact<A>(spikes, shape.n_weights * shape.n_batch, graph.n_in);
  const GapTable& gaps = GapsOf(graph);
  ActiveRows<A> active;
  std::vector<A> partial;
  for (int64_t v = 0; v < shape.n_weights; ++v) {
    active.Collect(lists, v * shape.n_batch, (v + 1) * shape.n_batch, graph.n_in);
    const int64_t n_rows = static_cast<int64_t>(active.row.size());
    partial.assign(2 * n_rows, A(0));
    const int64_t chunks = (n_rows + kRowsPerUnit - 1) / kRowsPerUnit;
    ParallelFor(pool, pool.num_threads(), chunks, [&](int64_t chunk) {
      thread_local Line<A> line;
      const int64_t first = chunk * kRowsPerUnit;
      for (int64_t r = first; r < std::min(first + kRowsPerUnit, n_rows); ++r) {
        line.Draw(graph, gaps, table, active.row[r]);
        for (int64_t u = active.start[r]; u < active.start[r + 1]; ++u) {
          const A* y = g + active.use[u].vector * graph.n_out;
          A sums[2] = {0, 0};
          for (int64_t k = 0; k < line.n; ++k) {
            const A value = y[line.post[k]];
            sums[0] += value;
            sums[1] += static_cast<A>(line.z[k]) * value;
          }
          for (int i = 0; i < 2; ++i) partial[2 * r + i] += active.use[u].value * sums[i];
        }
      }
    });
    for (int i = 0; i < 2; ++i) {
      out[2 * v + i] = A(0);
      for (int64_t r = 0; r < n_rows; ++r) out[2 * v + i] += partial[2 * r + i];
    }
  }
}

// Calls body(spikes) with spikes of bool, or of the accumulator's type.
template <typename A, typename Body>
ffi::Error SwitchSpikes(ffi::AnyBuffer spikes, Body body) {
  if (spikes.element_type() == ffi::DataType::PRED) {
    body(static_cast<const bool*>(spikes.untyped_data()));
  } else if (spikes.element_type() == AccumulatorDtype<A>()) {
    body(static_cast<const A*>(spikes.untyped_data()));
  } else {
    return Invalid("generated: spikes must be bool or of the accumulator's dtype");
  }
  return ffi::Error::Success();
}

ffi::Error ReadGenerated(const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post, const ffi::AnyBuffer& weight,
                         const ffi::AnyBuffer& table, const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps,
                         const ffi::AnyBuffer& law, ffi::Dictionary attrs, Graph* graph, Shape* shape) {
  if (!IsQuantileTable(table)) return Invalid("generated: the table of quantiles does not fit");
  return ReadProduct(pre, post, weight, selected, gaps, law, attrs, graph, shape, true);
}

ffi::Error GeneratedForwardImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                                ffi::AnyBuffer table, ffi::AnyBuffer selected, ffi::AnyBuffer gaps,
                                ffi::AnyBuffer law, ffi::Result<ffi::AnyBuffer> out, ffi::Dictionary attrs) {
  Graph graph;
  Shape shape;
  ffi::Error error = ReadGenerated(spikes, *out, weight, table, selected, gaps, law, attrs, &graph, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  const auto prob = attrs.get<double>("prob");
  if (!prob.has_value()) return Invalid("generated: an attribute is missing");
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    Results<W> results(*out, weight.element_type());
    if (!results.valid()) return Invalid("generated: wrong result dtype");
    A* y = results.sums();
    ffi::Error wrong = SwitchSpikes<A>(spikes, [&](const auto* s) {
      Forward<W>(pool, graph, *prob, shape, s, static_cast<const W*>(weight.untyped_data()),
                 static_cast<const float*>(table.untyped_data()), y);
    });
    if (wrong.failure()) return wrong;
    results.Finish(pool);
    return ffi::Error::Success();
  });
}

ffi::Error GeneratedSpikeCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer g,
                                       ffi::AnyBuffer table, ffi::AnyBuffer selected, ffi::AnyBuffer gaps,
                                       ffi::AnyBuffer law, ffi::Result<ffi::AnyBuffer> out, ffi::Dictionary attrs) {
  Graph graph;
  Shape shape;
  ffi::Error error = ReadGenerated(*out, g, weight, table, selected, gaps, law, attrs, &graph, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (g.element_type() != AccumulatorDtype<A>() || out->element_type() != AccumulatorDtype<A>()) {
      return Invalid("generated: cotangents must be of the accumulator's dtype");
    }
    SpikeCotangent<W>(pool, graph, shape, static_cast<const W*>(weight.untyped_data()),
                      static_cast<const float*>(table.untyped_data()), static_cast<const A*>(g.untyped_data()),
                      static_cast<A*>(out->untyped_data()));
    return ffi::Error::Success();
  });
}

template <typename A>
ffi::Error WeightCotangentOf(ffi::ThreadPool& pool, const Graph& graph, const Shape& shape, ffi::AnyBuffer spikes,
                             ffi::AnyBuffer g, ffi::AnyBuffer table, ffi::AnyBuffer out) {
  return SwitchSpikes<A>(spikes, [&](const auto* s) {
    WeightCotangent(pool, graph, shape, s, static_cast<const float*>(table.untyped_data()),
                    static_cast<const A*>(g.untyped_data()), static_cast<A*>(out.untyped_data()));
  });
}

ffi::Error GeneratedWeightCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer g,
                                        ffi::AnyBuffer table, ffi::AnyBuffer selected, ffi::AnyBuffer gaps,
                                        ffi::AnyBuffer law, ffi::Result<ffi::AnyBuffer> out, ffi::Dictionary attrs) {
  Graph graph;
  Shape shape;
  ffi::Error error = ReadGenerated(spikes, g, *out, table, selected, gaps, law, attrs, &graph, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  if (g.element_type() != out->element_type()) return Invalid("generated: cotangents must be of the result's dtype");
  if (out->element_type() == ffi::DataType::F64) {
    return WeightCotangentOf<double>(pool, graph, shape, spikes, g, table, *out);
  }
  if (out->element_type() == ffi::DataType::F32) {
    return WeightCotangentOf<float>(pool, graph, shape, spikes, g, table, *out);
  }
  return Invalid("generated: the result must be float32 or float64");
}

// The quantile of each stored synapse.
ffi::Error StandardWeightsImpl(ffi::ThreadPool pool, ffi::BufferR1<ffi::S32> ptr, ffi::BufferR1<ffi::U16> offsets,
                               ffi::AnyBuffer table, ffi::AnyBuffer seed_words, ffi::Result<ffi::BufferR1<ffi::F32>> out,
                               ffi::Dictionary attrs) {
  const auto n_out = attrs.get<int64_t>("n_out"), tile = attrs.get<int64_t>("tile");
  const auto rule = attrs.get<int64_t>("rule");
  uint64_t seed;
  if (!ReadSeed(seed_words, &seed)) return Invalid("standard weights: the seed must be two words of uint32");
  if (!n_out.has_value() || !tile.has_value() || !rule.has_value()) {
    return Invalid("standard weights: an attribute is missing");
  }
  if (*n_out <= 0 || *n_out > kMaxSize || *tile <= 0 || *tile > 65536) {
    return Invalid("standard weights: sizes are out of range");
  }
  const int64_t n_tiles = (*n_out + *tile - 1) / *tile, n = static_cast<int64_t>(offsets.element_count());
  const int64_t n_ptr = static_cast<int64_t>(ptr.element_count());
  if (n_ptr < 1 || (n_ptr - 1) % n_tiles != 0 || static_cast<int64_t>(out->element_count()) != n ||
      !IsQuantileTable(table)) {
    return Invalid("standard weights: shapes do not fit");
  }
  const Rows rows = {ptr.typed_data(), offsets.typed_data(), (n_ptr - 1) / n_tiles, *n_out, *tile, n_tiles, n};
  float* const z = out->typed_data();
  std::fill(z, z + n, 0.0f);
  constexpr int64_t kRows = 64;
  ParallelFor(pool, pool.num_threads(), (rows.n_in + kRows - 1) / kRows, [&](int64_t chunk) {
    std::vector<int32_t> post;
    for (int64_t row = chunk * kRows; row < std::min((chunk + 1) * kRows, rows.n_in); ++row) {
      const PhiloxKey key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                             static_cast<uint32_t>(row), 0, static_cast<uint32_t>(*rule) | 1u << 16};
      for (int64_t t = 0; t < n_tiles; ++t) {
        const auto segment = rows.SegmentOf(row, t);
        post.clear();
        for (int64_t k = segment.begin; k < segment.end; ++k) {
          post.push_back(static_cast<int32_t>(t * *tile + rows.offsets[k]));
        }
        const float* c = static_cast<const float*>(table.untyped_data());
        LineWeights(key, true, post.data(), segment.end - segment.begin, c, z + segment.begin);
      }
    }
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace eventops

#define EVENTOPS_GENERATED(name)                         \
  EVENTOPS_HANDLER(Eventops##name, eventops::name##Impl, \
                   Ffi::Bind()                           \
                       .Ctx<ThreadPool>()                \
                       .Arg<AnyBuffer>()                 \
                       .Arg<AnyBuffer>()                 \
                       .Arg<AnyBuffer>()                 \
                       .Arg<AnyBuffer>()                 \
                       .Arg<AnyBuffer>()                 \
                       .Arg<AnyBuffer>()                 \
                       .Ret<AnyBuffer>()                 \
                       .Attrs())

EVENTOPS_GENERATED(GeneratedForward);
EVENTOPS_GENERATED(GeneratedSpikeCotangent);
EVENTOPS_GENERATED(GeneratedWeightCotangent);

EVENTOPS_HANDLER(EventopsStandardWeights, eventops::StandardWeightsImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<BufferR1<S32>>()
                     .Arg<BufferR1<U16>>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<BufferR1<F32>>()
                     .Attrs());
