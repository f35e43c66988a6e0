"""Random graphs: ``(rule, sizes, parameter, seed, GENERATOR_VERSION)`` determines the graph.

Each line of a graph (the row of a pre neuron, or the column of a post neuron where the in-degree is fixed)
is drawn on its own from a counter-based generator in integer arithmetic, so that the graph depends on no
device, thread count or version of JAX, and any line can be drawn alone. ``csrc/cpu/lines.h`` and
``generator_reference.py`` draw the same lines; the tests hold them equal, and golden hashes hold both to
version 1. ``docs/generator.md`` is the definition.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ..core import cuda, loader
from ..core.placement import apart, placed
from ..rows.csr import MAX_SYNAPSES, Rows, empty_rows, n_tiles, tile_width
from . import cuda_drawing, generator_reference
from . import lattice as lattices
from .gaps import gap_table
from .graph import (
    AFFERENT,
    BERNOULLI,
    DISTANCE,
    FIXED_POST,
    FIXED_TOTAL,
    Generated,
    Graph,
    Window,
    whole,
)
from .graph import FIXED_PRE as FIXED_PRE

GENERATOR_VERSION = 1


def draw(graph: Graph, call: str = "random.draw", *, reference: bool = False) -> Rows:
    """Draw a graph, natively where the native library is present.

    Parameters
    ----------
    graph : Graph
        Checked by the operators; see there for the errors.
    call : str
        Named in errors.
    reference : bool
        Draw with NumPy instead: the same graph, slowly.

    Raises
    ------
    ValueError
        If the graph would have more than 2**31 - 1 synapses.
    """
    part = Part(graph, whole(graph), call, reference=reference)
    return placed(part.rows(part.n_synapses))


@functools.lru_cache(maxsize=256)
def n_synapses(graph: Graph) -> int:
    """How many synapses a graph has, without keeping it (independent pairs are drawn once to count them)."""
    if graph.counted:
        return int(graph.expected_synapses())
    return Part(graph, whole(graph), "random.n_synapses").n_synapses


def _expected(graph: Graph, window: Window) -> float:
    pairs = graph.n_in * graph.n_out
    return graph.expected_synapses() * (window.n_in * window.n_out / pairs) if pairs else 0.0


def part_tile(graph: Graph, window: Window) -> int:
    """Number of posts per tile in the rows of a part: the same for all windows of the same sizes."""
    expected = _expected(graph, window)
    return tile_width(window.n_out, expected / window.n_in if expected else 0)


class Part:
    """The part of a graph inside a window: counted when made, written by :meth:`rows`.

    Only the lines that cross the window are drawn, and nothing but the part is stored. Parts whose windows
    have the same sizes have the same tiles.

    Parameters
    ----------
    graph : Graph
    window : Window
        Not empty unless the graph is.
    call, reference
        As for :func:`draw`.

    Raises
    ------
    ValueError
        If the part would have more than 2**31 - 1 synapses.
    """

    def __init__(self, graph: Graph, window: Window, call: str, *, reference: bool = False):
        self.graph, self.window = graph, window
        expected = _expected(graph, window)
        if expected > MAX_SYNAPSES:
            raise ValueError(
                f"{call}: a graph of {window.n_in} x {window.n_out} neurons with about {expected:.4g} synapses is "
                f"more than {MAX_SYNAPSES} synapses; split the projection over several operators"
            )
        self.tile = part_tile(graph, window)
        if window.n_in * n_tiles(window.n_out, self.tile) >= MAX_SYNAPSES:
            raise ValueError(
                f"{call}: a graph of {window.n_in} x {window.n_out} neurons needs more row pointers than 32 bits "
                "can number; split the projection over several operators"
            )
        self._fill = None
        if expected == 0:
            self.ptr = apart(lambda: empty_rows(window.n_in, window.n_out).ptr)
            self.n_synapses = 0
            return
        reference = reference or loader.unavailable() is not None
        count = _count_reference if reference else _count_native
        if not reference and window == whole(graph) and draws_on_gpu():
            count = _count_gpu
        self.ptr, self._fill = apart(lambda: count(graph, window, self.tile))
        self.n_synapses = apart(lambda: int(self.ptr[-1]))
        if self.n_synapses < 0:  # more than 32 bits can count: the host's ways say so themselves
            raise ValueError(
                f"{call}: the graph has more than {MAX_SYNAPSES} synapses: split the projection"
            )

    def rows(self, length: int) -> Rows:
        """The rows, on the device that drew them, with ``length >= n_synapses`` offsets of which the last are 0."""
        fill = self._fill or (lambda length: jnp.zeros(length, jnp.uint16))
        offsets = apart(lambda: fill(length))
        return Rows(self.ptr, offsets, self.window.n_in, self.window.n_out, self.tile)

    def out_degrees(self) -> np.ndarray:
        """Synapses of each pre neuron of the part: int64, shape (n_in,)."""
        tiles = n_tiles(self.window.n_out, self.tile)
        return np.diff(np.asarray(self.ptr)[::tiles].astype(np.int64))


def _selected(graph: Graph, reference: bool) -> np.ndarray:
    """The pre neurons that have any connection, ascending."""
    if graph.n_selected in (-1, graph.n_in):
        return np.arange(graph.n_in, dtype=np.int32)
    choice = Graph(
        FIXED_POST,
        1,
        graph.n_in,
        conn_num=graph.n_selected,
        n_selected=1,
        seed=graph.seed,
        lane=AFFERENT,
    )
    return draw(choice, reference=reference).indices()


@functools.lru_cache(maxsize=8)
def row_counts(graph: Graph, reference: bool = False) -> np.ndarray:
    """How many synapses each row of a ``FIXED_TOTAL`` graph has: int32, shape (n_in,), not to be written to.

    The total falls on the rows as it does when pairs are drawn one after another (multinomial with repeats,
    multivariate hypergeometric without). Given the counts, rows are independent of each other.
    """
    partners = graph.n_out - (0 if graph.allow_self else 1)
    few = graph.conn_num
    # More than half of the pairs are drawn as those that are left out.
    complement = not graph.allow_multi and few > graph.n_pairs // 2
    if complement:
        few = graph.n_pairs - few
    if reference or loader.unavailable() is not None:
        counts = generator_reference.row_counts(graph, partners, few)
    else:
        attributes = dict(n_partners=partners, conn_num=few, allow_multi=graph.allow_multi)
        attributes = {name: np.int64(value) for name, value in attributes.items()}
        seed = seed_words(graph.seed)
        counts = apart(
            lambda: _on_cpu("DrawRowCounts", (graph.n_in,), jnp.int32, seed, **attributes)
        )
    counts = np.array(counts, np.int32)
    if complement:
        counts = np.int32(partners) - counts
    counts.setflags(write=False)
    return counts


@functools.lru_cache(maxsize=8)
def _lattice_tables(lattice: lattices.Lattice) -> tuple[np.ndarray, np.ndarray]:
    """The tables of gaps of all levels, and the levels, for the native library."""
    exponents = np.unique(lattices.levels(lattice).exponent)
    tables = {int(e): gap_table(2.0 ** -int(e)) for e in exponents}
    starts = np.cumsum([0, *(len(table) for table in tables.values())])
    digits = {e: (int(first), len(table)) for (e, table), first in zip(tables.items(), starts)}
    gaps = np.concatenate([np.zeros((0, 256, 4), np.uint32), *tables.values()])
    return gaps, lattices.packed(lattice, digits)


def native_arguments(graph: Graph, window: Window, tile: int) -> tuple[tuple, dict]:
    """Arrays and attributes that describe a part of a graph to the native library."""
    gaps, rule = np.zeros((0, 256, 4), np.uint32), np.zeros(0, np.uint32)
    if graph.rule == BERNOULLI:
        gaps = gap_table(graph.prob)
    elif graph.rule == FIXED_TOTAL:
        rule = row_counts(graph).view(np.uint32)
    elif graph.rule == DISTANCE:
        gaps, rule = _lattice_tables(graph.lattice)
    selected = _selected(graph, reference=False)
    attributes = dict(
        rule=np.int64(graph.rule),
        n_in=np.int64(graph.n_in),
        n_out=np.int64(graph.n_out),
        tile=np.int64(tile),
        conn_num=np.int64(graph.conn_num),
        n_selected=np.int64(selected.size),
        allow_multi=np.int64(graph.allow_multi),
        allow_self=np.int64(graph.allow_self),
        seed=np.int64(graph.seed),
        lane=np.int64(graph.lane),
        pre_begin=np.int64(window.pre[0]),
        pre_end=np.int64(window.pre[1]),
        post_begin=np.int64(window.post[0]),
        post_end=np.int64(window.post[1]),
    )
    if selected.size == graph.n_in:
        selected = np.zeros(0, np.int32)
    return (selected, gaps, rule), attributes


def _count_native(graph: Graph, window: Window, tile: int):
    """Row pointers, and the function of a length that writes the offsets."""
    arrays, attributes = native_arguments(graph, window, tile)
    del attributes["seed"]
    n_ptr = window.n_in * n_tiles(window.n_out, tile) + 1

    seed = seed_words(graph.seed)
    ptr = _on_cpu("DrawCount", (n_ptr,), jnp.int32, *arrays, seed, **attributes)
    return ptr, lambda length: _on_cpu(
        "DrawFill", (length,), jnp.uint16, *arrays, ptr, seed, **attributes
    )


def standard_weights(law: Generated, rows: Rows, *, reference: bool = False) -> np.ndarray:
    """The quantile of the standard law that each synapse has: float32, shape (n_synapses,).

    Parameters
    ----------
    law : Generated
    rows : Rows
        The whole graph of ``law``.
    reference : bool
        Compute with NumPy instead: the same numbers, slowly.
    """
    graph, table = law.graph, law.quantiles.table
    if rows.n_synapses == 0:
        return np.zeros(0, np.float32)
    if reference or loader.unavailable() is not None:
        pre = np.repeat(np.arange(rows.n_in), np.diff(rows.indptr()))
        return law.quantiles(generator_reference.weight_words(graph, pre, rows.indices()))
    arrays = np.asarray(rows.ptr), np.asarray(rows.offsets), table, seed_words(graph.seed)
    attributes = dict(
        n_out=np.int64(rows.n_out),
        tile=np.int64(rows.tile),
        rule=np.int64(graph.rule),
    )
    shape = (rows.n_synapses,)
    return apart(
        lambda: np.asarray(_on_cpu("StandardWeights", shape, jnp.float32, *arrays, **attributes))
    )


def _on_cpu(name, shape, dtype, *args, **attributes):
    """The result of a native handler that draws."""
    return loader.run_on_cpu(name, jax.ShapeDtypeStruct(shape, dtype), *args, **attributes)


def seed_words(seed: int) -> np.ndarray:
    """The two words of a seed as native kernels take it, the lower one first."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


def draws_on_gpu() -> bool:
    """Whether new arrays, and so graphs, go to an NVIDIA GPU that can draw."""
    return cuda.unavailable() is None and apart(cuda.is_default_device)


def _count_gpu(graph: Graph, window: Window, tile: int):
    arrays, attributes = native_arguments(graph, window, tile)
    return cuda_drawing.draw(graph, arrays, attributes, n_tiles(window.n_out, tile))


def _count_reference(graph: Graph, window: Window, tile: int):
    selected = _selected(graph, reference=True)
    if graph.rule == BERNOULLI:
        pre, post = generator_reference.bernoulli(graph, gap_table(graph.prob))
    elif graph.rule == FIXED_POST:
        pre, post = generator_reference.fixed_post(graph, selected)
    elif graph.rule == FIXED_TOTAL:
        pre, post = generator_reference.fixed_total(graph, row_counts(graph, reference=True))
    elif graph.rule == DISTANCE:
        pre, post = generator_reference.distance(graph)
    else:
        pre, post = generator_reference.fixed_pre(graph, selected)
    inside = (pre >= window.pre[0]) & (pre < window.pre[1])
    inside &= (post >= window.post[0]) & (post < window.post[1])
    pre, post = pre[inside] - window.pre[0], post[inside] - window.post[0]
    tiles = n_tiles(window.n_out, tile)
    counts = np.bincount(pre * tiles + post // tile, minlength=window.n_in * tiles)
    ptr = np.concatenate([[0], np.cumsum(counts)])
    if ptr[-1] > MAX_SYNAPSES:
        raise ValueError("the graph has more than 2**31 - 1 synapses: split the projection")

    def fill(length):
        offsets = np.zeros(length, np.uint16)
        offsets[: post.size] = post % tile
        return jnp.asarray(offsets)

    return jnp.asarray(ptr, jnp.int32), fill
