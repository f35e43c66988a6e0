// From a spike vector to the list of its events: indices in ascending order, with their values.
#ifndef EVENTOPS_COMPACT_H_
#define EVENTOPS_COMPACT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace eventops {

template <typename A>
struct Event {
  int32_t index;
  A value;
};

// The events of a stack of spike vectors: those of vector b are events[start[b]] .. events[start[b + 1]].
template <typename A>
struct EventLists {
  std::vector<Event<A>> events;
  std::vector<int64_t> start;

  const Event<A>* begin(int64_t b) const { return events.data() + start[b]; }
  int64_t count(int64_t b) const { return start[b + 1] - start[b]; }
  int64_t total() const { return start.back(); }
};

// One spike as a number, whatever byte a bool is.
template <typename A>
A ValueOf(const bool* spike) {
  return *reinterpret_cast<const unsigned char*>(spike) != 0 ? A(1) : A(0);
}
template <typename A>
A ValueOf(const A* spike) {
  return *spike;
}

// Bit b is whether byte b of a word (on a little-endian machine) is not 0. A bool should be the byte 0 or 1, but a NumPy
// view makes any byte one.
inline uint64_t ActiveBytes(uint64_t word) {
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  const uint64_t high = (((word & kLow) + kLow) | word) & ~kLow;  // the highest bit of each byte that is not 0
  return ((high >> 7) * 0x0102040810204080) >> 56;  // the product puts bit 8 b at 56 + b
}

template <typename A>
int64_t CompactOne(const bool* spikes, int64_t n, Event<A>* out) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(spikes);
  int64_t count = 0;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    uint64_t words[8];
    std::memcpy(words, bytes + i, 64);
    if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) == 0) {
      continue;
    }
    // One loop over 64 inputs, whose end is foreseen wrongly once, not once per word.
    uint64_t active = 0;
    for (int w = 0; w < 8; ++w) active |= ActiveBytes(words[w]) << (8 * w);
    for (; active != 0; active &= active - 1) {
      out[count++] = {static_cast<int32_t>(i + __builtin_ctzll(active)), A(1)};
    }
  }
  for (; i < n; ++i) {
    if (bytes[i] != 0) out[count++] = {static_cast<int32_t>(i), A(1)};
  }
  return count;
}

template <typename A>
int64_t CompactOne(const A* spikes, int64_t n, Event<A>* out) {
  constexpr int64_t kBlock = 16;
  int64_t count = 0;
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    bool any = false;
    for (int64_t k = 0; k < kBlock; ++k) any |= (spikes[i + k] != A(0));
    if (!any) continue;
    // Without a branch, since no processor foresees which inputs are active. What is written for a silent one is
    // overwritten by the next, and lies inside: no more is written than was looked at.
    for (int64_t k = i; k < i + kBlock; ++k) {
      out[count] = {static_cast<int32_t>(k), spikes[k]};
      count += spikes[k] != A(0);
    }
  }
  for (; i < n; ++i) {
    if (spikes[i] != A(0)) out[count++] = {static_cast<int32_t>(i), spikes[i]};
  }
  return count;
}

// How many of n inputs are active.
inline int64_t CountEvents(const bool* spikes, int64_t n) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(spikes);
  int64_t count = 0;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    unsigned char active = 0;
    for (int64_t k = i; k < i + 64; ++k) active += bytes[k] != 0;
    count += active;
  }
  for (; i < n; ++i) count += bytes[i] != 0;
  return count;
}
template <typename A>
int64_t CountEvents(const A* spikes, int64_t n) {
  return std::count_if(spikes, spikes + n, [](A x) { return x != A(0); });
}

// The lists live in a buffer of the calling thread that only grows: one allocation per thread, not one
// per call. A handler runs to its end on its thread, so nothing else can take the buffer meanwhile.
template <typename A, typename S>
const EventLists<A>& Compact(const S* spikes, int64_t n_vectors, int64_t n) {
  thread_local EventLists<A> lists;
  lists.start.assign(1, 0);
  int64_t used = 0;
  for (int64_t b = 0; b < n_vectors; ++b) {
    if (static_cast<int64_t>(lists.events.size()) < used + n) {
      lists.events.resize(used + n + used / 2);
    }
    used += CompactOne<A>(spikes + b * n, n, lists.events.data() + used);
    lists.start.push_back(used);
  }
  return lists;
}

}  // namespace eventops

#endif  // EVENTOPS_COMPACT_H_
