"""The native CPU kernels: ``csrc/`` built into one library, called through XLA's FFI."""

import ctypes
import functools
import os
import pathlib
import threading
import warnings

import jax
import numpy as np

import eventops

from ..constants import uneven
from .reference import accumulator

HANDLERS = (
    "DenseForward",
    "DenseSpikeCotangent",
    "DenseWeightCotangent",
    "RowsForward",
    "RowsSpikeCotangent",
    "RowsWeightCotangent",
    "DelayedStep",
    "DelayedDeliver",
    "DelayedSpikeCotangent",
    "DelayedWeightCotangent",
    "RingSwap",
    "DrawCount",
    "DrawFill",
    "DrawRowCounts",
    "ProceduralForward",
    "ProceduralSpikeCotangent",
    "ProceduralWeightCotangent",
    "GeneratedForward",
    "GeneratedSpikeCotangent",
    "GeneratedWeightCotangent",
    "StandardWeights",
    "Columns",
    "RowsUpdateOnPre",
    "RowsUpdateOnPost",
    "DenseUpdate",
    "RowsTouchedOnPre",
    "RowsTouchedOnPost",
    "Replace",
    "Neurons",
    "PoissonCounts",
    "PoissonCurrent",
    "PoissonSpikes",
)
HOW_TO_BUILD = "install a C++17 compiler, then eventops again (pip install --force-reinstall ...)"


# Handlers are registered once, also where the first operators are made on several threads.
_loading = threading.Lock()


def _load() -> tuple[ctypes.CDLL | None, str | None]:
    with _loading:
        return _load_once()


@functools.cache
def _load_once() -> tuple[ctypes.CDLL | None, str | None]:
    """The library with its handlers registered, or the reason why there is none."""
    chosen = os.environ.get("EVENTOPS_NATIVE", "1")
    if chosen == "0":
        return None, "the environment variable EVENTOPS_NATIVE=0 turns the native library off"
    wish = os.environ.get("EVENTOPS_ISA")
    if wish not in (None, "plain", "avx2", "avx512"):
        raise ValueError(f"EVENTOPS_ISA={wish!r} must be plain, avx2 or avx512, or not set")
    paths = [pathlib.Path(folder) / "_native.so" for folder in eventops.__path__]
    if chosen != "1":  # another build of it: with a sanitizer, or broken on purpose by the tests
        paths = [pathlib.Path(chosen)]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None, f"the native library was not built; {HOW_TO_BUILD}"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return None, f"the native library does not load ({error}); {HOW_TO_BUILD}"
    library.EventopsIsa.restype = ctypes.c_char_p
    for name in HANDLERS:
        handler = jax.ffi.pycapsule(getattr(library, f"Eventops{name}"))
        jax.ffi.register_ffi_target(target(name), handler, platform="cpu")
    return library, None


def target(name: str) -> str:
    """The name that a handler is registered under."""
    return f"eventops_{name}"


def unavailable() -> str | None:
    """``None``, or the reason why the native library cannot be used."""
    return _load()[1]


def library() -> ctypes.CDLL | None:
    """The native library, for what is called without XLA; None if it cannot be used."""
    return _load()[0]


def isa() -> str | None:
    """The instruction set that the dense kernel runs with: plain, avx2 or avx512."""
    library = _load()[0]
    return None if library is None else library.EventopsIsa().decode()


@functools.cache
def warn_once() -> None:
    """Say, once in a process, that ``reference`` serves because there is no library."""
    warnings.warn(
        f"eventops computes with the slow 'reference' backend: {unavailable()}", stacklevel=2
    )


def dense_forward(spikes, weight, *, shape, tile, dtype):
    out = jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype)
    return jax.ffi.ffi_call(target("DenseForward"), out)(spikes, weight)


def dense_spike_cotangent(weight, g, *, shape, tile):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    return jax.ffi.ffi_call(target("DenseSpikeCotangent"), out)(weight, g)


def dense_weight_cotangent(spikes, g, *, shape, tile, dtype, homogeneous):
    out = jax.ShapeDtypeStruct((g.shape[0], *shape), dtype)
    return jax.ffi.ffi_call(target("DenseWeightCotangent"), out)(spikes, g)


def rows_forward(spikes, weight, ptr, offsets, *, shape, tile, dtype):
    out = jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype)
    return _rows_call("RowsForward", out, shape, tile)(spikes, weight, ptr, offsets)


def rows_spike_cotangent(weight, g, ptr, offsets, *, shape, tile):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    return _rows_call("RowsSpikeCotangent", out, shape, tile)(weight, g, ptr, offsets)


def rows_weight_cotangent(spikes, g, ptr, offsets, *, shape, tile, dtype, homogeneous):
    weights = g.shape[:1] if homogeneous else (g.shape[0], offsets.shape[-1])
    out = jax.ShapeDtypeStruct(weights, g.dtype)
    call = _rows_call("RowsWeightCotangent", out, shape, tile)
    return call(spikes, g, ptr, offsets).astype(dtype)


def _rows_call(name, out, shape, tile):
    call = jax.ffi.ffi_call(target(name), out)
    return functools.partial(call, n_out=np.int64(shape[1]), tile=np.int64(tile))


def procedural_forward(spikes, weight, *, shape, tile, dtype, law):
    out = jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype)
    return _procedural_call(
        "ProceduralForward", out, law, spikes, weight, prob=np.float64(law.mean_prob())
    )


def procedural_spike_cotangent(weight, g, *, shape, tile, law):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    return _procedural_call("ProceduralSpikeCotangent", out, law, weight, g)


def procedural_weight_cotangent(spikes, g, *, shape, tile, dtype, law, homogeneous):
    out = jax.ShapeDtypeStruct(g.shape[:1], g.dtype)
    return _procedural_call("ProceduralWeightCotangent", out, law, spikes, g).astype(dtype)


def generated_forward(spikes, weight, *, shape, tile, dtype, law):
    out = jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype)
    operands = spikes, weight, law.quantiles.table
    prob = np.float64(law.graph.mean_prob())
    return _procedural_call("GeneratedForward", out, law.graph, *operands, prob=prob)


def generated_spike_cotangent(weight, g, *, shape, tile, law):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    operands = weight, g, law.quantiles.table
    return _procedural_call("GeneratedSpikeCotangent", out, law.graph, *operands)


def generated_weight_cotangent(spikes, g, *, shape, tile, dtype, law, homogeneous):
    out = jax.ShapeDtypeStruct((g.shape[0], 2), g.dtype)
    operands = spikes, g, law.quantiles.table
    return _procedural_call("GeneratedWeightCotangent", out, law.graph, *operands).astype(dtype)


def _procedural_call(name, out, law, *operands, **more):
    from .. import random

    # The tile has no meaning here; the draw wants one.
    arrays, attributes = random.native_arguments(law, random.whole(law), tile=1)
    arrays = [uneven(x.reshape(-1)) for x in arrays]
    return jax.ffi.ffi_call(target(name), out)(*operands, *arrays, **attributes, **more)


# Updates of weights are made in the buffer of the weights, where XLA can let them have it.


def _updating(name, weight):
    out = jax.ShapeDtypeStruct(weight.shape, weight.dtype)
    return jax.ffi.ffi_call(target(name), out, input_output_aliases={0: 0})


def _dense_update(weight, spikes, trace, limits, on_post, rule):
    attributes = dict(on_post=np.int64(on_post), soft=np.int64(rule == "soft"))
    return _updating("DenseUpdate", weight)(weight, spikes, trace, limits, **attributes)


def dense_update_on_pre(weight, spikes, trace, limits, *, shape, tile, rule):
    return _dense_update(weight, spikes, trace, limits, False, rule)


def dense_update_on_post(weight, spikes, trace, limits, *, shape, tile, rule):
    return _dense_update(weight, spikes, trace, limits, True, rule)


def rows_update_on_pre(weight, *operands, shape, tile, rule):
    attributes = dict(tile=np.int64(tile), soft=np.int64(rule == "soft"))
    return _updating("RowsUpdateOnPre", weight)(weight, *operands, **attributes)


def rows_update_on_post(weight, *operands, shape, tile, rule):
    attributes = dict(tile=np.int64(tile), soft=np.int64(rule == "soft"))
    return _updating("RowsUpdateOnPost", weight)(weight, *operands, **attributes)


def rows_touched(weight, spikes, trace, first, *graph, tile, chunk):
    """The next touched synapses from number ``first`` on: positions, weights, changes, and how many there are."""
    chunks = (*weight.shape[:-1], chunk)
    outs = (
        jax.ShapeDtypeStruct(chunks, "int32"),
        jax.ShapeDtypeStruct(chunks, trace.dtype),
        jax.ShapeDtypeStruct(chunks, trace.dtype),
        jax.ShapeDtypeStruct((), "int32"),
    )
    name = "RowsTouchedOnPre" if len(graph) == 2 else "RowsTouchedOnPost"
    call = jax.ffi.ffi_call(target(name), outs)
    return call(weight, spikes, trace, first, *graph, tile=np.int64(tile))


def replace(weight, position, value):
    """The weights at these positions replaced; position -1 is none."""
    return _updating("Replace", weight)(weight, position, value)
