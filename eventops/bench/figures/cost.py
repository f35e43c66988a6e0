"""The map of answers, and what the operators cost besides time: bytes, bandwidth, building."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import ListedColormap

from ..tables import crossover, readings
from .style import (
    INK,
    PALETTE,
    PAPER,
    legend,
    log_axis,
    method_style,
    panels,
    percent,
    si,
    some,
    times,
    tint,
    words,
)

CELL_INK = "#111111"  # text on a tinted cell: dark in either theme, so not INK


def answer(view: pd.DataFrame):
    """Firing rate by configuration: the fastest method, its lead, and the smallest beside it."""
    cells = readings.fastest(view)
    cells = cells[cells["rate"].notna()]
    if cells.empty or not (cells["winner"] != "").any():
        return words("Nothing was timed, so no method can be called the fastest.")
    small = readings.smallest(view)
    rates = sorted(cells["rate"].unique())
    jobs = some(list(cells["job"].unique()), 40)
    names = readings.methods(view)
    styles = method_style(names)
    code = {m: i for i, m in enumerate(names)}
    turn = readings.crossovers(view).set_index("job")
    grid = np.full((len(jobs), len(rates) + 2), np.nan)
    text = np.full(grid.shape, "", dtype=object)
    for cell in cells[cells["job"].isin(jobs)].itertuples():
        at = jobs.index(cell.job), rates.index(cell.rate)
        if cell.winner and cell.status != "failed":
            grid[at] = code[cell.winner]
            lead = "" if not np.isfinite(cell.lead) else times(cell.lead)
            text[at] = f"{cell.winner}\n" + (lead if cell.clear or not lead else "≈ " + lead)
        else:
            text[at] = cell.status
    for i, job in enumerate(jobs):
        text[i, -1] = crossover.text(turn.loc[job]).replace(", ", ",\n").replace(" (", "\n(")
        if job in small:
            winners, least = small[job]
            grid[i, -2] = code[winners[0]]
            more = f" + {len(winners) - 1}" if len(winners) > 1 else ""
            text[i, -2] = f"{winners[0]}{more}\n{si(least, 'B')}"
    first = cells.drop_duplicates("job").set_index("job")
    fig, (ax,) = panels(1, width=3.0 + 1.06 * grid.shape[1], height=0.42 * len(jobs) + 0.9)
    sns.heatmap(
        grid,
        ax=ax,
        cbar=False,
        linewidths=1.2,
        linecolor=PAPER,
        cmap=ListedColormap([tint(styles[m]["color"]) for m in names]),
        vmin=-0.5,
        vmax=len(names) - 0.5,
        xticklabels=[*map(percent, rates), "fewest bytes", "dense stays\nfaster from"],
        yticklabels=[f"{first.loc[j, 'operator']}  {first.loc[j, 'label']}" for j in jobs],
    )
    for (i, j), value in np.ndenumerate(text):
        color = CELL_INK if np.isfinite(grid[i, j]) else PALETTE[3] if value == "failed" else INK
        ax.text(j + 0.5, i + 0.5, value, ha="center", va="center", fontsize=7.5, color=color)
    ax.axvline(len(rates), color=INK, linewidth=2)
    operators = [first.loc[j, "operator"] for j in jobs]
    for i in range(1, len(jobs)):
        if operators[i] != operators[i - 1]:
            ax.axhline(i, color=INK, linewidth=1)
    ax.grid(False)
    ax.tick_params(length=0)
    ax.tick_params(axis="x", labelrotation=0)
    ax.tick_params(axis="y", labelrotation=0)
    ax.set_title("fastest method and its lead over the next, by firing rate", loc="left")
    return fig


def memory(view: pd.DataFrame):
    """Bytes stored against synapses, measured points over the predicted line."""
    table = readings.memory(view)
    table = table[table["n_synapses"].gt(0)]
    stored = table[table["bytes_stored"].gt(0)]
    if stored.empty:
        return words("No job recorded the bytes that it stores, so there is no memory to show.")
    operators = list(stored["operator"].unique())
    fig, axes = panels(len(operators), columns=3, width=3.7, height=3.2)
    styles, handles = method_style(table["method"]), {}
    for ax, operator in zip(axes, operators, strict=True):
        here = table[table["operator"] == operator]
        ours = here[(here["method"] == readings.OURS) & here["bytes_predicted"].gt(0)]
        for storage, line in ours.sort_values("n_synapses").groupby("storage", sort=False):
            drawn = storage == "procedural"
            (handles["eventops, predicted" + (", procedural" if drawn else "")],) = ax.plot(
                line["n_synapses"],
                line["bytes_predicted"],
                color=styles[readings.OURS]["color"],
                linestyle="--" if drawn else "-",
            )
        for method in readings.methods(here):
            g = here[here["method"] == method]
            done, not_run = g[g["bytes_stored"].gt(0)], g[~g["bytes_stored"].gt(0)]
            look = {"color": styles[method]["color"], "marker": styles[method]["marker"]}
            size = 75 if method == readings.OURS else 20  # ours lies under the others, so show it
            if len(done):
                handles[f"{method}, stored"] = ax.scatter(
                    done["n_synapses"], done["bytes_stored"], s=size, linewidth=0, zorder=3, **look
                )
            if len(not_run) and method != readings.OURS:
                look = {"edgecolor": look["color"], "facecolor": "none", "marker": look["marker"]}
                handles[f"{method}, not run"] = ax.scatter(
                    not_run["n_synapses"], not_run["bytes_predicted"], s=24, zorder=2, **look
                )
        log_axis(ax.xaxis, si)
        log_axis(ax.yaxis, lambda v: si(v, "B"))
        ax.set_title(operator, loc="left")
        ax.set(xlabel="synapses", ylabel="bytes" if ax is axes[0] else "")
    legend(fig, handles)
    return fig


def roofline(view: pd.DataFrame):
    """Bandwidth that our kernels reach, over that of a plain read of memory in the same rounds."""
    ok = view[(view["method"] == readings.OURS) & (view["status"] == "ok")]
    ok = ok[ok["bytes_moved"].gt(0) & ok["bandwidth_share"].gt(0)]
    if ok.empty:
        return words(
            "The roofline needs the bytes that each call must move and the read bandwidth measured "
            "beside it; this run recorded no such pair."
        )
    operators = list(ok["operator"].unique())
    fig, axes = panels(len(operators), columns=3, width=3.7, height=3.0, sharey=True)
    handles = {}
    for i, (ax, operator) in enumerate(zip(axes, operators, strict=True)):
        g = ok[ok["operator"] == operator]
        style = {k: v for k, v in method_style([])[readings.OURS].items() if k == "color"}
        sns.scatterplot(
            x=g["bytes_moved"],
            y=100 * g["bandwidth_share"],
            ax=ax,
            legend=False,
            s=30,
            marker="osD^vPX"[i % 7],
            **style,
        )
        handles["a plain read of memory"] = ax.axhline(100, color=INK, linewidth=1.6)
        log_axis(ax.xaxis, lambda v: si(v, "B"))
        ax.set_title(operator, loc="left")
        ax.set(xlabel="bytes the call must move", ylabel="")
    axes[0].set_ylabel("bytes moved per second, %")
    share = 100 * ok["bandwidth_share"]
    axes[0].set_ylim(min(share.min(), 100) / 2, max(share.max(), 100) * 2)
    log_axis(axes[0].yaxis, lambda v: f"{v:g}")
    legend(fig, handles)
    return fig


BUILD = {
    "construct_s": "construct",
    "compile_s": "lower and compile",
    "first_call_s": "first call",
}


def building(view: pd.DataFrame) -> pd.DataFrame:
    """One row per job and method: seconds to construct, to lower and compile, of the first call."""
    ok = view[view["status"] == "ok"].copy()
    ok["compile_s"] = ok[["lower_s", "compile_s"]].sum(axis=1, min_count=1)
    table = ok.groupby(["operator", "job", "label", "method"], sort=False)[list(BUILD)].max()
    return table.reset_index().dropna(subset=list(BUILD), how="all")


def build(view: pd.DataFrame):
    """Seconds that a user waits before the first result: construct, compile, first call."""
    table = building(view)
    if table.empty:
        return words("No job recorded how long it took to build and to compile.")
    jobs = some(list(table["job"].unique()), 40)
    order = readings.methods(table)
    fig, axes = panels(3, columns=3, width=4.0, height=0.3 * len(jobs) + 1.1, sharey=True)
    first = table.drop_duplicates("job").set_index("job")
    styles, handles = method_style(table["method"]), {}
    for ax, (column, title) in zip(axes, BUILD.items(), strict=True):
        for method in order:
            g = table[(table["method"] == method) & table[column].gt(0) & table["job"].isin(jobs)]
            if g.empty:
                continue
            style = styles[method]
            aside = 0.6 * ((order.index(method) + 0.5) / len(order) - 0.5)  # equal times stay apart
            y = np.array([jobs.index(j) for j in g["job"]]) + aside
            sns.scatterplot(
                x=g[column].to_numpy(),
                y=y,
                ax=ax,
                s=26,
                linewidth=0,
                legend=False,
                color=style["color"],
                marker=style["marker"],
            )
            handles[method] = ax.collections[-1]
        if ax.collections:
            log_axis(ax.xaxis, lambda v: si(v, "s"))
        else:
            ax.text(0.5, 0.5, "not recorded", transform=ax.transAxes, ha="center")
            ax.set_xticks([])
        ax.set(title=title, xlabel="seconds, log scale", ylabel="")
    axes[0].set_yticks(
        range(len(jobs)), [f"{first.loc[j, 'operator']}  {first.loc[j, 'label']}" for j in jobs]
    )
    axes[0].set_ylim(len(jobs) - 0.5, -0.5)
    legend(fig, {m: handles[m] for m in readings.methods(table) if m in handles})
    return fig
