"""What was verified, what failed, and what was left out and why.

The report's second answer: may the numbers be believed? Counts come from the same
tables that the reader can download, and a report without checks is never called good.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .readings import OURS

POINT = ["job", "rate", "batch", "mode"]


def passed(checks: pd.DataFrame) -> pd.Series:
    """The column ``passed`` as booleans; anything but a plain yes is a no."""
    if "passed" not in checks:
        return pd.Series(False, index=checks.index, dtype=bool)
    return checks["passed"].astype(str).str.strip().str.lower().isin(["true", "1", "1.0"])


def _rates(group: pd.DataFrame) -> list[float]:
    return sorted(set(group["rate"].dropna()))


def left_out(table: pd.DataFrame, status: str) -> list[dict]:
    """Rows of one status, by method and reason: how many, in which jobs, at which rates."""
    rows = table[table["status"] == status]
    found = []
    for (method, reason), g in rows.groupby(["method", "reason"], sort=False):
        jobs = [f"{o} {n}" for o, n in dict.fromkeys(zip(g["operator"], g["label"], strict=True))]
        reason = reason or "no reason was recorded"
        found.append(
            {"method": method, "reason": reason, "rows": len(g), "jobs": jobs, "rates": _rates(g)}
        )
    return found


def failures(table: pd.DataFrame, jobs: pd.DataFrame, checks: pd.DataFrame) -> list[dict]:
    """Everything that failed, each as what, where and why; an empty list is a clean run."""
    found = []
    bad = table[table["status"] == "failed"]
    for (operator, label, reason), g in bad.groupby(["operator", "label", "reason"], sort=False):
        n = len(g[POINT].drop_duplicates())
        found.append(
            {
                "what": f"{n} point{'s' if n > 1 else ''} ({', '.join(g['method'].unique())})",
                "where": f"{operator} {label}",
                "why": reason or "no reason was recorded",
            }
        )
    for row in checks[~passed(checks)].to_dict("records"):
        why = f"value {row.get('value', '')}, limit {row.get('limit', '')}"
        note = row.get("note")
        if isinstance(note, str) and note:
            why = f"{note} ({why})"
        where = " ".join(str(row[k]) for k in ("job", "where") if isinstance(row.get(k), str))
        found.append({"what": f"check {row.get('check', '')}", "where": where, "why": why})
    if "status" in jobs:
        for row in jobs[jobs["status"] == "failed"].to_dict("records"):
            reason = row.get("reason")
            reason = reason if isinstance(reason, str) and reason else "no reason was recorded"
            found.append({"what": "job", "where": str(row.get("job", "")), "why": reason})
    return found


def trust(table: pd.DataFrame, jobs: pd.DataFrame, checks: pd.DataFrame) -> dict:
    """The verdict and the counts behind it; ``state`` is ``good``, ``bad`` or ``none``."""
    ours = table[table["method"] == OURS]
    status = ours.groupby(POINT, dropna=False)["status"].first()
    bad = failures(table, jobs, checks)
    n_ok = int((status == "ok").sum())
    worst, where = np.nan, ""
    if "worst_ratio" in jobs and pd.to_numeric(jobs["worst_ratio"], errors="coerce").notna().any():
        row = jobs.loc[pd.to_numeric(jobs["worst_ratio"], errors="coerce").idxmax()]
        worst, where = float(row["worst_ratio"]), f"{row.get('job', '')}"
        if isinstance(row.get("worst_where"), str):
            where += f", {row['worst_where']}"
    state = "bad" if bad else "good" if n_ok and len(checks) else "none"
    return {
        "state": state,
        "points": n_ok,
        "planned": int(status.isin(["ok", "failed"]).sum()),
        "jobs": int(ours.loc[ours["status"] == "ok", "job"].nunique()),
        "checks": len(checks),
        "checks_passed": int(passed(checks).sum()),
        "worst": worst,
        "where": where,
        "failures": bad,
        "skipped": left_out(table, "skipped"),
        "absent": left_out(table, "absent"),
    }


def p_values(jobs: pd.DataFrame) -> pd.DataFrame:
    """The p-values of the connectivity statistics in ``jobs``: job, test, p; smallest first."""
    columns = [c for c in jobs.columns if c.startswith("p_") and c != "p_value_min"]
    if not columns or "job" not in jobs:
        return pd.DataFrame(columns=["job", "test", "p"])
    long = jobs.melt("job", columns, "test", "p")
    long["p"] = pd.to_numeric(long["p"], errors="coerce")
    return long.dropna(subset="p").sort_values("p").reset_index(drop=True)
