"""What NVRTC makes of the kernels, where cubins are kept, and how programs for a GPU are lowered: no GPU is needed."""

import ctypes
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import run_python

import eventops as nn
from eventops import backends
from eventops.core import cuda, loader

SOURCES = {
    "compact.cu": ("CountChunks", "Compact", "Combine", "Sum"),
    "dense.cu": (
        "DenseForward",
        "DenseForwardWide",
        "DenseGather",
        "DenseGatherWide",
        "DenseOuter",
    ),
    "rows.cu": (
        "RowsForward",
        "RowsForwardCount",
        "RowsScatter",
        "RowsScatterCount",
        "RowsGather",
        "RowsOuter",
    ),
    "update.cu": ("UpdateStored", "UpdateDenseRows", "UpdateDenseColumns"),
    "draw.cu": ("DrawCount", "DrawFill", "DrawUnsorted", "SortSegments"),
    "procedural.cu": ("ProceduralForward", "ProceduralForwardCount", "ProceduralGather"),
}
TYPES = (("float", "bool"), ("double", "double"), ("Float16", "float"), ("BFloat16", "bool"))


def compiled(source, types=("float", "bool"), arch="sm_90", ptx=False, cache=""):
    """The image, by the library's own way to NVRTC."""
    cuda.register()
    library = loader.library()
    library.EventopsGpuCompile.restype = ctypes.c_char_p
    library.EventopsGpuSetup(
        str(cuda.sources()).encode(), "\n".join(cuda.nvrtc_paths()).encode(), str(cache).encode()
    )
    image, size = ctypes.c_void_p(), ctypes.c_int64()
    names = (part.encode() for part in (source, *types, arch))
    problem = library.EventopsGpuCompile(*names, int(ptx), ctypes.byref(image), ctypes.byref(size))
    assert problem is None, problem.decode()
    return ctypes.string_at(image.value, size.value)


def reason() -> str | None:
    if loader.library() is None:
        return loader.unavailable()
    for path in cuda.nvrtc_paths():
        try:
            ctypes.CDLL(path)
            return None
        except OSError:
            pass
    return 'NVRTC is not installed: pip install -e ".[test-gpu]"'


nvrtc = pytest.mark.skipif(reason() is not None, reason=str(reason()))


@nvrtc
@pytest.mark.parametrize("source", SOURCES)
def test_ptx(source):
    """For an old device and a new one, and every type of weights."""
    drawn = source in (
        "draw.cu",
        "procedural.cu",
    )  # take seconds each, and hardly depend on the weights' type
    for k, types in enumerate(TYPES[:2] if drawn else TYPES):
        arch = ("sm_80", "sm_90")[k % 2]
        text = compiled(source, types, arch, ptx=True).decode()
        entries = re.findall(r"\.entry (\w+)", text)
        assert sorted(entries) == sorted(SOURCES[source])
        assert f".target {arch}" in text
        bodies = dict(zip(entries, text.split(".entry ")[1:]))
        assert not re.search(r"\.local\b", text)  # no array in local memory, which is device memory
        real = "f64" if types[0] == "double" else "f32"
        if source == "compact.cu" and types[1] == "bool":
            assert "ld.global.nc.v4" in bodies["Compact"]
        for name in ("DenseForward", "DenseGather"):
            if source == "dense.cu":
                assert "ld.global.nc.v4" in bodies[name + "Wide"]
        if source == "dense.cu":
            assert re.search(rf"(atom|red)\.global\.add\.{real}", bodies["DenseForward"])
        if source == "rows.cu":
            assert re.search(rf"(atom|red)\.global\.add\.{real}", bodies["RowsScatter"])
            assert re.search(r"(atom|red)\.global\.add\.u32", bodies["RowsScatterCount"])
            assert re.search(r"(atom|red)\.shared\.add\.u32", bodies["RowsForwardCount"])
            assert not re.search(r"\b(atom|red)\.", bodies["RowsForward"])  # one order, no race
        if source == "update.cu":
            assert not re.search(r"\b(atom|red)\.", text)  # each weight is one thread's
        if source == "procedural.cu":
            assert re.search(rf"(atom|red)(\.global)?\.add\.{real}", bodies["ProceduralForward"])
            assert re.search(r"(atom|red)(\.global)?\.add\.u32", bodies["ProceduralForwardCount"])
        assert not re.search(r"atom\.\S*cas", text)


@nvrtc
@pytest.mark.parametrize("source", SOURCES)
def test_machine_code_spills_nothing(source):
    image = compiled(source, ("float", "float"), "sm_90")
    assert image.startswith(b"\x7fELF") and b".nv.local" not in image


@nvrtc
def test_cubins_are_kept_for_us_alone(tmp_path):
    folder = tmp_path / "cubin"
    first = compiled("compact.cu", cache=folder)
    (kept,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700 and kept.stat().st_mode & 0o777 == 0o600
    stamp = kept.stat().st_mtime_ns
    assert compiled("compact.cu", cache=folder) == first and kept.stat().st_mtime_ns == stamp
    # A file that was changed, cut, replaced by a link, or may be written by others is made again.
    good = kept.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(good)
    for spoil in (
        lambda: kept.write_bytes(good[:-1] + bytes([good[-1] ^ 1])),
        lambda: kept.write_bytes(good[: len(good) // 2]),
        lambda: (kept.unlink(), kept.symlink_to(other)),
        lambda: kept.chmod(0o666),
    ):
        spoil()
        assert compiled("compact.cu", cache=folder) == first
        assert kept.read_bytes() == good and not kept.is_symlink()
        assert kept.stat().st_mode & 0o777 == 0o600
    # So is a folder that others can write to: it is not used at all.
    kept.unlink()
    folder.chmod(0o777)
    assert compiled("compact.cu", cache=folder) == first
    assert list(folder.iterdir()) == []


@nvrtc
def test_the_message_of_a_failure():
    with pytest.raises(AssertionError, match="NVRTC .* fails on compact.cu .*sm_10.*pip install"):
        compiled("compact.cu", arch="sm_10")


WITHOUT = """
import ctypes
import eventops
from eventops.core import cuda, loader
cuda.nvrtc_paths = lambda: ["/nowhere/libnvrtc.so"]
cuda.register()
library = loader.library()
library.EventopsGpuCompile.restype = ctypes.c_char_p
image, size = ctypes.c_char_p(), ctypes.c_int64()
print(library.EventopsGpuCompile(b"rows.cu", b"float", b"bool", b"sm_90", 0, ctypes.byref(image), ctypes.byref(size)).decode())
"""


@pytest.mark.skipif(loader.unavailable() is not None, reason=str(loader.unavailable()))
def test_without_nvrtc():
    done = run_python(WITHOUT)
    assert (
        "NVRTC was not found" in done.stdout and 'pip install "eventops[cuda13]"' in done.stdout
    ), done


def lowered(f, *args, platform="cuda"):
    return jax.jit(f).trace(*args).lower(lowering_platforms=(platform,)).as_text()


OPERATORS = {
    "Dense": lambda backend: nn.EventLinear(8, 6, np.ones((8, 6), np.float32), backend=backend),
    "Rows": lambda backend: nn.EventFixedNumConn(8, 6, 2, 0.5, backend=backend),
    "Procedural": lambda backend: nn.EventFixedNumConn(
        8, 6, 2, 0.5, storage="procedural", backend=backend
    ),
}


@pytest.mark.skipif(loader.unavailable() is not None, reason=str(loader.unavailable()))
@pytest.mark.parametrize("kind", OPERATORS)
def test_lowering_for_a_gpu(kind):
    """The default on an NVIDIA device is this backend, wherever the program was traced."""
    op = OPERATORS[kind](None)
    spikes = jnp.ones((3, 8), jnp.float32)

    def step(w, s):
        return jnp.sum(op.with_weight(w)(s) ** 2)

    text = lowered(jax.grad(step, argnums=(0, 1)), op.weight, spikes)
    for product in ("Forward", "SpikeCotangent", "WeightCotangent"):
        assert f"@eventops_gpu_{kind}{product}" in text
    assert "while" not in text  # no loop over events
    on_cpu = lowered(step, op.weight, spikes, platform="cpu")
    assert f"@eventops_{kind}Forward" in on_cpu and "eventops_gpu" not in on_cpu


@pytest.mark.skipif(loader.unavailable() is not None, reason=str(loader.unavailable()))
@pytest.mark.parametrize("kind", ("Dense", "Rows"))
def test_lowering_of_updates_for_a_gpu(kind):
    """The default on an NVIDIA device is the kernel, in the buffer of the weights."""
    op = nn.EventLinear(8, 6, 0.5) if kind == "Dense" else OPERATORS["Rows"](None).with_columns()
    weight = jnp.ones((8, 6) if kind == "Dense" else op.n_synapses)
    for side, firing, others in (("pre", 8, 6), ("post", 6, 8)):
        update = getattr(op, f"update_on_{side}")
        operands = weight, jnp.ones(firing, bool), jnp.ones(others)
        text = lowered(update, *operands)
        name = "DenseUpdate" if kind == "Dense" else f"RowsUpdateOn{side.title()}"
        assert f"@eventops_gpu_{name}" in text and "output_operand_alias" in text
        assert "eventops_gpu" not in lowered(update, *operands, platform="cpu")


def test_a_named_backend_runs_or_raises(monkeypatch):
    monkeypatch.setattr(cuda, "unavailable", lambda: None)
    for backend, platform, says in (
        ("gpu", "cpu", "runs on NVIDIA GPUs only"),
        ("gpu-atomics", "cpu", "runs on NVIDIA GPUs only"),
        ("cpu", "cuda", "runs on CPU devices only"),
    ):
        if backend == "cpu" and loader.unavailable() is not None:
            continue
        op = OPERATORS["Rows"](backend)
        with pytest.raises(NotImplementedError, match=says):
            lowered(op, jnp.ones(8, jnp.float32), platform=platform)


def test_construction_says_why_there_is_none():
    why = backends.available()["gpu"]
    if why is None:
        pytest.skip("there is a GPU")
    for backend in ("gpu", "gpu-atomics"):
        with pytest.raises(RuntimeError, match=f"EventLinear: backend '{backend}' cannot run here"):
            nn.EventLinear(2, 2, 1.0, backend=backend)
