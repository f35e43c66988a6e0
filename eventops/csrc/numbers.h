// Storage types of weights and the accumulators they are summed in.
#ifndef EVENTOPS_NUMBERS_H_
#define EVENTOPS_NUMBERS_H_

#include <cstdint>
#include <cstring>

namespace eventops {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

template <typename W>
struct AccumulatorOf {
  using type = float;
};
template <>
struct AccumulatorOf<double> {
  using type = double;
};
template <typename W>
using Accumulator = typename AccumulatorOf<W>::type;

// The conversions are in an unnamed namespace, so that each translation unit keeps the copy that was
// compiled for its own instruction set.
namespace {

inline float BitsToFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float Load(const float* p) { return *p; }
inline double Load(const double* p) { return *p; }
inline float Load(const BFloat16* p) { return BitsToFloat(uint32_t{p->bits} << 16); }

// Integer arithmetic and one exact subtraction, with no float subnormal on the way (XLA's threads flush
// those to zero) and no branch, so that it vectorises on every instruction set.
inline float Load(const Float16* p) {
  const uint32_t half = p->bits;
  const uint32_t magnitude = (half & 0x7fffu) << 13;
  const uint32_t exponent = half & 0x7c00u;
  const float normal = BitsToFloat(magnitude + (112u << 23));
  const float subnormal = BitsToFloat(magnitude + (113u << 23)) - BitsToFloat(113u << 23);
  const float special = BitsToFloat(magnitude | 0x7f800000u);
  const float positive = exponent == 0 ? subnormal : (exponent == 0x7c00u ? special : normal);
  return (half & 0x8000u) ? -positive : positive;
}

}  // namespace
}  // namespace eventops

#endif  // EVENTOPS_NUMBERS_H_
