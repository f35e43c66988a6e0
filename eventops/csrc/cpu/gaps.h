// The gaps between independent trials; see docs/generator.md.
#ifndef EVENTOPS_GAPS_H_
#define EVENTOPS_GAPS_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/words.h"

namespace eventops {

// Base-256 digits of a gap: four are every one that there is room for.
constexpr int64_t kMostDigits = 4;

// Survival functions of the base-256 digits of a geometric gap, as 128-bit fractions; see
// eventops/graphs/gaps.py, which computes them, for the law.
class GapTable {
 public:
  struct Threshold {
    uint64_t low, high;
  };

  GapTable(const void* words, int64_t n_digits)
      : thresholds_(n_digits * 256), guide_(n_digits << kGuideBits), n_digits_(n_digits) {
    if (n_digits > 0) std::memcpy(thresholds_.data(), words, thresholds_.size() * sizeof(Threshold));
    for (int64_t d = 0; d < n_digits; ++d) {
      // Thresholds fall with j, so those above every number that starts with the bits u are certain, and those
      // below all of them do not count.
      int64_t certain = 256, possible = 256;
      for (uint64_t u = 0; u < 1u << kGuideBits; ++u) {
        const uint64_t least = u << (64 - kGuideBits), most = least + ((uint64_t{1} << (64 - kGuideBits)) - 1);
        while (possible > 0 && At(d, possible - 1).high < least) --possible;
        while (certain > 0 && At(d, certain - 1).high <= most) --certain;
        // The lower half of a threshold, and a digit of 256, are left to those that look again.
        const bool several = possible - certain > 1 || certain >= 255;
        const uint64_t threshold = certain < 256 ? At(d, certain).high >> 32 : 0;
        guide_[(d << kGuideBits) + u] = threshold | static_cast<uint64_t>(certain) << 32 | (several ? kGuideSeveral : 0);
      }
    }
  }

  bool IsOf(const void* words, int64_t n_digits) const {
    return n_digits == n_digits_ &&
           (n_digits == 0 || std::memcmp(thresholds_.data(), words, thresholds_.size() * sizeof(Threshold)) == 0);
  }

  int64_t n_digits() const { return n_digits_; }
  const uint64_t* guide() const { return guide_.data(); }

  // A gap of the law that stands in digits first .. first + n - 1, or a number of at least `limit` as soon as
  // it is that large.
  uint64_t Draw(PhiloxWords& words, const PhiloxKey& key, uint32_t* n_draws, uint64_t limit, int64_t first,
                int64_t n) const {
    uint64_t gap = 0;
    for (int64_t d = 0; d < n; ++d) {
      uint64_t digit;
      do {
        digit = Digit(first + d, words.Next64(), key, (*n_draws)++);
        gap += digit << (8 * d);
        // 256 in the last digit: nothing within its whole range, and the law has no memory.
      } while (digit == 256 && gap < limit);
      if (gap >= limit) return gap;
    }
    return gap;
  }

  // The number of thresholds above a uniform 128-bit fraction. Its lower half is drawn only in the rare
  // case that the upper half ties. No branch that a processor could not foresee.
  uint64_t Digit(int64_t d, uint64_t upper, const PhiloxKey& key, uint32_t draw) const {
    const uint64_t guide = guide_[(d << kGuideBits) + (upper >> (64 - kGuideBits))];
    const uint32_t word = static_cast<uint32_t>(upper >> 32), threshold = static_cast<uint32_t>(guide);
    int64_t j = static_cast<int64_t>((guide & ~kGuideSeveral) >> 32);
    if (__builtin_expect((guide & kGuideSeveral) == 0 && word != threshold, 1)) return j + (word < threshold);
    for (; j < 256; ++j) {
      const Threshold& t = At(d, j);
      if (upper < t.high) continue;
      if (upper > t.high || Lower(key, draw) >= t.low) break;
    }
    return static_cast<uint64_t>(j);
  }

 private:
  static uint64_t Lower(PhiloxKey key, uint32_t draw) {
    key.lane = 1;
    uint32_t words[4];
    PhiloxBlocks<1>(key, draw, words);
    return words[0] | uint64_t{words[1]} << 32;
  }

  const Threshold& At(int64_t d, int64_t j) const { return thresholds_[d * 256 + j]; }

  std::vector<Threshold> thresholds_;
  // For all numbers that start with the same bits: how many thresholds are above every one of them, and the
  // next one; and whether there are more that may or may not be.
  std::vector<uint64_t> guide_;
  int64_t n_digits_;
};

// Each of n candidates with the same probability, independently: the gaps between partners are geometric.
template <typename Emit>
void DrawPositions(const PhiloxKey& key, const GapTable& table, uint64_t n, Emit emit) {
  PhiloxWords words(key);
  uint32_t n_draws = 0;
  if (table.n_digits() > 1) {
    for (uint64_t position = 0; position < n; ++position) {
      position += table.Draw(words, key, &n_draws, n - position, 0, table.n_digits());
      if (position >= n) return;
      emit(static_cast<int64_t>(position));
    }
    return;
  }
  // The same for gaps of one digit: a handful of look-ups that do not wait for each other, then their sum.
  const Kernels& kernels = ChosenKernels();
  uint32_t gap[kGapsAtOnce], place[kGapsAtOnce];
  for (uint64_t position = 0;; n_draws += kGapsAtOnce) {
    const uint32_t* word = words.NextWords();
    uint32_t unsure = kernels.gaps(word, table.guide(), gap);
    bool beyond = false;  // more than the digit holds: nothing there, and the law has no memory
    for (; unsure != 0; unsure &= unsure - 1) {
      const int k = __builtin_ctz(unsure);
      gap[k] = static_cast<uint32_t>(table.Digit(0, word[2 * k] | uint64_t{word[2 * k + 1]} << 32, key, n_draws + k));
      beyond |= gap[k] == 256;
    }
    if (__builtin_expect(beyond, 0)) {
      for (int k = 0; k < kGapsAtOnce; ++k) {
        position += gap[k];
        if (position >= n) return;
        if (gap[k] != 256) emit(static_cast<int64_t>(position++));
      }
      continue;
    }
    kernels.places(gap, static_cast<uint32_t>(position), place);
    position = uint64_t{place[kGapsAtOnce - 1]} + 1;
    const int inside = position <= n ? kGapsAtOnce : static_cast<int>(std::lower_bound(place, place + kGapsAtOnce, n) - place);
    for (int k = 0; k < inside; ++k) emit(static_cast<int64_t>(place[k]));
    if (position >= n) return;
  }
}

}  // namespace eventops

#endif  // EVENTOPS_GAPS_H_
