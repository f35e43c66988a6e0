// Large pages for arrays that products read at random places.
#ifndef EVENTOPS_PAGES_H_
#define EVENTOPS_PAGES_H_

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace eventops {

// Asks for pages of 2 MB for a buffer that nothing has written to yet. Rows of a large graph lie on more pages of 4 kB than a
// processor knows the places of, and in a virtual machine to look one up is several reads of memory. A hint, which costs
// nothing where it is not followed.
inline void AskForLargePages(void* buffer, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = 4096;
  constexpr int64_t kWorthIt = int64_t{1} << 22;
  if (bytes < kWorthIt) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(buffer) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(buffer) + static_cast<uintptr_t>(bytes)) / kPage * kPage;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)buffer, (void)bytes;
#endif
}

}  // namespace eventops

#endif  // EVENTOPS_PAGES_H_
