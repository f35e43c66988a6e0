"""The CUDA kernels: ``csrc/cuda/`` compiled at first use by NVRTC, called through XLA's FFI (see docs/gpu.md).

Backend ``gpu`` gives the same bits on every run: each output is summed in an order that depends on the operands'
shapes and values alone. ``gpu-atomics`` adds where the order does not matter to speed but to the last bits of the sums.
"""

import ctypes
import functools
import importlib.util
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from ..constants import uneven
from . import cpu
from .reference import accumulator

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

# Inputs that one block compacts (csrc/cuda/params.h); bitmaps that fit shared memory (csrc/gpu_lines.h).
_CHUNK = 8192
_BITMAP_BYTES = 16 << 10
# Enough blocks to fill the largest device; partial sums take at most so many bytes.
_BLOCKS = 512
_MOST_SLICES = 32
_PARTIAL_BYTES = 64 << 20
_PIECES = 64


@functools.cache
def register() -> str | None:
    """Register the handlers with JAX, whether or not there is a GPU; else the reason why not."""
    library, reason = cpu.library(), cpu.unavailable()
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
    problem = cpu.library().EventopsGpuProblem()
    if problem is not None:
        return problem.decode()
    if not _has_plugin():
        return f"JAX has no CUDA plugin here; {HOW_TO_INSTALL}"
    problem = cpu.library().EventopsNvrtcProblem()
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


def slices(blocks: int, bytes_each: int, n_events: int) -> int:
    """In how many parts the events are cut whose sums are added up afterwards.

    Parameters
    ----------
    blocks : int
        Of each part.
    bytes_each : int
        The partial sums of each part.
    n_events : int
        At most; a part of a few events is not worth its sums.
    """
    most = min(_MOST_SLICES, _PARTIAL_BYTES // max(1, bytes_each), n_events // 64)
    return max(1, min(most, _BLOCKS // max(1, blocks)))


def _lists(n_lists: int, n: int) -> list[jax.ShapeDtypeStruct]:
    """Buffers of the lists of events: counts and indices."""
    chunks = max(1, -(-n // _CHUNK))
    return [
        jax.ShapeDtypeStruct((n_lists, chunks + 1), np.int32),
        jax.ShapeDtypeStruct((n_lists, n), np.int32),
    ]


def dense_forward(spikes, weight, *, shape, tile, dtype, atomics=False):
    sums = accumulator(weight.dtype)
    vectors = spikes.shape[0] * spikes.shape[1]
    columns = 32 * 16 // weight.dtype.itemsize
    n_bytes = vectors * shape[1] * sums.itemsize
    n = slices(vectors * -(-shape[1] // columns), n_bytes, shape[0])
    results = [
        jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype),
        *_lists(vectors, shape[0]),
        jax.ShapeDtypeStruct((0 if n == 1 else n, vectors, shape[1]), sums),
    ]
    call = jax.ffi.ffi_call(target("DenseForward"), results)
    return call(spikes, weight, slices=np.int64(n), atomics=np.int64(atomics))[0]


def dense_spike_cotangent(weight, g, *, shape, tile):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    return jax.ffi.ffi_call(target("DenseSpikeCotangent"), out)(weight, g)


def dense_weight_cotangent(spikes, g, *, shape, tile, dtype, homogeneous):
    out = jax.ShapeDtypeStruct((g.shape[0], *shape), dtype)
    return jax.ffi.ffi_call(target("DenseWeightCotangent"), out)(spikes, g)


def rows_forward(spikes, weight, ptr, offsets, *, shape, tile, dtype, atomics=False):
    sums = accumulator(weight.dtype)
    vectors = spikes.shape[0] * spikes.shape[1]
    n = slices(vectors * -(-shape[1] // 16384), vectors * shape[1] * sums.itemsize, shape[0])
    results = [
        jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype),
        *_lists(vectors, shape[0]),
        jax.ShapeDtypeStruct((n, vectors, shape[1]), sums),
    ]
    call = _rows_call("RowsForward", results, shape, tile)
    more = dict(slices=np.int64(n), atomics=np.int64(atomics))
    return call(spikes, weight, ptr, offsets, **more)[0]


def rows_spike_cotangent(weight, g, ptr, offsets, *, shape, tile):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    return _rows_call("RowsSpikeCotangent", out, shape, tile)(weight, g, ptr, offsets)


def rows_weight_cotangent(spikes, g, ptr, offsets, *, shape, tile, dtype, homogeneous):
    weights = g.shape[:1] if homogeneous else (g.shape[0], offsets.shape[-1])
    results = [jax.ShapeDtypeStruct(weights, g.dtype), *_terms(spikes, g, homogeneous)]
    call = _rows_call("RowsWeightCotangent", results, shape, tile)
    return call(spikes, g, ptr, offsets)[0].astype(dtype)


def _terms(spikes, g, homogeneous) -> list[jax.ShapeDtypeStruct]:
    """Buffers for the cotangent of one common weight: a term of each input, and sums of many of them."""
    if not homogeneous:
        return [jax.ShapeDtypeStruct((0,), g.dtype)] * 2
    pieces = (g.shape[0], _PIECES)
    return [jax.ShapeDtypeStruct(spikes.shape, g.dtype), jax.ShapeDtypeStruct(pieces, g.dtype)]


def _rows_call(name, results, shape, tile):
    call = jax.ffi.ffi_call(target(name), results)
    return functools.partial(call, n_out=np.int64(shape[1]), tile=np.int64(tile))


def procedural_forward(spikes, weight, *, shape, tile, dtype, law, atomics=False):
    sums = accumulator(weight.dtype)
    n_weights, n_batch = spikes.shape[:2]
    vectors = n_weights * n_batch
    # Events are counted where all are 1, and added to one output by all blocks; so are sums whose order is free.
    shared = atomics or spikes.dtype == np.bool_
    n = _BLOCKS * 2
    if not shared:
        n = max(1, min(_BLOCKS, _PARTIAL_BYTES // max(1, vectors * shape[1] * sums.itemsize)))
    n = max(1, min(n, shape[0]))
    results = [
        jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype),
        *_lists(n_weights, shape[0]),
        jax.ShapeDtypeStruct((1 if shared else n, vectors, shape[1]), sums),
        _bitmaps(law, n * n_weights),
    ]
    return _procedural_call("Forward", results, law, spikes, weight, slices=n)[0]


def procedural_spike_cotangent(weight, g, *, shape, tile, law):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    blocks = max(1, min(4 * _BLOCKS, shape[0]))
    results = [out, _bitmaps(law, blocks)]
    return _procedural_call("SpikeCotangent", results, law, weight, g, blocks=blocks)[0]


def procedural_weight_cotangent(spikes, g, *, shape, tile, dtype, law, homogeneous):
    blocks = max(1, min(4 * _BLOCKS, shape[0]))
    results = [
        jax.ShapeDtypeStruct(g.shape[:1], g.dtype),
        *_terms(spikes, g, homogeneous),
        _bitmaps(law, blocks),
    ]
    call = _procedural_call("WeightCotangent", results, law, spikes, g, blocks=blocks)
    return call[0].astype(dtype)


def generated(*operands, **parameters):
    """Refused: the GPU generates no weights yet."""
    raise NotImplementedError(
        "eventops: the GPU generates no weights for storage='procedural'; use one weight for all synapses, "
        "storage='sparse', which holds the same weights, or backend='reference'"
    )


def _candidates(law) -> int:
    """How many neurons of the other side a line chooses from without repeats, and so marks those taken."""
    from .. import random

    if law.allow_multi or law.rule in (random.BERNOULLI, random.DISTANCE):
        return 0
    if law.rule == random.FIXED_PRE:
        return law.n_in if law.n_selected == -1 else law.n_selected
    return law.n_out


def _bitmaps(law, blocks: int) -> jax.ShapeDtypeStruct:
    """Bits for the partners of a line that are taken; some rules need none."""
    return _bitmap(_candidates(law), blocks)


def _bitmap(n: int, blocks: int) -> jax.ShapeDtypeStruct:
    """A bit for each of n neurons, for each block, where that is too much for shared memory."""
    words = -(-n // 32)
    shape = (0,) if words * 4 <= _BITMAP_BYTES else (blocks, words)
    return jax.ShapeDtypeStruct(shape, np.uint32)


def _procedural_call(name, results, law, *operands, **more):
    arrays, attributes = _law(law, tile=1)  # which has no meaning here; the draw wants one
    arrays = [uneven(x.reshape(-1)) for x in arrays]
    attributes |= {key: np.int64(value) for key, value in more.items()}
    call = jax.ffi.ffi_call(target(f"Procedural{name}"), results)
    return call(*operands, *arrays, **attributes)


def _law(law, tile):
    """Arrays and attributes that describe a graph, and how wide the blocks are that draw it."""
    from .. import lattice, random

    arrays, attributes = random.native_arguments(law, random.whole(law), tile=tile)
    # A thread draws two or four numbers at once: blocks as wide as a line, or a level of a lattice, is long.
    n_lines, n_levels = law.n_out if law.rule == random.FIXED_PRE else law.n_in, 1
    if law.rule == random.DISTANCE:
        levels = lattice.levels(law.lattice)
        n_levels = max(1, levels.exponent.size // max(1, levels.classes.size - 1))
    length = law.expected_synapses() / n_lines / n_levels
    return arrays, attributes | dict(threads=np.int64(min(256, max(32, 32 * int(length // 128)))))


def draw(law, tile: int, n_tiles: int):
    """Row pointers of a graph, and the function of their last one that draws the offsets."""
    from .. import random

    by_post = law.rule == random.FIXED_PRE
    words = -(-max(law.n_out, _candidates(law)) // 32)
    blocks = min(4 * _BLOCKS, law.n_out if by_post else law.n_in, _PARTIAL_BYTES // (4 * words))
    blocks = max(1, blocks)
    arrays, attributes = _law(law, tile)
    attributes |= dict(blocks=np.int64(blocks))

    def run(name, results, *more):
        def call(*args):
            return jax.ffi.ffi_call(target(name), results)(*args, **attributes)[0]

        with jax.disable_jit(False):
            return jax.jit(call)(*arrays, *more)

    counts = jax.ShapeDtypeStruct((law.n_in * n_tiles,), np.int32)
    bits = _bitmaps(law, blocks)
    ptr = run("DrawCount", [counts, bits])
    ptr = jnp.concatenate([jnp.zeros(1, np.int32), jnp.cumsum(ptr, dtype=np.int32)])

    def fill(length):
        """Posts that are lines are put into their rows in any order first; repeats cannot be sorted there."""
        offsets = jax.ShapeDtypeStruct((length,), np.uint16)
        nothing = jax.ShapeDtypeStruct((0,), np.uint16)
        results = [offsets, bits, _bitmap(0 if by_post else law.n_out, blocks)]
        results += [counts if by_post else jax.ShapeDtypeStruct((0,), np.int32)]
        results += [offsets if by_post and law.allow_multi else nothing]
        return run("DrawFill", results, ptr)

    return ptr, fill


# Updates of weights are made in the buffer of the weights, which the result is given.


def _updating(name, weight, spikes, *operands, **attributes):
    n_sets = spikes.shape[0] if spikes.ndim == 2 else 1
    results = [jax.ShapeDtypeStruct(weight.shape, weight.dtype), *_lists(n_sets, spikes.shape[-1])]
    call = jax.ffi.ffi_call(target(name), results, input_output_aliases={0: 0})
    attributes = {key: np.int64(value) for key, value in attributes.items()}
    return call(weight, spikes, *operands, **attributes)[0]


def dense_update_on_pre(*operands, shape, tile, rule):
    return _updating("DenseUpdate", *operands, on_post=False, soft=rule == "soft")


def dense_update_on_post(*operands, shape, tile, rule):
    return _updating("DenseUpdate", *operands, on_post=True, soft=rule == "soft")


def rows_update_on_pre(*operands, shape, tile, rule):
    return _updating("RowsUpdateOnPre", *operands, tile=tile, soft=rule == "soft")


def rows_update_on_post(*operands, shape, tile, rule):
    return _updating("RowsUpdateOnPost", *operands, tile=tile, soft=rule == "soft")
