// Products over a graph that is not stored: each line is drawn again when it is needed, on every call.
//
// Only rules whose lines are rows (the partners of a pre neuron) can be here; there is one weight for all
// synapses. A row that several vectors of a batch need is drawn once. Drawing costs far more than adding, so
// threads must not draw the same row twice: they share the rows and not the outputs. The events are cut into
// pieces whose number depends on the work alone; each piece has an output of its own, and these are added in
// order, so that results do not depend on the number of threads.

#include <algorithm>
#include <memory>
#include <vector>

#include "compact.h"
#include "ffi_util.h"
#include "graph.h"
#include "parallel.h"
#include "results.h"

namespace eventops {
namespace {

constexpr int64_t kMaxPieces = 8;
constexpr int64_t kSynapsesPerPiece = 1 << 12;
constexpr int64_t kMaxScratchBytes = 1 << 25;
constexpr int64_t kRowsPerUnit = 32;

struct Shape {
  int64_t n_weights, n_batch;
};

// The rows that any vector of a weight set needs, ascending, and for each the vectors that do.
template <typename A>
struct ActiveRows {
  struct Use {
    int32_t vector;
    A value;
  };
  std::vector<int32_t> row;
  std::vector<int64_t> start;  // the uses of row[r] are use[start[r]] .. use[start[r + 1]]
  std::vector<Use> use;

  void Collect(const EventLists<A>& lists, int64_t first, int64_t last, int64_t n_in) {
    row.clear();
    start.assign(1, 0);
    use.clear();
    if (last - first == 1) {
      for (const Event<A>* e = lists.begin(first); e != lists.begin(first) + lists.count(first); ++e) {
        row.push_back(e->index);
        use.push_back({static_cast<int32_t>(first), e->value});
        start.push_back(static_cast<int64_t>(use.size()));
      }
      return;
    }
    std::vector<int64_t> place(n_in + 1, 0);
    for (int64_t b = first; b < last; ++b) {
      for (const Event<A>* e = lists.begin(b); e != lists.begin(b) + lists.count(b); ++e) ++place[e->index + 1];
    }
    for (int64_t i = 0; i < n_in; ++i) {
      if (place[i + 1] != 0) {
        row.push_back(static_cast<int32_t>(i));
        start.push_back(start.back() + place[i + 1]);
      }
      place[i + 1] += place[i];
    }
    use.resize(place[n_in]);
    for (int64_t b = first; b < last; ++b) {
      for (const Event<A>* e = lists.begin(b); e != lists.begin(b) + lists.count(b); ++e) {
        use[place[e->index]++] = {static_cast<int32_t>(b), e->value};
      }
    }
  }
};

// The table of this graph's gaps, kept for the next call on the same thread: to make one takes as long as a
// thousand synapses.
const GapTable& GapsOf(const Graph& graph) {
  constexpr size_t kKept = 16;
  thread_local std::vector<std::unique_ptr<GapTable>> kept;
  for (const auto& table : kept) {
    if (table->IsOf(graph.gap_words, graph.n_digits)) return *table;
  }
  if (kept.size() == kKept) kept.erase(kept.begin());
  kept.push_back(std::make_unique<GapTable>(graph.gap_words, graph.n_digits));
  return *kept.back();
}

double MeanDegree(const Graph& graph, double prob) {
  prob = prob >= 0 && prob <= 1 ? prob : 1;
  const bool fixed = graph.rule == kFixedPost;
  return fixed ? static_cast<double>(graph.conn_num) : prob * static_cast<double>(graph.n_out);
}

// What a thread needs to draw lines.
struct Drawer {
  FixedDrawer fixed;
  std::vector<int32_t> targets;

  const std::vector<int32_t>& Targets(const Graph& graph, const GapTable& gaps, int64_t row) {
    targets.clear();
    graph.Targets(gaps, fixed, row, [&](int64_t post) { targets.push_back(static_cast<int32_t>(post)); });
    return targets;
  }
};

template <typename A>
void AddRow(const Graph& graph, const GapTable& gaps, Drawer& drawer, const ActiveRows<A>& active, int64_t r,
            int64_t first, A w, A* out) {
  const int64_t row = active.row[r], n_uses = active.start[r + 1] - active.start[r];
  const auto* use = active.use.data() + active.start[r];
  if (n_uses == 1) {
    const A value = use->value * w;
    A* y = out + (use->vector - first) * graph.n_out;
    graph.Targets(gaps, drawer.fixed, row, [y, value](int64_t post) { y[post] += value; });
    return;
  }
  const auto& targets = drawer.Targets(graph, gaps, row);
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
  const auto& lists = Compact<A>(spikes, shape.n_weights * shape.n_batch, graph.n_in);
  const GapTable& gaps = GapsOf(graph);
  const int64_t n = shape.n_batch * graph.n_out;
  ActiveRows<A> active;
  for (int64_t v = 0; v < shape.n_weights; ++v) {
    const int64_t first = v * shape.n_batch;
    A* result = out + v * n;
    active.Collect(lists, first, first + shape.n_batch, graph.n_in);
    const int64_t n_rows = static_cast<int64_t>(active.row.size());
    const int64_t synapses = static_cast<int64_t>(static_cast<double>(n_rows) * MeanDegree(graph, prob));
    const int64_t room = 1 + kMaxScratchBytes / (n * static_cast<int64_t>(sizeof(A)));
    const int64_t pieces =
        std::max<int64_t>(1, std::min({kMaxPieces, room, synapses / kSynapsesPerPiece, n_rows}));
    A* const scratch = ScratchOf<A, Scratch::kPieces>((pieces - 1) * n);
    ParallelFor(pool, pieces > 1 ? pool.num_threads() : 1, pieces, [&](int64_t piece) {
      thread_local Drawer drawer;
      A* y = piece == 0 ? result : scratch + (piece - 1) * n;
      std::fill(y, y + n, A(0));
      for (int64_t r = n_rows * piece / pieces; r < n_rows * (piece + 1) / pieces; ++r) {
        AddRow(graph, gaps, drawer, active, r, first, Load(weight + v), y);
      }
    });
    for (int64_t piece = 1; piece < pieces; ++piece) {
      const A* y = scratch + (piece - 1) * n;
      for (int64_t j = 0; j < n; ++j) result[j] += y[j];
    }
  }
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

// `pre` is (V, B, n_in), `post` (V, B, n_out) and `weight` (V,).
ffi::Error ReadProduct(const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post, const ffi::AnyBuffer& weight,
                       const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps, const ffi::AnyBuffer& law,
                       ffi::Dictionary attrs, Graph* graph, Shape* shape) {
  ffi::Error error = ReadGraph(selected, gaps, &law, attrs, graph);
  if (error.failure()) return error;
  if (graph->rule == kFixedPre) return Invalid("procedural products need a rule whose lines are rows");
  if (graph->pre.size() != graph->n_in || graph->post.size() != graph->n_out) {
    return Invalid("procedural products take whole graphs");
  }
  if (pre.dimensions().size() != 3) return Invalid("procedural: inputs must have shape (V, B, in)");
  *shape = {pre.dimensions()[0], pre.dimensions()[1]};
  if (shape->n_weights > kMaxSize || shape->n_batch > kMaxSize) return Invalid("procedural: inputs are too large");
  if (!HasShape(pre, {shape->n_weights, shape->n_batch, graph->n_in}) ||
      !HasShape(post, {shape->n_weights, shape->n_batch, graph->n_out}) || !HasShape(weight, {shape->n_weights})) {
    return Invalid("procedural: shapes of inputs, outputs and weights do not fit");
  }
  return ffi::Error::Success();
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
