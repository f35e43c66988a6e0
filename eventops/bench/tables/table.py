"""Gather the records of a run in three tables: points, jobs and checks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from eventops.bench.measure import stats
from eventops.bench.records import record
from eventops.bench.verify import histograms

JOB_COLUMNS = [
    "machine",
    "job",
    "operator",
    "backend",
    "device",
    "n_pre",
    "n_post",
    "conn_kind",
    "conn",
    "n_synapses",
    "dtype",
    "storage",
    "weight",
]
POINT_COLUMNS = [
    *JOB_COLUMNS,
    "rate",
    "batch",
    "mode",
    "method",
    "events",
    "synaptic_events",
    "status",
    "reason",
    "t_median_s",
    "t_q1_s",
    "t_q3_s",
    "t_lo_s",
    "t_hi_s",
    "n_samples",
    "t_calls",
    "ratio",
    "ratio_lo",
    "ratio_hi",
    "construct_s",
    "lower_s",
    "compile_s",
    "first_call_s",
    "bytes_predicted",
    "bytes_stored",
    "temp_bytes",
    "rss_growth_bytes",
    "bytes_moved",
    "bandwidth_share",
    "n_checks",
    "worst_ratio",
]
DEGREE_COLUMNS = [
    "job",
    "generator",
    "rule",
    "n_pre",
    "n_post",
    "side",
    "law",
    "test",
    "p",
    "first",
    "width",
    "observed",
    "expected",
]
CHECK_COLUMNS = ["job", "check", "where", "value", "limit", "passed", "note", "kind"]


def read(path: Path, kind: str) -> pd.DataFrame:
    """Read one of the tables, with texts such as a connection number kept as text."""
    text = dict.fromkeys(("conn", "reason", "note", "worst_where", "graph_hash", "dtype"), "string")
    text |= dict.fromkeys(("job", "generator", "rule"), "string") if kind == "degrees" else {}
    frame = pd.read_csv(path, dtype=text, keep_default_na=True)
    for name in text.keys() & set(frame.columns):
        frame[name] = frame[name].fillna("").astype(str)
    expected = {"points": POINT_COLUMNS, "checks": CHECK_COLUMNS, "degrees": DEGREE_COLUMNS}.get(
        kind, []
    )
    missing = [name for name in expected if name not in frame.columns]
    if missing:
        raise ValueError(f"table.read: {path} lacks the columns {missing}; delete it and run again")
    return frame


def points(pairs: Iterable[tuple[dict, dict]], machine: dict) -> pd.DataFrame:
    """One row for each job, rate, batch, mode and method.

    Parameters
    ----------
    pairs
        The verify record and the measurement record of each job.
    machine
        The content of ``machine.json``.
    """
    rows = []
    for verified, measured in pairs:
        job = measured["job"]
        common = _identity(job, verified, machine)
        common |= {"n_checks": len(verified["checks"]), "worst_ratio": worst(verified)[0]}
        ours = _our_points(measured["points"], job)
        once = machine.get("read_bandwidth_bytes_per_s") if job["device"] == "cpu" else None
        for point in measured["points"]:
            built = measured["construct"].get(point["method"], {})
            rows.append({**common, **_point(point, built, ours, once)})
    return pd.DataFrame(rows, columns=POINT_COLUMNS)


def _identity(job, verified, machine) -> dict:
    row = {name: job.get(name) for name in JOB_COLUMNS}
    return row | {
        "machine": machine["slug"],
        "job": job["id"],
        "n_synapses": verified["n_synapses"],
    }


def _our_points(all_points, job) -> dict:
    """Our own points, with whose rounds the others are compared."""
    return {
        (point["rate"], point["batch"], point["mode"]): point
        for point in all_points
        if point["method"] == "eventops"
    }


def _point(point, built, ours, once) -> dict[str, Any]:
    row = {
        "rate": float(point["rate"]),
        **{name: point.get(name) for name in ("batch", "mode", "method", "status", "reason")},
        **{name: point.get(name) for name in ("events", "synaptic_events", "t_calls")},
        **{name: point.get(name) for name in ("lower_s", "compile_s", "first_call_s")},
        **{name: point.get(name) for name in ("temp_bytes", "rss_growth_bytes", "bytes_moved")},
        **{name: built.get(name) for name in ("construct_s", "bytes_predicted", "bytes_stored")},
        "n_samples": len(point["samples"]),
    }
    if not point["samples"]:
        return row
    samples = dict(point["samples"])
    times = stats.summary(list(samples.values()))
    row |= {f"t_{name}_s": times[name] for name in ("median", "q1", "q3", "lo", "hi")}
    base = ours.get((point["rate"], point["batch"], point["mode"]), {})
    if base.get("samples"):
        ratio = stats.ratio(samples, dict(base["samples"]))
        row |= {"ratio": ratio["ratio"], "ratio_lo": ratio["lo"], "ratio_hi": ratio["hi"]}
    if point.get("bytes_moved"):
        row["bandwidth_share"] = _bandwidth_share(point, samples, base.get("memory"), once)
    return row


def _bandwidth_share(point, samples, memory, once) -> float | None:
    """Bytes per second over those that a plain read of memory had in the same rounds, or, in older records, once."""
    if memory:
        slower = stats.ratio(samples, dict(memory["samples"]))["ratio"]
        return point["bytes_moved"] / memory["bytes"] / slower
    return once and point["bytes_moved"] / stats.summary(list(samples.values()))["median"] / once


def jobs(pairs: Iterable[tuple[dict, dict]], machine: dict, records: Iterable[str]) -> pd.DataFrame:
    """One row for each job, with what verification found and where its record is."""
    rows = []
    for (verified, measured), path in zip(pairs, records, strict=True):
        ratio, where = worst(verified)
        built = measured["construct"].get("eventops", {})
        rows.append(
            _identity(measured["job"], verified, machine)
            | {
                "efferent_target": measured["job"]["efferent_target"],
                "seed": measured["job"]["seed"],
                "status": verified["status"],
                "reason": verified["reason"],
                "n_checks": len(verified["checks"]),
                "n_failed": sum(not check["passed"] for check in verified["checks"]),
                "worst_ratio": ratio,
                "worst_where": where,
                "graph_hash": verified["graph_hash"],
                "mean_out_degree": verified["mean_out_degree"],
                "p_value_min": min(
                    map(record.number, verified["p_values"].values()), default=math.nan
                ),
                **{f"p_{name}": record.number(p) for name, p in verified["p_values"].items()},
                "construct_s": built.get("construct_s"),
                "bytes_predicted": built.get("bytes_predicted"),
                "bytes_stored": built.get("bytes_stored"),
                "rss_growth_bytes": built.get("rss_growth_bytes"),
                "verify_s": verified["duration_s"],
                "duration_s": measured["duration_s"],
                "record": path,
                "commit": measured.get("commit"),
            }
        )
    return pd.DataFrame(rows)


def checks(verified_jobs: Iterable[dict]) -> pd.DataFrame:
    """One row for each check."""
    rows = [
        {"job": verified["job"]["id"], **check, "value": record.number(check["value"])}
        for verified in verified_jobs
        for check in verified["checks"]
    ]
    return pd.DataFrame(rows, columns=CHECK_COLUMNS)


def degrees(verified_jobs: Iterable[dict], generators: dict) -> pd.DataFrame:
    """One row for each bin of each degree histogram: of the jobs, and (no job) of the generators."""
    rows = []
    for verified in verified_jobs:
        job = verified["job"]
        p_values = {name: record.number(p) for name, p in verified["p_values"].items()}
        common = {"job": job["id"], "generator": "eventops", "rule": _rule(job)}
        rows += _bins(common, verified.get("histograms", []), p_values)
    for graph in generators["graphs"]:
        found = {f["test"]: record.number(f["value"]) for f in graph["findings"] if f["is_p_value"]}
        common = {"job": "", "generator": graph["generator"], "rule": graph["rule"]}
        rows += _bins(common, graph["histograms"], found)
    return pd.DataFrame(rows, columns=DEGREE_COLUMNS)


def _rule(job) -> str:
    words = {"prob": f"p = {job['conn']}", "num": f"fan-out {job['conn']}"}.get(
        job["conn_kind"], f"{job['conn_kind']} {job['conn']}"
    )
    if job["conn_kind"] == "num" and job["efferent_target"] == "pre":
        words = f"fan-in {job['conn']}"
    return f"{job['operator']}, {words}"


def _bins(common: dict, found: list[dict], p_values: dict) -> list[dict]:
    rows = []
    for one in found:
        test, p = histograms.p_value(p_values, one["side"])
        row = common | {k: one[k] for k in ("n_pre", "n_post", "side", "law", "width")}
        for i, (observed, expected) in enumerate(
            zip(one["observed"], one["expected"], strict=True)
        ):
            place = {"first": one["first"] + i * one["width"]}
            counts = {"observed": observed, "expected": expected}
            rows.append(row | place | counts | {"test": test, "p": p})
    return rows


def worst(verified: dict) -> tuple[float, str]:
    """The largest error / bound of a job, and where it was."""
    ratios = [
        (record.number(check["value"]), f"{check['check']}, {check['where']}")
        for check in verified["checks"]
        if check["kind"] == "ratio"
    ]
    return max(ratios, default=(math.nan, ""))


def failures(point_table: pd.DataFrame, job_table: pd.DataFrame) -> list[str]:
    """What must make the run fail: a line for each failed job and for each failed point."""
    lines = [
        f"{row.job}: verification failed: {row.reason}"
        for row in job_table.itertuples()
        if row.status == "failed"
    ]
    lines += [
        f"{row.job}: rate {row.rate}, batch {row.batch}, {row.mode}: {row.reason}"
        for row in point_table.itertuples()
        if row.status == "failed"
    ]
    return lines


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table, whole or not at all."""
    record.write_text(path, frame.to_csv(index=False, lineterminator="\n"))
