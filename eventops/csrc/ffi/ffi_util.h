// What the FFI wrappers share: dtype switches and checked shapes.
#ifndef EVENTOPS_FFI_UTIL_H_
#define EVENTOPS_FFI_UTIL_H_

#include <algorithm>
#include <cstdint>
#include <new>
#include <string>

#include "shared/numbers.h"
#include "xla/ffi/api/ffi.h"

#define EVENTOPS_EXPORT extern "C" __attribute__((visibility("default")))

// Defines the exported symbol `name` for XLA; the binding is written with the names of xla::ffi.
#define EVENTOPS_HANDLER(name, impl, ...)                                               \
  EVENTOPS_EXPORT XLA_FFI_Error* name(XLA_FFI_CallFrame* frame) {                       \
    using namespace xla::ffi; /* NOLINT */                                              \
    static auto* handler =                                                              \
        (__VA_ARGS__).To([](auto... args) { return eventops::Guarded(impl, args...); }).release(); \
    return handler->Call(frame);                                                        \
  }                                                                                     \
  static_assert(true, "")

namespace eventops {

namespace ffi = xla::ffi;

inline ffi::Error Invalid(const std::string& message) {
  return ffi::Error::InvalidArgument("eventops: " + message);
}

// False if what is computed from the sides of a buffer could overflow: an array that has elements fits into memory, but an
// empty one may claim any sides.
template <typename Buffer>
bool HasSaneSides(const Buffer& buffer) {
  int64_t product = 1, longest = 0;
  bool empty = false;
  for (int64_t side : buffer.dimensions()) {
    empty |= side == 0;
    longest = std::max(longest, side);
    if (side < 0 || (side > 0 && product > (int64_t{1} << 62) / side)) return false;
    product *= std::max<int64_t>(1, side);
  }
  return !empty || longest <= INT32_MAX;
}

template <typename T>
bool IsSane(const T&) {
  return true;
}
inline bool IsSane(const ffi::AnyBuffer& buffer) { return HasSaneSides(buffer); }
template <ffi::DataType dtype, size_t rank>
bool IsSane(const ffi::Buffer<dtype, rank>& buffer) {
  return HasSaneSides(buffer);
}
template <typename T>
bool IsSane(ffi::Result<T> result) {
  return HasSaneSides(*result);
}

// Out of memory is an error of the call, not the end of the process.
template <typename F, typename... Args>
ffi::Error Guarded(F impl, Args... args) {
  if (!(IsSane(args) && ...)) return Invalid("an array has sides that are out of range");
  try {
    return impl(args...);
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "eventops: out of memory");
  }
}

// True where the buffer has exactly these dimensions.
inline bool HasShape(const ffi::AnyBuffer& buffer, std::initializer_list<int64_t> expected) {
  auto dims = buffer.dimensions();
  if (dims.size() != expected.size()) return false;
  size_t i = 0;
  for (int64_t d : expected) {
    if (dims[i++] != d) return false;
  }
  return true;
}

// The length of a vector, which may be the first row of a matrix (see eventops/core/constants.py); -1 if it is neither.
inline int64_t LengthOf(const ffi::AnyBuffer& buffer) {
  auto dims = buffer.dimensions();
  if (dims.size() == 1) return dims[0];
  return dims.size() == 2 && dims[0] > 0 ? dims[1] : -1;
}

// The number of elements, of a matrix those of its first row.
inline int64_t FirstRow(const ffi::AnyBuffer& buffer) {
  auto dims = buffer.dimensions();
  return dims.size() == 2 ? dims[1] : static_cast<int64_t>(buffer.element_count());
}

// Two words of 32 bits, the lower one first: an operand, so that one program draws by any seed.
inline bool ReadSeed(const ffi::AnyBuffer& buffer, uint64_t* seed) {
  if (buffer.element_type() != ffi::DataType::U32 || buffer.element_count() != 2) return false;
  const uint32_t* words = static_cast<const uint32_t*>(buffer.untyped_data());
  *seed = words[0] | uint64_t{words[1]} << 32;
  return true;
}

// True where the buffer has at least as many sets in front as expected, and else exactly these dimensions.
inline bool HasSets(const ffi::AnyBuffer& buffer, std::initializer_list<int64_t> expected) {
  auto dims = buffer.dimensions();
  return dims.size() == expected.size() && dims[0] >= *expected.begin() &&
         std::equal(dims.begin() + 1, dims.end(), expected.begin() + 1);
}

// Nothing is to be computed, and the other sides may be any numbers: handlers return before they multiply or divide
// by them.
inline bool IsEmpty(const ffi::AnyBuffer& buffer) {
  for (int64_t d : buffer.dimensions()) {
    if (d == 0) return true;
  }
  return false;
}

// Calls body(W*) with a null pointer of the weights' storage type.
template <typename F>
ffi::Error SwitchWeight(ffi::DataType dtype, F body) {
  switch (dtype) {
    case ffi::DataType::F32:
      return body(static_cast<float*>(nullptr));
    case ffi::DataType::F64:
      return body(static_cast<double*>(nullptr));
    case ffi::DataType::F16:
      return body(static_cast<Float16*>(nullptr));
    case ffi::DataType::BF16:
      return body(static_cast<BFloat16*>(nullptr));
    default:
      return Invalid("weights must be float16, bfloat16, float32 or float64");
  }
}

template <typename A>
constexpr ffi::DataType AccumulatorDtype() {
  return sizeof(A) == 8 ? ffi::DataType::F64 : ffi::DataType::F32;
}

}  // namespace eventops

#endif  // EVENTOPS_FFI_UTIL_H_
