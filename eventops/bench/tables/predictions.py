"""Which operator is fastest where: predicted points, crossovers, and how often the prediction is right.

The predictions are those of `eventops.recommend` (`eventops.advice.cost`). Here they are put to the test on the table
that they come from, and drawn out over firing rates and connection probabilities.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from eventops.advice import cost
from eventops.bench.tables import crossover

NEAR = 1.15  # a predicted winner may be this much slower than the measured one
ENOUGH = 0.9
CONFIGURATION = ["n_pre", "n_post", "conn_kind", "conn", "dtype", "weight"]
RATES = np.geomspace(1e-4, 1, 161)
_AT = ["rate", "batch", "mode"]
_PLACE = ["n_pre", "n_post", "dtype", *_AT, "conn_kind", "conn", "weight"]
PREDICTED = ["job", *CONFIGURATION, *_AT, "method", "form", "measured_s", "predicted_s"]
PREDICTED += ["spread", "extrapolated"]
CONTESTS = [*_PLACE, "contestants", "fastest", "fastest_s", "predicted", "predicted_took_s"]
CONTESTS += ["loss", "near", "extrapolated", "first_of_ours_near"]


def rows_of(points: pd.DataFrame) -> list[dict]:
    """The rows that a curve can be fitted to, in the form that `eventops.advice.cost` reads; of one device.

    Where several devices were measured it is the GPU, for which one decides anew.
    """
    ok = points[points["status"] == "ok"]
    ok = ok[ok["device"] == ("gpu" if (ok["device"] == "gpu").any() else "cpu")]
    return cost.usable(ok.astype(object).where(ok.notna(), "").to_dict("records"))


def out_of_fold(rows: list[dict], caches: dict) -> pd.DataFrame:
    """Each measured point beside its prediction by curves that never saw its configuration.

    A configuration is one size, connectivity, dtype and kind of weight, with all its rates, batches, methods and
    forms. Points of a method that was measured at no other configuration are left out.
    """
    configurations = [tuple(str(row[name]) for name in CONFIGURATION) for row in rows]
    keys = [cost.key_of(row) for row in rows]
    found = []
    for held in dict.fromkeys(configurations):
        touched = {k for k, c in zip(keys, configurations, strict=True) if c == held}
        known = [
            row
            for row, k, c in zip(rows, keys, configurations, strict=True)
            if c != held and k in touched
        ]
        curves = cost.fit(known, caches)
        for row, key, configuration in zip(rows, keys, configurations, strict=True):
            if configuration == held and key in curves:
                work = cost.work_of([row])
                mean, spread = (float(x[0]) for x in curves[key].predict(work))
                found.append(
                    {name: row[name] for name in ("job", *CONFIGURATION, *_AT)}
                    | {"method": key[0], "form": key[1], "measured_s": float(row["t_median_s"])}
                    | {"predicted_s": math.exp(mean), "spread": spread}
                    | {"extrapolated": bool(curves[key].outside(work).any())}
                )
    return pd.DataFrame(found, columns=PREDICTED)


def contests(predicted: pd.DataFrame) -> pd.DataFrame:
    """For every measured point with a choice: who was predicted to win, who did, and what the difference costs.

    Contestants are all methods and forms measured there, and those that hold a dense matrix of the same size.
    """
    rows = []
    where = _PLACE[:6]
    for place, here in predicted.groupby(where, sort=False):
        dense = here[here["form"] == "dense"]
        for law, own in here.groupby(["conn_kind", "conn", "weight"], sort=False):
            field = pd.concat([own, dense]).groupby(["method", "form"], sort=False)
            field = field[["measured_s", "predicted_s", "extrapolated"]].first().reset_index()
            if len(field) < 2:
                continue
            best = field.loc[field["measured_s"].idxmin()]
            pick = field.loc[field["predicted_s"].idxmin()]
            ours = field[field["method"] == cost.OURS]["measured_s"]
            rows.append(
                dict(zip(_PLACE, [*place, *law], strict=True))
                | {"contestants": len(field), "fastest": f"{best.method} {best.form}"}
                | {"fastest_s": best.measured_s, "predicted": f"{pick.method} {pick.form}"}
                | {"predicted_took_s": pick.measured_s}
                | {"loss": pick.measured_s / best.measured_s}
                | {"near": pick.measured_s <= NEAR * best.measured_s}
                | {"extrapolated": bool(field["extrapolated"].any())}
                | {"first_of_ours_near": len(ours) > 0 and ours.iloc[0] <= NEAR * best.measured_s}
            )
    return pd.DataFrame(rows, columns=CONTESTS)


def score(predicted: pd.DataFrame, table: pd.DataFrame) -> dict:
    """The hold-out test in numbers.

    Returns
    -------
    dict
        ``n`` contests, of which ``near`` have a predicted winner within `NEAR` of the measured one and ``right`` have the
        measured one itself; ``naive``, the same for whoever always takes eventops in the operator's own form;
        ``error``, the median factor between predicted and measured times; ``covered``, the share of measured times
        inside their 95 % intervals; ``points``, of how many; ``passed``.
    """
    if table.empty or predicted.empty:
        return {"n": 0, "near": 0, "right": 0, "naive": 0, "points": len(predicted)} | {
            "error": math.nan,
            "covered": math.nan,
            "passed": False,
        }
    miss = np.abs(np.log(predicted["predicted_s"] / predicted["measured_s"]))
    return {
        "n": len(table),
        "near": int(table["near"].sum()),
        "right": int((table["fastest"] == table["predicted"]).sum()),
        "naive": int(table["first_of_ours_near"].sum()),
        "points": len(predicted),
        "error": float(np.exp(miss.median())),
        "covered": float((miss <= cost.Z95 * cost.any_hour(predicted["spread"])).mean()),
        "passed": bool(table["near"].mean() >= ENOUGH),
    }


def work(n_pre, n_post, prob, rate, batch=1, item=4.0, stored=0.0) -> cost.Work:
    """What products with these sizes, connection probabilities and rates ask for; broadcast."""
    arrays = np.broadcast_arrays(
        *(np.asarray(x, float) for x in (n_pre, n_post, prob, rate, batch, item, stored))
    )
    n_pre, n_post, prob, rate, batch, item, stored = arrays
    return cost.Work(n_pre, n_post, prob * n_pre * n_post, rate * n_pre, batch, item, stored)


def crossing(ours: cost.Curve, other: cost.Curve, n_pre, n_post, prob, **more) -> dict:
    """The firing rate from which ``other`` is predicted to stay faster than ``ours``: a row of `crossover`.

    ``extrapolated`` says whether it lies beyond what was measured of either. The interval is that of the two methods in
    one run.
    """
    asked = work(n_pre, n_post, prob, RATES, **more)
    (a, sa), (b, sb) = ours.predict(asked), other.predict(asked)
    lead, spread = b - a, cost.Z95 * np.hypot(sa, sb)
    found = crossover.crossover(RATES, lead, lead - spread, lead + spread)
    at = work(n_pre, n_post, prob, found["rate"] if np.isfinite(found["rate"]) else 1.0, **more)
    return found | {"extrapolated": bool(ours.outside(at).any() or other.outside(at).any())}


def sizes_of(rows: list[dict], most: int = 5) -> list[int]:
    """Square sizes that were measured, at most ``most`` of them, spread evenly."""
    sizes = sorted(
        {int(float(r["n_pre"])) for r in rows if float(r["n_pre"]) == float(r["n_post"])}
    )
    if len(sizes) <= most:
        return sizes
    return [sizes[round(i * (len(sizes) - 1) / (most - 1))] for i in range(most)]


def mode_of(rows: list[dict]) -> str:
    """A model runs its steps in a scan; where none was measured, calls from Python."""
    return "scan" if any(r["mode"] == "scan" for r in rows) else "call"


def stored_of(rows: list[dict], mode: str) -> float:
    """Bytes of weight with each synapse that maps and crossovers are drawn for: none where one weight for all was measured."""
    ours = [r for r in rows if cost.key_of(r) == (cost.OURS, "sparse", mode)]
    return 4.0 if ours and all(r["weight"] != "homogeneous" for r in ours) else 0.0


CROSSOVERS = ["n", "prob", "mode", "than", "faster", "kind", "rate", "low", "high", "extrapolated"]
PROBABILITIES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def matrix_fits(n: int, memory_bytes: float, item: int = 4) -> bool:
    """Whether a full matrix of n by n weights fits the machine."""
    return n * n * item <= memory_bytes


def operators(rows: list[dict], mode: str, form: str = "sparse") -> list[str]:
    """Our operators that were measured in a form of the matrix; their times make one curve."""
    return sorted({r["operator"] for r in rows if cost.key_of(r) == (cost.OURS, form, mode)})


def crossovers(
    curves: dict,
    sizes: list[int],
    mode: str,
    memory_bytes: float = math.inf,
    than: str = "",
    **more,
) -> pd.DataFrame:
    """Above which firing rate a full matrix is faster than stored synapses (``than``: of which operators).

    One row for each size, connection probability and ``faster``: the dense product, or `EventLinear` on a full matrix; none
    for what was not measured. The outcomes are those of `crossover`; ``unknown`` is also what `eventops.recommend` has no answer to.
    """
    rows = []
    ours = curves.get((cost.OURS, "sparse", mode))
    for (method, form), name in {
        (cost.DENSE, "dense"): "dense product",
        (cost.OURS, "dense"): "EventLinear",
    }.items():
        other = curves.get((method, form, mode))
        if ours is None or other is None:
            continue
        for n in sizes:
            for prob in PROBABILITIES:
                row = {"n": n, "prob": prob, "mode": mode, "than": than, "faster": name}
                full = matrix_fits(n, memory_bytes)
                rows.append(
                    row
                    | (_turn(ours, other, n, prob, **more) if full else {"kind": crossover.NO_ROOM})
                )
    return pd.DataFrame(rows, columns=CROSSOVERS)


def _turn(ours: cost.Curve, other: cost.Curve, n: int, prob: float, **more) -> dict:
    """The crossover at one size and probability, and of which kind it is."""
    asked = work(n, n, prob, 1.0, **more)
    if ours.never_varied(asked).any() or other.never_varied(asked).any():
        return {"kind": crossover.UNKNOWN}
    return crossing(ours, other, n, n, prob, **more)


def tables(points: pd.DataFrame, machine: dict) -> dict[str, pd.DataFrame]:
    """``holdout``, each measured time beside its prediction; ``contests`` and ``crossovers`` of a run."""
    rows, caches = rows_of(points), machine.get("caches") or {}
    predicted = out_of_fold(rows, caches)
    memory = machine.get("memory_bytes") or math.inf
    mode = mode_of(rows)
    than = ", ".join(operators(rows, mode))
    more = {"than": than, "stored": stored_of(rows, mode)}
    crossed = crossovers(cost.fit(rows, caches), sizes_of(rows), mode, memory, **more)
    return {"holdout": predicted, "contests": contests(predicted), "crossovers": crossed}


def summary(frames: dict[str, pd.DataFrame]) -> dict:
    """What the report says of `tables`: the score of the hold-out test, and the crossovers row by row.

    ``untold`` says of which sizes too little was measured, and ``lowest`` is the rate that stands for always.
    """
    crossed = frames["crossovers"]
    unknown, whole = crossed["kind"] == crossover.UNKNOWN, len(PROBABILITIES)
    untold = crossed[unknown].groupby(["faster", "n"], sort=False).size()
    return {
        "score": score(frames["holdout"], frames["contests"]),
        "crossovers": crossed[~unknown].to_dict("records"),
        "than": crossed["than"].iloc[0] if len(crossed) else "",
        "untold": [
            f"{name} at {n:,} neurons"
            + (f" ({many} of {whole} connection probabilities)" if many < whole else "")
            for (name, n), many in untold.items()
        ],
        "lowest": RATES[0],
    }
