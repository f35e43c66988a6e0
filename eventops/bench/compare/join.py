"""Results of several machines in one page and one set of tables: ``python -m eventops.bench.join results/a results/b``.

Records of different kinds of machines are kept apart, each under its own ``results/<machine>``; here they only stand side by
side. Times of two machines are never divided by each other: what is compared is how each machine's own methods compare.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd

from eventops.bench.records import record
from eventops.bench.report import report
from eventops.bench.tables import table

OURS, DENSE = "eventops", "jnp-dense"
POINT = [
    "operator",
    "n_pre",
    "n_post",
    "conn",
    "dtype",
    "storage",
    "weight",
    "rate",
    "batch",
    "mode",
]
NAMES = ("points", "jobs", "checks")


def join(folders: list[Path], out: Path) -> Path:
    """Write the tables of all machines, one below the other, and a page that has them side by side.

    Parameters
    ----------
    folders
        At least two folders ``results/<machine>`` with finished tables, of machines with different names.
    out
        The folder to write to.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        If a folder lacks ``machine.json`` or a table.
    ValueError
        If there are fewer than two folders, or two have the same machine.
    """
    if len(folders) < 2:
        raise ValueError(
            "join: one folder is no comparison; name two or more, such as results/a results/b"
        )
    found: dict[str, tuple[Path, dict, dict[str, pd.DataFrame]]] = {}
    for folder in folders:
        missing = [
            name
            for name in ("machine.json", *(f"tables/{n}.csv" for n in NAMES))
            if not (folder / name).is_file()
        ]
        if missing:
            raise FileNotFoundError(
                f"join: {folder} lacks {', '.join(missing)}; let its run end, or name a folder such as results/<machine>"
            )
        facts = record.load(folder / "machine.json", "machine")
        slug = facts["slug"]
        if slug in found:
            raise ValueError(
                f"join: {folder} and {found[slug][0]} are both of machine {slug!r}; give each kind of node a name of its "
                "own with --config machine=NAME"
            )
        frames = {name: table.read(folder / f"tables/{name}.csv", name) for name in NAMES}
        found[slug] = folder, facts, frames
    joined = {
        name: pd.concat(
            [frames[name].assign(machine=slug) for slug, (*_, frames) in found.items()],
            ignore_index=True,
        )
        for name in NAMES
    }
    for name, frame in joined.items():
        order = ["machine", *(column for column in frame if column != "machine")]
        table.write(frame[order], out / "tables" / f"{name}.csv")
    page = out / "report.html"
    text = (
        report.environment()
        .get_template("joined.html.j2")
        .render(
            machines=[_machine(*of, out) for of in found.values()],
            operators=_speedups(joined["points"]),
            points=_side_by_side(joined["points"]),
            slugs=list(found),
        )
    )
    record.write_text(page, text)
    return page


def _machine(folder: Path, facts: dict, frames: dict[str, pd.DataFrame], out: Path) -> dict:
    """A machine in a line: what it is, and whether all was verified there."""
    jobs, points, checks = frames["jobs"], frames["points"], frames["checks"]
    failed = int((jobs["status"] == "failed").sum())
    failed += int((points.loc[points["method"] == OURS, "status"] == "failed").sum())
    own = folder / "report.html"
    return {
        "slug": facts["slug"],
        "facts": report.facts(facts),
        "n_jobs": len(jobs),
        "n_checks": len(checks),
        "n_failed": failed,
        "worst": float(pd.to_numeric(points["worst_ratio"]).max()),
        "report": Path(os.path.relpath(own, out)).as_posix() if own.is_file() else None,
    }


def _geometric(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean())) if len(values) else float("nan")


def _speedups(points: pd.DataFrame) -> list[dict]:
    """The dense product's time over ours: geometric mean and worst of each operator on each machine."""
    dense = points[(points["method"] == DENSE) & (points["status"] == "ok") & (points["ratio"] > 0)]
    rows = []
    for operator, of_operator in dense.groupby("operator", sort=True):
        machines = {
            slug: {
                "mean": _geometric(here["ratio"]),
                "worst": float(here["ratio"].min()),
                "n": len(here),
            }
            for slug, here in of_operator.groupby("machine")
        }
        rows.append({"operator": operator, "machines": machines})
    return rows


def _side_by_side(points: pd.DataFrame) -> list[dict]:
    """Our median time of each point that was measured on more than one machine."""
    ours = points[(points["method"] == OURS) & (points["status"] == "ok")]
    rows = []
    for key, here in ours.groupby(POINT, sort=True, dropna=False):
        times = here.groupby("machine")["t_median_s"].median().to_dict()
        if len(times) > 1:
            rows.append(dict(zip(POINT, key, strict=True)) | {"times": times})
    return rows


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m eventops.bench.join", description="Results of several machines in one page."
    )
    parser.add_argument("results", type=Path, nargs="+", help="folders such as results/<machine>")
    parser.add_argument("--out", type=Path, default=Path("results/joined"), help="where to write")
    given = parser.parse_args(arguments)
    try:
        print(join(given.results, given.out))
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"{error}\n")
