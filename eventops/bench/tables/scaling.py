"""How the measured times scale: with events, with the population, and beside the other methods.

Slopes are least squares in log-log with Student's interval (`scipy.stats.linregress`); the
tables are those of `readings`, which names the columns.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from .readings import OURS


def loglog(x, y) -> dict:
    """Least-squares slope of log y on log x with its 95 % interval (Student's t), and its n."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    good = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    x, y = np.log(x[good]), np.log(y[good])
    if len(np.unique(x)) < 2:
        return {"slope": np.nan, "low": np.nan, "high": np.nan, "n": len(x)}
    fit = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * fit.stderr if len(x) > 2 else np.nan
    return {"slope": fit.slope, "low": fit.slope - half, "high": fit.slope + half, "n": len(x)}


def slopes(view: pd.DataFrame, method: str = OURS) -> pd.DataFrame:
    """How time grows with active inputs: slope over all rates, and between the two highest."""
    rows = []
    ours = view[(view["method"] == method) & (view["status"] == "ok")]
    for job, group in ours.groupby("job", sort=False):
        group = group[group["events"].gt(0)].sort_values("events")
        if group.empty:
            continue
        last = loglog(group["events"].tail(2), group["t_median_s"].tail(2))["slope"]
        row = {"job": job, "operator": group["operator"].iloc[0], "label": group["label"].iloc[0]}
        rows.append(row | loglog(group["events"], group["t_median_s"]) | {"last": last})
    return pd.DataFrame(
        rows, columns=["job", "operator", "label", "slope", "low", "high", "n", "last"]
    )


def population(view: pd.DataFrame) -> pd.DataFrame:
    """Time at one number of synaptic events, for populations of different size.

    Each job was measured at its own rates, so its time at the common level is read off
    its own curve, between measured points and never beyond them (log-log). The level
    is the measured one that the largest number of sizes reaches. Rows: operator, level,
    method, n (pre neurons), t; jobs that differ in dtype, storage or weights are not mixed.
    """
    rows = []
    ok = view[(view["status"] == "ok") & view["synaptic_events"].gt(0) & view["t_median_s"].gt(0)]
    for keys, group in ok.groupby(["operator", "device", "dtype", "storage", "weight"], sort=False):
        curves = {
            key: c.sort_values("synaptic_events")
            for key, c in group.groupby(["job", "method"], sort=False)
        }
        ours = [c for (_, method), c in curves.items() if method == OURS]
        if len({c["n_pre"].iloc[0] for c in ours}) < 2:
            continue

        def reach(level, ours=ours):
            inside = [c for c in ours if c["synaptic_events"].min() <= level * (1 + 1e-9)]
            inside = [c for c in inside if c["synaptic_events"].max() >= level * (1 - 1e-9)]
            return len({c["n_pre"].iloc[0] for c in inside}), level

        sizes, level = max(reach(v) for c in ours for v in c["synaptic_events"])
        if sizes < 2:
            continue
        for (job, method), curve in curves.items():
            x, y = np.log(curve["synaptic_events"]), np.log(curve["t_median_s"])
            if x.min() <= np.log(level) + 1e-9 and x.max() >= np.log(level) - 1e-9:
                t = float(np.exp(np.interp(np.log(level), x, y)))
                n = curve["n_pre"].iloc[0]
                rows.append((keys[0], " ".join(keys[1:]), job, method, level, n, t))
    return pd.DataFrame(rows, columns=["operator", "variant", "job", "method", "level", "n", "t"])


def population_slopes(table: pd.DataFrame) -> pd.DataFrame:
    """Slope of time on population at fixed synaptic events, from :func:`population`."""
    rows = []
    for (operator, variant, method), g in table.groupby(
        ["operator", "variant", "method"], sort=False
    ):
        if g["n"].nunique() > 1:
            row = {
                "operator": operator,
                "variant": variant,
                "method": method,
                "level": g["level"].iloc[0],
                "sizes": g["n"].nunique(),
            }
            rows.append(row | loglog(g["n"], g["t"]))
    return pd.DataFrame(
        rows,
        columns=["operator", "variant", "method", "level", "sizes", "slope", "low", "high", "n"],
    )


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in which another method was timed against ours."""
    other = table[(table["method"] != OURS) & (table["status"] == "ok")]
    return other[other["ratio"].gt(0)]


def speedups(table: pd.DataFrame, by: tuple[str, ...]) -> pd.DataFrame:
    """How often, how much and how little faster we are, for each combination of ``by``."""
    by = list(by)
    rows = []
    for keys, g in compared(table).groupby(by, sort=False, dropna=False):
        ratio = g["ratio"]
        mean = float(np.exp(np.log(ratio).mean()))
        row = dict(zip(by, keys, strict=True)) | {
            "n": len(g),
            "geomean": mean,
            "least": ratio.min(),
        }
        rows.append(row | {"most": ratio.max(), "lost": int((ratio < 1).sum())})
    return pd.DataFrame(rows, columns=[*by, "n", "geomean", "least", "most", "lost"])


def losses(table: pd.DataFrame) -> pd.DataFrame:
    """Every point at which another method was faster, the largest loss first."""
    rows = compared(table)
    return rows[rows["ratio"] < 1].sort_values("ratio")
