// Draws graphs in two passes over the same counter-based lines: the first counts the synapses of each
// (row, tile), the second writes them. Nothing but the result is stored in between.
//
// A graph may be drawn in part: the synapses between a range of pre and a range of post neurons. Lines that
// lie outside are not drawn; lines that cross the window are drawn whole and what falls outside is dropped,
// so that the parts of a graph are parts of that graph.

#include <atomic>
#include <limits>
#include <vector>

#include "ffi/ffi_util.h"
#include "cpu/graph.h"
#include "cpu/pages.h"
#include "cpu/parallel.h"

namespace eventops {
namespace {

constexpr int64_t kRowsPerUnit = 64;

// Calls visit(row, post) for every synapse of a chunk of rows, in order, both counted within the window.
template <typename Visit>
void ForRows(const Graph& graph, const GapTable& gaps, Range drawn, int64_t chunk, Visit visit) {
  FixedDrawer drawer;
  const int64_t first = drawn.begin + chunk * kRowsPerUnit;
  for (int64_t i = first; i < std::min(first + kRowsPerUnit, drawn.end); ++i) {
    const int64_t row = graph.Pre(i);
    const auto emit = [&](int64_t post) {
      if (graph.post.Has(post)) visit(row - graph.pre.begin, post - graph.post.begin);
    };
    if (graph.rule == kBernoulli) {
      // A line comes in ascending order, so it may stop behind the window (one later, for the autapse left out).
      Candidates posts = graph.Posts(row);
      posts.n = std::min(posts.n, graph.post.end + 1);
      DrawBernoulli(graph.Key(row), gaps, posts, emit);
    } else {
      graph.DrawLine(gaps, drawer, row, graph.Posts(row), emit);
    }
  }
}

// The same for every synapse into the posts of one tile, posts ascending.
template <typename Visit>
void ForPosts(const Graph& graph, const GapTable& gaps, int64_t t, Visit visit) {
  FixedDrawer drawer;
  const int64_t last = std::min((t + 1) * graph.tile, graph.post.size());
  for (int64_t post = t * graph.tile; post < last; ++post) {
    const int64_t line = graph.post.begin + post;
    graph.DrawLine(gaps, drawer, line, graph.Pres(line), [&](int64_t position) {
      const int64_t pre = graph.Pre(position);
      if (graph.pre.Has(pre)) visit(pre - graph.pre.begin, post);
    });
  }
}

int64_t RowChunks(Range drawn) { return (drawn.size() + kRowsPerUnit - 1) / kRowsPerUnit; }

// Threads own rows, or tiles where the lines are posts; each adds only to counters of its own.
ffi::Error Count(ffi::ThreadPool& pool, const Graph& graph, int32_t* ptr) {
  const int64_t n = graph.pre.size() * graph.n_tiles;
  std::fill(ptr, ptr + n + 1, 0);
  const GapTable gaps(graph.gap_words, graph.n_digits);
  if (graph.rule == kFixedPre) {
    ParallelFor(pool, pool.num_threads(), graph.n_tiles, [&](int64_t t) {
      ForPosts(graph, gaps, t, [&](int64_t row, int64_t) { ++ptr[row * graph.n_tiles + t + 1]; });
    });
  } else {
    const Range drawn = Drawn(graph);
    ParallelFor(pool, pool.num_threads(), RowChunks(drawn), [&](int64_t chunk) {
      ForRows(graph, gaps, drawn, chunk, [&](int64_t row, int64_t post) {
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
  // The buffer may be longer than the synapses, so that the parts of a graph have one size.
  const int64_t n_drawn = ptr[graph.pre.size() * graph.n_tiles];
  if (n_drawn < 0 || n_drawn > n_synapses) return Invalid("draw: ptr does not fit the number of offsets");
  std::fill(offsets + n_drawn, offsets + n_synapses, uint16_t{0});
  std::atomic<bool> mismatch{false};
  if (graph.rule == kFixedPre) {
    ParallelFor(pool, pool.num_threads(), graph.n_tiles, [&](int64_t t) {
      std::vector<int32_t> cursor(graph.pre.size());
      for (int64_t r = 0; r < graph.pre.size(); ++r) cursor[r] = ptr[r * graph.n_tiles + t];
      ForPosts(graph, gaps, t, [&](int64_t row, int64_t post) {
        const int64_t k = cursor[row]++;
        if (k < 0 || k >= n_drawn) {
          mismatch = true;
        } else {
          offsets[k] = static_cast<uint16_t>(post - t * graph.tile);
        }
      });
    });
  } else {
    const Range drawn = Drawn(graph);
    ParallelFor(pool, pool.num_threads(), RowChunks(drawn), [&](int64_t chunk) {
      int64_t current = -1, k = 0;
      ForRows(graph, gaps, drawn, chunk, [&](int64_t row, int64_t post) {
        if (row != current) {
          current = row;
          k = ptr[row * graph.n_tiles];
        }
        if (k < 0 || k >= n_drawn) {
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


ffi::Error ReadParts(ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law, ffi::AnyBuffer seed, int64_t ptr_length,
                     ffi::Dictionary attrs, Graph* graph) {
  ffi::Error error = ReadGraph(selected, gaps, law, attrs, graph, /*on_device=*/false, &seed);
  if (error.failure()) return error;
  if (ptr_length != graph->pre.size() * graph->n_tiles + 1) return Invalid("draw: ptr has the wrong length");
  return ffi::Error::Success();
}

ffi::Error DrawCountImpl(ffi::ThreadPool pool, ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law,
                         ffi::AnyBuffer seed, ffi::Result<ffi::BufferR1<ffi::S32>> ptr, ffi::Dictionary attrs) {
  Graph graph;
  ffi::Error error = ReadParts(selected, gaps, law, seed, ptr->element_count(), attrs, &graph);
  if (error.failure()) return error;
  AskForLargePages(ptr->typed_data(), static_cast<int64_t>(ptr->size_bytes()));
  return Count(pool, graph, ptr->typed_data());
}

ffi::Error DrawFillImpl(ffi::ThreadPool pool, ffi::AnyBuffer selected, ffi::AnyBuffer gaps, ffi::AnyBuffer law,
                        ffi::BufferR1<ffi::S32> ptr, ffi::AnyBuffer seed, ffi::Result<ffi::BufferR1<ffi::U16>> offsets,
                        ffi::Dictionary attrs) {
  Graph graph;
  ffi::Error error = ReadParts(selected, gaps, law, seed, ptr.element_count(), attrs, &graph);
  if (error.failure()) return error;
  AskForLargePages(offsets->typed_data(), static_cast<int64_t>(offsets->size_bytes()));
  return Fill(pool, graph, ptr.typed_data(), offsets->element_count(), offsets->typed_data());
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsDrawCount, eventops::DrawCountImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<BufferR1<S32>>()
                     .Attrs());

EVENTOPS_HANDLER(EventopsDrawFill, eventops::DrawFillImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<BufferR1<S32>>()
                     .Arg<AnyBuffer>()
                     .Ret<BufferR1<U16>>()
                     .Attrs());
