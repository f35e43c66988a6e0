"""Timing: what may be timed, how samples are taken, what peers compute, and what the tables say."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.bench_jobs import QUICK, job

from eventops.bench.measure import measure, stats, timing
from eventops.bench.peers import peers
from eventops.bench.records import fingerprint, machine
from eventops.bench.sweep import setup
from eventops.bench.tables import table
from eventops.bench.verify import checks, oracle, verify

MACHINE = {"slug": "test", "read_bandwidth_bytes_per_s": 1e10}


@pytest.fixture(autouse=True)
def plain_promotion():
    """The workflow runs JAX with its default settings."""
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_numpy_rank_promotion", "allow")


def verified(described, *found, status="ok"):
    return {
        "job": described,
        "status": status,
        "reason": "why",
        "checks": [check.as_dict() for check in found],
        "n_synapses": 420,
        "p_values": {"density": 0.5},
        "graph_hash": "ab",
        "mean_out_degree": 7.0,
        "duration_s": 1.0,
    }


def test_a_small_job_from_verification_to_tables():
    described = job("EventFixedNumConn", modes=["call", "scan"], peers=["jnp-dense", "scipy-csr"])
    facts = verify.run(described)
    assert facts["status"] == "ok", facts["reason"]
    measured = measure.run(described, facts)
    points = table.points([(facts, measured)], MACHINE)
    assert list(points.columns) == table.POINT_COLUMNS
    assert len(points) == 6 and set(points.method) == {"eventops", "jnp-dense", "scipy-csr"}
    ok = points[points.status == "ok"]
    assert len(ok) == 5
    assert (ok[["t_median_s", "ratio", "bytes_moved", "bandwidth_share"]] > 0).all().all()
    assert (ok.t_q1_s <= ok.t_median_s).all() and (ok.t_median_s <= ok.t_q3_s).all()
    assert (points[points.method == "eventops"].ratio == 1).all()
    skipped = points[points.status == "skipped"].iloc[0]
    assert skipped.method == "scipy-csr" and skipped["mode"] == "scan"
    ours = points[points.method == "eventops"].iloc[0]
    assert ours.events == 6 and ours.synaptic_events == 42 and ours.n_checks > 20
    # 7 targets of each of 60 neurons: 2 bytes a synapse, 4 a row pointer, one weight.
    assert ours.bytes_stored == ours.bytes_predicted == 420 * 2 + 61 * 4 + 4
    assert 0 < ours.worst_ratio <= 1 and ours.compile_s > 0 and ours.first_call_s > 0
    jobs = table.jobs([(facts, measured)], MACHINE, ["records/x.json"])
    assert jobs.n_failed[0] == 0 and len(jobs.graph_hash[0]) == 64
    assert table.failures(points, jobs) == []
    assert len(table.checks([facts])) == len(facts["checks"])


def test_a_failed_point_is_a_row_and_not_timed():
    described = job("EventFixedNumConn", rates=["0.1", "0.2"], modes=["call"], peers=[])
    good = checks.ratio("product", "here", 0.5, rate="0.1", batch=1)
    bad = checks.ratio("product", "here", 2.0, rate="0.2", batch=1)
    facts = verified(described, good, bad, status="failed")
    measured = measure.run(described, facts)
    points = table.points([(facts, measured)], MACHINE)
    assert dict(zip(points.rate, points.status)) == {0.1: "ok", 0.2: "failed"}
    assert np.isnan(points.t_median_s[1]) and points.n_samples[1] == 0
    jobs = table.jobs([(facts, measured)], MACHINE, ["x"])
    assert len(table.failures(points, jobs)) == 2


def test_a_failed_check_of_the_job_refuses_all_its_points(monkeypatch):
    described = job("EventFixedNumConn", rates=["0.1", "0.2"], modes=["call"])
    good = [checks.ratio("product", "here", 0.5, rate=rate, batch=1) for rate in ("0.1", "0.2")]
    facts = verified(described, *good, checks.count("graph-hash", "here", 1), status="failed")
    monkeypatch.setattr(setup, "operator", lambda *_: pytest.fail("nothing may be built"))
    measured = measure.run(described, facts)
    assert [point["status"] for point in measured["points"]] == ["failed", "failed"]


def test_a_point_that_was_not_verified_is_not_timed():
    described = job("EventFixedNumConn", modes=["call"])
    measured = measure.run(described, verified(described))
    (point,) = measured["points"]
    assert point["status"] == "skipped" and "not verified" in point["reason"]


def test_a_dense_matrix_that_does_not_fit_is_a_skipped_row():
    described = job("EventFixedNumConn", 3000, conn=[10], modes=["call"], peers=["jnp-dense"])
    described["measure"] |= {"give_up_s": 5, "memory_limit_gib": 0.03}
    good = checks.ratio("product", "here", 0.5, rate="0.1", batch=1)
    measured = measure.run(described, verified(described, good))
    rows = {point["method"]: point for point in measured["points"]}
    assert rows["eventops"]["status"] == "ok"
    assert rows["jnp-dense"]["status"] == "skipped"
    assert "GiB; the limit is 0.0 GiB" in rows["jnp-dense"]["reason"]


@pytest.mark.parametrize("name", peers.ADAPTERS)
@pytest.mark.parametrize(
    "block",
    [
        dict(operator="EventFixedNumConn"),
        dict(operator="EventFixedProb", weights=["per-synapse"]),
        dict(operator="EventLinear"),
        dict(operator="EventFixedNumConn", storage=["procedural"]),
    ],
    ids=["number", "probability", "dense", "procedural"],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_peers_compute_the_same_product(name, block, batch):
    described = job(**block)
    op = setup.operator(described)
    try:
        peer = peers.build(name, op, described)
    except peers.Absent as error:
        pytest.skip(str(error))
    except peers.Unable as error:
        text = "storage procedural" if name == "brainevent-jit" else "dense"
        assert name in ("bcoo", "scipy-csr", "brainevent-jit") and text in str(error)
        return
    shape = (op.in_size,) if batch == 1 else (batch, op.in_size)
    spikes = setup.spikes("0.2", shape, 1)
    result = np.asarray(peer.step(peer.data, peer.prepare(spikes)))
    assert oracle.worst_ratio(result, oracle.product(op, spikes))[0] <= 1
    assert peer.nbytes >= 4


def test_a_procedural_job_reads_nothing_and_its_peer_draws_another_graph():
    names = ["scipy-csr", "brainevent-jit"]
    described = job("EventFixedProb", 300, storage=["procedural"], peers=names)
    facts = verify.run(described)
    measured = measure.run(described, facts)
    points = table.points([(facts, measured)], MACHINE).set_index(["method", "mode"])
    assert measured["n_synapses"] == facts["n_synapses"] > 0
    ours, stored = points.loc["eventops", "call"], points.loc["scipy-csr", "call"]
    assert ours.bytes_stored == ours.bytes_predicted == 4 and ours.t_median_s > 0
    assert np.isnan(ours.bytes_moved) and np.isnan(ours.bandwidth_share)
    assert stored.ratio > 0 and stored.bandwidth_share > 0
    other = points.loc["brainevent-jit", "scan"]
    if other.status == "absent":
        pytest.skip(other.reason)
    assert other.status == "ok" and other.ratio > 0 and np.isnan(other.bandwidth_share)
    assert other.reason.startswith("same task, other graph: 0.")
    assert other.bytes_stored == other.bytes_predicted == 12


def test_the_peer_that_draws_is_checked(monkeypatch):
    def wrong(op, described):
        scaled = lambda op, s: 1.01 * op(s)  # noqa: E731
        return peers.Peer(op, scaled, jnp.asarray, 12, False, True, draws=True, other_graph=True)

    monkeypatch.setitem(peers.ADAPTERS, "brainevent-jit", wrong)
    described = job("EventFixedProb", storage=["procedural"], peers=["brainevent-jit"])
    good = checks.ratio("product", "here", 0.5, rate="0.1", batch=1)
    measured = measure.run(described, verified(described, good))
    rows = [point for point in measured["points"] if point["method"] == "brainevent-jit"]
    assert [row["status"] for row in rows] == ["skipped", "skipped"]
    assert rows[0]["reason"] == "its result is no whole number of weights"


@pytest.mark.parametrize(
    "block",
    [
        dict(operator="EventFixedProb"),
        dict(operator="EventFixedNumConn", storage=["procedural"]),
        dict(operator="EventFixedProb", storage=["procedural"], dtypes=["bfloat16"]),
        dict(operator="EventFixedProb", storage=["procedural"], allow_self_conn=False),
    ],
)
def test_the_peer_that_draws_says_what_it_cannot_do(block):
    described = job(**block)
    with pytest.raises(peers.Unable):
        peers.build("brainevent-jit", setup.operator(described), described)


def test_an_absent_peer_is_a_stated_fact(monkeypatch):
    described = job("EventFixedNumConn", modes=["call"], peers=["torch"])
    monkeypatch.setitem(sys.modules, "torch", None)
    good = checks.ratio("product", "here", 0.5, rate="0.1", batch=1)
    measured = measure.run(described, verified(described, good))
    (row,) = (point for point in measured["points"] if point["method"] == "torch")
    assert row["status"] == "absent" and "eventops[torch]" in row["reason"]


def test_a_peer_with_another_result_is_not_compared(monkeypatch):
    def wrong(op, described):
        right = peers._jnp_dense(op, described)
        return peers.Peer(
            right.data, lambda w, s: 1.01 * right.step(w, s), right.prepare, 1, True, True
        )

    monkeypatch.setitem(peers.ADAPTERS, "jnp-dense", wrong)
    described = job("EventFixedNumConn", peers=["jnp-dense"])
    good = checks.ratio("product", "here", 0.5, rate="0.1", batch=1)
    measured = measure.run(described, verified(described, good))
    rows = [point for point in measured["points"] if point["method"] == "jnp-dense"]
    assert [row["status"] for row in rows] == ["skipped", "skipped"]
    assert "times the error bound" in rows[0]["reason"]


def test_rounds_are_interleaved_and_slow_methods_sampled_less(monkeypatch):
    order, now = [], [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def sleeper(name, seconds):
        def run(_):
            order.append(name)
            now[0] += seconds

        return timing.Method(name, run, [0, 1])

    fast, slow, hopeless = sleeper("a", 1e-4), sleeper("b", 0.02), sleeper("c", 0.11)
    settings = dict(rounds=8, min_sample_s=1e-3, budget_s=0.05, give_up_s=0.1, warmup=2)
    timing.interleave([fast, slow, hopeless], settings)
    assert [turn for turn, _ in fast.samples] == list(range(8)) and fast.repeats > 1
    assert len(slow.samples) == 3 and slow.repeats == 1
    assert hopeless.slow and len(hopeless.samples) == 1
    assert all(seconds == pytest.approx(1e-4) for _, seconds in fast.samples)
    first, last = order.index("c"), len(order) - 1 - order[::-1].index("b")
    assert "a" in order[first:last] and "b" in order[first:last]


def test_every_method_follows_every_other():
    """What the one before leaves in the caches must not always fall on the same one."""
    runs = []
    methods = [timing.Method(name, lambda _, name=name: runs.append(name), [0]) for name in "abcd"]
    settings = dict(rounds=40, min_sample_s=0, budget_s=1.0, give_up_s=1.0, warmup=1)
    timing.interleave(methods, settings)
    for name in "abcd":
        before = [
            one for one, next_ in zip(runs[4:], runs[5:], strict=False) if next_ == name != one
        ]
        assert set(before) == set("abcd") - {name}
        assert max(before.count(other) for other in before) < 0.6 * len(before)


def test_what_another_method_leaves_behind_is_not_timed(monkeypatch):
    """Calls are slow until threads are awake and caches hold what is read, here for a call after another method's."""
    now, last = [0.0], [None]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def method(name, seconds):
        def run(_):
            now[0] += seconds + (1e-3 if last[0] != name else 0)
            last[0] = name

        return timing.Method(name, run, [0, 1])

    short, long = method("short", 1e-4), method("long", 0.1)
    settings = dict(rounds=8, min_sample_s=1e-3, budget_s=1.0, give_up_s=1.0, warmup=3)
    timing.interleave([short, long], settings)
    assert [seconds for _, seconds in short.samples] == [pytest.approx(1e-4)] * 8
    # A hundredth more, where a call is as long as that: not worth another call.
    assert max(seconds for _, seconds in long.samples) == pytest.approx(0.101)


def test_a_read_of_memory_passes_by_all_caches_of_the_last_level(tmp_path, monkeypatch):
    """Two parts of a processor with a cache each, and instructions that are no data."""
    for core in range(4):
        for index, (level, kind, size, cores) in enumerate(
            [
                (1, "Data", "32K", core),
                (1, "Instruction", "64M", core),
                (3, "Unified", "32M", core // 2),
            ]
        ):
            folder = tmp_path / f"cpu{core}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            for name, text in zip(
                ("level", "type", "size", "shared_cpu_list"),
                (level, kind, size, cores),
                strict=True,
            ):
                (folder / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "CPUS", tmp_path)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 2**40)
    assert machine.caches() == {"L1": 2**15, "L3": 2**25}
    assert machine.last_cache_bytes() == 2**26
    assert machine.reader(2).nbytes == pytest.approx(2**27, rel=0.01)


def test_a_record_depends_on_all_that_its_code_imports():
    needed = {"measure.measure", "measure.timing", "measure.stats"}
    needed |= {"records.bandwidth", "records.machine"}
    assert needed <= fingerprint.closure("measure.measure")
    assert {"networks.jobs", "networks.spiketrains"} <= fingerprint.closure("networks.jobs")
    of = fingerprint.of
    assert of("measure.measure") == of("measure.timing", "measure.measure") != of("verify.verify")


def test_the_share_of_the_bandwidth_is_that_of_the_same_rounds():
    described = job("EventLinear", modes=["call"])
    facts = verify.run(described)
    measured = measure.run(described, facts)
    (ours,) = [point for point in measured["points"] if point["method"] == "eventops"]
    read = ours["memory"]
    assert read["bytes"] >= 2**26 and len(read["samples"]) == len(ours["samples"])
    # Whatever the machine does from round to round, both meet it.
    ours["samples"] = [[turn, 1e-3 * (turn + 1)] for turn in range(5)]
    read["samples"] = [[turn, 2e-3 * (turn + 1)] for turn in range(5)]
    share = table.points([(facts, measured)], MACHINE).bandwidth_share[0]
    assert share == pytest.approx(2 * ours["bytes_moved"] / read["bytes"])
    del ours["memory"]  # as in records of before
    share = table.points([(facts, measured)], MACHINE).bandwidth_share[0]
    assert share == pytest.approx(ours["bytes_moved"] / 3e-3 / 1e10)


def test_spikes_are_never_the_same_and_never_none():
    found = setup.spikes("0.001", (8, 200), 1)
    assert (found.sum(axis=1) == 1).all()
    assert len({tuple(np.flatnonzero(row)) for row in found}) > 1
    assert setup.spikes("0", (4, 50), 1).sum() == 0 and setup.spikes("1", (4, 50), 1).all()
    # The first measured vectors are the verified ones.
    np.testing.assert_array_equal(found[0], setup.spikes("0.001", (200,), 1))


@pytest.mark.parametrize("limit, flagged", [(1e-12, True), (1e12, False)])
def test_a_scattered_point_is_measured_again_and_flagged(limit, flagged):
    """The second samples count and the first are kept: nothing is chosen, and nothing hidden."""
    described = job("EventFixedNumConn", modes=["call"], peers=["scipy-csr"])
    described["measure"]["max_scatter"] = limit
    good = checks.ratio("product", "here", 0.5, rate="0.1", batch=1)
    facts = verified(described, good)
    measured = measure.run(described, facts)
    for point in measured["points"]:
        assert point["status"] == "ok" and len(point["samples"]) == QUICK["rounds"]
        assert point["scatter"] == stats.scatter([s for _, s in point["samples"]]) > 0
        assert len(point["earlier_samples"]) == (QUICK["rounds"] if flagged else 0)
        assert point["earlier_samples"] != point["samples"]
        assert ("scattered: half of the samples span" in point["reason"]) == flagged
        assert point["reason"].endswith("measured twice") == flagged
    rows = table.points([(facts, measured)], MACHINE)
    assert (rows.ratio > 0).all() and rows.reason.str.contains("scattered").all() == flagged
