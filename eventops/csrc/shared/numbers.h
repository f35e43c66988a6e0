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

// Rounded to nearest, ties to even; what is not a number stays that. In integer arithmetic, since XLA's threads
// flush float subnormals.
inline void Store(float value, float* p) { *p = value; }
inline void Store(double value, double* p) { *p = value; }
inline void Store(float value, BFloat16* p) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  p->bits = static_cast<uint16_t>((nan ? bits | 0x400000u : rounded) >> 16);
}
inline void Store(float value, Float16* p) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // 65520, from where on numbers round to infinity
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // 2**-14, the smallest normal number
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  } else if (magnitude > 0x33000000u) {  // 2**-25, half of the smallest subnormal number
    const uint32_t shift = 126u - (magnitude >> 23);
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t rest = mantissa & ((1u << shift) - 1u), tie = 1u << (shift - 1u);
    half = mantissa >> shift;
    half += rest > tie || (rest == tie && (half & 1u));
  } else {
    half = 0;
  }
  p->bits = static_cast<uint16_t>(sign | half);
}

}  // namespace
}  // namespace eventops

#endif  // EVENTOPS_NUMBERS_H_
