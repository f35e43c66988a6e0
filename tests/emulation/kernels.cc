// All kernels for one type of weights and one of spikes.
#define EVENTOPS_EMULATED
#include "cuda/compact.cu"
#include "cuda/dense.cu"
#include "cuda/draw.cu"
#include "cuda/procedural.cu"
#include "cuda/rows.cu"
#include "cuda/update.cu"
