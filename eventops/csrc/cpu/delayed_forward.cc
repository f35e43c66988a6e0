// Delivery of events into a ring of future currents, and the exchange of the slot that is due.
//
// A unit of work is one tile of one vector's ring: threads write to disjoint blocks, and within a block the events
// are taken in ascending order, so the sums do not depend on the number of threads. The ring is updated in place:
// XLA gives input and output the same buffer.

#include <algorithm>
#include <cstring>

#include "cpu/compact.h"
#include "cpu/delayed.h"
#include "ffi/ffi_util.h"
#include "cpu/parallel.h"
#include "cpu/prefetch.h"

namespace eventops {
namespace {

// As in rows_forward.cc: rows are short and far apart.
constexpr int64_t kAhead = 6;
// Rings of this size are in no second-level cache: 64 delays onto 40,000 neurons take 10 MB.
constexpr int64_t kFarBytes = 1 << 22;

// Short segments, put together. A loop over a few synapses ends where the processor does not expect it to, which costs
// as much as ten additions; so segments are copied behind each other, 16 synapses at once whatever their length, and
// one long loop adds what came together. The order of the sums stays that of the events.
template <typename W, typename Code, bool kHomogeneous>
class Additions {
 public:
  using A = Accumulator<W>;
  using Place = typename DelayedRows<Code>::Place;

  // `far`: the numbers of the ring are in no near cache, and nothing else fetches them.
  Additions(const DelayedRows<Code>& rows, const W* weight, Place place, A* block, bool far)
      : rows_(rows), weight_(weight), place_(place), block_(block), far_(far) {}

  void Segment(int64_t begin, int64_t end, A value) {
    const int64_t n = end - begin, copied = (n + kCopy - 1) / kCopy * kCopy;
    // Behind the last segments of the table there is nothing to copy.
    const bool apart = n > kLongest || begin + copied > rows_.n_synapses;
    if (count_ + copied > kRoom || apart || (kHomogeneous && value != value_)) Flush();
    if (apart) return Add(rows_.codes + begin, n, [&](int64_t k) { return Term(begin + k, value); });
    value_ = value;
    for (int64_t first = 0; first < n; first += kCopy) {
      std::memcpy(codes_ + count_ + first, rows_.codes + begin + first, kCopy * sizeof(Code));
      for (int64_t k = 0; far_ && k < kCopy; ++k) __builtin_prefetch(block_ + place_(codes_[count_ + first + k]), 0, 2);
      if (kHomogeneous) continue;
      for (int64_t k = first; k < first + kCopy; ++k) terms_[count_ + k] = Term(begin + k, value);
    }
    count_ += n;
  }

  void Flush() {
    if (kHomogeneous) {
      const A term = Term(0, value_);
      Add(codes_, count_, [term](int64_t) { return term; });
    } else {
      Add(codes_, count_, [this](int64_t k) { return terms_[k]; });
    }
    count_ = 0;
  }

 private:
  static constexpr int64_t kCopy = 16, kLongest = 64, kRoom = 1024;

  A Term(int64_t k, A value) const { return value * Load(kHomogeneous ? weight_ : weight_ + k); }

  template <typename Terms>
  void Add(const Code* codes, int64_t n, Terms term) {
    for (int64_t k = 0; k < n; ++k) block_[place_(codes[k])] += term(k);
  }

  const DelayedRows<Code>& rows_;
  const W* weight_;
  const Place place_;
  A* block_;
  const bool far_;
  int64_t count_ = 0;
  A value_ = 0;
  Code codes_[kRoom];
  A terms_[kHomogeneous ? 1 : kRoom];
};

// `next` is the block that this thread probably takes next, or null where it is not worth to fetch all of it: read in
// one sweep it comes several times faster than by additions at random places.
template <typename W, typename Code, bool kHomogeneous>
void DeliverTile(const DelayedRows<Code>& rows, int64_t t, const Event<Accumulator<W>>* events, int64_t n_events,
                 const W* weight, int32_t position, Accumulator<W>* block, const Accumulator<W>* next, bool far) {
  const int64_t next_bytes = next == nullptr ? 0 : rows.BlockSize() * static_cast<int64_t>(sizeof(*next));
  int64_t fetched = 0;
  Additions<W, Code, kHomogeneous> additions(rows, weight, rows.PlaceAt(position), block, far);
  for (int64_t e = 0; e < n_events; ++e) {
    for (; fetched < next_bytes * (e + 1) / n_events; fetched += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(next) + fetched, 1);
    }
    if (e + 2 * kAhead < n_events) {
      __builtin_prefetch(rows.ptr + events[e + 2 * kAhead].index * rows.n_tiles + t);
    }
    if (e + kAhead < n_events) {
      const auto coming = rows.SegmentOf(events[e + kAhead].index, t);
      PrefetchSpan<Fetch::kAll>(rows.codes + coming.begin, (coming.end - coming.begin) * sizeof(Code));
      if (!kHomogeneous) PrefetchSpan<Fetch::kAll>(weight + coming.begin, (coming.end - coming.begin) * sizeof(W));
    }
    const auto segment = rows.SegmentOf(events[e].index, t);
    additions.Segment(segment.begin, segment.end, events[e].value);
  }
  additions.Flush();
}

// XLA gives the result the buffer of the operand; a caller who does not has it copied.
void InPlace(const ffi::AnyBuffer& from, ffi::AnyBuffer& to) {
  if (from.untyped_data() != to.untyped_data()) std::memcpy(to.untyped_data(), from.untyped_data(), from.size_bytes());
}

// `current` is null where the slot that is due is left alone.
template <typename W, typename Code, typename S>
void Deliver(ffi::ThreadPool& pool, const DelayedRows<Code>& rows, const DelayedShape& shape, const S* spikes,
             const W* weight, const int32_t* position, Accumulator<W>* ring, Accumulator<W>* current,
             int64_t n_out) {
  using A = Accumulator<W>;
  const int64_t n_vectors = shape.n_weights * shape.n_batch;
  const auto& lists = Compact<A>(spikes, n_vectors, rows.n_in);
  const int64_t stride = shape.homogeneous ? 1 : rows.n_synapses;
  // An addition at a random place takes the time of about 8 streamed bytes.
  const int64_t threads = ThreadsFor(pool, (lists.total() * rows.MeanDegree() + n_vectors * n_out / 2) * 8);
  ParallelFor(pool, threads, rows.n_tiles * n_vectors, [&](int64_t unit) {
    const int64_t vector = unit / rows.n_tiles, t = unit % rows.n_tiles;
    const W* w = weight + vector / shape.n_batch * stride;
    A* block = ring + vector * rows.RingSize() + t * rows.BlockSize();
    const auto deliver = shape.homogeneous ? DeliverTile<W, Code, true> : DeliverTile<W, Code, false>;
    const int64_t additions = lists.count(vector) * rows.MeanDegree() / rows.n_tiles;
    const bool sweep = t + threads < rows.n_tiles && additions * 64 > 2 * rows.BlockSize() * static_cast<int64_t>(sizeof(A));
    const A* next = sweep ? block + threads * rows.BlockSize() : nullptr;
    const bool far = !sweep && rows.RingSize() * static_cast<int64_t>(sizeof(A)) > kFarBytes;
    deliver(rows, t, lists.begin(vector), lists.count(vector), w, position[vector], block, next, far);
    if (current == nullptr) return;
    A* due = block + rows.PlaceAt(position[vector]).base;
    std::copy(due, due + std::min(rows.tile, n_out - t * rows.tile), current + vector * n_out + t * rows.tile);
    std::fill(due, due + rows.tile, A(0));
  });
}

// The step with a result `current`, or without it the delivery alone.
ffi::Error DeliverOf(const std::string& name, ffi::ThreadPool& pool, ffi::AnyBuffer ring, ffi::AnyBuffer spikes,
                     ffi::AnyBuffer weight, ffi::AnyBuffer position, ffi::AnyBuffer ptr, ffi::AnyBuffer codes,
                     ffi::AnyBuffer out, ffi::AnyBuffer* current) {
  DelayedShape shape;
  return WithDelayedRows(name, ring, spikes, weight, position, ptr, codes, &shape, [&](auto rows) {
    int64_t n_out = 0;
    const int64_t V = shape.n_weights, B = shape.n_batch;
    if (current != nullptr) {
      auto dims = current->dimensions();
      n_out = dims.size() == 3 ? dims[2] : 0;
      const bool fits = n_out > (rows.n_tiles - 1) * rows.tile && n_out <= rows.n_tiles * rows.tile;
      if (!fits || !HasShape(*current, {V, B, n_out})) return Invalid(name + ": currents must have shape (V, B, out)");
    }
    if (!SameShape(ring, out)) return Invalid(name + ": the new ring must have the shape of the old one");
    return SwitchWeight(weight.element_type(), [&](auto* tag) {
      using W = std::remove_pointer_t<decltype(tag)>;
      using A = Accumulator<W>;
      constexpr auto kSums = AccumulatorDtype<A>();
      if (ring.element_type() != kSums || out.element_type() != kSums ||
          (current != nullptr && current->element_type() != kSums)) {
        return Invalid(name + ": rings and currents must be of the accumulator's dtype");
      }
      const auto deliver = [&](auto* s) {
        InPlace(ring, out);
        Deliver<W>(pool, rows, shape, s, static_cast<const W*>(weight.untyped_data()),
                   static_cast<const int32_t*>(position.untyped_data()), static_cast<A*>(out.untyped_data()),
                   current == nullptr ? nullptr : static_cast<A*>(current->untyped_data()), n_out);
        return ffi::Error::Success();
      };
      if (spikes.element_type() == ffi::DataType::PRED) {
        return deliver(static_cast<const bool*>(spikes.untyped_data()));
      }
      if (spikes.element_type() == kSums) return deliver(static_cast<const A*>(spikes.untyped_data()));
      return Invalid(name + ": spikes must be bool or of the accumulator's dtype");
    });
  });
}

ffi::Error DelayedStepImpl(ffi::ThreadPool pool, ffi::AnyBuffer ring, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                           ffi::AnyBuffer position, ffi::AnyBuffer ptr, ffi::AnyBuffer codes,
                           ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> current) {
  ffi::AnyBuffer due = *current;
  return DeliverOf("delayed step", pool, ring, spikes, weight, position, ptr, codes, *out, &due);
}

ffi::Error DelayedDeliverImpl(ffi::ThreadPool pool, ffi::AnyBuffer ring, ffi::AnyBuffer spikes, ffi::AnyBuffer weight,
                              ffi::AnyBuffer position, ffi::AnyBuffer ptr, ffi::AnyBuffer codes,
                              ffi::Result<ffi::AnyBuffer> out) {
  return DeliverOf("delayed delivery", pool, ring, spikes, weight, position, ptr, codes, *out, nullptr);
}

// Takes the slot at `position` out of each ring and puts `in` there, whatever the type of the numbers.
ffi::Error RingSwapImpl(ffi::ThreadPool pool, ffi::AnyBuffer ring, ffi::AnyBuffer position, ffi::AnyBuffer in,
                        ffi::Result<ffi::AnyBuffer> out, ffi::Result<ffi::AnyBuffer> old) {
  const std::string name = "ring swap";
  RingShape r;
  auto in_dims = in.dimensions();
  if (!ReadRing(ring, &r)) return Invalid(name + ": the ring must have shape (..., tiles, slots, tile)");
  if (in_dims.size() != 3) return Invalid(name + ": values must have shape (V, B, out)");
  const int64_t V = in_dims[0], B = in_dims[1], n_out = in_dims[2], n_tiles = r.n_tiles, slots = r.slots, tile = r.tile;
  const bool fits = r.n_rings == V * B && n_out > (n_tiles - 1) * tile && n_out <= n_tiles * tile;
  if (!fits || !SameShape(in, *old)) {
    return Invalid(name + ": values must have shape (V, B, out), one vector for each ring, with tiles that hold it");
  }
  if (!SameShape(ring, *out)) return Invalid(name + ": the new ring must have the shape of the old one");
  if (position.element_type() != ffi::DataType::S32 || !HasShape(position, {V, B})) {
    return Invalid(name + ": positions must be int32 of shape (V, B)");
  }
  const auto dtype = ring.element_type();
  if (dtype != out->element_type() || dtype != in.element_type() || dtype != old->element_type()) {
    return Invalid(name + ": rings and values must have one dtype");
  }
  InPlace(ring, *out);
  const int64_t item = static_cast<int64_t>(ffi::ByteWidth(dtype));
  const auto* p = static_cast<const int32_t*>(position.untyped_data());
  char* rings = static_cast<char*>(out->untyped_data());
  const char* values = static_cast<const char*>(in.untyped_data());
  char* due = static_cast<char*>(old->untyped_data());
  const int64_t threads = ThreadsFor(pool, V * B * n_out * item * 2);
  ParallelFor(pool, threads, V * B * n_tiles, [&](int64_t unit) {
    const int64_t vector = unit / n_tiles, t = unit % n_tiles;
    const int64_t slot_at = static_cast<uint32_t>(p[vector]) % static_cast<uint64_t>(slots);
    char* slot = rings + ((vector * n_tiles + t) * slots + slot_at) * tile * item;
    const int64_t width = std::min(tile, n_out - t * tile), at = (vector * n_out + t * tile) * item;
    std::memcpy(due + at, slot, width * item);
    std::memcpy(slot, values + at, width * item);
    std::memset(slot + width * item, 0, (tile - width) * item);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace eventops

EVENTOPS_HANDLER(EventopsDelayedStep, eventops::DelayedStepImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>());

EVENTOPS_HANDLER(EventopsDelayedDeliver, eventops::DelayedDeliverImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>());

EVENTOPS_HANDLER(EventopsRingSwap, eventops::RingSwapImpl,
                 Ffi::Bind()
                     .Ctx<ThreadPool>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Arg<AnyBuffer>()
                     .Ret<AnyBuffer>()
                     .Ret<AnyBuffer>());
