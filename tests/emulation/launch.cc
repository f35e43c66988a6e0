// The products as they are, with kernels of the host in the place of a device's: gpu.h for tests.
#define EVENTOPS_EMULATED
#include <dlfcn.h>

#include <cstring>
#include <mutex>

#include "gpu/host/dense.cc"
#include "gpu/host/draw.cc"
#include "gpu/host/procedural.cc"
#include "gpu/host/rows.cc"
#include "gpu/host/update.cc"

namespace eventops::gpu {
namespace {
std::string folder;
std::mutex mutex;  // the emulated device is a single one
int64_t launches = 0;
}  // namespace

std::string Launch(const Stream&, const char*, const char* kernel, Types types, int64_t blocks, int threads,
                   int64_t shared_bytes, const void* params) {
  const std::lock_guard<std::mutex> lock(mutex);
  const std::string path = folder + "/kernels-" + types.weight + "-" + types.spikes + ".so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return dlerror();
  auto* run = reinterpret_cast<void (*)(const void*, long, int, long)>(
      dlsym(library, (std::string(kernel) + "_emulated").c_str()));
  if (run == nullptr) return std::string("there is no kernel ") + kernel;
  run(params, blocks, threads, shared_bytes);
  ++launches;
  return "";
}

std::string Clear(const Stream&, void* begin, int64_t bytes) {
  std::memset(begin, 0, bytes);
  return "";
}

std::string SharedBytes(const Stream&, int64_t* bytes) {
  *bytes = 20 << 10;  // little, so that tiles have several parts
  return "";
}

}  // namespace eventops::gpu

EVENTOPS_EXPORT void EmulationSetup(const char* kernels) { eventops::gpu::folder = kernels; }
EVENTOPS_EXPORT int64_t EmulationLaunches() { return eventops::gpu::launches; }
