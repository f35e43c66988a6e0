"""Networks in the suite: simulators take turns, absent and broken ones are rows, and only equal rates are compared."""

import sys

import pytest

from eventops.bench.figures import networks as figures_networks
from eventops.bench.networks import environments
from eventops.bench.networks import jobs as network_jobs
from eventops.bench.networks import table as networks_table
from eventops.models import microcircuit

JOB = {
    "id": "t",
    "model": "coba",
    "n": 200,
    "simulators": ["eventops", "nest"],
    "warmup_ms": 10.0,
    "segment_ms": 100.0,
    "rounds": 3,
    "seed": 1,
}


def test_jobs_follow_the_configuration():
    block = {k: JOB[k] for k in ("model", "simulators", "warmup_ms", "segment_ms", "rounds")}
    config = {"seed": 1, "networks": [block | {"sizes": [200, 300]}, block | {"sizes": [200]}]}
    found = network_jobs.jobs(config)
    assert [job["n"] for job in found.values()] == [200, 300]
    assert network_jobs.jobs({"seed": 1}) == {}
    assert set(network_jobs.jobs(config | {"seed": 2})) != set(found)


@pytest.fixture(scope="module")
def record():
    return network_jobs.run(JOB, {"eventops": sys.executable, "nest": None})


def test_a_network_runs_and_an_absent_simulator_is_a_row(record):
    ours, nest = record["simulators"]["eventops"], record["simulators"]["nest"]
    assert ours["status"] == "ok" and len(ours["step_s"]) == 3 and min(ours["step_s"]) > 0
    assert 1 < ours["rate_hz"] == ours["spikes"] / (JOB["n"] * 0.3)
    assert network_jobs.broken(record) == ""
    assert ours["peak_rss_bytes"] > 1e7 and "jax" in ours["versions"]
    assert nest["status"] == "skipped" and "environments nest" in nest["reason"]
    table = networks_table.frame([record])
    assert list(table["status"]) == ["ok", "skipped"] and table["ratio"][0] == pytest.approx(1)
    assert figures_networks.draw(table, [record]).axes


def test_a_simulator_that_breaks_is_a_row_with_its_last_words(tmp_path, monkeypatch):
    (tmp_path / "simulate_eventops.py").write_text("raise RuntimeError('no such luck')")
    monkeypatch.setattr(network_jobs, "_FOLDER", tmp_path)
    found = network_jobs.run(JOB | {"simulators": ["eventops"]}, {"eventops": sys.executable})
    assert found["simulators"]["eventops"]["status"] == "failed"
    assert "no such luck" in found["simulators"]["eventops"]["reason"]
    assert "no such luck" in network_jobs.broken(found)


def test_a_simulator_that_hangs_is_stopped(tmp_path, monkeypatch):
    (tmp_path / "simulate_eventops.py").write_text("import time\ntime.sleep(600)")
    monkeypatch.setattr(network_jobs, "_FOLDER", tmp_path)
    job = JOB | {"simulators": ["eventops"]}
    found = network_jobs.run(job, {"eventops": sys.executable}, limit_s=1)
    assert found["simulators"]["eventops"]["status"] == "failed"


def test_a_count_that_the_watched_neurons_contradict_is_a_fault():
    """NEST's counter starts anew with every run; taken for a running total it gave a twelfth of the rate."""
    assert "0.438 Hz" in network_jobs.miscounted(0.438, 5.4)
    assert network_jobs.miscounted(5.1, 5.4) == network_jobs.miscounted(0.0, 0.4) == ""


def test_speeds_are_compared_only_where_rates_agree():
    one = {"status": "ok", "reason": "", "rate_hz": 20.0, "cv": 1.0, "correlation": 0.0}
    found = {
        "eventops": one | {"step_s": [1.0, 1.0, 2.0]},
        "brian2": one | {"step_s": [3.0, 3.0, 6.0], "rate_hz": 21.0},
        "nest": one | {"step_s": [9.0, 9.0, 9.0], "rate_hz": 30.0},
    }
    table = networks_table.frame([{"job": JOB, "simulators": found}]).set_index("simulator")
    assert table.ratio["brian2"] == 3 and table.matched["brian2"]
    assert not table.matched["nest"] and table.ratio.isna()["nest"]


def test_rates_of_populations_stand_beside_the_published_ones():
    one = {"status": "ok", "reason": "", "rate_hz": 3.0, "cv": 0.6, "correlation": 0.0}
    one |= {"step_s": [1.0, 1.0, 1.0], "populations": {"L23E": 0.84, "L6I": 7.8}}
    table = networks_table.frame([{"job": JOB, "simulators": {"eventops": one}}])
    assert table["populations"][0] == "L23E 0.84 (0.90), L6I 7.80 (7.83)"


def test_an_environment_that_was_not_finished_is_none(tmp_path):
    assert environments.python_of("eventops", tmp_path) == sys.executable
    (tmp_path / "nest/bin").mkdir(parents=True)
    assert environments.python_of("nest", tmp_path) is None
    (tmp_path / "nest/complete").touch()
    assert environments.python_of("nest", tmp_path).endswith("nest/bin/python")
    with pytest.raises(ValueError, match="is not one of"):
        environments.make("neuron", tmp_path)


@pytest.mark.nightly
def test_the_microcircuit_says_the_rates_of_its_populations():
    job = JOB | {"model": "microcircuit", "n": 772, "simulators": ["eventops"]}
    record = network_jobs.run(job, {"eventops": sys.executable})
    found = record["simulators"]["eventops"]
    assert found["status"] == "ok", found["reason"]
    assert list(found["populations"]) == list(microcircuit.POPULATIONS)
    # The mean rate is that of all neurons, and so is that of the populations.
    sizes = microcircuit.sizes(772 / 77169)
    total = sum(rate * n for rate, n in zip(found["populations"].values(), sizes)) * 0.3
    assert total == pytest.approx(found["spikes"], rel=1e-4)
    assert "L23E" in networks_table.frame([record])["populations"][0]
