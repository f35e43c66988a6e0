// The operands that all handlers of random drive have in common.
#ifndef EVENTOPS_DRIVE_ARGS_H_
#define EVENTOPS_DRIVE_ARGS_H_

#include <cstdint>

#include "cpu/drive.h"
#include "ffi/ffi_util.h"

namespace eventops {

// The operands of all drives that are drawn together: each has its own along the first axis, or all share one.
struct DriveOperands {
  const uint32_t *counter, *seed, *first;
  int64_t counter_stride, seed_stride, first_stride, mean_stride, mean_step;

  DriveStep Step(int64_t vector) const {
    const uint32_t *c = counter + vector * counter_stride, *s = seed + vector * seed_stride;
    return {s[0], s[1], c[0], c[1]};
  }
};

// Whether the buffer is (1 or B, ...) with these further sides; its stride along the first axis.
inline bool IsOfEach(const ffi::AnyBuffer& buffer, int64_t B, std::initializer_list<int64_t> sides, int64_t* stride) {
  auto dims = buffer.dimensions();
  if (dims.size() != sides.size() + 1 || (dims[0] != 1 && dims[0] != B)) return false;
  int64_t size = 1;
  size_t i = 1;
  for (int64_t side : sides) {
    if (dims[i++] != side) return false;
    size *= side;
  }
  *stride = dims[0] == 1 ? 0 : size;
  return true;
}

// The same for numbers that neurons have each, or all together.
inline bool IsOfNeurons(const ffi::AnyBuffer& buffer, int64_t B, int64_t n, int64_t* stride, int64_t* step) {
  *step = IsOfEach(buffer, B, {n}, stride) ? 1 : 0;
  if (*step == 1 && n == 1) *step = 0;
  return *step == 1 || IsOfEach(buffer, B, {1}, stride);
}

template <typename F>
ffi::Error WithDrives(ffi::AnyBuffer counter, ffi::AnyBuffer seed, ffi::AnyBuffer first, ffi::AnyBuffer mean, int64_t B,
                        int64_t n, F body) {
  DriveOperands o;
  for (const ffi::AnyBuffer& words : {counter, seed, first}) {
    if (words.element_type() != ffi::DataType::U32) return Invalid("counters, seeds and first neurons must be uint32");
  }
  if (!IsOfEach(counter, B, {2}, &o.counter_stride) || !IsOfEach(seed, B, {2}, &o.seed_stride) ||
      !IsOfEach(first, B, {}, &o.first_stride) || !IsOfNeurons(mean, B, n, &o.mean_stride, &o.mean_step)) {
    return Invalid("the operands of a random drive have other shapes than its result");
  }
  o.counter = counter.typed_data<uint32_t>();
  o.seed = seed.typed_data<uint32_t>();
  o.first = first.typed_data<uint32_t>();
  if (mean.element_type() == ffi::DataType::F32) return body(o, mean.typed_data<float>());
  if (mean.element_type() == ffi::DataType::F64) return body(o, mean.typed_data<double>());
  return Invalid("means must be float32 or float64");
}

}  // namespace eventops

#endif  // EVENTOPS_DRIVE_ARGS_H_
