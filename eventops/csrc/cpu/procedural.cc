// Products over a graph that is not stored: each line is drawn again when it is needed, on every call.
//
// Only rules whose lines are rows (the partners of a pre neuron) can be here; there is one weight for all
// synapses. A row that several vectors of a batch need is drawn once. Drawing costs far more than adding, so
// threads must not draw the same row twice: they share the rows and not the outputs.

#include <algorithm>
#include <vector>

#include "cpu/procedural.h"

namespace eventops {
namespace {

// What a thread needs to draw lines.
struct Drawer {
  FixedDrawer fixed;
  std::vector<int32_t> targets;

  // The partners of a row; seen(post) as each is drawn.
  template <typename F>
  const std::vector<int32_t>& Targets(const Graph& graph, const GapTable& gaps, int64_t row, F seen) {
    targets.clear();
    graph.Targets(gaps, fixed, row, [&](int64_t post) {
      seen(post);
      targets.push_back(static_cast<int32_t>(post));
    });
    return targets;
  }

  const std::vector<int32_t>& Targets(const Graph& graph, const GapTable& gaps, int64_t row) {
    return Targets(graph, gaps, row, [](int64_t) {});
  }
};

// Outputs of this size share a second-level cache with nothing else, if they are in one at all.
constexpr int64_t kFarBytes = 1 << 20;

template <typename A>
void AddRow(const Graph& graph, const GapTable& gaps, Drawer& drawer, const ActiveRows<A>& active, int64_t r,
            int64_t first, A w, A* out) {
  const int64_t row = active.row[r], n_uses = active.start[r + 1] - active.start[r];
  const auto* use = active.use.data() + active.start[r];
  if (n_uses == 1) {
    const A value = use->value * w;
    A* y = out + (use->vector - first) * graph.n_out;
    if (graph.n_out * static_cast<int64_t>(sizeof(A)) < kFarBytes) {
      graph.Targets(gaps, drawer.fixed, row, [y, value](int64_t post) { y[post] += value; });
      return;
    }
    const auto fetch = [y](int64_t post) { __builtin_prefetch(y + post, 1); };
    for (const int32_t post : drawer.Targets(graph, gaps, row, fetch)) y[post] += value;
    return;
  }
  const auto& targets = drawer.Targets(graph, gaps, row, [](int64_t) {});
  for (int64_t u = 0; u < n_uses; ++u) {
    const A value = use[u].value * w;
    A* y = out + (use[u].vector - first) * graph.n_out;
    for (const int32_t post : targets) y[post] += value;
  }
}

template <typename W, typename S>
void Forward(ffi::ThreadPool& pool, const Graph& graph, double prob, const Shape& shape, const S* spikes,
             const W* weight, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const GapTable& gaps = GapsOf(graph);
  SumOfRows<Drawer, A>(pool, graph, prob, shape, spikes, out,
                       [&](Drawer& drawer, const ActiveRows<A>& active, int64_t r, int64_t v, A* y) {
                         AddRow(graph, gaps, drawer, active, r, v * shape.n_batch, Load(weight + v), y);
                       });
}

template <typename A>
A Sum(const std::vector<int32_t>& targets, const A* g) {
  A sum = 0;
  for (const int32_t post : targets) sum += g[post];
  return sum;
}

template <typename W>
void SpikeCotangent(ffi::ThreadPool& pool, const Graph& graph, const Shape& shape, const W* weight,
                    const Accumulator<W>* g, Accumulator<W>* out) {
  const GapTable& gaps = GapsOf(graph);
  const int64_t chunks = (graph.n_in + kRowsPerUnit - 1) / kRowsPerUnit;
  const int64_t threads = graph.n_in < kRowsPerUnit ? 1 : pool.num_threads();
  ParallelFor(pool, threads, chunks, [&](int64_t chunk) {
    thread_local Drawer drawer;
    const int64_t first = chunk * kRowsPerUnit;
    for (int64_t row = first; row < std::min(first + kRowsPerUnit, graph.n_in); ++row) {
      const auto& targets = drawer.Targets(graph, gaps, row);
      for (int64_t b = 0; b < shape.n_weights * shape.n_batch; ++b) {
        out[b * graph.n_in + row] = Load(weight + b / shape.n_batch) * Sum(targets, g + b * graph.n_out);
      }
    }
  });
}

template <typename A, typename S>
void WeightCotangent(ffi::ThreadPool& pool, const Graph& graph, const Shape& shape, const S* spikes, const A* g,
                     A* out) {
  const auto& lists = Compact<A>(spikes, shape.n_weights * shape.n_batch, graph.n_in);
  const GapTable& gaps = GapsOf(graph);
  ActiveRows<A> active;
  std::vector<A> partial;
  for (int64_t v = 0; v < shape.n_weights; ++v) {
    active.Collect(lists, v * shape.n_batch, (v + 1) * shape.n_batch, graph.n_in);
    const int64_t n_rows = static_cast<int64_t>(active.row.size());
    partial.assign(n_rows, A(0));
    const int64_t chunks = (n_rows + kRowsPerUnit - 1) / kRowsPerUnit;
    ParallelFor(pool, pool.num_threads(), chunks, [&](int64_t chunk) {
      thread_local Drawer drawer;
      const int64_t first = chunk * kRowsPerUnit;
      for (int64_t r = first; r < std::min(first + kRowsPerUnit, n_rows); ++r) {
        const auto& targets = drawer.Targets(graph, gaps, active.row[r]);
        for (int64_t u = active.start[r]; u < active.start[r + 1]; ++u) {
          partial[r] += active.use[u].value * Sum(targets, g + active.use[u].vector * graph.n_out);
        }
      }
    });
    out[v] = A(0);
    for (const A x : partial) out[v] += x;
  }
}

ffi::Error ProceduralForwardImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                                 ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law,
                                 ffi::Result<ffi::AnyBuffer> out, ffi::Dictionary attrs) {
  Graph graph;
  Shape shape;
  ffi::Error error = ReadProduct(spikes, *out, weight, selected, gaps, law, attrs, &graph, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  const auto prob = attrs.get<double>("prob");
  if (!prob.has_value()) return Invalid("procedural: an attribute is missing");
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    Results<W> results(*out, weight.element_type());
    if (!results.valid()) return Invalid("procedural: wrong result dtype");
    const W* w = static_cast<const W*>(weight.untyped_data());
    A* y = results.sums();
    if (spikes.element_type() == ffi::DataType::PRED) {
      Forward<W>(pool, graph, *prob, shape, static_cast<const bool*>(spikes.untyped_data()), w, y);
    } else if (spikes.element_type() == AccumulatorDtype<A>()) {
      Forward<W>(pool, graph, *prob, shape, static_cast<const A*>(spikes.untyped_data()), w, y);
    } else {
      return Invalid("procedural: spikes must be bool or of the accumulator's dtype");
    }
    results.Finish(pool);
    return ffi::Error::Success();
  });
}

ffi::Error ProceduralSpikeCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer weight, ffi::AnyBuffer g,
                                        ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law,
                                        ffi::Result<ffi::AnyBuffer> out, ffi::Dictionary attrs) {
  Graph graph;
  Shape shape;
  ffi::Error error = ReadProduct(*out, g, weight, selected, gaps, law, attrs, &graph, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    if (g.element_type() != AccumulatorDtype<A>() || out->element_type() != AccumulatorDtype<A>()) {
      return Invalid("procedural: cotangents must be of the accumulator's dtype");
    }
    SpikeCotangent<W>(pool, graph, shape, static_cast<const W*>(weight.untyped_data()),
                      static_cast<const A*>(g.untyped_data()), static_cast<A*>(out->untyped_data()));
    return ffi::Error::Success();
  });
}

template <typename A>
ffi::Error WeightCotangentOf(ffi::ThreadPool& pool, const Graph& graph, const Shape& shape, ffi::AnyBuffer spikes,
                             ffi::AnyBuffer g, ffi::AnyBuffer out) {
  const A* gp = static_cast<const A*>(g.untyped_data());
  A* dw = static_cast<A*>(out.untyped_data());
  if (spikes.element_type() == ffi::DataType::PRED) {
    WeightCotangent(pool, graph, shape, static_cast<const bool*>(spikes.untyped_data()), gp, dw);
  } else if (spikes.element_type() == AccumulatorDtype<A>()) {
    WeightCotangent(pool, graph, shape, static_cast<const A*>(spikes.untyped_data()), gp, dw);
  } else {
    return Invalid("procedural: spikes must be bool or of the result's dtype");
  }
  return ffi::Error::Success();
}

ffi::Error ProceduralWeightCotangentImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer g,
                                         ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law,
                                         ffi::Result<ffi::AnyBuffer> out, ffi::Dictionary attrs) {
  Graph graph;
  Shape shape;
  ffi::Error error = ReadProduct(spikes, g, *out, selected, gaps, law, attrs, &graph, &shape);
  if (error.failure()) return error;
  if (IsEmpty(*out)) return ffi::Error::Success();
  if (g.element_type() != out->element_type()) return Invalid("procedural: cotangents must be of the result's dtype");
  if (out->element_type() == ffi::DataType::F64) return WeightCotangentOf<double>(pool, graph, shape, spikes, g, *out);
  if (out->element_type() == ffi::DataType::F32) return WeightCotangentOf<float>(pool, graph, shape, spikes, g, *out);
  return Invalid("procedural: the result must be float32 or float64");
}

}  // namespace
}  // namespace eventops

#define EVENTOPS_PROCEDURAL(name)                                            \
  EVENTOPS_HANDLER(Eventops##name, eventops::name##Impl,                     \
                   Ffi::Bind()                                               \
                       .Ctx<ThreadPool>()                                    \
                       .Arg<AnyBuffer>()                                     \
                       .Arg<AnyBuffer>()                                     \
                       .Arg<AnyBuffer>()                                     \
                       .Arg<AnyBuffer>()                                     \
                       .Arg<AnyBuffer>()                                     \
                       .Ret<AnyBuffer>()                                     \
                       .Attrs())

EVENTOPS_PROCEDURAL(ProceduralForward);
EVENTOPS_PROCEDURAL(ProceduralSpikeCotangent);
EVENTOPS_PROCEDURAL(ProceduralWeightCotangent);
