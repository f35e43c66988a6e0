// Poisson numbers of events of 64 neurons in one step; see docs/generator.md.
#ifndef EVENTOPS_DRIVE_H_
#define EVENTOPS_DRIVE_H_

#include <cstdint>
#include <cstring>

#include "cpu/isa/kernels.h"
#include "shared/philox.h"
#include "cpu/poisson_law.h"

namespace eventops {

constexpr uint32_t kPoissonInputRule = 6, kDriveVersion = 1;

// Where the words of one step of one drive come from.
struct DriveStep {
  uint32_t seed_low, seed_high, step_low, step_high;

  PhiloxKey Key(uint32_t rule, uint32_t lane) const {
    return {seed_low, seed_high, step_low, step_high, rule | lane << 8 | kDriveVersion << 16};
  }
  void Block(uint32_t rule, uint32_t lane, uint32_t block, uint32_t* words) const {
    PhiloxBlocks<1>(Key(rule, lane), block, words);
  }
};

// A mean in units of 2**-48: digits of the four levels, and what is less than 1/128.
struct DriveMean {
  bool valid;
  uint32_t units;  // of 2**-16
  uint64_t rest;   // below 2**41

  template <typename T>
  explicit DriveMean(T mean) : valid(mean >= T(0) && mean < T(4096)), units(0), rest(0) {
    if (!valid) return;
    const double scaled = static_cast<double>(mean) * 65536.0;
    units = static_cast<uint32_t>(scaled);
    const uint32_t low = static_cast<uint32_t>((scaled - units) * 4294967296.0);
    rest = uint64_t{units & 511u} << 32 | low;
  }
  uint32_t Digit(int level) const { return units >> kPoissonLevels[level].shift & (kPoissonLevels[level].size - 1); }
  const PoissonRow& Row(int level) const { return PoissonRowOf(kPoissonLevels[level].first_row + Digit(level)); }
};

class PoissonNumbers {
 public:
  PoissonNumbers(const DriveStep& step, const Kernels& kernels)
      : step_(step), kernels_(kernels), rest_(PoissonRowOf(kPoissonRestRow)) {}

  // Of the neurons base + begin .. base + end - 1, with base a multiple of 64, into counts[begin] and so on; mean[i * stride], with a stride of 0 or 1,
  // is that of neuron base + begin + i. Returns a bit for each that has no valid mean; its count is 0.
  template <typename T>
  uint64_t Draw(uint32_t base, int begin, int end, const T* mean, int64_t stride, uint16_t* counts) const {
    uint32_t words[kPoissonAtOnce];
    kernels_.philox(step_.Key(kPoissonInputRule, 0), base / 4, words);
    const size_t others = stride == 0 ? 0 : static_cast<size_t>(end - begin - 1);
    if (others == 0 || std::memcmp(mean, mean + 1, others * sizeof(T)) == 0) {
      return Same(base, begin, end, DriveMean(mean[0]), words, counts);
    }
    uint32_t rows[kPoissonAtOnce], units[kPoissonAtOnce];
    uint32_t used = 0;  // units of all neurons
    uint32_t wrong = 0;
    for (int i = begin; i < end; ++i) {
      const T m = mean[i - begin];
      const bool is = m >= T(0) && m < T(4096);
      units[i] = static_cast<uint32_t>(static_cast<int32_t>((is ? m : T(0)) * T(65536)));
      rows[i] = units[i] >> kPoissonLevels[0].shift & (kPoissonLevels[0].size - 1);
      used |= units[i];
      wrong |= is ? 0u : 1u;
    }
    uint64_t invalid = 0;
    for (int i = begin; wrong != 0 && i < end; ++i) invalid |= uint64_t{!DriveMean(mean[i - begin]).valid} << i;
    // Every neuron may have a candidate for the rest of its mean.
    const uint32_t bound = rest_.cells()[0] + 1u;
    uint64_t unsure = kernels_.poisson_each(words, PoissonCells(), rows, begin, end, bound, counts);
    for (; unsure != 0; unsure &= unsure - 1) {
      const int i = __builtin_ctzll(unsure);
      counts[i] = static_cast<uint16_t>(Low(base + i, DriveMean(mean[i - begin]), words[i]));
    }
    for (int level = 1; level < 4; ++level) {
      const PoissonLevel& l = kPoissonLevels[level];
      if ((used >> l.shift & (l.size - 1)) == 0) continue;
      kernels_.philox(step_.Key(kPoissonInputRule, level), base / 4, words);
      for (int i = begin; i < end; ++i) {
        const uint32_t digit = units[i] >> l.shift & (l.size - 1);
        if (digit != 0) counts[i] += High(base + i, level, PoissonRowOf(l.first_row + digit), words[i]);
      }
    }
    return invalid;
  }

 private:
  uint64_t Same(uint32_t base, int begin, int end, const DriveMean& m, uint32_t* words, uint16_t* counts) const {
    const uint64_t inside = (end == 64 ? ~uint64_t{0} : (uint64_t{1} << end) - 1) & (~uint64_t{0} << begin);
    const PoissonRow& row = m.Row(0);
    uint64_t unsure = kernels_.poisson(words, row.cells(), row.n_cells(), Bound(m), counts) & inside;
    if (!m.valid) return inside;
    for (; unsure != 0; unsure &= unsure - 1) {
      const int i = __builtin_ctzll(unsure);
      counts[i] = static_cast<uint16_t>(Low(base + i, m, words[i]));
    }
    for (int level = 1; level < 4; ++level) {
      if (m.Digit(level) == 0) continue;
      const PoissonRow& high = m.Row(level);
      kernels_.philox(step_.Key(kPoissonInputRule, level), base / 4, words);
      for (int i = begin; i < end; ++i) counts[i] += High(base + i, level, high, words[i]);
    }
    return 0;
  }

  // Where the lower half of a word is below this, there may be a candidate for the rest of the mean.
  uint32_t Bound(const DriveMean& m) const { return m.rest == 0 ? 0 : rest_.cells()[0] + 1u; }

  // Level 0 and the rest of the mean.
  uint32_t Low(uint32_t neuron, const DriveMean& m, uint32_t word) const {
    uint32_t found = m.Digit(0) == 0 ? 0 : Half(neuron, m.Row(0), word >> 16, kFurther);
    if (m.rest == 0) return found;
    const uint32_t candidates = Half(neuron, rest_, word & 0xFFFFu, kRestFurther);
    for (uint32_t j = 0; j < candidates; ++j) {
      uint32_t words[4];
      step_.Block(kPoissonInputRule, kCandidates + j, neuron, words);
      found += (uint64_t{words[0]} << 32 | words[1]) < m.rest << 23;
    }
    return found;
  }

  // The first digit of the fraction has 16 bits, and the further ones are drawn where it decides nothing.
  uint32_t Half(uint32_t neuron, const PoissonRow& row, uint32_t digit, uint32_t lane) const {
    uint32_t k = 0;
    while (row.cells()[k] > digit) ++k;
    if (row.cells()[k] != digit) return k;
    uint32_t words[4];
    step_.Block(kPoissonInputRule, lane, neuron, words);
    const uint32_t fraction[4] = {digit << 16 | (words[0] & 0xFFFFu), words[1], words[2], words[3]};
    return row.Count(fraction, k);
  }

  uint32_t High(uint32_t neuron, int level, const PoissonRow& row, uint32_t word) const {
    const uint32_t certain = row.Certain(word);
    if (!row.Has(certain, word)) return row.sure() + certain;
    uint32_t words[4];
    step_.Block(kPoissonInputRule, kFurther + static_cast<uint32_t>(level), neuron, words);
    const uint32_t fraction[4] = {word, words[1], words[2], words[3]};
    return row.sure() + row.Count(fraction, certain);
  }

  static constexpr uint32_t kFurther = 4, kRestFurther = 8, kCandidates = 16;
  const DriveStep step_;
  const Kernels& kernels_;
  const PoissonRow& rest_;
};

}  // namespace eventops

#endif  // EVENTOPS_DRIVE_H_
