#define EVENTOPS_DENSE_ENTRY Avx2DenseKernels
#define EVENTOPS_DENSE_NAME "avx2"
#include "dense_kernel.inc"
