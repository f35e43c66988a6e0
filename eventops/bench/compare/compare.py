"""Two sets of results side by side: what became faster or slower, beyond what a machine does by itself.

``python -m eventops.bench.compare A B`` compares directories of results (B is the newer); the exit code is 1 on a
regression. ``snakemake compare --config old=A new=B`` does the same.

Two runs differ although nothing was changed: the machine's clock, its neighbours, where memory lies. The peers are the
control group. Their code is the same in both runs (one whose version differs is left out), so:

* The change of a point is that of *our time over the peer's*, both measured round by round in one process, the median over
  the peers of the point: what slows the machine slows both. Only a point without a peer is compared by its time.
* A point counts as changed only if our own time, less the drift of all peers, changed with it, by half at least.
* How much the peers' own ratios to each other changed between the runs says how much a change of ours means. An interval is
  at least as wide as that, whatever the samples within one run say. It is a 95 % interval for all points together
  (Bonferroni), so that a comparison of 200 points does not find ten by chance.
"""

from __future__ import annotations

import argparse
import dataclasses
import html
import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from eventops.bench.records import record
from eventops.bench.tables import table

OURS = "eventops"
PACKAGES = {
    "jnp-dense": ("jax", "jaxlib"),
    "bcoo": ("jax", "jaxlib"),
    "scipy-csr": ("scipy",),
    "brainevent": ("brainevent", "numba"),
    "brainevent-jit": ("brainevent", "numba"),
    "torch": ("torch",),
}
HARDWARE = ("cpu", "isa", "n_cores", "gpu")
POINT = ["configuration", "nth", "rate", "batch", "mode"]
BASES = ("auto", "ratio", "time")
FEWEST = 5  # controls that a spread is taken from


@dataclasses.dataclass(frozen=True)
class Results:
    """The table of points of a run and the facts of its machine."""

    name: str
    points: pd.DataFrame
    machine: dict


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    points
        One row for each point of eventops in both runs: ``change`` (new over old time), ``low``, ``high``, ``basis``
        (``ratio`` to the peers of the point, or ``time``), ``time_change``, ``bytes_change`` and ``verdict``: ``faster``,
        ``slower``, ``same``, or ``lost`` where the new run has no time and ``reason`` says why.
    groups
        Geometric means of ``change``, for all points and by operator, with a 95 % interval over configurations.
    notes
        What the reader has to know: drift, spread, what was left out.
    regressions
        A line for each; empty where all is well.
    """

    points: pd.DataFrame
    groups: pd.DataFrame
    notes: list[str]
    regressions: list[str]


def read(where: str | Path) -> Results:
    """A directory of results, such as ``results/<machine>``.

    Raises
    ------
    FileNotFoundError
        If there is no ``tables/points.csv`` in it.
    """
    where = Path(where)
    path = where / "tables/points.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"compare: {where} has no tables/points.csv; name a directory such as results/<machine>"
        )
    facts = where / "machine.json"
    machine = record.load(facts, "machine") if facts.is_file() else {}
    return Results(str(where), table.read(path, "points"), machine)


def compare(old: Results, new: Results, threshold: float = 1.1, basis: str = "auto") -> Comparison:
    """Judge every point of eventops that both runs have.

    Parameters
    ----------
    old, new
        From `read`.
    threshold
        A point, or the geometric mean of an operator or of all, that is slower beyond its interval *and* by at least this
        factor is a regression. So is a point that was lost, and memory that grew by it.
    basis
        ``auto``, ``ratio`` (points without a peer are left out) or ``time`` (of the same machine only).

    Raises
    ------
    ValueError
        If the runs have no point in common, or times of two machines should be compared.
    """
    if not threshold > 1:
        raise ValueError(f"compare: threshold={threshold!r} must be above 1, such as 1.1")
    if basis not in BASES:
        raise ValueError(f"compare: basis={basis!r} must be one of {', '.join(BASES)}")
    differ = [n for n in HARDWARE if old.machine.get(n) != new.machine.get(n)]
    if differ and basis == "time":
        raise ValueError(
            f"compare: {old.name} and {new.name} differ in {', '.join(differ)}; times of two machines say nothing "
            "about the code, use basis ratio"
        )
    controls = [p for p in PACKAGES if _same_version(p, old.machine, new.machine)]
    pairs = _pair(old.points, new.points)
    if not (pairs["method"] == OURS).any():
        raise ValueError(
            f"compare: {old.name} and {new.name} have no point of eventops in common; "
            "measure both with the same configuration"
        )
    notes = _about(old, new, differ, controls, pairs)
    ok = (pairs["status_old"] == "ok") & (pairs["status_new"] == "ok")
    peers = pairs[ok & pairs["method"].isin(controls)]
    spread, drift = _control(peers)
    if drift:
        notes.append(
            f"The peers took {drift:.3g} times as long in the new run: the machine, not the code."
        )
    notes.append(
        f"Between runs, peers change by {100 * spread:.2g} % relative to each other (a standard deviation)."
    )
    points = _judge(pairs, peers, spread, drift or 1.0, basis, bool(differ))
    left = points["basis"] == ""
    if left.any():
        notes.append(f"{int(left.sum())} points have nothing to be compared by and are left out.")
    groups = _groups(points)
    return Comparison(points, groups, notes, _regressions(points, groups, threshold))


def _same_version(peer: str, old: dict, new: dict) -> bool:
    a, b = (m.get("versions") or {} for m in (old, new))
    return all(a.get(package) == b.get(package) for package in PACKAGES[peer])


def _keyed(points: pd.DataFrame) -> pd.DataFrame:
    """The points by what was measured rather than by job: the hash that ends a job's name covers the sweep as well."""
    frame = points.assign(configuration=points["job"].str.replace(r"-[0-9a-f]{8}$", "", regex=True))
    frame["rate"], frame["batch"] = frame["rate"].astype(float), frame["batch"].astype(float)
    order = frame.sort_values("job", kind="stable")
    same = ["configuration", "rate", "batch", "mode", "method"]
    return order.assign(nth=order.groupby(same, dropna=False).cumcount())


def _pair(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    keep = ["operator", "job", "status", "reason", "t_median_s", "t_lo_s", "t_hi_s", "ratio"]
    keep = [*POINT, "method", *keep, "ratio_lo", "ratio_hi", "bytes_stored"]
    sides = [_keyed(frame)[keep] for frame in (old, new)]
    return sides[0].merge(sides[1], on=[*POINT, "method"], suffixes=("_old", "_new"))


def _about(old, new, differ, controls, pairs) -> list[str]:
    """What the two runs have in common."""
    lines = []
    count = [int((side.points["method"] == OURS).sum()) for side in (old, new)]
    both = int((pairs["method"] == OURS).sum())
    lines.append(
        f"{both} points are in both runs ({count[0]} in the old one, {count[1]} in the new one)."
    )
    if differ:
        lines.append(
            f"The machines differ in {', '.join(differ)}: only ratios to peers are compared."
        )
    used = set(pairs["method"]) - {OURS}
    gone = sorted(used - set(controls))
    if gone:
        lines.append(f"Another version, so no control: {', '.join(gone)}.")
    return lines


def _log(change, low_old, high_old, low_new, high_new) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of a change, and its variance from the 95 % intervals of both runs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        widths = [
            np.log(high / low) / 3.92 for low, high in ((low_old, high_old), (low_new, high_new))
        ]
        return np.log(change), np.nan_to_num(widths[0] ** 2 + widths[1] ** 2)


def _control(peers: pd.DataFrame) -> tuple[float, float]:
    """Standard deviation of how peers changed relative to each other, and the factor by which all did."""
    change = np.log(peers["t_median_s_new"] / peers["t_median_s_old"])
    if not len(change):
        return 0.0, 0.0
    drift = float(np.median(change))
    pairs = []
    for _, here in peers.assign(change=change).groupby(POINT, sort=False):
        pairs += [a - b for a, b in itertools.combinations(here["change"], 2)]
    if len(pairs) >= FEWEST:
        spread = _robust(np.array(pairs), 0.0) / np.sqrt(2)
    else:
        spread = _robust(change.to_numpy(), drift) if len(change) >= FEWEST else 0.0
    return spread, float(np.exp(drift))


def _robust(values: np.ndarray, centre: float) -> float:
    """A standard deviation that a few outliers do not change: 1.4826 times the median distance."""
    return 1.4826 * float(np.median(np.abs(values - centre)))


def _judge(pairs, peers, spread, drift, basis, moved) -> pd.DataFrame:
    """A verdict for each of our points."""
    ours = pairs[(pairs["method"] == OURS) & (pairs["status_old"] == "ok")].copy()
    log_time, within = _log(
        ours["t_median_s_new"] / ours["t_median_s_old"],
        *(ours[f"t_{end}_s_{run}"] for run in ("old", "new") for end in ("lo", "hi")),
    )
    ours["log_change"], ours["basis"] = log_time, "time"
    ours["variance"] = np.maximum(within, 2 * spread**2)  # of the logarithm
    ours["time_change"] = np.exp(log_time)
    log_ratio, v = _log(
        peers["ratio_old"] / peers["ratio_new"],
        *(peers[f"ratio_{end}_{run}"] for run in ("old", "new") for end in ("lo", "hi")),
    )
    relative = peers.assign(d=log_ratio, v=v)[np.isfinite(log_ratio)].groupby(POINT)[["d", "v"]]
    relative = relative.agg(d=("d", "median"), v=("v", "mean"), k=("d", "size")).reset_index()
    ours = ours.merge(relative, on=POINT, how="left")
    has = ours["d"].notna()
    if basis != "time":
        control = spread**2 * (1 + 1 / ours["k"])
        ours.loc[has, "log_change"] = ours["d"]
        ours.loc[has, "variance"] = np.maximum(ours["v"], control)
        ours.loc[has, "basis"] = "ratio"
    if basis == "ratio" or moved:
        ours.loc[~has, ["log_change", "basis"]] = [np.nan, ""]
    lost = ours["status_new"] != "ok"
    ours.loc[lost, ["log_change", "basis"]] = [np.nan, "lost"]
    n = max(1, int(ours["log_change"].notna().sum()))
    half = stats.norm.ppf(1 - 0.025 / n) * np.sqrt(ours["variance"])
    ours["low"], ours["high"] = np.exp(ours["log_change"] - half), np.exp(ours["log_change"] + half)
    ours["change"] = np.exp(ours["log_change"])
    ours["bytes_change"] = ours["bytes_stored_new"] / ours["bytes_stored_old"]
    # A ratio also changes when a peer alone does. Then our own time, less the drift, does not change with it.
    own, half_way = np.log(ours["time_change"] / drift), ours["log_change"] / 2
    slower, faster = (ours["low"] > 1) & (own > half_way), (ours["high"] < 1) & (own < half_way)
    verdict = np.select([lost, slower, faster], ["lost", "slower", "faster"], "same")
    ours["verdict"] = np.where(ours["basis"] == "", "", verdict)
    ours = ours.rename(columns={"operator_new": "operator", "reason_new": "reason"})
    columns = ["operator", *POINT, "verdict", "change", "low", "high", "basis", "time_change"]
    columns += ["t_median_s_old", "t_median_s_new", "bytes_change", "reason"]
    return (
        ours[columns].sort_values("change", ascending=False, kind="stable").reset_index(drop=True)
    )


def _groups(points: pd.DataFrame) -> pd.DataFrame:
    """Geometric means; configurations, not points, are independent."""
    rows = []
    known = points[points["change"].notna()]
    for name, group in [("all", known), *known.groupby("operator", sort=True)]:
        logs = np.log(group["change"]).groupby(group["configuration"]).mean()
        row = {"operator": name, "points": len(group), "configurations": len(logs)}
        row |= {kind: int((group["verdict"] == kind).sum()) for kind in ("faster", "slower")}
        mean, half = (float(logs.mean()) if len(logs) else np.nan), np.nan
        if len(logs) > 1:
            half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
        row |= {"geomean": np.exp(mean), "low": np.exp(mean - half), "high": np.exp(mean + half)}
        rows.append(row)
    return pd.DataFrame(rows)


def _name(row) -> str:
    return f"{row.configuration}, rate {row.rate:g}, batch {row.batch:g}, {row.mode}"


def _regressions(points: pd.DataFrame, groups: pd.DataFrame, threshold: float) -> list[str]:
    lines = []
    for row in groups.itertuples():
        if row.geomean >= threshold and row.low > 1:
            interval = f"({row.low:.3g} to {row.high:.3g})"
            lines.append(f"{row.operator}: {row.geomean:.3g} times as slow on average {interval}")
    for row in points.itertuples():
        if row.verdict == "slower" and row.change >= threshold:
            lines.append(
                f"{_name(row)}: {row.change:.3g} times as slow ({row.low:.3g} to {row.high:.3g})"
            )
        elif row.verdict == "lost":
            lines.append(f"{_name(row)}: no longer timed: {row.reason}")
    grown = points[points["bytes_change"] >= threshold].drop_duplicates("configuration")
    lines += [
        f"{r.configuration}: stores {r.bytes_change:.3g} times the bytes"
        for r in grown.itertuples()
    ]
    return lines


def text(found: Comparison, old: Results, new: Results, threshold: float) -> str:
    """The comparison for a terminal."""
    lines = [f"old: {old.name}", f"new: {new.name}", *found.notes, ""]
    lines.append("New time over old time (above 1 is slower), geometric means with 95 % intervals:")
    lines += [found.groups.to_string(index=False, float_format="%.3f"), ""]
    for kind in ("slower", "faster"):
        some = found.points[found.points["verdict"] == kind]
        some = some if kind == "slower" else some[::-1]
        lines.append(
            f"{len(some)} points are {kind} beyond their interval" + (":" if len(some) else ".")
        )
        for row in some.head(20).itertuples():
            interval = f"({row.low:.3g} to {row.high:.3g}, by {row.basis})"
            lines.append(f"  {row.change:.3g}  {interval}  {_name(row)}")
        if len(some) > 20:
            lines.append(f"  and {len(some) - 20} more")
    lines.append("")
    if found.regressions:
        lines.append(f"{len(found.regressions)} regressions of {threshold:g} times or more:")
        lines += [f"  {line}" for line in found.regressions[:40]]
    else:
        lines.append(f"No regression of {threshold:g} times or more.")
    return "\n".join(lines)


def write(found: Comparison, said: str, folder: Path) -> list[Path]:
    """Write ``points.csv``, ``groups.csv`` and ``compare.html``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("points", "groups"):
        table.write(getattr(found, name), folder / f"{name}.csv")
    rows = found.points.to_html(index=False, float_format="%.3g", border=0)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>eventops: two runs compared</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>body{font:16px/1.5 system-ui,sans-serif;margin:1rem;color-scheme:light dark}"
        "pre,div{overflow-x:auto}td,th{padding:.1rem .6rem;text-align:right;white-space:nowrap}</style>"
        f'<h1>Two runs compared</h1><pre tabindex="0">{html.escape(said)}</pre>'
        f'<h2>Every point</h2><div tabindex="0" role="region" aria-label="Every point">{rows}</div></html>\n'
    )
    record.write_text(folder / "compare.html", page)
    return [folder / name for name in ("points.csv", "groups.csv", "compare.html")]


def run(a, b, threshold: float, basis: str, folder: Path | None) -> tuple[str, bool]:
    """Compare two directories; returns what to print, and whether there is no regression."""
    old, new = read(a), read(b)
    found = compare(old, new, threshold, basis)
    said = text(found, old, new, threshold)
    if folder is not None:
        said += "\n" + "\n".join(map(str, write(found, said, folder)))
    return said, not found.regressions


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m eventops.bench.compare", description=__doc__.splitlines()[0]
    )
    parser.add_argument("old", help="the old results, such as results/<machine>")
    parser.add_argument("new", help="the new results")
    parser.add_argument(
        "--threshold", type=float, default=1.1, help="factor that is a regression (1.1)"
    )
    parser.add_argument(
        "--basis", choices=BASES, default="auto", help="what points are compared by"
    )
    parser.add_argument(
        "--out", type=Path, help="directory for points.csv, groups.csv and compare.html"
    )
    args = parser.parse_args(arguments)
    try:
        said, good = run(args.old, args.new, args.threshold, args.basis, args.out)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(said)
    return 0 if good else 1
