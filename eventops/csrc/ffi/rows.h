// Stored rows: the synapses of each pre neuron in ascending post order, cut into tiles of `tile` posts.
//
// The segment of row r in tile t is offsets[ptr[r * n_tiles + t]] .. offsets[ptr[r * n_tiles + t + 1]];
// an offset is the post index less t * tile, in 16 bits. A weight has the position of its offset, so
// weights stand in plain (pre, post) order.
#ifndef EVENTOPS_ROWS_H_
#define EVENTOPS_ROWS_H_

#include <algorithm>
#include <cstdint>

namespace eventops {

struct Rows {
  const int32_t* ptr;
  const uint16_t* offsets;
  int64_t n_in, n_out, tile, n_tiles, n_synapses;

  struct Segment {
    int64_t begin, end;
  };

  // Clamped to the buffers: a pointer array that is not what construction made cannot lead outside.
  Segment SegmentOf(int64_t row, int64_t t) const {
    const int32_t* p = ptr + row * n_tiles + t;
    const int64_t begin = std::clamp<int64_t>(p[0], 0, n_synapses);
    return {begin, std::clamp<int64_t>(p[1], begin, n_synapses)};
  }
  int64_t MeanDegree() const { return n_in == 0 ? 0 : n_synapses / n_in; }
  int64_t TileWidth(int64_t t) const { return std::min(tile, n_out - t * tile); }

  // The numbers of one tile of an output vector, with every offset kept inside.
  template <typename A>
  struct TileOf {
    const A* values;
    uint32_t last;
    A operator[](uint32_t offset) const { return values[std::min(offset, last)]; }
  };
  template <typename A>
  TileOf<A> Tile(const A* vector, int64_t t) const {
    return {vector + t * tile, static_cast<uint32_t>(TileWidth(t) - 1)};
  }
};

}  // namespace eventops

#endif  // EVENTOPS_ROWS_H_
