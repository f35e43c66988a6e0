"""Distances, profiles and levels: integers that say what a plain computation with positions says."""

import itertools
import math
import pickle

import numpy as np
import pytest

import eventops as nn
from eventops.graphs import drawing, lattice
from eventops.graphs.lattice import Axis
from eventops.graphs.profiles import Box, Exponential, Gaussian, _exp

SPACES = (
    ((1, 1, False), (50, 50, False)),
    ((1, 1, False), (50, 50, True)),
    ((1, 1, False), (24, 36, False)),
    ((1, 1, False), (36, 24, True)),
    ((1, 1, False), (7, 5, True)),
    ((6, 6, False), (8, 8, False)),
    ((6, 3, True), (8, 12, True)),
    ((4, 6, False), (9, 6, True)),
    ((5, 1, True), (1, 4, False)),
)


def axes(space):
    return tuple(Axis(*axis) for axis in space)


def distances(space, extent):
    """All pairs, from positions in the middle of cells."""
    total = 0.0
    for (n_pre, n_post, periodic), length in zip(space, extent):
        pre, post = ((np.arange(n) + 0.5) / n * length for n in (n_pre, n_post))
        apart = np.abs(pre[:, None] - post[None, :])
        apart = np.minimum(apart, length - apart) if periodic else apart
        total = np.add.outer(total, apart**2) if np.ndim(total) else apart**2
    # (y, y', x, x') to (y, x), (y', x')
    a, b, c, d = total.shape
    return np.sqrt(total.transpose(0, 2, 1, 3).reshape(a * c, b * d))


def probabilities(made):
    """The matrix of a lattice, from its tables; nan where a pair has two entries."""
    rows, columns = made.axes
    dense = np.zeros((rows.n_pre * columns.n_pre, rows.n_post * columns.n_post))
    kinds = list(itertools.product(*(range(n) for n in made.classes)))
    for y, x in itertools.product(range(rows.n_pre), range(columns.n_pre)):
        c = kinds.index((y % rows.step[0], x % columns.step[0]))
        for k in range(made.starts[c], made.starts[c + 1]):
            place = []
            for axis, i, offset in zip(made.axes, (y, x), made.offset[k]):
                j = i // axis.step[0] * axis.step[1] + int(offset)
                place.append(j % axis.n_post if axis.periodic else j)
            if all(0 <= j < axis.n_post for axis, j in zip(made.axes, place)):
                at = y * columns.n_pre + x, place[0] * columns.n_post + place[1]
                p = (int(made.prob[k]) + 1) / 2**64
                dense[at] = math.nan if dense[at] else p
    return dense


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("profile", [Gaussian(0.7, 2.0), Exponential(1.0, 1.5), Box(0.3, 2.4)])
def test_every_pair_has_its_probability(space, profile):
    extent = (3.0, 11.0)
    made = lattice.make("test", axes(space), extent, profile)
    expected = profile(distances(space, extent))
    np.testing.assert_allclose(probabilities(made), expected, rtol=1e-12, atol=2.0**-63)
    for allow_self in (True, False):
        if not allow_self and any(pre != post for pre, post, _ in space):
            continue
        pairs = expected if allow_self else expected - np.diag(np.diag(expected))
        assert lattice.mean_number(made, allow_self) == pytest.approx(pairs.sum(), rel=1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_levels_hold_every_pair_with_its_probability(space):
    """Candidate probability times acceptance is the probability, exactly; levels fall; nothing is lost."""
    made = lattice.make("test", axes(space), (3.0, 11.0), Gaussian(1.0, 0.9))
    drawn = lattice.levels(made)
    assert drawn.starts[-1] == made.prob.size and drawn.classes[-1] == drawn.exponent.size
    for c in range(len(drawn.classes) - 1):
        pairs = {}
        inside = range(drawn.classes[c], drawn.classes[c + 1])
        assert np.all(np.diff(drawn.exponent[list(inside)]) > 0)
        for level in inside:
            part = range(drawn.starts[level], drawn.starts[level + 1])
            scale = 1 << int(drawn.exponent[level])
            offsets = [tuple(drawn.offset[k]) for k in part]
            assert offsets == sorted(offsets) and offsets
            for k in part:
                whole, rest = divmod(int(drawn.threshold[k]) + 1, scale)
                assert rest == 0
                pairs[tuple(drawn.offset[k])] = whole
            last = level == drawn.classes[c + 1] - 1
            if not last:  # at least every other candidate is kept
                assert all(2 * (int(drawn.threshold[k]) + 1) > 2**64 for k in part)
        part = range(made.starts[c], made.starts[c + 1])
        assert pairs == {tuple(made.offset[k]): int(made.prob[k]) + 1 for k in part}


def test_the_exponential_is_that_of_the_mathematics():
    x = -np.concatenate([[0.0, 1e-300, 1e-9], np.linspace(0, 50, 20_001), [700.0]])
    exact = np.array([math.exp(v) for v in x])
    assert np.max(np.abs(_exp(x) - exact) / np.spacing(exact)) <= 2
    assert _exp(np.array([-1e9, -np.inf]))[0] < 1e-300


@pytest.mark.parametrize("profile", [Gaussian(1.0, 3.0), Exponential(1.0, 3.0), Box(1.0, 3.0)])
def test_nothing_is_beyond_reach(profile):
    """Beyond it the probability is below 2**-64, which is where a pair counts as never connected."""
    beyond = profile.reach * (1 + np.linspace(1e-9, 3, 100))
    assert np.all(profile(beyond) < 2.0**-64)
    assert profile.reach < 140


def test_a_function_of_ones_own_is_the_profile():
    """Also one that knows no reach, and one that gives JAX arrays; the table is what counts."""
    ours = nn.EventDistanceProb(40, 40, Box(0.5, 3.0), 1.0)
    theirs = nn.EventDistanceProb(40, 40, lambda d: 0.5 * (d <= 3.0), 1.0)
    assert ours.graph == theirs.graph and hash(ours.graph) == hash(theirs.graph)
    assert ours.rows.hash() == theirs.rows.hash()
    other = nn.EventDistanceProb(40, 40, Box(0.5, 2.0), 1.0)
    assert other.graph != ours.graph
    assert "<lambda>" in repr(theirs) and "Box(p_max=0.5, radius=3.0)" in repr(ours)


def test_a_grid_of_one_row_is_a_line():
    line = nn.EventDistanceProb(30, 40, Gaussian(0.6, 4.0), 1.0, periodic=True)
    grid = nn.EventDistanceProb((1, 30), (1, 40), Gaussian(0.6, 4.0), 1.0, periodic=(False, True))
    assert line.rows.hash() == grid.rows.hash()


def test_the_unit_is_that_of_the_extent():
    one = nn.EventDistanceProb((8, 10), (4, 10), Gaussian(0.6, 2.0), 1.0)
    two = nn.EventDistanceProb((8, 10), (4, 10), Gaussian(0.6, 1.0), 1.0, extent=(4.0, 5.0))
    assert one.rows.hash() == two.rows.hash()


def test_sure_and_impossible():
    everyone = nn.EventDistanceProb(9, 7, Box(1.0, 100.0), 1.0)
    assert everyone.n_synapses == 63
    itself = nn.EventDistanceProb((5, 6), (5, 6), Box(1.0, 0.5), 1.0)
    assert np.array_equal(itself.todense(), np.eye(30))
    nobody = nn.EventDistanceProb(9, 7, Box(1e-30, 100.0), 1.0)
    assert nobody.n_synapses == 0


def test_a_line_does_not_depend_on_the_others():
    """On a ring all neurons are alike: row i of a longer one has the same offsets."""
    few, many = (nn.EventDistanceProb(n, n, Gaussian(0.5, 1.0), 1.0, seed=4) for n in (40, 70))
    for i in range(5, 20):
        assert np.array_equal(few.rows.row(i), many.rows.row(i))


def test_the_lattice_can_be_saved():
    graph = nn.EventDistanceProb(30, 20, Gaussian(0.5, 3.0), 1.0).graph
    assert pickle.loads(pickle.dumps(graph)) == graph
    with pytest.raises(ValueError):
        graph.lattice.prob[0] = 0


def test_only_what_is_near_is_stored():
    """A ring of a million neurons: the table has the reach of the profile, not the population."""
    op = nn.EventDistanceProb(
        1_000_000, 1_000_000, Gaussian(0.1, 30.0), 0.5, periodic=True, storage="procedural"
    )
    assert op.graph.lattice.prob.size < 600
    assert drawing.native_arguments(op.graph, drawing.whole(op.graph), 1)[0][2].nbytes < 20_000
    degree = np.asarray(op(np.arange(op.in_size) == 999_990)).nonzero()[0]
    assert degree.size and np.all((degree < 300) | (degree > 999_600))
