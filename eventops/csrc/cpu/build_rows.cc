// Makes stored rows of entries (pre, post, weight) in any order: a counting sort by the segments of the rows
// (pre neuron and tile), then a stable sort inside each segment. Apart from the result it takes no memory that
// grows with the entries: the pointers count, and then say where the next entry of a segment goes.
//
// Plain C functions and not handlers of XLA: its arguments must be aligned to a cache line, or XLA copies them,
// and it compiles a program for every number of entries. Threads split the result, and each takes its entries in
// the order in which they are given, so the result depends on neither their number nor the size of the pieces.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <new>
#include <thread>
#include <vector>

#include "shared/numbers.h"

namespace eventops {
namespace {

enum Status : int64_t { kDone = 0, kOutOfMemory = 1, kOutside = 2, kNotAscending = 3 };

constexpr int64_t kEntriesPerUnit = 1 << 16;
constexpr int64_t kSegmentsPerUnit = 128;

// Runs body(0) ... body(n_units - 1) on the calling thread and up to `n_threads - 1` more.
template <typename F>
Status OnThreads(int64_t n_threads, int64_t n_units, F body) {
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> status{kDone};
  const auto drain = [&] {
    try {
      for (int64_t unit; (unit = next.fetch_add(1)) < n_units;) {
        const Status own = body(unit);
        if (own != kDone) status = own;
      }
    } catch (const std::bad_alloc&) {
      status = kOutOfMemory;
    }
  };
  std::vector<std::thread> threads;
  try {
    for (int64_t i = 1; i < std::min(n_threads, n_units); ++i) threads.emplace_back(drain);
  } catch (const std::exception&) {  // no more threads to be had: those that are here do the work
  }
  drain();
  for (std::thread& thread : threads) thread.join();
  return static_cast<Status>(status.load());
}

struct Sizes {
  int64_t n_in, n_out, tile, n_tiles;

  bool Valid() const { return n_in > 0 && n_out > 0 && tile > 0 && tile <= 65536; }
  int64_t n_segments() const { return n_in * n_tiles; }
};

Sizes SizesOf(int64_t n_in, int64_t n_out, int64_t tile) {
  return {n_in, n_out, tile, tile > 0 ? (n_out + tile - 1) / tile : 0};
}

// Entries that are handled together: their segments are anywhere in memory, so all are asked for before the first is
// used.
constexpr int64_t kBatch = 256;

// counts[s] += the number of entries of segment s.
Status Count(int64_t n_threads, int64_t n, const int32_t* pre, const int32_t* post, const Sizes& sizes,
             int32_t* counts) {
  if (!sizes.Valid()) return kOutside;
  const uint32_t n_in = sizes.n_in, n_out = sizes.n_out, tile = sizes.tile;
  return OnThreads(n_threads, (n + kEntriesPerUnit - 1) / kEntriesPerUnit, [&](int64_t unit) {
    const int64_t end = std::min(n, (unit + 1) * kEntriesPerUnit);
    int32_t* count[kBatch];
    for (int64_t start = unit * kEntriesPerUnit; start < end; start += kBatch) {
      const int64_t m = std::min(kBatch, end - start);
      for (int64_t i = 0; i < m; ++i) {
        const uint32_t p = pre[start + i], q = post[start + i];
        if (p >= n_in || q >= n_out) return kOutside;
        count[i] = counts + p * sizes.n_tiles + q / tile;
        __builtin_prefetch(count[i], 1);
      }
      for (int64_t i = 0; i < m; ++i) {
        if (n_threads > 1) {
          __atomic_fetch_add(count[i], 1, __ATOMIC_RELAXED);
        } else {
          ++*count[i];
        }
      }
    }
    return kDone;
  });
}

// Entries whose segment is in [begin, end), written to the next places of their segments.
template <typename W>
Status FillSome(int64_t begin, int64_t end, int64_t n, const int32_t* pre, const int32_t* post, const W* weight,
                const Sizes& sizes, int32_t* next, int64_t n_synapses, uint16_t* offsets, W* weights) {
  const uint32_t n_out = sizes.n_out, tile = sizes.tile;
  int64_t own[kBatch], segment[kBatch], place[kBatch];
  uint16_t offset[kBatch];
  for (int64_t start = 0; start < n; start += kBatch) {
    const int64_t stop = std::min(n, start + kBatch);
    int64_t m = 0;
    bool inside = true;
    for (int64_t i = start; i < stop; ++i) {
      const uint32_t q = post[i], t = q / tile;
      const int64_t s = pre[i] * sizes.n_tiles + t;
      inside &= q < n_out;
      own[m] = i;
      segment[m] = s;
      offset[m] = static_cast<uint16_t>(q - t * tile);
      m += s >= begin && s < end;  // no branch: whose an entry is cannot be predicted
    }
    if (!inside) return kOutside;
    for (int64_t j = 0; j < m; ++j) __builtin_prefetch(next + segment[j], 1);
    for (int64_t j = 0; j < m; ++j) {
      const int32_t k = next[segment[j]];
      if (k < 0 || k >= n_synapses) return kOutside;
      next[segment[j]] = k + 1;
      place[j] = k;
      __builtin_prefetch(offsets + k, 1);
      if (weights != nullptr) __builtin_prefetch(weights + k, 1);
    }
    for (int64_t j = 0; j < m; ++j) offsets[place[j]] = offset[j];
    if (weights == nullptr) continue;
    for (int64_t j = 0; j < m; ++j) weights[place[j]] = weight[own[j]];
  }
  return kDone;
}

// Writes each entry to the next place of its segment, next[s]++. A thread owns a range of segments and passes
// over all entries: reading those in order costs little beside writing out of order.
template <typename W>
Status Fill(int64_t n_threads, int64_t n, const int32_t* pre, const int32_t* post, const W* weight,
            const Sizes& sizes, int32_t* next, int64_t n_synapses, uint16_t* offsets, W* weights) {
  if (!sizes.Valid()) return kOutside;
  const int64_t n_segments = sizes.n_segments();
  const int64_t n_units = std::max<int64_t>(1, std::min<int64_t>(n_threads, n / 1024));
  // Equal shares of the places. The pointers ascend, also while some of their segments are being filled.
  std::vector<int64_t> first(n_units + 1, n_segments);
  first[0] = 0;
  for (int64_t u = 1; u < n_units; ++u) {
    const int64_t share = std::lower_bound(next, next + n_segments, n_synapses / n_units * u) - next;
    first[u] = std::max(share, first[u - 1]);
  }
  return OnThreads(n_threads, n_units, [&](int64_t unit) {
    return FillSome(first[unit], first[unit + 1], n, pre, post, weight, sizes, next, n_synapses, offsets, weights);
  });
}

// Sorts keys, and what belongs to them, with equal keys in the order in which they are: least significant byte
// first for all but the shortest.
template <typename W>
class Sorter {
 public:
  void Sort(uint16_t* keys, W* values, int64_t n) {
    if (std::is_sorted(keys, keys + n)) return;
    if (n <= 48) return Insert(keys, values, n);
    if (static_cast<int64_t>(other_keys_.size()) < n) {
      other_keys_.resize(n);
      if (values != nullptr) other_values_.resize(n);
    }
    Pass<0>(keys, values, other_keys_.data(), other_values_.data(), n);
    Pass<8>(other_keys_.data(), values == nullptr ? nullptr : other_values_.data(), keys, values, n);
  }

 private:
  static void Insert(uint16_t* keys, W* values, int64_t n) {
    for (int64_t i = 1; i < n; ++i) {
      const uint16_t key = keys[i];
      const W value = values == nullptr ? W{} : values[i];
      int64_t j = i;
      for (; j > 0 && keys[j - 1] > key; --j) {
        keys[j] = keys[j - 1];
        if (values != nullptr) values[j] = values[j - 1];
      }
      keys[j] = key;
      if (values != nullptr) values[j] = value;
    }
  }

  template <int kShift>
  static void Pass(const uint16_t* keys, const W* values, uint16_t* to_keys, W* to_values, int64_t n) {
    int64_t place[256] = {};
    for (int64_t i = 0; i < n; ++i) ++place[keys[i] >> kShift & 255];
    int64_t total = 0;
    for (int64_t& p : place) {
      const int64_t count = p;
      p = total;
      total += count;
    }
    for (int64_t i = 0; i < n; ++i) {
      const int64_t k = place[keys[i] >> kShift & 255]++;
      to_keys[k] = keys[i];
      if (values != nullptr) to_values[k] = values[i];
    }
  }

  std::vector<uint16_t> other_keys_;
  std::vector<W> other_values_;
};

// Whether a segment lies inside the arrays and behind the one before.
bool Inside(const int32_t* ptr, int64_t s, int64_t n_synapses) {
  return ptr[s] >= 0 && ptr[s] <= ptr[s + 1] && ptr[s + 1] <= n_synapses;
}

// Also counts the pairs, each of them once however often it is connected.
template <typename W>
Status Sort(int64_t n_threads, int64_t n_segments, const int32_t* ptr, int64_t n_synapses, uint16_t* offsets,
            W* weights, int64_t* n_pairs) {
  std::atomic<int64_t> pairs{0};
  const int64_t n_units = (n_segments + kSegmentsPerUnit - 1) / kSegmentsPerUnit;
  const Status status = OnThreads(n_threads, n_units, [&](int64_t unit) {
    Sorter<W> sorter;
    int64_t own = 0;
    const int64_t end = std::min(n_segments, (unit + 1) * kSegmentsPerUnit);
    for (int64_t s = unit * kSegmentsPerUnit; s < end; ++s) {
      if (!Inside(ptr, s, n_synapses)) return kOutside;
      const int64_t n = ptr[s + 1] - ptr[s];
      if (n == 0) continue;
      uint16_t* keys = offsets + ptr[s];
      sorter.Sort(keys, weights == nullptr ? nullptr : weights + ptr[s], n);
      ++own;
      for (int64_t i = 1; i < n; ++i) own += keys[i] != keys[i - 1];
    }
    pairs += own;
    return kDone;
  });
  *n_pairs = pairs;
  return status;
}

// Makes one synapse of those that a pair has, in place: weights are added in double, in order, and rounded once.
// Without weights `counts` gets the number of synapses of each pair.
template <typename W>
Status Sum(int64_t n_segments, int32_t* ptr, int64_t n_synapses, uint16_t* offsets, W* weights, int32_t* counts,
           int64_t n_pairs) {
  int64_t to = 0, begin = n_segments == 0 ? 0 : ptr[0];
  for (int64_t s = 0; s < n_segments; ++s) {
    const int64_t end = ptr[s + 1];
    if (begin < to || end < begin || end > n_synapses) return kOutside;
    ptr[s] = static_cast<int32_t>(to);
    for (int64_t i = begin, next; i < end; i = next, ++to) {
      for (next = i + 1; next < end && offsets[next] == offsets[i];) ++next;
      offsets[to] = offsets[i];
      if (weights == nullptr) {
        if (to >= n_pairs) return kOutside;
        counts[to] = static_cast<int32_t>(next - i);
      } else if (next == i + 1) {
        weights[to] = weights[i];
      } else {
        double sum = 0;
        for (int64_t k = i; k < next; ++k) sum += Load(weights + k);
        Store(static_cast<Accumulator<W>>(sum), weights + to);
      }
    }
    begin = end;
  }
  if (n_segments > 0) ptr[n_segments] = static_cast<int32_t>(to);
  return to == n_pairs ? kDone : kOutside;
}

// Cuts rows whose posts ascend into tiles.
template <typename Index>
Status Split(int64_t n_threads, const int64_t* indptr, const Index* indices, int64_t n_synapses, const Sizes& sizes,
             int32_t* ptr, uint16_t* offsets) {
  if (!sizes.Valid()) return kOutside;
  ptr[0] = 0;
  const int64_t n_units = (sizes.n_in + kSegmentsPerUnit - 1) / kSegmentsPerUnit;
  return OnThreads(n_threads, n_units, [&](int64_t unit) {
    const int64_t last = std::min(sizes.n_in, (unit + 1) * kSegmentsPerUnit);
    for (int64_t row = unit * kSegmentsPerUnit; row < last; ++row) {
      int64_t k = indptr[row];
      const int64_t end = indptr[row + 1];
      if (k < 0 || k > end || end > n_synapses) return kOutside;
      Index previous = 0;
      for (int64_t t = 0; t < sizes.n_tiles; ++t) {
        const int64_t base = t * sizes.tile, limit = std::min(base + sizes.tile, sizes.n_out);
        for (; k < end && indices[k] < limit; ++k) {
          if (indices[k] < previous) return indices[k] < 0 ? kOutside : kNotAscending;
          previous = indices[k];
          offsets[k] = static_cast<uint16_t>(previous - base);
        }
        ptr[row * sizes.n_tiles + t + 1] = static_cast<int32_t>(k);
      }
      if (k < end) return kOutside;
    }
    return kDone;
  });
}

// Calls body(W*, kind) for weights of that many bytes; a pointer to none is a null pointer.
template <typename F>
Status SwitchSize(int64_t bytes, F body) {
  switch (bytes) {
    case 2:
      return body(static_cast<uint16_t*>(nullptr));
    case 4:
      return body(static_cast<uint32_t*>(nullptr));
    case 8:
      return body(static_cast<uint64_t*>(nullptr));
    default:
      return kOutside;
  }
}

}  // namespace
}  // namespace eventops

#define EVENTOPS_C extern "C" __attribute__((visibility("default")))

EVENTOPS_C int64_t EventopsCountEntries(int64_t n_threads, int64_t n, const int32_t* pre, const int32_t* post,
                                        int64_t n_in, int64_t n_out, int64_t tile, int32_t* counts) {
  return eventops::Count(n_threads, n, pre, post, eventops::SizesOf(n_in, n_out, tile), counts);
}

EVENTOPS_C int64_t EventopsFillEntries(int64_t n_threads, int64_t n, const int32_t* pre, const int32_t* post,
                                       const void* weight, int64_t weight_bytes, int64_t n_in, int64_t n_out,
                                       int64_t tile, int32_t* next, int64_t n_synapses, uint16_t* offsets,
                                       void* weights) {
  return eventops::SwitchSize(weight_bytes, [&](auto* w) {
    using W = std::remove_pointer_t<decltype(w)>;
    return eventops::Fill(n_threads, n, pre, post, static_cast<const W*>(weight),
                          eventops::SizesOf(n_in, n_out, tile), next, n_synapses, offsets, static_cast<W*>(weights));
  });
}

EVENTOPS_C int64_t EventopsSortSegments(int64_t n_threads, int64_t n_segments, const int32_t* ptr,
                                        int64_t n_synapses, uint16_t* offsets, void* weights, int64_t weight_bytes,
                                        int64_t* n_pairs) {
  return eventops::SwitchSize(weight_bytes, [&](auto* w) {
    using W = std::remove_pointer_t<decltype(w)>;
    return eventops::Sort(n_threads, n_segments, ptr, n_synapses, offsets, static_cast<W*>(weights), n_pairs);
  });
}

// `kind` is 'e' (float16), 'b' (bfloat16), 'f' (float32) or 'd' (float64).
EVENTOPS_C int64_t EventopsSumRepeats(int64_t n_segments, int32_t* ptr, int64_t n_synapses, uint16_t* offsets,
                                      void* weights, int64_t kind, int32_t* counts, int64_t n_pairs) {
  const auto sum = [&](auto* w) {
    using W = std::remove_pointer_t<decltype(w)>;
    return eventops::Sum(n_segments, ptr, n_synapses, offsets, static_cast<W*>(weights), counts, n_pairs);
  };
  switch (kind) {
    case 'e':
      return sum(static_cast<eventops::Float16*>(nullptr));
    case 'b':
      return sum(static_cast<eventops::BFloat16*>(nullptr));
    case 'f':
      return sum(static_cast<float*>(nullptr));
    case 'd':
      return sum(static_cast<double*>(nullptr));
    default:
      return eventops::kOutside;
  }
}

EVENTOPS_C int64_t EventopsSplitRows(int64_t n_threads, const int64_t* indptr, const void* indices,
                                     int64_t index_bytes, int64_t n_synapses, int64_t n_in, int64_t n_out,
                                     int64_t tile, int32_t* ptr, uint16_t* offsets) {
  const eventops::Sizes sizes = eventops::SizesOf(n_in, n_out, tile);
  if (index_bytes == 4) {
    return eventops::Split(n_threads, indptr, static_cast<const int32_t*>(indices), n_synapses, sizes, ptr, offsets);
  }
  if (index_bytes != 8) return eventops::kOutside;
  return eventops::Split(n_threads, indptr, static_cast<const int64_t*>(indices), n_synapses, sizes, ptr, offsets);
}
