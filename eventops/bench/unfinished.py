"""The report of a run that failed: all that there is, and a red row for each job that has no record.

A job may die so that it cannot say why: a crash in native code, the system's out-of-memory killer, a full disk, a
lost node. Its record is missing then, and no table can be made by the rules. The workflow's ``onerror`` calls
`explain`, which makes tables, figures and page from the records that are there and from the logs of the others.
Nothing of it but the page stays, so that the next run has nothing to mistake for results.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from eventops.bench import (
    figures,
    figures_kernels,
    kernels_table,
    measure,
    record,
    report,
    table,
)

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
    jobs: dict[str, dict], folder: Path, slug: str, config: dict, kernels: dict[str, dict]
) -> str:
    """Write the page of a run that failed, where the rules could not, and say where it is.

    Parameters
    ----------
    jobs
        Job id to job, as planned.
    folder
        ``results/<machine>``.
    slug
        The name of the machine.
    config
        The validated configuration.
    kernels
        The jobs of its section ``kernels``, by id.

    Returns
    -------
    str
        What to tell the user.
    """
    page = folder / "report.html"
    pairs = [_pair(job, folder) for job in jobs.values()]
    missing = [
        f"{job}: {reason}"
        for job, (*_, reasons) in zip(jobs, pairs, strict=True)
        for reason in reasons
    ]
    beyond = [_kernel(job, folder) for job in kernels.values()]
    missing += [
        f"{job}: {content['reason']}" for job, (content, found) in zip(kernels, beyond) if not found
    ]
    tables = [folder / "tables" / f"{name}.csv" for name in ("points", "jobs", "checks", "kernels")]
    if missing or not page.exists() or not all(path.exists() for path in tables):
        record.remove(tables)  # older than the page that is written now
        _write(pairs, [content for content, _ in beyond], folder, slug, config, page)
    lines = [*missing, f"The run failed. What there is, and what failed: {page.resolve()}"]
    if missing:
        lines.append("Finished jobs are kept: mend the cause and give the same command again.")
    return "\n".join(lines)


def _write(pairs, beyond, folder, slug, config, page) -> None:
    try:
        machine = record.load(folder / "machine.json", "machine")
    except (ValueError, OSError):
        machine = {"slug": slug}
    couples = [(verified, measured) for verified, measured, _ in pairs]
    paths = [str(folder / "records" / f"{v['job']['id']}.json") for v, _ in couples]
    frames = {
        "points": table.points(couples, machine),
        "jobs": table.jobs(couples, machine, paths),
        "checks": table.checks([verified for verified, _ in couples]),
    }
    with tempfile.TemporaryDirectory() as scratch:
        read = []
        for name, frame in frames.items():
            path = Path(scratch) / f"{name}.csv"
            table.write(frame, path)
            read.append(table.read(path, name))
        figures.draw_all(*read, machine, Path(scratch))
        path = Path(scratch) / "kernels.csv"
        table.write(kernels_table.frame(beyond), path)
        kernels = kernels_table.read(path)
        figures.save(figures_kernels.draw(kernels), "kernels", Path(scratch))
        report.write(*read, machine, Path(scratch), config, page, kernels=kernels)


def _pair(job: dict, folder: Path) -> tuple[dict, dict, list[str]]:
    """The verify record and the measurement record, stand-ins for what is missing, and why it is."""
    verified, why = _load(job, folder, "verify", "verify", "verify")
    if verified is None:
        verified = {"job": job, "status": "failed", "reason": why, "checks": [], "p_values": {}}
        verified |= dict.fromkeys(("graph_hash", "n_synapses", "mean_out_degree", "duration_s"))
        return verified, _not_measured(job, why), [why]
    measured, why = _load(job, folder, "records", "record", "measure")
    if measured is None:
        return verified, _not_measured(job, why), [why]
    return verified, measured, []


def _kernel(job: dict, folder: Path) -> tuple[dict, bool]:
    """The record of a job of the section ``kernels``, or a stand-in that says why there is none."""
    content, why = _load(job, folder, "kernels", "kernel", "kernels")
    if content is not None:
        return content, True
    return {"job": job, "status": "failed", "reason": why, "cases": []}, False


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
