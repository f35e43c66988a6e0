"""Operators as other matrices, and as other operators: transposed, or of some of their neurons."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ..core.memory import check_room
from ..core.places import of, placed
from ..rows.building import Entries, build, build_order, check_sizes
from ..rows.csr import Rows
from ..rows.entries import of_dense
from ..rows.selection import blocks, chosen, keys, neurons
from .delays import Delayed
from .linear import EventLinear, Linear
from .operator import Operator
from .sparse import rows_of, sparse_operator


def to_scipy(op: Operator):
    """See :meth:`eventops.operators.operator.Operator.to_scipy`."""
    call = f"{type(op).__name__}.to_scipy"
    try:
        import scipy.sparse
    except ImportError as error:
        raise ImportError(f"{call} needs scipy; install it, or use to_bcoo()") from error
    op, rows = _rows(call, _undelayed(op))
    _known(call, op.weight)
    wide = np.asarray(op.weight)
    wide = wide.astype(np.float32) if wide.dtype.itemsize == 2 else wide
    shape = (op.in_size, op.out_size)
    if rows is None:
        indptr, indices, data = _csr_of_dense(call, wide, shape, 8)
    else:
        _check_listed(call, rows.n_synapses, wide.dtype, 8)
        indptr, indices = rows.indptr(), rows.indices()
        data = np.array(wide) if wide.ndim else np.full(rows.n_synapses, wide)
    return scipy.sparse.csr_array((data, indices, indptr.astype(np.int32)), shape)


def to_bcoo(op: Operator):
    """See :meth:`eventops.operators.operator.Operator.to_bcoo`."""
    from jax.experimental import sparse

    call = f"{type(op).__name__}.to_bcoo"
    op = _undelayed(op)
    if op.rows is None or hasattr(op, "gathered"):
        op, rows = _rows(call, op)
    else:
        rows = op.rows  # may be traced
    shape, dense = (op.in_size, op.out_size), rows is None
    if dense:
        _known(call, op.weight)
        indptr, post, data = _csr_of_dense(call, np.asarray(op.weight), shape, 24)
        data = placed(data, of(op))
    else:
        _check_listed(call, rows.n_synapses, op.dtype, 24)
        data = jnp.broadcast_to(op.weight, (rows.n_synapses,))
    if not dense and isinstance(rows.ptr, jax.core.Tracer):
        indices = jnp.stack(rows.coordinates(), axis=1)
    else:  # nothing to compile for every number of synapses
        indptr, post = (indptr, post) if dense else (rows.indptr(), rows.indices())
        pre = np.repeat(np.arange(op.in_size, dtype=np.int32), np.diff(indptr))
        indices = placed(np.stack([pre, post], axis=1), of(op))
    return sparse.BCOO((data, indices), shape=shape, indices_sorted=True, unique_indices=dense)


def _csr_of_dense(call: str, weight: np.ndarray, shape, indexing: int):
    """(indptr, indices, values) of the weights that are not zero; of one number as well."""
    n = int(np.count_nonzero(weight)) * (1 if weight.ndim else math.prod(shape))
    check_sizes(call, *shape, n)
    if n == 0:  # whatever the sizes
        return np.zeros(shape[0] + 1, np.int32), np.zeros(0, np.int32), np.zeros(0, weight.dtype)
    _check_listed(call, n, weight.dtype, indexing)
    found, values = of_dense(call, np.broadcast_to(weight, shape), shape)
    return *found.csr, values


def _check_listed(call: str, n: int, dtype, indexing: int) -> None:
    """Raise if there is no room for the entries: of each a value, and indices of so many bytes on the way."""
    n_bytes = n * (dtype.itemsize + indexing)
    check_room(call, f"a list of {n} synapses", n_bytes, "take some of the neurons, op[pre, post]")


def transposed(op: Operator) -> Operator:
    """See :attr:`eventops.operators.operator.Operator.T`."""
    return _moved(f"{type(op).__name__}.T", op, _transposed)


def _transposed(call, op):
    op, rows = _rows(call, op)
    if rows is None:
        weight = op.weight.T if op.weight.ndim else op.weight
        return _dense(type(op), op, op.out_size, op.in_size, weight)

    def chunks():
        for pre, post, places in blocks(rows, np.arange(rows.n_in)):
            yield post, pre, places

    return _rebuilt(call, op, Entries(rows.n_out, rows.n_in, rows.n_synapses, chunks))


def selected(op: Operator, key) -> Operator:
    """See :meth:`eventops.operators.operator.Operator.__getitem__`."""
    call = f"{type(op).__name__}[...]"
    return _moved(call, op, lambda call, op: _selected(call, op, *keys(call, key)))


def _selected(call, op, pre, post):
    pre, post = neurons(call, "pre", pre, op.in_size), neurons(call, "post", post, op.out_size)
    n_in = op.in_size if pre is None else pre.size
    n_out = op.out_size if post is None else post.size
    op, rows = _rows(call, op)
    if rows is None:
        weight = op.weight
        if weight.ndim:
            weight = weight if pre is None else weight[pre]
            weight = weight if post is None else weight[:, post]
        return _dense(EventLinear, op, n_in, n_out, weight)
    if pre is None and post is None:
        return sparse_operator(op, rows, op.weight)
    pre = np.arange(op.in_size) if pre is None else pre
    if post is None:
        n = int(np.diff(rows.indptr())[pre].sum())
        return _rebuilt(call, op, Entries(n_in, n_out, n, lambda: chosen(rows, pre)))
    copies = np.bincount(post, minlength=op.out_size)
    n = sum(int(copies[found].sum()) for _, found, _ in blocks(rows, pre))
    return _rebuilt(call, op, Entries(n_in, n_out, n, lambda: chosen(rows, pre, post, copies)))


def _undelayed(op: Operator) -> Operator:
    return op.op if isinstance(op, Delayed) else op


def _moved(call: str, op: Operator, move) -> Operator:
    """``move(call, op)``, which takes synapses elsewhere; of an operator with delays, with them."""
    if not isinstance(op, Delayed):
        return move(call, op)
    moved = move(call, op.op)
    if op.table is None:
        return Delayed(moved, op.common)
    for array in jax.tree.leaves(op.table):
        _known(call, array)
    of_delays = object.__new__(type(op.op))  # which go the way of weights
    of_delays.__dict__.update(op.op.__dict__, weight=op.delay)
    return Delayed(moved, move(call, of_delays).weight)


def _rows(call: str, op: Operator) -> tuple[Operator, Rows | None]:
    """The operator, gathered if it is sharded, and its synapses if it is not dense."""
    for array in jax.tree.leaves(op.rows):
        _known(call, array)
    if hasattr(op, "gathered"):
        for array in jax.tree.leaves(op):
            _known(call, array)
        op = op.gathered()
    rows = op.connections()
    return (op, rows) if op.law is None else (sparse_operator(op, rows, op._weights(rows)), rows)


def _known(call: str, array) -> None:
    if isinstance(array, jax.core.Tracer):
        raise TypeError(
            f"{call}: the operator is traced by a JAX transformation, but what is made depends on its "
            "connections; call it outside (weights alone may be traced: op.with_weight(w).T)"
        )


def _dense(cls, op, n_in, n_out, weight) -> Linear:
    new = object.__new__(cls)
    kept = {name: getattr(op, name) for name in ("seed", "float_as_event", "backend")}
    new._set(in_size=n_in, out_size=n_out, weight=weight, **kept)
    new._remember(shared=op.weight)
    return new


def _rebuilt(call, op, entries: Entries) -> Operator:
    """Rows of entries whose places are those of the operator's synapses; their weights may be traced."""
    check_sizes(call, entries.n_in, entries.n_out, entries.n)
    weight = op.weight
    if weight.ndim == 0:
        built = build(entries)
    elif isinstance(weight, jax.core.Tracer):
        built = build_order(entries)
        weight = weight[built.values]
    else:
        values = np.asarray(weight)
        built = build(entries, values, values.dtype)
        weight = placed(built.values, of(op))
    rows = rows_of(built, entries.n_in, entries.n_out, of(op))
    return sparse_operator(op, rows, weight)
