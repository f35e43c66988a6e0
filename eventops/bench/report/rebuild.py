"""Tables, figures and page again from records alone: ``python -m eventops.bench.rebuild RESULTS``.

Nothing is verified or measured, so a reader without the hardware can make every figure. The workflow does
the same and checks besides that the records belong to the code; this takes them as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from eventops.bench.figures import figures
from eventops.bench.figures import kernels as figures_kernels
from eventops.bench.figures import networks as figures_networks
from eventops.bench.kernels import table as kernels_table
from eventops.bench.networks import table as networks_table
from eventops.bench.records import record
from eventops.bench.report import report
from eventops.bench.tables import predictions, table

NO_GENERATORS = {"graphs": []}


def rebuild(results: Path, out: Path | None = None) -> Path:
    """Make the tables, figures and page of a result set.

    Parameters
    ----------
    results
        A folder with ``machine.json``, ``verify/`` and ``records/``, as the workflow writes it.
    out
        Where to write; `results` itself by default. Links to raw records lead back to `results`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    FileNotFoundError
        Where `results` holds no record; the message says what was looked for.
    """
    results = Path(results)
    out = results if out is None else Path(out)
    machine_file = results / "machine.json"
    paths = sorted((results / "records").glob("*.json"))
    if not paths or not machine_file.is_file():
        raise FileNotFoundError(
            f"rebuild: {results} lacks machine.json or records/*.json; name a folder of results, such as "
            "results/<machine>"
        )
    machine = record.load(machine_file, "machine")
    pairs = [
        (record.load(results / "verify" / path.name, "verify"), record.load(path, "record"))
        for path in paths
    ]
    drawn = results / "generators.json"
    generators = record.load(drawn, "generators") if drawn.is_file() else NO_GENERATORS
    settings = results / "config.yaml"
    config = yaml.safe_load(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    frames = {
        "points": table.points(pairs, machine),
        "jobs": table.jobs(pairs, machine, map(str, paths)),
        "checks": table.checks(verified for verified, _ in pairs),
        "degrees": table.degrees((verified for verified, _ in pairs), generators),
    }
    for name, frame in frames.items():
        path = out / "tables" / f"{name}.csv"
        table.write(frame, path)
        frames[name] = table.read(path, name)
    decided = predictions.tables(frames["points"], machine)
    for name, frame in decided.items():
        table.write(frame, out / "tables" / f"{name}.csv")
    tables = [frames[name] for name in ("points", "jobs", "checks")]
    figures.draw_all(*tables, machine, out / "figures", frames["degrees"])
    whole = [record.load(path, "network") for path in sorted((results / "networks").glob("*.json"))]
    table.write(networks_table.frame(whole), out / "tables" / "networks.csv")
    figures.save(
        figures_networks.draw(networks_table.frame(whole), whole), "networks", out / "figures"
    )
    beyond = kernels_table.frame(
        record.load(path, "kernel") for path in sorted((results / "kernels").glob("*.json"))
    )
    table.write(beyond, out / "tables" / "kernels.csv")
    figures.save(figures_kernels.draw(beyond), "kernels", out / "figures")
    page = out / "report.html"
    report.write(
        **frames,
        generators=generators,
        decision=predictions.summary(decided),
        kernels=kernels_table.read(out / "tables" / "kernels.csv"),
        networks=networks_table.read(out / "tables" / "networks.csv"),
        machine=machine,
        figures_dir=out / "figures",
        config=config,
        out=page,
    )
    return page


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m eventops.bench.rebuild",
        description="Tables, figures and page from records.",
    )
    parser.add_argument("results", type=Path, help="a folder such as results/<machine>")
    parser.add_argument("--out", type=Path, help="where to write (default: the same folder)")
    given = parser.parse_args(arguments)
    try:
        print(rebuild(given.results, given.out))
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"{error}\n")
