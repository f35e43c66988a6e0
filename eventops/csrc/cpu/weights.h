// Weights that are generated: location + scale * z, with z the quantile of a standard law that belongs to one random
// word of each synapse. docs/generator.md defines the word, and eventops/graphs/quantiles.py the table.
#ifndef EVENTOPS_WEIGHTS_H_
#define EVENTOPS_WEIGHTS_H_

#include <cstdint>

#include "ffi/ffi_util.h"
#include "cpu/isa/kernels.h"

namespace eventops {

// The second word of the counter; the number of the synapse among those of its pair stands in the bits above.
constexpr uint32_t kWeightLane = 6;

inline bool IsQuantileTable(const ffi::AnyBuffer& table) {
  return table.element_type() == ffi::DataType::F32 &&
         static_cast<int64_t>(table.element_count()) == int64_t{2} * kPieces * 4;
}

// z[k] of the synapses of a pre neuron onto post[0] .. post[n - 1]; where a pair may be connected repeatedly, these
// must ascend.
inline void LineWeights(PhiloxKey key, bool repeats, const int32_t* post, int64_t n, const float* table, float* z) {
  const auto weights = ChosenKernels().weights;
  key.lane = kWeightLane;
  weights(key, post, n, table, z);
  if (!repeats) return;
  uint32_t number = 0;
  for (int64_t k = 1; k < n; ++k) {
    number = post[k] == post[k - 1] ? number + 1 : 0;
    if (number == 0) continue;
    key.lane = kWeightLane + (number << 8);
    weights(key, post + k, 1, table, z + k);
  }
}

}  // namespace eventops

#endif  // EVENTOPS_WEIGHTS_H_
