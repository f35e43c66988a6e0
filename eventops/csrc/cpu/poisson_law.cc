// Makes the tables of the Poisson law by long arithmetic.

#include "cpu/poisson_law.h"

#include <algorithm>
#include <atomic>
#include <mutex>

namespace eventops {
namespace {

constexpr uint32_t kUnits = 128;

// A number with `places` words behind the binary point and a few before it, lowest word first; it never gets negative.
class Long {
 public:
  Long(size_t places, size_t whole) : words_(places + whole), places_(places) {}

  void SetOne() { words_[places_] = 1; }
  bool IsZero() const {
    return std::all_of(words_.begin(), words_.end(), [](uint32_t w) { return w == 0; });
  }
  // times / by, rounded down.
  void Scale(uint32_t times, uint32_t by) {
    uint64_t carry = 0;
    for (uint32_t& w : words_) {
      carry += uint64_t{w} * times;
      w = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    uint64_t rest = carry;  // above the highest word there is room enough for this to be 0
    for (size_t i = words_.size(); i-- > 0;) {
      rest = rest << 32 | words_[i];
      words_[i] = static_cast<uint32_t>(rest / by);
      rest %= by;
    }
  }
  void Add(const Long& other) {
    uint64_t carry = 0;
    for (size_t i = 0; i < words_.size(); ++i) {
      carry += uint64_t{words_[i]} + other.words_[i];
      words_[i] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }
  void Subtract(const Long& other) {
    int64_t borrow = 0;
    for (size_t i = 0; i < words_.size(); ++i) {
      borrow += int64_t{words_[i]} - other.words_[i];
      words_[i] = static_cast<uint32_t>(borrow);
      borrow >>= 32;
    }
  }
  // The first 128 bits behind the point, highest word first.
  std::array<uint32_t, 4> Fraction() const {
    return {words_[places_ - 1], words_[places_ - 2], words_[places_ - 3], words_[places_ - 4]};
  }

 private:
  std::vector<uint32_t> words_;
  size_t places_;
};

}  // namespace

PoissonRow::PoissonRow(uint32_t mean) {
  if (mean == 0) return;
  // The series of exp(-m) alternates: its terms are as large as exp(m), and as many places are lost.
  const size_t whole = (3 * (mean / kUnits + 1)) / 64 + 3, places = 2 * whole + 8;
  Long term(places, whole), probability(places, whole), odd(places, whole), left(places, whole);
  term.SetOne(), probability.SetOne(), left.SetOne();
  for (uint32_t k = 1; !term.IsZero(); ++k) {
    term.Scale(mean, kUnits * k);
    (k % 2 == 1 ? odd : probability).Add(term);
  }
  probability.Subtract(odd);
  for (uint32_t k = 1;; ++k) {
    left.Subtract(probability);
    const std::array<uint32_t, 4> t = left.Fraction();
    if (t == std::array<uint32_t, 4>{}) break;
    if (top_.empty() && (t[0] & t[1] & t[2] & t[3]) == UINT32_MAX) {
      ++sure_;
    } else {
      top_.push_back(t[0]);
      rest_.push_back({t[1], t[2], t[3]});
    }
    probability.Scale(mean, kUnits * k);
  }
  top_.push_back(0);
  if (mean >= 4 * kUnits) {
    uint16_t certain = 0;
    for (uint32_t u = 1u << kFirstBits; u-- > 0;) {
      const uint32_t most = (u << (32 - kFirstBits)) | ((1u << (32 - kFirstBits)) - 1);
      while (top_[certain] > most) ++certain;
      guide_.push_back(certain);
    }
    std::reverse(guide_.begin(), guide_.end());
    return;
  }
  while (n_cells_ < kPoissonCells && top_[n_cells_] >> 16 != 0) {
    cells_[n_cells_] = static_cast<uint16_t>(top_[n_cells_] >> 16);
    ++n_cells_;
  }
  ++n_cells_;  // with one 0
}

uint32_t PoissonRow::Count(const uint32_t (&fraction)[4], uint32_t certain) const {
  for (; certain < size() && top_[certain] >= fraction[0]; ++certain) {
    if (top_[certain] > fraction[0]) continue;
    const std::array<uint32_t, 3> rest = {fraction[1], fraction[2], fraction[3]};
    if (rest >= rest_[certain]) break;
  }
  return certain;
}

const PoissonRow& PoissonRowOf(uint32_t row) {
  static std::atomic<const PoissonRow*> rows[kPoissonRows];
  static std::mutex making;
  const PoissonRow* found = rows[row].load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  std::lock_guard<std::mutex> lock(making);
  found = rows[row].load(std::memory_order_acquire);
  if (found == nullptr) {
    int level = 3;
    while (row < kPoissonLevels[level].first_row) --level;
    found = new PoissonRow(kPoissonLevels[level].unit * (row - kPoissonLevels[level].first_row));
    rows[row].store(found, std::memory_order_release);
  }
  return *found;
}

const uint16_t* PoissonCells() {
  struct Cells {
    alignas(64) uint16_t of[512][kPoissonCells];
    Cells() {
      for (uint32_t row = 0; row < 512; ++row) std::copy_n(PoissonRowOf(row).cells(), kPoissonCells, of[row]);
    }
  };
  static const Cells cells;
  return cells.of[0];
}

}  // namespace eventops

// For the tests: the words of a row, highest of each probability first, at most `room` of them; returns how many there are,
// and how many events are sure.
extern "C" __attribute__((visibility("default"))) int64_t EventopsPoissonRow(int64_t row, int64_t room, uint32_t* words,
                                                                             int64_t* sure) {
  const eventops::PoissonRow& law = eventops::PoissonRowOf(static_cast<uint32_t>(row));
  *sure = law.sure();
  for (int64_t k = 0; k < std::min<int64_t>(room, law.size()); ++k) {
    const auto t = law.At(k);
    std::copy(t.begin(), t.end(), words + 4 * k);
  }
  return law.size();
}
