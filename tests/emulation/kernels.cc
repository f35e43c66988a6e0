// All kernels for one type of weights and one of spikes.
#define EVENTOPS_EMULATED
#include "gpu/device/compact.cu"
#include "gpu/device/dense.cu"
#include "gpu/device/draw.cu"
#include "gpu/device/procedural.cu"
#include "gpu/device/rows.cu"
#include "gpu/device/update.cu"
