// What every call is made from: bytes, sizes and dtypes that they choose, and buffers full of them.
#ifndef EVENTOPS_TESTS_DRAFT_H_
#define EVENTOPS_TESTS_DRAFT_H_

#include <algorithm>
#include <iterator>

#include "host.h"

namespace calls {

using host::Buffer;
using host::Call;

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  uint8_t Byte() { return at_ < end_ ? *at_++ : 0; }
  uint32_t Below(uint32_t n) { return (Byte() | uint32_t{Byte()} << 8) % n; }
  bool Flag(uint32_t one_in) { return Below(one_in) == 0; }
  int64_t Integer() {
    uint64_t x = 0;
    for (int i = 0; i < 8; ++i) x = x << 8 | Byte();
    return static_cast<int64_t>(x);
  }
  template <typename T, size_t n>
  T Of(const T (&from)[n]) {
    return from[Below(n)];
  }
  // Anything, from the bytes that are left and then from a sequence that they begin.
  void Fill(void* to, int64_t size) {
    uint64_t state = static_cast<uint64_t>(Integer()) | 1;
    for (int64_t i = 0; i < size; ++i) {
      if (i % 8 == 0) state = state * 6364136223846793005u + 1442695040888963407u;
      static_cast<uint8_t*>(to)[i] = static_cast<uint8_t>(state >> (8 * (i % 8)));
    }
  }

 private:
  const uint8_t *at_, *end_;
};

// Around the widths of vectors, words, lanes and blocks; odd, prime, 0 and 1.
constexpr int64_t kSizes[] = {0,  1,  2,  3,  4,  5,  7,   8,   9,   13,  15,  16,  17,  31,  32,  33,
                              61, 63, 64, 65, 97, 127, 128, 129, 255, 256, 257, 509, 511, 512, 513, 1021};
constexpr int64_t kWide[] = {4095, 4096, 4097, 6143, 6144, 6145, 8191, 8192, 8193, 16384, 65535, 65536, 65537};
constexpr XLA_FFI_DataType kWeights[] = {XLA_FFI_DataType_F32, XLA_FFI_DataType_F64, XLA_FFI_DataType_F16,
                                         XLA_FFI_DataType_BF16};

struct Draft {
  // `elements` bounds the size of the largest buffer. Where the calls are not `hostile` they are right, and pointers,
  // positions and selections are such as construction makes: with others two threads may write to one place, which is
  // no error of the kernels.
  Draft(const uint8_t* data, size_t size, int64_t most, bool spoil) : bytes(data, size), elements(most), hostile(spoil) {
    weight = bytes.Of(kWeights);
    sum = weight == XLA_FFI_DataType_F64 ? XLA_FFI_DataType_F64 : XLA_FFI_DataType_F32;
    result = bytes.Flag(2) ? weight : sum;
    V = bytes.Flag(2) ? 1 : bytes.Below(4);
    B = bytes.Flag(2) ? 1 : bytes.Of(kSizes) % 40;
    n_in = bytes.Of(kSizes);
    n_out = bytes.Flag(4) ? bytes.Of(kWide) : bytes.Of(kSizes);
    const int64_t vectors = std::max<int64_t>(1, V * B);
    n_in = std::min(n_in, elements / vectors);
    n_out = std::min(n_out, elements / vectors);
  }

  // True once in so many calls, where calls may be wrong.
  bool Wrong(uint32_t one_in) { return bytes.Flag(one_in) && hostile; }

  Buffer Filled(XLA_FFI_DataType dtype, std::vector<int64_t> dims) {
    Buffer buffer(dtype, std::move(dims));
    bytes.Fill(buffer.memory.get(), buffer.count() * host::ItemSize(dtype));
    return buffer;
  }

  // Spikes of a rate that the bytes choose; a bool of XLA is 0 or 1, unless somebody made it otherwise.
  Buffer Spikes(std::vector<int64_t> dims) {
    Buffer spikes = Filled(bytes.Flag(2) ? XLA_FFI_DataType_PRED : sum, std::move(dims));
    const uint32_t rate = bytes.Below(257);
    uint8_t* byte = spikes.as<uint8_t>();
    const int64_t item = host::ItemSize(spikes.dtype);
    const bool sane = !Wrong(8);
    for (int64_t i = 0; i < spikes.count(); ++i) {
      const bool active = byte[i * item] < rate;
      if (!active) std::memset(byte + i * item, 0, item);
      if (active && item == 1 && sane) byte[i] = 1;
    }
    return spikes;
  }

  // Where segments begin: ascending from 0 to their number, as construction makes it, or anything.
  Buffer Pointers(int64_t n_segments, int64_t synapses) {
    Buffer ptr = Filled(XLA_FFI_DataType_S32, {n_segments + 1});
    if (Wrong(4)) return ptr;
    uint32_t* p = ptr.as<uint32_t>();
    for (int64_t i = 0; i < ptr.count(); ++i) p[i] %= static_cast<uint32_t>(synapses) + 1;
    std::sort(p, p + ptr.count());
    p[0] = 0, p[ptr.count() - 1] = static_cast<uint32_t>(synapses);
    return ptr;
  }

  // Each number below n once, in another order, or anything.
  Buffer Permutation(int64_t n) {
    Buffer order = Filled(XLA_FFI_DataType_S32, {n});
    if (Wrong(4)) return order;
    int32_t* p = order.as<int32_t>();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t j = static_cast<int64_t>(static_cast<uint32_t>(p[i]) % static_cast<uint64_t>(i + 1));
      p[i] = p[j];
      p[j] = static_cast<int32_t>(i);
    }
    return order;
  }

  // A width of tiles of which there are not too many for `lines` lines; the number of tiles is `*n_tiles`.
  int64_t Tile(int64_t lines, int64_t partners, int64_t* n_tiles) {
    int64_t tile = std::min<int64_t>(65536, bytes.Flag(2) ? partners : 1 + bytes.Below(65536));
    if (lines * ((partners + tile - 1) / tile) > elements) tile = std::min<int64_t>(65536, partners);
    *n_tiles = (partners + tile - 1) / tile;
    return tile;
  }

  int64_t Synapses() { return bytes.Below(static_cast<uint32_t>(std::min<int64_t>(elements, 4096)) + 1); }

  Bytes bytes;
  int64_t elements;
  bool hostile;
  XLA_FFI_DataType weight, sum, result;
  int64_t V, B, n_in, n_out;
};

}  // namespace calls

#endif  // EVENTOPS_TESTS_DRAFT_H_
