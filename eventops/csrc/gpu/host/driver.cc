// Kernels on an NVIDIA device, by the CUDA driver that is there at run time.

#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "gpu/host/gpu.h"
#include "gpu/host/compile.h"

namespace eventops::gpu {
namespace {

// The part of the driver's C API that is used, declared here so that no toolkit is needed.
struct Driver {
  int (*init)(unsigned) = nullptr;
  int (*version)(int*) = nullptr;
  int (*device_count)(int*) = nullptr;
  int (*stream_context)(void*, void**) = nullptr;
  int (*push)(void*) = nullptr;
  int (*pop)(void**) = nullptr;
  int (*device)(int*) = nullptr;
  int (*attribute)(int*, int, int) = nullptr;
  int (*load)(void**, const void*) = nullptr;
  int (*function)(void**, void*, const char*) = nullptr;
  int (*set_attribute)(void*, int, int) = nullptr;
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**) = nullptr;
  int (*clear)(unsigned long long, unsigned, size_t, void*) = nullptr;
  int (*exchange_capture_mode)(int*) = nullptr;
  int (*error_name)(int, const char**) = nullptr;
  int (*error_text)(int, const char**) = nullptr;
  int newest = 0;  // major version of CUDA that the driver knows
  std::string problem;
};

constexpr int kComputeMajor = 75, kComputeMinor = 76, kSharedPerBlock = 97;  // CU_DEVICE_ATTRIBUTE_...
constexpr int kMaxDynamicShared = 8;                                         // CU_FUNC_ATTRIBUTE_...
constexpr int kRelaxed = 2;                                                  // CU_STREAM_CAPTURE_MODE_RELAXED
constexpr int64_t kSharedWithoutAsking = 48 << 10;

template <typename F>
bool Symbol(void* library, const char* name, F* function) {
  *function = reinterpret_cast<F>(dlsym(library, name));
  return *function != nullptr;
}

std::string Text(const Driver& driver, const char* what, int status) {
  const char *name = "unknown error", *text = "";
  if (driver.error_name != nullptr) driver.error_name(status, &name);
  if (driver.error_text != nullptr) driver.error_text(status, &text);
  return std::string(what) + " fails with " + name + " (" + text + ")";
}

Driver LoadDriver() {
  Driver d;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    d.problem = "there is no NVIDIA driver (libcuda.so.1 does not load); install one of version 525 or newer";
    return d;
  }
  const bool complete =
      Symbol(library, "cuInit", &d.init) && Symbol(library, "cuDriverGetVersion", &d.version) &&
      Symbol(library, "cuDeviceGetCount", &d.device_count) && Symbol(library, "cuStreamGetCtx", &d.stream_context) &&
      Symbol(library, "cuCtxPushCurrent_v2", &d.push) && Symbol(library, "cuCtxPopCurrent_v2", &d.pop) &&
      Symbol(library, "cuCtxGetDevice", &d.device) && Symbol(library, "cuDeviceGetAttribute", &d.attribute) &&
      Symbol(library, "cuModuleLoadData", &d.load) && Symbol(library, "cuModuleGetFunction", &d.function) &&
      Symbol(library, "cuFuncSetAttribute", &d.set_attribute) && Symbol(library, "cuLaunchKernel", &d.launch) &&
      Symbol(library, "cuMemsetD32Async", &d.clear) &&
      Symbol(library, "cuThreadExchangeStreamCaptureMode", &d.exchange_capture_mode) &&
      Symbol(library, "cuGetErrorName", &d.error_name) && Symbol(library, "cuGetErrorString", &d.error_text);
  int version = 0, count = 0, status = 0;
  if (d.version != nullptr) d.version(&version);
  if (!complete || version < 12000) {
    const std::string knows = "it knows CUDA " + std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
    d.problem = "the NVIDIA driver is too old (" + knows + (version < 12000 ? "" : ", but lacks functions of it") +
                "); install one of version 525 or newer";
  } else if ((status = d.init(0)) != 0) {
    d.problem = "the NVIDIA driver does not start: " + Text(d, "cuInit", status);
  } else if ((status = d.device_count(&count)) != 0 || count == 0) {
    d.problem = "the NVIDIA driver finds no GPU";
  }
  d.newest = version / 1000;
  return d;
}

const Driver& TheDriver() {
  static const Driver driver = LoadDriver();
  return driver;
}

// The context of a stream is current while this lives, and what a capture of another stream forbids (to load a module
// takes memory) is allowed to this thread.
class InContextOf {
 public:
  InContextOf(const Driver& driver, void* stream) : driver_(driver) {
    problem_ = driver.problem;
    if (!problem_.empty()) return;
    int status = driver.stream_context(stream, &context_);
    if (status == 0) status = driver.push(context_);
    if (status != 0) {
      problem_ = Text(driver, "to enter the stream's context", status);
      return;
    }
    entered_ = true;
    driver.exchange_capture_mode(&mode_);
  }
  ~InContextOf() {
    if (!entered_) return;
    void* context;
    driver_.exchange_capture_mode(&mode_);
    driver_.pop(&context);
  }
  InContextOf(const InContextOf&) = delete;
  InContextOf& operator=(const InContextOf&) = delete;
  const std::string& problem() const { return problem_; }
  void* context() const { return context_; }

 private:
  const Driver& driver_;
  void* context_ = nullptr;
  int mode_ = kRelaxed;
  bool entered_ = false;
  std::string problem_;
};

int Attribute(const Driver& driver, int which) {
  int device = 0, value = 0;
  if (driver.device(&device) == 0) driver.attribute(&value, which, device);
  return value;
}

struct Loaded {
  std::mutex mutex;
  std::map<std::string, void*> modules, functions;
};

// A kernel of the current context, compiled and loaded when it is first asked for.
std::string FindFunction(const Driver& driver, void* context, const char* source, const char* kernel, Types types,
                         void** function) {
  static Loaded loaded;
  const std::string module_key = std::to_string(reinterpret_cast<uintptr_t>(context)) + " " + source + " " + types.weight +
                                 " " + types.spikes;
  const std::string key = module_key + " " + kernel;
  const std::lock_guard<std::mutex> lock(loaded.mutex);
  if (const auto known = loaded.functions.find(key); known != loaded.functions.end()) {
    *function = known->second;
    return "";
  }
  void*& module = loaded.modules[module_key];
  if (module == nullptr) {
    const std::string arch = "sm_" + std::to_string(Attribute(driver, kComputeMajor)) +
                             std::to_string(Attribute(driver, kComputeMinor));
    std::string image;
    std::string problem = Compile(source, types, arch, Form::kCubin, driver.newest, &image);
    if (!problem.empty()) return problem;
    if (const int status = driver.load(&module, image.data()); status != 0) {
      module = nullptr;
      return Text(driver, "to load a kernel", status) + "; update the NVIDIA driver";
    }
  }
  const int status = driver.function(function, module, kernel);
  if (status != 0) return Text(driver, "to find a kernel", status);
  if (const int shared = Attribute(driver, kSharedPerBlock); shared > kSharedWithoutAsking) {
    driver.set_attribute(*function, kMaxDynamicShared, shared - kStaticShared);
  }
  loaded.functions[key] = *function;
  return "";
}

}  // namespace

std::string Launch(const Stream& stream, const char* source, const char* kernel, Types types, int64_t blocks, int threads,
                   int64_t shared_bytes, const void* params) {
  const Driver& driver = TheDriver();
  const InContextOf inside(driver, stream);
  if (!inside.problem().empty()) return inside.problem();
  void* function = nullptr;
  const std::string problem = FindFunction(driver, inside.context(), source, kernel, types, &function);
  if (!problem.empty()) return problem;
  void* arguments[] = {const_cast<void*>(params)};
  const int status = driver.launch(function, static_cast<unsigned>(blocks), 1, 1, static_cast<unsigned>(threads), 1, 1,
                                   static_cast<unsigned>(shared_bytes), stream, arguments, nullptr);
  return status == 0 ? "" : Text(driver, kernel, status);
}

std::string Clear(const Stream& stream, void* begin, int64_t bytes) {
  const Driver& driver = TheDriver();
  const InContextOf inside(driver, stream);
  if (!inside.problem().empty()) return inside.problem();
  const int status = driver.clear(reinterpret_cast<uintptr_t>(begin), 0, static_cast<size_t>(bytes) / 4, stream);
  return status == 0 ? "" : Text(driver, "cuMemsetD32Async", status);
}

std::string SharedBytes(const Stream& stream, int64_t* bytes) {
  const Driver& driver = TheDriver();
  const InContextOf inside(driver, stream);
  if (!inside.problem().empty()) return inside.problem();
  *bytes = std::max<int64_t>(Attribute(driver, kSharedPerBlock), kSharedWithoutAsking) - kStaticShared;
  return "";
}

}  // namespace eventops::gpu

// Null if there is a device, or why there is none. Starts no context.
EVENTOPS_EXPORT const char* EventopsGpuProblem() {
  const std::string& problem = eventops::gpu::TheDriver().problem;
  return problem.empty() ? nullptr : problem.c_str();
}

// Null if there is an NVRTC that this driver's kernels can be compiled with, or why there is none.
EVENTOPS_EXPORT const char* EventopsNvrtcProblem() {
  thread_local std::string problem;
  problem = eventops::gpu::NvrtcProblem(eventops::gpu::TheDriver().newest);
  return problem.empty() ? nullptr : problem.c_str();
}
