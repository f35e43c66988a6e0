// The functions that make rows of given entries (csrc/cpu/build_rows.cc): buffers of the sizes that Python gives them, full of
// anything, since what they hold is the user's.
#ifndef EVENTOPS_TESTS_ENTRIES_H_
#define EVENTOPS_TESTS_ENTRIES_H_

#include "draft.h"

extern "C" {
int64_t EventopsCountEntries(int64_t, int64_t, const int32_t*, const int32_t*, int64_t, int64_t, int64_t, int32_t*);
int64_t EventopsFillEntries(int64_t, int64_t, const int32_t*, const int32_t*, const void*, int64_t, int64_t, int64_t,
                            int64_t, int32_t*, int64_t, uint16_t*, void*);
int64_t EventopsSortSegments(int64_t, int64_t, const int32_t*, int64_t, uint16_t*, void*, int64_t, int64_t*);
int64_t EventopsSumRepeats(int64_t, int32_t*, int64_t, uint16_t*, void*, int64_t, int32_t*, int64_t);
int64_t EventopsSplitRows(int64_t, const int64_t*, const void*, int64_t, int64_t, int64_t, int64_t, int64_t, int32_t*,
                          uint16_t*);
}

namespace calls {

// Entries to rows, as rows/building.py does it, with pointers spoilt between the steps. Returns whether all went well.
inline bool Entries(const uint8_t* data, size_t size, int64_t elements, bool hostile) {
  Draft d(data, size, elements, hostile);
  d.n_in = std::max<int64_t>(1, d.n_in), d.n_out = std::max<int64_t>(1, d.n_out);
  int64_t n_tiles;
  const int64_t tile = d.Tile(d.n_in, d.n_out, &n_tiles), n = d.Synapses(), n_segments = d.n_in * n_tiles;
  const int64_t threads = 1 + d.bytes.Below(4), item = host::ItemSize(d.weight);
  const char kind = d.weight == XLA_FFI_DataType_F16    ? 'e'
                    : d.weight == XLA_FFI_DataType_BF16 ? 'b'
                    : d.weight == XLA_FFI_DataType_F32  ? 'f'
                                                        : 'd';
  Buffer pre = d.Filled(XLA_FFI_DataType_S32, {n}), post = d.Filled(XLA_FFI_DataType_S32, {n});
  const auto within = [](Buffer& index, int64_t limit) {
    for (int64_t i = 0; i < index.count(); ++i) index.as<uint32_t>()[i] %= static_cast<uint32_t>(limit);
  };
  if (!d.Wrong(4)) within(pre, d.n_in);
  if (!d.Wrong(4)) within(post, d.n_out);
  const bool weighted = d.bytes.Flag(2);
  const Buffer given = d.Filled(d.weight, {weighted ? n : 0});
  Buffer weights(d.weight, {weighted ? n : 0}), offsets(XLA_FFI_DataType_U16, {n});
  void* const w = weighted ? weights.as<void>() : nullptr;

  Buffer ptr(XLA_FFI_DataType_S32, {n_segments + 1});
  int32_t* p = ptr.as<int32_t>();
  bool well = EventopsCountEntries(threads, n, pre.as<int32_t>(), post.as<int32_t>(), d.n_in, d.n_out, tile, p + 1) == 0;
  for (int64_t s = 0; s < n_segments; ++s) p[s + 1] += p[s];
  if (d.Wrong(4)) ptr = d.Pointers(n_segments, n);
  Buffer next(XLA_FFI_DataType_S32, {n_segments + 1});
  std::copy(ptr.as<int32_t>(), ptr.as<int32_t>() + n_segments + 1, next.as<int32_t>());
  well &= EventopsFillEntries(threads, n, pre.as<int32_t>(), post.as<int32_t>(), weighted ? given.as<void>() : nullptr,
                              item, d.n_in, d.n_out, tile, next.as<int32_t>(), n, offsets.as<uint16_t>(), w) == 0;
  int64_t n_pairs = 0;
  well &= EventopsSortSegments(threads, n_segments, ptr.as<int32_t>(), n, offsets.as<uint16_t>(), w, item, &n_pairs) == 0;
  if (d.Wrong(4)) n_pairs = d.bytes.Below(static_cast<uint32_t>(n) + 1);
  Buffer counts(XLA_FFI_DataType_S32, {weighted ? 0 : n_pairs});
  well &= EventopsSumRepeats(n_segments, ptr.as<int32_t>(), n, offsets.as<uint16_t>(), w, kind, counts.as<int32_t>(),
                             n_pairs) == 0;

  // Rows that somebody else has made, which may be anything.
  Buffer indptr = d.Filled(XLA_FFI_DataType_S64, {d.n_in + 1});
  int64_t* at = indptr.as<int64_t>();
  if (!d.Wrong(4)) {
    for (int64_t i = 0; i <= d.n_in; ++i) at[i] = static_cast<int64_t>(static_cast<uint64_t>(at[i]) % (n + 1));
    std::sort(at, at + d.n_in + 1);
  }
  Buffer indices = post;
  if (!d.Wrong(4)) {
    for (int64_t i = 0; i < d.n_in; ++i) {
      const int64_t begin = std::clamp<int64_t>(at[i], 0, n), end = std::clamp<int64_t>(at[i + 1], begin, n);
      std::sort(indices.as<int32_t>() + begin, indices.as<int32_t>() + end);
    }
  }
  well &= EventopsSplitRows(threads, at, indices.as<void>(), 4, n, d.n_in, d.n_out, tile, ptr.as<int32_t>(),
                            offsets.as<uint16_t>()) == 0;
  return well;
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_ENTRIES_H_
