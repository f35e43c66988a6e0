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

from .reference import accumulator

_HANDLERS = (
    "DenseForward",
    "DenseSpikeCotangent",
    "DenseWeightCotangent",
    "RowsForward",
    "RowsSpikeCotangent",
    "RowsWeightCotangent",
    "DrawCount",
    "DrawFill",
    "ProceduralForward",
    "ProceduralSpikeCotangent",
    "ProceduralWeightCotangent",
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
    if os.environ.get("EVENTOPS_NATIVE", "1") == "0":
        return None, "the environment variable EVENTOPS_NATIVE=0 turns the native library off"
    wish = os.environ.get("EVENTOPS_ISA")
    if wish not in (None, "plain", "avx2", "avx512"):
        raise ValueError(f"EVENTOPS_ISA={wish!r} must be plain, avx2 or avx512, or not set")
    paths = [pathlib.Path(folder) / "_native.so" for folder in eventops.__path__]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None, f"the native library was not built; {HOW_TO_BUILD}"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return None, f"the native library does not load ({error}); {HOW_TO_BUILD}"
    library.EventopsIsa.restype = ctypes.c_char_p
    for name in _HANDLERS:
        handler = jax.ffi.pycapsule(getattr(library, f"Eventops{name}"))
        jax.ffi.register_ffi_target(target(name), handler, platform="cpu")
    return library, None


def target(name: str) -> str:
    """The name that a handler is registered under."""
    return f"eventops_{name}"


def library() -> tuple[ctypes.CDLL | None, str | None]:
    """The native library, or the reason why there is none."""
    return _load()


def unavailable() -> str | None:
    """``None``, or the reason why the native library cannot be used."""
    return _load()[1]


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
    weights = g.shape[:1] if homogeneous else (g.shape[0], offsets.shape[0])
    out = jax.ShapeDtypeStruct(weights, g.dtype)
    call = _rows_call("RowsWeightCotangent", out, shape, tile)
    return call(spikes, g, ptr, offsets).astype(dtype)


def _rows_call(name, out, shape, tile):
    call = jax.ffi.ffi_call(target(name), out)
    return functools.partial(call, n_out=np.int64(shape[1]), tile=np.int64(tile))


def procedural_forward(spikes, weight, *, shape, tile, dtype, law):
    out = jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype)
    return _procedural_call(
        "ProceduralForward", out, law, spikes, weight, prob=np.float64(law.prob)
    )


def procedural_spike_cotangent(weight, g, *, shape, tile, law):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    return _procedural_call("ProceduralSpikeCotangent", out, law, weight, g)


def procedural_weight_cotangent(spikes, g, *, shape, tile, dtype, law, homogeneous):
    out = jax.ShapeDtypeStruct(g.shape[:1], g.dtype)
    return _procedural_call("ProceduralWeightCotangent", out, law, spikes, g).astype(dtype)


def _procedural_call(name, out, law, *operands, **more):
    from .. import random

    # The tile has no meaning here; the draw wants one.
    arrays, attributes = random.native_arguments(law, random.whole(law), tile=1)
    return jax.ffi.ffi_call(target(name), out)(*operands, *arrays, **attributes, **more)
