"""How long a product takes on a machine that was measured, at sizes that were not.

For each method, form of the matrix and way of calling, in two steps:

1. **Terms that the hardware is paid for**: a call, an input looked at, an output written, an active row, a
   synapse visited, a byte read beyond a cache. Their prices are non-negative and found by least squares on
   the relative error (Lawson and Hanson 1974, ch. 23). They carry the prediction away from what was measured.
   What large matrices cannot tell is the price of a call, lost in their times, and that of a byte in a cache which
   none of them fits into; least squares would call both free. So a call costs no less than the cheapest one of the
   other methods that was told, and a byte in such a cache what it costs beyond.
2. **What the terms miss** is interpolated in the logarithms of sizes, events and fan-out by a Gaussian process
   with a trend (Rasmussen and Williams 2006, §2.2 and §2.7). Near measured points the prediction follows them;
   beyond them it keeps what is missed at the edge, so that only the terms tell how it goes on, and its standard
   deviation grows with the distance. How much it must grow is tried out: each configuration is predicted from the
   others, and 95 % have to lie in their intervals.

A run tells nothing of another hour, in which the same machine is slower here and faster there. How much, was
measured between runs (`HOURS`). Whoever says how long something will take widens the interval by it (`any_hour`).

Only NumPy is needed, so that `eventops.recommend` runs wherever the operators do.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .cost_terms import (
    AXES,
    DENSE,
    ITEM,
    METHODS,
    OURS,
    WITHOUT_JAX,
    Work,
    as_seen,
    known_caches,
    terms,
    walked_bytes,
)

Z95 = 1.96
# Standard deviation of the logarithm of a time from one run to another on the same machine, hours apart: that of the
# peers, whose code did not change, in four runs of the reference (tests/advice/test_recommend_hours.py estimates it again).
HOURS = 0.21
# Axes along which nothing is predicted unless a method was measured at values a factor of 1.5 apart.
_MUST_VARY = np.array([True, True, True, False, True, False, False])
# Seconds that a call from Python, or a step in a scan, takes at least, on any machine and whatever it does.
LEAST = {"call": 1e-6, "scan": 1e-7}
_TOLD = 0.5  # a price of a call is told by the points if the fastest of them spent this share on it
_UNTOLD = 0.7  # standard deviation of the logarithm of one that is not: wrong by a factor of two
_RIDGE = 0.1  # terms that the points cannot tell apart share their price
_FAR = 0.4  # standard deviation of a trend, in log seconds per unit of _SCALE: an exponent wrong by 0.17
_SAME = 0.02  # points this close to each other, in the logarithm of each axis, are one
# What counts as far: a factor of ten in sizes, events and batch, of four in bytes per weight.
_SCALE = np.array([2.3, 2.3, 2.3, 2.3, 2.3, 1.4, 1.0])


def nonnegative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The ``x >= 0`` with the least ``|a @ x - b|``, by Lawson and Hanson's active-set method.

    Examples
    --------
    >>> import numpy as np
    >>> nonnegative(np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([1.0, -1.0])).tolist()
    [1.0, 0.0]
    """
    x, free = np.zeros(a.shape[1]), np.zeros(a.shape[1], bool)
    for _ in range(3 * a.shape[1]):
        gradient = np.where(free, -math.inf, a.T @ (b - a @ x))
        if gradient.max(initial=-math.inf) <= 1e-10:
            break
        free[np.argmax(gradient)] = True
        while free.any():
            best = np.zeros_like(x)
            best[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            low = free & (best <= 0)
            if not low.any():
                x = best
                break
            step = np.min(x[low] / np.maximum(x[low] - best[low], 1e-300))
            x = x + step * (best - x)
            free &= x > 1e-14
            x[~free] = 0
    return x


class Curve:
    """The cost of one method, form and way of calling, fitted to measured points.

    Parameters
    ----------
    method, form
        Such as ``"eventops"`` and ``"sparse"``, ``"dense"`` or ``"drawn"``.
    work
        What was measured; arrays of shape (n,).
    seconds, spread
        Medians, and the standard deviations of their logarithms: shape (n,).
    caches
        Bytes of ``L2`` (of a core) and ``L3``.
    least
        Seconds that a call costs at least, as is known from elsewhere.
    """

    def __init__(self, method, form, work: Work, seconds, spread, caches, least=LEAST["scan"]):
        self.method, self.form = method, form
        self.work, self.log_t, self.spread = as_seen(method, form, work), np.log(seconds), spread
        self.fastest = float(np.min(seconds))
        self.least = min(least, self.fastest)
        self.caches = known_caches(caches, walked_bytes(method, form, self.work))
        self.at = self.work.place()
        self.terms = terms(method, form, self.work, self.caches)
        self.centre = self.at.mean(axis=0)
        self.reach, self.signal, self.noise = self._choose(self._missed(slice(None)))
        self.stretch = 1.0
        self._solve(slice(None))
        self.stretch = self._stretch()
        self._solve(slice(None))

    def _missed(self, part) -> np.ndarray:
        """Price the terms by some of the points; what they miss of them, less its mean."""
        a = self.terms[part] / np.exp(self.log_t[part])[:, None]
        b = 1 - self.least * a[:, 0]  # what is left of each time for what costs more than the least
        size = np.linalg.norm(a, axis=0)
        size[size == 0] = 1
        a = np.vstack([a / size, _RIDGE * np.eye(a.shape[1])])
        self.prices = nonnegative(a, np.append(b, np.zeros(a.shape[1]))) / size
        self.prices[0] += self.least
        missed = self.log_t[part] - self._by_terms(self.terms[part])
        self.shift = float(np.mean(missed))
        return missed - self.shift

    def _by_terms(self, amounts: np.ndarray) -> np.ndarray:
        return np.log(amounts @ self.prices)

    @property
    def told(self) -> bool:
        """Whether the points tell the price of a call, rather than hide it behind their work."""
        return bool(self.prices[0] >= _TOLD * self.fastest)

    def _choose(self, missed) -> tuple[float, float, float]:
        """Range, signal and noise with the best posterior on a grid."""
        best, chosen = -math.inf, None
        trend = self._trend(self.at)
        for reach in (0.7, 1.5):
            alike = _alike(self.at, self.at, reach)
            for signal in (0.15, 0.3, 0.6):
                for noise in (0.05, 0.1, 0.2):
                    k = signal**2 * alike + trend + np.diag(noise**2 + self.spread**2)
                    root = np.linalg.cholesky(k)
                    z = np.linalg.solve(root, missed)
                    score = -0.5 * z @ z - np.log(np.diag(root)).sum()
                    score -= 0.5 * (math.log(signal / 0.3) ** 2 + math.log(noise / 0.1) ** 2)
                    if score > best:
                        best, chosen = score, (reach, signal, noise)
        return chosen

    def _solve(self, part) -> None:
        """Condition on some of the points."""
        missed, self.known = self._missed(part), self.at[part]
        noise = np.diag(self.noise**2 + self.spread[part] ** 2)
        self.root = np.linalg.cholesky(self._covariance(self.known) + noise)
        self.weights = np.linalg.solve(self.root.T, np.linalg.solve(self.root, missed))

    def _covariance(self, at) -> np.ndarray:
        smooth = self.signal**2 * _alike(at, self.known, self.reach)
        return self.stretch**2 * (smooth + self._trend(at, self.known))

    def _trend(self, at, other=None) -> np.ndarray:
        x = (at - self.centre) / _SCALE
        y = x if other is None else (other - self.centre) / _SCALE
        return _FAR**2 * (0.25 + x @ y.T)

    def _stretch(self) -> float:
        """How much wider than they seem intervals are, by predicting each configuration from the others."""
        groups = np.unique(self.at[:, :3].round(6), axis=0, return_inverse=True)[1].ravel()
        if groups.max() == 0:
            return 2.0  # one configuration tells nothing about another
        misses, noises, signals = [], [], []
        for group in range(groups.max() + 1):
            out = groups == group
            self._solve(~out)
            mean, signal = self._posterior(self.at[out], self.terms[out])
            misses.append(self.log_t[out] - mean)
            signals.append(signal)
            noises.append(self.noise**2 + self.spread[out] ** 2)
        miss, signal, noise = map(np.concatenate, (misses, signals, noises))
        for stretch in (1.0, 1.3, 1.6, 2.0, 2.5, 3.0):
            inside = np.abs(miss) <= Z95 * np.sqrt(stretch**2 * signal + noise)
            if np.mean(inside) >= 0.95:
                break
        return stretch

    def _posterior(self, at, amounts) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the log seconds, and the variance of what is not noise."""
        k = self._covariance(at)
        half = np.linalg.solve(self.root, k.T)
        prior = self.signal**2 + _FAR**2 * (
            0.25 + np.sum(((at - self.centre) / _SCALE) ** 2, axis=1)
        )
        variance = np.maximum(self.stretch**2 * prior - np.sum(half**2, axis=0), 0)
        by_terms = self._by_terms(amounts)
        if not self.told:
            variance += (_UNTOLD * self.prices[0] / np.exp(by_terms)) ** 2
        # Beyond the points the correction stays as it is at their edge: a trend that went on would outweigh the terms.
        edge = self._covariance(np.clip(at, self.known.min(axis=0), self.known.max(axis=0)))
        mean = by_terms + self.shift + edge @ self.weights
        return np.maximum(mean, math.log(min(self.prices[0], self.fastest))), variance

    def predict(self, work: Work) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of the seconds, and the standard deviation of a new measurement of it in the same run."""
        work = as_seen(self.method, self.form, work)
        amounts = terms(self.method, self.form, work, self.caches)
        at = work.place().reshape(-1, len(AXES))
        mean, variance = self._posterior(at, amounts.reshape(len(at), -1))
        shape = np.shape(work.n_pre)
        return mean.reshape(shape), np.sqrt(variance + self.noise**2).reshape(shape)

    def outside(self, work: Work) -> np.ndarray:
        """Along which axes this lies beyond all measured points: bool, shape (..., len(AXES))."""
        at = as_seen(self.method, self.form, work).place()
        low, high = self.at.min(axis=0) - _SAME, self.at.max(axis=0) + _SAME
        return (at < low) | (at > high)

    def never_varied(self, work: Work) -> np.ndarray:
        """Along which axes this is asked for another value than the only one that was measured: as `outside`.

        By which power a cost grows along such an axis is not known, so no prediction is one.
        """
        same = np.ptp(self.at, axis=0) < math.log(1.5)
        return self.outside(work) & same & _MUST_VARY

    def _same(self, work: Work) -> np.ndarray:
        at = as_seen(self.method, self.form, work).place()
        return (np.abs(at[..., None, :] - self.at) < _SAME).all(axis=-1)

    def measured(self, work: Work) -> np.ndarray:
        """Whether a point like this one (within 2 %) was measured: bool, shape (...)."""
        return self._same(work).any(axis=-1)

    def measurement(self, work: Work) -> tuple[float, float]:
        """As `predict`, from what was `measured` at this very point alone.

        No other point averages out what the hour of this one did to it.
        """
        here = self._same(work).ravel()
        spread = np.sqrt(np.mean(self.spread[here] ** 2) + np.var(self.log_t[here]) + HOURS**2)
        return float(np.mean(self.log_t[here])), float(spread)


def any_hour(spread):
    """A standard deviation within a run, widened to that of a measurement in another hour."""
    return np.hypot(spread, HOURS)


def _alike(a: np.ndarray, b: np.ndarray, reach: float) -> np.ndarray:
    """How much what is missed at two places has in common."""
    a, b = a / (_SCALE * reach), b / (_SCALE * reach)
    apart = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T
    return np.exp(-0.5 * np.maximum(apart, 0))


def form_of(row: dict) -> str | None:
    """The form of the matrix that a measured row used; None for rows that no curve is fitted to.

    `Linear` is the dense product once more, the ``reference`` backend is the specification, and a peer that
    draws a graph of its own (``brainevent-jit``) does not compute the same.
    """
    ours = row["method"] == OURS
    if row["method"] not in METHODS or row["operator"] == "Linear" or row["dtype"] not in ITEM:
        return None
    if ours and row["backend"] == "reference":
        return None
    if row["method"] == DENSE or row["conn_kind"] == "dense":
        return "dense"
    return "drawn" if ours and row["storage"] == "procedural" else "sparse"


def usable(rows: Iterable[dict]) -> list[dict]:
    """The rows with a time that a curve can be fitted to."""
    return [r for r in rows if r["status"] == "ok" and _number(r["t_median_s"]) > 0 and form_of(r)]


def key_of(row: dict) -> tuple[str, str, str]:
    return row["method"], form_of(row), row["mode"]


def work_of(rows: list[dict]) -> Work:
    """What the rows of a table of points asked for.

    Pairs that are connected by chance count with their probability and not with the number that one draw gave, so that
    the point that was asked for is found again by the same question.
    """
    rows = [r | {"n_synapses": _expected(r)} if r["conn_kind"] == "prob" else r for r in rows]
    names = ("n_pre", "n_post", "n_synapses", "events", "batch")
    n_pre, n_post, synapses, events, batch = (
        np.array([_number(r[name]) for r in rows]) for name in names
    )
    item = np.array([ITEM[r["dtype"]] for r in rows], float)
    each = np.array([r["weight"] != "homogeneous" for r in rows])
    return Work(n_pre, n_post, synapses, events, batch, item, np.where(each, item, 0.0))


def _expected(row: dict) -> float:
    return _number(row["conn"]) * _number(row["n_pre"]) * _number(row["n_post"])


def fit(rows: Iterable[dict], caches: dict[str, int]) -> dict[tuple[str, str, str], Curve]:
    """A curve for each (method, form, mode) that was measured at two points or more.

    What JAX takes for a call, or for a step in a scan, is the same for all methods that run in it. So those whose points
    do not tell it are given the cheapest one that others tell.

    Parameters
    ----------
    rows
        Rows of ``tables/points.csv``, of one device.
    caches
        From ``machine.json``.
    """
    groups: dict[tuple, list[dict]] = {}
    for row in usable(rows):
        groups.setdefault(key_of(row), []).append(row)
    measured = {
        key: (
            work_of(group),
            np.array([_number(r["t_median_s"]) for r in group]),
            np.array([_spread(r) for r in group]),
        )
        for key, group in groups.items()
        if len(group) > 1
    }
    curves = {
        key: Curve(*key[:2], *points, caches, LEAST[key[2]]) for key, points in measured.items()
    }
    least = dict(LEAST)
    for way in least:
        told = [
            min(c.prices[0], c.fastest)
            for (method, _, mode), c in curves.items()
            if mode == way and method not in WITHOUT_JAX and c.told
        ]
        least[way] = min(told, default=least[way])
    for (method, form, way), curve in curves.items():
        if method not in WITHOUT_JAX and curve.prices[0] < least[way]:
            key = method, form, way
            curves[key] = Curve(method, form, *measured[key], caches, least[way])
    return curves


def _number(text) -> float:
    return float(text) if text not in ("", None) else math.nan


def _spread(row) -> float:
    """Standard deviation of the logarithm of a median, from its 95 % interval."""
    low, high = _number(row["t_lo_s"]), _number(row["t_hi_s"])
    return math.log(high / low) / (2 * Z95) if 0 < low <= high else 0.1


def read(path: str | Path) -> list[dict[str, str]]:
    """The rows of a table of points, as text."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
