// Calls of random drive.
#ifndef EVENTOPS_TESTS_DRIVE_H_
#define EVENTOPS_TESTS_DRIVE_H_

#include <cmath>

#include "draft.h"

namespace calls {

// Means or rates, most of them sane and below `most`: of one number, or one for each neuron.
inline Buffer Means(Draft& d, int64_t B, int64_t n, double most) {
  const XLA_FFI_DataType dtype = d.bytes.Flag(2) ? XLA_FFI_DataType_F32 : XLA_FFI_DataType_F64;
  Buffer means = d.Filled(dtype, {d.bytes.Flag(2) ? 1 : B, d.bytes.Flag(2) ? 1 : n});
  if (d.bytes.Flag(4)) return means;  // any bits
  const uint32_t octave = d.bytes.Below(30);
  for (int64_t i = 0; i < means.count(); ++i) {
    const double mean = most * std::ldexp(d.bytes.Below(65535) / 65536.0, -static_cast<int>((octave + i) % 30));
    if (dtype == XLA_FFI_DataType_F32) means.as<float>()[i] = static_cast<float>(mean);
    else means.as<double>()[i] = mean;
  }
  return means;
}

// Counters, seeds, first neurons, and means.
inline std::vector<Buffer> Draws(Draft& d, int64_t B, int64_t n, double most) {
  Buffer first = d.Filled(XLA_FFI_DataType_U32, {d.bytes.Flag(2) ? 1 : B});
  for (int64_t i = 0; i < first.count(); ++i) first.as<uint32_t>()[i] %= 1u << 30;
  if (d.Wrong(8) && first.count() > 0) first.as<uint32_t>()[0] = UINT32_MAX - d.bytes.Below(1000);
  return {d.Filled(XLA_FFI_DataType_U32, {d.bytes.Flag(2) ? 1 : B, 2}),
          d.Filled(XLA_FFI_DataType_U32, {d.bytes.Flag(2) ? 1 : B, 2}), first, Means(d, B, n, most)};
}

inline void DriveCounts(Draft& d, Call* call) {
  call->arguments = Draws(d, d.B, d.n_out, 4096);
  call->results = {Buffer(XLA_FFI_DataType_S32, {d.B, d.n_out})};
}

inline void DriveCurrent(Draft& d, Call* call) {
  const bool adds = d.bytes.Flag(2);
  const std::vector<int64_t> shape = {d.B, d.n_out};
  call->arguments = {d.Filled(d.weight, adds ? shape : std::vector<int64_t>{0}),
                     d.Filled(d.weight, {d.bytes.Flag(2) ? 1 : d.B, d.bytes.Flag(2) ? 1 : d.n_out})};
  for (Buffer& operand : Draws(d, d.B, d.n_out, 4096)) call->arguments.push_back(operand);
  call->results = {Buffer(d.weight, shape)};
}

inline void DriveSpikes(Draft& d, Call* call) {
  call->arguments = Draws(d, d.B, d.n_out, 1);
  for (int64_t thresholds : {256, 32}) {
    Buffer table = d.Filled(XLA_FFI_DataType_U32, {13, thresholds, 4});
    for (int64_t k = 0; k < 13 && !d.Wrong(8); ++k) {
      struct Fraction {
        uint32_t word[4];
      };
      Fraction* row = table.as<Fraction>() + k * thresholds;
      std::sort(row, row + thresholds, [](auto a, auto b) { return a.word[0] > b.word[0]; });
    }
    call->arguments.push_back(table);
  }
  call->results = {Buffer(d.bytes.Flag(2) ? XLA_FFI_DataType_S32 : XLA_FFI_DataType_PRED, {d.B, d.n_out})};
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_DRIVE_H_
