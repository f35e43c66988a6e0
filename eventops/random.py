"""Random graphs: ``(rule, sizes, parameter, seed, GENERATOR_VERSION)`` determines the graph.

Each line of a graph (the row of a pre neuron, or the column of a post neuron where the in-degree is fixed)
is drawn on its own from a counter-based generator in integer arithmetic, so that the graph depends on no
device, thread count or version of JAX, and any line can be drawn alone. ``csrc/lines.h`` and
``random_reference.py`` draw the same lines; the tests hold them equal, and golden hashes hold both to
version 1.
"""

import concurrent.futures
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from . import random_reference
from .backends import cpu, gpu
from .csr import MAX_SYNAPSES, Rows, empty_rows, n_tiles, tile_width

GENERATOR_VERSION = 1

BERNOULLI = 1
FIXED_POST = 2
FIXED_PRE = 3
# The second word of the counter: partners, and the choice of the pre neurons that have any. (1 is taken by
# the lower halves of gaps.)
_PARTNERS = 0
_AFFERENT = 2


@dataclasses.dataclass(frozen=True)
class Graph:
    """What determines a random graph.

    Parameters
    ----------
    rule : int
        ``BERNOULLI``: each (pre, post) pair with probability ``prob``, independently. ``FIXED_POST``: each
        pre neuron has exactly ``conn_num`` targets. ``FIXED_PRE``: each post neuron has exactly
        ``conn_num`` sources.
    n_in, n_out : int
    prob : float
    conn_num : int
    allow_multi, allow_self : bool
        Whether a pair may be connected repeatedly (multapses), a neuron with itself (autapses).
    n_selected : int
        How many pre neurons have any connection; ``n_in`` for all.
    seed : int
        In ``[0, 2**63)``.
    lane : int
        Keeps draws of different purpose apart.
    """

    rule: int
    n_in: int
    n_out: int
    prob: float = 0.0
    conn_num: int = 0
    allow_multi: bool = False
    allow_self: bool = True
    n_selected: int = -1
    seed: int = 0
    lane: int = _PARTNERS

    def expected_synapses(self) -> float:
        """Exact for fixed numbers, the mean of the binomial law for ``BERNOULLI``."""
        if self.rule == BERNOULLI:
            pairs = self.n_in * self.n_out - (0 if self.allow_self else min(self.n_in, self.n_out))
            return pairs * self.prob
        lines = self.n_selected if self.rule == FIXED_POST else self.n_out
        return lines * self.conn_num


# One digit of a gap takes 256 values; four digits exceed every admissible size.
_DIGIT_BITS = 8
_MAX_DIGITS = 4
# A double has at most 1,074 binary places, so 1 - p is exact with this many; its powers are rounded far
# below the 128 bits that are kept.
_PLACES = 1200


@functools.lru_cache(maxsize=64)
def gap_table(prob: float) -> np.ndarray:
    """Survival functions of the base-256 digits of a geometric gap.

    Between independent trials of probability p the number of failures G has P(G >= g) = x**g, x = 1 - p.
    Written in base 256, its digits are independent: digit d takes the value j with a weight proportional
    to (x**(256**d))**j. So a gap is one small table look-up per digit, for any p. In the last digit the
    value 256 stands for "256 or more": the law has no memory, so another digit is drawn and added.

    Returns
    -------
    array of uint32, shape (n_digits, 256, 4)
        ``[d, j - 1]`` is P(digit d >= j) as a 128-bit fraction, rounded down, lowest word first.
    """
    numerator, denominator = float(prob).as_integer_ratio()
    one = 1 << _PLACES
    x = one - (numerator << _PLACES) // denominator
    digits = []
    for d in range(_MAX_DIGITS):
        powers = [one]
        for _ in range(256):
            powers.append(powers[-1] * x >> _PLACES)
        last = powers[256] <= one // 2 or d == _MAX_DIGITS - 1
        if last:
            survival = [(p << 128) >> _PLACES for p in powers[1:]]
        else:
            survival = [((p - powers[256]) << 128) // (one - powers[256]) for p in powers[1:]]
        # 1 itself does not fit 128 bits; it is the survival of p = 0, for which no table is made.
        survival = [min(s, (1 << 128) - 1) for s in survival]
        digits.append([[s >> (32 * w) & 0xFFFFFFFF for w in range(4)] for s in survival])
        if last:
            break
        x = powers[256]
    return np.array(digits, np.uint32)


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of a graph: the synapses between a range of pre and a range of post neurons.

    Parameters
    ----------
    pre, post : tuple of int
        First and last + 1. A neuron of the part has its number less the first one.
    """

    pre: tuple[int, int]
    post: tuple[int, int]

    @property
    def n_in(self) -> int:
        return self.pre[1] - self.pre[0]

    @property
    def n_out(self) -> int:
        return self.post[1] - self.post[0]


def whole(graph: Graph) -> Window:
    """The window that is the whole graph."""
    return Window((0, graph.n_in), (0, graph.n_out))


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
    return _placed(part.rows(part.n_synapses))


def apart(make):
    """``make()`` on a thread of its own, where JAX has neither trace nor mesh of the caller's.

    So one device draws, also under ``jax.set_mesh`` (where all would), and an operator that is made inside
    ``jit`` has its graph as a constant of the program.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()


@functools.lru_cache(maxsize=256)
def n_synapses(graph: Graph) -> int:
    """How many synapses a graph has, without keeping it (a Bernoulli graph is drawn once to count them)."""
    if graph.rule == BERNOULLI:
        return Part(graph, whole(graph), "random.n_synapses").n_synapses
    return int(graph.expected_synapses())


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
        reference = reference or cpu.unavailable() is not None
        count = _count_reference if reference else _count_native
        if not reference and window == whole(graph) and gpu.can_draw(graph) and draws_on_gpu():
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
        lane=_AFFERENT,
    )
    return draw(choice, reference=reference).indices()


def native_arguments(graph: Graph, window: Window, tile: int) -> tuple[tuple, dict]:
    """Arrays and attributes that describe a part of a graph to the native library."""
    gaps = np.zeros((0, 256, 4), np.uint32)
    if graph.rule == BERNOULLI:
        gaps = gap_table(graph.prob)
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
    return (selected, gaps), attributes


def _count_native(graph: Graph, window: Window, tile: int):
    """Row pointers, and the function of a length that writes the offsets."""
    arrays, attributes = native_arguments(graph, window, tile)
    n_ptr = window.n_in * n_tiles(window.n_out, tile) + 1

    def call(name, shape, dtype, *args):
        out = jax.ShapeDtypeStruct(shape, dtype)
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return jax.jit(
                lambda *args: jax.ffi.ffi_call(cpu.target(name), out)(*args, **attributes)
            )(*args)

    ptr = call("DrawCount", (n_ptr,), jnp.int32, *arrays)
    return ptr, lambda length: call("DrawFill", (length,), jnp.uint16, *arrays, ptr)


def draws_on_gpu() -> bool:
    """Whether new arrays, and so graphs, go to an NVIDIA GPU that can draw."""
    return gpu.unavailable() is None and apart(gpu.is_default_device)


def _count_gpu(graph: Graph, window: Window, tile: int):
    return gpu.draw(graph, tile, n_tiles(window.n_out, tile))


def _count_reference(graph: Graph, window: Window, tile: int):
    selected = _selected(graph, reference=True)
    if graph.rule == BERNOULLI:
        pre, post = random_reference.bernoulli(graph, gap_table(graph.prob))
    elif graph.rule == FIXED_POST:
        pre, post = random_reference.fixed_post(graph, selected)
    else:
        pre, post = random_reference.fixed_pre(graph, selected)
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


def _placed(rows: Rows) -> Rows:
    """On the default device, or the devices of the mesh that is set, where the user's other arrays are."""
    with jax.ensure_compile_time_eval():
        default = jnp.zeros(()).sharding
        if rows.ptr.sharding == default:
            return rows
        return jax.device_put(rows, default)
