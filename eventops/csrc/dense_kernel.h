// The inner loop of the dense product, compiled once per instruction set and chosen at load time.
#ifndef EVENTOPS_DENSE_KERNEL_H_
#define EVENTOPS_DENSE_KERNEL_H_

#include <cstdint>

#include "compact.h"
#include "numbers.h"

namespace eventops {

// out[j] = sum over the events e, in order, of e.value * weight[e.index * stride + j], for j < n_columns.
// `out` and `weight` point at the first column of the block.
template <typename W>
using DenseBlock = void (*)(const Event<Accumulator<W>>* events, int64_t n_events, const W* weight,
                            int64_t stride, int64_t n_columns, Accumulator<W>* out);

struct DenseKernels {
  const char* name;
  DenseBlock<float> f32;
  DenseBlock<double> f64;
  DenseBlock<Float16> f16;
  DenseBlock<BFloat16> bf16;
};

DenseKernels PlainDenseKernels();
#ifdef EVENTOPS_X86
DenseKernels Avx2DenseKernels();
DenseKernels Avx512DenseKernels();
#endif

// The widest set that this processor runs; EVENTOPS_ISA=plain|avx2|avx512 narrows it.
const DenseKernels& ChosenDenseKernels();

}  // namespace eventops

#endif  // EVENTOPS_DENSE_KERNEL_H_
