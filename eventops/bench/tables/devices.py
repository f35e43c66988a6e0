"""The same configuration on the CPU and on the GPU, and from which firing rate on the GPU is faster."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .readings import OURS, crossing, labels

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

    ``kind`` is ``at`` (between two measured rates: ``rate``, with ``low`` and ``high`` from the intervals), ``gpu``
    (faster at the lowest rate already) or ``cpu`` (the GPU is not faster up to the highest). ``won`` of ``n`` rates
    are the GPU's; ``geomean`` is that of the CPU's time over the GPU's.
    """
    rows = []
    keys = [*_CONFIGURATION, "label", "mode", "batch"]
    for values, group in both[both["rate"].gt(0)].groupby(keys, sort=False, dropna=False):
        group = group.sort_values("rate")
        rate, ratio = group["rate"].to_numpy(), group["ratio"].to_numpy()
        row = dict(zip(keys, values, strict=True)) | {"rate": np.nan, "low": np.nan, "high": np.nan}
        row |= {"n": len(group), "won": int((ratio > 1).sum())}
        row["geomean"] = float(np.exp(np.log(ratio).mean()))
        at = crossing(rate, 1 / ratio)
        row["kind"] = "gpu" if ratio[0] > 1 else "cpu" if at is None else "at"
        if row["kind"] == "at":
            row["rate"] = at
            for end, side in (("low", "hi"), ("high", "lo")):
                bound = group[f"ratio_{side}"].to_numpy()
                edge = crossing(rate, 1 / bound) if np.all(bound > 0) else None
                row[end] = np.nan if edge is None else edge
        rows.append(row)
    columns = [*keys, "kind", "rate", "low", "high", "won", "n", "geomean"]
    return pd.DataFrame(rows, columns=columns)
