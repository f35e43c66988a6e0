"""Stored rows of entries (pre, post, weight) in any order: natively, or in NumPy where there is no library.

Both give the same rows and weights, bit for bit. Entries come in chunks, so that neither their dtype nor the
form that they are made from costs memory that grows with their number.
"""

import ctypes
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator

import numpy as np

from ..core import loader
from .csr import MAX_SYNAPSES, n_tiles, tile_width

# Entries that are handled at once.
CHUNK = 1 << 18


@dataclasses.dataclass(frozen=True)
class Entries:
    """Entries of a matrix, in an order that decides which of two repeated ones comes first.

    Parameters
    ----------
    n_in, n_out : int
    n : int
        Number of entries.
    chunks : callable
        ``chunks()`` yields ``(pre, post, places)``, the same on every call: two arrays of integers inside the
        sizes, and a slice or an array that takes their values out of one for all entries.
    csr : tuple of array, optional
        ``(indptr, indices)`` where the entries stand in rows, which may be sorted.
    """

    n_in: int
    n_out: int
    n: int
    chunks: Callable[[], Iterator[tuple]]
    csr: tuple[np.ndarray, np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Built:
    """Rows on the host, what belongs to their synapses, and how often a pair was found if that was asked.

    Attributes
    ----------
    ptr, offsets, tile
        See :class:`eventops.rows.csr.Rows`.
    values : array or None
        Of each synapse, in (pre, post) order.
    counts : array of int32, or None
        Of each synapse the number of entries that it stands for; None if no pair is repeated, or if there are
        values, which were added.
    """

    ptr: np.ndarray
    offsets: np.ndarray
    tile: int
    values: np.ndarray | None
    counts: np.ndarray | None


def check_sizes(call: str, n_in: int, n_out: int, n: int) -> None:
    """Raise if so many entries cannot be numbered."""
    if n > MAX_SYNAPSES:
        raise ValueError(
            f"{call}: {n} entries are more than {MAX_SYNAPSES} synapses; split the projection over several "
            "operators"
        )
    if n_in and n_in * n_tiles(n_out, tile_width(n_out, n / n_in)) >= MAX_SYNAPSES:
        raise ValueError(
            f"{call}: a matrix of {n_in} x {n_out} neurons needs more row pointers than 32 bits can number; split "
            "the projection over several operators"
        )


def build(
    entries: Entries, values=None, dtype=None, *, summed=False, tile=None, reference=False
) -> Built:
    """Rows of entries.

    Parameters
    ----------
    entries : Entries
        Checked, :func:`check_sizes` included.
    values : array, shape (entries.n,), optional
        Of each entry.
    dtype : dtype
        That values are converted to.
    summed : bool
        Make one synapse of the entries of a pair. Values, which must be floating then, are added in float64, in
        order, and rounded once.
    tile : int, optional
        Number of posts per tile; by default what suits the entries.
    reference : bool
        Use NumPy although there is a native library.
    """
    dtype = None if values is None else np.dtype(dtype)
    tile = tile or tile_width(entries.n_out, entries.n / entries.n_in if entries.n_in else 0)
    if entries.n == 0:
        ptr = np.zeros(entries.n_in * n_tiles(entries.n_out, tile) + 1, np.int32)
        none = None if values is None else aligned(0, dtype)
        return Built(ptr, aligned(0, np.uint16), tile, none, None)
    native = not reference and loader.unavailable() is None
    return (_build_native if native else _build_reference)(entries, tile, values, dtype, summed)


class _Numbers:
    """In place of values: of each entry its own place among them."""

    def __getitem__(self, where):
        if isinstance(where, slice):
            return np.arange(where.start, where.stop, dtype=np.int32)
        return where


def build_order(entries: Entries, *, tile=None, reference=False) -> Built:
    """Rows of entries, each of them a synapse; ``values`` are the entries' numbers (int32) in (pre, post) order.

    Entries of one pair are in their own order. Parameters are those of :func:`build`.
    """
    return build(entries, _Numbers(), np.int32, tile=tile, reference=reference)


def aligned(n: int, dtype) -> np.ndarray:
    """An array, not initialised, that JAX takes over without copying it."""
    dtype = np.dtype(dtype)
    raw = np.empty(n * dtype.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n * dtype.itemsize].view(dtype)


def _converted(values, dtype) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # to inf, as JAX does
        return np.ascontiguousarray(values, dtype)


# ---- NumPy


def _build_reference(entries, tile, values, dtype, summed) -> Built:
    pre, post, places = (list(parts) for parts in zip(*entries.chunks()))
    pre, post = (np.concatenate(parts).astype(np.int64) for parts in (pre, post))
    order = np.lexsort((post, pre))
    pre, post, counts = pre[order], post[order], None
    if values is not None:
        values = np.concatenate([_converted(values[where], dtype) for where in places])[order]
    if summed:
        first = np.flatnonzero(np.append(True, (np.diff(pre) != 0) | (np.diff(post) != 0)))
        if first.size < pre.size:
            counts = np.diff(np.append(first, pre.size)).astype(np.int32)
            if values is not None:
                pair = np.repeat(np.arange(first.size), counts)
                sums = np.bincount(pair, values.astype(np.float64))
                values = np.where(counts == 1, values[first], _converted(sums, dtype))
                counts = None
            pre, post = pre[first], post[first]
    tiles = n_tiles(entries.n_out, tile)
    segments = np.bincount(pre * tiles + post // tile, minlength=entries.n_in * tiles)
    ptr = np.concatenate([[0], np.cumsum(segments)]).astype(np.int32)
    return Built(ptr, (post % tile).astype(np.uint16), tile, values, counts)


# ---- native

_DONE, _OUT_OF_MEMORY, _OUTSIDE, _NOT_ASCENDING = range(4)
_KINDS = {"float16": "e", "bfloat16": "b", "float32": "f", "float64": "d"}


def threads() -> int:
    """As many as this process may run at once."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


@functools.cache
def _function(name: str):
    function = getattr(loader.library(), f"Eventops{name}")
    function.restype = ctypes.c_int64
    return function


def _call(name: str, *arguments) -> int:
    """Numbers as int64, arrays as pointers; the caller vouches for lengths and dtypes."""
    given = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            assert argument.flags.c_contiguous
            argument = ctypes.c_void_p(argument.ctypes.data)
        elif isinstance(argument, int):
            argument = ctypes.c_int64(argument)
        given.append(argument)
    status = _function(name)(*given)
    if status == _OUT_OF_MEMORY:
        raise MemoryError(f"eventops: {name} is out of memory")
    if status == _OUTSIDE:
        raise RuntimeError(
            "eventops: the entries of a matrix were changed while rows were made of them"
        )
    return status


def _pieces(entries):
    """Chunks as the library wants them."""
    for pre, post, places in entries.chunks():
        for start in range(0, pre.size, CHUNK):
            part = slice(start, start + CHUNK)
            if isinstance(places, slice):
                where = slice(places.start + start, min(places.start + start + CHUNK, places.stop))
            else:
                where = places[part]
            yield (*(np.ascontiguousarray(x[part], np.int32) for x in (pre, post)), where)


def _build_native(entries, tile, values, dtype, summed) -> Built:
    made = None
    if entries.csr is not None:
        made = _split(entries, tile, values, dtype)
    ptr, offsets, values = made or _sort(entries, tile, values, dtype)
    made = None  # so that each array is freed as soon as its name is
    n_pairs = _sort_segments(ptr, offsets, values)
    if not summed or n_pairs == entries.n:
        return Built(ptr, offsets, tile, values, None)
    counts = np.empty(n_pairs, np.int32) if values is None else None
    kind = "f" if values is None else _KINDS[values.dtype.name]
    _call("SumRepeats", ptr.size - 1, ptr, entries.n, offsets, values, ord(kind), counts, n_pairs)
    offsets = _first(offsets, n_pairs)
    values = None if values is None else _first(values, n_pairs)
    return Built(ptr, offsets, tile, values, counts)


def _first(array, n):
    """A copy of the first ``n``, so that the rest can be freed."""
    copy = aligned(n, array.dtype)
    copy[:] = array[:n]
    return copy


def _split(entries, tile, values, dtype):
    """Rows that are sorted already are copied; None if they are not."""
    indptr, indices = entries.csr
    if indices.dtype not in (np.int32, np.int64):
        indices = indices.astype(np.int64)
    indptr, indices = np.ascontiguousarray(indptr, np.int64), np.ascontiguousarray(indices)
    ptr = np.empty(entries.n_in * n_tiles(entries.n_out, tile) + 1, np.int32)
    offsets = aligned(entries.n, np.uint16)
    sizes = entries.n, entries.n_in, entries.n_out, tile
    status = _call("SplitRows", threads(), indptr, indices, indices.itemsize, *sizes, ptr, offsets)
    if status == _NOT_ASCENDING:
        return None
    if values is None:
        return ptr, offsets, None
    out = aligned(entries.n, dtype)
    for start in range(0, entries.n, CHUNK):
        part = slice(start, min(start + CHUNK, entries.n))
        out[part] = _converted(values[part], dtype)
    return ptr, offsets, out


def _sort(entries, tile, values, dtype):
    """Two passes over the entries: one counts, one writes each to its segment; the segments are sorted later."""
    n_segments = entries.n_in * n_tiles(entries.n_out, tile)
    sizes = entries.n_in, entries.n_out, tile
    # After the sum the place behind that of segment s holds where s begins, and once s is filled, where it ends:
    # where the next one begins.
    ptr = np.zeros(n_segments + 2, np.int32)
    for pre, post, _ in _pieces(entries):
        _call("CountEntries", threads(), pre.size, pre, post, *sizes, ptr[2:])
    np.cumsum(ptr, dtype=np.int32, out=ptr)
    if ptr[-1] != entries.n:
        raise RuntimeError(
            "eventops: the entries of a matrix were changed while rows were made of them"
        )
    offsets = aligned(entries.n, np.uint16)
    out = None if values is None else aligned(entries.n, dtype)
    size = 2 if out is None else out.itemsize
    for pre, post, where in _pieces(entries):
        given = None if out is None else _converted(values[where], dtype)
        piece = threads(), pre.size, pre, post, given, size
        _call("FillEntries", *piece, *sizes, ptr[1:], entries.n, offsets, out)
    return ptr[:-1], offsets, out


def _sort_segments(ptr, offsets, values) -> int:
    """In place; the number of pairs, each of them once however often it is connected."""
    n_pairs = ctypes.c_int64()
    size = 2 if values is None else values.itemsize
    arguments = ptr.size - 1, ptr, offsets.size, offsets, values, size
    _call("SortSegments", threads(), *arguments, ctypes.byref(n_pairs))
    return n_pairs.value
