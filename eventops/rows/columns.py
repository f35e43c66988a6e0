"""The column index of stored rows: the synapses of each post neuron, and where their weights stand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ..core import loader, placement, places
from .csr import WIDEST_TILE, Columns, Rows, n_tiles


def of(rows: Rows, call: str) -> Columns:
    """The column index of concrete rows, made on the first use and kept with them; or the one they carry.

    Raises
    ------
    TypeError
        If the rows are traced and carry none.
    """
    if rows.columns is not None:
        return rows.columns
    if isinstance(rows.ptr, jax.core.Tracer) or isinstance(rows.offsets, jax.core.Tracer):
        raise TypeError(
            f"{call}: the operator is an argument of a JAX transformation and has no column index, which cannot be "
            "made inside; make it before, op = op.with_columns(), and pass that operator"
        )
    if rows.made_columns is None:
        # Not a field: the rows keep their structure as a pytree.
        object.__setattr__(rows, "made_columns", make(rows))
    return rows.made_columns


def with_columns(rows: Rows, call: str) -> Rows:
    """The same rows, with the index as a part of the pytree."""
    return dataclasses.replace(rows, columns=of(rows, call))


def make(rows: Rows, *, reference: bool = False) -> Columns:
    """Sort the synapses of concrete rows by post neuron, natively where the library is present.

    Parameters
    ----------
    rows : Rows
    reference : bool
        Sort with NumPy instead: the same index, slowly.
    """
    tile = min(max(rows.n_in, 1), WIDEST_TILE)
    if rows.n_synapses == 0 or reference or loader.unavailable() is not None:
        sort = _sort_reference
    else:
        sort = _sort_native
    arrays = placement.apart(lambda: sort(rows, tile))
    where = places.of(rows)
    arrays = placement.placed(arrays) if where is None else places.moved(arrays, where)
    return Columns(*arrays, rows.n_in, rows.n_out, tile)


def _sort_native(rows: Rows, tile: int):
    n_ptr = rows.n_out * n_tiles(rows.n_in, tile) + 1
    outs = (
        jax.ShapeDtypeStruct((n_ptr,), jnp.int32),
        jax.ShapeDtypeStruct((rows.n_synapses,), jnp.uint16),
        jax.ShapeDtypeStruct((rows.n_synapses,), jnp.int32),
    )
    sizes = dict(n_in=rows.n_in, n_out=rows.n_out, tile=rows.tile, column_tile=tile)
    sizes = {name: np.int64(value) for name, value in sizes.items()}
    arrays = np.asarray(rows.ptr), np.asarray(rows.offsets)
    return loader.run_on_cpu("Columns", outs, *arrays, **sizes)


def _sort_reference(rows: Rows, tile: int):
    pre, post = np.repeat(np.arange(rows.n_in), np.diff(rows.indptr())), rows.indices()
    position = np.argsort(post, kind="stable")
    lines = n_tiles(rows.n_in, tile)
    counts = np.bincount(post * lines + pre // tile, minlength=rows.n_out * lines)
    ptr = np.concatenate([[0], np.cumsum(counts)])
    return (
        jnp.asarray(ptr, jnp.int32),
        jnp.asarray(pre[position] % tile, jnp.uint16),
        jnp.asarray(position, jnp.int32),
    )
