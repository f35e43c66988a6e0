"""The native CPU kernels: ``csrc/`` built into one library, called through XLA's FFI."""

import functools

import jax
import numpy as np

from ..core.constants import uneven
from ..core.dtypes import accumulator
from ..core.loader import target
from ..graphs import drawing


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
    # The tile has no meaning here; the draw wants one.
    arrays, attributes = drawing.native_arguments(law, drawing.whole(law), tile=1)
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
