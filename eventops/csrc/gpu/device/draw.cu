// Draws a graph to be stored: the first pass counts the synapses of each (row, tile), the second writes them, posts
// ascending; see csrc/cpu/draw.cc. Threads find them in no order, so the second pass sorts: numbers without repeats by a
// bitmap, others by counting.

#include "gpu/device/line.cuh"

namespace eventops {

// Ascending, the numbers whose bits are set in the words.
inline void WriteBits(const DrawParams& p, int64_t begin, uint32_t* words, int n_words) {
  int64_t next = begin;
  for (int first = 0; first < n_words; first += blockDim.x) {
    const int w = first + threadIdx.x;
    uint32_t set = w < n_words ? words[w] : 0;
    int all;
    int64_t k = next + BlockScan(__popc(set), 0, Plus(), &all);
    next += all;
    if (set != 0) words[w] = 0;
    for (; set != 0; set &= set - 1, ++k) {
      const int x = 32 * w + __ffs(set) - 1;
      if (k >= 0 && k < p.n_synapses) p.offsets[k] = static_cast<uint16_t>(x % p.tile);
    }
  }
}

// From how many numbers there are of each 32 to how many there are before.
inline void Accumulate(uint32_t* words, int n_words) {
  uint32_t next = 0;
  for (int first = 0; first < n_words; first += blockDim.x) {
    const int w = first + threadIdx.x;
    uint32_t all;
    const uint32_t before = next + BlockScan(w < n_words ? words[w] : 0u, 0u, Plus(), &all);
    if (w < n_words) words[w] = before;
    next += all;
  }
}

// The numbers of each 32 are together, modulo 32, up to words[w]: a lane for each number counts its own.
inline void SortWithinWords(const DrawParams& p, int64_t begin, uint32_t* words, int n_words) {
  for (int w = Warp(); w < n_words; w += Warps()) {
    const int64_t from = Clamp<int64_t>(begin + (w == 0 ? 0 : words[w - 1]), 0, p.n_synapses);
    const int64_t to = Clamp<int64_t>(begin + words[w], from, p.n_synapses);
    int own = 0;
    for (int64_t k = from; k < to; ++k) own += p.offsets[k] == Lane() ? 1 : 0;
    int before = own;
    for (int d = 1; d < 32; d *= 2) {
      const int left = __shfl_up_sync(kAll, before, d);
      if (Lane() >= d) before += left;
    }
    __syncwarp();  // all lanes have read what is overwritten now
    for (int64_t k = from + before - own; k < from + before; ++k) {
      p.offsets[k] = static_cast<uint16_t>((32 * w + Lane()) % p.tile);
    }
  }
  __syncthreads();
  for (int w = threadIdx.x; w < n_words; w += blockDim.x) words[w] = 0;
}

// Writes the numbers that draw(emit) gives, ascending and modulo `tile`, to offsets `begin` and the following. There is a
// word for each 32 numbers that there may be, 0 before and after. All threads of the block call it. With repeats it draws
// twice: to count, and to put each number with the others of its word.
template <typename Draw>
void WriteInOrder(const DrawParams& p, int64_t begin, uint32_t* words, int n_words, Draw draw) {
  const bool repeats = p.graph.allow_multi;
#pragma unroll 1
  for (int pass = 0; pass < (repeats ? 2 : 1); ++pass) {
    draw([&](int64_t number) {
      const uint32_t x = static_cast<uint32_t>(number);
      if (!repeats) {
        atomicOr(words + x / 32, 1u << x % 32);
        return;
      }
      const int64_t k = begin + atomicAdd(words + x / 32, 1u);
      if (pass == 1 && k >= 0 && k < p.n_synapses) p.offsets[k] = static_cast<uint16_t>(x % 32);
    });
    __syncthreads();
    if (repeats && pass == 0) Accumulate(words, n_words);
    __syncthreads();
  }
  if (repeats) {
    SortWithinWords(p, begin, words, n_words);
  } else {
    WriteBits(p, begin, words, n_words);
  }
  __syncthreads();
}

// Words of this block, cleared: behind `taken` words of shared memory, unless they are in device memory, which is clear.
inline uint32_t* WordsOf(const DrawParams& p, uint32_t* shared, int n_words) {
  if (p.marks != nullptr) return p.marks + int64_t{blockIdx.x} * n_words;
  for (int w = threadIdx.x; w < n_words; w += blockDim.x) shared[w] = 0;
  __syncthreads();
  return shared;
}

// Calls emit(segment, offset) for the synapses of a line, `segment` being the number of its (row, tile).
template <typename Emit>
void DrawSynapses(const DrawParams& p, Line& line, int64_t i, Emit emit) {
  const bool by_post = p.graph.rule == kFixedPre;
  line.Draw(i, [&](int64_t partner) {
    const int64_t pre = by_post ? partner : i;
    const int post = static_cast<int>(by_post ? i : partner);
    emit(pre * p.n_tiles + post / p.tile, post % p.tile);
  });
}

}  // namespace eventops

using namespace eventops;  // NOLINT

EVENTOPS_LINE_KERNEL(DrawCount, DrawParams) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ LineMemory shared_by_line;
  Line line(p.graph, shared_by_line, reinterpret_cast<uint32_t*>(memory));
  const int64_t n_lines = p.graph.rule == kFixedPre ? p.graph.n_out : p.graph.n_in;
  for (int64_t i = blockIdx.x; i < n_lines; i += gridDim.x) {
    DrawSynapses(p, line, i, [&](int64_t segment, int) { atomicAdd(p.counts + segment, 1); });
  }
}

// Where lines are rows.
EVENTOPS_LINE_KERNEL(DrawFill, DrawParams) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ LineMemory shared_by_line;
  uint32_t* shared = reinterpret_cast<uint32_t*>(memory);
  Line line(p.graph, shared_by_line, shared);
  const int n_words = static_cast<int>((p.graph.n_out + 31) / 32);
  uint32_t* words = WordsOf(p, shared + p.graph.n_words, n_words);
  for (int64_t row = blockIdx.x; row < p.graph.n_in; row += gridDim.x) {
    WriteInOrder(p, p.ptr[row * p.n_tiles], words, n_words, [&](auto emit) { line.Draw(row, emit); });
  }
}

// Where lines are posts: first each offset into its (row, tile), in any order,
EVENTOPS_LINE_KERNEL(DrawUnsorted, DrawParams) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  __shared__ LineMemory shared_by_line;
  Line line(p.graph, shared_by_line, reinterpret_cast<uint32_t*>(memory));
  for (int64_t i = blockIdx.x; i < p.graph.n_out; i += gridDim.x) {
    DrawSynapses(p, line, i, [&](int64_t segment, int offset) {
      const int64_t k = int64_t{p.ptr[segment]} + atomicAdd(p.counts + segment, 1);
      if (k >= 0 && k < p.n_synapses) p.unsorted[k] = static_cast<uint16_t>(offset);
    });
  }
}

// then each (row, tile) sorted: in its place where there are no repeats.
EVENTOPS_KERNEL(SortSegments, DrawParams) {
  EVENTOPS_DYNAMIC_SHARED(memory);
  const int n_words = (p.tile + 31) / 32;
  uint32_t* words = WordsOf(p, reinterpret_cast<uint32_t*>(memory), n_words);
  for (int64_t s = blockIdx.x; s < p.graph.n_in * p.n_tiles; s += gridDim.x) {
    const int64_t begin = Clamp<int64_t>(p.ptr[s], 0, p.n_synapses), end = Clamp<int64_t>(p.ptr[s + 1], begin, p.n_synapses);
    if (end == begin) continue;  // for all threads
    WriteInOrder(p, begin, words, n_words, [&](auto emit) {
      for (int64_t k = begin + threadIdx.x; k < end; k += blockDim.x) emit(Least<int64_t>(p.unsorted[k], p.tile - 1));
    });
  }
}
