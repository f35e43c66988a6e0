// The Poisson law as integers; see docs/generator.md, and eventops/graphs/poisson_law.py, which computes the same.
#ifndef EVENTOPS_POISSON_LAW_H_
#define EVENTOPS_POISSON_LAW_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cpu/isa/kernels.h"

namespace eventops {

// A level's unit is a multiple of 1/128; its digit is found in the fixed-point mean (units of 2**-16) after a shift.
struct PoissonLevel {
  uint32_t unit, shift, size, first_row;
};
constexpr PoissonLevel kPoissonLevels[] = {
    {1, 9, 512, 0}, {4 * 128, 18, 16, 512}, {64 * 128, 22, 16, 528}, {1024 * 128, 26, 4, 544}};
constexpr uint32_t kPoissonRows = 548, kPoissonRestRow = 1;  // the row of the mean 1/128

// P(X > k) for one mean, falling: 128-bit fractions.
class PoissonRow {
 public:
  explicit PoissonRow(uint32_t mean);  // in units of 1/128

  // How many are above every fraction that starts with the word; and whether the next one starts with it. Most words are
  // decided by the guide and one comparison, without a branch that a processor could not foresee.
  uint32_t Certain(uint32_t word) const {
    uint32_t k = guide_[word >> (32 - kFirstBits)];
    k += top_[k] > word;
    while (top_[k] > word) ++k;
    return k;
  }
  bool Has(uint32_t certain, uint32_t word) const { return certain < size() && top_[certain] == word; }

  // For the first `certain` of which that is known, how many are above this fraction, highest word first.
  uint32_t Count(const uint32_t (&fraction)[4], uint32_t certain) const;

  // Probabilities too close to 1 to be in the table: that many events there are in any case.
  uint32_t sure() const { return sure_; }
  size_t size() const { return rest_.size(); }
  std::array<uint32_t, 4> At(size_t k) const { return {top_[k], rest_[k][0], rest_[k][1], rest_[k][2]}; }

  // The upper 16 bits of the probabilities down to the first that are 0, and zeros; where the mean is below 4.
  const uint16_t* cells() const { return cells_; }
  int n_cells() const { return n_cells_; }

 private:
  static constexpr int kFirstBits = 11;

  uint32_t sure_ = 0;
  std::vector<uint32_t> top_;  // and a 0 behind them
  std::vector<uint16_t> guide_;
  std::vector<std::array<uint32_t, 3>> rest_;
  uint16_t cells_[kPoissonCells] = {};
  int n_cells_ = 0;
};

// Rows are made when they are first asked for, and stay.
const PoissonRow& PoissonRowOf(uint32_t row);

// The cells of all rows of level 0 behind each other.
const uint16_t* PoissonCells();

}  // namespace eventops

#endif  // EVENTOPS_POISSON_LAW_H_
