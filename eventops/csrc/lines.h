// The partners of one neuron under each rule, in ascending order. This file and eventops/random.py are the
// definition of graph generator version 1: a change here that changes a graph is a new version.
#ifndef EVENTOPS_LINES_H_
#define EVENTOPS_LINES_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "philox.h"

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
      : thresholds_(static_cast<const Threshold*>(words)), guide_(n_digits * 256), n_digits_(n_digits) {
    for (int64_t d = 0; d < n_digits; ++d) {
      for (int64_t u = 0; u < 256; ++u) {
        // Thresholds fall with j, so those above every number that starts with the byte u are certain.
        int64_t j = 0;
        while (j < 256 && u < 255 && At(d, j).high >= static_cast<uint64_t>(u + 1) << 56) ++j;
        guide_[d * 256 + u] = static_cast<uint16_t>(j);
      }
    }
  }

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

 private:
  const Threshold& At(int64_t d, int64_t j) const { return thresholds_[d * 256 + j]; }

  // The number of thresholds above a uniform 128-bit fraction. Its lower half is drawn only in the rare
  // case that the upper half ties.
  uint64_t Digit(int64_t d, uint64_t upper, const PhiloxKey& key, uint32_t draw) const {
    int64_t j = guide_[d * 256 + (upper >> 56)];
    for (; j < 256; ++j) {
      const Threshold& t = At(d, j);
      if (upper < t.high) continue;
      if (upper > t.high || Lower(key, draw) >= t.low) break;
    }
    return static_cast<uint64_t>(j);
  }

  static uint64_t Lower(PhiloxKey key, uint32_t draw) {
    key.lane = 1;
    uint32_t words[4];
    PhiloxBlocks<1>(key, draw, words);
    return words[0] | uint64_t{words[1]} << 32;
  }

  const Threshold* thresholds_;
  std::vector<uint16_t> guide_;
  int64_t n_digits_;
};

// Each candidate with the same probability, independently: the gaps between partners are geometric.
template <typename Emit>
void DrawBernoulli(const PhiloxKey& key, const GapTable& table, const Candidates& candidates, Emit emit) {
  PhiloxWords words(key);
  uint32_t n_draws = 0;
  const uint64_t n = static_cast<uint64_t>(candidates.Count());
  for (uint64_t position = 0; position < n; ++position) {
    position += table.Draw(words, key, &n_draws, n - position);
    if (position >= n) return;
    emit(candidates.At(static_cast<int64_t>(position)));
  }
}

// Scratch of one thread: a bitmap over the candidates, with one summary bit for each of its words.
class FixedDrawer {
 public:
  // `k` of the candidates, all subsets equally likely: uniform draws, those already taken drawn again.
  // More than half are drawn as the few that are left out.
  template <typename Emit>
  void Distinct(const PhiloxKey& key, int64_t k, const Candidates& candidates, Emit emit) {
    const int64_t m = candidates.Count();
    const bool complement = k > m / 2;
    const int64_t wanted = complement ? m - k : k;
    bits_.resize(m / 64 + 1);
    summary_.resize(m / 4096 + 1);
    PhiloxWords words(key);
    for (int64_t taken = 0; taken < wanted;) {
      const uint32_t x = words.Below(static_cast<uint32_t>(m));
      const uint64_t bit = uint64_t{1} << (x % 64);
      if (bits_[x / 64] & bit) continue;
      bits_[x / 64] |= bit;
      summary_[x / 4096] |= uint64_t{1} << (x / 64 % 64);
      ++taken;
    }
    if (complement) {
      EmitUnset(m, candidates, emit);
    } else {
      EmitSet(candidates, emit);
    }
  }

  // `k` independent uniform draws, repeats kept.
  template <typename Emit>
  void Repeated(const PhiloxKey& key, int64_t k, const Candidates& candidates, Emit emit) {
    PhiloxWords words(key);
    draws_.resize(k);
    for (auto& x : draws_) x = words.Below(static_cast<uint32_t>(candidates.Count()));
    std::sort(draws_.begin(), draws_.end());
    for (uint32_t x : draws_) emit(candidates.At(x));
  }

 private:
  // Both walks leave the bitmap clear for the next line.
  template <typename Emit>
  void EmitSet(const Candidates& candidates, Emit emit) {
    for (size_t s = 0; s < summary_.size(); ++s) {
      for (uint64_t left = summary_[s]; left != 0; left &= left - 1) {
        const int64_t w = static_cast<int64_t>(s * 64 + __builtin_ctzll(left));
        for (uint64_t set = bits_[w]; set != 0; set &= set - 1) {
          emit(candidates.At(w * 64 + __builtin_ctzll(set)));
        }
        bits_[w] = 0;
      }
      summary_[s] = 0;
    }
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
