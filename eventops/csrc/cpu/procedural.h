// What all products over graphs that are not stored have in common.
#ifndef EVENTOPS_PROCEDURAL_H_
#define EVENTOPS_PROCEDURAL_H_

#include <algorithm>
#include <memory>
#include <vector>

#include "cpu/compact.h"
#include "ffi/ffi_util.h"
#include "cpu/graph.h"
#include "cpu/parallel.h"
#include "cpu/results.h"

namespace eventops {

constexpr int64_t kRowsPerUnit = 32;
constexpr int64_t kMaxPieces = 8;
constexpr int64_t kSynapsesPerPiece = 1 << 12;
constexpr int64_t kMaxScratchBytes = 1 << 25;
constexpr int64_t kSummedAtOnce = 1 << 12;

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
inline const GapTable& GapsOf(const Graph& graph) {
  constexpr size_t kKept = 16;
  thread_local std::vector<std::unique_ptr<GapTable>> kept;
  for (const auto& table : kept) {
    if (table->IsOf(graph.gap_words, graph.n_digits)) return *table;
  }
  if (kept.size() == kKept) kept.erase(kept.begin());
  kept.push_back(std::make_unique<GapTable>(graph.gap_words, graph.n_digits));
  return *kept.back();
}

inline double MeanDegree(const Graph& graph, double prob) {
  prob = prob >= 0 && prob <= 1 ? prob : 1;
  const bool fixed = graph.rule == kFixedPost;
  return fixed ? static_cast<double>(graph.conn_num) : prob * static_cast<double>(graph.n_out);
}

// out[v] (B, n_out) of each weight set v is the sum over its active rows of what add(drawer, active, r, v, y) adds to y
// for row r. The events are cut into pieces whose number depends on the work alone; each piece has an output of its own,
// and these are added in order, so that results do not depend on the number of threads.
template <typename Drawer, typename A, typename S, typename Add>
void SumOfRows(ffi::ThreadPool& pool, const Graph& graph, double prob, const Shape& shape, const S* spikes, A* out,
               Add add) {
  const auto& lists = Compact<A>(spikes, shape.n_weights * shape.n_batch, graph.n_in);
  const int64_t n = shape.n_batch * graph.n_out;
  ActiveRows<A> active;
  for (int64_t v = 0; v < shape.n_weights; ++v) {
    const int64_t first = v * shape.n_batch;
    A* result = out + v * n;
    active.Collect(lists, first, first + shape.n_batch, graph.n_in);
    const int64_t n_rows = static_cast<int64_t>(active.row.size());
    const int64_t synapses = static_cast<int64_t>(static_cast<double>(n_rows) * MeanDegree(graph, prob));
    const int64_t room = 1 + kMaxScratchBytes / (n * static_cast<int64_t>(sizeof(A)));
    // To clear an output and add it to the sum takes as long as a tenth to a fifth as many synapses.
    const int64_t worth = std::max<int64_t>(2, 2 * synapses / n);
    const int64_t pieces =
        std::max<int64_t>(1, std::min({kMaxPieces, room, worth, synapses / kSynapsesPerPiece, n_rows}));
    A* const scratch = ScratchOf<A, Scratch::kPieces>((pieces - 1) * n);
    ParallelFor(pool, pieces > 1 ? pool.num_threads() : 1, pieces, [&](int64_t piece) {
      thread_local Drawer drawer;
      A* y = piece == 0 ? result : scratch + (piece - 1) * n;
      std::fill(y, y + n, A(0));
      for (int64_t r = n_rows * piece / pieces; r < n_rows * (piece + 1) / pieces; ++r) add(drawer, active, r, v, y);
    });
    if (pieces == 1) continue;
    const int64_t threads = ThreadsFor(pool, pieces * n * static_cast<int64_t>(sizeof(A)));
    ParallelFor(pool, threads, (n + kSummedAtOnce - 1) / kSummedAtOnce, [&](int64_t unit) {
      const int64_t first = unit * kSummedAtOnce, last = std::min(first + kSummedAtOnce, n);
      for (int64_t piece = 1; piece < pieces; ++piece) {
        const A* y = scratch + (piece - 1) * n;
        for (int64_t j = first; j < last; ++j) result[j] += y[j];
      }
    });
  }
}

// `pre` is (V, B, n_in), `post` (V, B, n_out) and `weight` (V,), or (V, 2) where weights are generated.
inline ffi::Error ReadProduct(const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post, const ffi::AnyBuffer& weight,
                              const ffi::AnyBuffer& selected, const ffi::AnyBuffer& gaps, const ffi::AnyBuffer& law,
                              ffi::Dictionary attrs, Graph* graph, Shape* shape, bool generated = false) {
  ffi::Error error = ReadGraph(selected, gaps, law, attrs, graph);
  if (error.failure()) return error;
  if (graph->rule == kFixedPre) return Invalid("procedural products need a rule whose lines are rows");
  if (graph->pre.size() != graph->n_in || graph->post.size() != graph->n_out) {
    return Invalid("procedural products take whole graphs");
  }
  if (pre.dimensions().size() != 3) return Invalid("procedural: inputs must have shape (V, B, in)");
  *shape = {pre.dimensions()[0], pre.dimensions()[1]};
  if (shape->n_weights > kMaxSize || shape->n_batch > kMaxSize) return Invalid("procedural: inputs are too large");
  if (!HasShape(pre, {shape->n_weights, shape->n_batch, graph->n_in}) ||
      !HasShape(post, {shape->n_weights, shape->n_batch, graph->n_out}) || !(generated ? HasShape(weight, {shape->n_weights, 2}) : HasShape(weight, {shape->n_weights}))) {
    return Invalid("procedural: shapes of inputs, outputs and weights do not fit");
  }
  return ffi::Error::Success();
}

}  // namespace eventops

#endif  // EVENTOPS_PROCEDURAL_H_
