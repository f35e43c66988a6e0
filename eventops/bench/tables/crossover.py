"""From which firing rate on another method stays faster: one definition, for measured and for predicted curves.

The crossover is the rate above which the lead never comes back, read off a straight line over the logarithm of the rate. A
curve that dips below and returns has not crossed where it dipped. The outcomes are

``at``
    ``rate``, between two rates that were looked at.
``never``
    Not up to the highest of them: ``rate`` is not-a-number.
``always``
    From the lowest of them on, which is ``rate``.
``unknown``
    Nothing to compare, or an interval that reaches from always to never.
``does not fit``
    The other method does not fit into memory. Only for predictions.
"""

from __future__ import annotations

import math

import numpy as np

AT, NEVER, ALWAYS, UNKNOWN, NO_ROOM = "at", "never", "always", "unknown", "does not fit"


def stays(lead: np.ndarray) -> np.ndarray:
    """The largest lead from here on, along the last axis: negative exactly where the lead stays lost."""
    return np.maximum.accumulate(np.asarray(lead, float)[..., ::-1], axis=-1)[..., ::-1]


def falls(rate: np.ndarray, lead: np.ndarray) -> float:
    """The rate from which the lead stays negative: the lowest if it always is, NaN if the last one is not."""
    lost = stays(lead) < 0
    if not lost[-1]:
        return math.nan
    i = int(lost.argmax())
    if i == 0:
        return float(rate[0])
    share = lead[i - 1] / (lead[i - 1] - lead[i])
    return float(rate[i - 1] * (rate[i] / rate[i - 1]) ** share)


def crossover(rate, lead, low=None, high=None) -> dict:
    """Where a lead is lost for good.

    Parameters
    ----------
    rate
        Rates that were looked at, ascending and above 0.
    lead
        Logarithm of the other's time over ours, at each rate.
    low, high
        The 95 % interval of it, where there is one at all rates.

    Returns
    -------
    dict
        ``kind``, ``rate``, and ``low`` and ``high``, the crossovers of the ends of the interval (``low`` is not-a-number
        without one, ``high`` where it may be never); ``first`` and ``last``, the lowest and the highest rate looked at.
    """
    rate, lead = np.asarray(rate, float), np.asarray(lead, float)
    found = {"kind": UNKNOWN, "rate": math.nan, "low": math.nan, "high": math.nan}
    if not rate.size or not np.isfinite(lead).all():
        return found | {"first": math.nan, "last": math.nan}
    found |= {"first": float(rate[0]), "last": float(rate[-1]), "rate": falls(rate, lead)}
    if low is not None and high is not None and np.isfinite(low).all() and np.isfinite(high).all():
        found |= {"low": falls(rate, np.asarray(low)), "high": falls(rate, np.asarray(high))}
    if found["low"] == rate[0] and math.isnan(found["high"]):
        return found
    if math.isnan(found["rate"]):
        return found | {"kind": NEVER}
    return found | {"kind": ALWAYS if found["rate"] == rate[0] else AT}


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def text(turn) -> str:
    """The outcome in a few words, to stand after 'stays faster from'."""
    if turn["kind"] == AT:
        said = _percent(turn["rate"])
        if math.isfinite(turn["low"]):
            high = f"{100 * turn['high']:.3g}" if math.isfinite(turn["high"]) else NEVER
            said += f" ({100 * turn['low']:.3g} to {high})"
        return said
    if turn["kind"] == NEVER:
        return f"never, up to {_percent(turn['last'])}"
    if turn["kind"] == ALWAYS:
        return f"always, from {_percent(turn['first'])}"
    return turn["kind"]


def edge(rate: float, first: float) -> str:
    """One end of an interval, or the crossover itself, in a cell of its own."""
    return NEVER if math.isnan(rate) else ALWAYS if rate <= first else _percent(rate)
