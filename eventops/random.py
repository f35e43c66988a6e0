"""Random graphs: ``(rule, sizes, parameter, seed, GENERATOR_VERSION)`` determines the graph.

Each line of a graph (the row of a pre neuron, or the column of a post neuron where the in-degree is fixed)
is drawn on its own from a counter-based generator in integer arithmetic, so that the graph depends on no
device, thread count or version of JAX, and any line can be drawn alone. ``csrc/lines.h`` and
``random_reference.py`` draw the same lines; the tests hold them equal, and golden hashes hold both to
version 1.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from . import random_reference
from .backends import cpu
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
    expected = graph.expected_synapses()
    if expected > MAX_SYNAPSES:
        raise ValueError(
            f"{call}: a graph of {graph.n_in} x {graph.n_out} neurons with about {expected:.4g} synapses is more "
            f"than {MAX_SYNAPSES} synapses; split the projection over several operators"
        )
    if expected == 0:
        return empty_rows(graph.n_in, graph.n_out)
    tile = tile_width(graph.n_out, expected / graph.n_in)
    if graph.n_in * n_tiles(graph.n_out, tile) >= MAX_SYNAPSES:
        raise ValueError(
            f"{call}: a graph of {graph.n_in} x {graph.n_out} neurons needs more row pointers than 32 bits can "
            "number; split the projection over several operators"
        )
    reference = reference or cpu.unavailable() is not None
    # Eager also where an operator is made inside jit: the graph is a constant of the program.
    with jax.ensure_compile_time_eval():
        if reference:
            return _draw_reference(graph, _selected(graph, reference), tile)
        return _draw_native(graph, _selected(graph, reference), tile)


def _selected(graph: Graph, reference: bool) -> np.ndarray:
    """The pre neurons that have any connection, ascending (empty if all have)."""
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


def _draw_native(graph: Graph, selected: np.ndarray, tile: int) -> Rows:
    bernoulli = graph.rule == BERNOULLI
    gaps = gap_table(graph.prob) if bernoulli else np.zeros((0, 256, 4), np.uint32)
    attributes = dict(
        rule=np.int64(graph.rule),
        n_in=np.int64(graph.n_in),
        n_out=np.int64(graph.n_out),
        tile=np.int64(tile),
        conn_num=np.int64(graph.conn_num),
        allow_multi=np.int64(graph.allow_multi),
        allow_self=np.int64(graph.allow_self),
        seed=np.int64(graph.seed),
        lane=np.int64(graph.lane),
    )
    n_ptr = graph.n_in * n_tiles(graph.n_out, tile) + 1
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        ptr = jax.jit(
            lambda *args: jax.ffi.ffi_call(
                cpu.target("DrawCount"), jax.ShapeDtypeStruct((n_ptr,), jnp.int32)
            )(*args, **attributes)
        )(selected, gaps)
        n_synapses = int(ptr[-1])
        offsets = jax.jit(
            lambda *args: jax.ffi.ffi_call(
                cpu.target("DrawFill"), jax.ShapeDtypeStruct((n_synapses,), jnp.uint16)
            )(*args, **attributes)
        )(selected, gaps, ptr)
    return _placed(Rows(ptr, offsets, graph.n_in, graph.n_out, tile))


def _draw_reference(graph: Graph, selected: np.ndarray, tile: int) -> Rows:
    if graph.rule == BERNOULLI:
        pre, post = random_reference.bernoulli(graph, gap_table(graph.prob))
    elif graph.rule == FIXED_POST:
        pre, post = random_reference.fixed_post(graph, selected)
    else:
        pre, post = random_reference.fixed_pre(graph, selected)
    tiles = n_tiles(graph.n_out, tile)
    counts = np.bincount(pre * tiles + post // tile, minlength=graph.n_in * tiles)
    ptr = np.concatenate([[0], np.cumsum(counts)])
    if ptr[-1] > MAX_SYNAPSES:
        raise ValueError("the graph has more than 2**31 - 1 synapses: split the projection")
    rows = Rows(
        jnp.asarray(ptr, jnp.int32),
        jnp.asarray(post % tile, jnp.uint16),
        graph.n_in,
        graph.n_out,
        tile,
    )
    return _placed(rows)


def _placed(rows: Rows) -> Rows:
    """On the default device, where the user's other arrays are."""
    default = jnp.zeros(0).devices()
    return rows if rows.ptr.devices() == default else jax.device_put(rows, *default)
