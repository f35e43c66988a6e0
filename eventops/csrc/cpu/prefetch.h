// Bytes fetched before they are needed, where the hardware cannot foresee them.
#ifndef EVENTOPS_PREFETCH_H_
#define EVENTOPS_PREFETCH_H_

#include <algorithm>
#include <cstdint>

namespace eventops {

// The caches that fetched lines go to: all, or only the second level and beyond, which has more requests on their way and
// leaves the first level to the outputs.
enum class Fetch { kAll, kSecond };

// Inlined always: for the compiler a function that only prefetches does nothing, and calls of it are taken away.
template <Fetch kTo>
__attribute__((always_inline)) inline void PrefetchSpan(const void* begin, int64_t bytes) {
  constexpr int64_t kMost = 4096, kLine = 64;
  const char* p = static_cast<const char*>(begin);
  for (int64_t i = 0; i < std::min(bytes, kMost); i += kLine) __builtin_prefetch(p + i, 0, kTo == Fetch::kAll ? 3 : 2);
}

}  // namespace eventops

#endif  // EVENTOPS_PREFETCH_H_
