// Dense product: the rows of the weight matrix that belong to active inputs, summed by column blocks.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "cpu/compact.h"
#include "cpu/isa/kernels.h"
#include "ffi/ffi_util.h"
#include "cpu/parallel.h"
#include "cpu/results.h"

namespace eventops {

namespace {

// Columns per unit of work: the block of the output stays in the first-level cache while rows stream by.
constexpr int64_t kMaxBlock = 6144;
constexpr int64_t kMinBlock = 256;

// Blocks of equal width, as many for each thread; multiples of 64 columns keep lines whole.
int64_t BlockWidth(int64_t n_out, int64_t most, int64_t threads) {
  const int64_t rounds = (n_out + most * threads - 1) / (most * threads);
  return std::clamp((n_out / (rounds * threads) + 64) / 64 * 64, kMinBlock, most);
}

// The spikes of V * B vectors, as they came and as lists of events.
template <typename W>
struct DenseInputs {
  using A = Accumulator<W>;
  const EventLists<A>* lists;  // null where so many are active that all vectors are multiplied as a whole
  int64_t n_events;
  const A* values;  // null unless a batch is so dense that its vectors are multiplied as a whole
  const W* weight;  // (V, n_in, n_out)
  int64_t n_weights, n_batch, n_in, n_out;
};

// A vector of this many events is summed in two halves, of the inputs before n_in / 2 and of those from there on, so
// that two threads can read whole rows. It depends on the vector alone: a batch, other columns of the matrix and other
// numbers of threads give the same bits.
constexpr int64_t kHalvedFrom = 256;

// How many of a vector's events belong to its first half; all of them where they are few.
template <typename A>
int64_t FirstHalf(const Event<A>* events, int64_t count, int64_t n_in) {
  if (count < kHalvedFrom) return count;
  return std::lower_bound(events, events + count, n_in / 2, [](const Event<A>& e, int64_t r) { return e.index < r; }) - events;
}

template <typename A>
void AddTo(const A* x, int64_t n, A* y) {
  for (int64_t j = 0; j < n; ++j) y[j] += x[j];
}

// The sum of the rows of some events.
template <typename W>
void SumOf(const Event<Accumulator<W>>* events, int64_t count, const W* matrix, int64_t n_out, int64_t width,
           Accumulator<W>* y) {
  std::fill(y, y + width, Accumulator<W>(0));
  ChosenLoops<W>().add_events(events, count, matrix, n_out, width, y);
}

// One vector in one block of columns, on one thread.
template <typename W>
void SumVector(const Event<Accumulator<W>>* events, int64_t count, const DenseInputs<W>& in, const W* matrix,
               int64_t width, Accumulator<W>* y) {
  const int64_t first = FirstHalf(events, count, in.n_in);
  SumOf(events, first, matrix, in.n_out, width, y);
  if (first == count) return;
  auto* rest = ScratchOf<Accumulator<W>, Scratch::kHalves>(width);
  SumOf(events + first, count - first, matrix, in.n_out, width, rest);
  AddTo(rest, width, y);
}

// Two threads that each read a part of every row begin anew at each row, and the hardware foresees less. Where that part
// is short they take whole rows, each those of one half, if one half is not much longer than the other.
constexpr int64_t kShortPiece = 8192;

template <typename W>
bool HalvesPay(const DenseInputs<W>& in, int64_t threads) {
  if (in.n_weights != 1 || threads < 2) return false;
  const int64_t count = in.lists->count(0), first = FirstHalf(in.lists->begin(0), count, in.n_in);
  return in.n_out * static_cast<int64_t>(sizeof(W)) <= kShortPiece * threads && std::abs(2 * first - count) <= count / 8;
}

template <typename W>
void DenseHalves(ffi::ThreadPool& pool, int64_t threads, const DenseInputs<W>& in, Accumulator<W>* out) {
  const Event<Accumulator<W>>* events = in.lists->begin(0);
  const int64_t count = in.lists->count(0), first = FirstHalf(events, count, in.n_in);
  const int64_t block = BlockWidth(in.n_out, kMaxBlock, threads / 2), n_blocks = (in.n_out + block - 1) / block;
  auto* rest = ScratchOf<Accumulator<W>, Scratch::kHalves>(in.n_out);
  ParallelFor(pool, threads, 2 * n_blocks, [&](int64_t unit) {
    const int64_t column = unit / 2 * block, width = std::min(block, in.n_out - column);
    if (unit % 2 == 0) return SumOf(events, first, in.weight + column, in.n_out, width, out + column);
    SumOf(events + first, count - first, in.weight + column, in.n_out, width, rest + column);
  });
  AddTo(rest, in.n_out, out);
}

// One vector per weight set: each row is read once, so there is nothing to share.
template <typename W>
void DenseSingles(ffi::ThreadPool& pool, int64_t threads, const DenseInputs<W>& in, Accumulator<W>* out) {
  if (HalvesPay(in, threads)) return DenseHalves(pool, threads, in, out);
  const int64_t block = in.n_weights < threads ? BlockWidth(in.n_out, kMaxBlock, threads) : kMaxBlock;
  const int64_t n_blocks = (in.n_out + block - 1) / block;
  ParallelFor(pool, threads, n_blocks * in.n_weights, [&](int64_t unit) {
    const int64_t v = unit % in.n_weights, column = unit / in.n_weights * block;
    SumVector(in.lists->begin(v), in.lists->count(v), in, in.weight + v * in.n_in * in.n_out + column,
              std::min(block, in.n_out - column), out + v * in.n_out + column);
  });
}

// In a batch whose vectors share active rows, a panel of the matrix (some rows of a strip of columns) that the
// second-level cache holds is read from memory once and serves all vectors, before the next panel. Where they
// share few, long pieces of rows are read faster than panels would save.
constexpr int64_t kMaxStrip = 512;
constexpr int64_t kPanelBytes = 3 << 17;
constexpr double kSharedAbove = 1.5;
// Where more than this part of the inputs is active, vectors are multiplied as a whole, silent inputs too:
// without a list of events more of the output stays in registers.
constexpr double kDenseAbove = 0.35;

struct Panels {
  int64_t strip, n_strips, groups, n_rows;
};

template <typename W>
Panels PanelsFor(const DenseInputs<W>& in, int64_t threads) {
  Panels p;
  const double n_in = static_cast<double>(in.n_in), n_batch = static_cast<double>(in.n_batch);
  const double rate = static_cast<double>(in.n_events) / (static_cast<double>(in.n_weights) * n_batch * n_in);
  const double used = 1 - std::pow(1 - rate, n_batch);  // the part of the rows that any vector reads
  const bool shared = n_batch * rate > kSharedAbove * used;
  const int64_t most = shared ? kMaxStrip : kMaxBlock;
  p.strip = std::min(in.n_weights < threads ? BlockWidth(in.n_out, most, threads) : most, in.n_out);
  p.n_strips = (in.n_out + p.strip - 1) / p.strip;
  const int64_t wanted = (threads + p.n_strips * in.n_weights - 1) / (p.n_strips * in.n_weights);
  p.groups = std::clamp<int64_t>(wanted, 1, (in.n_batch + 3) / 4);
  const double rows = static_cast<double>(kPanelBytes / (p.strip * static_cast<int64_t>(sizeof(W))));
  p.n_rows = !shared || used * n_in <= rows ? in.n_in : static_cast<int64_t>(rows / used) + 1;
  return p;
}

template <typename A>
bool AllFinite(const A* x, int64_t n) {
  A sum = 0;  // x - x is 0, or nan for inf and nan
  for (int64_t j = 0; j < n; ++j) sum += x[j] - x[j];
  return sum == A(0);
}

// Adding 0 * w changes nothing, except where w is inf or nan, which shows: then the events alone count.
template <typename W>
void EventsAlone(const DenseInputs<W>& in, int64_t first, int64_t last, int64_t column, int64_t width, const W* matrix,
                 Accumulator<W>* out) {
  using A = Accumulator<W>;
  std::vector<Event<A>> events;
  for (int64_t b = first; b < last; ++b) {
    A* y = out + b * in.n_out + column;
    if (AllFinite(y, width)) continue;
    events.resize(in.n_in);
    const int64_t count = CompactOne<A>(in.values + b * in.n_in, in.n_in, events.data());
    SumVector(events.data(), count, in, matrix, width, y);
  }
}

// The vectors first .. last of weight set v, in one strip of columns.
template <typename W>
void DenseStrip(const DenseInputs<W>& in, const Panels& p, int64_t v, int64_t first, int64_t last,
                int64_t column, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const Loops<W>& loops = ChosenLoops<W>();
  const int64_t width = std::min(p.strip, in.n_out - column);
  const W* matrix = in.weight + v * in.n_in * in.n_out + column;
  thread_local std::vector<const Event<A>*> next, ends;
  thread_local std::vector<int64_t> halved;
  next.resize(last - first);
  ends.resize(last - first);
  halved.clear();
  for (int64_t b = first; b < last; ++b) {
    next[b - first] = in.lists == nullptr ? nullptr : in.lists->begin(b);
    const int64_t count = in.lists == nullptr ? CountEvents(in.values + b * in.n_in, in.n_in) : in.lists->count(b);
    if (count >= kHalvedFrom) halved.push_back(b - first);
    std::fill(out + b * in.n_out + column, out + b * in.n_out + column + width, A(0));
  }
  A* const halves = ScratchOf<A, Scratch::kHalves>(static_cast<int64_t>(halved.size()) * width);
  const int64_t middle = halved.empty() ? 0 : in.n_in / 2;
  const int64_t fours = (last - first) / 4 * 4;
  bool multiplied_silence = false;
  A* y = out + first * in.n_out + column;
  for (int64_t row = 0, row_end; row < in.n_in; row = row_end) {
    row_end = std::min(row + p.n_rows, row < middle ? middle : in.n_in);
    if (row == middle) {
      for (size_t h = 0; h < halved.size(); ++h) {
        A* const sums = y + halved[h] * in.n_out;
        std::copy(sums, sums + width, halves + h * width);
        std::fill(sums, sums + width, A(0));
      }
    }
    int64_t n_events = 0;
    for (int64_t b = first; b < last && in.lists != nullptr; ++b) {
      const Event<A>* end = in.lists->begin(b) + in.lists->count(b);
      ends[b - first] = row_end == in.n_in ? end
                                           : std::lower_bound(next[b - first], end, row_end, [](const Event<A>& e, int64_t r) {
                                               return e.index < r;
                                             });
      if (b < first + fours) n_events += ends[b - first] - next[b - first];
    }
    const bool dense = in.lists == nullptr ||
                       (in.values != nullptr && n_events > kDenseAbove * static_cast<double>(fours * (row_end - row)));
    if (dense) {
      loops.add_dense(in.values + first * in.n_in + row, in.n_in, fours, row_end - row, matrix + row * in.n_out,
                      in.n_out, width, y, in.n_out);
      multiplied_silence = true;
    }
    for (int64_t b = dense ? fours : 0; b < last - first; ++b) {
      loops.add_events(next[b], ends[b] - next[b], matrix, in.n_out, width, y + b * in.n_out);
    }
    std::swap(next, ends);
  }
  for (size_t h = 0; h < halved.size(); ++h) AddTo(halves + h * width, width, y + halved[h] * in.n_out);
  if (multiplied_silence) EventsAlone(in, first, last, column, width, matrix, out);
}

template <typename W>
void DenseForward(ffi::ThreadPool& pool, const DenseInputs<W>& in, Accumulator<W>* out) {
  const int64_t bytes = in.n_events * in.n_out * static_cast<int64_t>(sizeof(W));
  const int64_t threads = ThreadsFor(pool, bytes);
  if (in.n_batch == 1) return DenseSingles(pool, threads, in, out);
  const Panels p = PanelsFor(in, threads);
  ParallelFor(pool, threads, in.n_weights * p.n_strips * p.groups, [&](int64_t unit) {
    const int64_t group = unit % p.groups, strip = unit / p.groups % p.n_strips;
    const int64_t v = unit / p.groups / p.n_strips, quads = (in.n_batch + 3) / 4;
    const int64_t first = v * in.n_batch, last = first + in.n_batch;
    DenseStrip(in, p, v, std::min(last, first + quads * group / p.groups * 4),
               std::min(last, first + quads * (group + 1) / p.groups * 4), strip * p.strip, out);
  });
}

// Spikes as numbers: bools in a buffer of the calling thread.
template <typename A>
const A* Numbers(ffi::ThreadPool& pool, const bool* spikes, int64_t n) {
  constexpr int64_t kAtOnce = 1 << 14;
  A* const values = ScratchOf<A, Scratch::kNumbers>(n);
  ParallelFor(pool, ThreadsFor(pool, n * static_cast<int64_t>(sizeof(A))), (n + kAtOnce - 1) / kAtOnce, [&](int64_t unit) {
    const int64_t first = unit * kAtOnce, last = std::min(first + kAtOnce, n);
    for (int64_t i = first; i < last; ++i) values[i] = ValueOf<A>(spikes + i);
  });
  return values;
}
template <typename A>
const A* Numbers(ffi::ThreadPool&, const A* spikes, int64_t) {
  return spikes;
}

template <typename W, typename S>
void DenseForwardOf(ffi::ThreadPool& pool, const S* spikes, const W* weight, int64_t n_weights,
                    int64_t n_batch, int64_t n_in, int64_t n_out, Accumulator<W>* out) {
  using A = Accumulator<W>;
  const int64_t n = n_weights * n_batch * n_in;
  DenseInputs<W> in{nullptr, 0, nullptr, weight, n_weights, n_batch, n_in, n_out};
  if (n_batch % 4 == 0) in.n_events = CountEvents(spikes, n);
  // To list the events of so many would take a tenth of the time, on one thread.
  if (static_cast<double>(in.n_events) <= kDenseAbove * static_cast<double>(n)) {
    in.lists = &Compact<A>(spikes, n_weights * n_batch, n_in);
    in.n_events = in.lists->total();
  }
  if (n_batch >= 4 && static_cast<double>(in.n_events) >= kDenseAbove / 2 * static_cast<double>(n)) {
    in.values = Numbers<A>(pool, spikes, n);
  }
  DenseForward<W>(pool, in, out);
}

ffi::Error DenseForwardImpl(ffi::ThreadPool pool, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                            ffi::Result<ffi::AnyBuffer> out) {
  if (spikes.dimensions().size() != 3 || weight.dimensions().size() != 3) {
    return Invalid("dense product takes spikes (V, B, in) and weights (V, in, out)");
  }
  const int64_t n_weights = spikes.dimensions()[0], n_batch = spikes.dimensions()[1];
  const int64_t n_in = spikes.dimensions()[2], n_out = weight.dimensions()[2];
  if (!HasSets(weight, {n_weights, n_in, n_out}) || !HasShape(*out, {n_weights, n_batch, n_out})) {
    return Invalid("dense product: shapes of spikes, weights and result do not fit");
  }
  if (IsEmpty(*out)) return ffi::Error::Success();
  return SwitchWeight(weight.element_type(), [&](auto* tag) {
    using W = std::remove_pointer_t<decltype(tag)>;
    using A = Accumulator<W>;
    Results<W> results(*out, weight.element_type());
    if (!results.valid()) return Invalid("dense product: wrong result dtype");
    const W* w = static_cast<const W*>(weight.untyped_data());
    A* y = results.sums();
    if (spikes.element_type() == ffi::DataType::PRED) {
      const auto* s = static_cast<const bool*>(spikes.untyped_data());
      DenseForwardOf<W>(pool, s, w, n_weights, n_batch, n_in, n_out, y);
    } else if (spikes.element_type() == AccumulatorDtype<A>()) {
      const auto* s = static_cast<const A*>(spikes.untyped_data());
      DenseForwardOf<W>(pool, s, w, n_weights, n_batch, n_in, n_out, y);
    } else {
      return Invalid("dense product: spikes must be bool or of the accumulator's dtype");
    }
    results.Finish(pool);
    return ffi::Error::Success();
  });
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsDenseForward, eventops::DenseForwardImpl,
                 Ffi::Bind().Ctx<ThreadPool>().Arg<AnyBuffer>().Arg<AnyBuffer>().Ret<AnyBuffer>());
