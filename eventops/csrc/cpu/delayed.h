// Rows whose synapses have delays, and the ring of currents that they deliver into.
//
// Posts are cut into tiles of `tile` (a power of two), and each tile has a block of its own in the ring: `slots`
// (a power of two) times `tile` numbers, one row for each step that a spike can be on its way. A synapse is one code,
// delay * tile + offset of the post in its tile. A step at position p delivers to
//
//   block[(code + p * tile) mod (slots * tile)],
//
// one addition and one mask, and whatever number a code holds it lies inside of the block. The segment of row r in
// tile t is codes[ptr[r * n_tiles + t]] .. codes[ptr[r * n_tiles + t + 1]], with posts ascending, so that codes and
// weights stand in plain (pre, post) order.
#ifndef EVENTOPS_DELAYED_H_
#define EVENTOPS_DELAYED_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "ffi/ffi_util.h"

namespace eventops {

template <typename Code>
struct DelayedRows {
  const int32_t* ptr;
  const Code* codes;
  int64_t n_in, n_tiles, slots, tile, n_synapses;

  struct Segment {
    int64_t begin, end;
  };

  // Clamped to the buffers, as in rows.h.
  Segment SegmentOf(int64_t row, int64_t t) const {
    const int32_t* p = ptr + row * n_tiles + t;
    const int64_t begin = std::clamp<int64_t>(p[0], 0, n_synapses);
    return {begin, std::clamp<int64_t>(p[1], begin, n_synapses)};
  }
  int64_t MeanDegree() const { return n_in == 0 ? 0 : n_synapses / n_in; }
  int64_t BlockSize() const { return slots * tile; }
  int64_t RingSize() const { return n_tiles * slots * tile; }

  // Where the codes of a block lead at one position of the ring.
  struct Place {
    uint32_t base, mask;
    uint32_t operator()(Code code) const { return (code + base) & mask; }
  };
  Place PlaceAt(int32_t position) const {
    const uint64_t slot = static_cast<uint32_t>(position) & static_cast<uint64_t>(slots - 1);
    return {static_cast<uint32_t>(slot * tile), static_cast<uint32_t>(BlockSize() - 1)};
  }
};

struct DelayedShape {
  int64_t n_weights;  // V: weight sets, each with its own batch
  int64_t n_batch;    // B: vectors per weight set, each with a ring and a position of its own
  bool homogeneous;
};

struct RingShape {
  int64_t n_rings, n_tiles, slots, tile;
};

inline bool ReadRing(const ffi::AnyBuffer& ring, RingShape* shape) {
  auto dims = ring.dimensions();
  if (dims.size() < 3) return false;
  const size_t n = dims.size() - 3;
  int64_t rings = 1;
  for (size_t i = 0; i < n; ++i) rings *= dims[i];
  *shape = {rings, dims[n], dims[n + 1], dims[n + 2]};
  return shape->n_tiles >= 1 && shape->slots >= 1 && shape->tile >= 1;
}

inline bool SameShape(const ffi::AnyBuffer& a, const ffi::AnyBuffer& b) {
  auto x = a.dimensions(), y = b.dimensions();
  return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin());
}

inline bool IsPowerOfTwo(int64_t x) { return x > 0 && (x & (x - 1)) == 0; }

// Checks what all products have in common: `ring` is (..., tiles, slots, tile) with V * B blocks of these, in whatever
// dimensions (to reshape it would cost XLA a copy), `pre` (V, B, in), `weight` (V,) or (V, synapses), `position` (V, B).
// Then calls body(rows) with the type of the codes.
template <typename Body>
ffi::Error WithDelayedRows(const std::string& name, const ffi::AnyBuffer& ring, const ffi::AnyBuffer& pre,
                           const ffi::AnyBuffer& weight, const ffi::AnyBuffer& position,
                           const ffi::AnyBuffer& ptr, const ffi::AnyBuffer& codes, DelayedShape* shape,
                           Body body) {
  RingShape r;
  if (!ReadRing(ring, &r)) return Invalid(name + ": the ring must have shape (..., tiles, slots, tile)");
  const int64_t n_tiles = r.n_tiles, slots = r.slots, tile = r.tile;
  if (!IsPowerOfTwo(slots) || !IsPowerOfTwo(tile) || slots > 65536 || tile > 65536) {
    return Invalid(name + ": slots and posts of a tile must be powers of two up to 65536");
  }
  auto pre_dims = pre.dimensions();
  if (pre_dims.size() != 3) return Invalid(name + ": inputs must have shape (V, B, in)");
  const int64_t V = pre_dims[0], B = pre_dims[1], n_in = pre_dims[2];
  if (r.n_rings != V * B) return Invalid(name + ": there must be one ring for each vector of inputs");
  if (position.element_type() != ffi::DataType::S32 || !HasShape(position, {V, B})) {
    return Invalid(name + ": positions must be int32 of shape (V, B)");
  }
  if (ptr.element_type() != ffi::DataType::S32 || LengthOf(ptr) != n_in * n_tiles + 1) {
    return Invalid(name + ": ptr must be int32 of length in * tiles + 1");
  }
  if (LengthOf(codes) < 0) return Invalid(name + ": codes must be a vector");
  const int64_t n_synapses = LengthOf(codes);
  shape->homogeneous = weight.dimensions().size() == 1;
  const bool fits = shape->homogeneous ? HasShape(weight, {V}) : HasSets(weight, {V, n_synapses});
  if (!fits) return Invalid(name + ": weights must have shape (V,) or (V, synapses)");
  shape->n_weights = V;
  shape->n_batch = B;
  const auto rows = [&](auto* tag) {
    using Code = std::remove_pointer_t<decltype(tag)>;
    return DelayedRows<Code>{static_cast<const int32_t*>(ptr.untyped_data()),
                             static_cast<const Code*>(codes.untyped_data()),
                             n_in, n_tiles, slots, tile, n_synapses};
  };
  if (codes.element_type() == ffi::DataType::U16) return body(rows(static_cast<uint16_t*>(nullptr)));
  if (codes.element_type() == ffi::DataType::U32) return body(rows(static_cast<uint32_t*>(nullptr)));
  return Invalid(name + ": codes must be uint16 or uint32");
}

}  // namespace eventops

#endif  // EVENTOPS_DELAYED_H_
