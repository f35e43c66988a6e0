"""The CUDA kernels: ``csrc/gpu/device/`` compiled at first use by NVRTC, called through XLA's FFI (see docs/gpu.md).

Backend ``gpu`` gives the same bits on every run: each output is summed in an order that depends on the operands'
shapes and values alone. ``gpu-atomics`` adds where the order does not matter to speed but to the last bits of the sums.
"""

import functools

import jax
import numpy as np

from ..core.constants import uneven
from ..core.cuda import target
from ..core.dtypes import accumulator
from ..graphs import cuda_drawing, drawing
from ..graphs.cuda_drawing import BLOCKS, PARTIAL_BYTES, bitmaps

# Inputs that one block compacts (csrc/shared/params.h).
_CHUNK = 8192
_MOST_SLICES = 32
_PIECES = 64


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
    most = min(_MOST_SLICES, PARTIAL_BYTES // max(1, bytes_each), n_events // 64)
    return max(1, min(most, BLOCKS // max(1, blocks)))


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
    n = BLOCKS * 2
    if not shared:
        n = max(1, min(BLOCKS, PARTIAL_BYTES // max(1, vectors * shape[1] * sums.itemsize)))
    n = max(1, min(n, shape[0]))
    results = [
        jax.ShapeDtypeStruct((*spikes.shape[:2], shape[1]), dtype),
        *_lists(n_weights, shape[0]),
        jax.ShapeDtypeStruct((1 if shared else n, vectors, shape[1]), sums),
        bitmaps(law, n * n_weights),
    ]
    return _procedural_call("Forward", results, law, spikes, weight, slices=n)[0]


def procedural_spike_cotangent(weight, g, *, shape, tile, law):
    out = jax.ShapeDtypeStruct((*g.shape[:2], shape[0]), accumulator(weight.dtype))
    blocks = max(1, min(4 * BLOCKS, shape[0]))
    results = [out, bitmaps(law, blocks)]
    return _procedural_call("SpikeCotangent", results, law, weight, g, blocks=blocks)[0]


def procedural_weight_cotangent(spikes, g, *, shape, tile, dtype, law, homogeneous):
    blocks = max(1, min(4 * BLOCKS, shape[0]))
    results = [
        jax.ShapeDtypeStruct(g.shape[:1], g.dtype),
        *_terms(spikes, g, homogeneous),
        bitmaps(law, blocks),
    ]
    call = _procedural_call("WeightCotangent", results, law, spikes, g, blocks=blocks)
    return call[0].astype(dtype)


def generated(*operands, **parameters):
    """Refused: the GPU generates no weights yet."""
    raise NotImplementedError(
        "eventops: the GPU generates no weights for storage='procedural'; use one weight for all synapses, "
        "storage='sparse', which holds the same weights, or backend='reference'"
    )


def _procedural_call(name, results, law, *operands, **more):
    arrays, attributes = _law(law)
    arrays = [uneven(x.reshape(-1)) for x in arrays]
    attributes |= {key: np.int64(value) for key, value in more.items()}
    call = jax.ffi.ffi_call(target(f"Procedural{name}"), results)
    return call(*operands, *arrays, **attributes)


def _law(law):
    """Arrays and attributes that describe a graph, and how wide the blocks are that draw it."""
    # The tile has no meaning here; the draw wants one.
    arrays, attributes = drawing.native_arguments(law, drawing.whole(law), tile=1)
    return arrays, attributes | dict(threads=cuda_drawing.threads(law))


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
