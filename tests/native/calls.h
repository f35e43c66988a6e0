// From bytes to a call of a handler: a right one, or one with a few things wrong, as the bytes say.
//
// Calls that are random through and through never pass the first check. So each is built right, from interesting
// sizes, and then up to three of its parts are changed; what the buffers hold is always anything at all.
#ifndef EVENTOPS_TESTS_CALLS_H_
#define EVENTOPS_TESTS_CALLS_H_

// Every handler of the processor; tests/backends/test_native.py compares the list with the sources.
#define EVENTOPS_HANDLERS(X)                                                                               \
  X(DenseForward) X(DenseSpikeCotangent) X(DenseWeightCotangent) X(RowsForward) X(RowsSpikeCotangent)      \
  X(RowsWeightCotangent) X(DrawCount) X(DrawFill) X(DrawRowCounts) X(ProceduralForward)                    \
  X(ProceduralSpikeCotangent) X(ProceduralWeightCotangent) X(Columns) X(RowsUpdateOnPre)                   \
  X(RowsUpdateOnPost) X(DenseUpdate) X(RowsTouchedOnPre) X(RowsTouchedOnPost) X(Replace) X(DelayedStep)    \
  X(DelayedDeliver) X(DelayedSpikeCotangent) X(DelayedWeightCotangent) X(RingSwap)    \
  X(GeneratedForward) X(GeneratedSpikeCotangent) X(GeneratedWeightCotangent) X(StandardWeights) \
  X(PoissonCounts) X(PoissonCurrent) X(PoissonSpikes) X(Neurons)

#include "changed.h"
#include "delayed.h"
#include "drive.h"
#include "drawn.h"
#include "neurons.h"
#include "products.h"
#include "spoil.h"

#define EVENTOPS_DECLARE(name) extern "C" XLA_FFI_Error* Eventops##name(XLA_FFI_CallFrame*);
EVENTOPS_HANDLERS(EVENTOPS_DECLARE)

namespace calls {

#define EVENTOPS_ENUM(name) k##name,
enum Handler { EVENTOPS_HANDLERS(EVENTOPS_ENUM) kHandlers };
#define EVENTOPS_POINTER(name) Eventops##name,
inline XLA_FFI_Handler* const kPointers[] = {EVENTOPS_HANDLERS(EVENTOPS_POINTER)};
#define EVENTOPS_NAME(name) #name,
inline const char* const kNames[] = {EVENTOPS_HANDLERS(EVENTOPS_NAME)};

// A right call of the handler.
inline void Right(Draft& d, Handler handler, Call* call) {
  switch (handler) {
    case kDenseForward: return Dense(d, Product::kForward, call);
    case kDenseSpikeCotangent: return Dense(d, Product::kSpikeCotangent, call);
    case kDenseWeightCotangent: return Dense(d, Product::kWeightCotangent, call);
    case kRowsForward: return Rows(d, Product::kForward, call);
    case kRowsSpikeCotangent: return Rows(d, Product::kSpikeCotangent, call);
    case kRowsWeightCotangent: return Rows(d, Product::kWeightCotangent, call);
    case kDrawCount: return Count(d, call);
    case kDrawFill: return Fill(d, call);
    case kDrawRowCounts: return RowCounts(d, call);
    case kProceduralForward: return Procedural(d, Product::kForward, false, call);
    case kGeneratedForward: return Procedural(d, Product::kForward, true, call);
    case kProceduralSpikeCotangent: return Procedural(d, Product::kSpikeCotangent, false, call);
    case kGeneratedSpikeCotangent: return Procedural(d, Product::kSpikeCotangent, true, call);
    case kProceduralWeightCotangent: return Procedural(d, Product::kWeightCotangent, false, call);
    case kGeneratedWeightCotangent: return Procedural(d, Product::kWeightCotangent, true, call);
    case kColumns: return Columns(d, call);
    case kRowsUpdateOnPre: return UpdateStored(d, false, call);
    case kRowsUpdateOnPost: return UpdateStored(d, true, call);
    case kDenseUpdate: return UpdateDense(d, call);
    case kRowsTouchedOnPre: return Touched(d, false, call);
    case kRowsTouchedOnPost: return Touched(d, true, call);
    case kReplace: return Replace(d, call);
    case kDelayedStep: return Delayed(d, Product::kForward, true, call);
    case kDelayedDeliver: return Delayed(d, Product::kForward, false, call);
    case kDelayedSpikeCotangent: return Delayed(d, Product::kSpikeCotangent, false, call);
    case kDelayedWeightCotangent: return Delayed(d, Product::kWeightCotangent, false, call);
    case kRingSwap: return RingSwap(d, call);
    case kStandardWeights: return StandardWeights(d, call);
    case kPoissonCounts: return DriveCounts(d, call);
    case kPoissonCurrent: return DriveCurrent(d, call);
    case kPoissonSpikes: return DriveSpikes(d, call);
    case kNeurons: return StepOfNeurons(d, call);
    case kHandlers: break;
  }
}

struct Built {
  Handler handler;
  Call call;
  bool spoilt;
};

// `elements` bounds the size of the largest buffer. Calls that are not `hostile` are right.
inline Built Build(const uint8_t* data, size_t size, int64_t elements, bool hostile) {
  Draft draft(data, size, elements, hostile);
  Built built;
  built.handler = static_cast<Handler>(draft.bytes.Below(kHandlers));
  Right(draft, built.handler, &built.call);
  built.spoilt = draft.Wrong(2);
  if (!built.spoilt) return built;
  for (uint32_t i = 1 + draft.bytes.Below(3); i > 0; --i) Spoiler(draft, &built.call).Spoil();
  return built;
}

}  // namespace calls

#endif  // EVENTOPS_TESTS_CALLS_H_
