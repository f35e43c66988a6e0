#define EVENTOPS_DENSE_ENTRY PlainDenseKernels
#define EVENTOPS_DENSE_NAME "plain"
#include "dense_kernel.inc"
