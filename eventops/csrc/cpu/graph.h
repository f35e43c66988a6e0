// What determines a random graph, or a part of it, as the handlers get it: see eventops/graphs/drawing.py.
#ifndef EVENTOPS_GRAPH_H_
#define EVENTOPS_GRAPH_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "ffi/ffi_util.h"
#include "shared/lattice.h"
#include "cpu/lines.h"

namespace eventops {

constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max();

// The second word of the counter: what the words of a line are for (1, the lower halves of gaps, is in gaps.h).
constexpr uint32_t kAcceptLane = 3, kRowLane = 4, kRepeatLane = 5;

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool Has(int64_t i) const { return begin <= i && i < end; }
};

struct Graph {
  int64_t rule = 0, n_in = 0, n_out = 0, tile = 0, n_tiles = 0, conn_num = 0;
  bool allow_multi = false, allow_self = false;
  uint64_t seed = 0;
  int64_t lane = 0;
  const int32_t* selected = nullptr;  // pre neurons that have connections, ascending; used if not all have
  int64_t n_selected = 0;
  const void* gap_words = nullptr;
  int64_t n_digits = 0;
  const uint32_t* law = nullptr;  // kFixedTotal: how many synapses each row has; kDistance: the lattice
  int64_t n_law = 0;
  Lattice lattice = {};
  Range pre, post;  // the window; rows and tiles are counted from its beginning

  bool all_selected() const { return n_selected == n_in; }
  int64_t Pre(int64_t position) const { return all_selected() ? position : selected[position]; }

  PhiloxKey Key(int64_t line) const {
    return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(line),
            static_cast<uint32_t>(lane), static_cast<uint32_t>(rule) | 1u << 16};  // 1: the generator's version
  }

  // Posts that pre neuron `pre` may reach.
  Candidates Posts(int64_t pre) const { return {n_out, allow_self ? -1 : pre}; }

  // Positions among the selected pre neurons that post neuron `post` may be reached from.
  Candidates Pres(int64_t post) const {
    if (allow_self) return {n_selected, -1};
    if (all_selected()) return {n_in, post};
    const int32_t* end = selected + n_selected;
    const int32_t* own = std::lower_bound(selected, end, static_cast<int32_t>(post));
    return {n_selected, own != end && *own == post ? own - selected : -1};
  }

  bool Selected(int64_t pre) const {
    return all_selected() || std::binary_search(selected, selected + n_selected, static_cast<int32_t>(pre));
  }

  // How many partners a line has, where that is fixed.
  int64_t Number(int64_t line, const Candidates& candidates) const {
    if (rule != kFixedTotal) return conn_num;
    // Whatever the array holds, no more than all of them, and no more than there are.
    const int64_t most = allow_multi && candidates.Count() > 0 ? conn_num : std::min(conn_num, candidates.Count());
    return std::max<int64_t>(0, std::min<int64_t>(static_cast<int32_t>(law[line]), most));
  }

  // The targets of a pre neuron, in any order, where the lines are rows.
  template <typename Emit>
  void Targets(const GapTable& gaps, FixedDrawer& drawer, int64_t pre, Emit emit) const {
    if (!Selected(pre)) return;
    const Candidates posts = Posts(pre);
    if (rule == kBernoulli) {
      DrawBernoulli(Key(pre), gaps, posts, emit);
    } else if (rule == kDistance) {
      DrawDistance(gaps, pre, emit);
    } else if (allow_multi) {
      drawer.RepeatedInAnyOrder(Key(pre), Number(pre, posts), posts, emit);
    } else {
      drawer.DistinctInAnyOrder(Key(pre), Number(pre, posts), posts, emit);
    }
  }

  // The partners of a line of any rule but Bernoulli, ascending.
  template <typename Emit>
  void DrawLine(const GapTable& gaps, FixedDrawer& drawer, int64_t line, const Candidates& candidates,
                Emit emit) const {
    if (rule == kDistance) {
      drawer.Ascending(n_out, [&](auto visit) { DrawDistance(gaps, line, visit); }, emit);
    } else if (allow_multi) {
      drawer.Repeated(Key(line), Number(line, candidates), candidates, emit);
    } else {
      drawer.Distinct(Key(line), Number(line, candidates), candidates, emit);
    }
  }

  template <typename Emit>
  void DrawDistance(const GapTable& gaps, int64_t pre, Emit emit) const {
    PhiloxKey accept = Key(pre);
    accept.lane = kAcceptLane;
    DrawLattice(Key(pre), accept, gaps, lattice, pre, [&](int64_t post) {
      if (allow_self || post != pre) emit(post);
    });
  }
};

// The positions among the selected pre neurons of those inside the window.
inline Range Drawn(const Graph& graph) {
  if (graph.all_selected()) return graph.pre;
  const int32_t* end = graph.selected + graph.n_selected;
  const auto place = [&](int64_t pre) {
    return std::lower_bound(graph.selected, end, pre, [](int32_t a, int64_t b) { return a < b; }) - graph.selected;
  };
  return {place(graph.pre.begin), place(graph.pre.end)};
}

// `selected` may be empty if all pre neurons have connections; the seed is an operand or else an attribute. What buffers on a device hold cannot be checked here.
inline ffi::Error ReadGraph(ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law, ffi::Dictionary attrs,
                            Graph* graph, bool on_device = false, const ffi::AnyBuffer* seed = nullptr) {
  bool complete = true;
  const auto get = [&](const char* name) {
    auto value = attrs.get<int64_t>(name);
    complete &= value.has_value();
    return value.has_value() ? *value : int64_t{0};
  };
  *graph = {get("rule"), get("n_in"), get("n_out"), get("tile"), 0, get("conn_num"),
            get("allow_multi") == 1, get("allow_self") == 1, seed == nullptr ? static_cast<uint64_t>(get("seed")) : 0, get("lane"),
            static_cast<const int32_t*>(selected.untyped_data()),
            get("n_selected"), gaps.untyped_data(),
            FirstRow(gaps) / 1024,
            static_cast<const uint32_t*>(law.untyped_data()), FirstRow(law), {},
            {get("pre_begin"), get("pre_end")}, {get("post_begin"), get("post_end")}};
  if (!complete) return Invalid("draw: an attribute is missing");
  if (seed != nullptr && !ReadSeed(*seed, &graph->seed)) return Invalid("draw: the seed must be two words of uint32");
  if (selected.element_type() != ffi::DataType::S32 || gaps.element_type() != ffi::DataType::U32 ||
      law.element_type() != ffi::DataType::U32) {
    return Invalid("draw: selected must be int32, gaps and law uint32");
  }
  if (graph->n_in <= 0 || graph->n_out <= 0 || graph->tile <= 0 || graph->tile > 65536 ||
      graph->n_in > kMaxSize || graph->n_out > kMaxSize || graph->conn_num > kMaxSize) {
    return Invalid("draw: sizes are out of range");
  }
  const int64_t listed = FirstRow(selected);
  if (graph->n_selected < 0 || graph->n_selected > graph->n_in ||
      listed != (graph->all_selected() ? 0 : graph->n_selected)) {
    return Invalid("draw: selected must list n_selected neurons, or none if all are");
  }
  for (int64_t i = 0, previous = -1; i < listed && !on_device; previous = graph->selected[i++]) {
    if (graph->selected[i] <= previous || graph->selected[i] >= graph->n_in) {
      return Invalid("draw: selected must ascend within [0, n_in)");
    }
  }
  if (graph->pre.begin < 0 || graph->pre.begin >= graph->pre.end || graph->pre.end > graph->n_in ||
      graph->post.begin < 0 || graph->post.begin >= graph->post.end || graph->post.end > graph->n_out) {
    return Invalid("draw: the window must be a part of the graph that is not empty");
  }
  graph->n_tiles = (graph->post.size() + graph->tile - 1) / graph->tile;
  if (graph->rule == kBernoulli) {
    if (graph->n_digits < 1 || graph->n_digits > kMostDigits) return Invalid("draw: a Bernoulli graph needs a table of gaps");
    return ffi::Error::Success();
  }
  if (graph->rule == kFixedTotal) {
    if (graph->n_law != graph->n_in) return Invalid("draw: a fixed total needs the number of each row");
    return ffi::Error::Success();
  }
  if (graph->rule == kDistance) {
    if (on_device) return ffi::Error::Success();  // the kernels look at it
    const bool read = graph->lattice.Read(graph->law, graph->n_law, graph->n_in, graph->n_out, graph->n_digits);
    return read ? ffi::Error::Success() : Invalid("draw: law is no lattice of these sizes");
  }
  if (graph->rule != kFixedPost && graph->rule != kFixedPre) return Invalid("draw: unknown rule");
  const int64_t pool = (graph->rule == kFixedPost ? graph->n_out : graph->n_selected) - (graph->allow_self ? 0 : 1);
  const bool possible = graph->conn_num == 0 || (pool > 0 && (graph->allow_multi || graph->conn_num <= pool));
  if (graph->conn_num < 0 || !possible) return Invalid("draw: conn_num partners cannot be had");
  return ffi::Error::Success();
}

}  // namespace eventops

#endif  // EVENTOPS_GRAPH_H_
