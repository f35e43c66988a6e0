// Rows of a distance-dependent graph: neurons on a line, a ring, a grid or a torus. docs/generator.md is the
// definition, eventops/lattice.py makes the tables.
#ifndef EVENTOPS_LATTICE_H_
#define EVENTOPS_LATTICE_H_

#include <algorithm>
#include <cstdint>

#include "gaps.h"
#include "words.h"

namespace eventops {

struct Axis {
  int64_t n_pre = 0, n_post = 0;
  bool periodic = false;
  int64_t a = 1, b = 1;  // the sizes over their greatest common divisor

  // What the offsets of pre neuron i count from.
  int64_t Base(int64_t i) const { return i / a * b; }

  // The post neuron at an offset from there, if it is in 0 .. n_post - 1.
  int64_t Post(int64_t base, int64_t offset) const {
    const int64_t j = base + offset;
    return j - (periodic && j >= n_post ? n_post : 0);
  }
};

// A view of the tables, which the caller keeps: uint32 words, in this order: the axes (n_pre, n_post, periodic),
// three lengths, where the levels of each class start, first digit and number of digits of each level's gaps,
// where the pairs of each level start, and the pairs (both offsets, threshold with the low word first).
class Lattice {
 public:
  // False if the words are no lattice of n_in and n_out neurons whose tables of gaps have n_digits digits.
  bool Read(const uint32_t* words, int64_t n_words, int64_t n_in, int64_t n_out, int64_t n_digits) {
    constexpr int64_t kHead = 9;
    if (n_words < kHead) return false;
    for (int d = 0; d < 2; ++d) {
      Axis& axis = axes_[d];
      axis = {words[3 * d], words[3 * d + 1], words[3 * d + 2] == 1};
      if (axis.n_pre == 0 || axis.n_post == 0 || axis.n_pre > INT32_MAX || axis.n_post > INT32_MAX) return false;
      int64_t g = axis.n_pre;
      for (int64_t rest = axis.n_post; rest != 0;) {
        const int64_t next = g % rest;
        g = rest;
        rest = next;
      }
      axis.a = axis.n_pre / g;
      axis.b = axis.n_post / g;
    }
    n_classes_ = words[6], n_levels_ = words[7], n_pairs_ = words[8], n_digits_ = n_digits;
    // Sizes below 2**31 each: their products fit 64 bits.
    if (axes_[0].n_pre * axes_[1].n_pre != n_in || axes_[0].n_post * axes_[1].n_post != n_out ||
        axes_[0].a * axes_[1].a != n_classes_ ||
        n_words != kHead + n_classes_ + 1 + 2 * n_levels_ + n_levels_ + 1 + 4 * n_pairs_) {
      return false;
    }
    classes_ = words + kHead;
    digits_ = classes_ + n_classes_ + 1;
    starts_ = digits_ + 2 * n_levels_;
    pairs_ = starts_ + n_levels_ + 1;
    return true;
  }

  // Calls emit(post) for the targets of a pre neuron, in no order, none twice. `accept` is the line of the
  // numbers that candidates are kept by.
  template <typename Emit>
  void Targets(const PhiloxKey& key, const PhiloxKey& accept, const GapTable& gaps, int64_t pre, Emit emit) const {
    const int64_t y = pre / axes_[1].n_pre, x = pre % axes_[1].n_pre;
    const int64_t c = y % axes_[0].a * axes_[1].a + x % axes_[1].a;
    const int64_t row_base = axes_[0].Base(y), column_base = axes_[1].Base(x);
    PhiloxWords words(key), kept(accept);
    uint32_t n_draws = 0;
    // Whatever the tables hold, nothing is read beside them.
    const int64_t last = std::min<int64_t>(classes_[c + 1], n_levels_);
    for (int64_t l = classes_[c]; l < last; ++l) {
      const int64_t end = std::min<int64_t>(starts_[l + 1], n_pairs_);
      const int64_t first = std::min<int64_t>(digits_[2 * l], n_digits_);
      const int64_t n_digits = std::min<int64_t>({digits_[2 * l + 1], n_digits_ - first, kMostDigits});
      // Which candidates are kept is what a processor cannot foresee: they are found first, then looked at
      // without a branch.
      uint32_t found[kAtOnce];
      for (int64_t i = std::min<int64_t>(starts_[l], n_pairs_); i < end;) {
        int n_found = 0;
        for (; i < end && n_found < kAtOnce; ++i) {
          i += static_cast<int64_t>(gaps.Draw(words, key, &n_draws, static_cast<uint64_t>(end - i), first, n_digits));
          if (i >= end) break;
          found[n_found++] = static_cast<uint32_t>(i);
        }
        int64_t posts[kAtOnce];
        int n_posts = 0;
        for (int k = 0; k < n_found; ++k) {
          const uint32_t* pair = pairs_ + 4 * int64_t{found[k]};
          const int64_t row = axes_[0].Post(row_base, static_cast<int32_t>(pair[0]));
          const int64_t column = axes_[1].Post(column_base, static_cast<int32_t>(pair[1]));
          posts[n_posts] = row * axes_[1].n_post + column;
          n_posts += (kept.Next64() <= (pair[2] | uint64_t{pair[3]} << 32)) & (row >= 0) & (row < axes_[0].n_post) &
                     (column >= 0) & (column < axes_[1].n_post);
        }
        for (int k = 0; k < n_posts; ++k) emit(posts[k]);
      }
    }
  }

 private:
  static constexpr int kAtOnce = 64;

  Axis axes_[2];
  int64_t n_classes_ = 0, n_levels_ = 0, n_pairs_ = 0, n_digits_ = 0;
  const uint32_t *classes_ = nullptr, *digits_ = nullptr, *starts_ = nullptr, *pairs_ = nullptr;
};

}  // namespace eventops

#endif  // EVENTOPS_LATTICE_H_
