// Chooses the loops for the processor that runs them.

#include "cpu/isa/kernels.h"

#include <cstdlib>
#include <cstring>

namespace eventops {

const Kernels& ChosenKernels() {
  static const Kernels chosen = [] {
    const char* wish = std::getenv("EVENTOPS_ISA");
    const auto wished = [&](const char* name) { return wish != nullptr && std::strcmp(wish, name) == 0; };
    const int widest = wished("plain") ? 0 : wished("avx2") ? 1 : 2;
    (void)widest;  // not used on other processors
#ifdef EVENTOPS_X86
    if (widest >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      return Avx512Kernels();
    }
    if (widest >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
#if !defined(__clang__) || __clang_major__ >= 16  // an older one has no name for it, which all that have AVX2 have
        && __builtin_cpu_supports("f16c")
#endif
    ) {
      return Avx2Kernels();
    }
#endif
    return PlainKernels();
  }();
  return chosen;
}

}  // namespace eventops

extern "C" __attribute__((visibility("default"))) const char* EventopsIsa() {
  return eventops::ChosenKernels().name;
}
