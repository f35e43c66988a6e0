"""What spikes look like: rate, irregularity and correlation, by which two simulations are held equal."""

from __future__ import annotations

import numpy as np

BIN_MS = 5.0
PAIRS_OF = 300  # neurons whose counts are correlated


def summary(
    segment: np.ndarray,
    step: np.ndarray,
    neuron: np.ndarray,
    n: int,
    n_segments: int,
    n_steps: int,
    dt_ms: float,
) -> dict[str, float]:
    """Statistics of the spikes of ``n`` neurons in segments of ``n_steps`` steps.

    Parameters
    ----------
    segment, step, neuron : array of int, one for each spike
        The step counts from the start of the segment. No interval reaches from one segment into the next.
    n, n_segments, n_steps : int
    dt_ms : float

    Returns
    -------
    dict
        ``rate_hz``: mean over neurons. ``cv``: coefficient of variation of the intervals between spikes, mean over
        the trains with at least three (0 for a clock, 1 for a Poisson process). ``correlation``: mean over pairs of
        neurons of Pearson's coefficient of their counts in bins of 5 ms. Not-a-number where there is too little.
    """
    seconds = n_segments * n_steps * dt_ms / 1000
    train = np.asarray(segment, np.int64) * n + neuron
    order = np.lexsort((step, train))
    train, at = train[order], np.asarray(step, np.int64)[order]
    return {
        "rate_hz": step.size / (n * seconds) if n and seconds else np.nan,
        "cv": _irregularity(train, at),
        "correlation": _correlation(
            segment, step, neuron, n, n_segments, round(BIN_MS / dt_ms), n_steps
        ),
    }


def _irregularity(train: np.ndarray, step: np.ndarray) -> float:
    same = train[1:] == train[:-1]
    gaps, owner = np.diff(step)[same], train[1:][same]
    _, which, count = np.unique(owner, return_inverse=True, return_counts=True)
    mean = np.bincount(which, gaps) / count if count.size else np.zeros(0)
    square = np.bincount(which, (gaps - mean[which]) ** 2) if count.size else np.zeros(0)
    enough = count >= 3
    if not enough.any():
        return np.nan
    return float(np.mean(np.sqrt(square[enough] / (count[enough] - 1)) / mean[enough]))


def _correlation(segment, step, neuron, n, n_segments, width, n_steps) -> float:
    bins = n_steps // width
    few = min(n, PAIRS_OF)
    counts = np.zeros((few, n_segments * bins))
    inside = (np.asarray(neuron) < few) & (np.asarray(step) // width < bins)
    place = np.asarray(segment)[inside] * bins + np.asarray(step)[inside] // width
    np.add.at(counts, (np.asarray(neuron)[inside], place), 1)
    counts = counts[counts.std(axis=1) > 0] if counts.size else counts
    if len(counts) < 2:
        return np.nan
    r = np.corrcoef(counts)
    return float(r[np.triu_indices(len(counts), 1)].mean())
