"""Stored rows: the synapses of each pre neuron, tiled so that a post index takes 16 bits."""

import dataclasses
import functools
import hashlib
import operator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

MAX_SYNAPSES = 2**31 - 1
WIDEST_TILE = 65536


def tile_width(n_out: int, mean_out_degree: float) -> int:
    """Number of consecutive posts that share one tile.

    A tile of about 16,384 float32 outputs stays in a core's second-level cache while events are added to
    it; an even number of equal tiles divides well over threads. Where a row has less than 30 synapses in such a tile,
    to begin and end a segment costs more than a larger part of the cache (80 of 40,000: two tiles instead of four take
    three quarters of the time), and tiles grow up to the 65,536 that 16 bits can name.
    """
    if n_out <= 8192:
        return max(n_out, 1)
    n_tiles = 2 * -(-n_out // 32768)
    while n_tiles > 2 and mean_out_degree / n_tiles < 30 and -(-n_out // (n_tiles // 2)) <= 65000:
        n_tiles = -(-n_tiles // 4) * 2
    width = -(-n_out // n_tiles)
    return min(-(-width // 64) * 64, WIDEST_TILE)


def n_tiles(n_out: int, tile: int) -> int:
    """Number of tiles of ``n_out`` posts; one, which is empty, for none."""
    return max(1, -(-n_out // tile))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("ptr", "offsets", "position"),
    meta_fields=("n_in", "n_out", "tile"),
)
@dataclasses.dataclass(frozen=True)
class Columns:
    """The same synapses in (post, pre) order, for what is driven by post neurons; see ``columns.py``.

    Attributes
    ----------
    ptr, offsets : array of int32 and of uint16
        As for :class:`Rows`, with post neurons in place of rows and pre neurons cut into tiles.
    position : array of int32, shape (n_synapses,)
        Where each synapse stands among the rows, and so its weight.
    n_in, n_out, tile : int
        Number of pre and post neurons, and of pre neurons per tile.
    """

    ptr: jax.Array
    offsets: jax.Array
    position: jax.Array
    n_in: int
    n_out: int
    tile: int

    @property
    def n_tiles(self) -> int:
        return n_tiles(self.n_in, self.tile)

    @property
    def nbytes(self) -> int:
        """Bytes stored, in all arrays."""
        return self.ptr.size * 4 + self.offsets.size * 6


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("ptr", "offsets", "columns"),
    meta_fields=("n_in", "n_out", "tile"),
)
@dataclasses.dataclass(frozen=True)
class Rows:
    """Synapses in (pre, post) order, as CSR with posts cut into tiles.

    Attributes
    ----------
    ptr : array of int32, shape (n_in * n_tiles + 1,)
        Row ``i`` in tile ``t`` holds the synapses ``ptr[i * n_tiles + t]`` up to
        ``ptr[i * n_tiles + t + 1]``.
    offsets : array of uint16, shape (n_synapses,)
        The post index less ``t * tile``.
    n_in, n_out, tile : int
        Number of pre and post neurons, and of posts per tile.
    columns : Columns, optional
        The column index, where the rows carry it through JAX transformations.
    """

    ptr: jax.Array
    offsets: jax.Array
    n_in: int
    n_out: int
    tile: int
    columns: Columns | None = None
    made_columns: ClassVar[Columns | None] = None  # set on instances by columns.of

    @property
    def n_tiles(self) -> int:
        return n_tiles(self.n_out, self.tile)

    @property
    def n_synapses(self) -> int:
        return self.offsets.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes stored, in all arrays; those of a column index that was made included."""
        columns = self.columns or self.made_columns
        return self.ptr.size * 4 + self.offsets.size * 2 + (columns.nbytes if columns else 0)

    def indptr(self) -> np.ndarray:
        """Where each row starts: int64, shape (n_in + 1,)."""
        return np.asarray(self.ptr)[:: self.n_tiles].astype(np.int64)

    def indices(self) -> np.ndarray:
        """The post neuron of each synapse, in (pre, post) order: int32, shape (n_synapses,)."""
        ptr = np.asarray(self.ptr)
        base = np.tile(np.arange(self.n_tiles, dtype=np.int32) * self.tile, self.n_in)
        return np.repeat(base, np.diff(ptr)) + np.asarray(self.offsets, np.int32)

    def row(self, i: int) -> np.ndarray:
        """The post neurons of pre neuron ``i``, ascending: int32."""
        i = operator.index(i)  # NumPy's narrow integers would wrap below
        if not 0 <= i < self.n_in:
            raise IndexError(f"Rows.row({i}): there are {self.n_in} rows, numbered from 0")
        ptr = np.asarray(self.ptr[i * self.n_tiles : (i + 1) * self.n_tiles + 1])
        base = np.repeat(np.arange(self.n_tiles, dtype=np.int32) * self.tile, np.diff(ptr))
        return base + np.asarray(self.offsets[int(ptr[0]) : int(ptr[-1])], np.int32)

    def hash(self) -> str:
        """SHA-256 of the graph, whatever its tiles: the same for the same synapses."""
        digest = hashlib.sha256(f"eventops graph {self.n_in} x {self.n_out}\n".encode())
        digest.update(self.indptr().astype("<i8").tobytes())
        digest.update(self.indices().astype("<i4").tobytes())
        return digest.hexdigest()

    @jax.jit  # one program instead of one for each of its operations
    def coordinates(self) -> tuple[jax.Array, jax.Array]:
        """The pre and the post neuron of each synapse: two int32 arrays, traceable under ``jit``."""
        segment = jnp.repeat(
            jnp.arange(self.ptr.shape[0] - 1, dtype=jnp.int32),
            jnp.diff(self.ptr),
            total_repeat_length=self.n_synapses,
        )
        n_tiles = jnp.int32(self.n_tiles)
        post = (segment % n_tiles) * jnp.int32(self.tile) + self.offsets.astype(jnp.int32)
        return segment // n_tiles, post

    @jax.jit
    def todense(self, weight: jax.Array) -> jax.Array:
        """The (n_in, n_out) matrix with these weights; weights of repeated pairs add up."""
        pre, post = self.coordinates()
        dense = jnp.zeros((self.n_in, self.n_out), weight.dtype)
        return dense.at[pre, post].add(weight, mode="promise_in_bounds")


def empty_rows(n_in: int, n_out: int) -> Rows:
    tile = tile_width(n_out, 0)
    ptr = jnp.zeros(n_in * n_tiles(n_out, tile) + 1, jnp.int32)
    return Rows(ptr, jnp.zeros(0, jnp.uint16), n_in, n_out, tile)


def rows_from_csr(indptr, indices, n_out: int) -> Rows:
    """Checked construction from CSR arrays whose rows are sorted (repeats allowed).

    Parameters
    ----------
    indptr : array of int, shape (n_in + 1,)
    indices : array of int, shape (n_synapses,)
        Post indices in ``[0, n_out)``, ascending within each row.
    n_out : int

    Raises
    ------
    ValueError
        If an index is out of range or out of order, or the arrays do not fit each other.
    TypeError
        If an array is not of integers.
    """
    indptr = _integers("indptr", indptr)
    indices = _integers("indices", indices)
    if not isinstance(n_out, (int, np.integer)) or not 0 <= n_out < 2**31:
        raise ValueError(f"rows_from_csr: n_out={n_out!r} must be an integer in [0, 2**31)")
    if indptr.ndim != 1 or indptr.size < 1 or indices.ndim != 1:
        raise ValueError(
            f"rows_from_csr: indptr and indices must be vectors, not {indptr.shape} and {indices.shape}"
        )
    if indptr[0] != 0 or indptr[-1] != indices.size or np.any(np.diff(indptr) < 0):
        raise ValueError(
            f"rows_from_csr: indptr must rise from 0 to {indices.size}, the number of indices"
        )
    if indices.size > MAX_SYNAPSES:
        raise ValueError(
            f"rows_from_csr: {indices.size} synapses are more than {MAX_SYNAPSES}; "
            "split the projection over several operators"
        )
    if indices.size and (indices.min() < 0 or indices.max() >= n_out):
        raise ValueError(
            f"rows_from_csr: post indices must be in [0, {n_out}), "
            f"but they go from {indices.min()} to {indices.max()}"
        )
    n_in = indptr.size - 1
    row = np.repeat(np.arange(n_in), np.diff(indptr))
    if np.any((np.diff(indices) < 0) & (np.diff(row) == 0)):
        raise ValueError("rows_from_csr: post indices must ascend within each row; sort them first")
    if n_in == 0 or n_out == 0:
        return empty_rows(n_in, n_out)
    tile = tile_width(n_out, indices.size / n_in)
    tiles = n_tiles(n_out, tile)
    counts = np.bincount(row * tiles + indices // tile, minlength=n_in * tiles)
    ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    offsets = (indices % tile).astype(np.uint16)
    return Rows(jnp.asarray(ptr), jnp.asarray(offsets), n_in, n_out, tile)


def _integers(name: str, values) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "iu" and values.size:
        raise TypeError(
            f"rows_from_csr: {name} must be integers, not {values.dtype}; convert it with astype"
        )
    if values.dtype == np.uint64:  # what int64 does not hold is outside as well, but must not wrap
        values = np.minimum(values, np.uint64(2**63 - 1))
    return values.astype(np.int64)
