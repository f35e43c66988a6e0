"""The native kernels of delivery with delays; shapes as in :mod:`delayed_reference`. Rings are updated in place."""

import jax

from ..core.dtypes import accumulator
from ..core.loader import target


def _like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def deliver(ring, spikes, weight, position, ptr, codes):
    call = jax.ffi.ffi_call(target("DelayedDeliver"), _like(ring), input_output_aliases={0: 0})
    return call(ring, spikes, weight, position, ptr, codes)


def spike_cotangent(weight, ring, position, ptr, codes):
    n_in = (ptr.shape[-1] - 1) // ring.shape[-3]
    out = jax.ShapeDtypeStruct((*position.shape, n_in), accumulator(weight.dtype))
    call = jax.ffi.ffi_call(target("DelayedSpikeCotangent"), out)
    return call(weight, ring, position, ptr, codes)


def weight_cotangent(spikes, ring, position, ptr, codes, *, dtype, homogeneous):
    shape = position.shape[:1] if homogeneous else (position.shape[0], codes.shape[-1])
    out = jax.ShapeDtypeStruct(shape, ring.dtype)
    call = jax.ffi.ffi_call(target("DelayedWeightCotangent"), out)
    return call(spikes, ring, position, ptr, codes).astype(dtype)


def swap(ring, position, new):
    out = (_like(ring), _like(new))
    call = jax.ffi.ffi_call(target("RingSwap"), out, input_output_aliases={0: 0})
    return tuple(call(ring, position, new))


def step(ring, spikes, weight, position, ptr, codes, *, n_out):
    current = jax.ShapeDtypeStruct((*position.shape, n_out), ring.dtype)
    call = jax.ffi.ffi_call(
        target("DelayedStep"), (_like(ring), current), input_output_aliases={0: 0}
    )
    return tuple(call(ring, spikes, weight, position, ptr, codes))
