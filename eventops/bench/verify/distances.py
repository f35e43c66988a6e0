"""Does a graph have the connection probabilities that its distances ask for?"""

from __future__ import annotations

import numpy as np
from scipy import stats

from eventops.bench.sweep import spaces
from eventops.bench.verify.statistic import Finding, normal_p
from eventops.graphs import lattice

BINS = 20


def findings(indptr, indices, job: dict) -> list[Finding]:
    """Statistics of a graph whose pairs are independent and whose probabilities depend on distance.

    Parameters
    ----------
    indptr, indices
        The rows of the graph: post index of every synapse, in pre-major order.
    job
        The job, or its twin, that says which rule was drawn.
    """
    made = spaces.lattice_of(job)
    p = lattice.probabilities(made)
    pairs = lattice.n_pairs(made, job["allow_self_conn"])
    entry = entries(made, indptr, indices)
    beyond = int(np.count_nonzero(entry < 0))
    result = [Finding("distance-range", beyond, False, "synapses where none can be")]
    found = np.bincount(entry[entry >= 0], minlength=p.size).astype(np.float64)
    mean, variance = pairs * p, pairs * p * (1 - p)
    missing = float(np.sum((mean - found)[p == 1]))
    result.append(Finding("distance-sure", abs(missing), False, "sure synapses that are missing"))
    if variance.sum() < 10:
        return result
    z = (found.sum() - mean.sum()) / np.sqrt(variance.sum())
    note = f"{int(found.sum())} synapses, expected {mean.sum():.1f}"
    result.append(Finding("density", normal_p(z), True, note))
    result.append(_by_probability(p, found, mean, variance))
    degree, expected, spread = np.diff(indptr), *rows(made, job["allow_self_conn"])
    some = spread > 0
    z2 = (degree - expected)[some] ** 2 / spread[some]
    # A sum of independent pairs has a kurtosis of at most 1 / variance above that of a normal number.
    z = (z2.sum() - z2.size) / np.sqrt(np.sum(2 + 1 / spread[some]))
    note = f"variance is {z2.mean():.4f} of that of independent pairs"
    result.append(Finding("out-degree-variance", normal_p(z), True, note))
    return result


def _by_probability(p, found, mean, variance) -> Finding:
    """Chi-squared over pairs of like probability, which are pairs of like distance."""
    order = np.argsort(-p, kind="stable")
    share = np.cumsum(variance[order])
    bins = np.minimum((BINS * share / share[-1]).astype(int), BINS - 1)
    sums = [np.bincount(bins, x[order], minlength=BINS) for x in (found, mean, variance)]
    full = sums[2] > 0
    found, mean, variance = (x[full] for x in sums)
    pearson = float(np.sum((found - mean) ** 2 / variance))
    q = stats.chi2(found.size).cdf(pearson)
    note = f"chi-squared {pearson:.1f} in {found.size} bins of distance"
    return Finding("distance-chi2", float(2 * min(q, 1 - q)), True, note)


def entries(made: lattice.Lattice, indptr, indices) -> np.ndarray:
    """The place in the lattice's tables of each synapse, or -1."""
    rows, columns = made.axes
    pre = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    post = np.asarray(indices).astype(np.int64)
    key = np.zeros(pre.size, np.int64)
    table = np.repeat(np.arange(made.starts.size - 1), np.diff(made.starts))
    number = table.astype(np.int64)
    for d, (axis, i, j) in enumerate(
        (
            (rows, pre // columns.n_pre, post // columns.n_post),
            (columns, pre % columns.n_pre, post % columns.n_post),
        )
    ):
        a, b = axis.step
        offset = j - i // a * b
        offset = offset % axis.n_post if axis.periodic else offset
        key = key * a + i % a
        made_of = made.offset[:, d].astype(np.int64) + axis.n_post
        number = number * (2 * axis.n_post) + made_of
        if d == 0:
            first = offset + axis.n_post
        else:
            key = (key * (2 * rows.n_post) + first) * (2 * axis.n_post) + offset + axis.n_post
    at = np.minimum(np.searchsorted(number, key), max(0, number.size - 1))
    return np.where(number[at] == key, at, -1) if number.size else np.full(key.size, -1)


def rows(made: lattice.Lattice, allow_self: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the out-degree of every pre neuron."""
    p = lattice.probabilities(made)
    y, x = made.axes
    result = []
    for value in (p, p * (1 - p)):
        total = np.zeros((y.n_pre, x.n_pre))
        for c in range(made.starts.size - 1):
            part = slice(int(made.starts[c]), int(made.starts[c + 1]))
            kind = divmod(c, x.step[0])
            shape = tuple(axis.n_pre // axis.step[0] for axis in made.axes)
            # Each offset counts in a rectangle of bases: its corners, and then sums along both axes.
            corner = np.zeros((shape[0] + 1, shape[1] + 1))
            (y0, y1), (x0, x1) = (
                _bases(axis, made.offset[part, d]) for d, axis in enumerate(made.axes)
            )
            inside = (y1 > y0) & (x1 > x0)
            for at, sign in (((y0, x0), 1), ((y1, x0), -1), ((y0, x1), -1), ((y1, x1), 1)):
                np.add.at(corner, tuple(k[inside] for k in at), sign * value[part][inside])
            sums = corner.cumsum(0).cumsum(1)[:-1, :-1]
            if not allow_self:  # one class, and offset 0 is the neuron itself
                sums -= value[part][np.all(made.offset[part] == 0, axis=1)].sum()
            total[kind[0] :: y.step[0], kind[1] :: x.step[0]] = sums
        result.append(np.maximum(total, 0).ravel())
    return result[0], result[1]


def _bases(axis: lattice.Axis, offset) -> tuple[np.ndarray, np.ndarray]:
    """First and last + 1 of the bases from which an offset leads to a neuron."""
    bases = axis.n_pre // axis.step[0]
    if axis.periodic:
        return np.zeros(offset.size, np.int64), np.full(offset.size, bases)
    b = axis.step[1]
    offset = offset.astype(np.int64)
    first = np.maximum(0, -(offset // b))
    return first, np.minimum(bases, -((offset - axis.n_post) // b))
