"""Neurons on a line, a ring, a grid or a torus: the probability of every pair, as integers.

Pre and post neurons are spread evenly over the same space, each in the middle of its cell: along an axis of
length 1, neuron ``i`` of ``a`` sits at ``(2i + 1) / 2a``. With ``a = g a'`` and ``b = g b'`` neurons on the two
sides, g the greatest common divisor, the distance of pre neuron ``i`` and post neuron ``j`` is
``((2i + 1) b' - (2j + 1) a') / (2 g a' b')``. It stays the same when i grows by a' and j by b', so that the pre
neurons fall into a' classes, each with one table of offsets for all its members.
"""

import dataclasses
import functools
import hashlib
import itertools
import math

import numpy as np

from ..core.messages import applied

MOST_OFFSETS = 2**25


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis: ``n_pre`` and ``n_post`` neurons, on a circle or not."""

    n_pre: int
    n_post: int
    periodic: bool

    @property
    def step(self) -> tuple[int, int]:
        """How far pre and post neurons go on until their distances repeat: (a', b')."""
        g = math.gcd(self.n_pre, self.n_post)
        return self.n_pre // g, self.n_post // g

    @property
    def n_offsets(self) -> int:
        """The number of offsets that a class has."""
        return self.n_post if self.periodic else 2 * self.n_post - self.step[1]

    def distances(self, kind: int, extent: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Offsets of the post neurons within reach of class ``kind``, ascending, and their distances.

        An offset counts from post neuron ``(i // a') b'``; on a circle it is taken modulo ``n_post``.
        """
        a, b = self.step
        first = 0 if self.periodic else b - self.n_post
        offset = np.arange(first, self.n_post, dtype=np.int64)
        apart = np.abs((2 * kind + 1) * b - (2 * offset + 1) * a)
        whole = 2 * self.n_pre * b
        if self.periodic:
            apart %= whole
            apart = np.minimum(apart, whole - apart)
        distance = apart.astype(np.float64) * (extent / whole)
        near = distance <= reach
        return offset[near], distance[near]


@dataclasses.dataclass(frozen=True, eq=False)
class Lattice:
    """What a distance-dependent graph depends on besides its seed; equal where all of it is equal.

    Attributes
    ----------
    axes : (Axis, Axis)
        Rows and columns of the grid; a line is one row. Neurons are numbered row by row.
    starts : array of int64, shape (n_classes + 1,)
        Where the pairs of each class stand.
    offset : array of int32, shape (n, 2)
        Of a post neuron, along both axes; ascending within a class.
    prob : array of uint64, shape (n,)
        The probability times 2**64, rounded down, less 1. Pairs of probability 0 are left out.
    """

    axes: tuple[Axis, Axis]
    starts: np.ndarray
    offset: np.ndarray
    prob: np.ndarray
    digest: str = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        digest = hashlib.sha256(repr(self.axes).encode())
        for array in (self.starts, self.offset, self.prob):
            array.setflags(write=False)
            digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).data)
        object.__setattr__(self, "digest", digest.hexdigest())

    def __eq__(self, other):
        return isinstance(other, Lattice) and self.digest == other.digest

    def __hash__(self):
        return hash(self.digest)

    def __repr__(self):
        pre, post = (
            (self.axes[0].n_pre, self.axes[1].n_pre),
            (self.axes[0].n_post, self.axes[1].n_post),
        )
        return f"Lattice({pre}, {post}, periodic={self.periodic}, digest={self.digest[:16]})"

    def to_dict(self) -> dict:
        """Numbers, lists and dicts alone."""
        arrays = {name: getattr(self, name).tolist() for name in ("starts", "offset", "prob")}
        return {"axes": [dataclasses.asdict(axis) for axis in self.axes], **arrays}

    @classmethod
    def from_dict(cls, fields: dict) -> "Lattice":
        """The inverse of :meth:`to_dict`."""
        return cls(
            axes=tuple(Axis(**axis) for axis in fields["axes"]),
            starts=np.array(fields["starts"], np.int64),
            offset=np.array(fields["offset"], np.int32).reshape(-1, 2),
            prob=np.array(fields["prob"], np.uint64),
        )

    @property
    def periodic(self) -> tuple[bool, bool]:
        return self.axes[0].periodic, self.axes[1].periodic

    @property
    def classes(self) -> tuple[int, int]:
        return self.axes[0].step[0], self.axes[1].step[0]


def make(call: str, axes: tuple[Axis, Axis], extent: tuple[float, float], profile) -> Lattice:
    """The lattice whose pairs are connected with probability ``profile(distance)``.

    Parameters
    ----------
    call : str
        Named in errors.
    axes : (Axis, Axis)
    extent : (float, float)
        Length of each axis.
    profile : callable
        From an array of distances, shape (n,), to their probabilities.

    Raises
    ------
    ValueError
        If there are more offsets than a table takes, or a probability is none.
    """
    reach = float(getattr(profile, "reach", math.inf))
    if 0 in (axes[0].n_pre, axes[0].n_post, axes[1].n_pre, axes[1].n_post):
        nothing = np.zeros((0, 2), np.int32)
        return Lattice(axes, np.zeros(1, np.int64), nothing, np.zeros(0, np.uint64))
    number = math.prod(axis.step[0] * axis.n_offsets for axis in axes)
    # Before any work: each class looks at all offsets of its axis, whatever the profile's reach.
    if max(axis.step[0] * axis.n_offsets for axis in axes) > 16 * MOST_OFFSETS:
        raise _too_many(call, number)
    sides = [_side(call, axis, length, reach, number) for axis, length in zip(axes, extent)]
    number = math.prod(sum(offset.size for offset, _ in side) for side in sides)
    if number > MOST_OFFSETS:
        raise _too_many(call, number)
    offsets, probs = [], []
    for (y, dy), (x, dx) in itertools.product(*sides):
        distance = np.sqrt((dy * dy)[:, None] + (dx * dx)[None, :]).ravel()
        held, prob = _thresholds(call, profile, distance)
        offset = np.stack([y[held // max(1, x.size)], x[held % max(1, x.size)]], axis=1)
        offsets.append(offset.astype(np.int32))
        probs.append(prob)
    starts = np.concatenate([[0], np.cumsum([p.size for p in probs])]).astype(np.int64)
    return Lattice(axes, starts, np.concatenate(offsets), np.concatenate(probs))


def _side(call: str, axis: Axis, length: float, reach: float, number: int) -> list:
    """Offsets and distances of each class of one axis; raises as soon as they are too many to keep."""
    side, kept = [], 0
    for kind in range(axis.step[0]):
        side.append(axis.distances(kind, length, reach))
        kept += side[-1][0].size
        if kept > MOST_OFFSETS:
            raise _too_many(call, number)
    return side


def _too_many(call: str, number: int) -> ValueError:
    return ValueError(
        f"{call}: about {number:.3g} different offsets between neurons are more than {MOST_OFFSETS}; use a profile "
        "that ends (profiles.Box), fewer neurons, or sizes with a larger common divisor"
    )


def _thresholds(call: str, profile, distance) -> tuple[np.ndarray, np.ndarray]:
    """Where the probability is not 0, and it times 2**64, rounded down, less 1."""
    form = "a function of an array of distances"
    prob = np.asarray(applied(call, "profile", profile, form, lambda: profile(distance)))
    if prob.shape != distance.shape or prob.dtype.kind not in "fiub":
        raise ValueError(
            f"{call}: profile gave {prob.dtype}{prob.shape} for {distance.size} distances; it must give one "
            "probability for each"
        )
    prob = prob.astype(np.float64)
    wrong = np.flatnonzero(~((prob >= 0) & (prob <= 1)))
    if wrong.size:
        raise ValueError(
            f"{call}: profile({distance[wrong[0]]:g}) = {prob[wrong[0]]:g} must be a probability in [0, 1]"
        )
    sure = prob == 1
    numbers = np.ldexp(np.where(sure, 0.0, prob), 64).astype(np.uint64)
    numbers = np.where(sure, np.uint64(2**64 - 1), numbers - np.uint64(1))
    held = np.flatnonzero(sure | (prob >= 2.0**-64))
    return held, numbers[held]


def n_pairs(lattice: Lattice, allow_self: bool = True) -> np.ndarray:
    """How many pairs of neurons stand at each offset of each class: float64, shape (n,)."""
    number = np.ones(lattice.prob.size)
    if number.size == 0:
        return number
    classes = itertools.product(*(range(n) for n in lattice.classes))
    for c, kinds in enumerate(classes):
        part = slice(int(lattice.starts[c]), int(lattice.starts[c + 1]))
        own = np.ones(part.stop - part.start, bool)
        for d, axis in enumerate(lattice.axes):
            a, b = axis.step
            offset = lattice.offset[part, d].astype(np.int64)
            bases = axis.n_pre // a
            own &= offset == kinds[d]
            if axis.periodic:
                number[part] *= bases
            else:  # base k reaches post neuron k b + offset, if there is one
                first = np.maximum(0, -(offset // b))
                last = np.minimum(bases, -((offset - axis.n_post) // b))
                number[part] *= np.maximum(0, last - first)
        if (
            not allow_self
        ):  # the sizes are equal, so there is one class, and offset 0 is the neuron itself
            number[part][own] = 0
    return number


@functools.lru_cache(maxsize=64)
def mean_number(lattice: Lattice, allow_self: bool) -> float:
    """The expected number of synapses."""
    return float(np.sum(n_pairs(lattice, allow_self) * probabilities(lattice)))


def probabilities(lattice: Lattice) -> np.ndarray:
    """The probability of each offset of each class: float64, shape (n,)."""
    return np.ldexp(lattice.prob.astype(np.float64) + 1.0, -64)


@dataclasses.dataclass(frozen=True)
class Levels:
    """A lattice as its rows are drawn: pairs of similar probability together.

    Level l holds the pairs whose probability is in (2**-(l+1), 2**-l]; each is a candidate with probability
    2**-l, found by geometric gaps, and a candidate is kept where a 64-bit number does not exceed its
    threshold. What comes last is put together where not even one candidate in four rows is expected.

    Attributes
    ----------
    classes : array of int64, shape (n_classes + 1,)
        Where the levels of each class stand.
    exponent : array of int64, shape (n_levels,)
        l of each level.
    starts : array of int64, shape (n_levels + 1,)
        Where the pairs of each level stand.
    offset : array of int32, shape (n, 2)
    threshold : array of uint64, shape (n,)
    """

    classes: np.ndarray
    exponent: np.ndarray
    starts: np.ndarray
    offset: np.ndarray
    threshold: np.ndarray


_POWERS = np.uint64(1) << np.arange(64, dtype=np.uint64)


@functools.lru_cache(maxsize=8)
def levels(lattice: Lattice) -> Levels:
    """The levels of a lattice."""
    level = 64 - np.searchsorted(_POWERS, lattice.prob, side="right")
    classes, exponents, counts = [0], [], []
    order = np.arange(level.size)
    for c in range(lattice.starts.size - 1):
        part = slice(int(lattice.starts[c]), int(lattice.starts[c + 1]))
        number = np.bincount(level[part], minlength=65)
        behind = np.cumsum(number[::-1])[::-1]  # pairs of this level and of those after it
        last = np.flatnonzero((number > 0) & (4.0 * behind <= np.ldexp(1.0, np.arange(65))))
        if last.size:
            level[part] = np.minimum(level[part], last[0])
        present, number = np.unique(level[part], return_counts=True)
        order[part] = part.start + np.argsort(level[part], kind="stable")
        classes.append(classes[-1] + present.size)
        exponents.append(present)
        counts.append(number)
    exponent = np.concatenate([*exponents, np.zeros(0, np.int64)]).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(np.concatenate([*counts, np.zeros(0, np.int64)]))])
    level = level.astype(np.uint64)
    # (prob + 1) << level, less 1; a shift by 64 happens to the value 0 alone.
    wide = level > 63
    shift = np.where(wide, np.uint64(0), level)
    threshold = (lattice.prob << shift) + ((np.uint64(1) << shift) - np.uint64(1))
    threshold = np.where(wide, np.uint64(2**64 - 1), threshold)
    return Levels(
        np.array(classes, np.int64),
        exponent,
        starts.astype(np.int64),
        lattice.offset[order],
        threshold[order],
    )


def packed(lattice: Lattice, n_digits: dict[int, tuple[int, int]]) -> np.ndarray:
    """The levels for the native library: uint32, see csrc/shared/lattice.h.

    Parameters
    ----------
    lattice : Lattice
    n_digits : dict
        The first digit and the number of digits of the table of gaps of each level.
    """
    drawn = levels(lattice)
    tables = np.array([n_digits[int(e)] for e in drawn.exponent], np.uint32).reshape(-1, 2)
    sizes = [drawn.classes.size - 1, drawn.exponent.size, drawn.threshold.size]
    axes = [[a.n_pre, a.n_post, a.periodic] for a in lattice.axes]
    pairs = np.empty((drawn.threshold.size, 4), np.uint32)
    pairs[:, :2] = drawn.offset.view(np.uint32)
    pairs[:, 2] = drawn.threshold & np.uint64(0xFFFFFFFF)
    pairs[:, 3] = drawn.threshold >> np.uint64(32)
    parts = [axes, sizes, drawn.classes, tables, drawn.starts, pairs]
    return np.concatenate([np.asarray(p).astype(np.uint32).ravel() for p in parts])
