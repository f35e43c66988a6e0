"""Reads the forms in which a matrix may be given, and checks them: what comes out has indices inside its sizes."""

import sys

import jax
import numpy as np

from ..core.arguments import size, untraced
from ..core.byte_order import native
from ..core.messages import shown
from .building import CHUNK, Entries

_FORMS = (
    "a scipy.sparse matrix, a BCOO or BCSR of jax.experimental.sparse, a tuple (pre, post, weight), or a dense "
    "2-D array"
)


def read(call: str, matrix, shape):
    """The entries of a matrix and their values.

    Parameters
    ----------
    call : str
        Named in errors.
    matrix, shape
        See :class:`eventops.EventSparse`.

    Returns
    -------
    entries : Entries
    values : array, shape (entries.n,); a number for all; or None
        Real numbers.
    """
    if isinstance(matrix, tuple) and len(matrix) == 3:
        _untraced_weight(call, matrix[2])
    for leaf in jax.tree.leaves(matrix):
        untraced(call, "matrix", leaf)
    own = None if isinstance(matrix, tuple) else _shape_of(call, matrix)
    if shape is not None:
        shape = _pair(call, shape)
    if own is None and shape is None:
        raise TypeError(
            f"{call}: (pre, post, weight) needs shape=(in_size, out_size), the numbers of pre and post neurons"
        )
    if own is not None and shape not in (None, own):
        raise ValueError(f"{call}: shape={shape} is not that of the matrix, {own}; leave it out")
    shape = own or shape
    if isinstance(matrix, tuple):
        return _from_tuple(call, matrix, shape)
    if _is_scipy(matrix):
        return _from_scipy(call, matrix, shape)
    if _is_jax_sparse(matrix, "BCOO"):
        return _from_bcoo(call, matrix, shape)
    if _is_jax_sparse(matrix, "BCSR"):
        return _from_bcsr(call, matrix, shape)
    return of_dense(call, matrix, shape)


def _untraced_weight(call, weight):
    if isinstance(weight, jax.core.Tracer):
        raise TypeError(
            f"{call}: the weights are traced by a JAX transformation, but entries are sorted when the operator is "
            "made; make it outside, and inside use op.with_weight(w), w in (pre, post) order"
        )


def _pair(call, shape) -> tuple[int, int]:
    untraced(call, "shape", shape)
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"{call}: shape={shown(shape)} must be two integers, (in_size, out_size)")
    return size(call, "shape[0]", shape[0]), size(call, "shape[1]", shape[1])


# Nothing is imported to find out: what the matrix is has been imported by whoever made it.


def _is_scipy(matrix) -> bool:
    module = sys.modules.get("scipy.sparse")
    return module is not None and module.issparse(matrix)


def _is_jax_sparse(matrix, kind: str) -> bool:
    module = sys.modules.get("jax.experimental.sparse")
    return module is not None and isinstance(matrix, getattr(module, kind))


def _shape_of(call, matrix) -> tuple[int, int]:
    known = _is_scipy(matrix) or _is_jax_sparse(matrix, "BCOO") or _is_jax_sparse(matrix, "BCSR")
    if not known:
        try:
            dense = np.asarray(matrix)
        except ValueError:
            dense = np.asarray(None)
        if dense.dtype.kind not in "biufc" and dense.dtype.name != "bfloat16":
            raise TypeError(f"{call}: matrix={shown(matrix)} must be {_FORMS}")
        matrix = dense
    if matrix.ndim != 2:
        raise ValueError(
            f"{call}: a matrix of shape {tuple(matrix.shape)} must have two dimensions, pre and post neurons"
        )
    for name in ("n_batch", "n_dense"):
        if getattr(matrix, name, 0):
            raise ValueError(
                f"{call}: the {type(matrix).__name__} has {name}={getattr(matrix, name)}; use one with only sparse "
                "dimensions, for example BCOO.fromdense(matrix.todense())"
            )
    return tuple(size(call, name, n) for name, n in zip(("in_size", "out_size"), matrix.shape))


def _values(call, values) -> np.ndarray:
    values = native(values)
    if values.dtype.kind == "c":
        raise TypeError(f"{call}: weights must be real, not {values.dtype}")
    if values.dtype.kind not in "biuf" and values.dtype.name != "bfloat16":
        raise TypeError(f"{call}: weights must be numbers, not {values.dtype}")
    return values


def _indices(call, name, values, n: int) -> np.ndarray:
    """A vector of integers in [0, n)."""
    values = native(values)
    if values.ndim != 1:
        raise ValueError(f"{call}: {name} indices of shape {values.shape} must be a vector")
    if values.size == 0:
        return np.zeros(0, np.int32)
    if values.dtype.kind not in "iu":
        raise TypeError(
            f"{call}: {name} indices must be integers, not {values.dtype}; convert them with astype"
        )
    least, most = int(values.min()), int(values.max())
    if least < 0 or most >= n:
        at = int(values.argmin() if least < 0 else values.argmax())
        raise ValueError(
            f"{call}: {name} index {values[at]} of entry {at} is not in [0, {n}); indices count from 0, and shape is "
            "(number of pre neurons, number of post neurons)"
        )
    return values


def _same_length(call, **arrays):
    lengths = {name: a.shape[0] for name, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{n} {name}" for name, n in lengths.items())
        raise ValueError(
            f"{call}: every entry needs a pre, a post and a weight, but there are {said}"
        )


def pairs(call: str, pre, post, shape) -> Entries:
    """Entries of two vectors, checked."""
    for name, values in (("pre", pre), ("post", post)):
        untraced(call, name, values)
    return listed(*shape, *_vectors(call, pre, post, shape))


def _vectors(call, pre, post, shape):
    pre, post = (_indices(call, *x) for x in zip(("pre", "post"), (pre, post), shape))
    _same_length(call, pre=pre, post=post)
    return pre, post


def listed(n_in: int, n_out: int, pre, post) -> Entries:
    """Entries that two vectors of checked indices name."""
    n = pre.size

    def chunks():
        for start in range(0, n, CHUNK):
            part = slice(start, min(start + CHUNK, n))
            yield pre[part], post[part], part

    return Entries(n_in, n_out, n, chunks)


def _compressed(n_in, n_out, indptr, indices, *, by_post=False) -> Entries:
    """Entries in rows, or in columns if ``by_post``."""
    n = indices.size

    def chunks():
        for start in range(0, n, CHUNK):
            part = slice(start, min(start + CHUNK, n))
            first = int(np.searchsorted(indptr, start, "right")) - 1
            last = int(np.searchsorted(indptr, part.stop, "left"))
            counts = np.diff(np.clip(indptr[first : last + 1], start, part.stop))
            line = np.repeat(np.arange(first, last, dtype=np.int32), counts)
            pair = (indices[part], line) if by_post else (line, indices[part])
            yield (*pair, part)

    return Entries(n_in, n_out, n, chunks, None if by_post else (indptr, indices))


def _from_tuple(call, matrix, shape):
    if len(matrix) == 4:
        raise TypeError(
            f"{call}: a tuple of 4; for delays, (pre, post, weight, delay), call Delayed.from_entries, which keeps each "
            "with its synapse"
        )
    if len(matrix) not in (2, 3):
        raise TypeError(
            f"{call}: a tuple of {len(matrix)} must be (pre, post, weight), or (pre, post) with conn_weight; or give "
            "a dense matrix as an array"
        )
    pre, post = _vectors(call, *matrix[:2], shape)
    weight = matrix[2] if len(matrix) == 3 else None
    if weight is None and len(matrix) == 3:
        raise TypeError(f"{call}: weight=None must be numbers, one for each entry or one for all")
    if weight is not None and np.ndim(weight):
        weight = _values(call, weight)
        if weight.ndim != 1:
            raise ValueError(
                f"{call}: weights of shape {weight.shape} must be a vector or one number"
            )
        _same_length(call, pre=pre, post=post, weights=weight)
    return listed(*shape, pre, post), weight


def _from_scipy(call, matrix, shape):
    values = _values(call, matrix.data) if matrix.format in ("csr", "csc", "coo") else None
    if matrix.format in ("csr", "csc"):
        by_post = matrix.format == "csc"
        lines, n = reversed(shape) if by_post else shape
        name = "pre" if by_post else "post"
        indptr = _pointers(call, matrix.indptr, lines, values.size)
        indices, values = matrix.indices[: indptr[-1]], values[: indptr[-1]]
        indices = _indices(call, name, indices, n)
        return _compressed(*shape, indptr, indices, by_post=by_post), values
    filled = matrix.format in ("bsr", "dia")
    if values is None:
        matrix = matrix.tocoo()
        values = _values(call, matrix.data)
    pre, post = matrix.row, matrix.col
    if filled:
        kept = values != 0
        pre, post, values = pre[kept], post[kept], values[kept]
    pre, post = (_indices(call, *x) for x in zip(("pre", "post"), (pre, post), shape))
    _same_length(call, pre=pre, post=post, weights=values)
    return listed(*shape, pre, post), values


def _pointers(call, indptr, n_lines, n) -> np.ndarray:
    """Checked row pointers: int64, shape (n_lines + 1,)."""
    indptr = np.asarray(indptr).astype(np.int64)
    rises = indptr.shape == (n_lines + 1,) and indptr[0] == 0 and not np.any(np.diff(indptr) < 0)
    if not rises or indptr[-1] > n:
        raise ValueError(
            f"{call}: indptr must be {n_lines + 1} integers that rise from 0 to at most {n}, the number of entries"
        )
    return indptr


def _from_bcoo(call, matrix, shape):
    indices, values = np.asarray(matrix.indices), _values(call, matrix.data)
    _same_length(call, indices=indices, weights=values)
    # One size at a time, as Python's integers: those of the indices' dtype may not hold it.
    padding = (indices[:, 0] >= shape[0]) | (indices[:, 1] >= shape[1])
    if padding.any():
        indices, values = indices[~padding], values[~padding]
    pre, post = (_indices(call, *x) for x in zip(("pre", "post"), indices.T, shape))
    return listed(*shape, pre, post), values


def _from_bcsr(call, matrix, shape):
    indices, values = np.asarray(matrix.indices), _values(call, matrix.data)
    _same_length(call, indices=indices, weights=values)
    indptr = _pointers(call, matrix.indptr, shape[0], values.size)
    indices, values = indices[: indptr[-1]], values[: indptr[-1]]  # what follows is padding
    indices = _indices(call, "post", indices, shape[1])
    return _compressed(*shape, indptr, indices), values


def of_dense(call, matrix, shape):
    """Entries and values of what is not zero in an array."""
    dense = _values(call, matrix)
    step = max(1, CHUNK // max(1, shape[1]))
    starts = range(0, shape[0], step)
    counts = [np.count_nonzero(dense[k : k + step], axis=1) for k in starts]
    indptr = np.concatenate([[0], *counts]).astype(np.int64).cumsum()
    indices = np.empty(indptr[-1], np.int32)
    values = np.empty(indptr[-1], dense.dtype)
    for start in starts:
        rows = dense[start : start + step]
        part = slice(indptr[start], indptr[min(start + step, shape[0])])
        found = rows != 0
        indices[part] = np.nonzero(found)[1]
        values[part] = rows[found]
    return _compressed(*shape, indptr, indices), values
