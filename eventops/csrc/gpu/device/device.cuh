// What all kernels share. Compiled by NVRTC with EVENTOPS_W and EVENTOPS_S, the types of weights and spikes,
// and by the host's compiler for the tests (EVENTOPS_EMULATED).
#ifndef EVENTOPS_CUDA_DEVICE_CUH_
#define EVENTOPS_CUDA_DEVICE_CUH_

#include "shared/numbers.h"
#include "shared/params.h"

#ifdef EVENTOPS_EMULATED
#include "emulated.h"
#else
#define EVENTOPS_KERNEL(name, Params) \
  extern "C" __global__ void __launch_bounds__(eventops::kThreads) name(const eventops::Params p)
#define EVENTOPS_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

namespace eventops {

using W = EVENTOPS_W;
using S = EVENTOPS_S;
using A = Accumulator<W>;

constexpr uint32_t kAll = 0xffffffffu;

// Sums are numbers of the accumulator's type, or counts of events.
template <typename T>
constexpr bool kCounts = T(0.5f) == T(0);

inline int Lane() { return threadIdx.x % 32; }
inline int Warp() { return threadIdx.x / 32; }
inline int Warps() { return blockDim.x / 32; }

template <typename T>
T Least(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
T Clamp(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;
}

inline float Widen(float w) { return w; }
inline double Widen(double w) { return w; }
inline float Widen(BFloat16 w) { return Load(&w); }
inline float Widen(Float16 w) {
#ifdef __CUDA_ARCH__
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(w.bits));
  return x;
#else
  return Load(&w);
#endif
}

inline float Read(const float* p) { return __ldg(p); }
inline double Read(const double* p) { return __ldg(p); }
inline float Read(const BFloat16* p) { return Widen(BFloat16{__ldg(reinterpret_cast<const unsigned short*>(p))}); }
inline float Read(const Float16* p) { return Widen(Float16{__ldg(reinterpret_cast<const unsigned short*>(p))}); }

// Sixteen bytes of weights at once, or a single weight.
template <int n>
struct Pack {
  W w[n];
};
template <int n>
inline Pack<n> ReadPack(const W* p) {
  Pack<n> pack;
  if constexpr (n * sizeof(W) == 16) {
    const uint4 all = __ldg(reinterpret_cast<const uint4*>(p));
    memcpy(&pack, &all, 16);
  } else {
    for (int i = 0; i < n; ++i) pack.w[i] = p[i];
  }
  return pack;
}

// The value of input i, which the list of events says is not 0.
inline A Value(const void* spikes, int64_t i) {
  if constexpr (sizeof(S) == 1) return A(1);
  return static_cast<const A*>(spikes)[i];
}
// 0 or the value, for inputs that may be silent.
inline A ValueOrZero(const void* spikes, int64_t i) { return static_cast<A>(static_cast<const S*>(spikes)[i]); }

inline void Result(void* out, int narrow, int64_t i, A sum) {
  if (narrow) {
    Store(sum, static_cast<W*>(out) + i);
  } else {
    static_cast<A*>(out)[i] = sum;
  }
}

template <typename T>
T WarpSum(T x) {
  for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(kAll, x, d);
  return x;
}

struct Plus {
  template <typename T>
  T operator()(T a, T b) const {
    return a + b;
  }
};

// All threads of a block call it. What comes before this thread's x; `all` is the same for every thread.
template <typename T, typename Op>
T BlockScan(T x, T nothing, Op op, T* all) {
  __shared__ T of_warp[32];
  T inclusive = x;
  for (int d = 1; d < 32; d *= 2) {
    const T left = __shfl_up_sync(kAll, inclusive, d);
    if (Lane() >= d) inclusive = op(left, inclusive);
  }
  __syncthreads();  // the last call's numbers have been read
  if (Lane() == 31) of_warp[Warp()] = inclusive;
  __syncthreads();
  T before = nothing, sum = nothing;
  for (int w = 0; w < Warps(); ++w) {
    if (w == Warp()) before = sum;
    sum = op(sum, of_warp[w]);
  }
  *all = sum;
  const T left = __shfl_up_sync(kAll, inclusive, 1);
  return Lane() == 0 ? before : op(before, left);
}

template <typename T>
T BlockSum(T x) {
  T all;
  BlockScan(x, T(0), Plus(), &all);
  return all;
}

// Events of a list that belong to one of several slices.
struct Range {
  int64_t first, last;
};
inline Range SliceOf(int64_t n, int slice, int n_slices) {
  return {n * slice / n_slices, n * (slice + 1) / n_slices};
}

}  // namespace eventops

#endif  // EVENTOPS_CUDA_DEVICE_CUH_
