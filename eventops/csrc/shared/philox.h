// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", SC'11 (2011). Any block of any line can be computed alone, on any device.
#ifndef EVENTOPS_PHILOX_H_
#define EVENTOPS_PHILOX_H_

#include <cstdint>

namespace eventops {

// Where a word comes from. `line` is the neuron whose partners are drawn, `stream` the purpose.
struct PhiloxKey {
  uint32_t seed_low, seed_high;
  uint32_t line, lane, stream;
};

// Blocks first .. first + n - 1 of a line, four words each.
template <int n>
inline void PhiloxBlocks(const PhiloxKey& key, uint32_t first, uint32_t* words) {
  uint32_t c0[n], c1[n], c2[n], c3[n];
  for (int i = 0; i < n; ++i) {
    c0[i] = first + i;
    c1[i] = key.line;
    c2[i] = key.lane;
    c3[i] = key.stream;
  }
  uint32_t k0 = key.seed_low, k1 = key.seed_high;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < n; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c0[i];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2[i];
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<uint32_t>(p1);
      c3[i] = static_cast<uint32_t>(p0);
      c0[i] = n0;
      c2[i] = n2;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < n; ++i) {
    words[4 * i + 0] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

// Blocks that are computed at once.
constexpr int kPhiloxBlocks = 16;

}  // namespace eventops

#endif  // EVENTOPS_PHILOX_H_
