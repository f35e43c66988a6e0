"""The report of a run that failed: all that there is, and a red row for each job that has no record.

A job may die so that it cannot say why: a crash in native code, the system's out-of-memory killer, a full disk, a
lost node. Its record is missing then, and no table can be made by the rules. The workflow's ``onerror`` calls
`explain`, which makes tables, figures and page from the records that are there and from the logs of the others.
Nothing of it but the page stays, so that the next run has nothing to mistake for results.
"""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path
from typing import Any

from eventops.bench.figures import figures
from eventops.bench.figures import kernels as figures_kernels
from eventops.bench.figures import networks as figures_networks
from eventops.bench.kernels import table as kernels_table
from eventops.bench.measure import measure
from eventops.bench.networks import table as networks_table
from eventops.bench.records import kept, record
from eventops.bench.report import report
from eventops.bench.tables import table

ADVICE = (
    (
        r"MemoryError|RESOURCE_EXHAUSTED|bad_alloc|[Oo]ut of memory|Cannot allocate memory",
        "it needs more memory than there was: lower measure.memory_limit_gib, or leave its size out",
    ),
    (r"No space left|Disk quota|File too large", "free some disk space"),
    (r"\[Errno.*(Read-only file system|Permission denied)", "make the results folder writable"),
    (
        r"Fatal Python error|Segmentation fault",
        "native code crashed: please report it with the log",
    ),
)
KILLED = "it was killed without a word, perhaps by the system for want of memory"
ERROR = re.compile(
    r"^(Fatal Python error: .*|[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b.*)$"
)


def explain(
    own: dict[str, dict[str, dict]],
    folder: Path,
    slug: str,
    config: dict,
    others: dict[str, list[str]] | None = None,
    today: dict[str, Any] | None = None,
) -> str:
    """Write the page of a run that failed, where the rules could not, and say where it is.

    Parameters
    ----------
    own
        Kind of record (`eventops.bench.records.kept.FOLDERS`) to the jobs of this configuration, by id.
    folder
        ``results/<machine>``.
    slug
        The name of the machine.
    config
        The validated configuration.
    others, today
        Kind to names of jobs that other configurations left there, and what `eventops.bench.records.kept.load` compares them with.

    Returns
    -------
    str
        What to tell the user.
    """
    page = folder / "report.html"
    others = others or {}
    pairs = {name: _pair(job, folder) for name, job in own.get("record", {}).items()}
    kernels = {name: _kernel(job, folder) for name, job in own.get("kernel", {}).items()}
    networks = {name: _network(job, folder) for name, job in own.get("network", {}).items()}
    missing = [
        f"{name}: {reason}"
        for found in (pairs, kernels, networks)
        for name, (*_, reason) in found.items()
        if reason
    ]
    if not (folder / "generators.json").is_file():
        missing.append(f"generators: no record: {cause(folder / 'logs/generators.log')}")
    tables = [folder / "tables" / f"{name}.csv" for name in ("points", "jobs", "checks", "kernels")]
    if missing or not page.exists() or not all(path.exists() for path in tables):
        record.remove(tables)  # older than the page that is written now

        def all_of(kind, found):
            kept_ones = kept.valid(folder, kind, others.get(kind, []), today)
            return [tuple(one) for *one, _ in found.values()] + kept_ones

        _write(
            all_of("record", pairs),
            [one for (one,) in all_of("kernel", kernels)],
            [one for (one,) in all_of("network", networks)],
            folder=folder,
            slug=slug,
            config=config,
            page=page,
            earlier=kept.earlier(folder, others, today),
            own=list(pairs),
        )
    lines = [*missing, f"The run failed. What there is, and what failed: {page.resolve()}"]
    if missing:
        lines.append("Finished jobs are kept: mend the cause and give the same command again.")
    return "\n".join(lines)


def _write(pairs, beyond, whole, *, folder, slug, config, page, earlier, own) -> None:
    try:
        machine = record.load(folder / "machine.json", "machine")
    except (ValueError, OSError):
        machine = {"slug": slug}
    paths = [str(folder / "records" / f"{verified['job']['id']}.json") for verified, _ in pairs]
    frames = {
        "points": table.points(pairs, machine),
        "jobs": table.jobs(pairs, machine, paths),
        "checks": table.checks([verified for verified, _ in pairs]),
    }
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)

        def again(frame, name, read):
            table.write(frame, scratch / f"{name}.csv")
            return read(scratch / f"{name}.csv")

        read = [
            again(frame, name, functools.partial(table.read, kind=name))
            for name, frame in frames.items()
        ]
        figures.draw_all(*read, machine, scratch)
        kernels = again(kernels_table.frame(beyond), "kernels", kernels_table.read)
        figures.save(figures_kernels.draw(kernels), "kernels", scratch)
        networks = again(networks_table.frame(whole), "networks", networks_table.read)
        figures.save(figures_networks.draw(networks, whole), "networks", scratch)
        more = {"kernels": kernels, "networks": networks, "earlier": earlier, "own": own}
        report.write(*read, machine, scratch, config, page, **more)


def _pair(job: dict, folder: Path) -> tuple[dict, dict, str]:
    """The verify record and the measurement record, stand-ins for what is missing, and why it is."""
    verified, why = _load(job, folder, "verify", "verify", "verify")
    if verified is None:
        verified = {"job": job, "status": "failed", "reason": why, "checks": [], "p_values": {}}
        verified |= dict.fromkeys(("graph_hash", "n_synapses", "mean_out_degree", "duration_s"))
        return verified, _not_measured(job, why), why
    measured, why = _load(job, folder, "records", "record", "measure")
    if measured is None:
        return verified, _not_measured(job, why), why
    return verified, measured, ""


def _kernel(job: dict, folder: Path) -> tuple[dict, str]:
    """The record of a job of the section ``kernels``, or a stand-in, and why there is none."""
    content, why = _load(job, folder, "kernels", "kernel", "kernels")
    return content or {"job": job, "status": "failed", "reason": why, "cases": []}, why


def _network(job: dict, folder: Path) -> tuple[dict, str]:
    """Likewise of the section ``networks``."""
    content, why = _load(job, folder, "networks", "network", "networks")
    ours = {"status": "failed", "reason": why, "step_s": []}
    return content or {"job": job, "simulators": {"eventops": ours}}, why


def _not_measured(job: dict, why: str) -> dict[str, Any]:
    return {"job": job, "points": measure.refused(job, "failed", why), "construct": {}} | {
        "duration_s": None
    }


def _load(job, folder, where, kind, stage) -> tuple[dict | None, str]:
    path = folder / where / f"{job['id']}.json"
    log = folder / "logs" / stage / f"{job['id']}.log"
    try:
        return record.load(path, kind), ""
    except FileNotFoundError:
        return None, f"{stage} wrote no record: {cause(log)}"
    except (ValueError, OSError) as error:
        return None, str(error)


def cause(log: Path) -> str:
    """Why a job ended, from its log, and what to do."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "it did not begin, or broke before its log was opened: see Snakemake's own output"
    errors = [line for line in map(str.strip, text.splitlines()) if ERROR.match(line)]
    if not errors:
        return f"{KILLED}; see {log}"
    crash = [line for line in errors if line.startswith("Fatal")]
    said = (crash or errors[-1:])[0][:300]
    advice = next((text for pattern, text in ADVICE if re.search(pattern, said)), None)
    return f"{said} ({advice}; see {log})" if advice else f"{said} (see {log})"
