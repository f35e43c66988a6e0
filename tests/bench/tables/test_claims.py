"""The claims hold where the made-up run obeys them, and fail where it does not."""

import numpy as np
import pytest
import support.bench_synthetic as made

from eventops.bench.report import first as report_first
from eventops.bench.tables import claims, readings

SPARSE = made.JOBS[3:6]


def judged(points, jobs=None, checks=None):
    jobs = made.jobs(points) if jobs is None else jobs
    checks = made.checks(points) if checks is None else checks
    table = readings.prepare(points, jobs)
    found = claims.claims(table, readings.headline(table), jobs, checks)
    return {one["anchor"]: one for one in found}


@pytest.fixture(scope="module")
def run():
    return made.points(jobs=SPARSE, peers=("jnp-dense",))


def test_an_obedient_run_passes_every_test(run):
    found = judged(run)
    proved = ("trust", "events", "population", "memory")
    assert [found[anchor]["state"] for anchor in proved] == ["good"] * 4


@pytest.mark.parametrize("power", [1.0, 0.5, 2.0])
def test_the_slope_is_found_beneath_a_fixed_cost(run, power):
    ours = run[run["method"] == "eventops"].copy()
    e = ours["synaptic_events"] / ours["synaptic_events"].max()
    noise = np.random.default_rng(0).lognormal(0, 0.01, len(ours))
    ours["t_median_s"] = (2e-4 + 0.05 * e**power) * noise
    (row,) = claims.event_slopes(readings.prepare(ours)).to_dict("records")
    assert row["slope"] == pytest.approx(min(power, 1.7), abs=0.06)
    assert row["low"] <= row["slope"] <= row["high"] and row["high"] - row["low"] < 0.3
    state = claims._events(claims.event_slopes(readings.prepare(ours)))["state"]
    assert state == ("good" if power == 1.0 else "bad")


def test_time_that_grows_with_the_population_fails(run):
    slow = run.copy()
    ours = slow["method"] == "eventops"
    slow.loc[ours, "t_median_s"] = 1e-6 * (slow.loc[ours, "n_pre"] / 1000) ** 2
    assert judged(slow)["population"]["state"] != "good"


def test_few_points_cannot_fail_a_claim_about_scaling(run):
    """Two sizes, or three rates, outside their limits: said, in no red. Enough of them fail."""
    ours = run["method"] == "eventops"
    slow = run.copy()
    slow.loc[ours, "t_median_s"] = 1e-6 * (slow.loc[ours, "n_pre"] / 1000) ** 2
    found = judged(slow)["population"]
    assert found["state"] == "few" and "too few points of EventFixedProb to tell" in found["result"]
    sizes = [("EventFixedProb", n, "prob", "x", 100) for n in (1_000, 2_000, 4_000, 8_000)]
    many = made.points(jobs=sizes, peers=())
    many["t_median_s"] = 1e-6 * (many["n_pre"] / 1000) ** 2
    assert judged(many)["population"]["state"] == "bad"

    curved = run[ours].copy()
    curved["t_median_s"] = 1e-9 * curved["synaptic_events"] ** 1.6
    assert judged(curved)["events"]["state"] == "bad"
    short = curved[(curved["n_pre"] == 1_000) & (curved["mode"] == "scan") & (curved["batch"] == 1)]
    found = judged(short)["events"]
    assert found["state"] == "few" and "too few points" in found["result"]


def test_bytes_beside_the_formula_fail(run):
    fat = run.copy()
    fat.loc[fat["method"] == "eventops", "bytes_stored"] *= 1.5
    assert judged(fat)["memory"]["state"] == "bad"
    assert "50 % off" in judged(fat)["memory"]["result"]


def test_a_failed_check_and_a_failed_statistic_are_not_hidden(run):
    checks = made.checks(run)
    checks.loc[0, "passed"] = False
    assert judged(run, checks=checks)["trust"]["state"] == "bad"
    checks = made.checks(run)
    checks.loc[0, ["check", "passed"]] = ["out_degree", False]
    assert judged(run, checks=checks)["graphs"]["state"] == "bad"


def test_a_run_without_data_claims_nothing():
    points = made.points(jobs=())
    assert {one["state"] for one in judged(points).values()} == {"none"}


def test_the_first_screen_names_the_worst_loss():
    points = made.points(jobs=made.JOBS[:1], modes=("call",))
    table = readings.prepare(points)
    view = readings.headline(table)
    text = report_first.short(readings.fastest(view), view)
    assert "its worst loss is" in text and "to " in text
    (line,) = report_first.families(view)
    assert sum(n for _, n in line["winners"]) == line["timed"] == len(made.RATES)
    assert line["bytes"] == "4.01"
