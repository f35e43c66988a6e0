// The inner loops of the products, compiled once per instruction set and chosen at load time.
#ifndef EVENTOPS_KERNELS_H_
#define EVENTOPS_KERNELS_H_

#include <cstdint>

#include "cpu/compact.h"
#include "cpu/neurons.h"
#include "shared/numbers.h"
#include "shared/philox.h"

namespace eventops {

// Vectors that are taken together: a cache line, and the widest register, of accumulators.
template <typename A>
constexpr int kLanes = 64 / sizeof(A);

// The loops for one storage type of weights.
template <typename W>
struct Loops {
  using A = Accumulator<W>;

  // Dense weights. Pointers stand at the first column of a block and `stride` is the distance of two rows of
  // the matrix.

  // out[j] += sum over the events e, in order, of e.value * weight[e.index * stride + j], for j < n_columns.
  void (*add_events)(const Event<A>* events, int64_t n_events, const W* weight, int64_t stride,
                     int64_t n_columns, A* out);

  // out[m * out_stride + j] += sum over i < n_rows, in order, of values[m * value_stride + i] *
  // weight[i * stride + j], for m < n_vectors, a multiple of 4, and j < n_columns. Silent inputs are multiplied
  // as well.
  void (*add_dense)(const A* values, int64_t value_stride, int64_t n_vectors, int64_t n_rows, const W* weight,
                    int64_t stride, int64_t n_columns, A* out, int64_t out_stride);

  // out[m * out_stride + i] = sum over j < n_columns of weight[i * stride + j] * g[m * g_stride + j], for
  // i < n_rows and m < n_vectors.
  void (*dot)(const W* weight, int64_t stride, int64_t n_rows, const A* g, int64_t g_stride,
              int64_t n_vectors, int64_t n_columns, A* out, int64_t out_stride);

  // out[i] = sums[i], rounded to the storage type.
  void (*narrow)(const A* sums, int64_t n, W* out);

  // out[j] = scale * (counts[j], more by out[j] if `more`) for j < n; 0 is never -0.
  void (*from_counts)(const uint16_t* counts, int64_t n, A scale, bool more, A* out);

  // One row of synapses and kLanes<A> vectors, which stand beside each other: number l of neuron i is at
  // [i * kLanes<A> + l]. `weight` is null where all weights are 1.

  // out[offset[k]][l] += value[l] * weight[k], for k < n, but not where value[l] is 0.
  void (*add_lanes)(const uint16_t* offset, int64_t n, const W* weight, const A* value, A* out);

  // sum[l] += sum over k < n of weight[k] * g[min(offset[k], last)][l], in four partial sums.
  void (*gather_lanes)(const uint16_t* offset, int64_t n, const W* weight, uint32_t last, const A* g, A* sum);

  // out[j] = into[j] + weight[each ? j : 0] * counts[j] for j < n, in two roundings; `into` may be null, or `out`.
  void (*add_weighted)(const uint16_t* counts, int64_t n, const A* weight, bool each, const A* into, A* out);
};

// A guide of gaps: see GapTable. For the words that start with some bits: the next threshold's upper half, and in the
// half above it how many thresholds are certain.
constexpr int kGuideBits = 10, kGapsAtOnce = 32, kPoissonAtOnce = 4 * kPhiloxBlocks, kPoissonCells = 32;
constexpr uint64_t kGuideSeveral = uint64_t{1} << 63;

struct Kernels {
  const char* name;
  Loops<float> f32;
  Loops<double> f64;
  Loops<Float16> f16;
  Loops<BFloat16> bf16;

  // kPhiloxBlocks blocks of a line from block `first` on, four words each.
  void (*philox)(const PhiloxKey& key, uint32_t first, uint32_t* words);

  // gap[k] from words 2 k and 2 k + 1, for k < kGapsAtOnce; returns a bit for each that the guide cannot tell.
  uint32_t (*gaps)(const uint32_t* words, const uint64_t* guide, uint32_t* gap);

  // place[k] = the place after gap[k] others, from `first` on or from the place after place[k - 1].
  void (*places)(const uint32_t* gap, uint32_t first, uint32_t* place);

  // out[k] = the quantile that belongs to word 0 of block post[k] of a line, for k < n.
  void (*weights)(const PhiloxKey& key, const int32_t* post, int64_t n, const float* table, float* out);

  // counts[i] = how many cells are above the upper half of words[i], for i < kPoissonAtOnce; returns a bit for each whose
  // upper half is a cell, or whose lower half is below `bound`.
  uint64_t (*poisson)(const uint32_t* words, const uint16_t* cells, int n_cells, uint32_t bound, uint16_t* counts);

  // The same for begin <= i < end, with a row of kPoissonCells cells for each, number rows[i] of the table.
  uint64_t (*poisson_each)(const uint32_t* words, const uint16_t* table, const uint32_t* rows, int begin, int end,
                           uint32_t bound, uint16_t* counts);

  // One step of n neurons; false if there is no loop for these channels. `each`: every neuron has a drive of its own.
  bool (*neurons_f32)(const NeuronArrays<float>& arrays, int channels, bool conductance, bool each, int64_t n);
  bool (*neurons_f64)(const NeuronArrays<double>& arrays, int channels, bool conductance, bool each, int64_t n);
};

// A table of quantiles (eventops/graphs/quantiles.py): parabolas over the fraction of a float32 number, 64 for each exponent
// from that of 1/2 on, for the lower half of the law and then the upper one; four numbers for each.
constexpr uint32_t kPieceFractionBits = 17, kFirstPiece = 126u << 6, kPieces = (32u << 6) + 1;
constexpr float kPieceStep = 1.0f / (1u << kPieceFractionBits);

inline const Loops<float>& LoopsOf(const Kernels& k, const float*) { return k.f32; }
inline const Loops<double>& LoopsOf(const Kernels& k, const double*) { return k.f64; }
inline const Loops<Float16>& LoopsOf(const Kernels& k, const Float16*) { return k.f16; }
inline const Loops<BFloat16>& LoopsOf(const Kernels& k, const BFloat16*) { return k.bf16; }

Kernels PlainKernels();
#ifdef EVENTOPS_X86
Kernels Avx2Kernels();
Kernels Avx512Kernels();
#endif

// The widest set that this processor runs; EVENTOPS_ISA=plain|avx2|avx512 narrows it.
const Kernels& ChosenKernels();

template <typename W>
const Loops<W>& ChosenLoops() {
  return LoopsOf(ChosenKernels(), static_cast<const W*>(nullptr));
}

}  // namespace eventops

#endif  // EVENTOPS_KERNELS_H_
