"""The float64 oracle and the bound that a computed product must keep.

For ``k`` active inputs reaching an output, a sum of ``k`` products in any order differs from the exact sum
by at most ``gamma_k * sum(|s_i * w_ij|)`` with ``gamma_k = k*u / (1 - k*u)`` and ``u`` the unit roundoff
of the accumulator (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 4.2). The
oracle sums in float64 and has the same kind of error, so its ``gamma_k`` is added; where the result is
stored more narrowly than it was accumulated, so is that rounding. The oracle reads the weights as they
are stored, therefore their own rounding is on both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from eventops.bench.sweep import synapses

CHUNK = 4_000_000
"""Synapses handled at once, so that the oracle of a large graph takes little memory."""


@dataclass(frozen=True)
class Exact:
    """Exact (float64) sums, the sums of magnitudes, and the number of terms of each output."""

    value: np.ndarray
    magnitude: np.ndarray
    terms: np.ndarray


def unit_roundoff(dtype) -> float:
    """Half the distance from 1 to the next number of a dtype."""
    return float(ml_dtypes.finfo(np.dtype(dtype)).eps) / 2


def accumulator(dtype) -> np.dtype:
    """The dtype that sums of `dtype` are accumulated in: float32 for the 16-bit types."""
    dtype = np.dtype(dtype)
    return np.dtype(np.float32) if dtype.itemsize < 4 else dtype


def gamma(terms, u: float) -> np.ndarray:
    """``k*u / (1 - k*u)``, infinite where ``k*u`` reaches 1 and nothing is promised any more."""
    ku = np.asarray(terms, dtype=np.float64) * u
    return np.where(ku < 1, ku / np.where(ku < 1, 1 - ku, 1), np.inf)


def bound(exact: Exact, result_dtype, accumulate_dtype=None) -> np.ndarray:
    """The largest difference that rounding can explain, for each output."""
    result_dtype = np.dtype(result_dtype)
    accumulate = (
        accumulator(result_dtype) if accumulate_dtype is None else np.dtype(accumulate_dtype)
    )
    factor = gamma(exact.terms, unit_roundoff(accumulate)) + gamma(exact.terms, 2.0**-53)
    limit = factor * exact.magnitude
    if accumulate != result_dtype:
        # One rounding of the sum; below the smallest normal number the spacing is constant.
        info = ml_dtypes.finfo(result_dtype)
        spacing = unit_roundoff(result_dtype) * (np.abs(exact.value) + limit)
        limit = limit + np.where(exact.terms > 0, spacing + float(info.smallest_subnormal) / 2, 0)
    return limit


def worst_ratio(computed, exact: Exact, accumulate_dtype=None) -> tuple[float, int]:
    """The largest error / bound over all outputs and where it is (flat index).

    An error where the bound is zero (an output that no active input reaches must be exactly zero) is
    infinitely too large, and so is a result that is not a number.
    """
    computed = np.asarray(computed)
    if computed.shape != exact.value.shape:
        raise ValueError(f"oracle: result has shape {computed.shape}, expected {exact.value.shape}")
    if computed.size == 0:
        return 0.0, 0
    limit = bound(exact, computed.dtype, accumulate_dtype)
    error = np.abs(computed.astype(np.float64) - exact.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(error == 0, 0.0, error / limit)
    ratios = np.where(np.isnan(ratios), np.inf, ratios)
    at = int(np.argmax(ratios))
    return float(ratios.flat[at]), at


def product(op, spikes) -> Exact:
    """``spikes @ W`` in float64 with W read from the operator's weights and its stored or drawn rows.

    Only active inputs are visited, so this serves graphs whose dense matrix does not fit. `spikes` is
    a vector or a batch of vectors, of any dtype.
    """
    spikes = np.asarray(spikes)
    if spikes.ndim > 1:
        batch = spikes.shape[:-1]
        parts = [product(op, one) for one in spikes.reshape(math.prod(batch), spikes.shape[-1])]
        fields = {"value": np.float64, "magnitude": np.float64, "terms": np.int64}
        stacks = (np.array([getattr(p, f) for p in parts], t) for f, t in fields.items())
        return Exact(*(stack.reshape(*batch, op.out_size) for stack in stacks))
    values = spikes.astype(np.float64)
    active = np.flatnonzero(values)
    weight = synapses.weights(op)
    total = np.zeros(op.out_size)
    magnitude = np.zeros(op.out_size)
    terms = np.zeros(op.out_size, dtype=np.int64)
    for targets, s, w in _terms(op, active, values, weight):
        if targets is None:  # dense rows: every active input reaches every output
            total += s @ w
            magnitude += np.abs(s) @ np.abs(w)
            terms += len(s)
        else:
            total += np.bincount(targets, weights=s * w, minlength=op.out_size)
            magnitude += np.bincount(targets, weights=np.abs(s * w), minlength=op.out_size)
            terms += np.bincount(targets, minlength=op.out_size)
    return Exact(total, magnitude, terms)


def _terms(op, active, values, weight):
    """Chunks (post indices, spike values, weights) of the active rows, in ascending pre order."""
    stored = synapses.of(op)
    if stored is None:
        step = max(1, CHUNK // max(1, op.out_size))
        for start in range(0, len(active), step):
            rows = active[start : start + step]
            if weight.ndim == 0:
                w = np.full((len(rows), op.out_size), float(weight))
            else:
                w = weight[rows].astype(np.float64)
            yield None, values[rows], w
        return
    indptr = stored.indptr()
    degree = np.diff(indptr)[active]
    for start, stop in _chunks(degree):
        rows = active[start:stop]
        counts = degree[start:stop]
        # Positions of the rows' synapses, without a Python loop over rows.
        first = np.repeat(indptr[rows] - np.cumsum(counts) + counts, counts)
        at = first + np.arange(first.size)
        w = float(weight) if weight.ndim == 0 else weight[at].astype(np.float64)
        yield posts(stored, rows, at), np.repeat(values[rows], counts), w


def posts(rows, chosen: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Post indices of the chosen rows, read from the tiles; `at` are the positions of their synapses.

    `Rows.indices` would decode the whole graph, which for a large one is most of the memory.
    """
    tiles = rows.n_tiles
    segments = (chosen[:, None] * tiles + np.arange(tiles)).ravel()
    ptr = np.asarray(rows.ptr)
    counts = ptr[segments + 1] - ptr[segments]
    base = np.tile(np.arange(tiles, dtype=np.int64) * rows.tile, len(chosen))
    return np.repeat(base, counts) + np.asarray(rows.offsets)[at]


def _chunks(counts):
    """Slices of consecutive rows with about CHUNK synapses each."""
    start, held = 0, 0
    for i, count in enumerate(counts):
        held += int(count)
        if held >= CHUNK:
            yield start, i + 1
            start, held = i + 1, 0
    if start < len(counts):
        yield start, len(counts)


def spike_cotangent(op, cotangent) -> Exact:
    """``c @ W.T`` in float64, for a vector or a batch of them: meant for small graphs.

    Synapses of one pair are added here, and not by `todense`, which rounds their sum to the weights' dtype.
    """
    c = np.asarray(cotangent).astype(np.float64)
    weight = np.asarray(op.weight).astype(np.float64)
    number = connections(op)
    rows = synapses.of(op)
    if rows is None:
        matrix = np.broadcast_to(weight, number.shape)
        magnitude = np.abs(matrix)
    else:
        pairs = np.repeat(np.arange(op.in_size), np.diff(rows.indptr())), rows.indices()
        matrix, magnitude = np.zeros(number.shape), np.zeros(number.shape)
        np.add.at(matrix, pairs, weight)
        np.add.at(magnitude, pairs, np.abs(weight))
    terms = np.broadcast_to(number.sum(axis=1), (*c.shape[:-1], op.in_size))
    return Exact(c @ matrix.T, np.abs(c) @ magnitude.T, terms)


def connections(op) -> np.ndarray:
    """How many synapses each (pre, post) pair has: (in, out) integers, for small graphs."""
    rows = synapses.of(op)
    if rows is None:
        return np.ones((op.in_size, op.out_size), dtype=np.int64)
    indptr, indices = rows.indptr(), rows.indices()
    count = np.zeros((op.in_size, op.out_size), dtype=np.int64)
    np.add.at(count, (np.repeat(np.arange(op.in_size), np.diff(indptr)), indices), 1)
    return count


OTHER_GRAPH = "same task, other graph"


@dataclass(frozen=True)
class OtherGraph:
    """Whether a product is one of the same law on another graph, and what to say of it."""

    passed: bool
    text: str


def other_graph(result: np.ndarray, weight: float, prob: float, spikes: np.ndarray) -> OtherGraph:
    """Look at a product with independent connections that are not ours.

    Element by element it cannot be checked. It must consist of whole numbers of weights, none negative and
    none more than there are events, and hold about as many synapses as were asked for: between half and
    twice the expected number, where at least 100 are expected. The density is stated in the text.
    """
    result = np.asarray(result).astype(np.float32)
    events = np.count_nonzero(spikes, axis=-1)[..., None]
    number = np.round(result.astype(np.float64) / weight)
    expected_shape = (*spikes.shape[:-1], result.shape[-1])
    if result.shape != expected_shape or not np.all((number >= 0) & (number <= events)):
        return OtherGraph(False, "its result is no sum of weights over the events")
    exact = Exact(number * weight, number * abs(weight), number.astype(np.int64))
    if worst_ratio(result, exact)[0] > 2:
        return OtherGraph(False, "its result is no whole number of weights")
    pairs = int(events.sum()) * result.shape[-1]
    density = number.sum() / max(1, pairs)
    if prob * pairs < 100:
        return OtherGraph(True, OTHER_GRAPH)
    text = f"{OTHER_GRAPH}: {density:.4g} of the pairs are connected, {prob:g} was asked"
    return OtherGraph(bool(prob / 2 <= density <= 2 * prob), text)
