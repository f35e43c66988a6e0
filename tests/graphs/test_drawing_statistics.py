"""The graphs follow their rules: exact counts exactly, drawn ones by tests whose law is exact.

Seeds are fixed, so each test always gives the same p-value. A right generator has one below ``P_MIN`` in
one of 10,000 choices of seeds; the negative controls at the end show that the same tests refuse the
generators that they were made against.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from eventops.graphs.drawing import _selected, draw
from eventops.graphs.graph import BERNOULLI, FIXED_POST, FIXED_PRE, Graph

P_MIN = 1e-4


def matrix(graph) -> np.ndarray:
    """How many synapses each pair has."""
    rows = draw(graph)
    count = np.zeros((graph.n_in, graph.n_out), np.int64)
    np.add.at(count, (np.repeat(np.arange(graph.n_in), np.diff(rows.indptr())), rows.indices()), 1)
    return count


def p_of_cells(observed, probabilities) -> float:
    """Chi-squared of counts against exact probabilities of all cells."""
    observed = np.asarray(observed, float)
    expected = np.asarray(probabilities, float) * observed.sum()
    assert expected.min() >= 5, "cells too small for the test"
    return float(stats.chisquare(observed, expected).pvalue)


def p_of_degrees(degrees, law) -> float:
    """Chi-squared of degrees against a discrete law, in cells of at least 10 expected."""
    n = len(degrees)
    points = np.unique(law.ppf(np.linspace(0, 1, max(3, min(30, n // 20) + 1))[1:-1]))
    cells = np.diff(np.concatenate([[0], law.cdf(points), [1]]))
    observed = np.bincount(np.searchsorted(points, degrees), minlength=len(cells))
    keep = cells * n >= 5
    if not keep.all():  # what is left over goes to the first cell
        first = int(np.argmax(keep))
        observed[first] += observed[~keep].sum()
        cells[first] += cells[~keep].sum()
        observed, cells = observed[keep], cells[keep]
    if len(cells) == 1:
        return 1.0 if law.var() == 0 else math.nan
    return p_of_cells(observed, cells / cells.sum())


def p_of_count(count, law) -> float:
    return float(min(1.0, 2 * min(law.cdf(count), law.sf(count - 1))))


def subsets(n: int, k: int) -> dict[tuple[int, ...], int]:
    return {subset: i for i, subset in enumerate(itertools.combinations(range(n), k))}


PROBABILITIES = (0.001, 0.05, 0.3, 0.6, 0.9)


@pytest.mark.parametrize("p", PROBABILITIES)
def test_bernoulli_degrees(p):
    """Density, out-degrees and in-degrees are binomial."""
    check_bernoulli(matrix(Graph(BERNOULLI, 1100, 900, prob=p, seed=5)), p)


def check_bernoulli(count, p, minimum=P_MIN):
    n_in, n_out = count.shape
    assert count.max() <= 1
    assert p_of_count(count.sum(), stats.binom(n_in * n_out, p)) > minimum, "density"
    assert p_of_degrees(count.sum(1), stats.binom(n_out, p)) > minimum, "out-degree"
    assert p_of_degrees(count.sum(0), stats.binom(n_in, p)) > minimum, "in-degree"
    assert p_of_overlaps(count) > minimum, "independence of rows"


def p_of_overlaps(count) -> float:
    """Common partners of neighbouring rows are hypergeometric, given both degrees."""
    n = count.shape[1]
    a, b = count.sum(1)[:-1].astype(float), count.sum(1)[1:].astype(float)
    common = np.sum(count[:-1] * count[1:])
    variance = np.sum(a * b * (n - a) * (n - b)) / (n * n * (n - 1))
    return float(2 * stats.norm.sf(abs(common - np.sum(a * b / n)) / np.sqrt(variance)))


def test_bernoulli_density_over_seeds():
    """Also the sum over graphs: seeds do not share their errors."""
    graphs = [Graph(BERNOULLI, 60, 70, prob=0.3, seed=s) for s in range(200)]
    counts = np.array([draw(g, reference=True).n_synapses for g in graphs])
    assert p_of_count(counts.sum(), stats.binom(200 * 60 * 70, 0.3)) > P_MIN
    law = stats.binom(60 * 70, 0.3)
    assert stats.kstest((counts - law.mean()) / law.std(), "norm").pvalue > P_MIN


@pytest.mark.parametrize("p", [0.3, 0.5, 0.75])
def test_bernoulli_rows_jointly(p):
    """All 2**(2*3) outcomes of three pairs in two neighbouring rows have their exact probability."""
    count = matrix(Graph(BERNOULLI, 100_000, 3, prob=p, seed=21)).reshape(-1, 6)
    outcome = count @ (1 << np.arange(6))
    ones = np.array([bin(i).count("1") for i in range(64)])
    law = p**ones * (1 - p) ** (6 - ones)
    assert p_of_cells(np.bincount(outcome, minlength=64), law) > P_MIN


def test_bernoulli_gaps_of_several_digits():
    """The first partner of a row is geometric, also where gaps have several digits."""
    p, n = 1e-3, 30_000
    rows = draw(Graph(BERNOULLI, 4000, n, prob=p, seed=23))
    first = rows.indices()[rows.indptr()[:-1]]  # no row is empty: the chance is exp(-30)
    assert np.all(np.diff(rows.indptr()) > 0)
    assert p_of_degrees(first, stats.geom(p, loc=-1)) > P_MIN
    gaps = np.diff(rows.indices())[np.diff(np.repeat(np.arange(4000), np.diff(rows.indptr()))) == 0]
    # Within a row gaps are cut off at its end, so only small ones are compared.
    small = gaps[gaps <= 700]
    law = stats.geom(p)
    cells = np.linspace(0, 700, 36)
    observed = np.histogram(small, cells + 0.5)[0]
    positions = n - 1 - np.arange(1, 701)
    weight = law.pmf(np.arange(1, 701)) * positions
    expected = weight.reshape(35, 20).sum(1)
    assert p_of_cells(observed, expected / expected.sum()) > P_MIN


@pytest.mark.parametrize("p", [0.02, 0.5])
def test_bernoulli_without_autapses(p):
    n = 700
    count = matrix(Graph(BERNOULLI, n, n, prob=p, allow_self=False, seed=3))
    assert not np.any(np.diag(count))
    assert p_of_count(count.sum(), stats.binom(n * (n - 1), p)) > P_MIN
    assert p_of_degrees(count.sum(1), stats.binom(n - 1, p)) > P_MIN
    assert p_of_degrees(count.sum(0), stats.binom(n - 1, p)) > P_MIN


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("rule", [FIXED_POST, FIXED_PRE])
def test_subsets_are_uniform(rule, k):
    """Every subset of k of 5 partners is equally likely; k > 2 is drawn as what is left out."""
    lines, n = 30_000, 5
    sizes = (lines, n) if rule == FIXED_POST else (n, lines)
    count = matrix(Graph(rule, *sizes, conn_num=k, n_selected=sizes[0], seed=31))
    count = count if rule == FIXED_POST else count.T
    assert count.max() == 1 and np.all(count.sum(1) == k)
    number = subsets(n, k)
    which = [number[tuple(np.flatnonzero(line))] for line in count]
    cells = np.bincount(which, minlength=len(number))
    assert p_of_cells(cells, np.full(len(number), 1 / len(number))) > P_MIN
    joint = np.asarray(which).reshape(-1, 2) @ [len(number), 1]  # neighbouring lines, jointly
    law = np.full(len(number) ** 2, 1 / len(number) ** 2)
    assert p_of_cells(np.bincount(joint, minlength=law.size), law) > P_MIN


@pytest.mark.parametrize("rule", [FIXED_POST, FIXED_PRE])
def test_repeats_are_multinomial(rule):
    """With repeats allowed, k partners are independent draws."""
    lines, n, k = 30_000, 3, 4
    sizes = (lines, n) if rule == FIXED_POST else (n, lines)
    graph = Graph(rule, *sizes, conn_num=k, allow_multi=True, n_selected=sizes[0], seed=33)
    count = matrix(graph)
    count = count if rule == FIXED_POST else count.T
    assert np.all(count.sum(1) == k)
    outcomes = [c for c in itertools.product(range(k + 1), repeat=n) if sum(c) == k]
    cells = [np.count_nonzero(np.all(count == c, axis=1)) for c in outcomes]
    assert p_of_cells(cells, [stats.multinomial(k, [1 / n] * n).pmf(c) for c in outcomes]) > P_MIN


@pytest.mark.parametrize("k", [7, 300, 1000, 1900])
@pytest.mark.parametrize("rule", [FIXED_POST, FIXED_PRE])
def test_fixed_degrees(rule, k):
    """One side has k partners exactly, distinct ones; the other side's degrees are binomial."""
    n_in, n_out = (600, 2000) if rule == FIXED_POST else (2000, 600)
    count = matrix(Graph(rule, n_in, n_out, conn_num=k, n_selected=n_in, seed=35))
    count = count if rule == FIXED_POST else count.T
    assert count.max() == 1
    assert np.all(count.sum(1) == k)
    free = count.sum(0)
    assert p_of_degrees(free, stats.binom(600, k / 2000)) > P_MIN
    # Uniform partners: the sum of squares, smaller by (n - k) / (n - 1) as partners are distinct.
    mean = 600 * k / 2000
    pearson = np.sum((free - mean) ** 2) / mean / ((2000 - k) / 1999)
    p = stats.chi2(1999).cdf(pearson)
    assert 2 * min(p, 1 - p) > P_MIN
    assert p_of_overlaps(count) > P_MIN


@pytest.mark.parametrize("k", [3, 60])
@pytest.mark.parametrize("rule", [FIXED_POST, FIXED_PRE])
def test_fixed_degrees_without_autapses(rule, k):
    """The partner's place relative to the neuron itself is uniform on the others."""
    n = 101
    graph = Graph(rule, n, n, conn_num=k, allow_self=False, n_selected=n, seed=37)
    count = matrix(graph) if rule == FIXED_POST else matrix(graph).T
    assert not np.any(np.diag(count)) and np.all(count.sum(1) == k) and count.max() == 1
    relative = sum(np.roll(line, -i) for i, line in enumerate(count))[1:]
    mean = n * k / (n - 1)
    pearson = np.sum((relative - mean) ** 2) / mean / ((n - 1 - k) / (n - 2))
    p = stats.chi2(n - 2).cdf(pearson)
    assert 2 * min(p, 1 - p) > P_MIN


def test_afferent_subset():
    """Exactly as many pre neurons as asked for have connections, and every subset is equally likely."""
    number = subsets(5, 2)
    seen = []
    for seed in range(1000):
        graph = Graph(FIXED_POST, 5, 8, conn_num=3, n_selected=2, seed=seed)
        chosen = tuple(_selected(graph, reference=True))
        seen.append(number[chosen])
    assert p_of_cells(np.bincount(seen, minlength=10), np.full(10, 0.1)) > P_MIN
    for rule in (FIXED_POST, FIXED_PRE):
        graph = Graph(rule, 400, 300, conn_num=20, n_selected=111, seed=1)
        count = matrix(graph)
        connected = np.flatnonzero(count.sum(1))
        assert np.array_equal(connected, _selected(graph, reference=True))
        assert len(connected) == 111
        assert np.all(count.sum(1)[connected] == 20) if rule == FIXED_POST else True
        assert np.all(count.sum(0) == 20) if rule == FIXED_PRE else True


def test_the_afferent_subset_is_not_the_partners():
    """Which neurons are afferent does not follow from, nor decide, whom they are connected to."""
    overlaps = []
    for seed in range(300):
        graph = Graph(FIXED_POST, 40, 40, conn_num=20, n_selected=20, seed=seed)
        chosen = _selected(graph, reference=True)
        row = draw(graph, reference=True).row(int(chosen[0]))
        overlaps.append(np.intersect1d(chosen, row).size)
    law = stats.hypergeom(40, 20, 20)
    z = (np.mean(overlaps) - law.mean()) / (law.std() / np.sqrt(300))
    assert 2 * stats.norm.sf(abs(z)) > P_MIN


# Negative controls: generators with the faults that the tests above were made to see.


def fixed_out_degree_with_repeats(n_in, n_out, p, rng):
    """Each row draws p * n_out partners with replacement, and the weights of repeats add up."""
    count = np.zeros((n_in, n_out), np.int64)
    k = round(p * n_out)
    np.add.at(count, (np.repeat(np.arange(n_in), k), rng.integers(0, n_out, n_in * k)), 1)
    return count


def uniform_gaps(n_in, n_out, p, rng):
    """Gaps uniform on 1 .. 2/p - 1: the right mean, and too even."""
    widest = max(1, round(2 / p) - 1)
    count = np.zeros((n_in, n_out), np.int64)
    for line in count:
        places = np.cumsum(rng.integers(1, widest + 1, 2 * n_out)) - 1
        line[places[places < n_out]] = 1
    return count


def shared_stream(n_in, n_out, p, rng):
    """Neighbouring rows use overlapping numbers."""
    numbers = rng.random(n_in + n_out)
    return np.array([numbers[i : i + n_out] < p for i in range(n_in)]).astype(np.int64)


def one_row_for_two(n_in, n_out, p, rng):
    return np.repeat((rng.random((n_in // 2, n_out)) < p).astype(np.int64), 2, axis=0)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.6])
@pytest.mark.parametrize(
    "wrong", [fixed_out_degree_with_repeats, uniform_gaps, shared_stream, one_row_for_two]
)
def test_wrong_generators_fail(wrong, p):
    count = wrong(1100, 900, p, np.random.default_rng(0))
    with pytest.raises(AssertionError):
        check_bernoulli(count, p)


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_each_fault_is_seen_by_its_own_test(p):
    rng = np.random.default_rng(1)
    single = np.minimum(fixed_out_degree_with_repeats(1100, 900, p, rng), 1)
    assert p_of_degrees(single.sum(1), stats.binom(900, p)) < P_MIN
    even = uniform_gaps(1100, 900, p, rng)
    assert p_of_degrees(even.sum(1), stats.binom(900, p)) < P_MIN
    assert p_of_overlaps(one_row_for_two(1100, 900, p, rng)) < P_MIN
    right = (rng.random((1100, 900)) < p).astype(np.int64)
    check_bernoulli(right, p)


def test_a_biased_subset_is_seen():
    """Drawing with replacement and dropping repeats, or by modulo, is not uniform."""
    rng = np.random.default_rng(2)
    number = subsets(5, 2)
    words = rng.integers(0, 16, (30_000, 2)) % 5  # 16 is no multiple of 5
    kept = [tuple(sorted(pair)) for pair in words if pair[0] != pair[1]]
    cells = np.bincount([number[k] for k in kept], minlength=10)
    assert p_of_cells(cells, np.full(10, 0.1)) < P_MIN
