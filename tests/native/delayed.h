// Calls of the products with delays and of the ring that they deliver into.
#ifndef EVENTOPS_TESTS_DELAYED_H_
#define EVENTOPS_TESTS_DELAYED_H_

#include "draft.h"
#include "products.h"

namespace calls {

// A ring for each vector: (V, B, tiles, slots, tile), slots and tile powers of two.
struct Rings {
  std::vector<int64_t> shape, one_each;
  int64_t n_tiles;
};

inline Rings RingsOf(Draft& d) {
  const int64_t vectors = std::max<int64_t>(1, d.V * d.B);
  d.n_out = std::clamp<int64_t>(d.n_out, 1, std::max<int64_t>(1, d.elements / vectors));
  int64_t tile = int64_t{1} << d.bytes.Below(17), slots = int64_t{1} << d.bytes.Below(17);
  while (tile > 1 && tile / 2 >= d.n_out) tile /= 2;
  while ((d.n_out + tile - 1) / tile * std::max<int64_t>(1, d.n_in) > d.elements && tile < 65536) tile *= 2;
  const int64_t n_tiles = (d.n_out + tile - 1) / tile;
  while (slots > 1 && vectors * n_tiles * tile * slots > 4 * d.elements) slots /= 2;
  std::vector<int64_t> shape = {d.V, d.B, n_tiles, slots, tile};
  if (d.bytes.Flag(2)) shape = {d.V * d.B, n_tiles, slots, tile};  // whatever dimensions the vectors have
  return {shape, {d.V, d.B}, n_tiles};
}

// Everything but the swap: `current` where the slot that is due is taken out as well.
inline void Delayed(Draft& d, Product product, bool current, Call* call) {
  const Rings rings = RingsOf(d);
  const int64_t synapses = d.Synapses();
  const Buffer ring = d.Filled(d.sum, rings.shape), position = d.Filled(XLA_FFI_DataType_S32, rings.one_each);
  const Buffer ptr = d.Pointers(d.n_in * rings.n_tiles, synapses);
  const Buffer codes = d.Filled(d.bytes.Flag(2) ? XLA_FFI_DataType_U16 : XLA_FFI_DataType_U32, {synapses});
  const auto weights = d.bytes.Flag(2) ? std::vector<int64_t>{d.V} : std::vector<int64_t>{d.V, synapses};
  const std::vector<int64_t> pre = {d.V, d.B, d.n_in};
  switch (product) {
    case Product::kForward:
      call->arguments = {ring, d.Spikes(pre), d.Filled(d.weight, weights), position, ptr, codes};
      call->results = {Buffer(d.sum, rings.shape)};
      if (current) call->results.push_back(Buffer(d.sum, {d.V, d.B, d.n_out}));
      break;
    case Product::kSpikeCotangent:
      call->arguments = {d.Filled(d.weight, weights), ring, position, ptr, codes};
      call->results = {Buffer(d.sum, pre)};
      break;
    case Product::kWeightCotangent:
      call->arguments = {d.Spikes(pre), ring, position, ptr, codes};
      call->results = {Buffer(d.sum, weights)};
  }
}

inline void RingSwap(Draft& d, Call* call) {
  const Rings rings = RingsOf(d);
  const std::vector<int64_t> values = {d.V, d.B, d.n_out};
  call->arguments = {d.Filled(d.sum, rings.shape), d.Filled(XLA_FFI_DataType_S32, rings.one_each),
                     d.Filled(d.sum, values)};
  call->results = {Buffer(d.sum, rings.shape), Buffer(d.sum, values)};
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_DELAYED_H_
