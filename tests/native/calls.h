// From bytes to a call of a handler: a right one, or one with a few things wrong, as the bytes say.
//
// Calls that are random through and through never pass the first check. So each is built right, from interesting
// sizes, and then up to three of its parts are changed; what the buffers hold is always anything at all.
#ifndef EVENTOPS_TESTS_CALLS_H_
#define EVENTOPS_TESTS_CALLS_H_

#include <algorithm>
#include <iterator>

#include "host.h"

#define EVENTOPS_HANDLERS(X)                                                                               \
  X(DenseForward) X(DenseSpikeCotangent) X(DenseWeightCotangent) X(RowsForward) X(RowsSpikeCotangent)      \
  X(RowsWeightCotangent) X(DrawCount) X(DrawFill) X(ProceduralForward) X(ProceduralSpikeCotangent)         \
  X(ProceduralWeightCotangent)

#define EVENTOPS_DECLARE(name) extern "C" XLA_FFI_Error* Eventops##name(XLA_FFI_CallFrame*);
EVENTOPS_HANDLERS(EVENTOPS_DECLARE)

namespace calls {

using host::Buffer;
using host::Call;

#define EVENTOPS_ENUM(name) k##name,
enum Handler { EVENTOPS_HANDLERS(EVENTOPS_ENUM) kHandlers };
#define EVENTOPS_POINTER(name) Eventops##name,
inline XLA_FFI_Handler* const kPointers[] = {EVENTOPS_HANDLERS(EVENTOPS_POINTER)};
#define EVENTOPS_NAME(name) #name,
inline const char* const kNames[] = {EVENTOPS_HANDLERS(EVENTOPS_NAME)};

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
  void Fill(const Buffer& buffer) {
    const int64_t size = buffer.count() * host::ItemSize(buffer.dtype);
    uint64_t state = static_cast<uint64_t>(Integer()) | 1;
    for (int64_t i = 0; i < size; ++i) {
      if (i % 8 == 0) state = state * 6364136223846793005u + 1442695040888963407u;
      buffer.as<uint8_t>()[i] = static_cast<uint8_t>(state >> (8 * (i % 8)));
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
constexpr XLA_FFI_DataType kAny[] = {
    XLA_FFI_DataType_PRED, XLA_FFI_DataType_S8,  XLA_FFI_DataType_S16, XLA_FFI_DataType_S32, XLA_FFI_DataType_S64,
    XLA_FFI_DataType_U8,   XLA_FFI_DataType_U16, XLA_FFI_DataType_U32, XLA_FFI_DataType_U64, XLA_FFI_DataType_F16,
    XLA_FFI_DataType_F32,  XLA_FFI_DataType_F64, XLA_FFI_DataType_BF16, XLA_FFI_DataType_C64};
constexpr int64_t kHostile[] = {0, -1, 1, 2, 65536, 65537, INT32_MAX, int64_t{INT32_MAX} + 1, INT64_MAX, INT64_MIN,
                                int64_t{1} << 40, int64_t{1} << 62};

class Builder {
 public:
  // `elements` bounds the size of the largest buffer.
  Builder(const uint8_t* data, size_t size, int64_t elements) : bytes_(data, size), elements_(elements) {}

  Handler Build(Call* call) {
    const auto handler = static_cast<Handler>(bytes_.Below(kHandlers));
    weight_ = bytes_.Of(kWeights);
    sum_ = weight_ == XLA_FFI_DataType_F64 ? XLA_FFI_DataType_F64 : XLA_FFI_DataType_F32;
    result_ = bytes_.Flag(2) ? weight_ : sum_;
    V_ = bytes_.Flag(2) ? 1 : bytes_.Below(4);
    B_ = bytes_.Flag(2) ? 1 : bytes_.Of(kSizes) % 40;
    n_in_ = bytes_.Of(kSizes);
    n_out_ = bytes_.Flag(4) ? bytes_.Of(kWide) : bytes_.Of(kSizes);
    const int64_t vectors = std::max<int64_t>(1, V_ * B_);
    n_in_ = std::min(n_in_, elements_ / vectors);
    n_out_ = std::min(n_out_, elements_ / vectors);
    switch (handler) {
      case kDenseForward:
      case kDenseSpikeCotangent:
      case kDenseWeightCotangent:
        Dense(handler, call);
        break;
      case kRowsForward:
      case kRowsSpikeCotangent:
      case kRowsWeightCotangent:
        Rows(handler, call);
        break;
      default:
        Drawn(handler, call);
    }
    Spoil(call);
    return handler;
  }

 private:
  Buffer Filled(XLA_FFI_DataType dtype, std::vector<int64_t> dims) {
    Buffer buffer(dtype, std::move(dims));
    bytes_.Fill(buffer);
    return buffer;
  }

  // Spikes of a rate that the bytes choose; a bool of XLA is 0 or 1, unless somebody made it otherwise.
  Buffer Spikes() {
    Buffer spikes = Filled(bytes_.Flag(2) ? XLA_FFI_DataType_PRED : sum_, {V_, B_, n_in_});
    const uint32_t rate = bytes_.Below(257);
    uint8_t* byte = spikes.as<uint8_t>();
    const int64_t item = host::ItemSize(spikes.dtype);
    const bool sane = !bytes_.Flag(8);
    for (int64_t i = 0; i < spikes.count(); ++i) {
      const bool active = byte[i * item] < rate;
      if (!active) std::memset(byte + i * item, 0, item);
      if (active && item == 1 && sane) byte[i] = 1;
    }
    return spikes;
  }

  void Dense(Handler handler, Call* call) {
    const int64_t rows = elements_ / std::max<int64_t>(1, V_ * n_out_);
    n_in_ = std::min(n_in_, rows);
    const Buffer g = Filled(sum_, {V_, B_, n_out_});
    if (handler == kDenseForward) {
      call->arguments = {Spikes(), Filled(weight_, {V_, n_in_, n_out_})};
      call->result = Buffer(result_, {V_, B_, n_out_});
    } else if (handler == kDenseSpikeCotangent) {
      call->arguments = {Filled(weight_, {V_, n_in_, n_out_}), g};
      call->result = Buffer(sum_, {V_, B_, n_in_});
    } else {
      call->arguments = {Spikes(), g};
      call->result = Buffer(weight_, {V_, n_in_, n_out_});
    }
  }

  void Rows(Handler handler, Call* call) {
    n_out_ = std::max<int64_t>(1, n_out_);
    int64_t tile = std::min<int64_t>(65536, bytes_.Flag(2) ? n_out_ : 1 + bytes_.Below(65536));
    int64_t n_tiles = (n_out_ + tile - 1) / tile;
    if (n_in_ * n_tiles > elements_) tile = std::min<int64_t>(65536, n_out_), n_tiles = (n_out_ + tile - 1) / tile;
    const int64_t synapses = bytes_.Below(static_cast<uint32_t>(std::min<int64_t>(elements_, 4096)) + 1);
    Buffer ptr = Filled(XLA_FFI_DataType_S32, {n_in_ * n_tiles + 1});
    if (!bytes_.Flag(4)) {  // pointers that ascend, as construction makes them
      uint32_t* p = ptr.as<uint32_t>();
      for (int64_t i = 0; i < ptr.count(); ++i) p[i] %= static_cast<uint32_t>(synapses) + 1;
      std::sort(p, p + ptr.count());
      p[0] = 0, p[ptr.count() - 1] = static_cast<uint32_t>(synapses);
    }
    const Buffer offsets = Filled(XLA_FFI_DataType_U16, {synapses});
    const bool homogeneous = bytes_.Flag(2);
    const auto weight_shape = homogeneous ? std::vector<int64_t>{V_} : std::vector<int64_t>{V_, synapses};
    const Buffer g = Filled(sum_, {V_, B_, n_out_});
    if (handler == kRowsForward) {
      call->arguments = {Spikes(), Filled(weight_, weight_shape), ptr, offsets};
      call->result = Buffer(result_, {V_, B_, n_out_});
    } else if (handler == kRowsSpikeCotangent) {
      call->arguments = {Filled(weight_, weight_shape), g, ptr, offsets};
      call->result = Buffer(sum_, {V_, B_, n_in_});
    } else {
      call->arguments = {Spikes(), g, ptr, offsets};
      call->result = Buffer(sum_, weight_shape);
    }
    call->Set("n_out", n_out_);
    call->Set("tile", tile);
  }

  void Drawn(Handler handler, Call* call) {
    const bool procedural = handler >= kProceduralForward;
    n_in_ = std::max<int64_t>(1, n_in_), n_out_ = std::max<int64_t>(1, n_out_);
    const int64_t rule = 1 + bytes_.Below(procedural ? 2 : 3);
    const bool self = bytes_.Flag(2), multi = bytes_.Flag(3);
    if (!self) n_in_ = n_out_ = std::min(n_in_, n_out_);
    const bool all = bytes_.Flag(2);
    Buffer selected(XLA_FFI_DataType_S32, {0});
    int64_t n_selected = n_in_;
    if (!all) {
      std::vector<int32_t> chosen;
      for (int64_t i = 0; i < n_in_; ++i) {
        if (bytes_.Flag(2)) chosen.push_back(static_cast<int32_t>(i));
      }
      n_selected = static_cast<int64_t>(chosen.size());
      if (n_selected < n_in_) selected = Buffer(XLA_FFI_DataType_S32, {n_selected});
      if (n_selected < n_in_) std::copy(chosen.begin(), chosen.end(), selected.as<int32_t>());
    }
    const int64_t pool = std::max<int64_t>(0, (rule == 2 ? n_out_ : n_selected) - (self ? 0 : 1));
    const int64_t lines = rule == 2 ? n_in_ : n_out_;
    int64_t conn_num = bytes_.Below(static_cast<uint32_t>(pool) + 1);
    if (multi && pool > 0) conn_num = bytes_.Below(300);
    conn_num = std::min(conn_num, 8 * elements_ / std::max<int64_t>(1, lines));
    const int64_t tile = procedural ? 1 : std::min<int64_t>(65536, 1 + bytes_.Below(65536));
    int64_t pre[] = {0, n_in_}, post[] = {0, n_out_};
    if (!procedural && bytes_.Flag(2)) {  // a window
      pre[0] = bytes_.Below(static_cast<uint32_t>(n_in_)), pre[1] = pre[0] + 1 + bytes_.Below(static_cast<uint32_t>(n_in_ - pre[0]));
      post[0] = bytes_.Below(static_cast<uint32_t>(n_out_)), post[1] = post[0] + 1 + bytes_.Below(static_cast<uint32_t>(n_out_ - post[0]));
    }
    Buffer gaps = Filled(XLA_FFI_DataType_U32, {1 + static_cast<int64_t>(bytes_.Below(4)), 256, 4});
    if (!bytes_.Flag(4)) Descend(gaps);
    const std::pair<const char*, int64_t> attributes[] = {
        {"rule", rule}, {"n_in", n_in_}, {"n_out", n_out_}, {"tile", tile}, {"conn_num", conn_num},
        {"allow_multi", multi}, {"allow_self", self}, {"n_selected", n_selected}, {"seed", bytes_.Integer() & INT64_MAX},
        {"lane", 0}, {"pre_begin", pre[0]}, {"pre_end", pre[1]}, {"post_begin", post[0]}, {"post_end", post[1]}};
    for (const auto& [name, value] : attributes) call->Set(name, value);
    const int64_t n_tiles = (post[1] - post[0] + tile - 1) / tile;
    const int64_t n_ptr = (pre[1] - pre[0]) * n_tiles + 1;
    const Buffer g = Filled(sum_, {V_, B_, n_out_}), weight = Filled(weight_, {V_});
    switch (handler) {
      case kDrawCount:
        call->arguments = {selected, gaps};
        call->result = Buffer(XLA_FFI_DataType_S32, {n_ptr});
        break;
      case kDrawFill: {
        Buffer ptr = Filled(XLA_FFI_DataType_S32, {n_ptr});
        if (!bytes_.Flag(4)) {  // the counts that the first pass makes
          Call count;
          count.arguments = {selected, gaps};
          count.result = ptr;
          count.attributes = call->attributes;
          host::Pool pool(0);
          if (!host::Run(EventopsDrawCount, count, pool).empty()) ptr.Allocate();
        }
        const int64_t last = ptr.as<int32_t>()[n_ptr - 1];
        call->arguments = {selected, gaps, ptr};
        call->result = Buffer(XLA_FFI_DataType_U16, {std::clamp<int64_t>(last, 0, 16 * elements_) + bytes_.Below(3)});
        break;
      }
      case kProceduralForward:
        call->SetReal("prob", bytes_.Below(101) / 100.0);
        call->arguments = {Spikes(), weight, selected, gaps};
        call->result = Buffer(result_, {V_, B_, n_out_});
        break;
      case kProceduralSpikeCotangent:
        call->arguments = {weight, g, selected, gaps};
        call->result = Buffer(sum_, {V_, B_, n_in_});
        break;
      default:
        call->arguments = {Spikes(), g, selected, gaps};
        call->result = Buffer(sum_, {V_});
    }
  }

  // Thresholds that fall, as those of a law do: 128-bit numbers, low word first.
  static void Descend(const Buffer& gaps) {
    struct Threshold {
      uint64_t low, high;
    };
    auto* t = gaps.as<Threshold>();
    for (int64_t d = 0; d < gaps.dims[0]; ++d) {
      std::sort(t + 256 * d, t + 256 * (d + 1), [](auto a, auto b) { return a.high > b.high; });
    }
  }

  // Up to three things wrong; none in half of the calls.
  void Spoil(Call* call) {
    if (bytes_.Flag(2)) return;
    for (int i = 1 + static_cast<int>(bytes_.Below(3)); i > 0; --i) {
      const uint32_t n = static_cast<uint32_t>(call->arguments.size());
      switch (bytes_.Below(6)) {
        case 0: {  // another dtype
          Buffer& buffer = At(call, bytes_.Below(n + 1));
          buffer = Filled(bytes_.Of(kAny), buffer.dims);
          break;
        }
        case 1: {  // another length of one side
          Buffer& buffer = At(call, bytes_.Below(n + 1));
          auto dims = buffer.dims;
          if (dims.empty()) break;
          int64_t& d = dims[bytes_.Below(static_cast<uint32_t>(dims.size()))];
          d = bytes_.Flag(2) ? std::max<int64_t>(0, d + (bytes_.Flag(2) ? 1 : -1)) : bytes_.Of(kSizes);
          Resize(&buffer, dims);
          break;
        }
        case 2: {  // another rank
          Buffer& buffer = At(call, bytes_.Below(n + 1));
          auto dims = buffer.dims;
          if (bytes_.Flag(2) || dims.empty()) {
            dims.insert(dims.begin() + bytes_.Below(static_cast<uint32_t>(dims.size()) + 1), 1);
          } else {
            dims.erase(dims.begin() + bytes_.Below(static_cast<uint32_t>(dims.size())));
          }
          Resize(&buffer, dims);
          break;
        }
        case 3: {  // a side without end, where another is empty
          Buffer& buffer = At(call, bytes_.Below(n + 1));
          if (buffer.dims.size() < 2) break;
          auto dims = buffer.dims;
          dims[0] = 0;
          dims[1 + bytes_.Below(static_cast<uint32_t>(dims.size()) - 1)] = bytes_.Of(kHostile) & INT64_MAX;
          buffer.dims = dims;
          break;
        }
        case 4: {  // another attribute
          if (call->attributes.empty()) break;
          auto at = call->attributes.begin();
          std::advance(at, bytes_.Below(static_cast<uint32_t>(call->attributes.size())));
          at->second.integer = bytes_.Flag(2) ? bytes_.Of(kHostile) : bytes_.Integer();
          at->second.real = static_cast<double>(at->second.integer);
          // A graph that is larger than asked for is right, and takes longer than a fuzzer waits.
          if (at->first == "conn_num" || at->first == "n_in" || at->first == "n_out") {
            if (at->second.integer > 65536 && at->second.integer <= INT32_MAX) at->second.integer %= 65536;
          }
          break;
        }
        default:  // no attribute, or one of another type
          if (call->attributes.empty()) break;
          auto at = call->attributes.begin();
          std::advance(at, bytes_.Below(static_cast<uint32_t>(call->attributes.size())));
          if (bytes_.Flag(2)) {
            call->attributes.erase(at);
          } else {
            at->second.dtype = bytes_.Flag(2) ? XLA_FFI_DataType_S32 : XLA_FFI_DataType_F64;
          }
      }
    }
  }

  Buffer& At(Call* call, uint32_t i) { return i < call->arguments.size() ? call->arguments[i] : call->result; }

  void Resize(Buffer* buffer, const std::vector<int64_t>& dims) {
    int64_t count = 1;
    for (int64_t d : dims) {
      if (d != 0 && count > 16 * elements_ / d) return;
      count *= d;
    }
    *buffer = Filled(buffer->dtype, dims);
  }

  Bytes bytes_;
  int64_t elements_;
  XLA_FFI_DataType weight_, sum_, result_;
  int64_t V_, B_, n_in_, n_out_;
};

}  // namespace calls

#endif  // EVENTOPS_TESTS_CALLS_H_
