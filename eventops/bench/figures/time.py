"""The figures with time in them: against firing rate, events, population, and the peers."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
import seaborn as sns

from ..tables import readings, scaling
from .style import (
    INK,
    legend,
    log_axis,
    measured_axis,
    method_style,
    panels,
    series_style,
    si,
    some,
    times,
    words,
)


def seconds(value) -> str:
    return si(value, "s")


def per(view: pd.DataFrame) -> str:
    """The label of an axis of times."""
    return "time per step" if readings.mode(view) == "scan" else "time per call"


def _panel_title(ax, rows: pd.DataFrame) -> None:
    label = textwrap.fill(rows["label"].iloc[0], 28)
    ax.set_title(f"{rows['operator'].iloc[0]}\n{label}", loc="left")


def _line(ax, x, y, low, high, style: dict):
    """A line with markers and its interval as a band; returns the handle for a legend."""
    sns.lineplot(x=x, y=y, ax=ax, errorbar=None, markeredgecolor="none", legend=False, **style)
    band = np.isfinite(low) & np.isfinite(high)
    ax.fill_between(x[band], low[band], high[band], color=style["color"], alpha=0.25, linewidth=0)
    return ax.lines[-1]


def time(view: pd.DataFrame, most: int | None = None):
    """Time against firing rate, one panel per configuration, one line per method."""
    ok = view[(view["status"] == "ok") & view["rate"].gt(0) & view["t_median_s"].gt(0)]
    if ok.empty:
        return words("No point at a positive firing rate was timed, so there is no time to show.")
    jobs = list(ok["job"].unique())
    shown = some(jobs, most) if most else some(jobs)
    columns = 3 if len(shown) <= 9 else 4
    fig, axes = panels(len(shown), columns, sharey=False)
    styles, handles = method_style(view["method"]), {}
    for i, (ax, job) in enumerate(zip(axes, shown, strict=True)):
        rows = ok[ok["job"] == job]
        for method in readings.methods(rows):
            g = rows[rows["method"] == method].sort_values("rate")
            style = styles[method] | {"linewidth": 2.2 if method == readings.OURS else 1.3}
            x, y, low, high = (g[c].to_numpy() for c in ("rate", "t_median_s", "t_lo_s", "t_hi_s"))
            handles[method] = _line(ax, x, y, low, high, style)
        _panel_title(ax, rows)
        measured_axis(ax, rows["rate"])
        log_axis(ax.yaxis, seconds)
        ax.set(xlabel="firing rate (active inputs)", ylabel="")
        if i % columns == 0:
            ax.set_ylabel(per(view))
    legend(fig, {m: handles[m] for m in readings.methods(ok) if m in handles})
    _say_left_out(fig, len(jobs) - len(shown))
    return fig


def _say_left_out(fig, n: int) -> None:
    if n > 0:
        fig.supxlabel(f"{n} more configurations are in the table", fontsize=8, color=INK)


def _per_operator(groups: list, height: float = 3.0):
    """One panel per operator, each with room for its own legend on the right."""
    fig, axes = panels(len(groups), columns=1, width=8.6, height=height)
    return fig, axes


def _side_legend(ax, handles: dict, title: str) -> None:
    ax.legend(
        handles.values(),
        handles.keys(),
        title=title,
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
    )


def slope_text(row) -> str:
    """``slope 0.97 (0.90 to 1.04)``; without an interval when two points leave none."""
    if not np.isfinite(row["slope"]):
        return "one rate, no slope"
    text = f"slope {row['slope']:.2f}"
    return text + (f" ({row['low']:.2f} to {row['high']:.2f})" if np.isfinite(row["low"]) else "")


def events(view: pd.DataFrame):
    """Our time against the number of active inputs, with the fitted slope of every curve."""
    fits = scaling.slopes(view)
    if fits.empty:
        return words("No eventops point with active inputs was timed, so no slope can be fitted.")
    groups = list(fits.groupby("operator", sort=False))
    tallest = max(len(g) for _, g in groups)
    fig, axes = _per_operator(groups, height=max(2.8, 0.2 * min(tallest, 24) + 1.0))
    ours = view[(view["method"] == readings.OURS) & (view["status"] == "ok") & view["events"].gt(0)]
    for ax, (operator, fitted) in zip(axes, groups, strict=True):
        handles = {}
        for i, fit in enumerate(some(list(fitted.to_dict("records")), 24)):
            g = ours[ours["job"] == fit["job"]].sort_values("events")
            x, y, low, high = (
                g[c].to_numpy() for c in ("events", "t_median_s", "t_lo_s", "t_hi_s")
            )
            name = f"{fit['label']}: {slope_text(fit)}"
            if np.isfinite(fit["last"]) and fit["n"] > 2:
                name += f", {fit['last']:.2f} at the top"
            handles[name] = _line(ax, x, y, low, high, series_style(i))
        log_axis(ax.xaxis, si)
        log_axis(ax.yaxis, seconds)
        ax.set_title(operator, loc="left")
        ax.set(xlabel="active inputs", ylabel=per(view))
        handles["slope 1, for the eye"] = _slope_one(ax)
        _side_legend(ax, handles, "log-log slope (95 % interval)")
    return fig


def _slope_one(ax):
    """A thin guide of slope 1 through the middle of the panel."""
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    x = np.array([x0, x1])
    y = np.sqrt(y0 * y1) * x / np.sqrt(x0 * x1)
    style = {
        "color": INK,
        "linewidth": 0.8,
        "linestyle": ":",
        "scalex": False,
        "scaley": False,
        "zorder": 0,
    }
    return ax.plot(x, y, **style)[0]


def population(view: pd.DataFrame):
    """Time at one number of synaptic events against the size of the population."""
    table = scaling.population(view)
    if table.empty:
        return words(
            "Scaling with population needs one operator at two sizes that share a number of "
            "synaptic events; this sweep has none."
        )
    groups = list(table.groupby(["operator", "variant"], sort=False))
    fig, axes = _per_operator(groups)
    fits = scaling.population_slopes(table).set_index(["operator", "variant", "method"])
    styles = method_style(table["method"])
    operators = [key[0] for key, _ in groups]
    for ax, (key, rows) in zip(axes, groups, strict=True):
        handles = {}
        for method in readings.methods(rows):
            g = rows[rows["method"] == method].sort_values("n")
            width = 2.2 if method == readings.OURS else 1.3
            # Jobs of one size differ in connectivity: every point is shown, the line is their mean.
            style = styles[method]
            mean = g.groupby("n")["t"].agg(lambda t: np.exp(np.log(t).mean()))
            sns.scatterplot(
                x=g["n"],
                y=g["t"],
                ax=ax,
                legend=False,
                linewidth=0,
                color=style["color"],
                marker=style["marker"],
            )
            (line,) = ax.plot(mean.index, mean.to_numpy(), linewidth=width, **style)
            name = method
            if (*key, method) in fits.index:
                name += f": {slope_text(fits.loc[(*key, method)])}"
            handles[name] = line
        measured_axis(ax, rows["n"], si)
        log_axis(ax.yaxis, seconds)
        named = operators.count(key[0]) > 1 or "procedural" in key[1]
        title = key[0] + (f", {key[1]}" if named else "")
        ax.set_title(f"{title}: at {si(rows['level'].iloc[0])} synaptic events", loc="left")
        ax.set(xlabel="population (pre neurons)", ylabel=per(view))
        _side_legend(ax, handles, "log-log slope (95 % interval)")
    return fig


def speedup(table: pd.DataFrame, view: pd.DataFrame):
    """Peer's time over ours, point by point; below the line at 1 the peer is faster."""
    jobs = list(view["job"].unique())
    batch = view["batch"].min()
    rows = scaling.compared(table)
    rows = rows[rows["job"].isin(jobs) & rows["rate"].gt(0) & (rows["batch"] == batch)]
    if rows.empty:
        return words("No other method was timed beside eventops, so there is no speed-up to show.")
    jobs = [j for j in jobs if j in set(rows["job"])]
    shown = some(jobs)
    columns = 3 if len(shown) <= 9 else 4
    fig, axes = panels(len(shown), columns)
    styles, handles = method_style(rows["method"]), {}
    for i, (ax, job) in enumerate(zip(axes, shown, strict=True)):
        here = rows[rows["job"] == job]
        for method in readings.methods(here):
            for mode, g in here[here["method"] == method].groupby("mode"):
                g = g.sort_values("rate")
                hollow = {} if mode == "scan" else {"markerfacecolor": "none", "linewidth": 0.9}
                y = g["ratio"].to_numpy()
                error = np.abs([y - g["ratio_lo"], g["ratio_hi"] - y])
                sns.lineplot(x=g["rate"], y=y, ax=ax, errorbar=None, legend=False, **styles[method])
                ax.lines[-1].set(markeredgecolor=styles[method]["color"], **hollow)
                handles.setdefault(f"{method} ({mode})", ax.lines[-1])
                ax.errorbar(
                    g["rate"], y, error, fmt="none", ecolor=styles[method]["color"], capsize=2
                )
        measured_axis(ax, here["rate"])
        log_axis(ax.yaxis, times)
        low, high = ax.get_ylim()
        low, high = min(low, 0.8), max(high, 1.25)
        ax.axhspan(low, 1, color="#d55e00", alpha=0.10, linewidth=0, zorder=0)
        ax.axhline(1, color=INK, linewidth=1.2)
        ax.set_ylim(low, high)
        _panel_title(ax, here)
        ax.set(xlabel="firing rate (active inputs)", ylabel="")
        if i % columns == 0:
            ax.set_ylabel("time of the other / ours")
    legend(fig, dict(sorted(handles.items(), key=lambda item: "(call)" in item[0])))
    _say_left_out(fig, len(jobs) - len(shown))
    return fig
