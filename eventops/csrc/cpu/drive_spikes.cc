// Spikes of independent sources: in blocks of 256, candidates are found by the gaps between them, so that the cost follows
// the spikes; see docs/generator.md.

#include <algorithm>
#include <cstring>

#include "cpu/drive_args.h"
#include "ffi/ffi_util.h"
#include "cpu/parallel.h"

namespace eventops {
namespace {

constexpr uint32_t kPoissonSpikesRule = 7;
constexpr int kBlock = 256, kLevels = 13, kMoreThresholds = 32;
// A source without a spike takes the time of about a streamed byte.
constexpr int64_t kSourceGroup = int64_t{kBlock} * kPoissonAtOnce;

struct Fraction {
  uint32_t word[4];  // highest first
};
bool operator<(const Fraction& a, const Fraction& b) {
  return std::lexicographical_compare(a.word, a.word + 4, b.word, b.word + 4);
}

// The probability of a spike, in units of 2**-48, and its level: at most 2**-level, and more than half of that except in
// the last level.
struct SpikeRate {
  uint64_t units;
  int level;

  template <typename T>
  explicit SpikeRate(T rate) : units(0), level(0) {
    if (!(rate > T(0))) return;  // not a number is none
    units = rate >= T(1) ? kOne : static_cast<uint64_t>(static_cast<double>(rate) * static_cast<double>(kOne));
    // 2**(48 - level) is the next power of two that is not below.
    if (units > 1) level = std::min(kLevels - 1, __builtin_clzll(units - 1) - 16);
    else level = kLevels - 1;
  }
  // A candidate of the level is kept.
  bool Keeps(uint32_t high, uint32_t low) const {
    return units == kOne >> level || (uint64_t{high} << 32 | low) < units << (16 + level);
  }
  static constexpr uint64_t kOne = uint64_t{1} << 48;
};

// What is drawn from: `gaps` (levels, 256) are P(gap >= g) for g = 1 ... 256; `more` (levels, 32) is P(N > k | N > 0) for
// k = 1 ... 32, or null where a source has at most one spike.
template <typename T, typename Out>
class SpikeDraw {
 public:
  SpikeDraw(const DriveStep& step, const Fraction* gaps, const Fraction* more, const T* rate, bool each, uint32_t first,
            int64_t n, Out* out)
      : step_(step), gaps_(gaps), more_(more), rate_(rate), each_(each), first_(first), n_(n), out_(out) {}

  // The sources of 64 blocks, of which the first is number `group` * 64.
  void Group(uint32_t group, const Kernels& kernels) const {
    const int64_t begin = int64_t{group} * kSourceGroup - first_;
    const int64_t from = std::max<int64_t>(0, begin), to = std::min(n_, begin + kSourceGroup);
    std::fill(out_ + from, out_ + to, Out(0));
    uint32_t words[kPoissonAtOnce];
    uint32_t used = each_ ? 0 : Used(from, from + 1), levels[kPoissonAtOnce];
    for (int b = 0; each_ && b < kPoissonAtOnce; ++b) {
      levels[b] = Used(std::max<int64_t>(0, begin + b * kBlock), std::min(n_, begin + (b + 1) * kBlock));
      used |= levels[b];
    }
    for (int level = 0; level < kLevels; ++level) {
      if ((used >> level & 1) == 0) continue;
      kernels.philox(step_.Key(kPoissonSpikesRule, static_cast<uint32_t>(level)), group * (kPoissonAtOnce / 4), words);
      const uint32_t none = gaps_[level * kBlock + kBlock - 1].word[0];
      for (int b = 0; b < kPoissonAtOnce; ++b) {
        if (words[b] < none || (each_ && (levels[b] >> level & 1) == 0)) continue;
        const int64_t block = begin + b * kBlock;
        if (block + kBlock > 0 && block < n_) Block(group * kPoissonAtOnce + static_cast<uint32_t>(b), level, words[b]);
      }
    }
  }

 private:
  // A bit for each level of these sources.
  uint32_t Used(int64_t from, int64_t to) const {
    uint32_t used = 0;
    for (int64_t i = from; i < to; ++i) {
      const SpikeRate rate(rate_[each_ ? i : 0]);
      if (rate.units != 0) used |= 1u << rate.level;
    }
    return used;
  }

  void Block(uint32_t block, int level, uint32_t word) const {
    uint32_t words[4];
    uint32_t place = 0;
    for (uint32_t draw = 0;; ++draw) {
      if (draw > 0) {
        const uint32_t k = draw - 1;
        if (k % 4 == 0) step_.Block(kPoissonSpikesRule, kMoreGaps + level, block | (k / 4) << kBlockBits, words);
        word = words[k % 4];
      }
      place += Gap(block, level, word, draw);
      if (place >= kBlock) return;
      Candidate(block * kBlock + place, level);
      if (++place >= kBlock) return;
    }
  }

  uint32_t Gap(uint32_t block, int level, uint32_t word, uint32_t draw) const {
    const Fraction* row = gaps_ + level * kBlock;
    uint32_t k = 0;
    for (uint32_t step = kBlock / 2; step > 0; step /= 2) k += row[k + step - 1].word[0] > word ? step : 0;
    k += row[k].word[0] > word;
    if (k == kBlock || row[k].word[0] != word) return k;
    Fraction fraction;
    step_.Block(kPoissonSpikesRule, kGapsFurther + level, block | draw << kBlockBits, fraction.word);
    fraction.word[0] = word;
    while (k < kBlock && fraction < row[k]) ++k;
    return k;
  }

  void Candidate(uint32_t source, int level) const {
    const int64_t i = int64_t{source} - first_;
    if (i < 0 || i >= n_) return;
    const SpikeRate rate(rate_[each_ ? i : 0]);
    if (rate.level != level || rate.units == 0) return;
    uint32_t words[4];
    step_.Block(kPoissonSpikesRule, kKeep, source, words);
    int32_t spikes = rate.Keeps(words[0], words[1]);
    if (more_ != nullptr) {
      const int32_t others = Others(source, level, words);
      for (int32_t m = 0; m < others; ++m) {
        step_.Block(kPoissonSpikesRule, kKeepMore + static_cast<uint32_t>(m), source, words);
        spikes += rate.Keeps(words[0], words[1]);
      }
    }
    out_[i] = static_cast<Out>(spikes);
  }

  // How many candidates there are beside the first.
  int32_t Others(uint32_t source, int level, const uint32_t* words) const {
    const Fraction* row = more_ + level * kMoreThresholds;
    Fraction fraction = {{words[2], words[3], 0, 0}};
    const Fraction& first = row[0];
    if (fraction.word[0] > first.word[0]) return 0;
    uint32_t further[4];
    step_.Block(kPoissonSpikesRule, kOthersFurther, source, further);
    fraction.word[2] = further[0], fraction.word[3] = further[1];
    int32_t k = 0;
    while (k < kMoreThresholds && fraction < row[k]) ++k;
    return k;
  }

  static constexpr int kBlockBits = 23;
  static constexpr uint32_t kMoreGaps = 16, kGapsFurther = 32, kKeep = 48, kOthersFurther = 49, kKeepMore = 64;
  const DriveStep step_;
  const Fraction *gaps_, *more_;
  const T* rate_;
  const bool each_;
  const int64_t first_, n_;
  Out* out_;
};

template <typename T, typename Out>
void DrawSpikes(ffi::ThreadPool& pool, const DriveOperands& o, const Fraction* gaps, const Fraction* more, const T* rate,
                int64_t n_vectors, int64_t n, Out* out) {
  const Kernels& kernels = ChosenKernels();
  // Where drives begin at different neurons they may touch one group more.
  const int64_t groups = (n + kSourceGroup - 1) / kSourceGroup + 1;
  ParallelFor(pool, ThreadsFor(pool, n_vectors * n * static_cast<int64_t>(sizeof(Out))), n_vectors * groups, [&](int64_t unit) {
    const int64_t vector = unit / groups, first = o.first[vector * o.first_stride];
    const int64_t group = first / kSourceGroup + unit % groups;
    if (group * kSourceGroup >= first + n) return;
    const SpikeDraw<T, Out> draw(o.Step(vector), gaps, more, rate + vector * o.mean_stride, o.mean_step != 0,
                                 static_cast<uint32_t>(first), n, out + vector * n);
    draw.Group(static_cast<uint32_t>(group), kernels);
  });
}

ffi::Error SpikesImpl(ffi::ThreadPool pool, ffi::AnyBuffer counter, ffi::AnyBuffer seed, ffi::AnyBuffer first,
                      ffi::AnyBuffer rate, ffi::AnyBuffer gaps, ffi::AnyBuffer more, ffi::Result<ffi::AnyBuffer> result) {
  auto dims = result->dimensions();
  if (dims.size() != 2) return Invalid("spikes must have two axes");
  const bool several = result->element_type() == ffi::DataType::S32;
  if (!several && result->element_type() != ffi::DataType::PRED) return Invalid("spikes must be bool or int32");
  if (gaps.element_type() != ffi::DataType::U32 || more.element_type() != ffi::DataType::U32 ||
      !HasShape(gaps, {kLevels, kBlock, 4}) || !HasShape(more, {kLevels, kMoreThresholds, 4})) {
    return Invalid("the tables of a source's law must be uint32 of 13 levels");
  }
  if (IsEmpty(*result)) return ffi::Error::Success();
  const auto* gap = reinterpret_cast<const Fraction*>(gaps.untyped_data());
  const auto* other = several ? reinterpret_cast<const Fraction*>(more.untyped_data()) : nullptr;
  return WithDrives(counter, seed, first, rate, dims[0], dims[1], [&](const DriveOperands& operands, const auto* rates) {
    const uint32_t* begin = operands.first;
    for (int64_t v = 0; v < (operands.first_stride == 0 ? 1 : dims[0]); ++v) {
      if (begin[v] + dims[1] > INT32_MAX) return Invalid("sources beyond number 2**31");
    }
    if (several) DrawSpikes(pool, operands, gap, other, rates, dims[0], dims[1], result->typed_data<int32_t>());
    else DrawSpikes(pool, operands, gap, other, rates, dims[0], dims[1], result->typed_data<bool>());
    return ffi::Error::Success();
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsPoissonSpikes, eventops::SpikesImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>());
