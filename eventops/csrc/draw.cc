// Draws whole graphs in two passes over the same counter-based lines: the first counts the synapses of
// each (row, tile), the second writes them. Nothing but the result is stored in between.

#include <atomic>
#include <limits>
#include <vector>

#include "ffi_util.h"
#include "lines.h"
#include "parallel.h"

namespace eventops {
namespace {

constexpr int64_t kRowsPerUnit = 64;
constexpr int64_t kMaxSize = std::numeric_limits<int32_t>::max();

struct Graph {
  int64_t rule = 0, n_in = 0, n_out = 0, tile = 0, n_tiles = 0, conn_num = 0;
  bool allow_multi = false, allow_self = false;
  uint64_t seed = 0;
  int64_t lane = 0;
  const int32_t* selected = nullptr;  // pre neurons that have connections, ascending; used if not all have
  int64_t n_selected = 0;
  const void* gap_words = nullptr;
  int64_t n_digits = 0;

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

  template <typename Emit>
  void DrawFixed(FixedDrawer& drawer, int64_t line, const Candidates& candidates, Emit emit) const {
    if (allow_multi) {
      drawer.Repeated(Key(line), conn_num, candidates, emit);
    } else {
      drawer.Distinct(Key(line), conn_num, candidates, emit);
    }
  }
};

// Calls visit(row, post) for every synapse of a chunk of rows, in order.
template <typename Visit>
void ForRows(const Graph& graph, const GapTable& gaps, int64_t chunk, Visit visit) {
  FixedDrawer drawer;
  const int64_t last = std::min((chunk + 1) * kRowsPerUnit, graph.n_selected);
  for (int64_t i = chunk * kRowsPerUnit; i < last; ++i) {
    const int64_t row = graph.Pre(i);
    const auto emit = [&](int64_t post) { visit(row, post); };
    if (graph.rule == kBernoulli) {
      DrawBernoulli(graph.Key(row), gaps, graph.Posts(row), emit);
    } else {
      graph.DrawFixed(drawer, row, graph.Posts(row), emit);
    }
  }
}

// Calls visit(row, post) for every synapse into the posts of one tile, posts ascending.
template <typename Visit>
void ForPosts(const Graph& graph, int64_t t, Visit visit) {
  FixedDrawer drawer;
  const int64_t last = std::min((t + 1) * graph.tile, graph.n_out);
  for (int64_t post = t * graph.tile; post < last; ++post) {
    graph.DrawFixed(drawer, post, graph.Pres(post),
                    [&](int64_t position) { visit(graph.Pre(position), post); });
  }
}

int64_t RowChunks(const Graph& graph) { return (graph.n_selected + kRowsPerUnit - 1) / kRowsPerUnit; }

// Threads own rows, or tiles where the lines are posts; each adds only to counters of its own.
ffi::Error Count(ffi::ThreadPool& pool, const Graph& graph, int32_t* ptr) {
  const int64_t n = graph.n_in * graph.n_tiles;
  std::fill(ptr, ptr + n + 1, 0);
  const GapTable gaps(graph.gap_words, graph.n_digits);
  if (graph.rule == kFixedPre) {
    ParallelFor(pool, pool.num_threads(), graph.n_tiles, [&](int64_t t) {
      ForPosts(graph, t, [&](int64_t row, int64_t) { ++ptr[row * graph.n_tiles + t + 1]; });
    });
  } else {
    ParallelFor(pool, pool.num_threads(), RowChunks(graph), [&](int64_t chunk) {
      ForRows(graph, gaps, chunk, [&](int64_t row, int64_t post) {
        ++ptr[row * graph.n_tiles + post / graph.tile + 1];
      });
    });
  }
  int64_t total = 0;
  for (int64_t i = 1; i <= n; ++i) {
    total += ptr[i];
    if (total > std::numeric_limits<int32_t>::max()) {
      return Invalid("the graph has more than 2**31 - 1 synapses: split the projection over several operators");
    }
    ptr[i] = static_cast<int32_t>(total);
  }
  return ffi::Error::Success();
}

ffi::Error Fill(ffi::ThreadPool& pool, const Graph& graph, const int32_t* ptr, int64_t n_synapses,
                uint16_t* offsets) {
  const GapTable gaps(graph.gap_words, graph.n_digits);
  std::atomic<bool> mismatch{ptr[graph.n_in * graph.n_tiles] != n_synapses};
  if (graph.rule == kFixedPre) {
    ParallelFor(pool, pool.num_threads(), graph.n_tiles, [&](int64_t t) {
      std::vector<int32_t> cursor(graph.n_in);
      for (int64_t r = 0; r < graph.n_in; ++r) cursor[r] = ptr[r * graph.n_tiles + t];
      ForPosts(graph, t, [&](int64_t row, int64_t post) {
        const int64_t k = cursor[row]++;
        if (k < 0 || k >= n_synapses) {
          mismatch = true;
        } else {
          offsets[k] = static_cast<uint16_t>(post - t * graph.tile);
        }
      });
    });
  } else {
    ParallelFor(pool, pool.num_threads(), RowChunks(graph), [&](int64_t chunk) {
      int64_t current = -1, k = 0;
      ForRows(graph, gaps, chunk, [&](int64_t row, int64_t post) {
        if (row != current) {
          current = row;
          k = ptr[row * graph.n_tiles];
        }
        if (k < 0 || k >= n_synapses) {
          mismatch = true;
        } else {
          offsets[k++] = static_cast<uint16_t>(post % graph.tile);
        }
      });
    });
  }
  if (mismatch) return Invalid("the two passes over a graph do not agree");
  return ffi::Error::Success();
}

ffi::Error ReadGraph(ffi::AnyBuffer selected, ffi::AnyBuffer gaps, int64_t ptr_length, ffi::Dictionary attrs,
                     Graph* graph) {
  bool complete = true;
  const auto get = [&](const char* name) {
    auto value = attrs.get<int64_t>(name);
    complete &= value.has_value();
    return value.has_value() ? *value : int64_t{0};
  };
  *graph = {get("rule"), get("n_in"), get("n_out"), get("tile"), 0, get("conn_num"),
            get("allow_multi") == 1, get("allow_self") == 1, static_cast<uint64_t>(get("seed")), get("lane"),
            static_cast<const int32_t*>(selected.untyped_data()),
            static_cast<int64_t>(selected.element_count()), gaps.untyped_data(),
            static_cast<int64_t>(gaps.element_count()) / 1024};
  if (!complete) return Invalid("draw: an attribute is missing");
  if (selected.element_type() != ffi::DataType::S32 || gaps.element_type() != ffi::DataType::U32) {
    return Invalid("draw: selected must be int32 and gaps uint32");
  }
  if (graph->n_in <= 0 || graph->n_out <= 0 || graph->tile <= 0 || graph->tile > 65536 ||
      graph->n_in > kMaxSize || graph->n_out > kMaxSize || graph->conn_num > kMaxSize) {
    return Invalid("draw: sizes are out of range");
  }
  if (graph->n_selected > graph->n_in) return Invalid("draw: more neurons selected than there are");
  for (int64_t i = 0, previous = -1; i < graph->n_selected; previous = graph->selected[i++]) {
    if (graph->selected[i] <= previous || graph->selected[i] >= graph->n_in) {
      return Invalid("draw: selected must ascend within [0, n_in)");
    }
  }
  graph->n_tiles = (graph->n_out + graph->tile - 1) / graph->tile;
  if (ptr_length != graph->n_in * graph->n_tiles + 1) return Invalid("draw: ptr has the wrong length");
  if (graph->rule == kBernoulli) {
    if (graph->n_digits < 1) return Invalid("draw: a Bernoulli graph needs a table of gaps");
    return ffi::Error::Success();
  }
  if (graph->rule != kFixedPost && graph->rule != kFixedPre) return Invalid("draw: unknown rule");
  const int64_t pool = (graph->rule == kFixedPost ? graph->n_out : graph->n_selected) - (graph->allow_self ? 0 : 1);
  const bool possible = graph->conn_num == 0 || (pool > 0 && (graph->allow_multi || graph->conn_num <= pool));
  if (graph->conn_num < 0 || !possible) return Invalid("draw: conn_num partners cannot be had");
  return ffi::Error::Success();
}

ffi::Error DrawCountImpl(ffi::ThreadPool pool, ffi::AnyBuffer selected, ffi::AnyBuffer gaps,
                         ffi::Result<ffi::BufferR1<ffi::S32>> ptr, ffi::Dictionary attrs) {
  Graph graph;
  ffi::Error error = ReadGraph(selected, gaps, ptr->element_count(), attrs, &graph);
  if (error.failure()) return error;
  return Count(pool, graph, ptr->typed_data());
}

ffi::Error DrawFillImpl(ffi::ThreadPool pool, ffi::AnyBuffer selected, ffi::AnyBuffer gaps,
                        ffi::BufferR1<ffi::S32> ptr, ffi::Result<ffi::BufferR1<ffi::U16>> offsets,
                        ffi::Dictionary attrs) {
  Graph graph;
  ffi::Error error = ReadGraph(selected, gaps, ptr.element_count(), attrs, &graph);
  if (error.failure()) return error;
  return Fill(pool, graph, ptr.typed_data(), offsets->element_count(), offsets->typed_data());
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsDrawCount, eventops::DrawCountImpl,
                 Ffi::Bind().Ctx<ThreadPool>().Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<BufferR1<S32>>().Attrs());

EVENTOPS_HANDLER(EventopsDrawFill, eventops::DrawFillImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<BufferR1<S32>>()
                     .Ret<BufferR1<U16>>()
                     .Attrs());
