"""Fixed totals and distances follow their laws; see test_random_statistics.py for how to read a failure."""

import dataclasses
import itertools

import numpy as np
import pytest
from graphs.test_drawing_statistics import (
    P_MIN,
    matrix,
    p_of_cells,
    p_of_count,
    p_of_degrees,
    p_of_overlaps,
)
from scipy import stats

import eventops as nn
from eventops.graphs.drawing import draw
from eventops.graphs.graph import FIXED_TOTAL, Graph
from eventops.graphs.profiles import Box, Exponential, Gaussian


def total(n_in, n_out, k, seed=41, **options):
    return Graph(FIXED_TOTAL, n_in, n_out, conn_num=k, seed=seed, **options)


def check_total(count, k, minimum=P_MIN):
    """Degrees on both sides are hypergeometric, rows share no more partners than by chance."""
    n_in, n_out = count.shape
    assert count.sum() == k
    assert count.max() <= 1
    for name, degree, pool in (("out", count.sum(1), n_out), ("in", count.sum(0), n_in)):
        assert p_of_degrees(degree, stats.hypergeom(n_in * n_out, pool, k)) > minimum, name
        # Their sum of squares, given the sum.
        mean, n = k / degree.size, degree.size
        pearson = np.sum((degree - mean) ** 2) / mean / (1 - (k - 1) / (n_in * n_out - 1))
        p = stats.chi2(n - 1).cdf(pearson)
        assert 2 * min(p, 1 - p) > minimum, name
    assert p_of_overlaps(count) > minimum, "independence of rows"


@pytest.mark.parametrize("density", [0.01, 0.2, 0.5, 0.8])
def test_totals(density):
    n_in, n_out = 900, 1100
    k = round(density * n_in * n_out)
    check_total(matrix(total(n_in, n_out, k)), k)


def test_totals_with_repeats():
    """Every pair is hit by a binomial number of the draws, and so is every neuron."""
    n_in, n_out, k = 900, 1100, 500_000
    count = matrix(total(n_in, n_out, k, allow_multi=True))
    assert count.sum() == k
    assert p_of_degrees(count.sum(1), stats.binom(k, 1 / n_in)) > P_MIN
    assert p_of_degrees(count.sum(0), stats.binom(k, 1 / n_out)) > P_MIN
    few = matrix(total(11, 13, 100_000, allow_multi=True))
    assert p_of_cells(few.ravel(), np.full(143, 1 / 143)) > P_MIN


@pytest.mark.parametrize("multi", [False, True])
def test_totals_without_autapses(multi):
    n, k = 150, 9_000
    count = matrix(total(n, n, k, allow_self=False, allow_multi=multi))
    assert count.sum() == k and not np.any(np.diag(count))
    relative = sum(np.roll(line, -i) for i, line in enumerate(count))[1:]
    mean = k / (n - 1)
    factor = 1 if multi else 1 - (k - 1) / (n * (n - 1) - 1)
    p = stats.chi2(n - 2).cdf(np.sum((relative - mean) ** 2) / mean / factor)
    assert 2 * min(p, 1 - p) > P_MIN


@pytest.mark.parametrize("k", [2, 4])
def test_sets_of_pairs_are_uniform(k):
    """Every set of k of 6 pairs is equally likely; 4 is drawn as the two that are left out."""
    number = {s: i for i, s in enumerate(itertools.combinations(range(6), k))}
    seen = []
    for seed in range(500):
        rows = draw(total(3, 2, k, seed=seed), reference=True)
        pre = np.repeat(np.arange(3), np.diff(rows.indptr()))
        seen.append(number[tuple(2 * pre + rows.indices())])
    cells = np.bincount(seen, minlength=len(number))
    assert p_of_cells(cells, np.full(len(number), 1 / len(number))) > P_MIN


# Distances. On a torus all neurons are alike: each offset is connected in as many rows as chance has it.
SIDE = 48
PROFILES = (Gaussian(0.9, 3.0), Exponential(0.5, 2.0), Box(0.3, 5.0), Gaussian(0.004, 6.0))


def by_offset(op):
    """(n, n) matrix of whether neuron i is connected to the one at each offset from it."""
    side, n = SIDE, SIDE * SIDE
    rows = op.rows
    pre = np.repeat(np.arange(n), np.diff(rows.indptr()))
    post = rows.indices()
    y, x = (post // side - pre // side) % side, (post % side - pre % side) % side
    hit = np.zeros((n, n), np.int64)
    np.add.at(hit, (pre, y * side + x), 1)
    return hit


def law(profile):
    """The probability of each offset, from positions."""
    apart = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE))
    return profile(np.hypot(apart[:, None], apart[None, :])).ravel()


def check_distances(hit, p, minimum=P_MIN):
    n = len(hit)
    assert hit.max() <= 1
    apart = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE)).astype(float)
    ring = np.round(np.hypot(apart[:, None], apart[None, :])).astype(int).ravel()
    variance = p * (1 - p)
    z = (hit.sum() - n * p.sum()) / np.sqrt(n * variance.sum())
    assert 2 * stats.norm.sf(abs(z)) > minimum, "number"
    # Every whole distance, and every offset by itself, where enough is expected.
    for name, group in (("distance", ring), ("offset", np.arange(p.size))):
        mean, spread = (n * np.bincount(group, v) for v in (p, variance))
        found = np.bincount(group, hit.sum(0))
        enough = spread > 20
        assert np.all(found[mean == 0] == 0), name
        if enough.any():
            pearson = np.sum((found - mean)[enough] ** 2 / spread[enough])
            q = stats.chi2(enough.sum()).cdf(pearson)
            assert 2 * min(q, 1 - q) > minimum, name
        rest = ~enough
        if spread[rest].sum() > 20:
            z = (found - mean)[rest].sum() / np.sqrt(spread[rest].sum())
            assert 2 * stats.norm.sf(abs(z)) > minimum, name
    # Out-degrees are sums of independent offsets.
    mean, spread = p.sum(), variance.sum()
    kurtosis = np.sum(variance * (1 - 6 * variance)) / spread**2
    z = (np.sum((hit.sum(1) - mean) ** 2) / spread - n) / np.sqrt(n * (2 + kurtosis))
    assert 2 * stats.norm.sf(abs(z)) > minimum, "out-degree"
    # Neighbouring offsets of a row, and the same offset of neighbouring rows, are independent.
    for name, one, other, q in (
        ("offsets", hit[:, :-1], hit[:, 1:], p[:-1] * p[1:]),
        ("rows", hit[:-1], hit[1:], p * p),
    ):
        found, m = np.sum(one * other), len(one)
        if m * q.sum() > 50:
            # Products of pairs that share a member covary.
            first, second = (p[:-1], p[1:]) if name == "offsets" else (p, p)
            chain = (
                2 * np.sum(first[:-1] * second[:-1] * second[1:] * (1 - second[:-1]))
                if name == "offsets"
                else 2 * np.sum(p * p * p * (1 - p))
            )
            z = (found - m * q.sum()) / np.sqrt(m * (np.sum(q * (1 - q)) + chain))
            assert 2 * stats.norm.sf(abs(z)) > minimum, name


@pytest.mark.parametrize("profile", PROFILES, ids=repr)
def test_distances(profile):
    side = (SIDE, SIDE)
    op = nn.EventDistanceProb(side, side, profile, 1.0, periodic=True, seed=43)
    check_distances(by_offset(op), law(profile))


@pytest.mark.parametrize("sizes", [(3000, 2000), (2000, 3000)])
def test_distances_between_sizes_that_differ(sizes):
    """On a line with ends, by the distance between positions."""
    n_in, n_out = sizes
    profile = Gaussian(0.4, 0.01)
    op = nn.EventDistanceProb(n_in, n_out, profile, 1.0, extent=1.0, seed=44)
    pre, post = ((np.arange(n) + 0.5) / n for n in sizes)
    p = profile(np.abs(pre[:, None] - post[None, :]))
    count = np.asarray(op.todense()).astype(int)
    assert count.max() == 1
    for axis in (0, 1):
        mean, spread = p.sum(axis), (p * (1 - p)).sum(axis)
        pearson = np.sum((count.sum(axis) - mean) ** 2 / spread)
        q = stats.chi2(mean.size).cdf(pearson)
        assert 2 * min(q, 1 - q) > P_MIN
    bins = np.minimum((np.abs(pre[:, None] - post[None, :]) * 400).astype(int), 20).ravel()
    mean, spread = (np.bincount(bins, v.ravel()) for v in (p, p * (1 - p)))
    pearson = np.sum((np.bincount(bins, count.ravel()) - mean)[:15] ** 2 / spread[:15])
    q = stats.chi2(15).cdf(pearson)
    assert 2 * min(q, 1 - q) > P_MIN


# Negative controls: generators with the faults that the tests above were made to see.


def independent_pairs(n_in, n_out, k, rng):
    """About k synapses."""
    return (rng.random((n_in, n_out)) < k / (n_in * n_out)).astype(np.int64)


def spread_evenly(n_in, n_out, k, rng):
    """The same number in every row."""
    count = np.zeros((n_in, n_out), np.int64)
    for line in count:
        line[rng.choice(n_out, k // n_in, replace=False)] = 1
    return count


def multinomial_rows(n_in, n_out, k, rng):
    """Row counts as if repeats were allowed, and distinct partners within a row."""
    count = np.zeros((n_in, n_out), np.int64)
    for line, number in zip(count, rng.multinomial(k, np.full(n_in, 1 / n_in))):
        line[rng.choice(n_out, number, replace=False)] = 1
    return count


def dropped_repeats(n_in, n_out, k, rng):
    """Pairs with replacement, of which repeats are dropped."""
    count = np.zeros(n_in * n_out, np.int64)
    count[rng.integers(0, count.size, k)] = 1
    return count.reshape(n_in, n_out)


WRONG_TOTALS = (independent_pairs, spread_evenly, multinomial_rows, dropped_repeats)


@pytest.mark.parametrize("wrong", WRONG_TOTALS)
def test_wrong_totals_fail(wrong):
    n_in, n_out, k = 900, 1100, 450_000
    with pytest.raises(AssertionError):
        check_total(wrong(n_in, n_out, k, np.random.default_rng(3)), k)
    rng = np.random.default_rng(4)
    right = np.zeros(n_in * n_out, np.int64)
    right[rng.permutation(right.size)[:k]] = 1
    check_total(right.reshape(n_in, n_out), k)


def octaves(p, rng, n):
    """Candidates that are all kept: each probability is rounded up to a power of two."""
    up = np.where(p > 0, 2.0 ** np.ceil(np.log2(np.maximum(p, 1e-300))), 0)
    return (rng.random((n, p.size)) < up).astype(np.int64)


def two_percent(p, rng, n):
    return (rng.random((n, p.size)) < 1.02 * p).astype(np.int64)


def shifted(p, rng, n):
    """Distances counted from the corner of a cell."""
    moved = np.roll(p.reshape(SIDE, SIDE), 1, axis=1).ravel()
    return (rng.random((n, p.size)) < moved).astype(np.int64)


def shared_numbers(p, rng, n):
    """Neighbouring rows use the same numbers."""
    half = (rng.random((n // 2, p.size)) < p).astype(np.int64)
    return np.repeat(half, 2, axis=0)


@pytest.mark.parametrize("wrong", [octaves, two_percent, shifted, shared_numbers])
def test_wrong_distances_fail(wrong):
    p, n = law(Gaussian(0.9, 3.0)), SIDE * SIDE
    with pytest.raises(AssertionError):
        check_distances(wrong(p, np.random.default_rng(5), n), p)
    check_distances((np.random.default_rng(6).random((n, p.size)) < p).astype(np.int64), p)


def test_the_number_of_synapses_over_seeds():
    """The sum over graphs: seeds do not share their errors."""
    profile = Box(0.3, 4.0)
    counts = []
    graph = nn.EventDistanceProb(60, 60, profile, 1.0, periodic=True).graph
    for seed in range(60):
        counts.append(draw(dataclasses.replace(graph, seed=seed), reference=True).n_synapses)
    assert p_of_count(sum(counts), stats.binom(60 * 60 * 9, 0.3)) > P_MIN
