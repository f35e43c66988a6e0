// From spike vectors to lists of events, and from partial sums to results.

#include "gpu/device/device.cuh"

namespace eventops {

constexpr int kInputsPerWarp = kChunk / (kThreads / 32);
static_assert(kInputsPerWarp == 32 * 32, "a lane has 32 inputs");

inline bool Active(const CompactParams& p, const S* spikes, int64_t i) {
  bool any = false;
  for (int b = 0; b < p.n_joined; ++b) any |= spikes[b * p.n + i] != S(0);
  return any;
}

// A bit for each of the 32 inputs of this lane; a chunk that ends early has zeros.
inline uint32_t ActiveBits(const CompactParams& p, int64_t list, int64_t first) {
  const S* spikes = static_cast<const S*>(p.spikes) + list * p.n_joined * p.n;
  if constexpr (sizeof(S) == 1) {
    const S* own = spikes + first + 32 * Lane();
    if (p.n_joined == 1 && first + kInputsPerWarp <= p.n && reinterpret_cast<uintptr_t>(spikes) % 16 == 0) {
      const uint4 x = __ldg(reinterpret_cast<const uint4*>(own)), y = __ldg(reinterpret_cast<const uint4*>(own) + 1);
      const uint32_t words[8] = {x.x, x.y, x.z, x.w, y.x, y.y, y.z, y.w};
      uint32_t bits = 0;
      // A bool is the byte 0 or 1: the product moves the four bits of a word to its top.
      for (int i = 0; i < 8; ++i) bits |= (words[i] * 0x10204080u >> 28) << (4 * i);
      return bits;
    }
  }
  uint32_t bits = 0;
  for (int k = 0; k < 32; ++k) {
    const int64_t i = first + 32 * k + Lane();
    const uint32_t all = __ballot_sync(kAll, i < p.n && Active(p, spikes, i));
    if (k == Lane()) bits = all;
  }
  return bits;
}

}  // namespace eventops

using namespace eventops;  // NOLINT

// One block for each chunk of each list; only where a list has several chunks.
EVENTOPS_KERNEL(CountChunks, CompactParams) {
  const int64_t list = blockIdx.x / p.n_chunks;
  const int chunk = blockIdx.x % p.n_chunks;
  const uint32_t bits = ActiveBits(p, list, int64_t{chunk} * kChunk + Warp() * kInputsPerWarp);
  const int count = BlockSum(__popc(bits));
  if (threadIdx.x == 0) p.counts[list * (p.n_chunks + 1) + chunk] = count;
}

EVENTOPS_KERNEL(Compact, CompactParams) {
  const int64_t list = blockIdx.x / p.n_chunks;
  const int chunk = blockIdx.x % p.n_chunks;
  int32_t* counts = p.counts + list * (p.n_chunks + 1);
  int before = 0;
  for (int c = threadIdx.x; c < chunk; c += blockDim.x) before += counts[c];
  if (p.n_chunks > 1) before = BlockSum(before);
  const int64_t first = int64_t{chunk} * kChunk + Warp() * kInputsPerWarp;
  uint32_t bits = ActiveBits(p, list, first);
  int all;
  int place = before + BlockScan(__popc(bits), 0, Plus(), &all);
  int32_t* index = p.index + list * p.n;
  for (; bits != 0; bits &= bits - 1) {
    index[place++] = static_cast<int32_t>(first + 32 * Lane() + __ffs(bits) - 1);
  }
  if (chunk == p.n_chunks - 1 && threadIdx.x == 0) counts[p.n_chunks] = before + all;
}

// The partial sums of an output in ascending order of their slices.
EVENTOPS_KERNEL(Combine, CombineParams) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= p.n) return;
  if (p.counted) {
    uint32_t count = 0;
    for (int s = 0; s < p.n_slices; ++s) count += static_cast<const uint32_t*>(p.partial)[s * p.n + i];
    const A w = Read(static_cast<const W*>(p.weight) + i / p.n_per_weight);
    Result(p.out, p.narrow, i, count == 0 ? A(0) : static_cast<A>(count) * w);
    return;
  }
  A sum = 0;
  for (int s = 0; s < p.n_slices; ++s) sum += static_cast<const A*>(p.partial)[s * p.n + i];
  Result(p.out, p.narrow, i, sum);
}

// Block (row, piece) adds up its piece of the row.
EVENTOPS_KERNEL(Sum, SumParams) {
  const int64_t row = blockIdx.x / p.n_pieces;
  const Range range = SliceOf(p.n, blockIdx.x % p.n_pieces, p.n_pieces);
  A sum = 0;
  for (int64_t i = range.first + threadIdx.x; i < range.last; i += blockDim.x) {
    sum += static_cast<const A*>(p.terms)[row * p.n + i];
  }
  sum = BlockSum(sum);
  if (threadIdx.x == 0) static_cast<A*>(p.out)[blockIdx.x] = sum;
}
