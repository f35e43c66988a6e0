"""The first screen of the report: can I trust it, and which operator should I use?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..figures.style import percent, times
from ..tables import claims, crossover, readings, scaling

# A run that stays below either is a small one, and its page says so. The default configuration is above both.
ENOUGH_NEURONS, ENOUGH_ROUNDS = 4_000, 10


def first(
    table: pd.DataFrame,
    view: pd.DataFrame,
    jobs: pd.DataFrame,
    checks: pd.DataFrame,
    config: dict,
) -> dict:
    """What the two boxes at the top show, and what stands above them."""
    return {
        "small": small(table, config),
        "claims": claims.claims(table, view, jobs, checks),
        "families_first": families(view),
        "short": short(readings.fastest(view), view),
    }


def small(table: pd.DataFrame, config: dict) -> dict | None:
    """Of a run that measured little: the ``least`` and ``most`` neurons of a side, and how many ``rounds``."""
    timed = table[table["status"] == "ok"]
    if timed.empty:
        return None
    sides = timed[["n_pre", "n_post"]].max(axis=1)
    rounds = config.get("measure", {}).get("rounds", ENOUGH_ROUNDS)
    if sides.max() >= ENOUGH_NEURONS and rounds >= ENOUGH_ROUNDS:
        return None
    return {"least": int(sides.min()), "most": int(sides.max()), "rounds": rounds}


def families(view: pd.DataFrame) -> list[dict]:
    """One line per operator: who is fastest there, beside dense, up to which firing rate, and bytes."""
    cells = readings.fastest(view)
    turns = readings.crossovers(view)
    dense = scaling.speedups(view[view["method"] == readings.DENSE], ("operator",))
    dense = dense.set_index("operator")
    stored = readings.memory(
        view[(view["method"] == readings.OURS) & (view["storage"] != "procedural")]
    )
    lines = []
    for operator, group in cells.groupby("operator", sort=False):
        timed = group[group["winner"] != ""]
        if timed.empty:
            continue
        wins = timed["winner"].value_counts()
        names = [name for name in readings.methods(view) if name in wins]
        names.sort(key=lambda name: -wins[name])
        per = stored[(stored["operator"] == operator) & stored["n_synapses"].gt(0)]
        ratio = (per["bytes_stored"] / per["n_synapses"]).dropna()
        lines.append(
            {
                "operator": operator,
                "winners": [(name, int(wins[name])) for name in names],
                "timed": len(timed),
                **(_dense(dense.loc[operator]) if operator in dense.index else NOT_TIMED),
                "above": _above(turns[turns["operator"] == operator]),
                "bytes": _bytes(ratio),
            }
        )
    return lines


NOT_TIMED = {"dense": "not timed", "range": ""}


def _dense(row) -> dict[str, str]:
    """The geometric mean of the dense product's time over ours, and its ends where they differ."""
    ends = f"{times(row['least'])} to {times(row['most'])}" if row["n"] > 1 else ""
    return {"dense": times(row["geomean"]), "range": ends}


def short(cells: pd.DataFrame, view: pd.DataFrame) -> str:
    """The answer in two sentences, as much as a first screen takes."""
    timed = cells[cells["winner"] != ""]
    if timed.empty:
        return "Nothing was timed in this run, so there is no answer yet."
    if readings.methods(view[view["status"] == "ok"]) == [readings.OURS]:
        return "Only eventops was timed in this run, so nothing can be compared."
    ours = int((timed["winner"] == readings.OURS).sum())
    text = f"eventops is the fastest at {ours} of {len(timed)} points ({readings.how(view)})"
    if ours == len(timed):
        return text + "."
    worst = timed[timed["winner"] != readings.OURS].sort_values("lead", ascending=False).iloc[0]
    where = f"{worst['operator']}, {worst['label']}, {percent(worst['rate'])} active"
    return f"{text}; its worst loss is {times(worst['lead'])} to {worst['winner']} ({where})."


def _above(turns: pd.DataFrame) -> str:
    """The lowest firing rate from which the dense product was found to stay faster, over all sizes."""
    known = turns[turns["kind"] != crossover.UNKNOWN]
    if known.empty:
        return "not compared"
    reached = known[known["kind"] != crossover.NEVER]
    if reached.empty:
        return f"never, up to {percent(known['last'].min())}"
    return f"{percent(reached['rate'].min())} ({len(reached)} of {len(known)})"


def _bytes(ratio: pd.Series) -> str:
    if ratio.empty:
        return "–"
    low, high = ratio.min(), ratio.max()
    if np.isclose(low, high, rtol=0.02):
        return f"{high:.3g}"
    return f"{low:.2g} to {high:.3g}"
