"""The CPU and the GPU side by side."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.lines import Line2D

from ..tables import crossover, devices
from .style import INK, PALETTE, legend, log_axis, measured_axis, panels, si, some
from .style import words as in_words
from .time import per

_STYLES = {
    "cpu": {"color": PALETTE[0], "marker": "o", "linestyle": "-"},
    "gpu": {"color": PALETTE[1], "marker": "s", "linestyle": (0, (5, 2))},
}


def both_devices(view: pd.DataFrame):
    """Time against firing rate on both, a panel for each configuration, and from where on the GPU stays faster."""
    both = devices.compared(view)
    both = both[both["rate"].gt(0)]
    if both.empty:
        return in_words(
            "No configuration was timed on a CPU and on a GPU, so there is nothing to compare."
        )
    turns = devices.crossovers(both).to_dict("records")
    shown = some(turns)
    columns = 3 if len(shown) <= 9 else 4
    fig, axes = panels(len(shown), columns, sharey=False)
    for i, (ax, turn) in enumerate(zip(axes, shown, strict=True)):
        same = (both["operator"] == turn["operator"]) & (both["label"] == turn["label"])
        rows = both[same].sort_values("rate")
        for device, style in _STYLES.items():
            x, y = rows["rate"].to_numpy(), rows[f"t_{device}"].to_numpy()
            ax.plot(x, y, markeredgecolor="none", linewidth=1.6, **style)
            low, high = (rows[f"{end}_{device}"].to_numpy() for end in ("lo", "hi"))
            ax.fill_between(x, low, high, color=style["color"], alpha=0.25, linewidth=0)
        if turn["kind"] == crossover.AT:
            ax.axvline(turn["rate"], color=INK, linewidth=0.9, linestyle=":")
        says = f"GPU stays faster from: {crossover.text(turn)}"
        label = textwrap.fill(turn["label"], 28)
        ax.set_title(f"{turn['operator']}\n{label}\n{says}", loc="left")
        measured_axis(ax, rows["rate"])
        log_axis(ax.yaxis, lambda value: si(value, "s"))
        ax.set(xlabel="firing rate (active inputs)", ylabel=per(view) if i % columns == 0 else "")
    handles = {name.upper(): Line2D([], [], **style) for name, style in _STYLES.items()}
    handles["crossover"] = Line2D([], [], color=INK, linewidth=0.9, linestyle=":")
    legend(fig, handles)
    return fig
