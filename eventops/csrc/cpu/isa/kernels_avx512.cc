#define EVENTOPS_ENTRY Avx512Kernels
#define EVENTOPS_NAME "avx512"
#define EVENTOPS_VECTOR 64
#include "cpu/isa/kernels.inc"
