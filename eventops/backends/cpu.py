"""The native CPU kernels: ``csrc/`` built into one library, called through XLA's FFI."""

import ctypes
import functools
import os
import pathlib
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np

import eventops

from .reference import accumulator

_HANDLERS = (
    "DenseForward",
    "RowsForward",
    "RowsSpikeCotangent",
    "RowsWeightCotangent",
    "DrawCount",
    "DrawFill",
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
        f"eventops computes with the slow 'reference' backend on CPU: {unavailable()}", stacklevel=2
    )


def dense_forward(spikes, weight, *, shape, tile):
    out = jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), accumulator(weight.dtype))
    return jax.ffi.ffi_call(target("DenseForward"), out)(spikes, weight)


def rows_forward(spikes, weight, ptr, offsets, *, shape, tile):
    out = jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), accumulator(weight.dtype))
    return _rows_call("RowsForward", out, shape, tile)(spikes, weight, ptr, offsets)


def rows_spike_cotangent(weight, g, ptr, offsets, *, shape, tile):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    return _rows_call("RowsSpikeCotangent", out, shape, tile)(weight, g, ptr, offsets)


def rows_weight_cotangent(spikes, g, ptr, offsets, *, shape, tile, homogeneous):
    weights = g.shape[:1] if homogeneous else (g.shape[0], offsets.shape[0])
    out = jax.ShapeDtypeStruct(weights, jnp.result_type(g))
    return _rows_call("RowsWeightCotangent", out, shape, tile)(spikes, g, ptr, offsets)


def _rows_call(name, out, shape, tile):
    call = jax.ffi.ffi_call(target(name), out)
    return functools.partial(call, n_out=np.int64(shape[1]), tile=np.int64(tile))
