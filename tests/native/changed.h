// Calls of the weight updates, of the column index that those on post spikes need, and of the two halves of an update
// by the user's own function.
#ifndef EVENTOPS_TESTS_CHANGED_H_
#define EVENTOPS_TESTS_CHANGED_H_

#include "draft.h"

namespace calls {

// With an axis of weight sets in front, or without for a single one.
inline std::vector<int64_t> Sets(const Draft& d, bool axis, std::vector<int64_t> shape) {
  if (axis) shape.insert(shape.begin(), d.V);
  return shape;
}

inline void Columns(Draft& d, Call* call) {
  d.n_in = std::max<int64_t>(1, d.n_in), d.n_out = std::max<int64_t>(1, d.n_out);
  int64_t n_tiles, lines;
  const int64_t tile = d.Tile(d.n_in, d.n_out, &n_tiles), column_tile = d.Tile(d.n_out, d.n_in, &lines);
  const int64_t synapses = d.Synapses();
  call->arguments = {d.Pointers(d.n_in * n_tiles, synapses), d.Filled(XLA_FFI_DataType_U16, {synapses})};
  call->results = {Buffer(XLA_FFI_DataType_S32, {d.n_out * lines + 1}), Buffer(XLA_FFI_DataType_U16, {synapses}),
                   Buffer(XLA_FFI_DataType_S32, {synapses})};
  call->Set("n_in", d.n_in);
  call->Set("n_out", d.n_out);
  call->Set("tile", tile);
  call->Set("column_tile", column_tile);
}

// Lines are rows on spikes of the pre side, and columns with positions on those of the post side.
inline void UpdateStored(Draft& d, bool on_post, Call* call) {
  const bool axis = d.V != 1 || d.bytes.Flag(2);
  d.n_out = std::max<int64_t>(1, d.n_out);
  int64_t n_tiles;
  const int64_t tile = d.Tile(d.n_in, d.n_out, &n_tiles), synapses = d.Synapses();
  call->arguments = {d.Filled(d.weight, Sets(d, axis, {synapses})), d.Spikes(Sets(d, axis, {d.n_in})),
                     d.Filled(d.sum, Sets(d, axis, {d.n_out})), d.Filled(d.sum, Sets(d, axis, {2})),
                     d.Pointers(d.n_in * n_tiles, synapses), d.Filled(XLA_FFI_DataType_U16, {synapses})};
  if (on_post) call->arguments.push_back(d.Permutation(synapses));
  call->results = {Buffer(d.weight, Sets(d, axis, {synapses}))};
  call->Set("tile", tile);
  call->Set("soft", d.bytes.Flag(2));
}

inline void UpdateDense(Draft& d, Call* call) {
  const bool axis = d.V != 1 || d.bytes.Flag(2), on_post = d.bytes.Flag(2);
  d.n_out = std::max<int64_t>(1, d.n_out);
  d.n_in = std::max<int64_t>(1, std::min(d.n_in, d.elements / std::max<int64_t>(1, d.V * d.n_out)));
  const auto matrix = Sets(d, axis, {d.n_in, d.n_out}), pre = Sets(d, axis, {d.n_in}), post = Sets(d, axis, {d.n_out});
  call->arguments = {d.Filled(d.weight, matrix), d.Spikes(on_post ? post : pre), d.Filled(d.sum, on_post ? pre : post),
                     d.Filled(d.sum, Sets(d, axis, {2}))};
  call->results = {Buffer(d.weight, matrix)};
  call->Set("on_post", on_post);
  call->Set("soft", d.bytes.Flag(2));
}

inline void Touched(Draft& d, bool on_post, Call* call) {
  const bool axis = d.V != 1 || d.bytes.Flag(2);
  d.n_out = std::max<int64_t>(1, d.n_out);
  int64_t n_tiles;
  const int64_t tile = d.Tile(d.n_in, d.n_out, &n_tiles), synapses = d.Synapses(), chunk = d.bytes.Of(kSizes);
  Buffer first(XLA_FFI_DataType_S32, {});
  *first.as<int32_t>() = static_cast<int32_t>(d.Wrong(4) ? d.bytes.Integer() : d.bytes.Below(4096));
  call->arguments = {d.Filled(d.weight, Sets(d, axis, {synapses})), d.Spikes(Sets(d, axis, {d.n_in})),
                     d.Filled(d.sum, Sets(d, axis, {d.n_out})), first, d.Pointers(d.n_in * n_tiles, synapses),
                     d.Filled(XLA_FFI_DataType_U16, {synapses})};
  if (on_post) call->arguments.push_back(d.Permutation(synapses));
  const auto taken = Sets(d, axis, {chunk});
  call->results = {Buffer(XLA_FFI_DataType_S32, taken), Buffer(d.sum, taken), Buffer(d.sum, taken),
                   Buffer(XLA_FFI_DataType_S32, {})};
  call->Set("tile", tile);
}

inline void Replace(Draft& d, Call* call) {
  const bool axis = d.V != 1 || d.bytes.Flag(2);
  const int64_t synapses = d.Synapses(), chunk = d.bytes.Of(kSizes);
  Buffer position = d.Filled(XLA_FFI_DataType_S32, Sets(d, axis, {chunk}));
  for (int64_t i = 0; i < position.count(); ++i) {
    if (d.bytes.Flag(2)) position.as<int32_t>()[i] %= static_cast<int32_t>(synapses + 1);
  }
  call->arguments = {d.Filled(d.weight, Sets(d, axis, {synapses})), position,
                     d.Filled(d.sum, Sets(d, axis, {chunk}))};
  call->results = {Buffer(d.weight, Sets(d, axis, {synapses}))};
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_CHANGED_H_
