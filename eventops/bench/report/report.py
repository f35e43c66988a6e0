"""The report: one HTML file that answers, proves, and holds every row behind both.

The page needs nothing but itself: style, script and figures are inside it, and a content
security policy forbids it to load anything and to run any script but its own. Text from
configs and tables reaches the page through Jinja's autoescape only.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from ..figures import captions, figures
from ..figures.style import GRID, INK, PALETTE, PAPER, percent, si, times
from ..peers import newest
from ..records import machine as this_machine
from ..tables import crossover, devices, readings
from . import first as report_first
from . import parts as report_parts

TEMPLATES = Path(__file__).parent / "templates"
CSV_INSIDE = 600_000  # bytes of one table beyond which it is embedded compressed
# How many rows the page shows itself before it points to the CSV: keeps it under 5 MB.
MOST_ROWS = 5_000

SECTIONS = (
    ("answer", "Answer"),
    ("trust", "Trust"),
    ("events", "Events"),
    ("population", "Population"),
    ("memory", "Memory"),
    ("peers", "Speed-up"),
    ("roofline", "Roofline"),
    ("build", "Build time"),
    ("graphs", "Graphs"),
    ("kernels", "Beyond products"),
    ("devices", "CPU and GPU"),
    ("networks", "Networks"),
    ("machine", "Machine"),
    ("again", "Reproduce this"),
    ("earlier", "Measured earlier"),
    ("rows", "Every row"),
)


def inline_svg(path: Path, title: str) -> Markup:
    """One of our figures as an element of the page, in the page's own colours.

    Ids get the figure's name in front, since several figures share one document; black, grey
    and the palette become CSS variables, so that a dark page has light axes.
    """
    if not path.is_file():
        return Markup('<p class="note">The figure {} was not drawn.</p>').format(path.name)
    svg = path.read_text(encoding="utf-8")
    if re.search(r"<script|\son\w+\s*=|javascript:", svg, re.IGNORECASE):
        raise ValueError(
            f"report: {path} holds a script, so it is not one of our figures; draw them again"
        )
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    name = path.stem
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    for i, color in enumerate(PALETTE):
        svg = svg.replace(color.lower(), f"var(--c{i})")
    svg = svg.replace(INK, "currentColor").replace(GRID, "var(--line)")
    svg = svg.replace(f"stroke: {PAPER}", "stroke: var(--page)")
    size = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    width = float(size.group(1)) if size else 500
    label = str(Markup.escape(title))
    head = f'<svg role="img" aria-label="{label}" style="width:{width * 4 / 3:.0f}px"'
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    return Markup(svg.replace("<svg", head, 1))


def csv_link(table: pd.DataFrame, name: str) -> dict[str, str]:
    """A download of the whole table as a ``data:`` URI; a large one is compressed."""
    data = table.to_csv(index=False).encode()
    kind, suffix = "text/csv;charset=utf-8", "csv"
    if len(data) > CSV_INSIDE:
        data, kind, suffix = gzip.compress(data, mtime=0), "application/gzip", "csv.gz"
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return {"name": f"{name}.{suffix}", "uri": uri, "rows": len(table)}


def relative(target, out: Path) -> str:
    """A link from the page to a file named in a table; nothing but a path can come of it."""
    if not isinstance(target, str) or not target:
        return ""
    path = os.path.relpath(os.path.abspath(target), os.path.abspath(out.parent))
    return "./" + quote(Path(path).as_posix())


def plain(value) -> str:
    """A config or a machine's facts as YAML, whatever mapping type they came in."""
    simple = json.loads(json.dumps(value, default=str))
    return yaml.safe_dump(simple, sort_keys=False, allow_unicode=True, width=88)


def facts(machine: dict) -> list[tuple[str, str]]:
    """The machine in a few lines; whatever was not recorded is left out."""
    versions = machine.get("versions") or {}
    have = newest.told(versions, machine.get("python"))
    lack = ", ".join(name for name, v in versions.items() if not v)
    caches = machine.get("caches") or {}
    threads = machine.get("threads") or {}
    size = {
        k: f"{v / 2**20:g} MiB" if v >= 2**20 else f"{v / 2**10:g} KiB"
        for k, v in caches.items()
        if isinstance(v, (int, float))
    }
    bandwidth = machine.get("read_bandwidth_bytes_per_s")
    memory = machine.get("memory_bytes")
    native = machine.get("native")
    lines = {
        "CPU": machine.get("cpu"),
        "Cores": machine.get("n_cores"),
        "Vector instructions": machine.get("isa"),
        "Memory": f"{memory / 2**30:.3g} GiB" if memory else None,
        "Caches": ", ".join(f"{k} {v}" for k, v in size.items()),
        "Read bandwidth, measured": si(bandwidth, "B/s") if bandwidth else None,
        "GPU": machine.get("gpu") or "none",
        "Devices": ", ".join(map(str, machine.get("devices") or [])),
        "System": machine.get("os"),
        "Python": machine.get("python"),
        "eventops": machine.get("eventops"),
        "Native library": None if native is None else ("yes" if native else "no"),
        "Versions": have,
        "Not installed": lack,
        "Thread settings": ", ".join(f"{k}={v}" for k, v in threads.items()) or "none set",
        "Run at": machine.get("generated_at"),
    }
    return [(name, str(text)) for name, text in lines.items() if text not in (None, "")]


def measured(machine: dict) -> str:
    """The versions of the peers and of what they run on, each with what is newer."""
    versions = machine.get("versions") or {}
    known = {name: version for name, version in versions.items() if name in newest.NEWEST}
    return newest.told(known, machine.get("python"))


def commits(jobs: pd.DataFrame) -> list[str]:
    """The commits that the records were measured at; without any, that of the code that runs now."""
    found = jobs["commit"].dropna().astype(str) if "commit" in jobs else pd.Series(dtype=str)
    known = list(dict.fromkeys(c for c in found if c))
    now = this_machine.commit()
    return known or ([now] if now else [])


def config_link(config: dict) -> str:
    """The configuration as a file to download."""
    data = base64.b64encode(plain(config).encode()).decode()
    return f"data:application/yaml;base64,{data}"


def title(machine: dict, config: dict) -> str:
    """The line under the heading: machine, date, and the configuration's name if it has one."""
    cores = machine.get("n_cores")
    parts = [
        machine.get("cpu") or machine.get("slug") or "unknown machine",
        f"{cores} cores" if cores else None,
        f"eventops {machine['eventops']}" if machine.get("eventops") else None,
        str(machine.get("generated_at") or "")[:10],
        f"configuration {config['name']}" if config.get("name") else None,
    ]
    return " · ".join(str(p) for p in parts if p)


def environment() -> jinja2.Environment:
    """Templates with autoescape for every file, and the units of the figures as filters."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    env.filters |= {"si": si, "percent": percent, "times": times, "plain": plain}
    env.filters |= {"number": report_parts.number, "edge": crossover.edge}
    env.filters |= {
        "crossover": crossover.text,
        "capitalize_first": lambda s: s[:1].upper() + s[1:],
    }
    return env


def _write_whole(text: str, out: Path) -> None:
    """Replace ``out`` in one step, so that a reader never finds half a page."""
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=out.parent, suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _at_most(config: dict, points: pd.DataFrame, added: int) -> dict:
    """The configuration with the rounds of the others on the page, where they had more."""
    if not added:
        return config
    measure = config.get("measure", {})
    rounds = max(measure.get("rounds", 0), int(points["n_samples"].max()))
    return {**config, "measure": {**measure, "rounds": rounds}}


def write(
    points: pd.DataFrame,
    jobs: pd.DataFrame,
    checks: pd.DataFrame,
    machine: dict,
    figures_dir: Path,
    config: dict,
    out: Path,
    degrees: pd.DataFrame | None = None,
    generators: dict | None = None,
    decision: dict | None = None,
    networks: pd.DataFrame | None = None,
    kernels: pd.DataFrame | None = None,
    earlier: pd.DataFrame | None = None,
    own: Iterable[str] | None = None,
) -> None:
    """Write the report of one run.

    Parameters
    ----------
    points, jobs, checks : pandas.DataFrame
        The three tables of the run, with the columns of its CSV files.
    machine : dict
        What ``machine.json`` holds.
    figures_dir : pathlib.Path
        Where `eventops.bench.figures.figures.draw_all` wrote its SVG files.
    config : dict
        The validated configuration, shown so that the run can be repeated.
    out : pathlib.Path
        The HTML file; it replaces an older one whole.
    degrees : pandas.DataFrame, optional
        The table of degree histograms, for its download.
    generators : dict, optional
        What `eventops.bench.peers.generators.run` found.
    decision : dict, optional
        What `eventops.bench.tables.predictions.summary` found; without it the page has no hold-out test and no crossovers.
    networks : pandas.DataFrame, optional
        The table of `eventops.bench.networks.table.frame`; without rows the page has no such section.
    kernels : pandas.DataFrame, optional
        The table of `eventops.bench.kernels.table.frame`, likewise.
    earlier : pandas.DataFrame, optional
        The table of `eventops.bench.records.kept.earlier`: what stands apart, since other code or versions measured it.
    own : iterable of str, optional
        The jobs of this configuration; the page says how many others it has. All jobs by default.

    Raises
    ------
    ValueError
        If a figure's file holds a script, so that it cannot be one of ours.
    """
    out, figures_dir = Path(out), Path(figures_dir)
    table = readings.prepare(points, jobs)
    view = readings.headline(table)
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    drawn = {
        name: inline_svg(figures_dir / f"{name}.svg", captions.CAPTIONS[name])
        for name in figures.NAMES
    }
    downloads = [
        csv_link(frame, name)
        for frame, name in (
            (points, "points"),
            (jobs, "jobs"),
            (checks, "checks"),
            (degrees, "degrees"),
            (networks, "networks"),
            (kernels, "kernels"),
            (earlier, "earlier"),
        )
        if frame is not None and len(frame)
    ]
    whole = [] if networks is None else networks.to_dict("records")
    beyond = [] if kernels is None else kernels.to_dict("records")
    apart = [] if earlier is None else earlier.to_dict("records")
    for row in apart:
        row["link"] = relative(row["record"], out)
    added = 0 if own is None else len(set(jobs["job"]) - set(own))
    both = devices.crossovers(devices.compared(table)).to_dict("records")
    optional = {"networks": whole, "kernels": beyond, "devices": both, "earlier": apart}
    empty = {name for name, found in optional.items() if not found}
    job_rows = report_parts.job_rows(table, jobs)
    for row in job_rows:
        row["link"] = relative(row["record"], out)
        row["verified"] = row["link"].replace("/records/", "/verify/")
    page = environment().get_template("report.html.j2")
    text = page.render(
        **report_first.first(table, view, jobs, checks, _at_most(config, points, added)),
        **report_parts.answer(table, view),
        **report_parts.evidence(table, view, jobs, checks),
        rows=report_parts.rows(table, MOST_ROWS),
        jobs=job_rows,
        links={row["job"]: row for row in job_rows},
        files={
            name: [relative(str(figures_dir / f"{name}.{kind}"), out) for kind in ("svg", "png")]
            for name in figures.NAMES
        },
        graphs=report_parts.graphs(generators),
        commits=commits(jobs),
        config_file=config_link(config),
        decision=decision,
        captions=captions.captions(view),
        networks=whole,
        network_figure=inline_svg(figures_dir / "networks.svg", "Whole networks") if whole else "",
        kernels=beyond,
        kernel_figure=inline_svg(figures_dir / "kernels.svg", "Delays and updates")
        if beyond
        else "",
        sections=[s for s in SECTIONS if s[0] not in empty],
        devices=both,
        earlier=apart,
        added=added,
        facts=facts(machine),
        measured=measured(machine),
        drawn_by=newest.told((generators or {}).get("versions", {}), machine.get("python")),
        title=title(machine, config),
        machine=machine,
        config=config,
        figures=drawn,
        downloads=downloads,
        script=Markup(script),
        script_hash=digest,
        palette=PALETTE,
    )
    _write_whole(text, out)
