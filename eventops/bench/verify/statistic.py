"""One statistic of a graph, and the p-values that several share."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Finding:
    """One statistic: a p-value, or a number of violations that must be zero."""

    name: str
    value: float
    is_p_value: bool
    note: str


def two_sided(name, law, value, note) -> Finding:
    """How far out in its law a number lies."""
    return Finding(name, float(min(1.0, 2 * min(law.cdf(value), law.sf(value - 1)))), True, note)


def normal_p(z: float) -> float:
    """Two-sided p-value of a standard normal number."""
    return float(2 * stats.norm.sf(abs(z)))
