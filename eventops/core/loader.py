"""The native library: ``csrc/`` built into one file, whose handlers are called through XLA's FFI."""

import ctypes
import functools
import os
import pathlib
import sys
import threading
import warnings

import jax

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
    paths = [pathlib.Path(folder) / "_native.so" for folder in _folders()]
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


def _folders() -> list[str]:
    """Where the package is: an editable install has the library in another folder than the sources."""
    return list(sys.modules[__name__.partition(".")[0]].__path__)


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


def run_on_cpu(name, outs, *args, **attributes):
    """The results of a native handler, compiled once for graphs of the same sizes, whatever their seeds."""
    program = _program(name, outs, tuple(attributes.items()))
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        return program(*args)


@functools.lru_cache(maxsize=64)
def _program(name, outs, attributes):
    call = jax.ffi.ffi_call(target(name), outs)
    return jax.jit(lambda *args: call(*args, **dict(attributes)))
