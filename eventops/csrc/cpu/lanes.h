// Vectors side by side: kLanes of a batch in one cache line per neuron, so that one pass over the rows of
// synapses serves them all.
#ifndef EVENTOPS_LANES_H_
#define EVENTOPS_LANES_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/compact.h"
#include "cpu/isa/kernels.h"

namespace eventops {

// A group of up to kLanes vectors of one weight set: `first` counts through all V * B vectors.
struct LaneGroup {
  int64_t v, first, size;
};

template <typename A>
std::vector<LaneGroup> LaneGroups(int64_t n_weights, int64_t n_batch) {
  std::vector<LaneGroup> groups;
  for (int64_t v = 0; v < n_weights; ++v) {
    for (int64_t b = 0; b < n_batch; b += kLanes<A>) {
      groups.push_back({v, v * n_batch + b, std::min<int64_t>(kLanes<A>, n_batch - b)});
    }
  }
  return groups;
}

// to[i * kLanes + l] = vectors[l * stride + i] for i < n and l < size; 0 for the other lanes.
template <typename A>
void ToLanes(const A* vectors, int64_t stride, int64_t size, int64_t n, A* to) {
  for (int64_t i = 0; i < n; ++i) {
    A* lane = to + i * kLanes<A>;
    for (int64_t l = 0; l < size; ++l) lane[l] = vectors[l * stride + i];
    for (int64_t l = size; l < kLanes<A>; ++l) lane[l] = A(0);
  }
}

// The inverse, of `size` lanes.
template <typename A>
void FromLanes(const A* lanes, int64_t size, int64_t n, A* vectors, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t l = 0; l < size; ++l) vectors[l * stride + i] = lanes[i * kLanes<A> + l];
  }
}

// The rows in which any vector of a group is active, ascending, each with the values of all lanes.
template <typename A>
struct LaneEvents {
  std::vector<int32_t> row;
  std::vector<A> value;

  void Collect(const EventLists<A>& lists, const LaneGroup& group, int64_t n_in) {
    row.clear();
    value.clear();
    constexpr int64_t kWindow = 64;
    const Event<A>* next[kLanes<A>];
    for (int64_t l = 0; l < group.size; ++l) next[l] = lists.begin(group.first + l);
    for (int64_t begin = 0; begin < n_in; begin += kWindow) {
      A window[kWindow * kLanes<A>] = {};
      uint64_t used = 0;
      for (int64_t l = 0; l < group.size; ++l) {
        const Event<A>* end = lists.begin(group.first + l) + lists.count(group.first + l);
        for (; next[l] != end && next[l]->index < begin + kWindow; ++next[l]) {
          const int64_t i = next[l]->index - begin;
          used |= uint64_t{1} << i;
          window[i * kLanes<A> + l] = next[l]->value;
        }
      }
      for (; used != 0; used &= used - 1) {
        const int64_t i = __builtin_ctzll(used);
        row.push_back(static_cast<int32_t>(begin + i));
        value.insert(value.end(), window + i * kLanes<A>, window + (i + 1) * kLanes<A>);
      }
    }
  }
};

}  // namespace eventops

#endif  // EVENTOPS_LANES_H_
