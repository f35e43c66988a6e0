"""Delivery with delays in plain ``jax.numpy``: the specification of the native kernels, on any device.

Shapes: currents ``(V, B, n_out)`` of the accumulator's dtype, rings of that dtype with V * B blocks of
``(n_tiles, slots, tile)`` in whatever leading dimensions (to reshape a ring that is updated in place costs XLA a
copy), spikes ``(V, B, n_in)`` of bool or the same dtype, positions ``(V, B)`` of int32, weights ``(V,)`` or
``(V, n_synapses)``. See :class:`eventops.rows.delay_table.DelayTable` for ``ptr`` and ``codes``.
"""

import jax
import jax.numpy as jnp

from ..core.dtypes import accumulator
from .reference import _times


def _synapses(ring, ptr, codes):
    """Of each synapse its pre neuron, and a function from a ring's position to its place in the flat ring."""
    n_tiles, slots, tile = ring.shape[-3:]
    segment = jnp.repeat(
        jnp.arange(ptr.shape[0] - 1, dtype=jnp.int32),
        jnp.diff(ptr),
        total_repeat_length=codes.shape[0],
    )
    pre, block = segment // jnp.int32(n_tiles), segment % jnp.int32(n_tiles)

    def places(position):
        base = jnp.mod(position, jnp.int32(slots)) * jnp.int32(tile)
        inside = (codes.astype(jnp.uint32) + base.astype(jnp.uint32)) & jnp.uint32(slots * tile - 1)
        return block * jnp.int32(slots * tile) + inside.astype(jnp.int32)

    return pre, places


def _stack(ring, position):
    """The ring as (V, B, n_tiles, slots, tile)."""
    return ring.reshape(*position.shape, *ring.shape[-3:])


def _for_each(function, *in_axes):
    """Over weight sets and their vectors; 0 for what each vector has its own of, None for the weights."""
    return jax.vmap(jax.vmap(function, in_axes))


def deliver(ring, spikes, weight, position, ptr, codes):
    pre, places = _synapses(ring, ptr, codes)
    weight = weight.astype(ring.dtype)

    def one(ring, spikes, weight, position):
        terms = _times(spikes[pre], jnp.broadcast_to(weight, pre.shape))
        flat = ring.reshape(-1).at[places(position)].add(terms, mode="promise_in_bounds")
        return flat.reshape(ring.shape)

    stack = _stack(ring, position)
    return _for_each(one, 0, 0, None, 0)(stack, spikes, weight, position).reshape(ring.shape)


def spike_cotangent(weight, ring, position, ptr, codes):
    pre, places = _synapses(ring, ptr, codes)
    n_in = (ptr.shape[0] - 1) // ring.shape[-3]
    weight = weight.astype(accumulator(weight.dtype))

    def one(weight, ring, position):
        terms = weight * ring.reshape(-1)[places(position)]
        return jnp.zeros(n_in, ring.dtype).at[pre].add(terms, mode="promise_in_bounds")

    return _for_each(one, None, 0, 0)(weight, _stack(ring, position), position)


def weight_cotangent(spikes, ring, position, ptr, codes, *, dtype, homogeneous):
    pre, places = _synapses(ring, ptr, codes)

    def one(spikes, ring, position):
        return _times(spikes[pre], ring.reshape(-1)[places(position)])

    terms = _for_each(one, 0, 0, 0)(spikes, _stack(ring, position), position)
    return jnp.sum(terms, axis=(1, 2) if homogeneous else 1).astype(dtype)


def swap(ring, position, new):
    n_tiles, slots, tile = ring.shape[-3:]
    n_out = new.shape[2]

    def one(ring, position, new):
        slot = jnp.mod(position, jnp.int32(slots))
        old = ring[:, slot].reshape(-1)[:n_out]
        padded = jnp.pad(new, (0, n_tiles * tile - n_out)).reshape(n_tiles, tile)
        return ring.at[:, slot].set(padded), old

    stack, old = _for_each(one, 0, 0, 0)(_stack(ring, position), position, new)
    return stack.reshape(ring.shape), old


def step(ring, spikes, weight, position, ptr, codes, *, n_out):
    ring = deliver(ring, spikes, weight, position, ptr, codes)
    return swap(ring, position, jnp.zeros((*position.shape, n_out), ring.dtype))
