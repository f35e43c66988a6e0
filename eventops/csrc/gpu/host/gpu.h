// The device as the products see it: kernels by name, on the stream of the call. Implemented by gpu_driver.cc, and for
// tests on machines without a GPU by tests/emulation/launch.cc.
#ifndef EVENTOPS_GPU_H_
#define EVENTOPS_GPU_H_

#include <cstdint>
#include <string>

#include "ffi/ffi_util.h"

namespace eventops::gpu {

#ifdef EVENTOPS_EMULATED
using Stream = ffi::ThreadPool;
using StreamContext = ffi::ThreadPool;
#else
using Stream = void*;
using StreamContext = ffi::PlatformStream<void*>;
#endif

// The types that a source is compiled for.
struct Types {
  const char* weight;
  const char* spikes;
};

// Each returns what went wrong, or nothing.
std::string Launch(const Stream& stream, const char* source, const char* kernel, Types types, int64_t blocks, int threads,
                   int64_t shared_bytes, const void* params);
std::string Clear(const Stream& stream, void* begin, int64_t bytes);

// Shared memory that kernels have besides what they ask for at launch, at most.
constexpr int64_t kStaticShared = 16 << 10;

// What one block can ask for.
std::string SharedBytes(const Stream& stream, int64_t* bytes);

}  // namespace eventops::gpu

#endif  // EVENTOPS_GPU_H_
