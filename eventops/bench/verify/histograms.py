"""Degree histograms beside the exact law of the rule: a few dozen numbers, kept in every record.

`eventops.bench.verify.degrees` turns a graph into p-values; these are the counts that a person looks at. A side
whose degree the rule fixes has no histogram: it is one bar, and any deviation is counted as a violation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

MOST_BINS = 36
TAIL = 1e-5
"""Probability on either side of the law that the bins may leave out where no neuron lies there."""


def of_graph(indptr, indices, job: dict[str, Any]) -> list[dict[str, Any]]:
    """The degrees of each side that the rule leaves to chance, counted in bins, and what the law expects.

    Parameters
    ----------
    indptr, indices
        The rows of the graph: post index of every synapse, in pre-major order.
    job
        The job, or its twin, that says which rule was drawn.

    Returns
    -------
    list of dict
        ``side`` (``out`` or ``in``), ``law`` in words, the sizes, ``first`` degree and ``width`` of the bins,
        ``observed`` neurons in each, and ``expected`` ones. Empty where every degree is fixed.

    Examples
    --------
    >>> job = {"conn_kind": "prob", "conn": "0.5", "n_pre": 4, "n_post": 2,
    ...        "allow_self_conn": True, "allow_multi_conn": False, "efferent_target": "post"}
    >>> out, into = of_graph([0, 1, 3, 3, 4], [0, 0, 1, 1], job)
    >>> out["law"], out["observed"], out["expected"]
    ('binomial(2, 0.5)', [1, 2, 1], [1.0, 2.0, 1.0])
    """
    found = laws(job)
    degrees = {
        "out": np.diff(np.asarray(indptr, dtype=np.int64)),
        "in": np.bincount(np.asarray(indices), minlength=job["n_post"])[: job["n_post"]],
    }
    return [
        {
            "side": side,
            "law": words,
            "n_pre": job["n_pre"],
            "n_post": job["n_post"],
            **_binned(degrees[side], law),
        }
        for side, (words, law) in found.items()
        if degrees[side].size
    ]


def laws(job: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """The exact law of one neuron's degree, by side; a side that the rule fixes is left out."""
    n_pre, n_post = job["n_pre"], job["n_post"]
    others = (
        0 if job["allow_self_conn"] else 1
    )  # sizes are equal where self connections are left out
    if job["conn_kind"] == "prob":
        p = float(job["conn"])
        if not 0 < p < 1:
            return {}
        return {"out": _binomial(n_post - others, p), "in": _binomial(n_pre - others, p)}
    if job["conn_kind"] != "num":
        return {}
    from eventops.bench.sweep.jobs import partners

    k = partners(job)
    free, draws, pool = (
        ("in", n_pre, n_post) if job["efferent_target"] == "post" else ("out", n_post, n_pre)
    )
    draws, pool = draws - others, pool - others
    if k == 0 or pool < 2:
        return {}
    if job["allow_multi_conn"]:
        return {free: _binomial(draws * k, 1 / pool)}
    return {} if k >= pool else {free: _binomial(draws, k / pool)}


def _binomial(n: int, p: float):
    return f"binomial({n}, {p:.6g})", stats.binom(n, p)


def p_value(p_values: dict[str, float], side: str) -> tuple[str, float]:
    """The test that belongs to the histogram of a side, and its p-value; of several the sharpest kind."""
    for kind in ("histogram", "chi2", "variance"):
        name = f"{side}-degree-{kind}"
        if name in p_values:
            return name, p_values[name]
    return "", math.nan


def _binned(degree: np.ndarray, law) -> dict[str, Any]:
    """Counts in equal bins of whole degrees that hold every neuron and nearly all of the law."""
    low = int(min(law.ppf(TAIL), degree.min()))
    high = int(max(law.ppf(1 - TAIL), degree.max()))
    width = math.ceil((high - low + 1) / MOST_BINS)
    bins = math.ceil((high - low + 1) / width)
    edges = low + width * np.arange(bins + 1)
    observed = np.bincount((degree - low) // width, minlength=bins)
    expected = np.diff(law.cdf(edges - 1)) * degree.size
    return {
        "first": low,
        "width": width,
        "observed": observed.tolist(),
        "expected": [float(f"{value:.6g}") for value in expected],
    }
