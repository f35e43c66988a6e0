"""The step of neurons as a JAX primitive; see ``backends/neurons_reference.py`` for its operands.

The primitive has no derivative: ``neurons.py`` differentiates the reference, whose loops XLA then fuses with what the
derivative needs besides. ``vmap`` adds a leading dimension and never becomes a loop.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from ..backends import IMPLEMENTATIONS
from ..core import loader
from . import partition
from .products import _bind, _front, _run_eagerly


def step(law, v, wait, *arrays, channels, conductance, pause, backend):
    """(v, wait, *channels, spikes) after a step."""
    params = dict(channels=channels, conductance=conductance, pause=pause, backend=backend)
    return _bind(neurons_p, law, v, wait, *arrays, **params)


def _aval(law, v, wait, *arrays, channels, **params):
    out = [partition.like(x, x.shape, x.dtype) for x in (v, wait, *arrays[:channels])]
    return [*out, partition.like(v, v.shape, np.dtype(bool))]


def _lower(default, ctx, *args, backend, **params):
    """The backend asked for, or the platform's default; XLA's own loop where it is to be split over devices."""
    if backend is None and default == "cpu":
        if loader.unavailable() is not None:
            loader.warn_once()
            backend = "reference"
        elif partition.several_devices(ctx):
            backend = "reference"
    if backend not in (None, "reference", default):
        raise NotImplementedError(
            f"eventops: backend {backend!r} steps no neurons on this device; use backend=None or 'reference'"
        )
    kernel = functools.partial(IMPLEMENTATIONS["neurons", "step", backend or default], **params)
    return mlir.lower_fun(kernel, multiple_results=True)(ctx, *args)


def _batch(args, dims, **params):
    (law, *state, drive), (_, *state_dims, drive_dim) = args, dims
    size = next(a.shape[d] for a, d in zip(args, dims) if d is not None)
    state = [_front(a, d, size) for a, d in zip(state, state_dims)]
    shape = state[0].shape
    if drive_dim is not None:
        drive = jnp.moveaxis(drive, drive_dim, 0)
        within = (1,) * (len(shape) - drive.ndim) + drive.shape[1:]
        drive = jnp.broadcast_to(jnp.reshape(drive, (size, *within)), shape)
    elif drive.ndim > 1:
        drive = jnp.broadcast_to(drive, shape)
    out = neurons_p.bind(law, *state, drive, **params)
    return out, [0] * len(out)


neurons_p = Primitive("eventops_neurons")
neurons_p.multiple_results = True
neurons_p.def_impl(functools.partial(_run_eagerly, neurons_p))
neurons_p.def_abstract_eval(_aval)
partition.needs_devices(neurons_p)
batching.primitive_batchers[neurons_p] = _batch
mlir.register_lowering(neurons_p, functools.partial(_lower, "reference"))
mlir.register_lowering(neurons_p, functools.partial(_lower, "cpu"), platform="cpu")
