// Reads and checks the buffers that the three products over stored rows have in common.
#ifndef EVENTOPS_ROWS_ARGS_H_
#define EVENTOPS_ROWS_ARGS_H_

#include <limits>
#include <string>

#include "ffi/ffi_util.h"
#include "ffi/rows.h"

namespace eventops {

struct RowsShape {
  int64_t n_weights;  // V: weight sets, each with its own batch
  int64_t n_batch;    // B: vectors per weight set
  bool homogeneous;
};

// `pre` is (V, B, n_in), `post` is (V, B, n_out), `weight` is (V,) or (V, n_synapses).
inline ffi::Error ReadRows(const std::string& name, const ffi::AnyBuffer& pre, const ffi::AnyBuffer& post,
                           const ffi::AnyBuffer& weight, const ffi::AnyBuffer& ptr,
                           const ffi::AnyBuffer& offsets, int64_t n_out, int64_t tile, Rows* rows,
                           RowsShape* shape) {
  auto pre_dims = pre.dimensions();
  if (pre_dims.size() != 3) return Invalid(name + ": inputs must have shape (V, B, in)");
  const int64_t V = pre_dims[0], B = pre_dims[1], n_in = pre_dims[2];
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();  // an empty array may have any sides
  if (V > kMost || B > kMost || n_in > kMost) return Invalid(name + ": inputs are too large");
  if (n_out <= 0 || n_out > kMost || tile <= 0 || tile > 65536) {
    return Invalid(name + ": n_out and tile are out of range");
  }
  const int64_t n_tiles = (n_out + tile - 1) / tile;
  if (!HasShape(post, {V, B, n_out})) return Invalid(name + ": outputs must have shape (V, B, out)");
  if (ptr.element_type() != ffi::DataType::S32 || LengthOf(ptr) != n_in * n_tiles + 1) {
    return Invalid(name + ": ptr must be int32 of length in * tiles + 1");
  }
  if (offsets.element_type() != ffi::DataType::U16 || LengthOf(offsets) < 0) {
    return Invalid(name + ": offsets must be a uint16 vector");
  }
  const int64_t n_synapses = LengthOf(offsets);
  shape->homogeneous = weight.dimensions().size() == 1;
  const bool fits = shape->homogeneous ? HasShape(weight, {V}) : HasSets(weight, {V, n_synapses});
  if (!fits) return Invalid(name + ": weights must have shape (V,) or (V, synapses)");
  shape->n_weights = V;
  shape->n_batch = B;
  *rows = {static_cast<const int32_t*>(ptr.untyped_data()),
           static_cast<const uint16_t*>(offsets.untyped_data()),
           n_in, n_out, tile, n_tiles, n_synapses};
  return ffi::Error::Success();
}

}  // namespace eventops

#endif  // EVENTOPS_ROWS_ARGS_H_
