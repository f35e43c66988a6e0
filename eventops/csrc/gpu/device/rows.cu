// The three products over stored rows; see csrc/ffi/rows.h for how rows are stored.

#include "gpu/device/device.cuh"

namespace eventops {

struct Segment {
  int64_t begin, end;
};

// Clamped to the buffers: a pointer array that is not what construction made cannot lead outside.
inline Segment SegmentOf(const RowsParams& p, int64_t row, int t) {
  const int32_t* ptr = p.ptr + row * p.n_tiles + t;
  const int64_t begin = Clamp<int64_t>(__ldg(ptr), 0, p.n_synapses);
  return {begin, Clamp<int64_t>(__ldg(ptr + 1), begin, p.n_synapses)};
}

inline uint32_t Offset(const RowsParams& p, int64_t k) { return __ldg(p.offsets + k); }
inline int TileWidth(const RowsParams& p, int t) { return static_cast<int>(Least<int64_t>(p.tile, p.n_out - int64_t{t} * p.tile)); }
inline const W* WeightsOf(const RowsParams& p, int64_t v) {
  return static_cast<const W*>(p.weight) + (p.homogeneous ? v : v * p.n_synapses);
}

// The events of up to kThreads rows, read by one thread each: where a row's synapses in this tile are.
struct Batch {
  Segment segment[kThreads];
  A value[kThreads];
};

inline void ReadBatch(const RowsParams& p, int64_t vector, int t, int64_t first, int n, Batch& batch) {
  __syncthreads();  // the last batch is done
  for (int e = threadIdx.x; e < n; e += blockDim.x) {
    const int64_t row = Clamp<int64_t>(p.index[vector * p.n_in + first + e], 0, p.n_in - 1);
    batch.segment[e] = SegmentOf(p, row, t);
    batch.value[e] = Value(p.spikes, vector * p.n_in + row);
    if (p.homogeneous) batch.value[e] *= Read(WeightsOf(p, vector / p.n_batch));
  }
  __syncthreads();
}

// What an element of a segment adds to the outputs from `low` on. Posts ascend within a row, so repeats of one (multapses)
// are neighbours: the first of them adds for all, and no two threads write to the same place.
inline void AddSynapse(const RowsParams& p, const Segment& s, int64_t k, uint32_t offset, A weight, A value, const W* weights,
                       uint32_t low, uint32_t width, A* sums) {
  const uint32_t place = offset - low;
  if (place >= width || (k > s.begin && Offset(p, k - 1) == offset)) return;
  A sum = p.homogeneous ? value : value * weight;
  for (int64_t m = k + 1; m < s.end && Offset(p, m) == offset; ++m) {
    sum += p.homogeneous ? value : value * Read(weights + m);
  }
  sums[place] += sum;
}

// The rows of a batch one after another, each by all threads: every output is summed in ascending pre order. The next
// row is read while the last is added.
inline void AddInOrder(const RowsParams& p, const Batch& batch, int n, const W* weights, uint32_t low, uint32_t width,
                       A* sums) {
  uint32_t next_offset = 0;
  A next_weight = 0;
  const auto fetch = [&](int e) {
    const int64_t k = batch.segment[e].begin + threadIdx.x;
    if (k >= batch.segment[e].end) return;
    next_offset = Offset(p, k);
    if (!p.homogeneous) next_weight = Read(weights + k);
  };
  fetch(0);
  for (int e = 0; e < n; ++e) {
    const Segment s = batch.segment[e];
    const uint32_t offset = next_offset;
    const A weight = next_weight;
    if (e + 1 < n) fetch(e + 1);
    int64_t k = s.begin + threadIdx.x;
    if (k < s.end) AddSynapse(p, s, k, offset, weight, batch.value[e], weights, low, width, sums);
    for (k += blockDim.x; k < s.end; k += blockDim.x) {
      const A w = p.homogeneous ? A(0) : Read(weights + k);
      AddSynapse(p, s, k, Offset(p, k), w, batch.value[e], weights, low, width, sums);
    }
    __syncthreads();
  }
}

// Whole numbers may be added in any order: each warp takes rows of its own.
inline void CountEvents(const RowsParams& p, const Batch& batch, int n, uint32_t low, uint32_t width, uint32_t* counts) {
  for (int e = Warp(); e < n; e += Warps()) {
    const Segment s = batch.segment[e];
    for (int64_t k = s.begin + Lane(); k < s.end; k += 32) {
      const uint32_t place = Offset(p, k) - low;
      if (place < width) atomicAdd(counts + place, 1u);
    }
  }
}

// Block (part of a tile, slice of the events, vector): adds to outputs in shared memory. T is the sum's type, or
// uint32_t to count the events of spikes that are all 1, with one weight.
template <typename T>
void RowsForwardOf(const RowsParams& p) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ Batch batch;
  T* sums = reinterpret_cast<T*>(memory);
  const int part = blockIdx.x % p.n_parts, t = blockIdx.x / p.n_parts % p.n_tiles;
  const int64_t rest = blockIdx.x / (p.n_parts * p.n_tiles);
  const int slice = rest % p.n_slices;
  const int64_t vector = rest / p.n_slices;
  const int low = part * p.width, width = Clamp(TileWidth(p, t) - low, 0, p.width);
  const W* weights = WeightsOf(p, vector / p.n_batch);
  for (int j = threadIdx.x; j < width; j += blockDim.x) sums[j] = T(0);
  const Range range = SliceOf(p.counts[vector * (p.n_chunks + 1) + p.n_chunks], slice, p.n_slices);
  for (int64_t first = range.first; first < range.last; first += kThreads) {
    const int n = static_cast<int>(Least<int64_t>(kThreads, range.last - first));
    ReadBatch(p, vector, t, first, n, batch);
    if constexpr (!kCounts<T>) {
      AddInOrder(p, batch, n, weights, low, width, sums);
    } else {
      CountEvents(p, batch, n, low, width, sums);
    }
  }
  __syncthreads();
  const int64_t begin = vector * p.n_out + int64_t{t} * p.tile + low;
  for (int j = threadIdx.x; j < width; j += blockDim.x) {
    if (p.n_slices > 1) {
      static_cast<T*>(p.partial)[slice * p.n_vectors * p.n_out + begin + j] = sums[j];
    } else if constexpr (!kCounts<T>) {
      Result(p.out, p.narrow, begin + j, sums[j]);
    } else {
      Result(p.out, p.narrow, begin + j, sums[j] == 0 ? A(0) : static_cast<A>(sums[j]) * Read(weights));
    }
  }
}

// A warp for each event and tile adds to device memory.
template <typename T>
void RowsScatterOf(const RowsParams& p) {
  const int64_t vector = blockIdx.x / p.blocks_per_vector;
  const int64_t warp = int64_t{blockIdx.x % p.blocks_per_vector} * Warps() + Warp();
  const int64_t n_units = int64_t{p.counts[vector * (p.n_chunks + 1) + p.n_chunks]} * p.n_tiles;
  const W* weights = WeightsOf(p, vector / p.n_batch);
  const A common = p.homogeneous ? Read(weights) : A(1);
  for (int64_t unit = warp; unit < n_units; unit += int64_t{p.blocks_per_vector} * Warps()) {
    const int t = static_cast<int>(unit % p.n_tiles);
    const int64_t row = p.index[vector * p.n_in + unit / p.n_tiles];
    const A value = Value(p.spikes, vector * p.n_in + row) * common;
    const Segment s = SegmentOf(p, row, t);
    T* sums = static_cast<T*>(p.partial) + vector * p.n_out + int64_t{t} * p.tile;
    const uint32_t last = TileWidth(p, t) - 1;
    for (int64_t k = s.begin + Lane(); k < s.end; k += 32) {
      const uint32_t place = Least(Offset(p, k), last);
      if constexpr (!kCounts<T>) {
        atomicAdd(sums + place, p.homogeneous ? value : value * Read(weights + k));
      } else {
        atomicAdd(sums + place, T(1));
      }
    }
  }
}

}  // namespace eventops

using namespace eventops;  // NOLINT

EVENTOPS_KERNEL(RowsForward, RowsParams) { RowsForwardOf<A>(p); }
EVENTOPS_KERNEL(RowsForwardCount, RowsParams) { RowsForwardOf<uint32_t>(p); }
EVENTOPS_KERNEL(RowsScatter, RowsParams) { RowsScatterOf<A>(p); }
EVENTOPS_KERNEL(RowsScatterCount, RowsParams) { RowsScatterOf<uint32_t>(p); }

// A warp for each row and group of vectors: the spike cotangent, or with `spikes` the terms of the cotangent of one
// common weight.
EVENTOPS_KERNEL(RowsGather, RowsParams) {
  const int64_t n_groups = (p.n_batch + kGatherGroup - 1) / kGatherGroup;
  const int64_t unit = int64_t{blockIdx.x} * Warps() + Warp();
  const int64_t group = unit % n_groups, row = unit / n_groups % p.n_in, v = unit / (n_groups * p.n_in);
  if (v * p.n_batch >= p.n_vectors) return;  // the whole warp
  const int64_t first = v * p.n_batch + group * kGatherGroup;
  const int count = static_cast<int>(Least<int64_t>(kGatherGroup, (v + 1) * p.n_batch - first));
  A factor[kGatherGroup], sum[kGatherGroup] = {};
  bool any = false;
#pragma unroll
  for (int b = 0; b < kGatherGroup; ++b) {
    factor[b] = b >= count ? A(0) : p.spikes == nullptr ? A(1) : ValueOrZero(p.spikes, (first + b) * p.n_in + row);
    any |= factor[b] != A(0);
  }
  const W* weights = p.spikes == nullptr ? WeightsOf(p, v) : nullptr;
  for (int t = 0; any && t < p.n_tiles; ++t) {
    const Segment s = SegmentOf(p, row, t);
    const uint32_t last = TileWidth(p, t) - 1;
    const A* g = static_cast<const A*>(p.g) + first * p.n_out + int64_t{t} * p.tile;
    for (int64_t k = s.begin + Lane(); k < s.end; k += 32) {
      const uint32_t place = Least(Offset(p, k), last);
      const A w = p.homogeneous ? A(1) : Read(weights + k);
#pragma unroll
      for (int b = 0; b < kGatherGroup; ++b) {
        if (factor[b] != A(0)) sum[b] += w * __ldg(g + b * p.n_out + place);
      }
    }
  }
  const A common = p.homogeneous && weights != nullptr ? Read(weights) : A(1);
#pragma unroll
  for (int b = 0; b < kGatherGroup; ++b) {
    const A total = WarpSum(sum[b]);
    if (Lane() != 0 || b >= count) continue;
    static_cast<A*>(p.out)[(first + b) * p.n_in + row] = factor[b] == A(0) ? A(0) : factor[b] * (common * total);
  }
}

// A warp for each row and weight set: a number for each of its synapses, zero where no vector has the row active.
EVENTOPS_KERNEL(RowsOuter, RowsParams) {
  const int64_t unit = int64_t{blockIdx.x} * Warps() + Warp();
  const int64_t row = unit % p.n_in, v = unit / p.n_in;
  if (v * p.n_batch >= p.n_vectors) return;  // the whole warp
  A* out = static_cast<A*>(p.out) + v * p.n_synapses;
  // Neighbours meet at the same pointer and the ends are those of the buffer: nothing stays unset. A number belongs to
  // one lane throughout.
  const int64_t begin = row == 0 ? 0 : SegmentOf(p, row, 0).begin;
  const int64_t end = row == p.n_in - 1 ? p.n_synapses : SegmentOf(p, row + 1, 0).begin;
  for (int64_t k = begin + Lane(); k < end; k += 32) out[k] = A(0);
  for (int64_t b = v * p.n_batch; b < (v + 1) * p.n_batch; ++b) {
    const A value = ValueOrZero(p.spikes, b * p.n_in + row);
    if (value == A(0)) continue;  // for all lanes
    for (int t = 0; t < p.n_tiles; ++t) {
      const Segment s = SegmentOf(p, row, t);
      const uint32_t last = TileWidth(p, t) - 1;
      const A* g = static_cast<const A*>(p.g) + b * p.n_out + int64_t{t} * p.tile;
      for (int64_t k = s.begin + ((Lane() - (s.begin - begin)) & 31); k < s.end; k += 32) {
        out[k] += value * __ldg(g + Least(Offset(p, k), last));
      }
    }
  }
}
