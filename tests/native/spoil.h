// Up to three things wrong with a call that was right.
#ifndef EVENTOPS_TESTS_SPOIL_H_
#define EVENTOPS_TESTS_SPOIL_H_

#include "draft.h"

namespace calls {

constexpr XLA_FFI_DataType kAny[] = {
    XLA_FFI_DataType_PRED, XLA_FFI_DataType_S8,  XLA_FFI_DataType_S16, XLA_FFI_DataType_S32, XLA_FFI_DataType_S64,
    XLA_FFI_DataType_U8,   XLA_FFI_DataType_U16, XLA_FFI_DataType_U32, XLA_FFI_DataType_U64, XLA_FFI_DataType_F16,
    XLA_FFI_DataType_F32,  XLA_FFI_DataType_F64, XLA_FFI_DataType_BF16, XLA_FFI_DataType_C64};
constexpr int64_t kHostile[] = {0, -1, 1, 2, 65536, 65537, INT32_MAX, int64_t{INT32_MAX} + 1, INT64_MAX, INT64_MIN,
                                int64_t{1} << 40, int64_t{1} << 62};

class Spoiler {
 public:
  Spoiler(Draft& draft, Call* call) : d_(draft), call_(call) {}

  void Spoil() {
    switch (d_.bytes.Below(7)) {
      case 0: {  // another dtype
        Buffer& buffer = Any();
        buffer = d_.Filled(d_.bytes.Of(kAny), buffer.dims);
        break;
      }
      case 1: {  // another length of one side
        Buffer& buffer = Any();
        auto dims = buffer.dims;
        if (dims.empty()) break;
        int64_t& side = dims[Below(dims.size())];
        side = d_.bytes.Flag(2) ? std::max<int64_t>(0, side + (d_.bytes.Flag(2) ? 1 : -1)) : d_.bytes.Of(kSizes);
        Resize(&buffer, dims);
        break;
      }
      case 2: {  // another rank
        Buffer& buffer = Any();
        auto dims = buffer.dims;
        if (d_.bytes.Flag(2) || dims.empty()) {
          dims.insert(dims.begin() + Below(dims.size() + 1), 1);
        } else {
          dims.erase(dims.begin() + Below(dims.size()));
        }
        Resize(&buffer, dims);
        break;
      }
      case 3:  // sides without end, where another is empty
        Endless(&Any());
        break;
      case 4:  // the same in every buffer that has as many dimensions, so that their shapes agree
        EndlessEverywhere();
        break;
      case 5: {  // another attribute
        if (call_->attributes.empty()) break;
        auto at = Attribute();
        at->second.integer = d_.bytes.Flag(2) ? d_.bytes.Of(kHostile) : d_.bytes.Integer();
        at->second.real = static_cast<double>(at->second.integer);
        // A graph that is larger than asked for is right, and takes longer than a fuzzer waits.
        if (at->first == "conn_num" || at->first == "n_in" || at->first == "n_out" || at->first == "n_partners") {
          if (at->second.integer > 65536 && at->second.integer <= INT32_MAX) at->second.integer %= 65536;
        }
        break;
      }
      default:  // no attribute, or one of another type
        if (call_->attributes.empty()) break;
        auto at = Attribute();
        if (d_.bytes.Flag(2)) {
          call_->attributes.erase(at);
        } else {
          at->second.dtype = d_.bytes.Flag(2) ? XLA_FFI_DataType_S32 : XLA_FFI_DataType_F64;
        }
    }
  }

 private:
  size_t Below(size_t n) { return d_.bytes.Below(static_cast<uint32_t>(n)); }

  Buffer& Any() {
    const size_t i = Below(call_->arguments.size() + call_->results.size());
    return i < call_->arguments.size() ? call_->arguments[i] : call_->results[i - call_->arguments.size()];
  }

  std::map<std::string, host::Attribute>::iterator Attribute() {
    auto at = call_->attributes.begin();
    std::advance(at, Below(call_->attributes.size()));
    return at;
  }

  // The memory stays, which is more than none. One side is 0, up to all others have no end.
  void Endless(Buffer* buffer) {
    const size_t rank = buffer->dims.size();
    if (rank < 2) return;
    const size_t empty = Below(rank);
    buffer->dims[empty] = 0;
    for (size_t i = 0; i < rank; ++i) {
      if (i != empty && d_.bytes.Flag(2)) buffer->dims[i] = d_.bytes.Of(kHostile) & INT64_MAX;
    }
  }

  void EndlessEverywhere() {
    const Buffer& chosen = Any();
    const size_t rank = chosen.dims.size();
    if (rank < 2) return;
    const size_t empty = Below(rank), endless = Below(rank);
    const int64_t side = d_.bytes.Of(kHostile) & INT64_MAX;
    const auto change = [&](Buffer& buffer) {
      if (buffer.dims.size() != rank) return;
      buffer.dims[endless] = side;
      buffer.dims[empty] = 0;
    };
    for (auto& buffer : call_->arguments) change(buffer);
    for (auto& buffer : call_->results) change(buffer);
  }

  void Resize(Buffer* buffer, const std::vector<int64_t>& dims) {
    int64_t count = 1;
    for (int64_t side : dims) {
      if (side != 0 && count > 16 * d_.elements / side) return;
      count *= side;
    }
    *buffer = d_.Filled(buffer->dtype, dims);
  }

  Draft& d_;
  Call* call_;
};

}  // namespace calls

#endif  // EVENTOPS_TESTS_SPOIL_H_
