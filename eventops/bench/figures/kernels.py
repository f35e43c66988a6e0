"""The figure beyond single products: cost of delays over the product without, and speed-up of updates of weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .style import INK, legend, log_axis, panels, percent, series_style, theme, times, words

NAME = "kernels"
GROUP = ["conn", "n", "weights", "rate"]
TARGET = 1.5
"""At most the cost of the undelayed product, and at least the speed-up over the peer."""


def draw(table: pd.DataFrame):
    """Two panels of ratios with their 95 % intervals, one for delays and one for updates.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `eventops.bench.kernels.table.frame`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    timed = table[table["status"] == "ok"]
    with theme():
        if timed.empty:
            return words(
                "No delays and no updates were timed: see the section 'kernels' of the configuration."
            )
        drawn = [(name, timed[timed["measure"] == name]) for name in ("delays", "plasticity")]
        drawn = [(name, part) for name, part in drawn if len(part)]
        fig, axes = panels(len(drawn), columns=2, width=4.6, height=3.4)
        # The same size and kind of weights look the same in both panels.
        groups = list(dict.fromkeys(timed[GROUP].itertuples(index=False, name=None)))
        handles = {}
        for ax, (name, part) in zip(axes, drawn):
            handles |= _ratios(ax, part, groups)
            if name == "delays":
                ax.set_title("A step with delays", loc="left")
                ax.set_xlabel("time / undelayed product (lower is better)")
            else:
                ax.set_title("Updates of weights on spikes", loc="left")
                ax.set_xlabel("time of brainevent / ours (higher is better)")
        legend(fig, handles)
        return fig


def _ratios(ax, part: pd.DataFrame, groups: list) -> dict:
    """Cases from top to bottom, one marker for each size and kind of weights."""
    cases = list(dict.fromkeys(part["case"]))
    handles = {}
    for i, key in enumerate(groups):
        here = part[(part[GROUP] == list(key)).all(axis=1)]
        if here.empty:
            continue
        place = here["case"].map(cases.index) + 0.6 * ((i + 0.5) / len(groups) - 0.5)
        ratio, lo, hi = (here[name].to_numpy(float) for name in ("ratio", "ratio_lo", "ratio_hi"))
        error = np.nan_to_num(np.maximum(0, [ratio - lo, hi - ratio]))
        style = {k: v for k, v in series_style(i).items() if k in ("color", "marker")}
        label = "{:,} of {:,}, {}".format(*key)
        if len({rate for *_, rate in groups}) > 1:
            label += f", {percent(float(key[3]))}"
        handles[label] = ax.errorbar(ratio, place, xerr=error, linestyle="none", capsize=2, **style)
    ax.axvline(1, color=INK, linewidth=0.8)
    ax.axvline(TARGET, color=INK, linewidth=0.8, linestyle=(0, (5, 2)))
    ax.set_yticks(range(len(cases)), cases)
    ax.set_ylim(len(cases) - 0.5, -0.5)
    ax.set_xscale("log")
    log_axis(ax.xaxis, times)
    return handles
