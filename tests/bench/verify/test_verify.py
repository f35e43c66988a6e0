"""Verification passes what is right and catches what is wrong, however small."""

import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from support.bench_jobs import job

import eventops
from eventops.bench.sweep import connectome, setup
from eventops.bench.verify import checks, checks_delays, oracle, verify
from eventops.bench.verify.oracle import Exact


@pytest.fixture(autouse=True)
def plain_promotion():
    """The workflow runs JAX with its default settings."""
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_numpy_rank_promotion", "allow")


RIGHT = {
    "dense": dict(operator="EventLinear"),
    "twin": dict(operator="Linear"),
    "probability": dict(operator="EventFixedProb", batches=[1, 4]),
    "out-degree": dict(operator="EventFixedNumConn"),
    "in-degree": dict(operator="EventFixedNumConn", efferent_target=["pre"]),
    "real-valued": dict(operator="FixedNumConn", weights=["per-synapse"]),
    "repeats": dict(operator="EventFixedNumConn", allow_multi_conn=True),
    "no-autapses": dict(operator="EventFixedProb", allow_self_conn=False),
    "bfloat16": dict(operator="EventFixedNumConn", dtypes=["bfloat16"], weights=["per-synapse"]),
    "procedural": dict(operator="EventFixedProb", storage=["procedural"], batches=[1, 4]),
    "procedural-number": dict(
        operator="EventFixedNumConn", storage=["procedural"], backends=["default"], n=500
    ),
    "total": dict(operator="EventFixedTotalNum"),
    "total-repeats": dict(operator="EventFixedTotalNum", conn=["0.5"], allow_multi_conn=True),
    "distance": dict(operator="EventDistanceProb", length="0.1"),
    "distance-line": dict(operator="EventDistanceProb", space="line", sizes=[[60, 45]]),
    "distance-large": dict(
        operator="EventDistanceProb",
        sizes=[900],
        profile="exponential",
        storage=["procedural"],
        backends=["default"],
    ),
    "given": dict(operator="EventSparse"),
    "given-bfloat16": dict(
        operator="EventSparse", dtypes=["bfloat16"], weights=["per-synapse"], backends=["default"]
    ),
    "given-large": dict(operator="EventSparse", sizes=[900], weights=["per-synapse"]),
    "all": dict(operator="EventFixedProb", conn=[1]),
    "none": dict(operator="EventFixedProb", conn=[0]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_operators_pass(name):
    result = verify.run(job(**RIGHT[name]))
    assert result["status"] == "ok", result["reason"]
    assert {check["kind"] for check in result["checks"]} >= {"ratio", "count", "bytes"}
    json.dumps(result, default=float)


class Wrong:
    """An operator with one thing wrong; everything else is handed through."""

    def __init__(self, op, call):
        self._op, self._call = op, call

    def __getattr__(self, name):
        return getattr(self._op, name)

    def __call__(self, spikes):
        return self._call(self._op, spikes)

    def with_weight(self, weight):
        return Wrong(self._op.with_weight(weight), self._call)


jax.tree_util.register_pytree_node(
    Wrong, lambda w: ((w._op,), w._call), lambda call, leaves: Wrong(leaves[0], call)
)


CALLS = {
    "ignores values": lambda op, s: op((s != 0).astype(jnp.float32)),
    "counts positives": lambda op, s: op((s > 0).astype(jnp.float32)),
    "one part in a hundred thousand": lambda op, s: op(s) * jnp.asarray(1 + 1e-5, op.dtype),
    "adds a constant": lambda op, s: op(s) + jnp.asarray(1e-6, op.dtype),
    "not a number": lambda op, s: op(s) / jnp.asarray(0, op.dtype),
    "another order": lambda op, s: op(s)[..., ::-1],
    "forgets the batch": lambda op, s: jnp.broadcast_to(op(s[(0,) * (s.ndim - 1)]), op(s).shape),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_products_are_caught(name):
    wrong = job("EventFixedNumConn", weights=["per-synapse"], batches=[1, 3])
    result = verify.run(wrong, make=lambda j, b=None: Wrong(setup.operator(j, b), CALLS[name]))
    assert result["status"] == "failed"


def test_a_dropped_synapse_is_caught():
    described = job("EventFixedNumConn", rates=["1"])
    op = setup.operator(described)

    def drops(_, spikes):
        out = op(spikes)
        target = int(op.rows.indices()[-1])
        return out.at[..., target].add(-op.weight * spikes[..., -1].astype(out.dtype))

    result = verify.run(described, make=lambda j, b=None: Wrong(op, drops))
    assert result["status"] == "failed"
    failed = {check["check"] for check in result["checks"] if not check["passed"]}
    assert "product" in failed and "product-bool" in failed


def test_a_wrong_gradient_is_caught():
    def doubled(op, spikes):
        out = op(spikes)
        return 2 * out - jax.lax.stop_gradient(out)

    described = job("EventLinear")
    op = setup.operator(described)
    assert checks.product(Wrong(op, doubled), np.ones(60, bool), "product", "here").passed
    found = checks.gradients(Wrong(op, doubled), described, "here")
    assert [check.check for check in found if not check.passed] == [
        "grad-weight",
        "grad-spikes",
        "jvp",
    ]


def test_a_wrong_graph_is_caught():
    described = job("EventFixedProb", 400)
    other = job("EventFixedProb", 400, conn=["0.25"])
    result = verify.run(described, make=lambda j, b=None: setup.operator(other, b))
    failed = {check["check"] for check in result["checks"] if not check["passed"]}
    assert "density" in failed


@pytest.mark.parametrize("change", [{"length": "0.11"}, {"space": "grid"}], ids=str)
def test_a_wrong_profile_is_caught(change):
    described = job("EventDistanceProb", sizes=[900], length="0.1")
    result = verify.run(described, make=lambda j, b=None: setup.operator({**j, **change}, b))
    failed = {check["check"] for check in result["checks"] if not check["passed"]}
    assert failed & {"distance-chi2", "density", "distance-range"}


@pytest.mark.parametrize("weight", ["per-synapse", "homogeneous"])
def test_another_matrix_than_the_given_one_is_caught(weight):
    described = job("EventSparse", weights=[weight])

    def made(j, b=None):
        op = setup.operator(j, b)
        pre, post, _ = connectome.entries(j)
        if weight == "homogeneous":  # one target beside the right one
            post[0] = next(k for k in range(45) if k not in set(post[pre == pre[0]]))
            return eventops.EventSparse((pre, post, setup.SCALAR_WEIGHT), shape=(60, 45), backend=b)
        return op.with_weight(op.weight.at[7].multiply(1 + 2e-7))

    result = verify.run(described, make=made)
    assert {c["check"] for c in result["checks"] if not c["passed"]} == {"given-is-stored"}


def test_a_wrong_reading_of_repeated_entries_is_caught(monkeypatch):
    real = eventops.EventSparse
    other = {"sum": "keep", "keep": "sum"}

    def swapped(matrix, *, duplicates="sum", **options):
        return real(matrix, duplicates=other[duplicates], **options)

    monkeypatch.setattr(eventops, "EventSparse", swapped)
    result = verify.run(job("EventSparse"))
    assert {c["check"] for c in result["checks"] if not c["passed"]} == {
        "duplicates-sum",
        "duplicates-keep",
    }


class Late(eventops.Delayed):
    """Every delay is a step too long."""

    def __init__(self, op, delay):
        super().__init__(op, delay + 1)


class Lossy(eventops.Delayed):
    """The last synapse sends nothing."""

    def __init__(self, op, delay):
        super().__init__(op.with_weight(op.weight.at[..., -1].set(0)), delay)


@pytest.mark.parametrize("wrong", [Late, Lossy])
@pytest.mark.parametrize("operator", ["EventLinear", "EventFixedNumConn"])
def test_wrong_delays_are_caught(operator, wrong, monkeypatch):
    described = job(operator, weights=["per-synapse"], rates=["1"])
    op = setup.operator(described)
    assert all(check.passed for check in checks_delays.delays(op, described, "here"))
    monkeypatch.setattr(eventops, "Delayed", wrong)
    found = checks_delays.delays(op, described, "here")
    assert [(check.check, check.passed) for check in found] == 2 * [("delayed", False)]


@pytest.mark.parametrize("wrong", ["a part in 10^5", "no bounds", "another order", "silent"])
@pytest.mark.parametrize("operator", ["EventLinear", "EventFixedNumConn"])
def test_wrong_updates_are_caught(operator, wrong):
    described = job(operator, weights=["per-synapse"], rates=["0.5"])
    op = setup.operator(described)
    assert all(check.passed for check in checks_delays.updates(op, described, "here"))

    class Updates:
        def __getattr__(self, name):
            right = getattr(op, name)
            if not name.startswith("update_on_"):
                return right

            def update(weight, spikes, trace, **bounds):
                if wrong == "no bounds":
                    return right(weight, spikes, trace)
                if wrong == "another order":
                    trace = trace[::-1]
                new = right(weight, spikes, trace, **bounds)
                if wrong == "silent":
                    return new + jnp.where(new == weight, 1e-6, 0).astype(new.dtype)
                return new * (1 + 1e-5) if wrong == "a part in 10^5" else new

            return update

    found = checks_delays.updates(Updates(), described, "here")
    assert [(check.check, check.passed) for check in found] == 2 * [("update", False)]


STORED = {"procedural-is-sparse", "product-is-sparse", "sparse-bool", "sparse-float32"}


def test_a_procedural_graph_is_compared_with_the_stored_one():
    described = job("EventFixedProb", 500, storage=["procedural"], backends=["default"])
    result = verify.run(described)
    found = {(check["check"], check["where"].split()[0]) for check in result["checks"]}
    assert {name for name, where in found if where == "twin"} >= STORED
    assert {("procedural-is-sparse", "500x500"), ("product-is-sparse", "500x500")} <= found
    stored = verify.run({**described, "storage": "sparse"})
    assert result["graph_hash"] == stored["graph_hash"] is not None
    assert not STORED & {check["check"] for check in stored["checks"]}


def test_a_procedural_graph_that_is_not_the_stored_one_is_caught():
    described = job("EventFixedNumConn", storage=["procedural"])

    def another_seed(j, b=None):
        return setup.operator({**j, "seed": j["seed"] + (j["storage"] == "procedural")}, b)

    result = verify.run(described, make=another_seed)
    failed = {check["check"] for check in result["checks"] if not check["passed"]}
    assert failed >= STORED


def test_a_procedural_graph_whose_stored_form_does_not_fit_is_skipped():
    result = verify.run(job("EventFixedProb", 100_000, storage=["procedural"]), memory_bytes=2**30)
    assert result["status"] == "skipped"
    assert result["reason"].startswith("its graph, drawn for the checks, needs")


def test_a_product_on_another_graph_is_told_from_one_of_another_task():
    op = setup.operator(job("EventFixedProb", 200))
    spikes = setup.spikes("0.3", (3, op.in_size), 1)
    out, weight = np.asarray(op(jnp.asarray(spikes))), float(op.weight)
    good = oracle.other_graph(out, weight, 0.2, spikes)
    visited = oracle.product(op, spikes).terms.sum() / (spikes.sum() * op.out_size)
    assert good.passed
    assert (
        good.text
        == f"same task, other graph: {visited:.4g} of the pairs are connected, 0.2 was asked"
    )
    for wrong in (1.01 * out, out + 1e-3, 0 * out, -out, out[:2], 100 * out, np.nan * out):
        assert not oracle.other_graph(wrong, weight, 0.2, spikes).passed
    assert not oracle.other_graph(out, weight, 0.05, spikes).passed
    assert oracle.other_graph(0 * out, weight, 0.2, np.zeros_like(spikes)).passed


def test_an_exception_is_a_failed_check():
    def broken(j, b=None):
        raise RuntimeError("no kernel")

    result = verify.run(job("EventLinear"), make=broken)
    assert result["status"] == "failed" and "no-exception" in result["reason"]
    assert any("no kernel" in check["note"] for check in result["checks"])
    assert verify.broken(result) == "RuntimeError: no kernel"


def test_a_wrong_number_is_a_result_whatever_was_raised():
    result = verify.run(job("EventLinear"))
    assert verify.broken(result) == ""
    wrong = [c | {"passed": False} for c in result["checks"] if c["check"] == "product"][:1]
    raised = [c.as_dict() for c in [checks.count(verify.EXCEPTION, "graph", 1, "OSError: x")]]
    assert verify.broken(result | {"checks": wrong + raised}) == ""
    assert verify.broken(result | {"checks": raised}) == "OSError: x"


def test_a_job_that_does_not_fit_is_skipped():
    result = verify.run(job("EventLinear", 100_000), memory_bytes=2**30)
    assert result["status"] == "skipped" and "GiB" in result["reason"]


def test_products_of_a_large_graph_are_checked_on_it_and_the_rest_on_a_twin():
    large = job("EventFixedNumConn", 3000, conn=[40], batches=[1, 2])
    result = verify.run(large)
    where = {check["where"] for check in result["checks"]}
    assert "3000x3000, rate 0.1, batch 2" in where
    assert any(text.startswith("twin 400x387") for text in where)
    assert result["status"] == "ok", result["reason"]


def test_the_bound_is_gamma():
    u = 2.0**-24
    exact = Exact(np.array([1.0]), np.array([3.0]), np.array([5]))
    limit = oracle.bound(exact, np.float32)[0]
    assert limit == pytest.approx(3.0 * 5 * u / (1 - 5 * u), rel=1e-8)
    # float16 is accumulated in float32, and rounded once.
    narrow = oracle.bound(exact, np.float16)[0]
    assert narrow == pytest.approx(limit + 2.0**-11 * (1 + limit) + 2.0**-25, rel=1e-6)
    assert oracle.unit_roundoff(ml_dtypes.bfloat16) == 2.0**-8


def test_an_output_without_events_must_be_zero():
    exact = Exact(np.zeros(2), np.zeros(2), np.zeros(2, int))
    assert oracle.worst_ratio(np.zeros(2, np.float32), exact)[0] == 0
    assert oracle.worst_ratio(np.array([0, 1e-30], np.float32), exact) == (np.inf, 1)
    assert oracle.worst_ratio(np.array([0, np.nan], np.float32), exact)[0] == np.inf


def test_the_oracle_from_rows_is_the_dense_product():
    for kind in ("EventFixedProb", "EventLinear"):
        op = setup.operator(job(kind, weights=["per-synapse"]))
        spikes = np.random.default_rng(0).normal(size=(2, op.in_size)).astype(np.float32)
        dense = np.asarray(op.todense()).astype(np.float64)
        exact = oracle.product(op, spikes)
        np.testing.assert_allclose(exact.value, spikes.astype(np.float64) @ dense, rtol=1e-12)
        np.testing.assert_array_equal(exact.terms, (dense != 0).sum(0) * np.ones((2, 1), int))
