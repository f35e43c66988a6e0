"""The ``gpu`` backend without a GPU: its own sources, built for the host (see ``emulation/emulated.h``)."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess

import jax

from eventops.backends import PLATFORMS
from eventops.core import cuda
from eventops.primitives import products

HERE = pathlib.Path(__file__).parents[1] / "emulation"
SOURCES = cuda.sources()
FLAGS = (
    "-std=c++17 -shared -fPIC -fno-gnu-unique -U_FORTIFY_SOURCE -ffp-contract=off -Wno-unknown-pragmas"
).split()
# Types of weights and spikes that the tests use, out of four times two.
TYPES = (
    ("float", "bool"),
    ("float", "float"),
    ("double", "double"),
    ("Float16", "bool"),
    ("BFloat16", "float"),
)


def compiler() -> str | None:
    """The C++ compiler, or None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


@functools.cache
def build(cache: pathlib.Path) -> ctypes.CDLL:
    """The products with emulated kernels; built once for the same sources."""
    files = sorted([*HERE.iterdir(), *SOURCES.rglob("*")])
    digest = hashlib.sha256(jax.__version__.encode())
    for file in files:
        if file.is_file():
            digest.update(file.read_bytes())
    folder = cache / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        include = [f"-I{place}" for place in (HERE, SOURCES)]
        command = [compiler(), *FLAGS, *include]
        jobs = [
            ["-O1", f"-DEVENTOPS_W={w}", f"-DEVENTOPS_S={s}", "kernels.cc", f"kernels-{w}-{s}.so"]
            for w, s in TYPES
        ]
        jobs.append(["-O0", "-isystem", jax.ffi.include_dir(), "launch.cc", "launch.so"])
        running = []
        for *options, source, name in jobs:
            if not (folder / name).exists():
                made = folder / f"{name}.new"
                line = [*command, *options, HERE / source, "-o", made, "-ldl"]
                running.append((subprocess.Popen(line), made, folder / name))
        for process, made, final in running:
            assert process.wait() == 0, final
            made.rename(final)
    library = ctypes.CDLL(str(folder / "launch.so"))
    library.EmulationSetup(str(folder).encode())
    library.EmulationLaunches.restype = ctypes.c_int64
    for name in cuda.HANDLERS:
        handler = jax.ffi.pycapsule(getattr(library, f"EventopsGpu{name}"))
        jax.ffi.register_ffi_target(cuda.target(name), handler, platform="cpu")
    return library


@contextlib.contextmanager
def emulated(monkeypatch):
    """Operators with backend "gpu" or "gpu-atomics" run, emulated, on the CPU."""
    monkeypatch.setitem(PLATFORMS, "gpu", ("cpu",))
    monkeypatch.setitem(PLATFORMS, "gpu-atomics", ("cpu",))
    monkeypatch.setattr(cuda, "unavailable", lambda: None)
    products._compiled.cache_clear()
    yield
    products._compiled.cache_clear()
