"""What determines a random graph: its rule, sizes, parameters and seed."""

import dataclasses

from . import lattice as lattices
from .lattice import Lattice
from .quantiles import Quantiles

BERNOULLI = 1
FIXED_POST = 2
FIXED_PRE = 3
FIXED_TOTAL = 4
DISTANCE = 5
# The second word of the counter: partners, and the choice of the pre neurons that have any. (docs/generator.md
# has the others.)
PARTNERS = 0
AFFERENT = 2
WEIGHTS = 6


@dataclasses.dataclass(frozen=True)
class Graph:
    """What determines a random graph.

    Parameters
    ----------
    rule : int
        ``BERNOULLI``: each (pre, post) pair with probability ``prob``, independently. ``FIXED_POST``: each
        pre neuron has exactly ``conn_num`` targets. ``FIXED_PRE``: each post neuron has exactly
        ``conn_num`` sources. ``FIXED_TOTAL``: ``conn_num`` of all pairs. ``DISTANCE``: each pair with the
        probability that ``lattice`` gives it, independently.
    n_in, n_out : int
    prob : float
        Of ``BERNOULLI``.
    conn_num : int
    allow_multi, allow_self : bool
        Whether a pair may be connected repeatedly (multapses), a neuron with itself (autapses).
    n_selected : int
        How many pre neurons have any connection; ``n_in`` for all.
    seed : int
        In ``[0, 2**63)``.
    lane : int
        Keeps draws of different purpose apart.
    lattice : Lattice
        Of ``DISTANCE``.
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
    lane: int = PARTNERS
    lattice: Lattice | None = None

    @property
    def n_pairs(self) -> int:
        """How many (pre, post) pairs may be connected."""
        return self.n_in * self.n_out - (0 if self.allow_self else min(self.n_in, self.n_out))

    @property
    def counted(self) -> bool:
        """Whether the number of synapses is known before they are drawn."""
        return self.rule not in (BERNOULLI, DISTANCE)

    def expected_synapses(self) -> float:
        """Exact for fixed numbers, the mean where pairs are independent."""
        if self.rule == BERNOULLI:
            return self.n_pairs * self.prob
        if self.rule == DISTANCE:
            return lattices.mean_number(self.lattice, self.allow_self)
        if self.rule == FIXED_TOTAL:
            return self.conn_num
        lines = self.n_selected if self.rule == FIXED_POST else self.n_out
        return lines * self.conn_num

    def mean_prob(self) -> float:
        """Synapses per pair; ``prob`` itself for ``BERNOULLI``."""
        if self.rule == BERNOULLI:
            return self.prob
        return self.expected_synapses() / max(1, self.n_in * self.n_out)


@dataclasses.dataclass(frozen=True)
class Generated:
    """A graph whose synapses have weights of their own, of which none is stored either.

    Parameters
    ----------
    graph : Graph
    quantiles : Quantiles
        Of the standard law; its location and scale are arrays.
    """

    graph: Graph
    quantiles: Quantiles


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
