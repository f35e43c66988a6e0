"""What the measured table says, in numbers.

Every sentence, table and figure of the report is computed from here, so that a
figure and the text beside it cannot disagree. Nothing here draws or formats.
The columns are those of ``tables/points.csv``; one job is one configuration
(operator, device, size, connectivity, dtype, storage, weight).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from eventops.advice.recommend import MODES

from . import crossover
from .table import POINT_COLUMNS

OURS = "eventops"
DENSE = "jnp-dense"
METHODS = (OURS, DENSE, "bcoo", "scipy-csr", "brainevent", "torch", "brainevent-jit")
OPERATORS = (
    "Linear",
    "EventLinear",
    "EventFixedProb",
    "FixedNumConn",
    "EventFixedNumConn",
    "EventFixedTotalNum",
    "EventDistanceProb",
    "EventSparse",
)

ENDS = ("lo", "hi")
ALIKE = "the two cannot be told apart"

TEXT = [
    "machine",
    "job",
    "operator",
    "backend",
    "device",
    "conn_kind",
    "conn",
    "dtype",
    "storage",
    "weight",
    "mode",
    "method",
    "status",
    "reason",
    "efferent_target",
]
NUMBERS = [name for name in POINT_COLUMNS if name not in TEXT]


def _plain(value) -> str:
    """Text of a cell; a number that a CSV reader made of ``80`` or ``0.1`` is text again."""
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _label(row, varying) -> str:
    size = f"{int(row.n_pre):,} → {int(row.n_post):,}"
    fan = {"post": f"fan-out {row.conn}", "pre": f"fan-in {row.conn}"}
    number = fan.get(row.efferent_target, f"{row.conn} partners")
    conn = {
        "prob": f"p = {row.conn}",
        "num": number,
        "total": f"{row.conn} in all",
        "distance": f"p(0) = {row.conn}",
        "given": f"mean fan-out {row.conn}",
    }.get(row.conn_kind, "")
    # A graph that is drawn on every call is named as such even where nothing stored stands beside it.
    drawn = "procedural" if row.storage == "procedural" and "storage" not in varying else ""
    return ", ".join([size, *filter(None, [conn, drawn]), *(getattr(row, c) for c in varying)])


def labels(points: pd.DataFrame) -> dict[str, str]:
    """A short name of every job: its size, its connectivity and whatever else tells it apart."""
    jobs = points.drop_duplicates("job")
    names = {}
    alike = ["operator", "n_pre", "n_post", "conn_kind", "conn"]
    alike += ["efferent_target"] if "efferent_target" in jobs else []
    for _, group in jobs.groupby(alike, sort=False, dropna=False):
        varying = [
            c for c in ("device", "backend", "dtype", "storage", "weight") if group[c].nunique() > 1
        ]
        for row in group.itertuples():
            names[row.job] = _label(row, varying)
        for more in (_span_of_rates, _span_of_batches, _end_of_hash):
            short = pd.Series({job: names[job] for job in group["job"]})
            for job in short.index[short.duplicated(keep=False)]:
                names[job] += f", {more(job, points[points['job'] == job])}"
    return names


# What tells jobs apart that are the same in all but what is swept.


def _span_of_rates(_, rows: pd.DataFrame) -> str:
    low, high = 100 * rows["rate"].min(), 100 * rows["rate"].max()
    return f"{low:.3g} %" if low == high else f"{low:.3g} to {high:.3g} %"


def _span_of_batches(_, rows: pd.DataFrame) -> str:
    low, high = int(rows["batch"].min()), int(rows["batch"].max())
    return f"batch {low}" if low == high else f"batches {low} to {high}"


def _end_of_hash(job: str, _) -> str:
    return f"#{job[-4:]}"


def prepare(points: pd.DataFrame, jobs: pd.DataFrame | None = None) -> pd.DataFrame:
    """The table with every column of the contract, typed, with a label, in reading order.

    ``jobs`` adds what only its table knows: whether a number of partners is a fan-in or a fan-out.
    """
    table = points.reindex(columns=[*points.columns, *(set(TEXT + NUMBERS) - set(points.columns))])
    if jobs is not None and "efferent_target" in jobs:
        table["efferent_target"] = table["job"].map(jobs.set_index("job")["efferent_target"])
    for name in TEXT:
        table[name] = [_plain(v) for v in table[name]]
    for name in NUMBERS:
        table[name] = pd.to_numeric(table[name], errors="coerce").astype(float)
    table[["n_pre", "n_post"]] = table[["n_pre", "n_post"]].fillna(0)
    names = labels(table)
    table["label"] = [names[j] for j in table["job"]]
    for name, known in (("operator", OPERATORS), ("method", METHODS)):
        place = {m: i for i, m in enumerate(known)}
        table[f"_{name}"] = [place.get(m, len(place)) for m in table[name]]
    table["_conn"] = pd.to_numeric(table["conn"], errors="coerce")
    keys = "_operator operator device n_pre n_post _conn label job mode batch rate _method method"
    table = table.sort_values(keys.split(), kind="stable")
    return table.drop(columns=["_operator", "_method", "_conn"]).reset_index(drop=True)


def methods(table: pd.DataFrame) -> list[str]:
    """The methods present, ours first, those that we know in a fixed order."""
    present = set(table["method"])
    return [m for m in METHODS if m in present] + sorted(present - set(METHODS))


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """The view that answers first: one step inside ``lax.scan``, smallest batch, the default backend.

    A model runs its steps in a scan, and one call from Python costs as much as a small product: calls come first only
    where nothing was timed in a scan.

    The ``reference`` backend is the specification and not what a user runs, so it
    appears only for an operator that was measured on nothing else.
    """
    if table.empty:
        return table
    keep = table["backend"] != "reference"
    native = keep.groupby([table["operator"], table["device"]]).transform("any")
    view = table[keep | ~native]
    ok = view[view["status"] == "ok"]
    timed = ok if len(ok) else view
    mode = "scan" if (timed["mode"] == "scan").any() else timed["mode"].iloc[0]
    batch = timed.loc[timed["mode"] == mode, "batch"].min()
    # A job that was skipped whole may have neither mode nor batch, and still belongs on the map.
    return view[view["mode"].isin([mode, ""]) & (view["batch"].isna() | (view["batch"] == batch))]


def mode(view: pd.DataFrame) -> str:
    """The one mode of a view of `headline`; empty where it has none."""
    named = view["mode"][view["mode"] != ""] if len(view) else []
    return named.iloc[0] if len(named) else ""


def how(view: pd.DataFrame) -> str:
    """In which way all times of a view were taken, to stand beside them."""
    if not mode(view):
        return ""
    batch = view["batch"].min()
    return MODES[mode(view)] + (f", batch {batch:.0f}" if batch == batch else "")


def _clear(first, second) -> bool:
    """Whether the difference of two methods is larger than what the intervals allow."""
    for ours, other, sign in ((first, second, 1), (second, first, -1)):
        bound = other.ratio_lo if sign == 1 else other.ratio_hi
        if ours.method == OURS and np.isfinite(bound):
            return bool(bound > 1 if sign == 1 else bound < 1)
    return bool(first.t_hi_s < second.t_lo_s)


def fastest(view: pd.DataFrame) -> pd.DataFrame:
    """For each job and rate: the fastest method, its lead over the next, and if that is clear."""
    rows = []
    for (job, rate), cell in view.groupby(["job", "rate"], sort=False, dropna=False):
        ours = cell[cell["method"] == OURS]
        ok = cell[(cell["status"] == "ok") & cell["t_median_s"].gt(0)].sort_values("t_median_s")
        row = {
            "job": job,
            "operator": cell["operator"].iloc[0],
            "label": cell["label"].iloc[0],
            "rate": rate,
        }
        row |= {"winner": "", "t": np.nan, "runner": "", "lead": np.nan, "clear": False}
        row["reason"] = next((r for r in ours["reason"] if r), "")
        row["status"] = "failed" if (ours["status"] == "failed").any() else "ok"
        if len(ok):
            first = ok.iloc[0]
            row |= {"winner": first.method, "t": first.t_median_s}
            if len(ok) > 1:
                second = ok.iloc[1]
                row |= {"runner": second.method, "lead": second.t_median_s / first.t_median_s}
                row["clear"] = _clear(first, second)
        elif row["status"] == "ok":
            row["status"] = ours["status"].iloc[0] if len(ours) else "absent"
        rows.append(row)
    columns = [
        "job",
        "operator",
        "label",
        "rate",
        "winner",
        "t",
        "runner",
        "lead",
        "clear",
        "status",
        "reason",
    ]
    return pd.DataFrame(rows, columns=columns)


def memory(view: pd.DataFrame) -> pd.DataFrame:
    """One row per job and method: synapses, bytes predicted, stored and needed beside them."""
    by = ["operator", "storage", "job", "label", "method"]
    columns = ["n_synapses", "bytes_predicted", "bytes_stored", "temp_bytes", "rss_growth_bytes"]
    table = view.groupby(by, sort=False)[columns].max().reset_index()
    table["deviation"] = table["bytes_stored"] / table["bytes_predicted"] - 1
    return table[table[["bytes_predicted", "bytes_stored"]].notna().any(axis=1)]


def smallest(view: pd.DataFrame) -> dict[str, tuple[list[str], float]]:
    """For each job: the methods that store the fewest bytes (within 1 % of it), and the bytes."""
    found = {}
    stored = memory(view[view["status"] == "ok"]).dropna(subset="bytes_stored")
    for job, group in stored.groupby("job", sort=False):
        least = group["bytes_stored"].min()
        found[job] = (list(group.loc[group["bytes_stored"] <= 1.01 * least, "method"]), least)
    return found


def crossovers(view: pd.DataFrame, peer: str = DENSE) -> pd.DataFrame:
    """From which measured firing rate ``peer`` stays faster than eventops: a row of `crossover` for each job.

    ``reason`` says why an outcome is ``unknown``.
    """
    rows = []
    for job, group in view.groupby("job", sort=False):
        row = {"job": job, "operator": group["operator"].iloc[0], "label": group["label"].iloc[0]}
        other = group[group["method"] == peer]
        good = other[(other["status"] == "ok") & other["ratio"].gt(0) & other["rate"].gt(0)]
        good = good.sort_values("rate")
        low, high = (np.log(good[f"ratio_{end}"].where(good[f"ratio_{end}"] > 0)) for end in ENDS)
        row |= crossover.crossover(good["rate"], np.log(good["ratio"]), low, high)
        left_out = other[other["status"].isin(["skipped", "absent"])]
        reasons = "; ".join(r for r in left_out["reason"].unique() if r)
        row["reason"] = reasons or f"{peer} was not run"
        if len(good):
            row["reason"] = ALIKE if row["kind"] == crossover.UNKNOWN else ""
        rows.append(row)
    columns = "job operator label kind rate low high first last reason".split()
    return pd.DataFrame(rows, columns=columns)
