// Work sharing on XLA's own thread pool.
//
// The caller and its helpers take units from one atomic counter. The caller never waits for a helper
// that has not begun: a pool whose threads are all busy (perhaps with callers like this one) would
// otherwise deadlock. A helper that starts late sees `closed` and touches nothing but the shared state.
#ifndef EVENTOPS_PARALLEL_H_
#define EVENTOPS_PARALLEL_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

#include "xla/ffi/api/ffi.h"

namespace eventops {

// Where the calling thread runs, or -1.
inline int Processor() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

// Linux may wake a helper on the very processor of its caller while others idle: it looks for an idle one only while
// few are busy, and threads that spin for work count as busy. The caller then stands still until the helper sleeps
// again, which took twice the time of the caller alone, for thousands of calls in a row since a thread is woken where
// it slept. So the helper moves to any other processor that it may use, and may then use all of them again.
inline void LeaveProcessor(int processor) {
#ifdef __linux__
  if (processor < 0 || processor >= CPU_SETSIZE || sched_getcpu() != processor) return;
  cpu_set_t allowed, others;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  others = allowed;
  CPU_CLR(processor, &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
#endif
}

class SharedWork {
 public:
  explicit SharedWork(int64_t n_units) : n_units_(n_units), processor_(Processor()) {}

  // The only exception of a body is a failed allocation. It must not leave a thread of the pool, nor the
  // caller before its helpers are done: it is kept, and thrown again by CloseAndWait.
  template <typename F>
  void Drain(F& body) {
    try {
      for (;;) {
        int64_t unit = next_.fetch_add(1, std::memory_order_relaxed);
        if (unit >= n_units_) return;
        body(unit);
      }
    } catch (const std::bad_alloc&) {
      out_of_memory_.store(true);
    }
  }

  // Sequential consistency of (running_, closed_) is what makes the hand-over safe: either the helper
  // sees that the work is closed, or the caller sees that the helper runs.
  template <typename F>
  void Help(F* body) {
    LeaveProcessor(processor_);
    running_.fetch_add(1);
    if (!closed_.load()) Drain(*body);
    running_.fetch_sub(1);
  }

  void CloseAndWait() {
    closed_.store(true);
    for (int spin = 0; running_.load() != 0; ++spin) {
      if (spin > 1000) std::this_thread::yield();
    }
    if (out_of_memory_.load()) throw std::bad_alloc();
  }

 private:
  const int64_t n_units_;
  const int processor_;  // of the caller
  std::atomic<int64_t> next_{0};
  std::atomic<int> running_{0};
  std::atomic<bool> closed_{false};
  std::atomic<bool> out_of_memory_{false};
};

// Runs body(0) ... body(n_units - 1), in any order, on the calling thread and up to `n_threads - 1`
// threads of the pool. `n_threads` <= 1 stays on the calling thread.
template <typename F>
void ParallelFor(xla::ffi::ThreadPool& pool, int64_t n_threads, int64_t n_units, F body) {
  n_threads = std::min(n_threads, n_units);
  if (n_threads <= 1) {
    for (int64_t unit = 0; unit < n_units; ++unit) body(unit);
    return;
  }
  auto work = std::make_shared<SharedWork>(n_units);
  F* shared_body = &body;  // outlives every helper that runs it: see CloseAndWait
  for (int64_t i = 1; i < n_threads; ++i) {
    pool.Schedule([work, shared_body] { work->Help(shared_body); });
  }
  work->Drain(body);
  work->CloseAndWait();
}

// Waking a thread of the pool costs microseconds: fewer bytes than this stay on the calling thread.
constexpr int64_t kBytesWorthAThread = int64_t{1} << 18;

inline int64_t ThreadsFor(xla::ffi::ThreadPool& pool, int64_t bytes) {
  if (bytes < kBytesWorthAThread) return 1;
  return std::max<int64_t>(1, pool.num_threads());
}

}  // namespace eventops

#endif  // EVENTOPS_PARALLEL_H_
