"""A made-up run of the workflow with every kind of row that a real one can hold.

The numbers follow simple cost laws plus noise, so that slopes and crossovers are known
in advance; nothing here is a measurement.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eventops.bench.tables.table import POINT_COLUMNS
from eventops.bench.tables.table import degrees as degree_table

RATES = (0.001, 0.01, 0.1, 0.5)
PEERS = ("jnp-dense", "bcoo", "scipy-csr", "brainevent", "torch")
BANDWIDTH = 1.2e10
# operator, n, kind, conn, synapses per pre
JOBS = (
    ("EventLinear", 1_000, "dense", "", 1_000),
    ("EventLinear", 4_000, "dense", "", 4_000),
    ("EventLinear", 10_000, "dense", "", 10_000),
    ("EventFixedProb", 1_000, "prob", "0.1", 100),
    ("EventFixedProb", 4_000, "prob", "0.01", 40),
    ("EventFixedProb", 4_000, "prob", "0.1", 400),
    ("EventFixedNumConn", 4_000, "num", "80", 80),
    ("EventFixedNumConn", 40_000, "num", "80", 80),
    ("EventFixedNumConn", 100_000, "num", "1000", 1_000),
)


def law(method: str, n: int, fan: int, rate: float, batch: int, mode: str) -> float:
    """Seconds per call: a fixed part, and what the method visits."""
    visited = rate * n * fan * batch
    fixed = 5e-6 if mode == "call" else 1e-6
    dense = n * n * batch * 2.5e-10 / (1 if batch == 1 else 3)
    return {
        "eventops": fixed + 4e-10 * visited,
        "jnp-dense": 8e-6 + dense,
        "bcoo": 3e-5 + n * fan * 9e-9 * batch,
        "scipy-csr": 2e-6 + 1.3e-9 * visited + 2e-9 * n,
        "brainevent": 3e-5 + 1.0e-9 * visited,
        "torch": 6e-6 + dense * 0.9,
    }[method]


def points(jobs=JOBS, rates=RATES, peers=PEERS, modes=("call", "scan"), batches=(1, 16), seed=0):
    """A table with the columns of ``points.csv``: good, skipped, failed and absent rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for operator, n, kind, conn, fan in jobs:
        base = {
            "machine": "made-up-2core",
            "operator": operator,
            "backend": "cpu",
            "device": "cpu",
            "n_pre": n,
            "n_post": n,
            "conn_kind": kind,
            "conn": conn,
            "n_synapses": n * fan,
            "dtype": "float32",
            "weight": "homogeneous",
            "storage": "sparse" if kind != "dense" else "dense",
            "n_checks": 14,
            "worst_ratio": 0.21,
            "job": f"{operator}-{n}-{conn or 'full'}".replace(".", "p"),
        }
        for rate in rates:
            for batch in batches:
                for mode in modes:
                    ours = law("eventops", n, fan, rate, batch, mode)
                    for method in ("eventops", *peers):
                        row = dict.fromkeys(POINT_COLUMNS, np.nan) | base
                        row |= {"rate": rate, "batch": batch, "mode": mode, "method": method}
                        row |= {"events": rate * n, "synaptic_events": rate * n * fan, "reason": ""}
                        dense = method in ("jnp-dense", "torch")
                        size = 4 * n * n if dense or kind == "dense" else 2 * n * fan + 8 * n
                        if method == "bcoo":
                            size = 12 * n * fan
                        row["bytes_predicted"] = size
                        if method == "scipy-csr" and mode == "scan":
                            reason = "scipy cannot be called inside lax.scan"
                            rows.append(row | {"status": "skipped", "reason": reason})
                            continue
                        if size > 3e9:
                            reason = f"dense weights need {size / 1e9:.1f} GB, the limit is 3 GB"
                            rows.append(row | {"status": "skipped", "reason": reason})
                            continue
                        t = law(method, n, fan, rate, batch, mode) * rng.lognormal(0, 0.03)
                        ratio = 1.0 if method == "eventops" else t / ours
                        row |= {
                            "status": "ok",
                            "t_median_s": t,
                            "t_q1_s": t * 0.97,
                            "t_q3_s": t * 1.05,
                            "t_lo_s": t * 0.98,
                            "t_hi_s": t * 1.03,
                            "n_samples": 40,
                            "t_calls": 20,
                            "ratio": ratio,
                            "ratio_lo": ratio * (0.96 if method != "eventops" else 1),
                            "ratio_hi": ratio * (1.04 if method != "eventops" else 1),
                            "construct_s": 1e-9 * size + 0.002,
                            "lower_s": 0.03,
                            "compile_s": 0.08,
                            "first_call_s": 0.12 + t,
                            "bytes_stored": size * 1.002,
                            "temp_bytes": 4 * n,
                            "rss_growth_bytes": size * 1.1,
                            "bytes_moved": 2 * rate * n * fan * batch + 4 * n,
                            "bandwidth_share": min(
                                (2 * rate * n * fan * batch + 4 * n) / t / BANDWIDTH, 2
                            ),
                        }
                        rows.append(row)
    return pd.DataFrame(rows, columns=POINT_COLUMNS)


def procedural(table: pd.DataFrame) -> pd.DataFrame:
    """The same jobs with graphs that are drawn on every call, beside a peer that draws another one."""
    drawn = table.assign(storage="procedural", job=table["job"] + "-drawn")
    ours = drawn["method"] == "eventops"
    drawn.loc[ours, ["bytes_predicted", "bytes_stored"]] = 4
    drawn.loc[ours, ["bytes_moved", "bandwidth_share"]] = np.nan
    other = drawn[drawn["method"] == "brainevent"].assign(
        method="brainevent-jit",
        reason="same task, other graph: 0.098 of the pairs are connected, 0.1 was asked",
        bytes_predicted=12,
        bytes_stored=12,
        bytes_moved=np.nan,
        bandwidth_share=np.nan,
    )
    return pd.concat([drawn, other], ignore_index=True)


def both_devices(table: pd.DataFrame) -> pd.DataFrame:
    """The same jobs on a CPU and on a GPU, where a call costs 20 µs more and an event a tenth."""
    ours = table["method"] == "eventops"
    times = [c for c in table if c.startswith("t_") and c.endswith("_s")]
    gpu = table[ours].assign(device="gpu", backend="gpu", job=table["job"] + "-gpu")
    gpu[times] = 2e-5 + gpu[times] / 10
    return pd.concat([table, gpu], ignore_index=True)


def jobs(table: pd.DataFrame) -> pd.DataFrame:
    """A table like ``jobs.csv`` for the points given."""
    if table.empty:
        return pd.DataFrame(columns=["job", "status", "reason", "worst_ratio", "worst_where"])
    columns = POINT_COLUMNS[: POINT_COLUMNS.index("rate")]
    out = table.drop_duplicates("job")[list(columns)].reset_index(drop=True)
    rng = np.random.default_rng(1)
    out["status"], out["reason"], out["n_checks"], out["n_failed"] = "ok", "", 14, 0
    out["worst_ratio"] = np.round(rng.uniform(0.05, 0.4, len(out)), 3)
    out["worst_where"] = "rate 0.5, batch 16, output 17"
    out["graph_hash"], out["mean_out_degree"] = "9f2c" * 16, out["n_synapses"] / out["n_pre"]
    out["p_out_degree"], out["p_in_degree"] = rng.uniform(0, 1, (2, len(out)))
    out.loc[out["conn_kind"] == "dense", ["p_out_degree", "p_in_degree"]] = np.nan
    out["construct_s"], out["bytes_predicted"], out["bytes_stored"] = 0.1, 1e6, 1e6
    out["duration_s"] = 21.5
    out["p_value_min"] = out[["p_out_degree", "p_in_degree"]].min(axis=1)
    out["efferent_target"] = np.where(out["conn_kind"] == "num", "post", "")
    out["record"] = "records/" + out["job"] + ".json"
    return out


def checks(table: pd.DataFrame) -> pd.DataFrame:
    """A table like ``checks.csv``: a few checks of every job, all passed."""
    columns = ["job", "check", "where", "value", "limit", "passed", "note"]
    names = ("against oracle", "bool = float", "batch = loop = vmap", "gradient of weights")
    return pd.DataFrame(
        [(j, c, "rate 0.1", 0.2, 1.0, True, "") for j in table["job"].unique() for c in names],
        columns=columns,
    )


def with_failures(table: pd.DataFrame) -> pd.DataFrame:
    """The same run with a failed point, an absent peer and one job that did not fit."""
    table = table.copy()
    numbers = list(
        POINT_COLUMNS[POINT_COLUMNS.index("t_median_s") : POINT_COLUMNS.index("construct_s")]
    )
    bad = (table["job"] == table["job"].iloc[-1]) & (table["rate"] == table["rate"].max())
    table.loc[bad, "status"] = "failed"
    table.loc[bad, "reason"] = "error/bound 37.2 at output 5 is above 1"
    table.loc[bad, numbers] = np.nan
    gone = table["method"] == "brainevent"
    table.loc[gone, numbers] = np.nan
    table.loc[gone, ["status", "reason"]] = ["absent", "brainevent is not installed"]
    big = dict.fromkeys(POINT_COLUMNS, np.nan) | {
        "machine": "made-up-2core",
        "job": "EventLinear-1000000",
        "operator": "EventLinear",
        "backend": "cpu",
        "device": "cpu",
        "n_pre": 1_000_000,
        "n_post": 1_000_000,
        "conn_kind": "dense",
        "conn": "",
        "dtype": "float32",
        "storage": "dense",
        "weight": "homogeneous",
        "mode": "",
        "method": "eventops",
        "status": "skipped",
        "reason": "dense weights need 4 TB, the machine has 8 GB",
    }
    return pd.concat([table, pd.DataFrame([big], columns=POINT_COLUMNS)], ignore_index=True)


MACHINE = {
    "slug": "made-up-2core",
    "cpu": "Made-up CPU at 3 GHz",
    "n_cores": 2,
    "memory_bytes": 8e9,
    "gpu": None,
    "caches": {"L1d": 32768, "L2": 1048576},
    "os": "Linux 6.1",
    "python": "3.11.7",
    "versions": {"jax": "0.10.2", "numpy": "2.4.6", "brainevent": None},
    "eventops": "0.1.0",
    "read_bandwidth_bytes_per_s": BANDWIDTH,
    "devices": ["cpu:0"],
    "threads": {"OMP_NUM_THREADS": "2"},
    "generated_at": "2026-01-01T00:00:00Z",
}
CONFIG = {"name": "default", "sweep": {"rates": list(RATES), "sizes": [1000, 4000]}, "seed": 0}


def generators() -> dict:
    """What `eventops.bench.peers.generators.run` gives: ours passes, one fails, one is absent."""
    bins = {"n_pre": 40, "n_post": 30, "side": "out", "law": "binomial(30, 0.1)", "first": 0}
    bins |= {"width": 1, "observed": [2, 6, 9, 9, 8, 6], "expected": [1.7, 5.7, 9.1, 9.4, 7.1, 4.1]}
    test = {"test": "out-degree-histogram", "is_p_value": True, "note": "made up"}
    common = {"rule": "independent pairs, p = 0.1", "n_pre": 40, "n_post": 30, "reason": ""}
    return {
        "graphs": [
            common
            | {"generator": "eventops", "status": "ok", "histograms": [bins]}
            | {"findings": [test | {"value": 0.4, "passed": True}]},
            common
            | {"generator": "other", "status": "failed", "reason": "density: too low"}
            | {"findings": [test | {"value": 0.0, "passed": False}], "histograms": [bins]},
            common
            | {"generator": "gone", "status": "absent", "reason": "gone is not installed"}
            | {"findings": [], "histograms": []},
        ]
    }


def degrees(table: pd.DataFrame) -> pd.DataFrame:
    """A table like ``degrees.csv``: one job's histogram, and those of `generators`."""
    graphs = generators()
    verified = {
        "job": {"id": table["job"].iloc[-1], "operator": "EventFixedProb"}
        | {"conn_kind": "prob", "conn": "0.1", "efferent_target": "post"},
        "p_values": {"out-degree-histogram": 0.4},
        "histograms": graphs["graphs"][0]["histograms"],
    }
    return degree_table([verified], graphs)
