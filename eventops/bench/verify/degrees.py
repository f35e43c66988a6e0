"""Does a graph follow its rule? Exact counts where the rule fixes them, p-values where it draws them."""

from __future__ import annotations

import numpy as np
from scipy import stats

from eventops.bench.verify import distances
from eventops.bench.verify.statistic import Finding, normal_p, two_sided


def findings(indptr, indices, job: dict, rows_sampled: int, seed: int) -> list[Finding]:
    """All statistics of a graph that its rule determines.

    Parameters
    ----------
    indptr, indices
        The rows of the graph: post index of every synapse, in pre-major order.
    job
        The job, or its twin, that says which rule was drawn.
    rows_sampled
        How many rows the test of independence compares.
    seed
        Chooses those rows.
    """
    graph = _Graph(indptr, indices, job)
    result = _well_formed(graph)
    if job["conn_kind"] == "prob":
        result += _bernoulli(graph, float(job["conn"]))
    elif job["conn_kind"] == "total":
        result += _fixed_total(graph)
    elif job["conn_kind"] == "given":
        return result  # no law; `eventops.bench.sweep.connectome` compares it with the matrix
    elif job["conn_kind"] == "distance":
        return result + distances.findings(graph.indptr, graph.indices, job)
    else:
        result += _fixed_number(graph)
    return result + _independence(graph, rows_sampled, seed)


class _Graph:
    """The counts that every test needs."""

    def __init__(self, indptr, indices, job):
        self.indptr = np.asarray(indptr, dtype=np.int64)
        self.indices = np.asarray(indices)
        self.job = job
        self.n_pre, self.n_post = job["n_pre"], job["n_post"]
        self.out = np.diff(self.indptr)
        self.into = np.bincount(self.indices, minlength=self.n_post)
        self.selfless = not job["allow_self_conn"]

    def row(self, i):
        return self.indices[self.indptr[i] : self.indptr[i + 1]]


def _well_formed(graph) -> list[Finding]:
    inside = graph.indices.size == 0 or (
        graph.indices.min() >= 0 and graph.indices.max() < graph.n_post
    )
    result = [Finding("in-range", 0 if inside else 1, False, "post indices outside the population")]
    step = np.diff(graph.indices)
    same_row = np.ones(step.size, dtype=bool)
    starts = graph.indptr[1:-1]
    same_row[starts[(starts > 0) & (starts < graph.indices.size)] - 1] = False
    disorder = int(np.count_nonzero(same_row & (step < 0)))
    result.append(Finding("sorted-rows", disorder, False, "descending steps inside a row"))
    if not graph.job["allow_multi_conn"]:
        repeats = int(np.count_nonzero(same_row & (step == 0)))
        result.append(Finding("no-repeats", repeats, False, "repeated partners inside a row"))
    if graph.selfless:
        pre = np.repeat(np.arange(graph.n_pre, dtype=np.int32), graph.out)
        own = int(np.count_nonzero(pre == graph.indices))
        result.append(Finding("no-autapses", own, False, "connections of a neuron to itself"))
    return result


def _bernoulli(graph, p: float) -> list[Finding]:
    """Independent pairs: total, out-degrees and in-degrees are binomial."""
    square = min(graph.n_pre, graph.n_post)
    pairs = graph.n_pre * graph.n_post - (square if graph.selfless else 0)
    total = graph.indices.size
    if p in (0.0, 1.0):
        missing = abs(total - pairs * int(p))
        return [Finding("density", missing, False, f"synapses beside {int(p) * pairs}")]
    result = [two_sided("density", stats.binom(pairs, p), total, f"{total} of {pairs} pairs")]
    for name, degree, other in (
        ("out-degree", graph.out, graph.n_post),
        ("in-degree", graph.into, graph.n_pre),
    ):
        # Neurons without a counterpart on the other side have no self connection to leave out.
        trials = np.full(degree.size, other)
        trials[: square if graph.selfless else 0] -= 1
        result += _binomial_degrees(name, degree, trials, p)
    return result


def _binomial_degrees(name, degree, trials, p) -> list[Finding]:
    """Spread of independent binomial degrees, and their histogram against the exact law."""
    if degree.size < 2:
        return []
    expected, variance = trials * p, trials * p * (1 - p)
    spread = float(np.sum((degree - expected) ** 2 / variance))
    dof = degree.size
    # A chi-squared with this many degrees of freedom, widened by the kurtosis of the binomial.
    extra = np.sum((1 - 6 * p * (1 - p)) / variance)
    z = (spread - dof) / np.sqrt(2 * dof + extra)
    note = f"variance is {spread / dof:.4f} of the binomial one"
    result = [Finding(f"{name}-variance", normal_p(z), True, note)]
    if np.all(trials == trials[0]):
        result += _histogram(name, degree, stats.binom(int(trials[0]), p))
    return result


def _histogram(name, degree, law) -> list[Finding]:
    """Chi-squared of the degrees against the exact law, in bins that expect at least 10."""
    edges = np.unique(law.ppf(np.linspace(0, 1, max(3, min(40, degree.size // 12)))[1:-1]))
    edges = np.concatenate([[-np.inf], edges, [np.inf]])
    expected = np.diff(law.cdf(edges)) * degree.size
    if expected.size < 3 or expected.min() < 5:
        return []
    observed = np.histogram(
        degree, bins=np.concatenate([edges[:1], edges[1:-1] + 0.5, edges[-1:]])
    )[0]
    outcome = stats.chisquare(observed, expected * (observed.sum() / expected.sum()))
    note = f"chi-squared {outcome.statistic:.1f} in {expected.size} bins"
    return [Finding(f"{name}-histogram", float(outcome.pvalue), True, note)]


def _fixed_number(graph) -> list[Finding]:
    """One side has exactly the number asked for; the other side's degrees follow from the draw."""
    from eventops.bench.sweep.jobs import partners

    job, k = graph.job, partners(graph.job)
    post = job["efferent_target"] == "post"
    fixed, free = (graph.out, graph.into) if post else (graph.into, graph.out)
    fixed_name, free_name = ("out-degree", "in-degree") if post else ("in-degree", "out-degree")
    wrong = int(np.count_nonzero(fixed != k))
    result = [Finding(f"{fixed_name}-exact", wrong, False, f"neurons without exactly {k} partners")]
    pool = graph.n_post if post else graph.n_pre
    if graph.selfless or pool < 2 or k == 0 or (k == pool and not job["allow_multi_conn"]):
        return result
    # Each of the `draws` neurons puts k marks on `pool` partners. Without repeats the marks of one neuron
    # repel each other, which makes the sum of squares smaller by (pool - k) / (pool - 1).
    draws = fixed.size
    mean = draws * k / pool
    factor = 1.0 if job["allow_multi_conn"] else (pool - k) / (pool - 1)
    pearson = float(np.sum((free - mean) ** 2) / mean) / factor
    p = stats.chi2(pool - 1).cdf(pearson)
    result.append(
        Finding(
            f"{free_name}-chi2",
            float(2 * min(p, 1 - p)),
            True,
            f"chi-squared {pearson:.1f} with {pool - 1} degrees of freedom",
        )
    )
    if not job["allow_multi_conn"]:
        result += _histogram(free_name, free, stats.binom(draws, k / pool))
    return result


def _fixed_total(graph) -> list[Finding]:
    """The total is exact; the degrees of both sides are hypergeometric, or binomial where pairs may repeat."""
    from eventops.bench.sweep.jobs import total

    job, k = graph.job, total(graph.job)
    found = graph.indices.size
    result = [Finding("total-exact", abs(found - k), False, f"synapses beside {k}")]
    square = min(graph.n_pre, graph.n_post)
    pairs = graph.n_pre * graph.n_post - (square if graph.selfless else 0)
    distinct = not job["allow_multi_conn"]
    if k == 0 or (distinct and k == pairs):
        return result
    for name, degree in (("out-degree", graph.out), ("in-degree", graph.into)):
        n = degree.size
        if n < 2:
            continue
        mean = k / n
        # Distinct pairs leave each other less room, which makes the sum of squares smaller.
        factor = 1 - (k - 1) / (pairs - 1) if distinct else 1.0
        pearson = float(np.sum((degree - mean) ** 2) / mean) / factor
        p = stats.chi2(n - 1).cdf(pearson)
        note = f"chi-squared {pearson:.1f} with {n - 1} degrees of freedom"
        result.append(Finding(f"{name}-chi2", float(2 * min(p, 1 - p)), True, note))
        law = stats.hypergeom(pairs, pairs // n, k) if distinct else stats.binom(k, 1 / n)
        result += _histogram(name, degree, law)
    return result


def _independence(graph, rows_sampled: int, seed: int) -> list[Finding]:
    """Common partners of two rows are hypergeometric when the rows are drawn independently."""
    job = graph.job
    if job["allow_multi_conn"] or graph.selfless or graph.n_pre < 2 or graph.n_post < 2:
        return []
    if job["conn_kind"] == "num" and job["efferent_target"] == "pre":
        return []  # independent are the columns; rows share them and are tested by their degrees
    result = []
    for lag in (1, 2):
        if graph.n_pre <= lag:
            continue
        firsts = np.arange(graph.n_pre - lag)
        if firsts.size > rows_sampled:
            rng = np.random.default_rng(seed + lag)
            firsts = rng.choice(firsts, size=rows_sampled, replace=False)
        common = mean = variance = 0.0
        n = graph.n_post
        mark = np.zeros(n, dtype=bool)
        for i in firsts:
            a, b = graph.row(i), graph.row(i + lag)
            mark[a] = True
            common += np.count_nonzero(mark[b])
            mark[a] = False
            mean += a.size * b.size / n
            variance += a.size * b.size * (n - a.size) * (n - b.size) / (n * n * (n - 1))
        if variance > 0:
            z = (common - mean) / np.sqrt(variance)
            note = f"{int(common)} common partners, expected {mean:.1f}"
            result.append(Finding(f"independence-lag{lag}", normal_p(z), True, note))
    return result
