"""The records of delays and of updates of weights as one table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ..measure import stats
from ..records import record

JOB = ("measure", "n", "conn", "weights", "rate")
COLUMNS = [
    "job",
    *JOB,
    "case",
    "method",
    "against",
    "status",
    "reason",
    "t_s",
    "t_against_s",
    "ratio",
    "ratio_lo",
    "ratio_hi",
    "worst_ratio",
]


def frame(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row for each comparison; a job without any (absent, failed) is a row of its own that says why.

    ``ratio`` is the time of ``method`` over that of ``against``, round by round; times are those of one step.
    """
    rows = []
    for content in records:
        job = content["job"]
        common = {"job": job["id"], **{key: job[key] for key in JOB}}
        if not content["cases"]:
            common |= {"case": "", "method": "", "against": ""}
            rows.append(common | {key: content[key] for key in ("status", "reason")})
        for case in content["cases"]:
            row = {key: case[key] for key in ("method", "against", "status", "reason")}
            row |= {"case": case["what"], "worst_ratio": record.number(case["worst"])}
            if case["status"] == "ok":
                row |= _times(*(dict(case["samples"][case[key]]) for key in ("method", "against")))
            rows.append(common | row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _times(mine: dict[int, float], other: dict[int, float]) -> dict[str, float]:
    ratio = stats.ratio(mine, other)
    times = {"t_s": mine, "t_against_s": other}
    found = {name: stats.summary(list(t.values()))["median"] for name, t in times.items()}
    return found | {"ratio": ratio["ratio"], "ratio_lo": ratio["lo"], "ratio_hi": ratio["hi"]}


def read(path: Path) -> pd.DataFrame:
    """Read the table, with texts kept as text."""
    table = pd.read_csv(path, dtype={"rate": str})
    text = [
        c for c in COLUMNS if c not in ("n", "conn") and not c.startswith(("t_", "ratio", "worst"))
    ]
    return table.assign(**{name: table[name].fillna("").astype(str) for name in text})


def failures(table: pd.DataFrame) -> list[str]:
    """What must make the run fail: a line for each failed comparison."""
    return [
        f"{row.job}{f', {row.case}' if row.case else ''}: {row.reason}"
        for row in table.itertuples()
        if row.status == "failed"
    ]
