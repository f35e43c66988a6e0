// One step of leaky integrate-and-fire neurons, all arrays in one pass.
#ifndef EVENTOPS_NEURONS_H_
#define EVENTOPS_NEURONS_H_

#include <cstdint>

namespace eventops {

// Places in the numbers of a law (eventops/operators/neurons.py makes them): what V keeps in a step (with conductances the
// exponent of that, -dt / tau), potentials in mV, the gain of the drive; of each channel what it keeps and its gain (with
// conductances its reversal potential).
enum NeuronLaw { kDecay, kRest, kReset, kThreshold, kDriveGain, kChannel };

template <typename A>
struct NeuronArrays {
  const A* law;
  int16_t pause;  // steps for which V stands still after a spike
  const A* v;
  const int16_t* wait;
  const A* synaptic[2];
  const A* in[2];  // of the channels; without any, the jump of V
  const A* drive;
  A* v_out;
  int16_t* wait_out;
  A* synaptic_out[2];
  uint8_t* spikes;
};

}  // namespace eventops

#endif  // EVENTOPS_NEURONS_H_
