"""What the page's template is given: findings turned into rows, sentences and captions.

Numbers come from `readings`, `scaling` and `verification`; here they only get their words.
"""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np
import pandas as pd

from ..figures.cost import building, tint
from ..figures.style import method_style, percent, si, times
from ..tables import claims, crossover, readings, scaling, verification
from ..verify.oracle import OTHER_GRAPH


def number(value, digits: int = 3) -> str:
    """A plain number for a cell, empty where there is none."""
    if value is None or not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        return ""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def count(n: int, noun: str) -> str:
    """``1 point``, ``2 points``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def _names(table: pd.DataFrame) -> dict[str, str]:
    """Operator and label of each job."""
    return {row.job: f"{row.operator} {row.label}" for row in table.itertuples()}


def answer(table: pd.DataFrame, view: pd.DataFrame) -> dict:
    """The map of fastest and smallest, and the sentences above it."""
    cells = readings.fastest(view)
    rates = sorted(cells["rate"].dropna().unique())
    small = readings.smallest(view)
    turns = readings.crossovers(view).set_index("job")
    lines = []
    for job, group in cells.groupby("job", sort=False):
        by_rate = {c["rate"]: c for c in group.to_dict("records")}
        winners, least = small.get(job, ([], math.nan))
        turn = turns.loc[job]
        lines.append(
            {
                "operator": group["operator"].iloc[0],
                "label": group["label"].iloc[0],
                "cells": [by_rate.get(rate) for rate in rates],
                "whole": next((c for c in by_rate.values() if pd.isna(c["rate"])), None),
                "smallest": winners,
                "bytes": least,
                "crossover": crossover.text(turn),
                "why": turn["reason"],
            }
        )
    families = [(name, list(rows)) for name, rows in groupby(lines, key=lambda r: r["operator"])]
    names = readings.methods(table)
    return {
        "rates": rates,
        "families": families,
        "verdict": _verdict(cells, small, view),
        "methods": names,
        "codes": {m: i for i, m in enumerate(names)},
        "tints": {m: tint(s["color"]) for m, s in method_style(names).items()},
        "mode": readings.mode(view),
        "how": readings.how(view),
    }


def _verdict(cells: pd.DataFrame, small: dict, view: pd.DataFrame) -> list[str]:
    """Two or three sentences that say who wins, how often, and where not."""
    timed = cells[cells["winner"] != ""]
    if timed.empty:
        return ["Nothing was timed in this run, so there is no answer yet."]
    ours = timed[timed["winner"] == readings.OURS]
    alone = readings.methods(view[view["status"] == "ok"]) == [readings.OURS]
    if alone:
        return ["Only eventops was timed in this run, so nothing can be compared."]
    lost = timed[timed["winner"] != readings.OURS]
    text = [
        f"eventops is the fastest at {len(ours)} of {count(len(timed), 'point')} ({readings.how(view)})."
    ]
    if len(lost):
        worst = lost.sort_values("lead", ascending=False).iloc[0]
        by = ", ".join(f"{m} {n}" for m, n in lost["winner"].value_counts().items())
        text.append(
            f"Others are the fastest at {len(lost)} ({by}), with the widest lead, "
            f"{times(worst['lead'])}, at {worst['operator']} {worst['label']}, "
            f"{percent(worst['rate'])} active."
        )
    close = int((~timed["clear"] & (timed["runner"] != "")).sum())
    if close:
        text.append(f"At {close} the two fastest cannot be told apart (≈).")
    turns = readings.crossovers(view)["kind"].value_counts()
    overtaken = int(turns.get(crossover.AT, 0) + turns.get(crossover.ALWAYS, 0))
    known = overtaken + int(turns.get(crossover.NEVER, 0))
    if known:
        text.append(
            f"Within the rates measured, the dense product stays faster from some rate on in {overtaken} of "
            f"{count(known, 'configuration')}."
        )
    least = sum(readings.OURS in winners for winners, _ in small.values())
    if small:
        text.append(
            f"It stores the fewest bytes, alone or level with another, "
            f"in {least} of {count(len(small), 'configuration')}."
        )
    return text


def _text(rows: pd.DataFrame, formats: dict) -> list[dict]:
    """Records with some of the columns turned into text."""
    out = []
    for row in rows.to_dict("records"):
        out.append(row | {key: f(row[key]) for key, f in formats.items()})
    return out


def _interval(row: dict, digits: int = 2) -> str:
    if not math.isfinite(row["slope"]):
        return "–"
    text = f"{row['slope']:.{digits}f}"
    if math.isfinite(row["low"]):
        text += f" ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
    return text


def evidence(
    table: pd.DataFrame, view: pd.DataFrame, jobs: pd.DataFrame, checks: pd.DataFrame
) -> dict:
    """Everything between the answer and the rows: trust, slopes, memory, speed-ups, building."""
    slopes = scaling.slopes(view).to_dict("records")
    across = scaling.population_slopes(scaling.population(view)).to_dict("records")
    stored = readings.memory(view)
    deviation = stored.loc[stored["method"] == readings.OURS, "deviation"].abs()
    lost = scaling.losses(table)
    p = verification.p_values(jobs)
    names = _names(table)
    p["name"] = [names.get(job, job) for job in p["job"]]
    p["test"] = p["test"].str.removeprefix("p_")
    size = ("n_synapses", "bytes_predicted", "bytes_stored", "temp_bytes", "rss_growth_bytes")
    # A share above 1 is a working set that fits a cache, which is faster than the memory that is read beside it.
    ours = view[(view["method"] == readings.OURS) & (view["status"] == "ok")]
    share = ours.dropna(subset="bandwidth_share").sort_values("bandwidth_share")
    best = share.iloc[-1] if len(share) else None
    return {
        "trust": verification.trust(table, jobs, checks),
        "pooled": [
            row | {"text": _interval(row)} for row in claims.event_slopes(table).to_dict("records")
        ],
        "slopes": [row | {"text": _interval(row)} for row in slopes],
        "across": [row | {"text": _interval(row)} for row in across],
        "memory": _text(stored, dict.fromkeys(size, si)),
        "deviation": None if deviation.dropna().empty else float(deviation.max()),
        "speedups": scaling.speedups(view, ("operator", "storage", "method")).to_dict("records"),
        "other_graph": _other_graph(table),
        "all_speedups": scaling.speedups(
            table, ("operator", "storage", "backend", "mode", "batch", "method")
        ).to_dict("records"),
        "losses": lost.to_dict("records"),
        "compared": len(scaling.compared(table)),
        "best": None if best is None else best.to_dict(),
        "middle": float(share["bandwidth_share"].median()),
        "shares": len(share),
        "building": building(view).to_dict("records"),
        "p_values": p.to_dict("records"),
        "p_lowest": None if p.empty else float(p["p"].iloc[0]),
        "p_jobs": 0 if p.empty else p["job"].nunique(),
        "reference": int((table["backend"] == "reference").sum()),
    }


def graphs(generators: dict | None) -> list[dict]:
    """What the generators were found to draw: rule, generator, status, and the tests that it failed."""
    return [] if generators is None else generators["graphs"]


def _other_graph(table: pd.DataFrame) -> list[str]:
    """The methods that were timed on a graph that is not ours."""
    ok = table[table["status"] == "ok"]
    pairs = zip(ok["method"], ok["reason"], strict=True)
    return sorted({method for method, reason in pairs if reason.startswith(OTHER_GRAPH)})


def job_rows(table: pd.DataFrame, jobs: pd.DataFrame) -> list[dict]:
    """One line per job, with the path of its record where the table has one."""
    names = _names(table)
    out = []
    for row in jobs.to_dict("records"):
        record = row.get("record", "")
        text = {
            k: "" if pd.isna(row.get(k)) else str(row.get(k))
            for k in ("status", "reason", "worst_where", "graph_hash", "backend", "device")
        }
        numbers = {
            k: number(pd.to_numeric(row.get(k), errors="coerce"))
            for k in ("n_checks", "n_failed", "worst_ratio", "duration_s")
        }
        job = str(row.get("job", ""))
        out.append({"job": job, "name": names.get(job, job), "record": record} | text | numbers)
    return out


# Heading with its unit, and what stands in the cell. Plain numbers, so that they sort.
COLUMNS = (
    ("operator", lambda r: r["operator"]),
    ("size and connectivity", lambda r: r["label"]),
    ("backend", lambda r: r["backend"]),
    ("mode", lambda r: r["mode"]),
    ("batch", lambda r: number(r["batch"])),
    ("rate, %", lambda r: number(100 * r["rate"])),
    ("method", lambda r: r["method"]),
    ("status", lambda r: r["status"]),
    ("time, µs", lambda r: number(1e6 * r["t_median_s"], 4)),
    ("low, µs", lambda r: number(1e6 * r["t_lo_s"], 4)),
    ("high, µs", lambda r: number(1e6 * r["t_hi_s"], 4)),
    ("time / ours", lambda r: number(r["ratio"])),
    ("low", lambda r: number(r["ratio_lo"])),
    ("high", lambda r: number(r["ratio_hi"])),
    ("active inputs", lambda r: number(r["events"], 4)),
    ("synapses", lambda r: number(r["n_synapses"], 6)),
    ("stored, MB", lambda r: number(r["bytes_stored"] / 1e6)),
    ("bandwidth, %", lambda r: number(100 * r["bandwidth_share"])),
    ("dtype", lambda r: r["dtype"]),
    ("storage", lambda r: r["storage"]),
    ("reason", lambda r: r["reason"]),
)
TEXT_COLUMNS = {0, 1, 2, 3, 6, 7, 18, 19, 20}
# Column of each filter above the table.
FILTERS = {
    "operator": 0,
    "backend": 2,
    "mode": 3,
    "batch": 4,
    "method": 6,
    "status": 7,
    "dtype": 18,
}


def rows(table: pd.DataFrame, most: int) -> dict:
    """The table of every row: headings, cells, and the choices of its filters.

    Beyond ``most`` rows the first ones are shown and the CSV holds the rest; failures come
    first then, so that a long table cannot hide them.
    """
    if len(table) > most:
        table = table.sort_values("status", key=lambda s: s != "failed", kind="stable")
    records = table.head(most).to_dict("records")
    shown = [[cell(r) for _, cell in COLUMNS] for r in records]
    choices = {
        "operator": list(dict.fromkeys(table["operator"])),
        "backend": sorted(set(table["backend"]) - {""}),
        "mode": sorted(set(table["mode"]) - {""}),
        "batch": [number(b) for b in sorted(table["batch"].dropna().unique())],
        "method": readings.methods(table),
        "status": sorted(set(table["status"])),
        "dtype": sorted(set(table["dtype"]) - {""}),
    }
    return {
        "heads": [name for name, _ in COLUMNS],
        "text": TEXT_COLUMNS,
        "cells": list(zip(shown, [r["job"] for r in records], strict=True)),
        "total": len(table),
        "choices": choices,
        "columns": FILTERS,
    }
