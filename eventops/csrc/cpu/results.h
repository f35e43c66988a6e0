// Results of a product: summed in the accumulator's type, and rounded to the weights' type where that is asked for.
#ifndef EVENTOPS_RESULTS_H_
#define EVENTOPS_RESULTS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ffi/ffi_util.h"
#include "cpu/isa/kernels.h"
#include "cpu/parallel.h"

namespace eventops {

// A buffer of the calling thread that only grows: one for each use, since a call may need several at once.
enum class Scratch { kResults, kNumbers, kPieces, kLanes, kHalves };

template <typename A, Scratch use>
A* ScratchOf(int64_t n) {
  thread_local std::vector<A> buffer;
  buffer.resize(std::max<size_t>(buffer.size(), n));
  return buffer.data();
}

template <typename W>
class Results {
 public:
  using A = Accumulator<W>;

  // `type` is that of the weights. Results are summed at `sums()` and are in the buffer after `Finish()`.
  Results(ffi::AnyBuffer out, ffi::DataType type)
      : out_(out), n_(static_cast<int64_t>(out.element_count())),
        wide_(out.element_type() == AccumulatorDtype<A>()), valid_(wide_ || out.element_type() == type) {}

  bool valid() const { return valid_; }
  A* sums() {
    if (wide_) return static_cast<A*>(out_.untyped_data());
    return scratch_ = ScratchOf<A, Scratch::kResults>(n_);
  }
  void Finish(ffi::ThreadPool& pool) {
    if (wide_) return;
    W* out = static_cast<W*>(out_.untyped_data());
    constexpr int64_t kPiece = 1 << 14;
    const int64_t threads = ThreadsFor(pool, n_ * static_cast<int64_t>(sizeof(A)));
    ParallelFor(pool, threads, (n_ + kPiece - 1) / kPiece, [&](int64_t piece) {
      const int64_t begin = piece * kPiece;
      ChosenLoops<W>().narrow(scratch_ + begin, std::min(kPiece, n_ - begin), out + begin);
    });
  }

 private:
  ffi::AnyBuffer out_;
  int64_t n_;
  bool wide_, valid_;
  A* scratch_ = nullptr;
};

}  // namespace eventops

#endif  // EVENTOPS_RESULTS_H_
