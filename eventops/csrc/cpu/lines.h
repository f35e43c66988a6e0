// The partners of one neuron under each rule. docs/generator.md defines them: a change here that changes a graph
// is a new version of the generator.
#ifndef EVENTOPS_LINES_H_
#define EVENTOPS_LINES_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/gaps.h"
#include "shared/lattice.h"
#include "cpu/words.h"

namespace eventops {

enum Rule : int64_t { kBernoulli = 1, kFixedPost = 2, kFixedPre = 3, kFixedTotal = 4, kDistance = 5 };

// The neurons that a line may reach: 0 .. n - 1, less one (the line's own neuron) if `skip` >= 0.
struct Candidates {
  int64_t n;
  int64_t skip;
  int64_t Count() const { return n - (skip >= 0 ? 1 : 0); }
  // From a position among the candidates to the neuron.
  int64_t At(int64_t position) const { return position + (skip >= 0 && position >= skip ? 1 : 0); }
};

template <typename Emit>
void DrawBernoulli(const PhiloxKey& key, const GapTable& table, const Candidates& candidates, Emit emit) {
  const uint64_t n = static_cast<uint64_t>(candidates.Count());
  if (candidates.skip < 0) return DrawPositions(key, table, n, emit);
  DrawPositions(key, table, n, [&](int64_t position) { emit(candidates.At(position)); });
}

// The targets of a pre neuron of a lattice, in no order, none twice. `accept` is the line of the numbers that candidates
// are kept by.
template <typename Emit>
void DrawLattice(const PhiloxKey& key, const PhiloxKey& accept, const GapTable& gaps, const Lattice& lattice, int64_t pre,
                 Emit emit) {
  constexpr int kAtOnce = 64;
  const Lattice::Row row = lattice.RowOf(pre);
  PhiloxWords words(key), kept(accept);
  uint32_t n_draws = 0;
  for (int64_t l = row.first_level; l < row.end_level; ++l) {
    const Lattice::Level level = lattice.LevelOf(l);
    const int64_t n_digits = std::min<int64_t>(level.n_digits, kMostDigits);
    // Which candidates are kept is what a processor cannot foresee: they are found first, then looked at
    // without a branch.
    uint32_t found[kAtOnce];
    for (int64_t i = level.first; i < level.end;) {
      int n_found = 0;
      for (; i < level.end && n_found < kAtOnce; ++i) {
        const uint64_t left = static_cast<uint64_t>(level.end - i);
        i += static_cast<int64_t>(gaps.Draw(words, key, &n_draws, left, level.first_digit, n_digits));
        if (i >= level.end) break;
        found[n_found++] = static_cast<uint32_t>(i);
      }
      int64_t posts[kAtOnce];
      int n_posts = 0;
      for (int k = 0; k < n_found; ++k) {
        bool inside;
        posts[n_posts] = lattice.Post(row, found[k], &inside);
        n_posts += (kept.Next64() <= lattice.Threshold(found[k])) & inside;
      }
      for (int k = 0; k < n_posts; ++k) emit(posts[k]);
    }
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
    const int64_t m = candidates.Count();
    if (k == 0) return;
    repeats_.clear();
    bits_.resize(m / 64 + 1);
    summary_.resize(m / 4096 + 1);
    for (int64_t i = 0; i < k; ++i) {
      const uint32_t x = words.Below(static_cast<uint32_t>(m));
      if (!Mark(x)) repeats_.push_back(x);
    }
    std::sort(repeats_.begin(), repeats_.end());
    auto again = repeats_.begin();
    EmitSet(k - static_cast<int64_t>(repeats_.size()), Candidates{m, -1}, [&](int64_t x) {
      emit(candidates.At(x));
      for (; again != repeats_.end() && *again == x; ++again) emit(candidates.At(x));
    });
  }

  // The numbers below m that draw(visit) visits, none twice, ascending.
  template <typename Draw, typename Emit>
  void Ascending(int64_t m, Draw draw, Emit emit) {
    bits_.resize(m / 64 + 1);
    summary_.resize(m / 4096 + 1);
    int64_t k = 0;
    draw([&](int64_t x) { k += Mark(static_cast<uint32_t>(x)); });
    EmitSet(k, Candidates{m, -1}, emit);
  }

 private:
  // False if x is marked already.
  bool Mark(uint32_t x) {
    const uint64_t bit = uint64_t{1} << (x % 64);
    if (bits_[x / 64] & bit) return false;
    bits_[x / 64] |= bit;
    summary_[x / 4096] |= uint64_t{1} << (x / 64 % 64);
    return true;
  }

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
        if (!Mark(x)) continue;
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
  std::vector<uint32_t> draws_, repeats_;
};

}  // namespace eventops

#endif  // EVENTOPS_LINES_H_
