"""The products in plain ``jax.numpy``, on any device: the specification of every other backend.

Shapes: spikes ``(V, B, n_in)`` of bool or the accumulator's dtype, output cotangents ``g`` ``(V, B, n_out)``,
weights ``(V, n_in, n_out)`` for ``dense``, ``(V,)`` for ``uniform``, and ``(V,)`` (homogeneous) or
``(V, n_synapses)`` for ``rows``.
V counts weight sets, B the vectors that share one. Sums are made in the accumulator's dtype.
"""

import jax
import jax.numpy as jnp

from ..csr import Rows


def accumulator(dtype) -> jnp.dtype:
    """The dtype that products with weights of this dtype are summed in."""
    return jnp.dtype("float64" if dtype == jnp.float64 else "float32")


def _times(spikes, factor):
    """``spikes * factor`` where there is a spike, 0 elsewhere: silence times nan is silence."""
    value = spikes.astype(factor.dtype)
    return jnp.where(
        spikes != jnp.zeros((), spikes.dtype), value * factor, jnp.zeros((), factor.dtype)
    )


def dense_forward(spikes, weight, *, shape, tile):
    weight = weight.astype(accumulator(weight.dtype))
    return jnp.sum(_times(spikes[:, :, :, None], weight[:, None, :, :]), axis=2)


def dense_spike_cotangent(weight, g, *, shape, tile):
    return jnp.einsum(
        "vij,vbj->vbi", weight.astype(g.dtype), g, precision=jax.lax.Precision.HIGHEST
    )


def dense_weight_cotangent(spikes, g, *, shape, tile, homogeneous):
    return jnp.sum(_times(spikes[:, :, :, None], g[:, :, None, :]), axis=1)


def uniform_forward(spikes, weight, *, shape, tile):
    weight = weight.astype(accumulator(weight.dtype))[:, None, None]
    total = jnp.sum(_times(spikes, weight), axis=2, keepdims=True)
    return jnp.broadcast_to(total, (*spikes.shape[:2], shape[1]))


def uniform_spike_cotangent(weight, g, *, shape, tile):
    total = jnp.sum(g, axis=2, keepdims=True) * weight.astype(g.dtype)[:, None, None]
    return jnp.broadcast_to(total, (*g.shape[:2], shape[0]))


def uniform_weight_cotangent(spikes, g, *, shape, tile, homogeneous):
    return jnp.sum(_times(spikes, jnp.sum(g, axis=2, keepdims=True)), axis=(1, 2))


def _synapses(ptr, offsets, shape, tile):
    return Rows(ptr, offsets, *shape, tile).coordinates()


def _per_synapse(weight):
    """Weights against (V, B, n_synapses)."""
    weight = weight.astype(accumulator(weight.dtype))
    return weight[:, None, None] if weight.ndim == 1 else weight[:, None, :]


def rows_forward(spikes, weight, ptr, offsets, *, shape, tile):
    pre, post = _synapses(ptr, offsets, shape, tile)
    weight = _per_synapse(weight)
    terms = _times(spikes[:, :, pre], weight)
    out = jnp.zeros((*spikes.shape[:2], shape[1]), weight.dtype)
    return out.at[:, :, post].add(terms, mode="promise_in_bounds")


def rows_spike_cotangent(weight, g, ptr, offsets, *, shape, tile):
    pre, post = _synapses(ptr, offsets, shape, tile)
    terms = _per_synapse(weight) * g[:, :, post]
    out = jnp.zeros((*g.shape[:2], shape[0]), g.dtype)
    return out.at[:, :, pre].add(terms, mode="promise_in_bounds")


def rows_weight_cotangent(spikes, g, ptr, offsets, *, shape, tile, homogeneous):
    pre, post = _synapses(ptr, offsets, shape, tile)
    terms = _times(spikes[:, :, pre], g[:, :, post])
    return jnp.sum(terms, axis=(1, 2) if homogeneous else 1)
