"""Some of the synapses: which neurons a key names, and the entries of the rows and columns that were chosen."""

import numpy as np

from ..core.arguments import untraced
from ..core.messages import shown
from .building import CHUNK
from .csr import Rows


def keys(call: str, key):
    """The pre and the post key of ``op[key]``."""
    if not isinstance(key, tuple):
        return key, slice(None)
    if len(key) != 2:
        raise IndexError(f"{call}: {len(key)} keys; an operator has two dimensions, op[pre, post]")
    pre, post = key
    if isinstance(pre, slice) or isinstance(post, slice):
        return pre, post
    pre, post = np.asarray(pre), np.asarray(post)
    if pre.ndim == post.ndim == 2 and pre.shape[1] == post.shape[0] == 1:
        return pre[:, 0], post[0]
    raise IndexError(
        f"{call}: two arrays would choose single elements of the matrix; write op[numpy.ix_(pre, post)], or "
        "op[pre][:, post]"
    )


def neurons(call: str, side: str, key, n: int) -> np.ndarray | None:
    """The numbers of the chosen neurons, or None for all in order."""
    untraced(call, f"the {side} key", key)
    if isinstance(key, slice):
        chosen = range(*key.indices(n))
        return None if chosen == range(n) else np.arange(chosen.start, chosen.stop, chosen.step)
    try:
        array = np.asarray(key)
    except ValueError:
        array = np.asarray(None)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise TypeError(
            f"{call}: {side} key {shown(key)} must be a slice, or a vector of integers or of bool; for one neuron i write "
            "i:i+1"
        )
    if array.dtype.kind == "b":
        if array.size != n:
            raise IndexError(
                f"{call}: a {side} mask of length {array.size} does not fit {n} neurons"
            )
        return np.flatnonzero(array)
    outside = (array < -n) | (array >= n)  # before any conversion, which could wrap
    if outside.any():
        raise IndexError(
            f"{call}: {side} neuron {array[outside.argmax()]} is not among {n}, numbered from 0"
        )
    array = array.astype(np.int64)
    return np.where(array < 0, array + n, array)


def blocks(rows: Rows, chosen: np.ndarray):
    """(pre, post, places) of the synapses of the chosen rows, about CHUNK at once.

    ``pre`` numbers the rows as they are chosen; ``places`` are those of the synapses in the operator.
    """
    ptr, offsets, tiles = np.asarray(rows.ptr), np.asarray(rows.offsets), rows.n_tiles
    starts = ptr[::tiles].astype(np.int64)
    degrees = np.diff(starts)[chosen]
    ends = np.cumsum(degrees)
    first = done = 0
    while first < chosen.size:
        last = max(first + 1, int(np.searchsorted(ends, done + CHUNK, "right")))
        block, counts = chosen[first:last], degrees[first:last]
        n = int(counts.sum())
        within = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(starts[block], counts) + within
        segments = (block[:, None] * tiles + np.arange(tiles)).ravel()
        base = np.tile(np.arange(tiles, dtype=np.int32) * rows.tile, block.size)
        post = np.repeat(base, ptr[segments + 1] - ptr[segments]) + offsets[places]
        yield np.repeat(np.arange(first, last, dtype=np.int32), counts), post, places
        first, done = last, done + n


def chosen(rows: Rows, pre, post=None, copies=None):
    """Entries of the chosen rows and, if ``post`` is given, columns.

    A column may be chosen several times: ``copies[j]`` says how often ``j`` is in ``post``.
    """
    if post is not None:
        columns = np.argsort(post, kind="stable")  # the new columns, by the old
        begin = np.cumsum(copies) - copies
    for new_pre, found, places in blocks(rows, pre):
        if post is not None:
            counts = copies[found]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            new_post = columns[np.repeat(begin[found], counts) + within]
            new_pre, places = np.repeat(new_pre, counts), np.repeat(places, counts)
        else:
            new_post = found
        yield new_pre, new_post, places
