// CUDA as far as the kernels use it, on one thread of the host: the threads of a block are fibers that take turns at
// barriers. A barrier that not all threads of a block (or warp) reach, and a write behind the dynamic shared memory,
// end the process with a message; shared memory starts as garbage, as on a device.
#ifndef EVENTOPS_TESTS_EMULATED_H_
#define EVENTOPS_TESTS_EMULATED_H_

#include <setjmp.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <vector>

using std::memcpy;

struct uint4 {
  unsigned x, y, z, w;
};
struct Dimensions {
  unsigned x = 0;
};
static Dimensions threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {

constexpr size_t kStack = 128 << 10, kGuard = 64;
enum State { kReady, kWaits, kDone };

struct Fiber {
  jmp_buf at;
  ucontext_t start;
  std::vector<unsigned char> stack;
  bool started = false;
  State state = kReady;
  unsigned phase = 0;
};
struct Warp {
  int arrived = 0;
  uint64_t slots[2][32];
};

static std::deque<Fiber> fibers;  // which do not move
static std::vector<Warp> warps;
static std::vector<unsigned char> dynamic_shared;
static std::function<void()> body;
static jmp_buf scheduler;
static int current = 0, arrived = 0;

[[noreturn]] inline void Fail(const char* what) {
  std::fprintf(stderr, "emulated device, block %u: %s\n", blockIdx.x, what);
  std::abort();
}

// Until the last of the fibers first .. first + n - 1 has come as well.
inline void Barrier(int* count, int first, int n) {
  Fiber& self = fibers[current];
  if (++*count == n) {
    *count = 0;
    for (int i = first; i < first + n; ++i) fibers[i].state = kReady;
    return;
  }
  self.state = kWaits;
  if (_setjmp(self.at) == 0) _longjmp(scheduler, 1);
}

// A fiber serves one block after another: to start one takes a call of the system.
inline void Main() {
  for (;;) {
    body();
    Fiber& self = fibers[current];
    self.state = kDone;
    if (_setjmp(self.at) == 0) _longjmp(scheduler, 1);
  }
}

inline void RunBlock(int threads) {
  int done = 0;
  for (int t = 0; t < threads; ++t) fibers[t].state = kReady;
  for (Warp& warp : warps) warp.arrived = 0;
  arrived = 0;
  static volatile bool progress;  // lives across jumps
  static volatile int i;
  while (done < threads) {
    progress = false;
    for (i = 0; i < threads; i = i + 1) {
      if (fibers[i].state != kReady) continue;
      progress = true;
      current = i;
      threadIdx.x = i;
      if (_setjmp(scheduler) == 0) {
        Fiber& fiber = fibers[i];
        if (fiber.started) _longjmp(fiber.at, 1);
        fiber.started = true;
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.data();
        fiber.start.uc_stack.ss_size = fiber.stack.size();
        makecontext(&fiber.start, Main, 0);
        setcontext(&fiber.start);
      }
    }
    done = 0;
    for (int t = 0; t < threads; ++t) done += fibers[t].state == kDone;
    if (!progress) Fail("a barrier is not reached by all threads");
  }
}

inline void Run(std::function<void()> kernel, long blocks, int threads, long shared_bytes) {
  body = kernel;
  while (static_cast<int>(fibers.size()) < threads) {
    fibers.emplace_back();
    fibers.back().stack.resize(kStack);
  }
  warps.assign(threads / 32, Warp());
  blockDim.x = threads;
  gridDim.x = blocks;
  for (long b = 0; b < blocks; ++b) {
    blockIdx.x = b;
    dynamic_shared.assign(shared_bytes + kGuard, 0xa5);
    RunBlock(threads);
    for (size_t i = 0; i < kGuard; ++i) {
      if (dynamic_shared[shared_bytes + i] != 0xa5) Fail("a write behind the dynamic shared memory");
    }
  }
}

// What lane `from` gave, after all lanes of the warp have given theirs.
template <typename T>
T Exchange(T x, int from) {
  static_assert(sizeof(T) <= 8);
  Warp& warp = warps[current / 32];
  auto& slots = warp.slots[fibers[current].phase++ % 2];
  const int me = current;
  std::memcpy(&slots[me % 32], &x, sizeof x);
  Barrier(&warp.arrived, me / 32 * 32, 32);
  if (from < 0 || from > 31) return x;
  T other;
  std::memcpy(&other, &slots[from], sizeof other);
  return other;
}

}  // namespace emulated

#define __shared__ static
#define __noinline__ __attribute__((noinline))
#define EVENTOPS_DYNAMIC_SHARED(name) unsigned char* const name = emulated::dynamic_shared.data()
#define EVENTOPS_KERNEL(name, Params)                                                                          \
  static void name(const eventops::Params& p);                                                                 \
  extern "C" void name##_emulated(const void* params, long blocks, int threads, long shared_bytes) {           \
    emulated::Run([&] { name(*static_cast<const eventops::Params*>(params)); }, blocks, threads, shared_bytes); \
  }                                                                                                            \
  static void name(const eventops::Params& p)

inline void __syncthreads() { emulated::Barrier(&emulated::arrived, 0, static_cast<int>(blockDim.x)); }
inline void __syncwarp() {
  emulated::Barrier(&emulated::warps[emulated::current / 32].arrived, emulated::current / 32 * 32, 32);
}
template <typename T>
T __shfl_up_sync(unsigned, T x, int by) {
  return emulated::Exchange(x, emulated::current % 32 - by);
}
template <typename T>
T __shfl_xor_sync(unsigned, T x, int by) {
  return emulated::Exchange(x, emulated::current % 32 ^ by);
}
inline unsigned __ballot_sync(unsigned, bool x) {
  emulated::Warp& warp = emulated::warps[emulated::current / 32];
  const auto& slots = warp.slots[emulated::fibers[emulated::current].phase % 2];
  emulated::Exchange(uint64_t{x}, 0);
  unsigned all = 0;
  for (int lane = 0; lane < 32; ++lane) all |= static_cast<unsigned>(slots[lane]) << lane;
  return all;
}
template <typename T>
T __ldg(const T* p) {
  return *p;
}
template <typename T>
T atomicAdd(T* p, T x) {
  const T old = *p;
  *p = old + x;
  return old;
}
inline uint32_t atomicOr(uint32_t* p, uint32_t x) {
  const uint32_t old = *p;
  *p = old | x;
  return old;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }

#endif  // EVENTOPS_TESTS_EMULATED_H_
