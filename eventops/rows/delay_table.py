"""Rows with delays: one code per synapse that holds its delay and its post neuron within a tile."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from ..core.byte_order import native
from ..core.places import placed
from .building import aligned
from .csr import MAX_SYNAPSES, Rows

LONGEST = 65535
"""Steps that a spike can be on its way."""
MOST_SLOTS = 2**31 - 1
"""Numbers in one ring: as many as 32-bit indices can tell apart."""
# A block of this many numbers stays in a core's second-level cache, and 16 bits number its places.
_BLOCK = 65536
# Shorter segments than this (synapses of a row in a tile) cost more by their pointers than a small block gains.
_SHORT = 10
_CHUNK = 4_000_000


def n_slots(longest: int) -> int:
    """Slots of a ring: a power of two above the longest delay."""
    return 1 << int(longest).bit_length()


def tile_width(n_out: int, slots: int, mean_out_degree: float) -> int:
    """Number of consecutive posts that share one block of the ring: a power of two, a cache line at least."""
    whole = 1 << max(0, n_out - 1).bit_length()
    tile = min(whole, max(16, _BLOCK // slots))
    while tile < min(whole, 65536) and mean_out_degree * tile < _SHORT * n_out:
        tile *= 2
    return tile


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("ptr", "codes"),
    meta_fields=("n_out", "n_tiles", "slots", "tile"),
)
@dataclasses.dataclass(frozen=True)
class DelayTable:
    """Synapses in (pre, post) order, each with a delay.

    Attributes
    ----------
    ptr : array of int32, shape (n_in * n_tiles + 1,)
        Row ``i`` in tile ``t`` holds the synapses ``ptr[i * n_tiles + t]`` up to ``ptr[i * n_tiles + t + 1]``.
    codes : array of uint16 or uint32, shape (n_synapses,)
        ``delay * tile + post % tile``. 16 bits serve where ``slots * tile`` is 65,536 or less.
    n_out, n_tiles : int
        Number of post neurons and of tiles.
    slots, tile : int
        Of the ring's blocks, one for each tile: powers of two.
    """

    ptr: jax.Array
    codes: jax.Array
    n_out: int
    n_tiles: int
    slots: int
    tile: int

    @property
    def nbytes(self) -> int:
        """Bytes stored, in both arrays."""
        return self.ptr.size * 4 + self.codes.size * self.codes.dtype.itemsize

    @property
    def ring_shape(self) -> tuple[int, int, int]:
        """Of the ring that spikes are delivered into."""
        return self.n_tiles, self.slots, self.tile

    def delays(self) -> jax.Array:
        """The delay of each synapse in steps: int32, shape (n_synapses,)."""
        return (self.codes // self.codes.dtype.type(self.tile)).astype(jnp.int32)


def whole_steps(call: str, delay) -> np.ndarray:
    """Delays that a user passes, as an array of integers in range; or the error that says what to pass."""
    delays = native(delay)
    if delays.dtype.kind not in "iu" and delays.size:
        raise TypeError(
            f"{call}: delay must be in whole steps, an int or an array of integers, not {delays.dtype}; divide a time by "
            "the time step and round it, jnp.round(time / dt).astype(int)"
        )
    shortest, longest = (int(delays.min()), int(delays.max())) if delays.size else (0, 0)
    if shortest < 0 or longest > LONGEST:
        wrong = shortest if shortest < 0 else longest
        raise ValueError(
            f"{call}: a delay of {wrong} steps is not in [0, {LONGEST}]"
            + ("; use a longer time step" if wrong > 0 else "")
        )
    return delays


def delay_table(
    call: str, rows: Rows | tuple[int, int], delays: np.ndarray, where=None
) -> DelayTable:
    """The table of stored rows, or of a dense matrix of the given shape.

    Parameters
    ----------
    call : str
        Named in errors.
    rows : Rows or (n_in, n_out)
    delays : array of int, shape (n_synapses,)
        In [0, 65535], at least one, in (pre, post) order.
    where : Sharding, optional
        Of the arrays of the table, from :func:`eventops.core.places.of`.

    Raises
    ------
    ValueError
        If there are more synapses or slots than can be numbered.
    """
    n_in, n_out = rows if isinstance(rows, tuple) else (rows.n_in, rows.n_out)
    if delays.size > MAX_SYNAPSES:
        raise ValueError(
            f"{call}: {delays.size} synapses with delays are more than {MAX_SYNAPSES}; split the projection"
        )
    slots = n_slots(delays.max())
    tile = tile_width(n_out, slots, delays.size / n_in)
    n_tiles = -(-n_out // tile)
    if n_tiles * slots * tile > MOST_SLOTS:
        raise ValueError(
            f"{call}: delays up to {delays.max()} steps onto {n_out} neurons need a ring of "
            f"{n_tiles * slots * tile} numbers, more than {MOST_SLOTS}; use a longer time step, or split the projection"
        )
    dtype = np.uint16 if slots * tile <= 2**16 else np.uint32
    codes = aligned(delays.size, dtype)
    counts = np.empty(n_in * n_tiles, np.int64)
    for first, last, begin, posts, degrees in _chunks(rows, n_in, n_out):
        row = np.repeat(np.arange(last - first, dtype=np.int64), degrees)
        segment = row * n_tiles + posts // tile
        n_segments = (last - first) * n_tiles
        counts[first * n_tiles : last * n_tiles] = np.bincount(segment, minlength=n_segments)
        there = slice(begin, begin + posts.size)
        codes[there] = delays[there].astype(np.int64) * tile + posts % tile
    ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return DelayTable(placed(ptr, where), placed(codes, where), n_out, n_tiles, slots, tile)


def _chunks(rows, n_in, n_out):
    """Some rows at a time: (first, last, first synapse, posts, out-degrees)."""
    if isinstance(rows, tuple):
        step = max(1, _CHUNK // n_out)
        for first in range(0, n_in, step):
            last = min(n_in, first + step)
            posts = np.tile(np.arange(n_out, dtype=np.int64), last - first)
            yield first, last, first * n_out, posts, np.full(last - first, n_out)
        return
    ptr, offsets, n_tiles = np.asarray(rows.ptr), np.asarray(rows.offsets), rows.n_tiles
    indptr = rows.indptr()
    first = 0
    while first < n_in:
        last = max(first + 1, int(np.searchsorted(indptr, indptr[first] + _CHUNK, "right")) - 1)
        segments = np.diff(ptr[first * n_tiles : last * n_tiles + 1])
        base = np.tile(np.arange(n_tiles, dtype=np.int64) * rows.tile, last - first)
        posts = np.repeat(base, segments) + offsets[indptr[first] : indptr[last]]
        yield first, last, int(indptr[first]), posts, np.diff(indptr[first : last + 1])
        first = last
