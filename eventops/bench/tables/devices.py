"""The same configuration on the CPU and on the GPU, and from which firing rate on the GPU is faster."""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import crossover
from .readings import OURS, labels

_CONFIGURATION = "operator n_pre n_post conn_kind conn efferent_target dtype storage weight".split()
_AT = ["mode", "batch", "rate"]
COLUMNS = [*_CONFIGURATION, "label", *_AT]
COLUMNS += [f"{name}_{device}" for device in ("cpu", "gpu") for name in ("t", "lo", "hi")]
COLUMNS += ["ratio", "ratio_lo", "ratio_hi"]


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Our times on both devices, each with its default backend, side by side.

    Parameters
    ----------
    table : pandas.DataFrame
        From `findings.prepare`.

    Returns
    -------
    pandas.DataFrame
        One row for each configuration, mode, batch and rate that was timed on both: seconds on each with their 95 %
        intervals, and ``ratio``, the CPU's over the GPU's. The two were not measured round by round as peers are, so
        the interval of the ratio is that of the least over the most and the most over the least.
    """
    ours = table[(table["method"] == OURS) & (table["status"] == "ok") & table["t_median_s"].gt(0)]
    default = ours["backend"] == ours["device"]
    plain = ours["backend"].eq("reference") & ~default.groupby(
        [ours["operator"], ours["device"]]
    ).transform("any")
    ours = ours[default | plain]
    sides = []
    for device in ("cpu", "gpu"):
        side = ours[ours["device"] == device]
        names = labels(side)
        side = side.reindex(
            columns=[*_CONFIGURATION, *_AT, "job", "t_median_s", "t_lo_s", "t_hi_s"]
        )
        side["label"] = [names[job] for job in side["job"]]
        side["efferent_target"] = side["efferent_target"].fillna("")
        times = {"t_median_s": "t", "t_lo_s": "lo", "t_hi_s": "hi"}
        side = side.rename(columns={old: f"{new}_{device}" for old, new in times.items()})
        sides.append(side.drop(columns="job" if device == "cpu" else ["job", "label"]))
    both = sides[0].merge(sides[1], on=[*_CONFIGURATION, *_AT])
    both["ratio"] = both["t_cpu"] / both["t_gpu"]
    both["ratio_lo"] = both["lo_cpu"] / both["hi_gpu"]
    both["ratio_hi"] = both["hi_cpu"] / both["lo_gpu"]
    return both.reindex(columns=COLUMNS)


def crossovers(both: pd.DataFrame) -> pd.DataFrame:
    """From which firing rate on the GPU is faster: one row per configuration, mode and batch of `compared`.

    The outcome is that of `crossover`; ``won`` of ``n`` rates are the GPU's; ``geomean`` is that of the CPU's time over
    the GPU's.
    """
    rows = []
    keys = [*_CONFIGURATION, "label", "mode", "batch"]
    for values, group in both[both["rate"].gt(0)].groupby(keys, sort=False, dropna=False):
        group = group.sort_values("rate")
        rate, ratio = group["rate"].to_numpy(), group["ratio"].to_numpy()
        row = dict(zip(keys, values, strict=True)) | {
            "n": len(group),
            "won": int((ratio > 1).sum()),
        }
        row["geomean"] = float(np.exp(np.log(ratio).mean()))
        # The lead is the CPU's: its interval ends where that of the ratio begins.
        leads = (-np.log(group[name]) for name in ("ratio", "ratio_hi", "ratio_lo"))
        row |= crossover.crossover(rate, *leads)
        rows.append(row)
    columns = [*keys, *"kind rate low high first last won n geomean".split()]
    return pd.DataFrame(rows, columns=columns)
