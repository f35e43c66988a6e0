// One line of a random graph, drawn by the threads of a block together: the same partners as csrc/lines.h.
#ifndef EVENTOPS_CUDA_LINE_CUH_
#define EVENTOPS_CUDA_LINE_CUH_

#include "device.cuh"
#include "philox.h"

namespace eventops {

constexpr int kMaxDigits = 4;

// The number of thresholds above a uniform 128-bit fraction, whose lower half is drawn only if the upper ties. Calls
// rather than copies: inlined, they are most of what NVRTC takes time for.
__noinline__ uint64_t LowerHalf(PhiloxKey key, uint32_t draw) {
  key.lane = 1;
  uint32_t words[4];
  PhiloxBlocks<1>(key, draw, words);
  return words[0] | uint64_t{words[1]} << 32;
}
__noinline__ uint32_t DigitOf(const uint64_t* high, const uint64_t* gaps, uint64_t upper, PhiloxKey key, uint32_t draw) {
  int j = 0;
#pragma unroll 1
  for (int step = 128; step > 0; step /= 2) j += high[j + step - 1] > upper ? step : 0;
  j += high[j] > upper ? 1 : 0;
  if (j == 256 || high[j] != upper) return j;
  const uint64_t lower = LowerHalf(key, draw);
  while (j < 256 && high[j] == upper && lower < gaps[2 * j]) ++j;
  return j;
}

// One of four numbers, in registers.
inline uint32_t Pick(const uint32_t* words, int i) {
  const uint32_t low = i & 1 ? words[1] : words[0], high = i & 1 ? words[3] : words[2];
  return i & 2 ? high : low;
}

enum Rule { kBernoulli = 1, kFixedPost = 2 };

// Line `pre` of a graph; all threads of the block draw it together.
class Line {
 public:
  // The thresholds of a Bernoulli graph are read once for all lines of a block.
  Line(const GraphParams& graph, uint64_t* thresholds, uint32_t* bits)
      : graph_(graph), thresholds_(thresholds),
        bits_(graph.bits == nullptr ? bits : graph.bits + int64_t{blockIdx.x} * graph.n_words) {
    for (int i = threadIdx.x; i < graph.n_digits * 256; i += blockDim.x) thresholds[i] = graph.gaps[2 * i + 1];
    if (graph.bits == nullptr) {
      for (int i = threadIdx.x; i < graph.n_words; i += blockDim.x) bits_[i] = 0;
    }
    __syncthreads();
  }

  // Calls emit(post) for every partner, each on one thread, which depends on nothing but the graph.
  template <typename Emit>
  void Draw(int64_t pre, Emit emit) {
    if (!Selected(pre)) return;  // for all threads
    key_ = {static_cast<uint32_t>(graph_.seed), static_cast<uint32_t>(graph_.seed >> 32), static_cast<uint32_t>(pre),
            graph_.lane, static_cast<uint32_t>(graph_.rule) | 1u << 16};  // 1: the generator's version
    skip_ = graph_.allow_self ? -1 : pre;
    n_ = graph_.n_out - (graph_.allow_self ? 0 : 1);
    if (graph_.rule == kBernoulli) {
      Bernoulli(emit);
    } else if (graph_.allow_multi) {
      Words(graph_.conn_num, [&](uint32_t x) {
        emit(At(x));
        return true;
      });
    } else {
      Distinct(emit);
    }
    __syncthreads();  // the next line may reuse everything
  }

 private:
  int64_t At(int64_t position) const { return position + (skip_ >= 0 && position >= skip_ ? 1 : 0); }

  bool Selected(int64_t pre) const {
    if (graph_.n_selected == graph_.n_in) return true;
    int64_t low = 0, high = graph_.n_selected;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (graph_.selected[middle] < pre) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < graph_.n_selected && graph_.selected[low] == pre;
  }

  uint32_t Digit(int d, uint64_t upper, uint32_t draw) const {
    return DigitOf(thresholds_ + d * 256, graph_.gaps + d * 512, upper, key_, draw);
  }

  // A draw is a digit of a gap; which one depends on the draws before it: from digit d to the next, from the last back to
  // the first, or to itself if it was 256 (the law has no memory). Such maps of digits, two bits for the image of each,
  // can be composed in any grouping, so a scan finds the digit of every draw at once, and another all positions.
  struct Then {
    uint32_t operator()(uint32_t first, uint32_t second) const {
      uint32_t map = 0;
      for (int d = 0; d < kMaxDigits; ++d) map |= (second >> 2 * (first >> 2 * d & 3) & 3) << 2 * d;
      return map;
    }
  };
  static constexpr uint32_t kSame = 0 | 1 << 2 | 2 << 4 | 3 << 6;

  template <typename Emit>
  void Bernoulli(Emit emit) {
    const int last = graph_.n_digits - 1;
    const uint64_t n = n_;
    uint64_t position = 0;
    uint32_t digit_now = 0;
    for (uint32_t block = threadIdx.x; position < n; block += blockDim.x) {
      uint32_t words[4];
      PhiloxBlocks<1>(key_, block, words);
      const uint64_t upper[2] = {words[0] | uint64_t{words[1]} << 32, words[2] | uint64_t{words[3]} << 32};
      uint32_t d[2] = {0, 0}, digit[2];
      if (last > 0) {
        uint32_t map[2], all;
        for (int i = 0; i < 2; ++i) {
          const bool more = Digit(last, upper[i], 2 * block + i) == 256;
          map[i] = 0;
          for (int from = 0; from < last; ++from) map[i] |= (from + 1) << 2 * from;
          map[i] |= (more ? last : 0) << 2 * last;
        }
        const uint32_t before = BlockScan(Then()(map[0], map[1]), kSame, Then(), &all);
        d[0] = before >> 2 * digit_now & 3;
        d[1] = map[0] >> 2 * d[0] & 3;
        digit_now = all >> 2 * digit_now & 3;
      }
      uint64_t steps = 0, at[2];
      bool hit[2];
      for (int i = 0; i < 2; ++i) {
        digit[i] = Digit(d[i], upper[i], 2 * block + i);
        steps += uint64_t{digit[i]} << 8 * d[i];
        at[i] = steps;
        hit[i] = static_cast<int>(d[i]) == last && digit[i] != 256;
        steps += hit[i];
      }
      uint64_t all;
      const uint64_t start = position + BlockScan(steps, uint64_t{0}, Plus(), &all);
#pragma unroll 1
      for (int i = 0; i < 2; ++i) {
        const uint64_t x = start + (i == 0 ? at[0] : at[1]);
        if ((i == 0 ? hit[0] : hit[1]) && x < n) emit(At(x));
      }
      position += all;
    }
  }

  // Takes uniform numbers below n_ from the words of the line, in order, until `take` has been true for `wanted` of
  // them. (D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019.) At most as many words
  // as are still wanted are looked at together, so none is taken too many.
  template <typename Take>
  void Words(int64_t wanted, Take take) {
    const uint32_t m = static_cast<uint32_t>(n_);
    const uint32_t threshold = m == 0 ? 0 : (0u - m) % m;
    int64_t next = 0;
    while (wanted > 0) {
      const int64_t end = next + Least<int64_t>(wanted, 4 * blockDim.x - next % 4);
      const int64_t block = next / 4 + threadIdx.x;
      int taken = 0;
      if (4 * block < end) {
        uint32_t words[4];
        PhiloxBlocks<1>(key_, static_cast<uint32_t>(block), words);
#pragma unroll 1
        for (int i = 0; i < 4; ++i) {
          const uint64_t product = uint64_t{Pick(words, i)} * m;
          const bool mine = 4 * block + i >= next && 4 * block + i < end;
          if (mine && static_cast<uint32_t>(product) >= threshold) taken += take(static_cast<uint32_t>(product >> 32));
        }
      }
      next = end;
      wanted -= BlockSum(taken);
    }
  }

  // More than half are drawn as the few that are left out. Partners come from the bitmap, in an order of its own:
  // which thread was the first to set a bit is not determined.
  template <typename Emit>
  void Distinct(Emit emit) {
    const bool left_out = graph_.conn_num > n_ / 2;
    Words(left_out ? n_ - graph_.conn_num : graph_.conn_num, [&](uint32_t x) {
      const uint32_t bit = 1u << x % 32;
      return (atomicOr(bits_ + x / 32, bit) & bit) == 0;
    });
    __syncthreads();
    for (int64_t w = threadIdx.x; 32 * w < n_; w += blockDim.x) {
      uint32_t set = bits_[w];
      bits_[w] = 0;
      if (left_out) set = ~set & (n_ - 32 * w < 32 ? (1u << (n_ - 32 * w)) - 1 : kAll);
      for (; set != 0; set &= set - 1) emit(At(32 * w + __ffs(set) - 1));
    }
  }

  const GraphParams& graph_;
  uint64_t* thresholds_;
  uint32_t* bits_;
  PhiloxKey key_;
  int64_t skip_, n_;
};

}  // namespace eventops

#endif  // EVENTOPS_CUDA_LINE_CUH_
