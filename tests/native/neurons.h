// Calls of a step of neurons.
#ifndef EVENTOPS_TESTS_NEURONS_H_
#define EVENTOPS_TESTS_NEURONS_H_

#include "draft.h"

namespace calls {

inline void StepOfNeurons(Draft& d, Call* call) {
  const XLA_FFI_DataType dtype = d.bytes.Flag(2) ? XLA_FFI_DataType_F32 : XLA_FFI_DataType_F64;
  const bool conductance = d.bytes.Flag(2);
  const int64_t channels = conductance ? 1 + d.bytes.Below(2) : d.bytes.Below(3);
  const std::vector<int64_t> shape = {d.B, d.n_out};
  call->arguments = {d.Filled(dtype, {5 + 2 * channels}), d.Filled(dtype, shape), d.Filled(XLA_FFI_DataType_S16, shape)};
  for (int64_t k = channels + std::max<int64_t>(1, channels); k > 0; --k) call->arguments.push_back(d.Filled(dtype, shape));
  const uint32_t drive = d.bytes.Below(3);  // one number, one for each neuron, or for each vector as well
  if (drive == 0) call->arguments.push_back(d.Filled(dtype, {}));
  else if (drive == 1) call->arguments.push_back(d.Filled(dtype, {d.n_out}));
  else call->arguments.push_back(d.Filled(dtype, shape));
  call->results = {Buffer(dtype, shape), Buffer(XLA_FFI_DataType_S16, shape)};
  for (int64_t k = 0; k < channels; ++k) call->results.push_back(Buffer(dtype, shape));
  call->results.push_back(Buffer(XLA_FFI_DataType_PRED, shape));
  call->Set("channels", channels);
  call->Set("conductance", conductance);
  call->Set("pause", d.bytes.Below(1000));
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_NEURONS_H_
