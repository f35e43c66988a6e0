// What the event-driven weight updates have in common: the built-in rules, and synapses by line.
//
// A line is a neuron that fires, its partners are the neurons on the other side of its synapses: on spikes of
// the pre side lines are rows, on spikes of the post side they are columns (see columns.py).
#ifndef EVENTOPS_UPDATE_H_
#define EVENTOPS_UPDATE_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "cpu/compact.h"
#include "ffi/ffi_util.h"
#include "ffi/rows.h"
#include "shared/rule.h"

namespace eventops {

// Lines of synapses as rows; those of columns have the position of each weight, those of rows need none.
struct Lines {
  Rows rows;
  const int32_t* position;

  int64_t At(int64_t k) const {
    // Unsigned, so that a negative position is a large one: nothing leads outside.
    return std::min(static_cast<uint32_t>(position[k]), static_cast<uint32_t>(rows.n_synapses - 1));
  }
};

// Several sets of weights stand in front of all else, (V, ...). A single one has no such axis: to put it there would
// be a reshape, and XLA copies the weights for that.
struct Sets {
  int64_t n;
  bool axis;

  static Sets Of(const ffi::AnyBuffer& weight, size_t rank) {
    auto dims = weight.dimensions();
    if (dims.size() == rank) return {1, false};
    return {dims.size() == rank + 1 ? dims[0] : -1, true};
  }
  bool Have(const ffi::AnyBuffer& buffer, std::initializer_list<int64_t> shape) const {
    auto dims = buffer.dimensions();
    if (dims.size() != shape.size() + axis || (axis && dims[0] != n)) return false;
    return std::equal(shape.begin(), shape.end(), dims.begin() + axis);
  }
};

// `spikes` is (V, lines), `trace` is (V, partners), `weight` is (V, synapses). `position` is null for rows.
inline ffi::Error ReadLines(const std::string& name, const ffi::AnyBuffer& weight, const ffi::AnyBuffer& spikes,
                            const ffi::AnyBuffer& trace, const ffi::AnyBuffer& ptr, const ffi::AnyBuffer& offsets,
                            const ffi::AnyBuffer* position, int64_t tile, Lines* lines, Sets* sets) {
  *sets = Sets::Of(weight, 1);
  if (sets->n < 0 || spikes.dimensions().size() == 0 || trace.dimensions().size() == 0) {
    return Invalid(name + ": weights, spikes and traces must have shape (n) or (V, n)");
  }
  const int64_t n_synapses = weight.dimensions().back();
  const int64_t n_lines = spikes.dimensions().back(), n_partners = trace.dimensions().back();
  if (!sets->Have(spikes, {n_lines}) || !sets->Have(trace, {n_partners})) {
    return Invalid(name + ": weights, spikes and traces must be of as many sets");
  }
  if (n_partners <= 0 || tile <= 0 || tile > 65536) return Invalid(name + ": the tile is out of range");
  const int64_t n_tiles = (n_partners + tile - 1) / tile;
  if (ptr.element_type() != ffi::DataType::S32 || LengthOf(ptr) != n_lines * n_tiles + 1) {
    return Invalid(name + ": ptr must be int32 of length lines * tiles + 1");
  }
  if (offsets.element_type() != ffi::DataType::U16 || LengthOf(offsets) != n_synapses) {
    return Invalid(name + ": offsets must be a uint16 vector, one per weight");
  }
  if (n_synapses > INT32_MAX) return Invalid(name + ": there are too many synapses");
  lines->position = nullptr;
  if (position != nullptr) {
    if (position->element_type() != ffi::DataType::S32 || LengthOf(*position) != n_synapses) {
      return Invalid(name + ": positions must be an int32 vector, one per weight");
    }
    lines->position = static_cast<const int32_t*>(position->untyped_data());
  }
  lines->rows = {static_cast<const int32_t*>(ptr.untyped_data()),
                 static_cast<const uint16_t*>(offsets.untyped_data()),
                 n_lines, n_partners, tile, n_tiles, n_synapses};
  return ffi::Error::Success();
}

// Calls body(events) with the lists of the spikes, which are bool or of the accumulator's dtype.
template <typename A, typename F>
ffi::Error WithEvents(const std::string& name, const Sets& sets, const ffi::AnyBuffer& spikes, F body) {
  const int64_t n_vectors = sets.n, n = spikes.dimensions().back();
  if (spikes.element_type() == ffi::DataType::PRED) {
    body(Compact<A>(static_cast<const bool*>(spikes.untyped_data()), n_vectors, n));
  } else if (spikes.element_type() == AccumulatorDtype<A>()) {
    body(Compact<A>(static_cast<const A*>(spikes.untyped_data()), n_vectors, n));
  } else {
    return Invalid(name + ": spikes must be bool or of the accumulator's dtype");
  }
  return ffi::Error::Success();
}

}  // namespace eventops

#endif  // EVENTOPS_UPDATE_H_
