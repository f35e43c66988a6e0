#define EVENTOPS_ENTRY Avx2Kernels
#define EVENTOPS_NAME "avx2"
#define EVENTOPS_VECTOR 32
#include "cpu/isa/kernels.inc"
