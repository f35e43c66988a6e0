// What becomes of a weight by a built-in rule: read by the host's compiler and by the device's.
#ifndef EVENTOPS_RULE_H_
#define EVENTOPS_RULE_H_

namespace eventops {

// The new weight of a synapse; `change` is the spike's value times the partner's trace. What is not a number
// stays that.
template <typename A, bool kSoft>
struct UpdateRule {
  A low, high;

  A operator()(A weight, A change) const {
    if (kSoft) change *= change > A(0) ? high - weight : weight - low;
    const A next = weight + change;
    const A above = next < low ? low : next;
    return above > high ? high : above;
  }
};

}  // namespace eventops

#endif  // EVENTOPS_RULE_H_
