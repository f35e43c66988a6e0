// The tables of a distance-dependent graph: neurons on a line, a ring, a grid or a torus. docs/generator.md is the
// definition, eventops/graphs/lattice.py makes the tables. Read by the host's compiler and by the device's.
#ifndef EVENTOPS_LATTICE_H_
#define EVENTOPS_LATTICE_H_

#include <cstdint>

namespace eventops {

struct Axis {
  uint32_t n_pre, n_post;
  bool periodic;
  uint32_t a, b;  // the sizes over their greatest common divisor

  // What the offsets of pre neuron i count from.
  int64_t Base(uint32_t i) const { return int64_t{i / a} * b; }

  // The post neuron at an offset from there, if it is in 0 .. n_post - 1.
  int64_t Post(int64_t base, int64_t offset) const {
    const int64_t j = base + offset;
    return j - (periodic && j >= n_post ? n_post : 0);
  }
};

// A view of the tables, which the caller keeps, to be made by Read: uint32 words, in this order: the axes (n_pre, n_post, periodic),
// three lengths, where the levels of each class start, first digit and number of digits of each level's gaps,
// where the pairs of each level start, and the pairs (both offsets, threshold with the low word first).
class Lattice {
 public:
  // False if the words are no lattice of n_in and n_out neurons whose tables of gaps have n_digits digits.
  bool Read(const uint32_t* words, int64_t n_words, int64_t n_in, int64_t n_out, int64_t n_digits) {
    constexpr int64_t kHead = 9;
    constexpr uint32_t kMost = 0x7fffffff;
    if (n_words < kHead) return false;
    for (int d = 0; d < 2; ++d) {
      Axis& axis = axes_[d];
      axis = {words[3 * d], words[3 * d + 1], words[3 * d + 2] == 1, 1, 1};
      if (axis.n_pre == 0 || axis.n_post == 0 || axis.n_pre > kMost || axis.n_post > kMost) return false;
      uint32_t g = axis.n_pre;
      for (uint32_t rest = axis.n_post; rest != 0;) {
        const uint32_t next = g % rest;
        g = rest;
        rest = next;
      }
      axis.a = axis.n_pre / g;
      axis.b = axis.n_post / g;
    }
    n_classes_ = words[6], n_levels_ = words[7], n_pairs_ = words[8], n_digits_ = n_digits;
    if (Product(axes_[0].n_pre, axes_[1].n_pre) != n_in || Product(axes_[0].n_post, axes_[1].n_post) != n_out ||
        Product(axes_[0].a, axes_[1].a) != n_classes_ ||
        n_words != kHead + n_classes_ + 1 + 2 * n_levels_ + n_levels_ + 1 + 4 * n_pairs_) {
      return false;
    }
    classes_ = words + kHead;
    digits_ = classes_ + n_classes_ + 1;
    starts_ = digits_ + 2 * n_levels_;
    pairs_ = starts_ + n_levels_ + 1;
    return true;
  }

  // Pairs first .. end - 1 are candidates with the same probability, whose gaps have n_digits digits from first_digit on.
  struct Level {
    int64_t first, end, first_digit, n_digits;
  };
  // Where a pre neuron stands, and its levels.
  struct Row {
    int64_t row_base, column_base, first_level, end_level;
  };

  Row RowOf(int64_t pre) const {
    const uint32_t y = static_cast<uint32_t>(pre) / axes_[1].n_pre, x = static_cast<uint32_t>(pre) % axes_[1].n_pre;
    const int64_t c = Product(y % axes_[0].a, axes_[1].a) + x % axes_[1].a;
    return {axes_[0].Base(y), axes_[1].Base(x), classes_[c], Smaller(classes_[c + 1], n_levels_)};
  }

  // Whatever the tables hold, nothing is read beside them.
  Level LevelOf(int64_t l) const {
    const int64_t first_digit = Smaller(digits_[2 * l], n_digits_);
    return {Smaller(starts_[l], n_pairs_), Smaller(starts_[l + 1], n_pairs_), first_digit,
            Smaller(digits_[2 * l + 1], n_digits_ - first_digit)};
  }

  // A candidate is kept if a 64-bit number is at most this.
  uint64_t Threshold(int64_t pair) const { return pairs_[4 * pair + 2] | uint64_t{pairs_[4 * pair + 3]} << 32; }

  // The post neuron of a pair; `inside` says whether there is one.
  int64_t Post(const Row& row, int64_t pair, bool* inside) const {
    const int64_t i = axes_[0].Post(row.row_base, static_cast<int32_t>(pairs_[4 * pair]));
    const int64_t j = axes_[1].Post(row.column_base, static_cast<int32_t>(pairs_[4 * pair + 1]));
    *inside = (i >= 0) & (i < axes_[0].n_post) & (j >= 0) & (j < axes_[1].n_post);
    return i * axes_[1].n_post + j;
  }

 private:
  // Sizes below 2**31 each: their products fit 64 bits.
  static int64_t Product(uint32_t a, uint32_t b) { return static_cast<int64_t>(uint64_t{a} * b); }
  static int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

  Axis axes_[2];
  int64_t n_classes_, n_levels_, n_pairs_, n_digits_;
  const uint32_t *classes_, *digits_, *starts_, *pairs_;
};

}  // namespace eventops

#endif  // EVENTOPS_LATTICE_H_
