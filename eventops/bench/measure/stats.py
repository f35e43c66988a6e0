"""Intervals of medians and of ratios of times, by the percentile bootstrap over rounds."""

from __future__ import annotations

import numpy as np

RESAMPLES = 2000
SEED = 20
"""Fixed, so that the same samples always give the same interval."""


def _resampled_medians(samples: np.ndarray) -> np.ndarray:
    """Medians of `RESAMPLES` resamples, drawn with replacement."""
    rng = np.random.default_rng(SEED)
    draws = rng.integers(0, samples.size, size=(RESAMPLES, samples.size))
    return np.median(samples[draws], axis=1)


def summary(samples) -> dict[str, float]:
    """Median, quartiles and the bootstrap 95 % interval of the median.

    Parameters
    ----------
    samples : array_like
        Seconds per call, one for each sample.

    Returns
    -------
    dict
        ``median``, ``q1``, ``q3``, ``lo``, ``hi`` and ``n``. With fewer than 3 samples there is no
        interval: ``lo`` and ``hi`` are not-a-number.
    """
    samples = np.asarray(samples, dtype=np.float64)
    if samples.size == 0:
        raise ValueError("stats.summary: no samples; a point without samples has no time")
    q1, median, q3 = np.percentile(samples, (25, 50, 75))
    lo = hi = np.nan
    if samples.size >= 3:
        lo, hi = np.percentile(_resampled_medians(samples), (2.5, 97.5))
    return {"median": median, "q1": q1, "q3": q3, "lo": lo, "hi": hi, "n": int(samples.size)}


def scatter(samples) -> float | None:
    """The distance between the quartiles, as a part of the median; None for fewer than 3 samples.

    Examples
    --------
    >>> scatter([1.0, 2.0, 3.0])
    0.5
    """
    samples = np.asarray(samples, dtype=np.float64)
    if samples.size < 3:
        return None
    q1, median, q3 = np.percentile(samples, (25, 50, 75))
    return float((q3 - q1) / median) if median > 0 else None


def ratio(samples: dict[int, float], reference: dict[int, float]) -> dict[str, float]:
    """The median over rounds of time / reference time, with its bootstrap 95 % interval.

    Both are seconds by round. Only rounds that have both are used: two methods measured next to each
    other share the state of the machine, so their ratio survives noise that their times do not.
    """
    rounds = sorted(samples.keys() & reference.keys())
    if not rounds:
        return {"ratio": np.nan, "lo": np.nan, "hi": np.nan}
    ratios = np.array([samples[i] / reference[i] for i in rounds])
    lo = hi = np.nan
    if ratios.size >= 3:
        lo, hi = np.percentile(_resampled_medians(ratios), (2.5, 97.5))
    return {"ratio": float(np.median(ratios)), "lo": lo, "hi": hi}
