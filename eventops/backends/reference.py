"""The products in plain ``jax.numpy``, on any device: the specification of every other backend.

Shapes: spikes ``(V, B, n_in)`` of bool or the accumulator's dtype, output cotangents ``g`` ``(V, B, n_out)``,
weights ``(V, n_in, n_out)`` for ``dense``, ``(V,)`` for ``uniform``, and ``(V,)`` (homogeneous) or
``(V, n_synapses)`` for ``rows``.
V counts weight sets, B the vectors that share one. Sums are made in the accumulator's dtype; ``dtype`` is that of
the result.
"""

import jax
import jax.numpy as jnp

from ..core.dtypes import accumulator
from ..core.placement import apart
from ..graphs import drawing
from ..rows.csr import Rows


def combine(parameters, standard, dtype):
    """Generated weights ``location + scale * standard``, rounded as a kernel rounds them.

    Parameters
    ----------
    parameters : array, shape (..., 2)
        Location and scale.
    standard : array of float32, shape (n_synapses,)
    dtype : dtype

    Returns
    -------
    array, shape (..., n_synapses)
    """
    wide = accumulator(dtype)
    location, scale = (parameters[..., k : k + 1].astype(wide) for k in (0, 1))
    standard = standard.astype(wide).reshape(*[1] * (location.ndim - 1), -1)
    return _twice_rounded(location, scale, standard).astype(dtype)


@jax.custom_jvp
def _twice_rounded(location, scale, standard):
    """``location + scale * standard`` without a fused multiply-add, which would round once.

    Compilers fuse across ``optimization_barrier`` and ``reduce_precision``, but not across a choice.
    """
    product = scale * standard
    # Where the product is nan, so is ``scale - scale``; a nan of our own would be one to jax_debug_nans.
    return location + jnp.where(jnp.isnan(product), scale - scale, product)


@_twice_rounded.defjvp
def _twice_rounded_jvp(primals, tangents):
    (_, scale, standard), (dlocation, dscale, dstandard) = primals, tangents
    return _twice_rounded(*primals), dlocation + dscale * standard + scale * dstandard


def _times(spikes, factor):
    """``spikes * factor`` where there is a spike, 0 elsewhere: silence times nan is silence."""
    value = spikes.astype(factor.dtype)
    return jnp.where(
        spikes != jnp.zeros((), spikes.dtype), value * factor, jnp.zeros((), factor.dtype)
    )


def dense_forward(spikes, weight, *, shape, tile, dtype):
    weight = weight.astype(accumulator(weight.dtype))
    return jnp.sum(_times(spikes[:, :, :, None], weight[:, None, :, :]), axis=2).astype(dtype)


def dense_spike_cotangent(weight, g, *, shape, tile):
    return jnp.einsum(
        "vij,vbj->vbi", weight.astype(g.dtype), g, precision=jax.lax.Precision.HIGHEST
    )


def dense_weight_cotangent(spikes, g, *, shape, tile, dtype, homogeneous):
    return jnp.sum(_times(spikes[:, :, :, None], g[:, :, None, :]), axis=1).astype(dtype)


def uniform_forward(spikes, weight, *, shape, tile, dtype):
    weight = weight.astype(accumulator(weight.dtype))[:, None, None]
    total = jnp.sum(_times(spikes, weight), axis=2, keepdims=True)
    return jnp.broadcast_to(total.astype(dtype), (*spikes.shape[:2], shape[1]))


def uniform_spike_cotangent(weight, g, *, shape, tile):
    total = jnp.sum(g, axis=2, keepdims=True) * weight.astype(g.dtype)[:, None, None]
    return jnp.broadcast_to(total, (*g.shape[:2], shape[0]))


def uniform_weight_cotangent(spikes, g, *, shape, tile, dtype, homogeneous):
    return jnp.sum(_times(spikes, jnp.sum(g, axis=2, keepdims=True)), axis=(1, 2)).astype(dtype)


def _synapses(ptr, offsets, shape, tile):
    return Rows(ptr, offsets, *shape, tile).coordinates()


def _per_synapse(weight):
    """Weights against (V, B, n_synapses)."""
    weight = weight.astype(accumulator(weight.dtype))
    return weight[:, None, None] if weight.ndim == 1 else weight[:, None, :]


def rows_forward(spikes, weight, ptr, offsets, *, shape, tile, dtype):
    pre, post = _synapses(ptr, offsets, shape, tile)
    weight = _per_synapse(weight)
    terms = _times(spikes[:, :, pre], weight)
    out = jnp.zeros((*spikes.shape[:2], shape[1]), weight.dtype)
    return out.at[:, :, post].add(terms, mode="promise_in_bounds").astype(dtype)


def rows_spike_cotangent(weight, g, ptr, offsets, *, shape, tile):
    pre, post = _synapses(ptr, offsets, shape, tile)
    terms = _per_synapse(weight) * g[:, :, post]
    out = jnp.zeros((*g.shape[:2], shape[0]), g.dtype)
    return out.at[:, :, pre].add(terms, mode="promise_in_bounds")


def rows_weight_cotangent(spikes, g, ptr, offsets, *, shape, tile, dtype, homogeneous):
    pre, post = _synapses(ptr, offsets, shape, tile)
    terms = _times(spikes[:, :, pre], g[:, :, post])
    return jnp.sum(terms, axis=(1, 2) if homogeneous else 1).astype(dtype)


# Procedural: the graph is drawn when the program is made, and is a constant of it.


def _drawn(law):
    rows = drawing.draw(law)
    return (rows.ptr, rows.offsets), rows.tile


def procedural_forward(spikes, weight, *, shape, tile, dtype, law):
    graph, tile = _drawn(law)
    return rows_forward(spikes, weight, *graph, shape=shape, tile=tile, dtype=dtype)


def procedural_spike_cotangent(weight, g, *, shape, tile, law):
    graph, tile = _drawn(law)
    return rows_spike_cotangent(weight, g, *graph, shape=shape, tile=tile)


def procedural_weight_cotangent(spikes, g, *, shape, tile, dtype, law, homogeneous):
    graph, tile = _drawn(law)
    return rows_weight_cotangent(
        spikes, g, *graph, shape=shape, tile=tile, dtype=dtype, homogeneous=homogeneous
    )


# Generated: so are the standard numbers of the weights. ``weight`` is (V, 2), the location and the scale.


def _generated(law):
    rows = drawing.draw(law.graph)
    standard = apart(lambda: jnp.asarray(drawing.standard_weights(law, rows)))
    return (rows.ptr, rows.offsets), rows.tile, standard


def generated_forward(spikes, weight, *, shape, tile, dtype, law):
    graph, tile, standard = _generated(law)
    weight = combine(weight, standard, weight.dtype)
    return rows_forward(spikes, weight, *graph, shape=shape, tile=tile, dtype=dtype)


def generated_spike_cotangent(weight, g, *, shape, tile, law):
    graph, tile, standard = _generated(law)
    weight = combine(weight, standard, weight.dtype)
    return rows_spike_cotangent(weight, g, *graph, shape=shape, tile=tile)


def generated_weight_cotangent(spikes, g, *, shape, tile, dtype, law, homogeneous):
    graph, tile, standard = _generated(law)
    by_synapse = rows_weight_cotangent(
        spikes, g, *graph, shape=shape, tile=tile, dtype=g.dtype, homogeneous=False
    )
    by_scale = jnp.sum(by_synapse * standard.astype(g.dtype)[None], axis=1)
    return jnp.stack([jnp.sum(by_synapse, axis=1), by_scale], axis=1).astype(dtype)


# Updates of weights. ``weight`` is as above (but never homogeneous), spikes ``(V, n)`` of the neurons that fire,
# ``trace`` ``(V, n)`` of their partners, ``limits`` ``(V, 2)``: all but the weights of the accumulator's dtype (or
# spikes of bool). ``rule`` is 'additive', 'soft' or a function. ``smooth`` gives what derivatives are taken of: the
# rule goes on through 0 at silent neurons, so that the derivative in their spikes is not 0.


def changed(rule, weight, change, low, high):
    """What a synapse's weight becomes by a change, before it is limited."""
    if rule == "additive":
        return weight + change
    if rule == "soft":
        return weight + change * jnp.where(change > 0, high - weight, weight - low)
    return rule(weight, change)


def _updated(rule, weight, spikes, trace, limits, smooth):
    """All arrays by synapse; the synapses of silent neurons keep their weights."""
    wide = weight.astype(trace.dtype)
    low, high = (limits[:, k].reshape(-1, *[1] * (weight.ndim - 1)) for k in (0, 1))
    low, high = jnp.broadcast_to(low, weight.shape), jnp.broadcast_to(high, weight.shape)
    change = spikes.astype(trace.dtype) * trace if smooth else _times(spikes, trace)
    new = changed(rule, wide, change, low, high)
    silent = new.astype(weight.dtype) if smooth else weight
    limited = jnp.clip(new, low, high).astype(weight.dtype)
    return jnp.where(spikes != jnp.zeros((), spikes.dtype), limited, silent)


def dense_update_on_pre(weight, spikes, trace, limits, *, shape, tile, rule, smooth=False):
    spikes = jnp.broadcast_to(spikes[:, :, None], weight.shape)
    trace = jnp.broadcast_to(trace[:, None, :], weight.shape)
    return _updated(rule, weight, spikes, trace, limits, smooth)


def dense_update_on_post(weight, spikes, trace, limits, *, shape, tile, rule, smooth=False):
    spikes = jnp.broadcast_to(spikes[:, None, :], weight.shape)
    trace = jnp.broadcast_to(trace[:, :, None], weight.shape)
    return _updated(rule, weight, spikes, trace, limits, smooth)


def rows_update_on_pre(
    weight, spikes, trace, limits, ptr, offsets, *, shape, tile, rule, smooth=False
):
    pre, post = _synapses(ptr, offsets, shape, tile)
    return _updated(rule, weight, spikes[:, pre], trace[:, post], limits, smooth)


def rows_update_on_post(
    weight, spikes, trace, limits, ptr, offsets, position, *, shape, tile, rule, smooth=False
):
    """The rows are those of the column index."""
    post, pre = _synapses(ptr, offsets, shape[::-1], tile)
    new = _updated(rule, weight[:, position], spikes[:, post], trace[:, pre], limits, smooth)
    return weight.at[:, position].set(new, mode="promise_in_bounds", unique_indices=True)
