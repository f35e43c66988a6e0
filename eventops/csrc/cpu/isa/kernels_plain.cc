#define EVENTOPS_ENTRY PlainKernels
#define EVENTOPS_NAME "plain"
#define EVENTOPS_VECTOR 16
#include "cpu/isa/kernels.inc"
