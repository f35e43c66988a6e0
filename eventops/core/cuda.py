"""CUDA as it is here: the driver, NVRTC, the sources of the kernels, and their handlers, registered with JAX."""

import ctypes
import functools
import importlib.util
import os
import pathlib

import jax
import jax.numpy as jnp

from . import loader

HANDLERS = (
    "DenseForward",
    "DenseSpikeCotangent",
    "DenseWeightCotangent",
    "RowsForward",
    "RowsSpikeCotangent",
    "RowsWeightCotangent",
    "ProceduralForward",
    "ProceduralSpikeCotangent",
    "ProceduralWeightCotangent",
    "DrawCount",
    "DrawFill",
    "RowsUpdateOnPre",
    "RowsUpdateOnPost",
    "DenseUpdate",
)
HOW_TO_INSTALL = 'pip install "eventops[cuda13]", or "eventops[cuda12]" for drivers of CUDA 12'


@functools.cache
def register() -> str | None:
    """Register the handlers with JAX, whether or not there is a GPU; else the reason why not."""
    library, reason = loader.library(), loader.unavailable()
    if library is None:
        return reason
    library.EventopsGpuProblem.restype = library.EventopsNvrtcProblem.restype = ctypes.c_char_p
    arguments = (str(sources()), "\n".join(nvrtc_paths()), str(_cache_folder() or ""))
    library.EventopsGpuSetup(*(os.fsencode(a) for a in arguments))
    for name in HANDLERS:
        handler = jax.ffi.pycapsule(getattr(library, f"EventopsGpu{name}"))
        jax.ffi.register_ffi_target(target(name), handler, platform="CUDA")
    return None


def sources() -> pathlib.Path:
    """Where the CUDA sources are."""
    return pathlib.Path(__file__).parent.parent / "csrc"


def target(name: str) -> str:
    """The name that a handler is registered under."""
    return f"eventops_gpu_{name}"


@functools.cache
def unavailable() -> str | None:
    """``None``, or the reason why there is no GPU that kernels can be compiled for and run on.

    Asks the driver and not JAX, which would reserve the GPU's memory.
    """
    reason = register()
    if reason is not None:
        return reason
    problem = loader.library().EventopsGpuProblem()
    if problem is not None:
        return problem.decode()
    if not _has_plugin():
        return f"JAX has no CUDA plugin here; {HOW_TO_INSTALL}"
    problem = loader.library().EventopsNvrtcProblem()
    return None if problem is None else problem.decode()


def _has_plugin() -> bool:
    """Whether JAX's plugin for NVIDIA GPUs is installed: jax_plugins.xla_cuda12 or a newer one."""
    spec = importlib.util.find_spec("jax_plugins")
    folders = [] if spec is None else spec.submodule_search_locations or []
    return any(any(pathlib.Path(folder).glob("xla_cuda*")) for folder in folders)


def is_default_device() -> bool:
    """Whether JAX puts new arrays on an NVIDIA GPU."""
    (device,) = jnp.zeros(()).devices()
    return device.platform == "gpu" and "cuda" in device.client.platform_version


def nvrtc_paths() -> list[str]:
    """Where NVRTC may be, in the order in which it is tried: the wheels that JAX installs, a toolkit, the loader's path."""
    found = []
    for package, name in (("cu13", "libnvrtc.so.13"), ("cuda_nvrtc", "libnvrtc.so.12")):
        try:
            spec = importlib.util.find_spec(f"nvidia.{package}")
        except ModuleNotFoundError:
            spec = None
        folders = [] if spec is None else spec.submodule_search_locations or []
        found += [os.path.join(folder, "lib", name) for folder in folders]
    toolkit = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    names = ("libnvrtc.so.13", "libnvrtc.so.12")
    found += [os.path.join(toolkit, "lib64", name) for name in names]
    return [path for path in found if os.path.exists(path)] + list(names)


def _cache_folder() -> pathlib.Path | None:
    """Where cubins are kept: a folder of their own in the user's cache, which the library makes for this user alone."""
    given = os.environ.get("EVENTOPS_CACHE")
    if given == "":
        return None
    try:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        folder = pathlib.Path(given or pathlib.Path(base) / "eventops")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder / "cubin"
