// The random words of one line, in order.
#ifndef EVENTOPS_WORDS_H_
#define EVENTOPS_WORDS_H_

#include <cstdint>

#include "cpu/isa/kernels.h"

namespace eventops {

class PhiloxWords {
 public:
  // From word `first` of the line on.
  explicit PhiloxWords(const PhiloxKey& key, uint64_t first = 0)
      : key_(key), philox_(ChosenKernels().philox), next_block_(static_cast<uint32_t>(first / 4)) {
    if (first % 4 == 0) return;
    Refill();
    used_ = static_cast<int>(first % 4);
  }

  // The number of words of the line that were taken, or skipped at the start.
  uint64_t Taken() const { return uint64_t{4} * next_block_ - static_cast<uint64_t>(kWords - used_); }

  uint32_t Next() {
    if (used_ == kWords) Refill();
    return words_[used_++];
  }

  // The next two words, low one first.
  uint64_t Next64() {
    if (used_ + 2 <= kWords) {
      const uint64_t both = words_[used_] | uint64_t{words_[used_ + 1]} << 32;
      used_ += 2;
      return both;
    }
    const uint64_t low = Next();
    return low | uint64_t{Next()} << 32;
  }

  // All words of the next blocks at once; not to be mixed with the other ways.
  static constexpr int kWords = 4 * kPhiloxBlocks;
  const uint32_t* NextWords() {
    Refill();
    return words_;
  }

  // Uniform on 0 .. m - 1, m >= 1, exactly: D. Lemire, "Fast random integer generation in an interval",
  // ACM TOMACS 29(1), 2019.
  uint32_t Below(uint32_t m) {
    uint64_t product = uint64_t{Next()} * m;
    if (static_cast<uint32_t>(product) < m) {
      const uint32_t threshold = (0u - m) % m;
      while (static_cast<uint32_t>(product) < threshold) product = uint64_t{Next()} * m;
    }
    return static_cast<uint32_t>(product >> 32);
  }

 private:
  void Refill() {
    philox_(key_, next_block_, words_);
    next_block_ += kPhiloxBlocks;
    used_ = 0;
  }

  PhiloxKey key_;
  void (*philox_)(const PhiloxKey&, uint32_t, uint32_t*);
  uint32_t next_block_;
  int used_ = kWords;
  uint32_t words_[kWords];
};

}  // namespace eventops

#endif  // EVENTOPS_WORDS_H_
