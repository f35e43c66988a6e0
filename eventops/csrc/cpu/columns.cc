// The column index of stored rows: for each post neuron its synapses in ascending pre order, with the position
// that each has among the rows. A counting sort; threads take tiles of posts, whose synapses are apart in both.

#include <vector>

#include "ffi/ffi_util.h"
#include "cpu/pages.h"
#include "cpu/parallel.h"
#include "ffi/rows.h"

namespace eventops {
namespace {

ffi::Error ColumnsImpl(ffi::ThreadPool pool, ffi::AnyBuffer ptr, ffi::AnyBuffer offsets,
                       ffi::Result<ffi::AnyBuffer> out_ptr, ffi::Result<ffi::AnyBuffer> out_offsets,
                       ffi::Result<ffi::AnyBuffer> out_position, int64_t n_in, int64_t n_out, int64_t tile,
                       int64_t column_tile) {
  const auto sized = [](int64_t n) { return n > 0 && n <= INT32_MAX; };
  if (!sized(n_in) || !sized(n_out)) return Invalid("columns: n_in and n_out are out of range");
  if (tile <= 0 || tile > 65536 || column_tile <= 0 || column_tile > 65536) {
    return Invalid("columns: a tile is out of range");
  }
  const int64_t n_tiles = (n_out + tile - 1) / tile, lines = (n_in + column_tile - 1) / column_tile;
  if (ptr.element_type() != ffi::DataType::S32 || !HasShape(ptr, {n_in * n_tiles + 1})) {
    return Invalid("columns: ptr must be int32 of length in * tiles + 1");
  }
  if (offsets.element_type() != ffi::DataType::U16 || offsets.dimensions().size() != 1) {
    return Invalid("columns: offsets must be a uint16 vector");
  }
  const int64_t n_synapses = offsets.dimensions()[0];
  if (out_ptr->element_type() != ffi::DataType::S32 || !HasShape(*out_ptr, {n_out * lines + 1}) ||
      out_offsets->element_type() != ffi::DataType::U16 || !HasShape(*out_offsets, {n_synapses}) ||
      out_position->element_type() != ffi::DataType::S32 || !HasShape(*out_position, {n_synapses})) {
    return Invalid("columns: wrong results");
  }
  const Rows rows{static_cast<const int32_t*>(ptr.untyped_data()),
                  static_cast<const uint16_t*>(offsets.untyped_data()),
                  n_in, n_out, tile, n_tiles, n_synapses};
  int32_t* const starts = static_cast<int32_t*>(out_ptr->untyped_data());
  uint16_t* const pre = static_cast<uint16_t*>(out_offsets->untyped_data());
  int32_t* const position = static_cast<int32_t*>(out_position->untyped_data());

  AskForLargePages(pre, n_synapses * static_cast<int64_t>(sizeof(*pre)));
  AskForLargePages(position, n_synapses * static_cast<int64_t>(sizeof(*position)));

  // Calls visit(line of the result, row, position among the rows) for all synapses of a tile of posts.
  const auto for_synapses = [&](int64_t t, auto visit) {
    const uint32_t last = static_cast<uint32_t>(rows.TileWidth(t) - 1);
    for (int64_t i = 0; i < n_in; ++i) {
      const auto s = rows.SegmentOf(i, t);
      int64_t line = t * tile * lines + i / column_tile;
      for (int64_t k = s.begin; k < s.end; ++k) {
        visit(line + std::min<uint32_t>(rows.offsets[k], last) * lines, i, k);
      }
    }
  };
  const int64_t threads = ThreadsFor(pool, n_synapses * 8);
  std::vector<int64_t> next(n_out * lines);
  ParallelFor(pool, threads, n_tiles, [&](int64_t t) {
    for_synapses(t, [&](int64_t line, int64_t, int64_t) { ++next[line]; });
  });
  int64_t total = 0;
  for (int64_t line = 0; line < n_out * lines; ++line) {
    const int64_t count = next[line];
    next[line] = total;
    total += count;
    // Pointers that construction would not make may lead to the same synapses again.
    if (total > n_synapses) return Invalid("columns: ptr does not rise to the number of offsets");
    starts[line + 1] = static_cast<int32_t>(total);
  }
  starts[0] = 0;
  if (total != n_synapses) return Invalid("columns: ptr does not rise to the number of offsets");
  ParallelFor(pool, threads, n_tiles, [&](int64_t t) {
    for_synapses(t, [&](int64_t line, int64_t i, int64_t k) {
      const int64_t at = next[line]++;
      pre[at] = static_cast<uint16_t>(i % column_tile);
      position[at] = static_cast<int32_t>(k);
    });
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsColumns, eventops::ColumnsImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Attr<int64_t>("n_in")
                     .Attr<int64_t>("n_out")
                     .Attr<int64_t>("tile")
                     .Attr<int64_t>("column_tile"));
