"""The decision map: which operator to use at which firing rate, connection probability and size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from eventops.advice import cost

from ..sweep import predict
from ..tables import crossover, predictions
from .style import INK, MARKERS, PALETTE, PAPER, log_axis, panels, percent, si, tint, words

NAMES = {
    (cost.OURS, "sparse"): "EventFixedProb",
    (cost.OURS, "dense"): "EventLinear",
    (cost.OURS, "drawn"): "EventFixedProb, procedural",
    (cost.DENSE, "dense"): "the dense product",
}
COLORS = (0, 2, 4, 1, 3, 7, 5, 9, 6, 8)
RATES = np.geomspace(1e-3, 1, 49)
_NEVER = 99.0  # a log time that is never the least
PROBS = np.geomspace(1e-3, 1, 49)


def styles(kinds) -> dict:
    """Name, colour and marker of each (method, form); ours look the same in every run."""
    order = [*NAMES, *sorted(set(kinds) - set(NAMES))]
    return {
        kind: {
            "name": NAMES.get(kind, f"{kind[0]}, {kind[1]}"),
            "color": PALETTE[COLORS[i % len(COLORS)]],
            "marker": MARKERS[i % len(MARKERS)],
        }
        for i, kind in enumerate(order)
    }


def map(points: pd.DataFrame, machine: dict):  # noqa: A001 - the name of the figure
    """Fastest and smallest operator over firing rate, connection probability and population."""
    rows = predictions.rows_of(points)
    mode = predictions.mode_of(rows)
    fitted = cost.fit(rows, machine.get("caches") or {})
    curves = {key[:2]: curve for key, curve in fitted.items() if key[2] == mode}
    stored = predictions.stored_of(rows, mode)
    asked = {n: _asked(n, stored) for n in predictions.sizes_of(rows)}
    sizes = [n for n, work in asked.items() if _told(curves, work).any()]
    if not sizes:
        return words(
            "Too few points were timed to say which operator is the fastest where: that takes stored synapses, of two "
            "connection probabilities or more."
        )
    look = styles(curves)
    for form, tail in (("sparse", ""), ("drawn", ", procedural")):
        names = predictions.operators(rows, mode, form)
        if names and "EventFixedProb" not in names:
            look[cost.OURS, form]["name"] = ", ".join(names) + tail
    fig, axes = panels(len(sizes) + 1, columns=3, width=3.5, height=3.0)
    handles: dict = {}
    memory = machine.get("memory_bytes") or np.inf
    for i, (ax, n) in enumerate(zip(axes, sizes)):
        full = predictions.matrix_fits(n, memory)
        here = {kind: curve for kind, curve in curves.items() if full or kind[1] != "dense"}
        if here:
            _fastest(ax, asked[n], here, look, handles)
            _crossover(ax, asked[n], here, look, handles)
        _measured(ax, n, mode, rows, look, handles, stored)
        title = f"{n:,} → {n:,}: fastest"
        ax.set_title(title + ("" if full else "\n(a full matrix does not fit)"), loc="left")
        ax.set(
            xlabel="firing rate (active inputs)", ylabel="" if i % 3 else "connection probability"
        )
        log_axis(ax.xaxis, percent)
        log_axis(ax.yaxis, percent)
        ax.grid(False)
    _smallest(axes[len(sizes)], sizes, curves, look, handles)
    handles = dict(sorted(handles.items(), key=lambda item: isinstance(item[1], Line2D)))
    fig.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=3)
    how = "one step inside lax.scan" if mode == "scan" else "one call from Python"
    weights = "a weight for each synapse" if stored else "one weight for all synapses"
    fig.supxlabel(f"{how}, batch 1, float32, {weights}", fontsize=8, color=INK)
    return fig


def _asked(n: int, stored: float) -> cost.Work:
    return predictions.work(n, n, PROBS[:, None], RATES[None, :], stored=stored)


def _told(curves: dict, asked: cost.Work) -> np.ndarray:
    """Where a fastest one can be named: where the times of stored synapses are known, and of the dense product if timed."""
    ours = curves.get((cost.OURS, "sparse"))
    if ours is None:
        return np.zeros(np.shape(asked.n_pre), bool)
    dense = curves.get((cost.DENSE, "dense"), ours)
    return ~(ours.never_varied(asked) | dense.never_varied(asked)).any(axis=-1)


def _regions(ax, x, y, cost_of: dict, look: dict, handles: dict, told=True) -> None:
    """Colour where each kind is the least, and write its name into its largest region; nothing where it is not ``told``."""
    kinds: list = []
    for kind, value in cost_of.items():  # equal costs belong to the first of them
        if not any(np.allclose(value, cost_of[other]) for other in kinds):
            kinds.append(kind)
    values = np.stack([cost_of[kind] for kind in kinds])
    for i, kind in enumerate(kinds):
        others = np.delete(values, i, axis=0)
        lead = others.min(axis=0) - values[i] if len(others) else np.ones_like(values[i])
        lead = np.where(told, lead, -1.0)
        if np.mean(lead > 0) < 0.002:
            continue  # thinner than a line
        lead = np.clip(lead, -0.1, 0.1)  # neighbours meet half way, where one of them ends
        style = look[kind]
        ax.contourf(x, y, lead, levels=[0, np.inf], colors=[tint(style["color"])])
        if style["name"] not in handles:
            handles[style["name"]] = Patch(
                facecolor=tint(style["color"]), edgecolor=INK, linewidth=0.5
            )
        share = np.argwhere(lead > 0)
        if len(share) > 0.08 * lead.size:
            middle = share[np.argmin(((share - share.mean(axis=0)) ** 2).sum(axis=1))]
            ax.text(
                x[middle[1]],
                y[middle[0]],
                style["name"].replace(", ", ",\n"),
                ha="center",
                va="center",
                fontsize=7.5,
                color="#111111",
            )


def _fastest(ax, asked, curves, look, handles) -> None:
    times = {
        kind: np.where(curve.never_varied(asked).any(axis=-1), _NEVER, curve.predict(asked)[0])
        for kind, curve in curves.items()
    }
    told = _told(curves, asked)
    _regions(ax, RATES, PROBS, times, look, handles, told)
    order = list(times)
    first = np.argmin(np.stack([times[kind] for kind in order]), axis=0)
    far = np.stack([curves[kind].outside(asked).any(axis=-1) for kind in order])
    # Beyond what was measured of stored synapses, whoever else is the fastest is so beside a guess.
    ours = curves[cost.OURS, "sparse"].outside(asked).any(axis=-1)
    far = (np.take_along_axis(far, first[None], axis=0)[0] | ours) & told
    if far.any():
        ax.contourf(
            RATES, PROBS, far.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"]
        )
        handles["extrapolated"] = Patch(
            facecolor="#bbbbbb", edgecolor=PAPER, hatch="////", linewidth=0
        )


def _crossover(ax, asked, curves, look, handles) -> None:
    """From where on the dense product stays faster than stored synapses, with its 95 % band."""
    ours, dense = curves.get((cost.OURS, "sparse")), curves.get((cost.DENSE, "dense"))
    if ours is None or dense is None:
        return
    (a, sa), (b, sb) = ours.predict(asked), dense.predict(asked)
    untold = ours.never_varied(asked).any(axis=-1) | dense.never_varied(asked).any(axis=-1)
    if untold.all():
        return
    spread = cost.Z95 * np.hypot(sa, sb)
    lead, low, high = (
        np.where(untold, np.nan, crossover.stays(b - a + sign * spread)) for sign in (0, -1, 1)
    )
    far = ours.outside(asked).any(axis=-1) | dense.outside(asked).any(axis=-1)
    name = f"dense product stays faster than {look[cost.OURS, 'sparse']['name']} (95 % band)"
    if np.nanmin(low) < 0 < np.nanmax(high):
        # Between the crossovers of both ends of the interval, the smaller of the two distances is positive.
        ax.contourf(
            RATES, PROBS, np.minimum(-low, high), levels=[0, np.inf], colors=[INK], alpha=0.13
        )
    if np.nanmin(lead) < 0 < np.nanmax(lead):
        for outside, style in ((True, "--"), (False, "-")):
            shown = np.where(far == outside, lead, np.nan)
            ax.contour(
                RATES, PROBS, shown, levels=[0], colors=[INK], linestyles=[style], linewidths=1.8
            )
            label = name + (", extrapolated" if outside else "")
            handles[label] = Line2D([], [], color=INK, linestyle=style, linewidth=1.8)


def _measured(ax, n, mode, rows, look, handles, stored) -> None:
    """The points that were measured, marked by the one that was the fastest there."""
    here = [
        r
        for r in rows
        if float(r["n_pre"]) == float(r["n_post"]) == n
        and (r["mode"], float(r["batch"]), r["dtype"]) == (mode, 1.0, "float32")
        and float(r["rate"]) > 0
        and (r["conn_kind"] == "dense" or (r["weight"] != "homogeneous") == bool(stored))
    ]
    places: dict = {}
    for row in here:
        prob = round(float(row["n_synapses"]) / n**2, 3)
        places.setdefault((float(row["rate"]), prob), []).append(row)
    for (rate, prob), found in places.items():
        # A full matrix serves every probability.
        found = found + [r for r in places.get((rate, 1.0), []) if cost.form_of(r) == "dense"]
        best = min(found, key=lambda r: float(r["t_median_s"]))
        style = look[cost.key_of(best)[:2]]
        both = any(cost.key_of(r)[:2] == (cost.OURS, "dense") for r in found)
        ax.plot(
            rate,
            max(prob, PROBS[0]),
            marker=style["marker"],
            markerfacecolor=style["color"] if both else PAPER,
            markeredgecolor=PAPER if both else style["color"],
            markeredgewidth=0.8 if both else 1.8,
            markersize=7,
            clip_on=False,
            zorder=5,
        )
        handles[f"measured: {style['name']}" + ("" if both else ", EventLinear was not")] = Line2D(
            [],
            [],
            marker=style["marker"],
            markerfacecolor=style["color"] if both else PAPER,
            markeredgecolor=style["color"],
            linestyle="",
            markersize=6,
        )


def _smallest(ax, sizes, curves, look, handles) -> None:
    """Fewest bytes by population and probability, where each synapse has a weight; the rate does not matter."""
    n = np.geomspace(min(sizes) / 1.5, max(sizes) * 1.5, 31)
    held = {
        kind: np.log([[_bytes(kind, int(size), float(p)) for size in n] for p in PROBS])
        for kind in curves
        if kind[1] != "drawn"
    }
    _regions(ax, n, PROBS, held, look, handles)
    ax.set_title("fewest bytes, a weight per synapse", loc="left")
    ax.set(xlabel="population (neurons)", ylabel="")
    log_axis(ax.xaxis, si)
    log_axis(ax.yaxis, percent)
    ax.grid(False)


def _bytes(kind, n: int, prob: float) -> float:
    method, form = kind
    job = {"n_pre": n, "n_post": n, "dtype": "float32", "allow_self_conn": True}
    job |= {"conn": str(prob), "efferent_target": "post", "weight": "per-synapse"}
    dense = {"conn_kind": "dense", "storage": "dense"}
    job |= dense if form == "dense" else {"conn_kind": "prob", "storage": "sparse"}
    return predict.stored_bytes(job, method)
