"""One definition of a crossover, and one vocabulary: measured, predicted, of devices, in figures and on the page."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import support.bench_synthetic as made

from eventops.advice import cost
from eventops.bench.figures import map as figures_map
from eventops.bench.tables import crossover, devices, predictions, readings

RATE = np.array([0.001, 0.01, 0.1, 1.0])
# Time of the other over ours at each rate, the outcome, and between which rates it lies.
CURVES = {
    "once": ([8.0, 2.0, 0.5, 0.1], "at", (0.01, 0.1)),
    "twice": ([4.0, 0.5, 2.0, 0.25], "at", (0.1, 1.0)),
    "lost and won again": ([4.0, 0.5, 0.5, 2.0], "never", None),
    "a dip at the start": ([0.5, 2.0, 3.0, 9.0], "never", None),
    "won at the start only": ([0.5, 2.0, 0.5, 0.4], "at", (0.01, 0.1)),
    "all lost": ([0.9, 0.5, 0.6, 0.1], "always", None),
    "all won": ([9.0, 2.0, 8.0, 1.5], "never", None),
    "level is not lost": ([2.0, 1.0, 1.0, 1.0], "never", None),
    "level, then lost": ([2.0, 1.0, 1.0, 0.5], "at", (0.1, 0.1)),
}


def measured(ratio) -> dict:
    table = made.points(
        jobs=made.JOBS[:1], rates=RATE, peers=("jnp-dense",), modes=("call",), batches=(1,)
    )
    dense = table["method"] == "jnp-dense"
    for name, factor in (("ratio", 1), ("ratio_lo", 0.999), ("ratio_hi", 1.001)):
        table.loc[dense, name] = np.array(ratio) * factor
    return readings.crossovers(readings.headline(readings.prepare(table))).iloc[0].to_dict()


class Fixed:
    """A curve that is known at every rate."""

    def __init__(self, seconds):
        self.seconds = seconds

    def predict(self, work):
        rate = work.events / work.n_pre
        log_t = np.interp(np.log(rate), np.log(RATE), np.log(self.seconds))
        return log_t, np.full(np.shape(rate), 1e-4)

    def outside(self, work):
        return np.zeros((*np.shape(work.n_pre), len(cost.AXES)), bool)

    never_varied = outside


def predicted(ratio) -> dict:
    curves = {
        ("eventops", "sparse", "scan"): Fixed(np.ones(4)),
        ("jnp-dense", "dense", "scan"): Fixed(np.array(ratio)),
    }
    return predictions.crossovers(curves, [1_000], "scan").iloc[0].to_dict()


def of_devices(ratio) -> dict:
    """The GPU is what the dense product is in the others."""
    table = pd.DataFrame({"rate": RATE, "ratio": 1 / np.array(ratio), "mode": "call", "batch": 1})
    both = table.assign(ratio_lo=table["ratio"] / 1.001, ratio_hi=table["ratio"] * 1.001, label="x")
    both = both.reindex(columns=devices.COLUMNS).assign(operator="EventLinear")
    return devices.crossovers(both).iloc[0].to_dict()


@pytest.mark.parametrize("look", [measured, predicted, of_devices])
@pytest.mark.parametrize("curve", CURVES)
def test_all_agree_on_every_curve(curve, look):
    ratio, kind, between = CURVES[curve]
    found = look(ratio)
    assert found["kind"] == kind
    if kind == "at":
        low, high = between
        assert low * 0.97 <= found["rate"] <= high * 1.03
        x = np.log(ratio)
        i = list(RATE).index(low)
        if low < high:  # on a straight line in log-log
            exact = RATE[i] * 10 ** (x[i] / (x[i] - x[i + 1]))
            assert found["rate"] == pytest.approx(exact, rel=0.03)
            assert found["low"] <= found["rate"] <= found["high"]
    if kind == "never":
        assert math.isnan(found["rate"])
        assert crossover.text(found | {"last": 1.0}) == "never, up to 100 %"
    if kind == "always":
        assert crossover.text(found | {"first": 0.001}) == "always, from 0.1 %"


@pytest.mark.parametrize("curve", CURVES)
def test_the_line_of_the_map_is_the_same_crossover(curve):
    ratio, kind, _ = CURVES[curve]
    lead = np.interp(np.log(figures_map.RATES), np.log(RATE), np.log(ratio))
    turns = np.flatnonzero(np.diff(np.sign(crossover.stays(lead)) >= 0))
    assert len(turns) == (kind == "at")
    if kind == "at":
        found = crossover.crossover(RATE, np.log(ratio))["rate"]
        at = figures_map.RATES[[turns[0], turns[0] + 1]]
        assert at[0] * 0.99 <= found <= at[1] * 1.01


def test_an_interval_from_always_to_never_is_unknown():
    lead = np.array([0.1, 0.1, -0.1, -0.2])
    found = crossover.crossover(RATE, lead, lead - 1, lead + 1)
    assert found["kind"] == "unknown" == crossover.text(found)
    row = measured([1.0005, 1.0004, 0.9996, 0.9995])
    assert row["kind"] == "unknown" and row["reason"] == readings.ALIKE


def test_what_is_known_of_an_interval_is_said():
    lead = np.array([1.0, 0.5, -0.5, -1.0])
    half = crossover.crossover(RATE, lead, lead - 0.2, lead + 2)
    assert crossover.text(half) == "3.16 % (2 to never)"
    without = crossover.crossover(RATE, lead)
    assert crossover.text(without) == "3.16 %"
    missing = crossover.crossover(RATE, lead, np.full(4, np.nan), np.full(4, np.nan))
    assert crossover.text(missing) == "3.16 %" and missing["kind"] == "at"
    assert crossover.crossover([], [])["kind"] == "unknown"
