#define EVENTOPS_DENSE_ENTRY Avx512DenseKernels
#define EVENTOPS_DENSE_NAME "avx512"
#include "dense_kernel.inc"
