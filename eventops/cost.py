"""How long a product takes on a machine that was measured, at sizes that were not.

For each method, form of the matrix and way of calling, in two steps:

1. **Terms that the hardware is paid for**: a call, an input looked at, an output written, an active row, a
   synapse visited, a byte read beyond a cache. Their prices are non-negative and found by least squares on
   the relative error (Lawson and Hanson 1974, ch. 23). They carry the prediction away from what was measured.
2. **What the terms miss** is interpolated in the logarithms of sizes, events and fan-out by a Gaussian process
   with a trend (Rasmussen and Williams 2006, §2.2 and §2.7). Near measured points the prediction follows them;
   far away it is that of the terms, and its standard deviation grows with the distance. How much it must grow
   is tried out: each configuration is predicted from the others, and 95 % have to lie in their intervals.

Only NumPy is needed, so that `eventops.recommend` runs wherever the operators do.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

OURS, DENSE = "eventops", "jnp-dense"
METHODS = (OURS, DENSE, "bcoo", "scipy-csr", "brainevent", "torch")
BY_EVENT = (OURS, "brainevent")  # visit the rows of active inputs alone; the others read everything
ITEM = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
Z95 = 1.96
# Axes along which nothing is predicted unless a method was measured at values a factor of 1.5 apart.
_MUST_VARY = np.array([True, True, True, False, True, False, False])
_CACHES = {"L2": 2**20, "L3": 2**25}  # for a machine that does not tell
_RIDGE = 0.1  # terms that the points cannot tell apart share their price
_FAR = 0.4  # standard deviation of a trend, in log seconds per unit of _SCALE: an exponent wrong by 0.17
# What counts as far: a factor of ten in sizes, events and batch, of four in bytes per weight.
_SCALE = np.array([2.3, 2.3, 2.3, 2.3, 2.3, 1.4, 1.0])
AXES = ("n_pre", "n_post", "out-degree", "active inputs", "batch", "dtype", "weights")


@dataclasses.dataclass(frozen=True)
class Work:
    """What a product is asked to do; arrays of one shape.

    Attributes
    ----------
    n_pre, n_post, synapses
        Sizes of the matrix, and its number of connections.
    events
        Active inputs of one vector.
    batch
        Vectors per call.
    item
        Bytes of one weight.
    stored
        Bytes of weight that are stored with each synapse: 0 where all have one weight.
    """

    n_pre: np.ndarray
    n_post: np.ndarray
    synapses: np.ndarray
    events: np.ndarray
    batch: np.ndarray
    item: np.ndarray
    stored: np.ndarray

    @property
    def fan(self) -> np.ndarray:
        """Mean out-degree."""
        return self.synapses / np.maximum(self.n_pre, 1)

    @property
    def rows(self) -> np.ndarray:
        """Rows that at least one vector of the batch needs, if vectors are independent."""
        silent = 1 - np.minimum(self.events / np.maximum(self.n_pre, 1), 1)
        return self.n_pre * (1 - silent**self.batch)

    def place(self) -> np.ndarray:
        """Where this is among the measured points: natural logarithms, shape (..., len(AXES))."""
        columns = (self.n_pre, self.n_post, self.fan, self.events, self.batch, self.item)
        logs = [np.log(np.asarray(c, float) + 0.5) for c in columns]
        return np.stack([*logs, np.asarray(self.stored > 0, float)], axis=-1)


def _as_seen(method: str, form: str, w: Work) -> Work:
    """The same work, with all that the method does not notice made equal."""
    if form == "dense":
        w = dataclasses.replace(w, synapses=w.n_pre * w.n_post, stored=w.item)
    if method not in BY_EVENT:
        w = dataclasses.replace(w, events=w.n_pre, stored=w.item)
    return w


def _beyond(size, cache):
    """The share of something walked through again and again that does not stay in a cache."""
    return np.maximum(0.0, 1 - cache / np.maximum(size, 1.0))


def terms(method: str, form: str, w: Work, caches: dict[str, int]) -> np.ndarray:
    """What one call costs, in units whose prices are fitted: shape (..., number of terms)."""
    l2, l3 = (caches.get(name) or _CACHES[name] for name in ("L2", "L3"))
    ends = [np.ones(np.shape(w.n_pre)), w.batch * w.n_pre, w.batch * w.n_post]
    visits = w.batch * w.events * w.fan
    narrow = visits * (
        np.asarray(w.stored) == 2
    )  # weights of 16 bits are widened before they are added
    if form == "dense":
        matrix = w.n_pre * w.n_post * w.item
        read = w.rows * w.n_post * w.item  # once for all vectors of a batch
        columns = [*ends, w.rows, visits, narrow]
        columns += [read * _beyond(matrix, l2), read * _beyond(matrix, l3)]
    elif form == "drawn":
        columns = [*ends, w.rows, w.rows * w.fan, visits]
    elif method in BY_EVENT:
        out, held = 4 * w.n_post, (2 + w.stored) * w.synapses
        columns = [*ends, w.batch * w.events, visits, visits * w.stored, narrow]
        columns += [visits * _beyond(out, l2), visits * _beyond(held, l3)]
    else:
        held = (4 + w.item) * w.synapses
        columns = [*ends, w.synapses, w.batch * w.synapses, w.synapses * _beyond(held, l3)]
    return np.stack([np.asarray(c, float) for c in columns], axis=-1)


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
    """

    def __init__(self, method, form, work: Work, seconds, spread, caches):
        self.method, self.form, self.caches = method, form, caches
        self.work, self.log_t, self.spread = _as_seen(method, form, work), np.log(seconds), spread
        self.at = self.work.place()
        self.terms = terms(method, form, self.work, caches)
        self.centre = self.at.mean(axis=0)
        self.reach, self.signal, self.noise = self._choose(self._missed(slice(None)))
        self.stretch = 1.0
        self._solve(slice(None))
        self.stretch = self._stretch()
        self._solve(slice(None))

    def _missed(self, part) -> np.ndarray:
        """Price the terms by some of the points; what they miss of them, less its mean."""
        a = self.terms[part] / np.exp(self.log_t[part])[:, None]
        size = np.linalg.norm(a, axis=0)
        size[size == 0] = 1
        a = np.vstack([a / size, _RIDGE * np.eye(a.shape[1])])
        b = np.append(np.ones(len(a) - a.shape[1]), np.zeros(a.shape[1]))
        self.prices = nonnegative(a, b) / size
        missed = self.log_t[part] - self._by_terms(self.terms[part])
        self.shift = float(np.mean(missed))
        return missed - self.shift

    def _by_terms(self, amounts: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(amounts @ self.prices, 1e-9))

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
        mean = self._by_terms(amounts) + self.shift + k @ self.weights
        return mean, np.maximum(self.stretch**2 * prior - np.sum(half**2, axis=0), 0)

    def predict(self, work: Work) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of the seconds, and the standard deviation of a new measurement of it."""
        work = _as_seen(self.method, self.form, work)
        amounts = terms(self.method, self.form, work, self.caches)
        at = work.place().reshape(-1, len(AXES))
        mean, variance = self._posterior(at, amounts.reshape(len(at), -1))
        shape = np.shape(work.n_pre)
        return mean.reshape(shape), np.sqrt(variance + self.noise**2).reshape(shape)

    def outside(self, work: Work) -> np.ndarray:
        """Along which axes this lies beyond all measured points: bool, shape (..., len(AXES))."""
        at = _as_seen(self.method, self.form, work).place()
        low, high = self.at.min(axis=0) - 1e-3, self.at.max(axis=0) + 1e-3
        return (at < low) | (at > high)

    def never_varied(self, work: Work) -> np.ndarray:
        """Along which axes this is asked for another value than the only one that was measured: as `outside`.

        By which power a cost grows along such an axis is not known, so no prediction is one.
        """
        same = np.ptp(self.at, axis=0) < math.log(1.5)
        return self.outside(work) & same & _MUST_VARY

    def measured(self, work: Work) -> np.ndarray:
        """Whether a point like this one (within 2 %) was measured: bool, shape (...)."""
        at = _as_seen(self.method, self.form, work).place()
        return (np.abs(at[..., None, :] - self.at) < 0.02).all(axis=-1).any(axis=-1)


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
    """What the rows of a table of points asked for."""
    names = ("n_pre", "n_post", "n_synapses", "events", "batch")
    n_pre, n_post, synapses, events, batch = (
        np.array([_number(r[name]) for r in rows]) for name in names
    )
    item = np.array([ITEM[r["dtype"]] for r in rows], float)
    each = np.array([r["weight"] != "homogeneous" for r in rows])
    return Work(n_pre, n_post, synapses, events, batch, item, np.where(each, item, 0.0))


def fit(rows: Iterable[dict], caches: dict[str, int]) -> dict[tuple[str, str, str], Curve]:
    """A curve for each (method, form, mode) that was measured at two points or more.

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
    curves = {}
    for key, group in groups.items():
        if len(group) > 1:
            seconds = np.array([_number(r["t_median_s"]) for r in group])
            spread = np.array([_spread(r) for r in group])
            curves[key] = Curve(*key[:2], work_of(group), seconds, spread, caches)
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
