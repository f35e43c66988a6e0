"""How every figure looks: palette, markers, axes in readable units, and a figure in words.

Colours are seaborn's ``colorblind`` palette, and each method has a marker and a line
style of its own, so that a black-and-white print still tells them apart. Tick labels
are plain text ("10 µs", "0.1 %"), never mathtext: names that come from a config may
hold a ``$`` without breaking a figure.
"""

from __future__ import annotations

import math
import textwrap
from contextlib import contextmanager

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from ..tables.readings import METHODS

INK, GRID, PAPER = "#222222", "#dddddd", "#ffffff"  # the report maps these onto its own theme
PALETTE = sns.color_palette("colorblind").as_hex()
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (7, 2)), (0, (2, 2)))
MAX_PANELS = 24


@contextmanager
def theme():
    """seaborn's ticks style with grid lines, text kept as text in SVG, no mathtext."""
    ours = {
        "text.parse_math": False,
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "axes.grid": True,
        "grid.linewidth": 0.6,
        "lines.markersize": 5,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
        ),
        "grid.color": GRID,
    }
    with matplotlib.rc_context({**sns.axes_style("ticks"), **ours}):
        yield


def si(value, unit: str = "", digits: int = 3) -> str:
    """A number with an SI prefix: ``si(0.0000123, "s")`` is ``12.3 µs``."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return f"0 {unit}".strip()
    value = float(f"{value:.{digits}g}")  # round first: 999.6 µs is 1 ms
    power = min(max(math.floor(math.log10(abs(value)) / 3), -4), 5)
    scaled = float(f"{value / 10.0 ** (3 * power):.{digits}g}")
    prefix = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P"}
    return f"{scaled:g} {prefix[power]}{unit}".strip()


def percent(rate) -> str:
    """A firing rate in per cent: ``percent(0.001)`` is ``0.1 %``."""
    return "–" if rate is None or not math.isfinite(rate) else f"{100 * rate:.3g} %"


def times(ratio) -> str:
    """A ratio as people write it: ``2.3×``."""
    if ratio is None or not math.isfinite(ratio):
        return "–"
    if ratio >= 100:
        return f"{float(f'{ratio:.3g}'):,.0f}×"
    return f"{ratio:.3g}×" if ratio >= 10 or 0.5 < ratio < 2 else f"{ratio:.2g}×"


def tint(color: str, amount: float = 0.45) -> str:
    """A colour mixed with white, pale enough for dark text on it."""
    rgb = np.array(matplotlib.colors.to_rgb(color))
    return matplotlib.colors.to_hex(1 - amount * (1 - rgb))


def method_style(names) -> dict[str, dict]:
    """Colour, marker and dashes of each method; the same method always looks the same."""
    order = [*METHODS, *sorted(set(names) - set(METHODS))]
    picks = [0, 1, 2, 4, 3, 7, 5, 9, 6, 8]
    return {
        name: {
            "color": PALETTE[picks[i % len(picks)]],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": DASHES[i % len(DASHES)],
        }
        for i, name in enumerate(order)
    }


def series_style(i: int) -> dict:
    """The look of the ``i``-th of several configurations in one panel."""
    return {
        "color": PALETTE[i % len(PALETTE)],
        "marker": MARKERS[(i + i // len(MARKERS)) % len(MARKERS)],
        "linestyle": DASHES[i % len(DASHES)],
    }


def log_axis(axis, text) -> None:
    """A logarithmic axis whose ticks ``text`` writes; one under two decades gets 1, 2, 5."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if low > 0 and high > low else 1
    if decades < 0.35:  # one point, or nearly: room around it, or there is no tick at all
        middle = math.sqrt(low * high) if low > 0 else 1.0
        axis.set_view_interval(middle / 1.6, middle * 1.6, ignore=True)
        decades = 0.4
    subs = (1.0, 2.0, 5.0) if decades < 2 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=6 if decades >= 2 else 12))
    axis.set_major_formatter(FuncFormatter(lambda v, _: text(v)))
    axis.set_minor_formatter(NullFormatter())


def measured_axis(ax, values, text=percent) -> None:
    """A logarithmic x axis, ticked where it was measured (thinned when crowded)."""
    log_axis(ax.xaxis, text)
    values = sorted({v for v in values if v > 0})
    if values:
        apart = (math.log(values[-1]) - math.log(values[0])) / 7
        ticks = values[:1]
        for value in values[1:]:
            if math.log(value) - math.log(ticks[-1]) >= apart:
                ticks.append(value)
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())


def panels(n: int, columns: int = 4, width: float = 2.9, height: float = 2.4, **kwargs):
    """A figure of ``n`` panels in rows; returns it with the list of its axes."""
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    fig = Figure(figsize=(max(width * columns, 6.0), height * rows + 0.5), layout="constrained")
    axes = np.atleast_1d(fig.subplots(rows, columns, squeeze=False, **kwargs)).ravel()
    for ax in axes[n:]:
        ax.remove()
    return fig, list(axes[:n])


def some(items: list, most: int = MAX_PANELS) -> list:
    """At most ``most`` of the items, evenly spaced, first and last among them."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def legend(fig, handles: dict, **kwargs) -> None:
    """One legend above all panels."""
    if handles:
        columns = min(len(handles), 6)
        fig.legend(
            handles.values(), handles.keys(), loc="outside upper left", ncols=columns, **kwargs
        )


def words(text: str) -> Figure:
    """A figure without data says so."""
    fig = Figure(figsize=(6.0, 1.4), layout="constrained")
    fig.text(0.5, 0.5, textwrap.fill(text, 70), ha="center", va="center", color=INK, fontsize=10)
    return fig
