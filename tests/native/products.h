// Calls of the products with a dense matrix and with stored rows.
#ifndef EVENTOPS_TESTS_PRODUCTS_H_
#define EVENTOPS_TESTS_PRODUCTS_H_

#include "draft.h"

namespace calls {

enum class Product { kForward, kSpikeCotangent, kWeightCotangent };

inline void Dense(Draft& d, Product product, Call* call) {
  d.n_in = std::min(d.n_in, d.elements / std::max<int64_t>(1, d.V * d.n_out));
  const std::vector<int64_t> pre = {d.V, d.B, d.n_in}, post = {d.V, d.B, d.n_out}, matrix = {d.V, d.n_in, d.n_out};
  switch (product) {
    case Product::kForward:
      call->arguments = {d.Spikes(pre), d.Filled(d.weight, matrix)};
      call->results = {Buffer(d.result, post)};
      break;
    case Product::kSpikeCotangent:
      call->arguments = {d.Filled(d.weight, matrix), d.Filled(d.sum, post)};
      call->results = {Buffer(d.sum, pre)};
      break;
    case Product::kWeightCotangent:
      call->arguments = {d.Spikes(pre), d.Filled(d.sum, post)};
      call->results = {Buffer(d.weight, matrix)};
  }
}

inline void Rows(Draft& d, Product product, Call* call) {
  d.n_out = std::max<int64_t>(1, d.n_out);
  int64_t n_tiles;
  const int64_t tile = d.Tile(d.n_in, d.n_out, &n_tiles), synapses = d.Synapses();
  const Buffer ptr = d.Pointers(d.n_in * n_tiles, synapses), offsets = d.Filled(XLA_FFI_DataType_U16, {synapses});
  const auto weights = d.bytes.Flag(2) ? std::vector<int64_t>{d.V} : std::vector<int64_t>{d.V, synapses};
  const std::vector<int64_t> pre = {d.V, d.B, d.n_in}, post = {d.V, d.B, d.n_out};
  switch (product) {
    case Product::kForward:
      call->arguments = {d.Spikes(pre), d.Filled(d.weight, weights), ptr, offsets};
      call->results = {Buffer(d.result, post)};
      break;
    case Product::kSpikeCotangent:
      call->arguments = {d.Filled(d.weight, weights), d.Filled(d.sum, post), ptr, offsets};
      call->results = {Buffer(d.sum, pre)};
      break;
    case Product::kWeightCotangent:
      call->arguments = {d.Spikes(pre), d.Filled(d.sum, post), ptr, offsets};
      call->results = {Buffer(d.sum, weights)};
  }
  call->Set("n_out", d.n_out);
  call->Set("tile", tile);
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_PRODUCTS_H_
