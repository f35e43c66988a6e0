"""What is said where the driver or NVRTC is missing, too old or broken: with made-up ones, so no GPU is needed."""

import pathlib
import re
import subprocess
import sys

import pytest
from support import gpu_emulation
from support.cases import run_python

from eventops.core import cuda, loader

pytestmark = [
    pytest.mark.skipif(loader.unavailable() is not None, reason=str(loader.unavailable())),
    pytest.mark.skipif(gpu_emulation.compiler() is None, reason="needs a C++ compiler"),
]
SYMBOLS = (
    "cuStreamGetCtx cuCtxPushCurrent_v2 cuCtxPopCurrent_v2 cuCtxGetDevice cuDeviceGetAttribute cuModuleLoadData "
    "cuModuleGetFunction cuFuncSetAttribute cuLaunchKernel cuMemsetD32Async cuThreadExchangeStreamCaptureMode"
).split()
NVRTC_SYMBOLS = (
    "CreateProgram CompileProgram DestroyProgram GetProgramLogSize GetProgramLog GetPTXSize GetPTX GetCUBINSize GetCUBIN "
    "GetErrorString"
).split()


def driver(version=12080, init=0, count=1, symbols=SYMBOLS) -> str:
    """A libcuda that answers like this."""
    functions = [
        f"int cuInit(unsigned) {{ return {init}; }}",
        f"int cuDriverGetVersion(int* v) {{ *v = {version}; return 0; }}",
        f"int cuDeviceGetCount(int* n) {{ *n = {count}; return 0; }}",
        'int cuGetErrorName(int, const char** s) { *s = "CUDA_ERROR_SYSTEM_NOT_READY"; return 0; }',
        'int cuGetErrorString(int, const char** s) { *s = "system not yet initialized"; return 0; }',
        *(f"int {name}() {{ return 1; }}" for name in symbols),
    ]
    return 'extern "C" {' + "\n".join(functions) + "}"


def nvrtc(major, minor=0, symbols=NVRTC_SYMBOLS) -> str:
    functions = [f"int nvrtcVersion(int* a, int* b) {{ *a = {major}; *b = {minor}; return 0; }}"]
    functions += [f"int nvrtc{name}() {{ return 1; }}" for name in symbols]
    return 'extern "C" {' + "\n".join(functions) + "}"


def build(source: str, path: pathlib.Path) -> pathlib.Path:
    command = [gpu_emulation.compiler(), "-shared", "-fPIC", "-x", "c++", "-", "-o", str(path)]
    subprocess.run(command, input=source.encode(), check=True)
    return path


# Neither JAX nor eventops is imported: the library stands for itself.
ASK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.EventopsGpuSetup(b"", sys.argv[2].encode(), b"")
ask = getattr(library, sys.argv[3])
ask.restype = ctypes.c_char_p
print((ask() or b"nothing").decode())
"""


def answer(folder, question="EventopsGpuProblem", nvrtc_paths=()) -> str:
    arguments = [loader.library()._name, "\n".join(map(str, nvrtc_paths)), question]
    done = subprocess.run(
        [sys.executable, "-S", "-c", ASK, *arguments],
        capture_output=True,
        text=True,
        env={"LD_LIBRARY_PATH": str(folder)},
        check=True,
    )
    return done.stdout.strip()


DRIVERS = {
    "too old": (driver(version=11080), "too old.*CUDA 11.8.*install one of version 525 or newer"),
    "lacks functions": (
        driver(symbols=SYMBOLS[1:]),
        "too old.*12.8, but lacks functions of it.*version 525",
    ),
    "does not start": (
        driver(init=802),
        "does not start: cuInit fails with CUDA_ERROR_SYSTEM_NOT_READY",
    ),
    "no device": (driver(count=0), "finds no GPU"),
    "good": (driver(), "^nothing$"),
}


@pytest.mark.parametrize("kind", DRIVERS)
def test_drivers(tmp_path, kind):
    source, says = DRIVERS[kind]
    build(source, tmp_path / "libcuda.so.1")
    assert re.search(says, answer(tmp_path))


NVRTCS = {
    "none": ([], "NVRTC was not found.*pip install"),
    "too old": ([nvrtc(11, 8)], "is of CUDA 11, and 12 is needed.*pip install"),
    "newer than the driver": ([nvrtc(13)], "newer than the driver's 12.*pip install"),
    "no NVRTC": ([nvrtc(12, symbols=NVRTC_SYMBOLS[1:])], "lacks functions of NVRTC.*pip install"),
    "the second serves": ([nvrtc(13), nvrtc(12, 9)], "^nothing$"),
}


@pytest.mark.parametrize("kind", NVRTCS)
def test_nvrtcs(tmp_path, kind):
    """With a driver of CUDA 12."""
    sources, says = NVRTCS[kind]
    build(driver(), tmp_path / "libcuda.so.1")
    paths = [build(source, tmp_path / f"nvrtc{k}.so") for k, source in enumerate(sources)]
    assert re.search(says, answer(tmp_path, "EventopsNvrtcProblem", paths))


CALL = """
import eventops as nn
from eventops.core import cuda
for has_plugin in (False, True):
    cuda._has_plugin = lambda: has_plugin
    cuda.unavailable.cache_clear()
    try:
        nn.EventLinear(2, 2, 1.0, backend="gpu")
    except RuntimeError as error:
        print(error)
"""


def test_the_call_says_what_to_install(tmp_path):
    """Where there is a driver, but no plugin of JAX, or no NVRTC for it; nothing else takes over."""
    build(driver(version=12000), tmp_path / "libcuda.so.1")
    old = build(nvrtc(11), tmp_path / "libnvrtc.so.12")
    (tmp_path / "lib64").mkdir()
    old.rename(tmp_path / "lib64" / old.name)
    hidden = "from eventops.core import cuda; import importlib.util as u; find = u.find_spec\n"
    hidden += (
        "u.find_spec = lambda name, *a: None if name.startswith('nvidia') else find(name, *a)\n"
    )
    done = run_python(hidden + CALL, LD_LIBRARY_PATH=str(tmp_path), CUDA_HOME=str(tmp_path))
    plugin, compiler = done.stdout.strip().splitlines()
    for text in (plugin, compiler):
        assert text.startswith("EventLinear: backend 'gpu' cannot run here: "), done
        assert f"{cuda.HOW_TO_INSTALL.split(',')[0]}" in text
    assert "JAX has no CUDA plugin" in plugin
    assert "NVRTC was not found" in compiler and "is of CUDA 11" in compiler
