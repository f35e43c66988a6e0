// Weights that change when neurons fire, in their own buffer. Each synapse is on one line and is written by one thread.

#include "gpu/device/device.cuh"
#include "shared/rule.h"

namespace eventops {

// Blocks of set v share its events; `blocks_per_set` of them.
struct Events {
  int64_t v, n;
  int block;

  explicit Events(const UpdateParams& p)
      : v(blockIdx.x / p.blocks_per_set), n(p.counts[v * (p.n_chunks + 1) + p.n_chunks]),
        block(blockIdx.x % p.blocks_per_set) {}
  int64_t Line(const UpdateParams& p, int64_t e) const { return p.index[v * p.n_lines + e]; }
};

inline A Changed(const UpdateParams& p, int64_t v, A weight, A change) {
  const A* limits = static_cast<const A*>(p.limits) + 2 * v;
  const A low = __ldg(limits), high = __ldg(limits + 1);
  if (p.soft) return UpdateRule<A, true>{low, high}(weight, change);
  return UpdateRule<A, false>{low, high}(weight, change);
}

inline void Change(const UpdateParams& p, int64_t v, W* weight, A change) {
  Store(Changed(p, v, Widen(*weight), change), weight);
}

}  // namespace eventops

using namespace eventops;  // NOLINT

// A warp for each event and tile.
EVENTOPS_KERNEL(UpdateStored, UpdateParams) {
  const Events events(p);
  const A* trace = static_cast<const A*>(p.trace) + events.v * p.n_partners;
  W* weight = static_cast<W*>(p.weight) + events.v * p.n_synapses;
  const int64_t n_units = events.n * p.n_tiles;
  for (int64_t unit = int64_t{events.block} * Warps() + Warp(); unit < n_units;
       unit += int64_t{p.blocks_per_set} * Warps()) {
    const int64_t line = events.Line(p, unit / p.n_tiles), t = unit % p.n_tiles;
    const A value = Value(p.spikes, events.v * p.n_lines + line);
    // Clamped to the buffers, whatever the arrays hold.
    const int32_t* ptr = p.ptr + line * p.n_tiles + t;
    const int64_t begin = Clamp<int64_t>(__ldg(ptr), 0, p.n_synapses), end = Clamp<int64_t>(__ldg(ptr + 1), begin, p.n_synapses);
    const int64_t last = Least<int64_t>(p.tile, p.n_partners - t * p.tile) - 1;
    for (int64_t k = begin + Lane(); k < end; k += 32) {
      const int64_t partner = t * p.tile + Least<int64_t>(__ldg(p.offsets + k), last);
      const int64_t place = p.position == nullptr ? k : Clamp<int64_t>(__ldg(p.position + k), 0, p.n_synapses - 1);
      Change(p, events.v, weight + place, value * __ldg(trace + partner));
    }
  }
}

// Lines are rows of a matrix: a block for each event in turn.
EVENTOPS_KERNEL(UpdateDenseRows, UpdateParams) {
  const Events events(p);
  const A* trace = static_cast<const A*>(p.trace) + events.v * p.n_partners;
  for (int64_t e = events.block; e < events.n; e += p.blocks_per_set) {
    const int64_t line = events.Line(p, e);
    const A value = Value(p.spikes, events.v * p.n_lines + line);
    W* row = static_cast<W*>(p.weight) + (events.v * p.n_lines + line) * p.n_partners;
    for (int64_t j = threadIdx.x; j < p.n_partners; j += blockDim.x) Change(p, events.v, row + j, value * __ldg(trace + j));
  }
}

// Lines are columns: a warp for each row, whose lanes share the events.
EVENTOPS_KERNEL(UpdateDenseColumns, UpdateParams) {
  const Events events(p);
  const A* trace = static_cast<const A*>(p.trace) + events.v * p.n_partners;
  for (int64_t i = int64_t{events.block} * Warps() + Warp(); i < p.n_partners; i += int64_t{p.blocks_per_set} * Warps()) {
    const A x = __ldg(trace + i);
    W* row = static_cast<W*>(p.weight) + (events.v * p.n_partners + i) * p.n_lines;
    for (int64_t e = Lane(); e < events.n; e += 32) {
      const int64_t line = events.Line(p, e);
      Change(p, events.v, row + line, Value(p.spikes, events.v * p.n_lines + line) * x);
    }
  }
}
