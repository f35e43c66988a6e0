#include "gpu/host/compile.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <vector>

namespace eventops::gpu {
namespace {

// Set once by Python: where the sources are, where NVRTC may be (in the order in which to try), where to keep cubins.
struct Places {
  std::string sources, cache;
  std::vector<std::string> nvrtc;
} places;

const char* const kInstall =
    "install NVRTC with JAX's own packages: pip install \"eventops[cuda13]\", or \"eventops[cuda12]\" for drivers of CUDA 12";

// NVRTC's C API, declared here so that neither a toolkit nor its headers are needed.
struct Nvrtc {
  using Program = void*;
  int (*version)(int*, int*) = nullptr;
  int (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*destroy)(Program*) = nullptr;
  int (*log_size)(Program, size_t*) = nullptr;
  int (*log)(Program, char*) = nullptr;
  int (*ptx_size)(Program, size_t*) = nullptr;
  int (*ptx)(Program, char*) = nullptr;
  int (*cubin_size)(Program, size_t*) = nullptr;
  int (*cubin)(Program, char*) = nullptr;
  const char* (*error)(int) = nullptr;
  int major = 0, minor = 0;
};

template <typename F>
bool Symbol(void* library, const char* name, F* function) {
  *function = reinterpret_cast<F>(dlsym(library, name));
  return *function != nullptr;
}

std::string Open(const std::string& path, int newest, Nvrtc* api) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return dlerror();
  const bool complete =
      Symbol(library, "nvrtcVersion", &api->version) && Symbol(library, "nvrtcCreateProgram", &api->create) &&
      Symbol(library, "nvrtcCompileProgram", &api->compile) && Symbol(library, "nvrtcDestroyProgram", &api->destroy) &&
      Symbol(library, "nvrtcGetProgramLogSize", &api->log_size) && Symbol(library, "nvrtcGetProgramLog", &api->log) &&
      Symbol(library, "nvrtcGetPTXSize", &api->ptx_size) && Symbol(library, "nvrtcGetPTX", &api->ptx) &&
      Symbol(library, "nvrtcGetCUBINSize", &api->cubin_size) && Symbol(library, "nvrtcGetCUBIN", &api->cubin) &&
      Symbol(library, "nvrtcGetErrorString", &api->error);
  if (!complete || api->version(&api->major, &api->minor) != 0) return path + " lacks functions of NVRTC 11.1 or newer";
  if (api->major < 12) return path + " is of CUDA " + std::to_string(api->major) + ", and 12 is needed";
  if (newest != 0 && api->major > newest) {
    return path + " is of CUDA " + std::to_string(api->major) + ", newer than the driver's " + std::to_string(newest);
  }
  return "";
}

// The first that works; the others' problems if none does.
std::string Find(int newest, const Nvrtc** found) {
  static std::mutex mutex;
  static Nvrtc api;
  static bool opened = false;
  const std::lock_guard<std::mutex> lock(mutex);
  std::string problems;
  for (size_t i = 0; !opened && i < places.nvrtc.size(); ++i) {
    api = Nvrtc();
    const std::string problem = Open(places.nvrtc[i], newest, &api);
    opened = problem.empty();
    if (!opened) problems += (problems.empty() ? "" : "; ") + problem;
  }
  *found = &api;
  return opened ? "" : "NVRTC was not found (" + problems + "); " + kInstall;
}

bool ReadFile(const std::string& path, std::string* text) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  *text = content.str();
  return file.good() && !text->empty();
}

// NVRTC has no headers of the C++ library.
const char* const kCstdint =
    "#pragma once\n"
    "typedef signed char int8_t; typedef unsigned char uint8_t; typedef short int16_t; typedef unsigned short uint16_t;\n"
    "typedef int int32_t; typedef unsigned int uint32_t; typedef long long int64_t; typedef unsigned long long uint64_t;\n"
    "typedef unsigned long long uintptr_t;\n";
const char* const kCstring = "#pragma once\nnamespace std { using ::memcpy; }\n";

struct File {
  std::string name, text;
};

// Headers under the names that they are included by, which are their paths.
std::string ReadSources(const char* source, std::vector<File>* files) {
  *files = {{source, ""}, {"gpu/device/device.cuh", ""}, {"gpu/device/line.cuh", ""}, {"shared/params.h", ""},
            {"shared/numbers.h", ""}, {"shared/philox.h", ""}, {"shared/lattice.h", ""}, {"shared/rule.h", ""},
            {"cstdint", kCstdint}, {"cstring", kCstring}};
  for (File& file : *files) {
    if (!file.text.empty()) continue;
    const std::string path = places.sources + (&file == &files->front() ? "/gpu/device/" : "/") + file.name;
    if (!ReadFile(path, &file.text)) return "the package lacks " + path + "; install eventops again";
  }
  return "";
}

uint64_t Fnv(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

// A folder that is ours alone; without one nothing is kept.
bool CacheIsOurs() {
  if (places.cache.empty()) return false;
  mkdir(places.cache.c_str(), 0700);
  struct stat info;
  return lstat(places.cache.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid() &&
         (info.st_mode & 0077) == 0;
}

std::string CachePath(const std::string& key) {
  char name[32];
  std::snprintf(name, sizeof name, "/%016llx.cubin", static_cast<unsigned long long>(Fnv(key)));
  return places.cache + name;
}

// A file holds the sizes and the whole key before the image, so that no other image can be taken for it.
std::string Header(const std::string& key, const std::string& image) {
  return "eventops " + std::to_string(key.size()) + " " + std::to_string(image.size()) + " " +
         std::to_string(Fnv(image)) + "\n" + key;
}

bool ReadCache(const std::string& key, std::string* image) {
  const int file = open(CachePath(key).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) return false;
  struct stat info;
  std::string all;
  if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 0022) == 0 &&
      info.st_size < (1 << 28)) {
    all.resize(info.st_size);
    if (read(file, all.data(), all.size()) != static_cast<ssize_t>(all.size())) all.clear();
  }
  close(file);
  const size_t line = all.find('\n');
  if (line == std::string::npos || all.size() < line + 1 + key.size()) return false;
  *image = all.substr(line + 1 + key.size());
  return all == Header(key, *image) + *image;
}

void WriteCache(const std::string& key, const std::string& image) {
  const std::string path = CachePath(key);
  std::string temporary = path + ".XXXXXX";
  const int file = mkostemp(temporary.data(), O_CLOEXEC);  // 0600
  if (file < 0) return;
  const std::string all = Header(key, image) + image;
  const bool written = write(file, all.data(), all.size()) == static_cast<ssize_t>(all.size());
  if (close(file) != 0 || !written || rename(temporary.c_str(), path.c_str()) != 0) unlink(temporary.c_str());
}

std::string RunNvrtc(const Nvrtc& nvrtc, const std::vector<File>& files, const std::vector<std::string>& options, Form form,
                     std::string* image) {
  std::vector<const char*> names, texts, flags;
  for (size_t i = 1; i < files.size(); ++i) {
    names.push_back(files[i].name.c_str());
    texts.push_back(files[i].text.c_str());
  }
  for (const auto& option : options) flags.push_back(option.c_str());
  Nvrtc::Program program = nullptr;
  int status = nvrtc.create(&program, files[0].text.c_str(), files[0].name.c_str(), static_cast<int>(names.size()),
                            texts.data(), names.data());
  if (status == 0) status = nvrtc.compile(program, static_cast<int>(flags.size()), flags.data());
  std::string log;
  size_t size = 0;
  if (status != 0 && program != nullptr && nvrtc.log_size(program, &size) == 0 && size > 1) {
    log.resize(size);
    nvrtc.log(program, log.data());
    log.pop_back();  // the zero at its end
  }
  if (status == 0) status = (form == Form::kPtx ? nvrtc.ptx_size : nvrtc.cubin_size)(program, &size);
  if (status == 0) {
    image->resize(size);
    status = (form == Form::kPtx ? nvrtc.ptx : nvrtc.cubin)(program, image->data());
  }
  if (program != nullptr) nvrtc.destroy(&program);
  if (status == 0) return "";
  return std::string("NVRTC ") + std::to_string(nvrtc.major) + "." + std::to_string(nvrtc.minor) + " fails on " +
         files[0].name + " for " + options[0] + ": " + nvrtc.error(status) + " " + log +
         " (if it does not know this device, a newer NVRTC does: pip install --upgrade nvidia-cuda-nvrtc" +
         (nvrtc.major == 12 ? "-cu12)" : ")");
}

}  // namespace

std::string Compile(const char* source, Types types, const std::string& arch, Form form, int newest, std::string* image) {
  const Nvrtc* nvrtc = nullptr;
  std::string problem = Find(newest, &nvrtc);
  if (!problem.empty()) return problem;
  std::vector<File> files;
  problem = ReadSources(source, &files);
  if (!problem.empty()) return problem;
  const std::vector<std::string> options = {"--gpu-architecture=" + arch, "--std=c++17",
                                            "--device-as-default-execution-space",
                                            std::string("--define-macro=EVENTOPS_W=") + types.weight,
                                            std::string("--define-macro=EVENTOPS_S=") + types.spikes};
  std::string key = "NVRTC " + std::to_string(nvrtc->major) + "." + std::to_string(nvrtc->minor);
  for (const auto& option : options) key += " " + option;
  for (const auto& file : files) key += "\n" + file.name + "\n" + file.text;
  const bool kept = form == Form::kCubin && CacheIsOurs();
  if (kept && ReadCache(key, image)) return "";
  problem = RunNvrtc(*nvrtc, files, options, form, image);
  if (problem.empty() && kept) WriteCache(key, *image);
  return problem;
}

std::string NvrtcProblem(int newest) {
  const Nvrtc* nvrtc = nullptr;
  return Find(newest, &nvrtc);
}

}  // namespace eventops::gpu

// `nvrtc` has one path on each line.
EVENTOPS_EXPORT void EventopsGpuSetup(const char* sources, const char* nvrtc, const char* cache) {
  eventops::gpu::places = {sources, cache, {}};
  std::istringstream lines(nvrtc);
  for (std::string line; std::getline(lines, line);) eventops::gpu::places.nvrtc.push_back(line);
}

// For tests: the image in `size` bytes at `*image` and null, or what went wrong. Both live until the next call.
EVENTOPS_EXPORT const char* EventopsGpuCompile(const char* source, const char* weight, const char* spikes,
                                               const char* arch, int ptx, const char** image, int64_t* size) {
  thread_local std::string kept, problem;
  problem = eventops::gpu::Compile(source, {weight, spikes}, arch,
                                   ptx ? eventops::gpu::Form::kPtx : eventops::gpu::Form::kCubin, 0, &kept);
  *image = kept.data();
  *size = static_cast<int64_t>(kept.size());
  return problem.empty() ? nullptr : problem.c_str();
}
