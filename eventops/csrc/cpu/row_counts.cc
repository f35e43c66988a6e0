// How a fixed total number of synapses falls on the rows: what a draw of pairs, one after another, leaves there.
//
// Only counts are kept. A pair is drawn as its row and a partner; the partner is one that the row has already
// with probability taken / n, and then the draw does not count. Rounds of as many draws as are missing end with
// exactly the number asked for, whatever the threads do: draws are cut into lines of their own, and a row's
// partners come from the row's own line.

#include <algorithm>
#include <atomic>
#include <vector>

#include "ffi/ffi_util.h"
#include "cpu/graph.h"
#include "cpu/parallel.h"

namespace eventops {
namespace {

constexpr int64_t kDrawsPerLine = int64_t{1} << 16;
constexpr int64_t kMaxPieces = 16;
constexpr int64_t kRowsPerUnit = 1024;

// Adds the rows of `n` draws to `counts`, from line `first` on. Returns the number of lines.
int64_t CountRows(ffi::ThreadPool& pool, PhiloxKey key, int64_t first, int64_t n, std::vector<int32_t>& counts) {
  const int64_t n_rows = static_cast<int64_t>(counts.size()), n_lines = (n + kDrawsPerLine - 1) / kDrawsPerLine;
  // Each piece has counters of its own; together they are smaller than the synapses.
  const int64_t pieces = std::max<int64_t>(1, std::min({kMaxPieces, pool.num_threads(), n_lines, n / (4 * n_rows)}));
  std::vector<int32_t> more((pieces - 1) * n_rows);
  ParallelFor(pool, pieces, pieces, [&](int64_t piece) {
    int32_t* count = piece == 0 ? counts.data() : more.data() + (piece - 1) * n_rows;
    PhiloxKey own = key;
    for (int64_t line = n_lines * piece / pieces; line < n_lines * (piece + 1) / pieces; ++line) {
      own.line = static_cast<uint32_t>(first + line);
      PhiloxWords words(own);
      const int64_t draws = std::min(kDrawsPerLine, n - line * kDrawsPerLine);
      for (int64_t i = 0; i < draws; ++i) ++count[words.Below(static_cast<uint32_t>(n_rows))];
    }
  });
  for (int64_t piece = 1; piece < pieces; ++piece) {
    for (int64_t i = 0; i < n_rows; ++i) counts[i] += more[(piece - 1) * n_rows + i];
  }
  return n_lines;
}

void RowCounts(ffi::ThreadPool& pool, PhiloxKey key, int64_t n_rows, int64_t n_partners, int64_t total, bool multi,
               int32_t* counts) {
  PhiloxKey repeats = key;
  key.lane = kRowLane;
  repeats.lane = kRepeatLane;
  std::fill(counts, counts + n_rows, 0);
  std::vector<int32_t> drawn(n_rows);
  std::vector<uint64_t> words_taken(n_rows);
  const int64_t units = (n_rows + kRowsPerUnit - 1) / kRowsPerUnit;
  for (int64_t missing = total, line = 0; missing > 0;) {
    std::fill(drawn.begin(), drawn.end(), 0);
    line += CountRows(pool, key, line, missing, drawn);
    if (multi) {
      std::copy(drawn.begin(), drawn.end(), counts);
      return;
    }
    std::atomic<int64_t> found{0};
    ParallelFor(pool, pool.num_threads(), units, [&](int64_t unit) {
      PhiloxKey own = repeats;
      int64_t here = 0;
      for (int64_t i = unit * kRowsPerUnit; i < std::min((unit + 1) * kRowsPerUnit, n_rows); ++i) {
        if (drawn[i] == 0) continue;
        own.line = static_cast<uint32_t>(i);
        PhiloxWords words(own, words_taken[i]);
        int32_t taken = counts[i];
        for (int32_t d = 0; d < drawn[i]; ++d) {
          taken += words.Below(static_cast<uint32_t>(n_partners)) >= static_cast<uint32_t>(taken);
        }
        here += taken - counts[i];
        counts[i] = taken;
        words_taken[i] = words.Taken();
      }
      found += here;
    });
    missing -= found;
  }
}

ffi::Error DrawRowCountsImpl(ffi::ThreadPool pool, ffi::AnyBuffer seed, ffi::Result<ffi::BufferR1<ffi::S32>> counts,
                             int64_t n_partners, int64_t conn_num, int64_t allow_multi) {
  const int64_t n_rows = counts->element_count();
  if (n_rows <= 0 || n_rows > kMaxSize || n_partners <= 0 || n_partners > kMaxSize) {
    return Invalid("row counts: sizes are out of range");
  }
  // Of more than half of the pairs, the few that are left out are drawn.
  if (conn_num < 0 || conn_num > kMaxSize || (allow_multi != 1 && conn_num > n_rows * n_partners / 2)) {
    return Invalid("row counts: conn_num is out of range");
  }
  Graph graph;
  graph.rule = kFixedTotal;
  if (!ReadSeed(seed, &graph.seed)) return Invalid("row counts: the seed must be two words of uint32");
  RowCounts(pool, graph.Key(0), n_rows, n_partners, conn_num, allow_multi == 1, counts->typed_data());
  return ffi::Error::Success();
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsDrawRowCounts, eventops::DrawRowCountsImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Ret<BufferR1<S32>>()
                     .Attr<int64_t>("n_partners")
                     .Attr<int64_t>("conn_num")
                     .Attr<int64_t>("allow_multi"));
