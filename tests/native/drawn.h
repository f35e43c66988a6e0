// Calls of what draws graphs, and of the products that draw them again.
#ifndef EVENTOPS_TESTS_DRAWN_H_
#define EVENTOPS_TESTS_DRAWN_H_

#include "draft.h"
#include "products.h"

extern "C" XLA_FFI_Error* EventopsDrawCount(XLA_FFI_CallFrame*);

namespace calls {

constexpr int64_t kQuantilePieces = (32 << 6) + 1;  // kPieces in csrc/cpu/isa/kernels.h
constexpr int64_t kFixedTotalRule = 4, kDistanceRule = 5;

// Thresholds that fall, as those of a law do: 128-bit numbers, low word first.
inline void Descend(const Buffer& gaps) {
  struct Threshold {
    uint64_t low, high;
  };
  auto* t = gaps.as<Threshold>();
  for (int64_t d = 0; d < gaps.dims[0]; ++d) {
    std::sort(t + 256 * d, t + 256 * (d + 1), [](auto a, auto b) { return a.high > b.high; });
  }
}

// A lattice of n_in and n_out neurons on a line or a torus of few rows, as csrc/shared/lattice.h reads it: offsets within
// reach, in two levels.
inline Buffer Lattice(Draft& d, int64_t n_in, int64_t n_out, int64_t n_digits) {
  const auto gcd = [](int64_t a, int64_t b) {
    while (b != 0) std::swap(a %= b, b);
    return a;
  };
  const int64_t rows = n_in % 2 == 0 && n_out % 2 == 0 && d.bytes.Flag(2) ? 2 : 1;
  const int64_t pre = n_in / rows, post = n_out / rows, classes = pre / gcd(pre, post);
  const int64_t pairs_of_each = std::min<int64_t>(1 + d.bytes.Below(64), std::max<int64_t>(1, d.elements / classes));
  std::vector<uint32_t> words = {static_cast<uint32_t>(rows), static_cast<uint32_t>(rows), d.bytes.Flag(2)};
  for (int64_t word : {pre, post, int64_t{d.bytes.Flag(2)}, classes, 2 * classes, classes * pairs_of_each}) {
    words.push_back(static_cast<uint32_t>(word));
  }
  for (int64_t c = 0; c <= classes; ++c) words.push_back(static_cast<uint32_t>(2 * c));
  for (int64_t l = 0; l < 2 * classes; ++l) {
    const uint32_t first = d.bytes.Below(static_cast<uint32_t>(n_digits));
    words.push_back(first);
    words.push_back(d.bytes.Below(static_cast<uint32_t>(n_digits) - first + 1));
  }
  for (int64_t c = 0; c < classes; ++c) {
    words.push_back(static_cast<uint32_t>(c * pairs_of_each));
    words.push_back(static_cast<uint32_t>(c * pairs_of_each + pairs_of_each / 2));
  }
  words.push_back(static_cast<uint32_t>(classes * pairs_of_each));
  for (int64_t i = 0; i < classes * pairs_of_each; ++i) {
    words.push_back(d.bytes.Below(2));
    words.push_back(static_cast<uint32_t>(i % pairs_of_each) - static_cast<uint32_t>(pairs_of_each / 2));
    words.push_back(d.bytes.Below(65536) << 16);
    words.push_back(d.bytes.Below(65536) << 16);
  }
  Buffer law(XLA_FFI_DataType_U32, {static_cast<int64_t>(words.size())});
  std::copy(words.begin(), words.end(), law.as<uint32_t>());
  for (uint32_t i = d.hostile ? d.bytes.Below(4) : 0; i > 0; --i) {  // the sizes say how far everything else is read
    law.as<uint32_t>()[d.bytes.Below(static_cast<uint32_t>(law.count()))] =
        d.bytes.Flag(2) ? UINT32_MAX - d.bytes.Below(3) : static_cast<uint32_t>(d.bytes.Integer());
  }
  return law;
}

struct Drawing {
  Buffer selected, gaps, law;
  int64_t n_ptr;
};

// The operands of a graph, and its attributes.
inline Drawing Draw(Draft& d, bool procedural, Call* call) {
  Drawing drawing;
  d.n_in = std::max<int64_t>(1, d.n_in), d.n_out = std::max<int64_t>(1, d.n_out);
  int64_t rule = 1 + d.bytes.Below(5);
  if (procedural && rule == 3) rule = 2;
  const bool self = d.bytes.Flag(2), multi = d.bytes.Flag(3);
  if (!self) d.n_in = d.n_out = std::min(d.n_in, d.n_out);
  std::vector<int32_t> chosen;
  const bool all = d.bytes.Flag(2) || rule >= kFixedTotalRule;
  for (int64_t i = 0; i < d.n_in && !all; ++i) {
    if (d.bytes.Flag(2)) chosen.push_back(static_cast<int32_t>(i));
  }
  const int64_t n_selected = all ? d.n_in : static_cast<int64_t>(chosen.size());
  if (n_selected == d.n_in) chosen.clear();
  drawing.selected = Buffer(XLA_FFI_DataType_S32, {static_cast<int64_t>(chosen.size())});
  std::copy(chosen.begin(), chosen.end(), drawing.selected.as<int32_t>());

  const int64_t pool = std::max<int64_t>(0, (rule == 3 ? n_selected : d.n_out) - (self ? 0 : 1));
  const int64_t lines = rule == 3 ? d.n_out : d.n_in;
  int64_t conn_num = d.bytes.Below(static_cast<uint32_t>(pool) + 1);
  if (multi && pool > 0) conn_num = d.bytes.Below(300);
  conn_num = std::min(conn_num, 8 * d.elements / lines);
  const int64_t n_digits = 1 + d.bytes.Below(rule == kDistanceRule ? 12 : 4);
  drawing.gaps = d.Filled(XLA_FFI_DataType_U32, {n_digits, 256, 4});
  if (!d.Wrong(4)) Descend(drawing.gaps);
  drawing.law = Buffer(XLA_FFI_DataType_U32, {rule == kFixedTotalRule ? d.n_in : 0});
  if (rule == kFixedTotalRule && d.Wrong(4)) drawing.law = d.Filled(XLA_FFI_DataType_U32, {d.n_in});
  else if (rule == kFixedTotalRule) {
    for (int64_t i = 0; i < d.n_in; ++i) drawing.law.as<uint32_t>()[i] = d.bytes.Below(static_cast<uint32_t>(conn_num) + 1);
  }
  if (rule == kDistanceRule) drawing.law = Lattice(d, d.n_in, d.n_out, n_digits);

  const int64_t tile = procedural ? 1 : 1 + d.bytes.Below(65536);
  int64_t pre[] = {0, d.n_in}, post[] = {0, d.n_out};
  if (!procedural && d.bytes.Flag(2)) {  // a window
    const auto below = [&](int64_t n) { return d.bytes.Below(static_cast<uint32_t>(n)); };
    pre[0] = below(d.n_in), pre[1] = pre[0] + 1 + below(d.n_in - pre[0]);
    post[0] = below(d.n_out), post[1] = post[0] + 1 + below(d.n_out - post[0]);
  }
  const std::pair<const char*, int64_t> attributes[] = {
      {"rule", rule}, {"n_in", d.n_in}, {"n_out", d.n_out}, {"tile", tile}, {"conn_num", conn_num},
      {"allow_multi", multi}, {"allow_self", self}, {"n_selected", n_selected}, {"seed", d.bytes.Integer() & INT64_MAX},
      {"lane", 0}, {"pre_begin", pre[0]}, {"pre_end", pre[1]}, {"post_begin", post[0]}, {"post_end", post[1]}};
  for (const auto& [name, value] : attributes) call->Set(name, value);
  drawing.n_ptr = (pre[1] - pre[0]) * ((post[1] - post[0] + tile - 1) / tile) + 1;
  return drawing;
}

inline void Count(Draft& d, Call* call) {
  const Drawing drawing = Draw(d, false, call);
  call->arguments = {drawing.selected, drawing.gaps, drawing.law, d.Filled(XLA_FFI_DataType_U32, {2})};
  call->results = {Buffer(XLA_FFI_DataType_S32, {drawing.n_ptr})};
}

inline void Fill(Draft& d, Call* call) {
  const Drawing drawing = Draw(d, false, call);
  const Buffer seed = d.Filled(XLA_FFI_DataType_U32, {2});
  Buffer ptr = d.Filled(XLA_FFI_DataType_S32, {drawing.n_ptr});
  if (!d.Wrong(4)) {  // the counts that the first pass makes
    Call count{{drawing.selected, drawing.gaps, drawing.law, seed}, {ptr}, call->attributes};
    host::Pool pool(0);
    if (!host::Run(EventopsDrawCount, count, pool).empty()) ptr.Allocate();
  }
  const int64_t last = std::clamp<int64_t>(ptr.as<int32_t>()[drawing.n_ptr - 1], 0, 16 * d.elements);
  call->arguments = {drawing.selected, drawing.gaps, drawing.law, ptr, seed};
  call->results = {Buffer(XLA_FFI_DataType_U16, {last + d.bytes.Below(3)})};
}

// Where weights are generated, there are two numbers (location and scale) for each set, and a table of quantiles.
inline void Procedural(Draft& d, Product product, bool generated, Call* call) {
  const Drawing g = Draw(d, true, call);
  const std::vector<int64_t> pre = {d.V, d.B, d.n_in}, post = {d.V, d.B, d.n_out};
  const auto weights = generated ? std::vector<int64_t>{d.V, 2} : std::vector<int64_t>{d.V};
  switch (product) {
    case Product::kForward:
      call->SetReal("prob", d.bytes.Below(101) / 100.0);
      call->arguments = {d.Spikes(pre), d.Filled(d.weight, weights)};
      call->results = {Buffer(d.result, post)};
      break;
    case Product::kSpikeCotangent:
      call->arguments = {d.Filled(d.weight, weights), d.Filled(d.sum, post)};
      call->results = {Buffer(d.sum, pre)};
      break;
    case Product::kWeightCotangent:
      call->arguments = {d.Spikes(pre), d.Filled(d.sum, post)};
      call->results = {Buffer(d.sum, weights)};
  }
  if (generated) call->arguments.push_back(d.Filled(XLA_FFI_DataType_F32, {2, kQuantilePieces, 4}));
  call->arguments.insert(call->arguments.end(), {g.selected, g.gaps, g.law});
}

inline void StandardWeights(Draft& d, Call* call) {
  d.n_out = std::max<int64_t>(1, d.n_out);
  int64_t n_tiles;
  const int64_t tile = d.Tile(d.n_in, d.n_out, &n_tiles), synapses = d.Synapses();
  call->arguments = {d.Pointers(d.n_in * n_tiles, synapses), d.Filled(XLA_FFI_DataType_U16, {synapses}),
                     d.Filled(XLA_FFI_DataType_F32, {2, kQuantilePieces, 4}), d.Filled(XLA_FFI_DataType_U32, {2})};
  call->results = {Buffer(XLA_FFI_DataType_F32, {synapses})};
  const std::pair<const char*, int64_t> attributes[] = {
      {"n_out", d.n_out}, {"tile", tile}, {"rule", 1 + d.bytes.Below(5)}};
  for (const auto& [name, value] : attributes) call->Set(name, value);
}

inline void RowCounts(Draft& d, Call* call) {
  const int64_t n_rows = std::max<int64_t>(1, d.n_in), n_partners = std::max<int64_t>(1, d.n_out);
  const bool multi = d.bytes.Flag(2);
  const int64_t most = multi ? d.elements : std::min(d.elements, n_rows * n_partners / 2);
  call->arguments = {d.Filled(XLA_FFI_DataType_U32, {2})};
  call->results = {Buffer(XLA_FFI_DataType_S32, {n_rows})};
  call->Set("n_partners", n_partners);
  call->Set("conn_num", static_cast<int64_t>(static_cast<uint64_t>(d.bytes.Integer()) % (most + 1)));
  call->Set("allow_multi", multi);
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_DRAWN_H_
