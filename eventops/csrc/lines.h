// The partners of one neuron under each rule, in ascending order. This file and eventops/random.py are the
// definition of graph generator version 1: a change here that changes a graph is a new version.
#ifndef EVENTOPS_LINES_H_
#define EVENTOPS_LINES_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "words.h"

namespace eventops {

enum Rule : int64_t { kBernoulli = 1, kFixedPost = 2, kFixedPre = 3 };

// The neurons that a line may reach: 0 .. n - 1, less one (the line's own neuron) if `skip` >= 0.
struct Candidates {
  int64_t n;
  int64_t skip;
  int64_t Count() const { return n - (skip >= 0 ? 1 : 0); }
  // From a position among the candidates to the neuron.
  int64_t At(int64_t position) const { return position + (skip >= 0 && position >= skip ? 1 : 0); }
};

// Survival functions of the base-256 digits of a geometric gap, as 128-bit fractions; see
// eventops/random.py, which computes them, for the law.
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
        Guide& guide = guide_[(d << kGuideBits) + u];
        guide = {certain < 256 ? At(d, certain).high : 0, static_cast<uint16_t>(certain), possible - certain > 1};
      }
    }
  }

  bool IsOf(const void* words, int64_t n_digits) const {
    return n_digits == n_digits_ &&
           (n_digits == 0 || std::memcmp(thresholds_.data(), words, thresholds_.size() * sizeof(Threshold)) == 0);
  }

  int64_t n_digits() const { return n_digits_; }

  // A gap, or a number of at least `limit` as soon as it is that large.
  uint64_t Draw(PhiloxWords& words, const PhiloxKey& key, uint32_t* n_draws, uint64_t limit) const {
    uint64_t gap = 0;
    for (int64_t d = 0; d < n_digits_; ++d) {
      uint64_t digit;
      do {
        digit = Digit(d, words.Next64(), key, (*n_draws)++);
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
    const Guide& guide = guide_[(d << kGuideBits) + (upper >> (64 - kGuideBits))];
    if (__builtin_expect(!guide.several && upper != guide.threshold, 1)) {
      return guide.certain + static_cast<uint64_t>(upper < guide.threshold);
    }
    int64_t j = guide.certain;
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

  // For all numbers that start with the same bits: how many thresholds are above every one of them, and the
  // next one; `several` if there are more that may or may not be.
  static constexpr int kGuideBits = 10;
  struct Guide {
    uint64_t threshold;
    uint16_t certain;
    bool several;
  };
  std::vector<Threshold> thresholds_;
  std::vector<Guide> guide_;
  int64_t n_digits_;
};

// Each of n candidates with the same probability, independently: the gaps between partners are geometric.
template <typename Emit>
void DrawPositions(const PhiloxKey& key, const GapTable& table, uint64_t n, Emit emit) {
  PhiloxWords words(key);
  uint32_t n_draws = 0;
  if (table.n_digits() > 1) {
    for (uint64_t position = 0; position < n; ++position) {
      position += table.Draw(words, key, &n_draws, n - position);
      if (position >= n) return;
      emit(static_cast<int64_t>(position));
    }
    return;
  }
  // The same for gaps of one digit: a handful of look-ups that do not wait for each other, then their sum.
  constexpr int kDraws = PhiloxWords::kWords / 2;
  for (uint64_t position = 0;; n_draws += kDraws) {
    const uint32_t* word = words.NextWords();
    uint32_t gap[kDraws];
    for (int i = 0; i < kDraws; ++i) {
      const uint64_t upper = word[2 * i] | uint64_t{word[2 * i + 1]} << 32;
      gap[i] = static_cast<uint32_t>(table.Digit(0, upper, key, n_draws + i));
    }
    for (int i = 0; i < kDraws; ++i) {
      position += gap[i];
      if (position >= n) return;
      if (gap[i] == 256) continue;  // more than the digit holds: the law has no memory
      emit(static_cast<int64_t>(position));
      ++position;
    }
  }
}

template <typename Emit>
void DrawBernoulli(const PhiloxKey& key, const GapTable& table, const Candidates& candidates, Emit emit) {
  const uint64_t n = static_cast<uint64_t>(candidates.Count());
  if (candidates.skip < 0) return DrawPositions(key, table, n, emit);
  DrawPositions(key, table, n, [&](int64_t position) { emit(candidates.At(position)); });
}

// Scratch of one thread: a bitmap over the candidates, with one summary bit for each of its words.
class FixedDrawer {
 public:
  // `k` of the candidates, all subsets equally likely: uniform draws, those already taken drawn again.
  // More than half are drawn as the few that are left out.
  template <typename Emit>
  void Distinct(const PhiloxKey& key, int64_t k, const Candidates& candidates, Emit emit) {
    const int64_t m = candidates.Count();
    if (k > m / 2) {
      Take(key, m - k, m, [](uint32_t) {});
      EmitUnset(m, candidates, emit);
    } else {
      Take(key, k, m, [](uint32_t) {});
      EmitSet(k, candidates, emit);
    }
  }

  // The same partners in the order in which they are drawn, which is faster.
  template <typename Emit>
  void DistinctInAnyOrder(const PhiloxKey& key, int64_t k, const Candidates& candidates, Emit emit) {
    const int64_t m = candidates.Count();
    if (k > m / 2) return Distinct(key, k, candidates, emit);
    draws_.resize(k);
    uint32_t* next = draws_.data();
    Take(key, k, m, [&](uint32_t x) {
      *next++ = x;
      emit(candidates.At(x));
    });
    for (uint32_t x : draws_) bits_[x / 64] = 0;
    for (uint32_t x : draws_) summary_[x / 4096] = 0;
  }

  // `k` independent uniform draws, repeats kept, in the order in which they are drawn.
  template <typename Emit>
  void RepeatedInAnyOrder(const PhiloxKey& key, int64_t k, const Candidates& candidates, Emit emit) {
    PhiloxWords words(key);
    const uint32_t m = static_cast<uint32_t>(candidates.Count());
    for (int64_t i = 0; i < k; ++i) emit(candidates.At(words.Below(m)));
  }

  // The same, ascending.
  template <typename Emit>
  void Repeated(const PhiloxKey& key, int64_t k, const Candidates& candidates, Emit emit) {
    PhiloxWords words(key);
    draws_.resize(k);
    for (auto& x : draws_) x = words.Below(static_cast<uint32_t>(candidates.Count()));
    std::sort(draws_.begin(), draws_.end());
    for (uint32_t x : draws_) emit(candidates.At(x));
  }

 private:
  // Marks `wanted` distinct positions below m.
  template <typename Visit>
  void Take(const PhiloxKey& key, int64_t wanted, int64_t m, Visit visit) {
    bits_.resize(m / 64 + 1);
    summary_.resize(m / 4096 + 1);
    PhiloxWords words(key);
    const uint32_t n = static_cast<uint32_t>(m);
    const uint32_t threshold = n == 0 ? 0 : (0u - n) % n;  // see PhiloxWords::Below
    while (wanted > 0) {
      const uint32_t* word = words.NextWords();
      for (int i = 0; i < PhiloxWords::kWords && wanted > 0; ++i) {
        const uint64_t product = uint64_t{word[i]} * n;
        if (static_cast<uint32_t>(product) < threshold) continue;
        const uint32_t x = static_cast<uint32_t>(product >> 32);
        const uint64_t bit = uint64_t{1} << (x % 64);
        if (bits_[x / 64] & bit) continue;
        bits_[x / 64] |= bit;
        summary_[x / 4096] |= uint64_t{1} << (x / 64 % 64);
        --wanted;
        visit(x);
      }
    }
  }

  // Both walks leave the bitmap clear for the next line. Bits are taken out four at a time, needed or not:
  // how many a word holds is what a processor cannot foresee.
  template <typename Emit>
  void EmitSet(int64_t k, const Candidates& candidates, Emit emit) {
    draws_.resize(k + 1);
    uint32_t* next = draws_.data();
    for (size_t s = 0; s < summary_.size(); ++s) {
      for (uint64_t left = summary_[s]; left != 0; left &= left - 1) {
        const uint32_t w = static_cast<uint32_t>(s * 64 + __builtin_ctzll(left));
        uint64_t set = bits_[w];
        do {
          for (int i = 0; i < 4; ++i) {
            *next = w * 64 + static_cast<uint32_t>(__builtin_ctzll(set | uint64_t{1} << 63));
            next += set != 0;
            set &= set - 1;
          }
        } while (set != 0);
        bits_[w] = 0;
      }
      summary_[s] = 0;
    }
    for (int64_t i = 0; i < k; ++i) emit(candidates.At(draws_[i]));
  }

  template <typename Emit>
  void EmitUnset(int64_t m, const Candidates& candidates, Emit emit) {
    for (int64_t w = 0; w * 64 < m; ++w) {
      uint64_t unset = ~bits_[w];
      if (m - w * 64 < 64) unset &= (uint64_t{1} << (m - w * 64)) - 1;
      for (; unset != 0; unset &= unset - 1) emit(candidates.At(w * 64 + __builtin_ctzll(unset)));
    }
    std::fill(bits_.begin(), bits_.end(), 0);
    std::fill(summary_.begin(), summary_.end(), 0);
  }

  std::vector<uint64_t> bits_, summary_;
  std::vector<uint32_t> draws_;
};

}  // namespace eventops

#endif  // EVENTOPS_LINES_H_
