"""The figure of whole networks: time per step and memory of each simulator, and what the spikes look like."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..networks.jobs import DT_MS, OURS, SIMULATORS
from .style import INK, PALETTE, log_axis, panels, si, theme, words

NAME = "networks"


def draw(table: pd.DataFrame, records: Iterable[dict]):
    """One row a network: time per step with its interval, and the raster of a hundred neurons in ours.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `eventops.bench.networks.table.frame`.
    records : iterable of dict
        The records behind it.

    Returns
    -------
    matplotlib.figure.Figure
    """
    records = list(records)
    with theme():
        if not len(table[table["status"] == "ok"]):
            return words("No network was run: the configuration has no section 'networks'.")
        fig, axes = panels(2 * len(records), columns=2, width=4.2, height=2.3)
        for i, content in enumerate(records):
            job = content["job"]
            mine = table[table["job"] == job["id"]]
            _times(axes[2 * i], mine, f"{job['model'].upper()}, {job['n']:,} neurons")
            _raster(axes[2 * i + 1], content["simulators"].get(OURS, {}))
        return fig


def _times(ax, mine: pd.DataFrame, title: str) -> None:
    names = [name for name in SIMULATORS if name in set(mine["simulator"])]
    for place, name in enumerate(names):
        row = mine[mine["simulator"] == name].iloc[0]
        if row["status"] != "ok":
            ax.text(
                0.02,
                place,
                row["status"],
                va="center",
                transform=ax.get_yaxis_transform(),
                fontsize=8,
            )
            continue
        t, lo, hi = (row[key] for key in ("t_step_s", "t_lo_s", "t_hi_s"))
        error = [[max(0.0, t - lo)], [max(0.0, hi - t)]] if np.isfinite(lo + hi) else None
        color = PALETTE[0] if name == OURS else PALETTE[1 + place]
        marker = "os^Dv"[place % 5]
        # Hollow: it fires at another rate, so its time is not to be compared.
        fill = color if row["matched"] else "none"
        ax.errorbar(t, place, xerr=error, fmt=marker, color=color, markerfacecolor=fill, capsize=3)
        ax.annotate(
            f"{si(t, 's')}, {si(row['peak_rss_bytes'], 'B')}",
            (t, place),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.7)
    ax.margins(x=0.25)
    log_axis(ax.xaxis, lambda v: si(v, "s"))
    ax.set_title(title, loc="left")
    ax.set_xlabel(f"time per step of {DT_MS} ms; peak memory beside it")


def _raster(ax, ours: dict) -> None:
    step, neuron = ours.get("raster", ([], []))
    ax.scatter(np.asarray(step) * DT_MS, neuron, s=0.6, color=INK, linewidths=0, rasterized=True)
    ax.set_xlabel("time (ms)")
    ax.set_ylabel("neuron")
    if ours.get("status") == "ok":
        # Not-a-number, null in a record: too few spikes to tell.
        facts = (
            ("rate_hz", "rate {:.3g} Hz"),
            ("cv", "CV {:.2g}"),
            ("correlation", "corr. {:.2g}"),
        )
        known = [text.format(ours[key]) for key, text in facts if ours[key] is not None]
        ax.set_title(", ".join(known), loc="left")
