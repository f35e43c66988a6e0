"""Intervals cover what they say: times of the same products on the same machine, measured in another hour.

`other_hours.csv` has the peers' times of four runs of the default sweep on the machine of the reference. The versions of
the peers were the same in all, so what changed is the hour.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eventops.advice import cost
from eventops.advice.measured_tables import SHIPPED
from eventops.bench.tables import predictions

HERE = Path(__file__).parents[1] / "other_hours.csv"
CACHES = {"L2": 2**20, "L3": 2**25}
POINT = "n_pre n_post conn_kind conn dtype storage weight rate batch mode method".split()


@pytest.fixture(scope="module")
def runs():
    with open(HERE, newline="") as file:
        rows = [
            r | {"operator": "", "backend": "cpu", "status": "ok"} for r in csv.DictReader(file)
        ]
    return {
        run: [r for r in rows if r["run"] == run] for run in dict.fromkeys(r["run"] for r in rows)
    }


def inside(curves, rows) -> list[bool]:
    """Whether each measured time lies in the 95 % interval that was predicted for it."""
    found = []
    for row in rows:
        if cost.key_of(row) in curves:
            mean, spread = curves[cost.key_of(row)].predict(cost.work_of([row]))
            miss = abs(np.log(float(row["t_median_s"])) - mean[0])
            found.append(bool(miss <= cost.Z95 * cost.any_hour(spread[0])))
    return found


def configuration(row):
    return tuple(row[name] for name in predictions.CONFIGURATION)


def test_what_an_hour_does_is_estimated_from_runs(runs):
    """From the 95 % quantile of the differences of two runs, which outliers do not move."""
    found = []
    for one, two in itertools.combinations(runs.values(), 2):
        pair = [pd.DataFrame(rows)[[*POINT, "t_median_s"]] for rows in (one, two)]
        both = pair[0].merge(pair[1], on=POINT)
        apart = np.log(both["t_median_s_x"].astype(float) / both["t_median_s_y"].astype(float))
        assert len(apart) > 300
        found.append(np.quantile(np.abs(apart), 0.95) / cost.Z95 / np.sqrt(2))
    assert len(found) == 6 and np.mean(found) == pytest.approx(cost.HOURS, abs=0.01)


def test_intervals_cover_another_hour(runs):
    """Each run predicts the three others."""
    covered = {}
    for hour, rows in runs.items():
        curves = cost.fit(rows, CACHES)
        for other in runs.keys() - {hour}:
            covered[hour, other] = np.mean(inside(curves, runs[other]))
    assert np.mean([*covered.values()]) >= 0.95, covered
    assert min(covered.values()) >= 0.88, covered


def test_intervals_cover_another_hour_at_configurations_that_no_curve_saw(runs):
    first, *_, last = runs
    found = []
    for one, other in ((first, last), (last, first)):
        known, asked = ([r for r in runs[hour] if r["mode"] == "scan"] for hour in (one, other))
        for held in dict.fromkeys(map(configuration, asked)):
            curves = cost.fit([row for row in known if configuration(row) != held], CACHES)
            found += inside(curves, [row for row in asked if configuration(row) == held])
    assert len(found) > 250 and np.mean(found) >= 0.92


def test_intervals_of_what_was_measured_at_the_very_point_cover_another_hour(runs):
    hours = list(runs)
    found = []
    for hour, other in itertools.permutations(hours, 2):
        curves = cost.fit(runs[hour], CACHES)
        for row in runs[other]:
            curve, asked = curves.get(cost.key_of(row)), cost.work_of([row])
            if curve is not None and curve.measured(asked)[0]:
                mean, spread = curve.measurement(asked)
                miss = abs(np.log(float(row["t_median_s"])) - mean)
                found.append(miss <= cost.Z95 * cost.any_hour(spread))
    assert len(found) > 3000 and np.mean(found) >= 0.94


def test_the_shipped_reference_covers_other_hours(runs):
    """By the methods that come with no kernels of ours and of no version that changed."""
    same = ("jnp-dense", "scipy-csr", "torch", "bcoo")
    rows = cost.read(SHIPPED / "tables/points.csv")
    curves = cost.fit([row for row in rows if row["method"] in same], CACHES)
    found = []
    for rows in runs.values():
        found += inside(curves, [row for row in rows if row["method"] in same])
    assert len(found) > 500 and np.mean(found) >= 0.9
