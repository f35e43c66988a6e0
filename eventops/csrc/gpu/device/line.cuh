// One line of a random graph, drawn by the threads of a block together: the same partners as csrc/cpu/lines.h.
#ifndef EVENTOPS_CUDA_LINE_CUH_
#define EVENTOPS_CUDA_LINE_CUH_

#include "gpu/device/device.cuh"
#include "shared/lattice.h"
#include "shared/philox.h"

// Kernels that draw lines: with two blocks at a time as the goal they need not spill registers.
#ifdef EVENTOPS_EMULATED
#define EVENTOPS_LINE_KERNEL EVENTOPS_KERNEL
#else
#define EVENTOPS_LINE_KERNEL(name, Params) \
  extern "C" __global__ void __launch_bounds__(eventops::kThreads, 2) name(const eventops::Params p)
#endif

namespace eventops {

constexpr int kMaxDigits = 4;

// Number i of a line, of two words. Calls rather than copies: inlined, they are most of what NVRTC takes time for.
__noinline__ uint64_t Number64(PhiloxKey key, uint32_t i) {
  uint32_t words[4];
  PhiloxBlocks<1>(key, i / 2, words);
  const uint32_t low = i % 2 ? words[2] : words[0], high = i % 2 ? words[3] : words[1];
  return low | uint64_t{high} << 32;
}
// The number of thresholds above a uniform 128-bit fraction, whose lower half is drawn only if the upper ties.
__noinline__ uint32_t DigitOf(const uint64_t* high, const uint64_t* gaps, uint64_t upper, PhiloxKey key, uint32_t draw) {
  int j = 0;
#pragma unroll 1
  for (int step = 128; step > 0; step /= 2) j += high[j + step - 1] > upper ? step : 0;
  j += high[j] > upper ? 1 : 0;
  if (j == 256 || high[j] != upper) return j;
  key.lane = 1;
  const uint64_t lower = Number64(key, 2 * draw);
  while (j < 256 && high[j] == upper && lower < gaps[2 * j]) ++j;
  return j;
}

// One of four numbers, in registers.
inline uint32_t Pick(const uint32_t* words, int i) {
  const uint32_t low = i & 1 ? words[1] : words[0], high = i & 1 ? words[3] : words[2];
  return i & 2 ? high : low;
}

// See csrc/cpu/lines.h and csrc/cpu/graph.h.
enum Rule { kBernoulli = 1, kFixedPost = 2, kFixedPre = 3, kFixedTotal = 4, kDistance = 5 };
constexpr uint32_t kAcceptLane = 3;

// What the threads of a block share: the upper halves of the thresholds of a law of gaps, and the tables of distances.
struct LineMemory {
  uint64_t thresholds[kMaxDigits * 256];
  Lattice lattice;
  bool is_lattice;
};

// A line of a graph: the targets of a pre neuron, or the sources of a post neuron where the in-degree is fixed. All
// threads of the block draw it together.
class Line {
 public:
  // The thresholds of a Bernoulli graph are read once for all lines of a block.
  Line(const GraphParams& graph, LineMemory& memory, uint32_t* bits)
      : graph_(graph), memory_(memory),
        bits_(graph.bits == nullptr ? bits : graph.bits + int64_t{blockIdx.x} * graph.n_words) {
    if (graph.rule == kBernoulli) ReadThresholds(0, graph.n_digits);
    if (graph.rule == kDistance && threadIdx.x == 0) {
      memory.is_lattice = memory.lattice.Read(graph.law, graph.n_law, graph.n_in, graph.n_out, graph.n_digits);
    }
    if (graph.bits == nullptr) {
      for (int i = threadIdx.x; i < graph.n_words; i += blockDim.x) bits_[i] = 0;
    }
    __syncthreads();
  }

  // Calls emit(partner) for every one, each on one thread, which depends on nothing but the graph.
  template <typename Emit>
  void Draw(int64_t line, Emit emit) {
    const bool by_post = graph_.rule == kFixedPre, all = graph_.n_selected == graph_.n_in;
    const int64_t place = all ? line : PlaceAmongSelected(line);
    if (!by_post && place < 0) return;  // for all threads
    key_ = {static_cast<uint32_t>(graph_.seed), static_cast<uint32_t>(graph_.seed >> 32), static_cast<uint32_t>(line),
            graph_.lane, static_cast<uint32_t>(graph_.rule) | 1u << 16};  // 1: the generator's version
    skip_ = graph_.allow_self ? -1 : by_post ? place : line;
    n_ = (by_post ? graph_.n_selected : graph_.n_out) - (skip_ >= 0 ? 1 : 0);
    const auto at = [&](int64_t position) {
      const int64_t i = position + (skip_ >= 0 && position >= skip_ ? 1 : 0);
      emit(by_post && !all ? int64_t{graph_.selected[i]} : i);
    };
    if (graph_.rule == kBernoulli || graph_.rule == kDistance) {
      Independent(line, at, emit);
    } else if (graph_.allow_multi) {
      Words(Number(line), [&](uint32_t x) {
        at(x);
        return true;
      });
    } else {
      Distinct(Number(line), at);
    }
    __syncthreads();  // the next line may reuse everything
  }

 private:
  // Or -1.
  int64_t PlaceAmongSelected(int64_t pre) const {
    int64_t low = 0, high = graph_.n_selected;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (graph_.selected[middle] < pre) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < graph_.n_selected && graph_.selected[low] == pre ? low : -1;
  }

  // Of partners. Whatever the array holds, no more than all of them, and no more than there are.
  int64_t Number(int64_t line) const {
    if (graph_.rule != kFixedTotal) return graph_.conn_num;
    const int64_t most = graph_.allow_multi && n_ > 0 ? graph_.conn_num : Least(graph_.conn_num, n_);
    return Clamp<int64_t>(static_cast<int32_t>(graph_.law[line]), 0, most);
  }

  // The upper halves of the thresholds of digits first .. first + n - 1, into shared memory.
  void ReadThresholds(int first, int n) {
    gaps_ = graph_.gaps + first * 512;
    for (int i = threadIdx.x; i < n * 256; i += blockDim.x) memory_.thresholds[i] = gaps_[2 * i + 1];
  }

  uint32_t Digit(int d, uint64_t upper, uint32_t draw) const {
    return DigitOf(memory_.thresholds + d * 256, gaps_ + d * 512, upper, key_, draw);
  }

  // Pairs whose probabilities are independent: the positions of one level, or the levels of a lattice one after another.
  template <typename At, typename Emit>
  void Independent(int64_t pre, At at, Emit emit) {
    const bool distance = graph_.rule == kDistance;
    if (distance && !memory_.is_lattice) return;
    const Lattice::Row row = distance ? memory_.lattice.RowOf(pre) : Lattice::Row{0, 0, 0, 1};
    PhiloxKey accept = key_;
    accept.lane = kAcceptLane;
    next_draw_ = next_candidate_ = 0;
    for (int64_t l = row.first_level; l < row.end_level; ++l) {
      Lattice::Level level = {0, n_, 0, graph_.n_digits};
      if (distance) {
        level = memory_.lattice.LevelOf(l);
        if (level.end <= level.first || level.n_digits > kMaxDigits) continue;
        ReadThresholds(static_cast<int>(level.first_digit), static_cast<int>(level.n_digits));
        __syncthreads();
      }
      Gaps(level.end - level.first, static_cast<int>(level.n_digits), distance, [&](int64_t position, uint32_t candidate) {
        if (!distance) return at(position);
        bool inside;
        const int64_t pair = level.first + position, post = memory_.lattice.Post(row, pair, &inside);
        const bool kept = Number64(accept, candidate) <= memory_.lattice.Threshold(pair);
        if (kept && inside && (graph_.allow_self || post != pre)) emit(post);
      });
    }
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

  // Calls take(position, candidate) for the positions below n that gaps lead to, from the line's draw `next_draw_` on.
  // If the line goes on after these, counts the draws until one leads to n or beyond, and the candidates.
  template <typename Take>
  void Gaps(uint64_t n, int n_digits, bool goes_on, Take take) {
    const int last = n_digits - 1;
    const uint32_t first = next_draw_;
    uint64_t position = 0;
    uint32_t digit_now = 0;
    for (uint32_t block = first / 2 + threadIdx.x; last >= 0 && position < n; block += blockDim.x) {
      uint32_t words[4];
      PhiloxBlocks<1>(key_, block, words);
      const uint64_t upper[2] = {words[0] | uint64_t{words[1]} << 32, words[2] | uint64_t{words[3]} << 32};
      const bool skipped = 2 * block < first;  // the first of the two belongs to what came before
      uint32_t d[2] = {0, 0}, digit[2];
      if (last > 0) {
        uint32_t map[2], all;
        for (int i = 0; i < 2; ++i) {
          const bool more = Digit(last, upper[i], 2 * block + i) == 256;
          map[i] = 0;
          for (int from = 0; from < last; ++from) map[i] |= (from + 1) << 2 * from;
          map[i] |= (more ? last : 0) << 2 * last;
        }
        if (skipped) map[0] = kSame;
        const uint32_t before = BlockScan(Then()(map[0], map[1]), kSame, Then(), &all);
        d[0] = before >> 2 * digit_now & 3;
        d[1] = map[0] >> 2 * d[0] & 3;
        digit_now = all >> 2 * digit_now & 3;
      }
      // Steps of the whole block are below 2^42: above them is room for the number of candidates.
      constexpr uint64_t kOne = uint64_t{1} << 48;
      uint64_t steps = 0, at[2];
      bool hit[2];
      for (int i = 0; i < 2; ++i) {
        digit[i] = Digit(d[i], upper[i], 2 * block + i);
        const bool counts = i == 1 || !skipped;
        if (counts) steps += uint64_t{digit[i]} << 8 * d[i];
        at[i] = steps;
        hit[i] = counts && static_cast<int>(d[i]) == last && digit[i] != 256;
        steps += hit[i] ? 1 + kOne : 0;
      }
      uint64_t all;
      const uint64_t before = BlockScan(steps, uint64_t{0}, Plus(), &all);
      uint32_t used = 0;
#pragma unroll 1
      for (int i = 0; i < 2; ++i) {
        const uint64_t so_far = before + (i == 0 ? at[0] : at[1]), x = position + (so_far & (kOne - 1));
        const bool is_hit = i == 0 ? hit[0] : hit[1];
        if (i == 0 && skipped) continue;
        used += x + is_hit < n ? 1 : 0;
        if (!is_hit || x >= n) continue;
        used += 1 << 16;
        take(static_cast<int64_t>(x), next_candidate_ + static_cast<uint32_t>(so_far >> 48));
      }
      position += all & (kOne - 1);
      if (goes_on) {
        used = BlockSum(used);
        next_draw_ += (used & 0xffff) + (position >= n ? 1 : 0);
        next_candidate_ += used >> 16;
      }
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
  template <typename At>
  void Distinct(int64_t number, At at) {
    const bool left_out = number > n_ / 2;
    Words(left_out ? n_ - number : number, [&](uint32_t x) {
      const uint32_t bit = 1u << x % 32;
      return (atomicOr(bits_ + x / 32, bit) & bit) == 0;
    });
    __syncthreads();
    for (int64_t w = threadIdx.x; 32 * w < n_; w += blockDim.x) {
      uint32_t set = bits_[w];
      bits_[w] = 0;
      if (left_out) set = ~set & (n_ - 32 * w < 32 ? (1u << (n_ - 32 * w)) - 1 : kAll);
      for (; set != 0; set &= set - 1) at(32 * w + __ffs(set) - 1);
    }
  }

  const GraphParams& graph_;
  LineMemory& memory_;
  const uint64_t* gaps_ = nullptr;
  uint32_t* bits_;
  PhiloxKey key_;
  int64_t skip_, n_;
  uint32_t next_draw_ = 0, next_candidate_ = 0;
};

}  // namespace eventops

#endif  // EVENTOPS_CUDA_LINE_CUH_
