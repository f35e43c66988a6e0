"""The records of whole networks as one table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...models import microcircuit
from ..measure import stats
from ..peers import newest
from .jobs import MATCHED, OURS

COLUMNS = [
    "model",
    "n",
    "simulator",
    "status",
    "reason",
    "t_step_s",
    "t_lo_s",
    "t_hi_s",
    "matched",
    "ratio",
    "ratio_lo",
    "ratio_hi",
    "rate_hz",
    "cv",
    "correlation",
    "build_s",
    "peak_rss_bytes",
    "populations",
    "versions",
    "job",
]


def frame(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row for each network and simulator.

    ``ratio`` is the time of a simulator over ours, by rounds; it is given only where the rates agree to a tenth
    (``matched``), since a network that fires more has more to do.
    """
    rows = []
    for content in records:
        found = content["simulators"]
        ours = found.get(OURS, {})
        for name, one in found.items():
            row = {key: content["job"][key] for key in ("model", "n")} | {
                "job": content["job"]["id"]
            }
            row |= {"simulator": name, "status": one["status"], "reason": one["reason"]}
            row |= {key: one.get(key) for key in COLUMNS if key in one}
            row["populations"] = _populations(one.get("populations", {}))
            versions = one.get("versions", {})
            row["versions"] = newest.told(versions, versions.get("python"))
            if one["status"] == "ok":
                row |= _times(one, ours)
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def read(path: Path) -> pd.DataFrame:
    """Read the table, with texts kept as text."""
    table = pd.read_csv(path)
    text = ["model", "simulator", "status", "reason", "populations", "versions"]
    return table.assign(
        **{name: table[name].astype(object).fillna("").astype(str) for name in text}
    )


def _populations(found: dict[str, float]) -> str:
    """Rates of the populations, each with the published one."""
    if not found:
        return ""
    published = dict(zip(microcircuit.POPULATIONS, microcircuit.RATES))
    return ", ".join(f"{name} {rate:.2f} ({published[name]:.2f})" for name, rate in found.items())


def _times(one: dict, ours: dict) -> dict[str, Any]:
    times = stats.summary(one["step_s"])
    row = {"t_step_s": times["median"], "t_lo_s": times["lo"], "t_hi_s": times["hi"]}
    row |= {"matched": False, "ratio": np.nan, "ratio_lo": np.nan, "ratio_hi": np.nan}
    if ours.get("status") != "ok" or not ours["rate_hz"]:
        return row
    row["matched"] = bool(abs(one["rate_hz"] / ours["rate_hz"] - 1) <= MATCHED)
    if row["matched"]:
        r = stats.ratio(dict(enumerate(one["step_s"])), dict(enumerate(ours["step_s"])))
        row |= {"ratio": r["ratio"], "ratio_lo": r["lo"], "ratio_hi": r["hi"]}
    return row
