"""The three claims of the report, each with the test that it has to pass on this machine.

Equality is tested point by point before anything is timed (`eventops.bench.verify`); here are the tests of
the other two, which need the whole table: a slope per operator, and bytes against their formula.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import optimize, stats

from . import readings, scaling, verification

EVENTS = (0.8, 1.2)
"""Slopes of log time on log events within which time is said to follow the events."""
TRIED = np.round(np.arange(0.3, 1.7001, 0.01), 2)
"""Slopes that are tried."""
FREE, SIZES = 3, 3
"""What a slope has to rest on before it can fail: points beyond the numbers fitted to them, and sizes of the population."""
POPULATION = 0.2
"""The largest slope of log time on log population, at fixed events, that is called level."""
MEMORY = 0.02
"""The largest relative difference between predicted and stored bytes; what the verification allows."""


def event_slopes(table: pd.DataFrame) -> pd.DataFrame:
    """One log-log slope of time on synaptic events per operator, with its 95 % interval.

    Every call also pays for what has nothing to do with events: being called, looking for the active
    inputs, clearing the outputs. Each curve (job, batch, way of calling) therefore has a fixed cost ``a`` and
    a factor ``b`` of its own in ``t = a + b * events ** slope``, and the operator has one slope: least
    squares of relative errors, and the interval of the profile likelihood (the slopes whose sum of squares
    an F test does not tell from the least one; Bates and Watts 1988, section 6.1). A curve needs three
    rates. Columns: operator, slope, low, high, n (points), curves, enough (whether it rests on `FREE` points).
    """
    rows = []
    good = table["status"].eq("ok") & table["synaptic_events"].gt(0) & table["t_median_s"].gt(0)
    ours = table[good & table["method"].eq(readings.OURS) & table["backend"].ne("reference")]
    for operator, group in ours.groupby("operator", sort=False):
        curves = [
            (c["synaptic_events"].to_numpy(), c["t_median_s"].to_numpy())
            for _, c in group.groupby(["job", "batch", "mode"], sort=False)
            if c["synaptic_events"].nunique() >= 3
        ]
        rows.append({"operator": operator, **_common_slope(curves)})
    return pd.DataFrame(rows, columns=["operator", "slope", "low", "high", "n", "curves", "enough"])


def _common_slope(curves: list) -> dict:
    """The slope that all curves share, and the range that their scatter allows."""
    n = sum(len(t) for _, t in curves)
    found = {"slope": np.nan, "low": np.nan, "high": np.nan, "n": n, "curves": len(curves)}
    free = n - 2 * len(curves) - 1
    found["enough"] = free >= FREE
    if free < 1:
        return found
    squares = np.array([sum(_misfit(e, t, s) for e, t in curves) for s in TRIED])
    at = int(squares.argmin())
    allowed = squares <= squares[at] * (1 + stats.f.ppf(0.95, 1, free) / free)
    low, high = TRIED[allowed][[0, -1]]
    return found | {"slope": float(TRIED[at]), "low": float(low), "high": float(high)}


def _misfit(events: np.ndarray, t: np.ndarray, slope: float) -> float:
    """Sum of squared relative errors of the best ``a + b * events ** slope``, both not negative."""
    scaled = (events / events.max()) ** slope
    return optimize.nnls(np.column_stack([1 / t, scaled / t]), np.ones(len(t)))[1] ** 2


def claims(
    table: pd.DataFrame, view: pd.DataFrame, jobs: pd.DataFrame, checks: pd.DataFrame
) -> list[dict]:
    """The claims in order: ``claim``, ``test``, ``result`` in words, and ``state``.

    ``state`` is ``good``, ``bad``, ``open`` where the interval allows either, ``few`` where the points cannot carry the
    test, or ``none`` where this run has no data for it. The population is judged in the mode of ``view``.
    """
    return [
        _equality(verification.trust(table, jobs, checks)),
        _events(event_slopes(table)),
        _population(scaling.population_slopes(scaling.population(view)), readings.mode(view)),
        _memory(readings.memory(table)),
        _graphs(verification.p_values(jobs), checks),
    ]


def _claim(anchor: str, claim: str, test: str, state: str, result: str) -> dict:
    result = result or "not tested in this run"
    return {"anchor": anchor, "claim": claim, "test": test, "state": state, "result": result}


def _equality(found: dict) -> dict:
    text = ""
    if found["checks"]:
        text = f"{found['checks_passed']:,} of {found['checks']:,} checks passed"
        if np.isfinite(found["worst"]):
            text += f", worst error {found['worst']:.4g} of its bound"
    test = "every element within its derived error bound"
    return _claim("trust", "Same result", test, found["state"], text)


def _events(slopes: pd.DataFrame) -> dict:
    test = f"slope per operator between {EVENTS[0]} and {EVENTS[1]}, fixed cost taken out"
    return _claim("events", "Time follows events", test, *_slopes(slopes, *EVENTS))


def _population(slopes: pd.DataFrame, mode: str = "") -> dict:
    ours = slopes[slopes["method"] == readings.OURS]
    ours = ours.assign(enough=ours["sizes"] >= SIZES)
    test = f"slope at fixed events at most {POPULATION}" + (f", in mode {mode}" if mode else "")
    return _claim("population", "and not the population", test, *_slopes(ours, -np.inf, POPULATION))


def _slopes(slopes: pd.DataFrame, least: float, most: float) -> tuple[str, str]:
    """The state of all slopes together, and their range in words."""
    known = slopes[slopes["slope"].notna()]
    if known.empty:
        return "none", ""
    inside = known["slope"].between(least, most)
    # Outside, but so uncertain that it may be inside as well.
    possible = (known["low"].fillna(np.inf) <= most) & (known["high"].fillna(-np.inf) >= least)
    enough = known["enough"].astype(bool)
    if (~inside & ~possible & enough).any():
        return "bad", _range(known)
    few = sorted(set(known.loc[~inside & ~enough, "operator"]))
    if few:
        return "few", f"{_range(known)}; too few points of {', '.join(few)} to tell"
    return "good" if inside.all() else "open", _range(known)


def _range(slopes: pd.DataFrame) -> str:
    low, high = slopes.loc[slopes["slope"].idxmin()], slopes.loc[slopes["slope"].idxmax()]
    if len(slopes) == 1:
        return f"slope {low['slope']:.2f} ({low['operator']})"
    return (
        f"slopes {low['slope']:.2f} ({low['operator']}) to {high['slope']:.2f} ({high['operator']})"
    )


def _memory(stored: pd.DataFrame) -> dict:
    off = stored.loc[stored["method"] == readings.OURS, "deviation"].abs().dropna()
    state = "none" if off.empty else "good" if off.max() <= MEMORY else "bad"
    text = "" if off.empty else f"at most {100 * off.max():.2g} % off in {len(off)} configurations"
    test = f"stored bytes within {100 * MEMORY:g} % of the formula"
    return _claim("memory", "Memory follows synapses", test, state, text)


def _graphs(p: pd.DataFrame, checks: pd.DataFrame) -> dict:
    """Verification holds each p-value against its limit; here its verdict is repeated."""
    tested = checks[checks["check"].isin(set(p["test"].str.removeprefix("p_")))]
    good = len(tested) and verification.passed(tested).all()
    state = "good" if good else "bad" if len(tested) else "none"
    text = "" if p.empty else f"{len(p)} p-values, the smallest {p['p'].iloc[0]:.2g}"
    test = "density, degrees and independence against the exact law"
    return _claim("graphs", "Graphs follow their rule", test, state, text)
