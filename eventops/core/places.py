"""Where arrays are that are made from others: on the devices that those were put on, or where a user's new arrays go."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from . import placement


def of(tree) -> Sharding | None:
    """Of an operator or other arrays, where what is made from them belongs; None if they were not put anywhere."""
    for leaf in jax.tree.leaves(tree):
        if not isinstance(leaf, jax.Array) or isinstance(leaf, jax.core.Tracer):
            continue
        if leaf.committed and isinstance(leaf.sharding, NamedSharding):
            mesh, kind = leaf.sharding.mesh, leaf.sharding.memory_kind
            return NamedSharding(mesh, PartitionSpec(), memory_kind=kind)  # whole on each device
        if leaf.committed and leaf.sharding.is_fully_replicated:
            return leaf.sharding
    return None


def placed(array, where: Sharding | None = None) -> jax.Array:
    """An array of the host in its place. One of :func:`eventops.rows.building.aligned` is not copied."""
    if where is None:
        return placement.placed(placement.apart(lambda: jax.device_put(array)))
    with jax.ensure_compile_time_eval():
        return jax.device_put(array, where)


def moved(arrays, where: Sharding | None):
    """Arrays of any device in their place; traced ones are placed when their program runs."""
    if where is None or any(isinstance(a, jax.core.Tracer) for a in jax.tree.leaves(arrays)):
        return arrays
    with jax.ensure_compile_time_eval():
        return jax.device_put(arrays, where)


def zeros(shape, dtype, where: Sharding | None) -> jax.Array:
    """Zeros in their place; inside a program they are a part of it."""
    traced = isinstance(jnp.zeros((), dtype), jax.core.Tracer)
    return jnp.zeros(shape, dtype, device=None if traced else where)
