"""The gpu backend's kernels and launches, emulated on the host; on a machine with a GPU, ``-m gpu`` runs them there."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graphs.test_drawing import GOLDEN, name
from operators import test_plasticity
from support import gpu_emulation
from support.cases import (
    SMALL,
    active,
    assert_product,
    bits,
    case,
    ids,
    procedural,
    typed,
    weights_of,
)

import eventops as nn
from eventops import backends
from eventops.bench.measure import on_gpu as bench
from eventops.bench.verify import oracle
from eventops.core import cuda
from eventops.graphs import drawing
from eventops.graphs.profiles import Box, Exponential, Gaussian

# What the sizes of SMALL do not reach: several slices of the events, several chunks of inputs, several tiles and
# parts of a tile, gaps of several digits, bitmaps outside of shared memory.
LARGER = (
    case("EventLinear", 300, 1030),
    case("EventLinear", 200, 70),
    case("EventFixedNumConn", 300, 300, 40),
    case("EventFixedNumConn", 9000, 50, 3),
    case("EventFixedNumConn", 140, 9001, 500),
    case("EventFixedNumConn", 40, 20_001, 7, efferent_target="pre"),
    case("EventFixedNumConn", 20, 66_000, 1500, allow_multi_conn=True),
    case("EventFixedProb", 150, 8193, 0.02),
    case("EventFixedProb", 30, 9000, 2e-3, seed=3),
)
DRAWN = (
    case("EventFixedProb", 6, 300_000, 2e-5, seed=1),
    case("EventFixedProb", 3, 4000, 0.5),
    case("EventFixedNumConn", 6, 300_000, 20),
    case("EventFixedNumConn", 3, 3000, 2000, allow_self_conn=True),
    case("EventFixedTotalNum", 40, 200_003, 3000),
    case("EventDistanceProb", 3, 9000, Exponential(0.5, 40.0), periodic=True, seed=2),
)


def with_drawn(cases):
    both = [c for c in cases if c.has_backend]
    return both + [p for c in both if (p := procedural(c)) is not None]


OTHER_RULES = [c for c in SMALL if c.kind in ("EventFixedTotalNum", "EventDistanceProb")]
CASES = (
    with_drawn(SMALL[4:20:4] + SMALL[22:24])
    + [procedural(c) for c in OTHER_RULES[1::2]]
    + with_drawn(LARGER)
    + [procedural(c) for c in DRAWN]
)
ROWS = [procedural(c) for c in (*SMALL[16:18], SMALL[23], *DRAWN[:2], *OTHER_RULES)]
# Every kernel once, for what is slow to check.
FEW = (
    case("EventLinear", 131, 257),
    case("EventLinear", 64, 64),
    case("EventFixedProb", 65, 65, 0.3, allow_self_conn=False, seed=2**62 + 5),
    case("EventFixedNumConn", 17, 31, 40, allow_multi_conn=True),
    procedural(case("EventFixedNumConn", 63, 65, 5)),
    procedural(case("EventFixedProb", 64, 127, 0.9)),
    procedural(case("EventDistanceProb", 60, 90, Exponential(1.0, 4.0), periodic=True, seed=2)),
)


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def gpu(request, monkeypatch):
    """The number of kernels launched so far, as a function; None where nobody counts."""
    if request.param == "cuda":
        reason = backends.available()["gpu"]
        if reason is not None or jax.default_backend() != "gpu":
            pytest.skip(reason or "JAX runs on the CPU here: pytest -m gpu asks it for the GPU")
        yield None
        return
    if gpu_emulation.compiler() is None:
        pytest.skip("the emulation needs a C++ compiler")
    library = gpu_emulation.build(request.config.cache.mkdir("gpu-emulation"))
    with gpu_emulation.emulated(monkeypatch):
        yield library.EmulationLaunches


@pytest.mark.parametrize("c", CASES, ids=ids(CASES))
def test_products(gpu, c):
    before = gpu and gpu()
    for weight in weights_of(c):
        op = c.make(weight, backend="gpu")
        for dtype in ("bool", "float32"):
            spikes = typed(active(c.n_in), dtype)
            assert_product(op, spikes, op(spikes), np.float32)
    assert gpu is None or gpu() > before


@pytest.mark.parametrize("c", FEW + LARGER[:3], ids=ids(FEW + LARGER[:3]))
def test_atomics(gpu, c):
    for weight in weights_of(c):
        op = c.make(weight, backend="gpu-atomics")
        spikes = typed(active(c.n_in), "float32")
        assert_product(op, spikes, op(spikes), np.float32)


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", pytest.param("float64", marks=pytest.mark.x64)]
)
@pytest.mark.parametrize("c", FEW, ids=ids(FEW))
def test_other_dtypes(gpu, c, dtype):
    kind = {"float16": "bool", "bfloat16": "float32", "float64": "float64"}[dtype]
    for weight in weights_of(c):
        op = c.make(weight, dtype=dtype, backend="gpu")
        spikes = typed(active(c.n_in), kind)
        computed = op(spikes)
        if kind == "bool" or dtype == "float64":
            assert_product(op, spikes, computed, dtype)
        else:  # the wider of the two
            assert computed.dtype == np.float32
            exact = oracle.product(op, spikes)
            assert oracle.worst_ratio(np.asarray(computed), exact)[0] <= 1


COTANGENTS = [(c, 6) for c in FEW + LARGER[5:7]] + [(c, 1) for c in (FEW[0], *FEW[3:5])]


def within(computed, exact, magnitude, terms):
    """Element by element, as products are."""
    computed = np.asarray(computed)
    worst, at = oracle.worst_ratio(
        computed, oracle.Exact(exact, magnitude, np.broadcast_to(terms, exact.shape))
    )
    assert worst <= 1, f"error/bound {worst} at {at}"


@pytest.mark.parametrize("c, batch", COTANGENTS, ids=[f"{c.id}-{b}" for c, b in COTANGENTS])
def test_cotangents(gpu, c, batch):
    spikes = typed(active(c.n_in), "float32")[-batch:]
    g = np.random.default_rng(2).normal(size=(batch, c.n_out)).astype(np.float32)
    for weight in weights_of(c):
        op = c.make(weight, backend="gpu")
        _, pull = jax.vjp(lambda w, s, op=op: op.with_weight(w)(s), op.weight, jnp.asarray(spikes))
        dw, ds = pull(jnp.asarray(g))
        for b in range(batch):
            exact = oracle.spike_cotangent(op, g[b])
            # One more rounding where a common weight multiplies the sum.
            within(ds[b], exact.value, exact.magnitude, exact.terms + 1)
        s64, g64 = spikes.astype(np.float64), g.astype(np.float64)
        pairs, sizes = s64.T @ g64, np.abs(s64).T @ np.abs(g64)
        if op.weight.ndim == 0:
            count = oracle.connections(op)
            within(dw, np.sum(count * pairs), np.sum(count * sizes), batch * count.sum() + 1)
        else:
            rows = op.connections()
            at = ... if rows is None else rows.coordinates()
            within(dw, pairs[at], sizes[at], batch)


@pytest.mark.parametrize("c", FEW, ids=ids(FEW))
def test_maps_and_weight_sets(gpu, c):
    """A batch, a vmap, a loop, and a vmap over weights."""
    op = c.make(weights_of(c)[-1], backend="gpu")
    spikes = typed(active(c.n_in), "float32")
    for computed in (jax.vmap(op)(spikes), jnp.stack([op(s) for s in spikes])):
        assert_product(op, spikes, computed)
    weights = jnp.stack([op.weight, -2 * op.weight])
    mapped = jax.vmap(lambda w: op.with_weight(w)(spikes))(weights)
    for w, computed in zip(weights, mapped):
        assert_product(op.with_weight(w), spikes, computed)
    g = jnp.ones((2, *spikes.shape[:1], c.n_out), jnp.float32)
    loss = jax.vmap(jax.grad(lambda w, g: jnp.sum(op.with_weight(w)(spikes) * g)), in_axes=(0, 0))
    both = loss(weights, g)
    assert bits(both[0]) == bits(both[1])
    assert np.all(np.isfinite(both))


@pytest.mark.parametrize("c", FEW + LARGER[:3], ids=ids(FEW + LARGER[:3]))
def test_two_runs_agree(gpu, c):
    op = c.make(weights_of(c)[-1], backend="gpu")
    spikes = typed(active(c.n_in), "float32")
    assert bits(op(spikes)) == bits(op(spikes))


@pytest.mark.parametrize("c", ROWS, ids=ids(ROWS))
def test_drawn_equals_stored(gpu, c):
    """Each row that is drawn on the device is the row of the CPU, bit for bit."""
    drawn = c.make(1.0, backend="gpu")
    stored = dataclasses.replace(c, options=c.options[:-1]).make(1.0).rows
    matrix = np.asarray(drawn(np.eye(c.n_in, dtype=bool)))
    for i in range(c.n_in):
        np.testing.assert_array_equal(matrix[i], np.bincount(stored.row(i), minlength=c.n_out))


# Beside those with a golden hash: bitmaps and counters in device memory, several tiles, all rows of marks.
GRAPHS = (
    *DRAWN,
    case("EventFixedProb", 150, 8193, 0.02),
    case("EventFixedNumConn", 20, 66_000, 1500, allow_multi_conn=True),
    case("EventFixedNumConn", 4, 300_000, 900, allow_multi_conn=True, allow_self_conn=True),
    case("EventFixedNumConn", 150_000, 3, 300, efferent_target="pre"),
    case("EventFixedNumConn", 40, 20_001, 7, efferent_target="pre"),
    case("EventFixedNumConn", 12, 9001, 30, efferent_target="pre", allow_multi_conn=True),
    case("EventFixedNumConn", 50, 50, 70, efferent_target="pre", allow_multi_conn=True, seed=4),
    case("EventFixedTotalNum", 30, 30, 3000, allow_multi_conn=True, allow_self_conn=False),
    case("EventDistanceProb", 63, 42, Gaussian(0.9, 0.2), shapes=((7, 9), (7, 6)), extent=1.0),
    case("EventDistanceProb", 300, 300, Box(1.0, 20.0), allow_self_conn=False),
)


def drawn_on_the_device(gpu, monkeypatch, graph):
    before = gpu and gpu()
    monkeypatch.setattr(cuda, "is_default_device", lambda: True)
    rows = drawing.draw(graph)
    assert gpu is None or gpu() > before
    return rows


@pytest.mark.parametrize("c", GRAPHS, ids=ids(GRAPHS))
def test_graphs_drawn_on_the_device(gpu, monkeypatch, c):
    """The CPU's, bit for bit."""
    graph = c.make(1.0).graph
    expected = drawing.draw(graph, reference=True)
    found = drawn_on_the_device(gpu, monkeypatch, graph)
    assert bits(found.ptr) == bits(expected.ptr) and bits(found.offsets) == bits(expected.offsets)


@pytest.mark.parametrize("graph", GOLDEN, ids=name)
def test_golden_graphs_on_the_device(gpu, monkeypatch, graph):
    rows = drawn_on_the_device(gpu, monkeypatch, graph)
    assert (rows.hash()[:32], rows.n_synapses) == GOLDEN[graph]


UPDATED = (
    case("EventLinear", 63, 65),
    case("EventFixedNumConn", 17, 31, 40, allow_multi_conn=True),
    case("EventFixedNumConn", 140, 9001, 50),
)


@pytest.mark.parametrize("side", test_plasticity.SIDES)
@pytest.mark.parametrize("c", UPDATED, ids=ids(UPDATED))
def test_updates(gpu, c, side):
    op = c.make("per-synapse", backend="gpu")
    for options in test_plasticity.OPTIONS[:3]:
        for dtype, spikes in (("float32", "bool"), ("float32", "float32"), ("bfloat16", "float32")):
            update = test_plasticity.make(op, side, spikes=spikes, dtype=dtype, **options)
            before = gpu and gpu()
            test_plasticity.assert_update(update, update())
            assert gpu is None or gpu() > before
    mapped = jax.vmap(lambda w, o=op: update(o, w))(jnp.stack([update.weight, -update.weight]))
    test_plasticity.assert_update(update, mapped[0])


def test_silent_rows_do_not_count(gpu):
    weight = np.ones((70, 40), np.float32)
    weight[::2] = np.nan
    op = nn.EventLinear(70, 40, weight, backend="gpu")
    spikes = np.arange(70) % 2 == 1
    np.testing.assert_array_equal(op(spikes), np.full(40, 35, np.float32))
    dw = jax.grad(lambda w: op.with_weight(w)(spikes.astype(np.float32)).sum())(op.weight)
    np.testing.assert_array_equal(dw, np.broadcast_to(spikes[:, None], (70, 40)))


def test_arrays_that_lead_outside(gpu):
    """Nothing is read or written outside of the buffers, whatever the arrays of a graph hold."""
    op = nn.EventFixedNumConn(60, 9000, 50, np.ones(3000, np.float32), backend="gpu")
    rng = np.random.default_rng(0)
    for _ in range(5):
        ptr = rng.integers(-(2**31), 2**31 - 1, op.rows.ptr.shape).astype(np.int32)
        offsets = rng.integers(0, 2**16, op.rows.offsets.shape).astype(np.uint16)
        leaves, tree = jax.tree.flatten(op)
        wild = [
            jnp.asarray(ptr)
            if x is op.rows.ptr
            else jnp.asarray(offsets)
            if x is op.rows.offsets
            else x
            for x in leaves
        ]
        op_wild = jax.tree.unflatten(tree, wild)
        spikes = jnp.ones(60, jnp.float32)
        out, pull = jax.vjp(lambda w, s, op=op_wild: op.with_weight(w)(s), op.weight, spikes)
        assert out.shape == (9000,)
        pull(out)


def test_the_benchmark(capsys, monkeypatch, tmp_path):
    """What ``python -m eventops.bench.gpu`` does, in its dry run."""
    settings = bench.SETTINGS | {"rounds": 3, "min_sample_s": 0.0, "warmup": 1}
    monkeypatch.setattr(bench, "SETTINGS", settings)
    monkeypatch.setattr(bench, "PEERS", ("jnp-dense",))
    out = tmp_path / "results" / "gpu.json"
    assert bench.main(["--dry-run", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    weights = ["per-synapse", "scalar", "per-synapse", "scalar"]
    assert [row["weight"] for row in record["points"]] == weights
    for row in record["points"]:
        assert max(row["worst"].values()) <= 1
        for way in ("cpu", "jnp-dense"):
            assert row["seconds"][way]["call"] > 0 and row["seconds"][way]["scan"] > 0
    assert record["summary"]["scan: best other / ours, least"] > 0
    if backends.available()["gpu"] is not None:
        assert bench.main([]) == 1
        assert "eventops.bench.gpu: " in capsys.readouterr().err


def test_the_summary_of_a_benchmark():
    def row(gpu, other, brainevent, active):
        seconds = {"gpu": gpu, "gpu-atomics": 1e-9, "bcoo": other, "brainevent": brainevent}
        return {
            "seconds": {name: {"call": t, "scan": t} for name, t in seconds.items()},
            "active_bytes": active,
        }

    rows = [row(1.0, 2.0, 4.0, None), row(1.0, 16.0, 8.0, 2e8), row(1.0, 0.5, 1.0, 9e8)]
    found = bench.summary({"points": rows, "read_bandwidth_bytes_per_s": 1e9})
    assert found == {
        "call: best other / ours, geometric mean": pytest.approx(2.0),
        "call: best other / ours, least": 0.5,
        "scan: best other / ours, geometric mean": pytest.approx(2.0),
        "scan: best other / ours, least": 0.5,
        "scan: ours / brainevent, most": 1.0,
        "share of the read bandwidth beyond the cache, least": pytest.approx(0.2),
    }
    assert set(bench.summary({"points": [], "read_bandwidth_bytes_per_s": 1e9}).values()) == {None}
