"""Operators over several devices and processes: the same graph, the same numbers, no hidden communication."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from support import sharding_checks
from support.cases import run_python

import eventops as nn
from eventops.core import loader
from eventops.graphs import drawing
from eventops.graphs.drawing import Part
from eventops.graphs.graph import BERNOULLI, FIXED_POST, FIXED_PRE, FIXED_TOTAL, Graph, Window

FOUR = dict(XLA_FLAGS="--xla_force_host_platform_device_count=4")


@pytest.fixture(scope="module")
def results(request):
    """Of the checks that were asked for, from one process with four devices."""
    asked = [
        item
        for item in request.session.items
        if getattr(item, "function", None) is test_four_devices
    ]
    names = [item.callspec.params["name"] for item in asked]
    code = f"from support import sharding_checks; sharding_checks.main({names!r})"
    done = run_python(code, timeout=600, **FOUR)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", sharding_checks.CHECKS)
def test_four_devices(results, name):
    if results[name] is not None:
        pytest.fail(results[name], pytrace=False)


def test_two_processes():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", **FOUR}
    env["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from support import sharding_checks; sharding_checks.process({rank}, {port})",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd=os.path.dirname(os.path.dirname(__file__)),
        )
        for rank in range(2)
    ]
    try:
        said = [p.communicate(timeout=150) for p in processes]
    finally:
        for p in processes:
            p.kill()
    for p, (out, err) in zip(processes, said):
        assert p.returncode == 0 and out.strip().endswith("passed"), err


GRAPHS = (
    Graph(BERNOULLI, 60, 50, prob=0.3, seed=1),
    Graph(BERNOULLI, 64, 64, prob=0.9, allow_self=False, seed=2),
    Graph(BERNOULLI, 7, 40_000, prob=0.01, seed=3),
    Graph(FIXED_POST, 200, 50, conn_num=7, n_selected=90, seed=4),
    Graph(FIXED_POST, 60, 60, conn_num=40, n_selected=60, allow_self=False),
    Graph(FIXED_PRE, 60, 50, conn_num=7, n_selected=60, seed=5),
    Graph(FIXED_PRE, 60, 60, conn_num=9, n_selected=31, allow_self=False, allow_multi=True),
    Graph(FIXED_PRE, 20, 40_000, conn_num=3, n_selected=20),
    Graph(FIXED_TOTAL, 60, 50, conn_num=900, seed=6),
    Graph(FIXED_TOTAL, 20, 40_000, conn_num=700, allow_multi=True, seed=7),
    nn.EventDistanceProb(60, 50, nn.profiles.Gaussian(0.6, 5.0), 1.0, storage="procedural").graph,
    nn.EventDistanceProb(
        (8, 8), (8, 8), nn.profiles.Box(0.5, 3.0), 1.0, periodic=True, storage="procedural", seed=8
    ).graph,
)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda g: f"{g.rule}-{g.n_in}x{g.n_out}")
def test_a_part_is_a_part_of_the_graph(graph, reference):
    if not reference and loader.unavailable() is not None:
        pytest.skip(loader.unavailable())
    rows = drawing.draw(graph)
    pre = np.repeat(np.arange(graph.n_in), np.diff(rows.indptr()))
    post = rows.indices()
    n, m = graph.n_in, graph.n_out
    for a, b, c, d in (
        (0, n, 0, m),
        (0, 1, 0, m),
        (n // 3, n // 2, m // 4, m),
        (n - 2, n, m - 1, m),
    ):
        part = Part(graph, Window((a, b), (c, d)), "test", reference=reference)
        inside = (pre >= a) & (pre < b) & (post >= c) & (post < d)
        assert part.n_synapses == inside.sum()
        drawn = part.rows(part.n_synapses + 3)
        assert not np.any(np.asarray(drawn.offsets[part.n_synapses :]))
        drawn = part.rows(part.n_synapses)
        np.testing.assert_array_equal(drawn.indices(), post[inside] - c)
        np.testing.assert_array_equal(
            part.out_degrees(), np.bincount(pre[inside] - a, minlength=b - a)
        )


MESH = jax.make_mesh((1,), ("x",), devices=jax.devices()[:1])


@pytest.mark.parametrize(
    "error, said, make",
    [
        (TypeError, "class of operators", lambda: nn.sharded(nn.EventLinear(2, 2, 1.0), MESH, "x")),
        (TypeError, "jax.make_mesh", lambda: nn.sharded(nn.EventLinear, "x", "x")),
        (ValueError, r"\('x',\)", lambda: nn.sharded(nn.EventLinear, MESH, "y")),
        (ValueError, "'post' or 'pre'", lambda: nn.sharded(nn.EventLinear, MESH, "x", split="in")),
        (ValueError, "batch='y'", lambda: nn.sharded(nn.EventLinear, MESH, "x", batch="y")),
        (ValueError, "must not contain", lambda: nn.sharded(nn.EventLinear, MESH, "x", batch="x")),
        (
            ValueError,
            "conn_num=1.5",
            lambda: nn.sharded(nn.EventFixedProb, MESH, "x")(4, 4, 1.5, 1.0),
        ),
        (
            ValueError,
            r"\(4, 2\) does not fit a sharded.*\(8,\) in \(pre, post\) order",
            lambda: nn.sharded(nn.EventFixedNumConn, MESH, "x")(4, 4, 2, np.ones((4, 2))),
        ),
        (
            TypeError,
            "sharded",
            lambda: type(nn.sharded(nn.EventLinear, MESH, "x")(4, 4, 1.0))(4, 4),
        ),
    ],
)
def test_errors(error, said, make):
    with pytest.raises(error, match=said):
        make()


def test_one_device_is_an_ordinary_mesh():
    op = nn.sharded(nn.EventFixedNumConn, MESH, "x", split="pre")(40, 30, 5, 0.5, seed=3)
    whole = nn.EventFixedNumConn(40, 30, 5, 0.5, seed=3)
    spikes = np.arange(40) % 3 == 0
    np.testing.assert_array_equal(op(spikes), whole(spikes))
    assert op.hash() == whole.rows.hash() and op.nbytes == op.nbytes_per_device == whole.nbytes
    with pytest.raises(AttributeError, match="immutable"):
        op.weight = 1.0
    with pytest.raises(ValueError, match="do not fit in_size=40"):
        op(spikes[:30])


def test_dense_weights_of_any_kind():
    """Integers of NumPy's keep their value, and an initialiser may compute with concrete numbers."""
    make = nn.sharded(nn.EventLinear, MESH, "x")
    np.testing.assert_array_equal(
        make(2, 1, np.full((2, 1), 2**40)).weight, np.full((2, 1), 2.0**40)
    )

    def in_numpy(key, shape, dtype):
        return np.full(shape, float(jax.random.uniform(key)), dtype)

    expected = nn.EventLinear(2, 1, in_numpy).weight
    np.testing.assert_array_equal(make(2, 1, in_numpy).weight, expected)
    op = make(2, 1, expected)
    np.testing.assert_array_equal(op.todense(), expected)
    with pytest.raises(MemoryError, match="Sharded.todense: a matrix of 4194304 x 4194304"):
        make(2**22, 2**22, 1.0).todense()
    with pytest.raises(TypeError, match="Sharded.update_on_pre: a sharded operator"):
        op.update_on_pre(expected, np.ones(2), np.ones(1))
