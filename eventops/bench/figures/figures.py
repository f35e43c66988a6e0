"""The figures of the report: what there is, and drawing all of it.

Each figure answers one question and is written twice, as SVG (inlined in the page)
and as PNG (for documents). All of them are written for every run: one without data
says so in words, so that nobody looks for a file that silently isn't there.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..tables import readings
from . import cost as figures_cost
from . import degrees as figures_degrees
from . import devices as figures_devices
from . import map as figures_map
from . import time as figures_time
from .captions import MODAL
from .style import INK, PAPER, theme

NAMES = ("map", "answer", "time", "events", "population", "memory", "speedup", "roofline", "build")
NAMES += ("devices", "degrees", "generators")
# For the head of a README; the page has the same lines, for every configuration, in "time".
HERO = "hero"


def _draw(name: str, table: pd.DataFrame, view: pd.DataFrame, machine: dict, degrees) -> Figure:
    """The figure called ``name``."""
    if name == "map":
        return figures_map.map(table, machine)
    if name == "speedup":
        return figures_time.speedup(table, view)
    if name in ("degrees", "generators"):
        return getattr(figures_degrees, name)(degrees)
    if name == "devices":
        return figures_devices.both_devices(view)
    module = figures_time if hasattr(figures_time, name) else figures_cost
    return getattr(module, name)(view)


def _say_how(fig: Figure, view: pd.DataFrame) -> None:
    """The way in which all times of a figure were taken, beneath it."""
    if fig.axes:
        parts = [
            readings.how(view),
            fig.get_supxlabel(),
        ]  # the latter where configurations were left out
        fig.supxlabel("; ".join(filter(None, parts)), fontsize=8, color=INK)


def save(fig: Figure, name: str, out_dir: Path) -> list[Path]:
    """Write SVG (no background, no date: the same data give the same bytes) and PNG."""
    FigureCanvasAgg(fig)
    fig.draw_without_rendering()  # lays the panels out once, for both files
    fig.set_layout_engine("none")
    paths = []
    for suffix, options in (
        ("svg", {"transparent": True, "metadata": {"Date": None, "Title": name}}),
        ("png", {"dpi": 160, "facecolor": PAPER}),
    ):
        path = out_dir / f"{name}.{suffix}"
        handle, temporary = tempfile.mkstemp(dir=out_dir, suffix=f".{suffix}")
        os.close(handle)
        try:
            with matplotlib.rc_context({"svg.hashsalt": name}):
                fig.savefig(temporary, format=suffix, **options)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        paths.append(path)
    return paths


def draw_all(
    points: pd.DataFrame,
    jobs: pd.DataFrame,
    checks: pd.DataFrame,
    machine: dict,
    out_dir: Path,
    degrees: pd.DataFrame | None = None,
) -> list[Path]:
    """Draw every figure of ``NAMES``, and ``HERO``, as ``<name>.svg`` and ``<name>.png``.

    Parameters
    ----------
    points, jobs, checks : pandas.DataFrame
        The three tables of the run. Today ``checks`` is drawn by no figure.
    machine : dict
        The machine's facts, for the map and the head.
    out_dir : pathlib.Path
        Made if it isn't there; each file replaces an older one whole.
    degrees : pandas.DataFrame, optional
        The table of degree histograms; without it their figures say that there is none.

    Returns
    -------
    list of pathlib.Path
        The files written, SVG and PNG of each figure, ``HERO`` last.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    table = readings.prepare(points, jobs)
    view = readings.headline(table)
    written = []
    with theme():
        for name in NAMES:
            fig = _draw(name, table, view, machine, degrees)
            if name in MODAL:
                _say_how(fig, view)
            written += save(fig, name, out_dir)
        written += save(hero(points, machine, jobs=jobs), HERO, out_dir)
    return written


def hero(
    points: pd.DataFrame, machine: dict, most: int = 6, jobs: pd.DataFrame | None = None
) -> Figure:
    """One figure for the head of a README: time against firing rate, ours and the others.

    At most ``most`` configurations, spread evenly over those of event-driven operators with several rates,
    and the machine beneath. Save it with ``fig.savefig``.
    """
    rates = points[points["rate"] > 0].groupby("job")["rate"].nunique()
    several = points["job"].isin(rates.index[rates >= 3])
    chosen = points[several & points["operator"].astype(str).str.startswith("Event")]
    points = points if chosen.empty else chosen
    with theme():
        view = readings.headline(readings.prepare(points, jobs))
        fig = figures_time.time(view, most=most)
        _say_how(fig, view)
        threads = machine.get("n_cores")
        where = machine.get("cpu") or machine.get("slug") or ""
        if where:
            where += f", {threads} cores" if threads else ""
            more = fig.get_supxlabel()  # says so where configurations were left out
            text = f"{where}; {more}" if more else where
            fig.supxlabel(text, x=0.01, ha="left", fontsize=8, color=INK)
    return fig
