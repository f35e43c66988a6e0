"""The figures of the graphs: degrees that were drawn, beside the exact law of the rule."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from ..tables.readings import OURS
from .style import GRID, INK, MARKERS, PALETTE, legend, panels, some, words

SIDES = {"out": "out-degree", "in": "in-degree"}


def p_text(p: float) -> str:
    """``p = 0.31``; below what a double can hold apart from 0, ``p < 1e-300``."""
    if not np.isfinite(p):
        return "no p-value"
    return "p < 1e-300" if p < 1e-300 else f"p = {p:.2g}"


def _law(ax, rows: pd.DataFrame, color=GRID):
    """The exact law as filled steps, in neurons per degree."""
    x, y = _steps(rows, "expected")
    ax.fill_between(x, 0, y, color=color, linewidth=0, zorder=1)
    return ax.plot(x, y, color=INK, linewidth=1.0, zorder=2)[0]


def _steps(rows: pd.DataFrame, column: str):
    rows = rows.sort_values("first")
    edges = np.repeat(np.append(rows["first"], rows["first"].iloc[-1] + rows["width"].iloc[-1]), 2)
    share = np.repeat(rows[column].to_numpy() / rows["width"].to_numpy(), 2)
    return edges - 0.5, np.concatenate([[0], share, [0]])


def _points(ax, rows: pd.DataFrame, color, marker, size=18):
    """Neurons counted in each bin; the bar is what chance alone does to such a count, two deviations."""
    rows = rows.sort_values("first")
    x = rows["first"] + (rows["width"] - 1) / 2
    y = rows["observed"] / rows["width"]
    bar = 2 * np.sqrt(rows["expected"]) / rows["width"]
    ax.errorbar(x, y, bar, fmt="none", ecolor=color, elinewidth=0.8, zorder=3)
    return ax.scatter(x, y, s=size, color=color, marker=marker, linewidth=0, zorder=4)


def degrees(table: pd.DataFrame | None, most: int = 12):
    """Degrees of the graphs of this run, one panel per rule and side that the rule leaves to chance."""
    ours = None if table is None else table[table["job"] != ""]
    if ours is None or ours.empty:
        return words("No job of this run recorded the degrees of its graph.")
    # Jobs of one rule and size (other dtypes, weights, storages) have the same graph.
    first = ours.drop_duplicates(["rule", "n_pre", "n_post", "side"])
    keys = some(list(zip(first["job"], first["side"], strict=True)), most)
    fig, axes = panels(len(keys), columns=4, width=2.9, height=2.3)
    handles = {}
    for ax, (job, side) in zip(axes, keys, strict=True):
        rows = ours[(ours["job"] == job) & (ours["side"] == side)]
        handles["the exact law"] = _law(ax, rows)
        handles["drawn, ± 2 σ of chance"] = _points(ax, rows, PALETTE[0], MARKERS[0])
        one = rows.iloc[0]
        rule = textwrap.fill(one["rule"], 34)
        ax.set_title(
            f"{rule}\n{one['n_pre']:,} → {one['n_post']:,}, {p_text(one['p'])}", loc="left"
        )
        ax.set(xlabel=SIDES[side], ylabel="neurons per degree" if ax is axes[0] else "")
        ax.set_ylim(bottom=0)
    legend(fig, handles)
    return fig


def generators(table: pd.DataFrame | None):
    """The generators of the peers beside ours, under the same law and the same tests."""
    drawn = None if table is None else table[table["job"] == ""]
    if drawn is None or drawn.empty:
        return words("No generator was tested in this run.")
    keys = list(drawn.drop_duplicates(["rule", "side"])[["rule", "side"]].itertuples(index=False))
    fig, axes = panels(len(keys), columns=2, width=5.6, height=2.7)
    names = list(dict.fromkeys(drawn["generator"]))
    for ax, (rule, side) in zip(axes, keys, strict=True):
        here = drawn[(drawn["rule"] == rule) & (drawn["side"] == side)]
        handles = {}
        law = here[here["generator"] == here["generator"].iloc[0]]
        handles["the exact law"] = _law(ax, law)
        for name in names:
            rows = here[here["generator"] == name]
            if rows.empty:
                continue
            i = names.index(name)
            color = PALETTE[(0, 1, 2, 4, 3, 7)[i % 6]]
            text = f"{name}: {p_text(rows['p'].iloc[0])}"
            one = rows[rows["observed"] > 0]
            if len(one) == 1:  # a spike that leaves the panel
                low, width = one["first"].iloc[0], one["width"].iloc[0]
                text += f", all within {low} to {low + width - 1}" if width > 1 else f", all {low}"
            if name == OURS:
                handles[text] = _points(ax, rows, color, MARKERS[0])
                continue
            x, y = _steps(rows, "observed")
            dashes = ("-", "--", ":", "-.")[i % 4]
            (handles[text],) = ax.plot(x, y, color=color, linestyle=dashes, linewidth=1.5, zorder=3)
        ax.set_title(f"{rule}: {SIDES[side]}", loc="left")
        ax.set(xlabel=SIDES[side], ylabel="neurons per degree")
        # A generator that gives all neurons one degree would leave nothing else to see.
        ax.set_ylim(0, min(ax.get_ylim()[1], 2.5 * (law["expected"] / law["width"]).max()))
        ax.legend(handles.values(), handles.keys(), loc="upper left", bbox_to_anchor=(1.01, 1.02))
    return fig
