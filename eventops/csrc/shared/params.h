// What kernels are called with: read by the host's compiler and by the device's. Pointers are of device memory.
#ifndef EVENTOPS_CUDA_PARAMS_H_
#define EVENTOPS_CUDA_PARAMS_H_

#include <cstdint>

namespace eventops {

constexpr int kThreads = 256;    // of a block, unless said otherwise
constexpr int kChunk = 8192;     // inputs that one block compacts
constexpr int kGatherGroup = 4;  // vectors that read a row together
constexpr int kDrawGroup = 8;    // vectors that share a row that is drawn

// The events of a stack of spike vectors: `index` holds, for each list, ascending inputs.
struct CompactParams {
  const void* spikes;  // (lists, joined, n)
  int32_t* counts;     // (lists, chunks + 1): of each chunk, then of the list
  int32_t* index;      // (lists, n)
  int64_t n;
  int32_t n_joined, n_chunks;  // vectors with one list: an input is in it if it is active in any of them
};

struct CombineParams {
  const void* partial;  // (slices, n): sums, or numbers of events to be multiplied by the weight
  const void* weight;
  void* out;
  int64_t n, n_per_weight;
  int32_t n_slices, counted, narrow;
};

struct SumParams {
  const void* terms;  // (rows, n)
  void* out;          // (rows, pieces)
  int64_t n;
  int32_t n_pieces;
};

struct DenseParams {
  const void* spikes;    // (V, B, n_in)
  const void* weight;    // (V, n_in, n_out)
  const void* g;         // (V, B, n_out)
  const int32_t* counts;  // see CompactParams; one list for each vector
  const int32_t* index;
  void* out;
  void* partial;  // (slices, V * B, n_out)
  int64_t n_in, n_out, n_vectors, n_batch;
  int32_t n_chunks, n_slices, atomic, narrow;
};

struct RowsParams {
  const void* spikes;
  const void* weight;  // (V,) or (V, n_synapses)
  const void* g;
  const int32_t* ptr;
  const uint16_t* offsets;
  const int32_t* counts;
  const int32_t* index;
  void* out;
  void* partial;
  int64_t n_in, n_out, n_synapses, n_vectors, n_batch;
  int32_t tile, n_tiles;
  int32_t width, n_parts;  // posts that one block adds to in shared memory, and how many such parts a tile has
  int32_t n_chunks, n_slices, homogeneous, narrow;
  int32_t blocks_per_vector;
};

struct GraphParams {
  const int32_t* selected;  // see csrc/cpu/graph.h
  const uint32_t* law;
  const uint64_t* gaps;     // (digits, 256, 2), the lower half of each threshold first
  uint32_t* bits;           // (blocks, words) of zeros where they do not fit shared memory, else null
  int64_t n_in, n_out, conn_num, n_selected, n_law;
  uint64_t seed;
  int32_t rule, n_digits, n_words;
  uint32_t lane;
  int32_t allow_multi, allow_self;
};

struct DrawParams {
  GraphParams graph;
  int32_t* counts;     // (n_in, n_tiles); while offsets are put there, how many of each have been
  const int32_t* ptr;  // (n_in * n_tiles + 1)
  uint16_t* offsets;
  uint16_t* unsorted;  // where lines are posts: the offsets of each (row, tile) in any order
  uint32_t* marks;     // (blocks, words) of zeros where they do not fit shared memory, else null
  int64_t n_synapses;
  int32_t tile, n_tiles;
};

struct ProceduralParams {
  GraphParams graph;
  const void* spikes;
  const void* weight;  // (V,)
  const void* g;
  const int32_t* counts;  // one list for each weight set
  const int32_t* index;
  void* out;
  void* partial;  // (slices, V * B, n_out), or one that all blocks add to
  int64_t n_vectors, n_batch, n_weights;
  int64_t stride;  // from the sums of one slice to the next; 0 if they share them
  int32_t n_chunks, n_slices;
};

// Lines are the neurons that fire, partners those on the other side; see csrc/cpu/update.h.
struct UpdateParams {
  const void* spikes;       // (V, lines)
  const void* trace;        // (V, partners)
  const void* limits;       // (V, 2)
  void* weight;             // (V, synapses), or (V, in, out)
  const int32_t* ptr;       // of stored synapses, as the next two
  const uint16_t* offsets;
  const int32_t* position;  // of the weights of columns, else null
  const int32_t* counts;    // see CompactParams; one list for each set
  const int32_t* index;
  int64_t n_lines, n_partners, n_synapses;
  int32_t tile, n_tiles, n_chunks, blocks_per_set, soft;
};

}  // namespace eventops

#endif  // EVENTOPS_CUDA_PARAMS_H_
