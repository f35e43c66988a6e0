// From a CUDA source of the package to machine code for a device, by NVRTC.
#ifndef EVENTOPS_GPU_COMPILE_H_
#define EVENTOPS_GPU_COMPILE_H_

#include <string>

#include "gpu/host/gpu.h"

namespace eventops::gpu {

enum class Form { kPtx, kCubin };

// `arch` is as in "sm_90"; NVRTC of a major version above `newest` is not used (0: any is). Returns what went wrong,
// or nothing. Cubins are kept on disk.
std::string Compile(const char* source, Types types, const std::string& arch, Form form, int newest, std::string* image);

// What is wrong with the NVRTC that is there, or nothing.
std::string NvrtcProblem(int newest);

}  // namespace eventops::gpu

#endif  // EVENTOPS_GPU_COMPILE_H_
