"""Graphs that are not stored: the very matrix of the stored ones, and products within the same bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import (
    BACKENDS,
    DRAWN,
    active,
    assert_product,
    bits,
    case,
    ids,
    run_python,
    typed,
)

import eventops as nn

CASES = DRAWN
every = pytest.mark.parametrize("case", CASES, ids=ids(CASES))


def stored(c):
    """The sparse operator of the same arguments."""
    return case(c.kind, c.n_in, c.n_out, c.conn, **{**dict(c.options), "storage": "sparse"})


@every
def test_the_same_graph(case):
    op, twin = case.make(0.3), stored(case).make(0.3)
    assert op.rows is None and op.nbytes == 4
    assert op.connections().hash() == twin.rows.hash()
    assert op.n_synapses == twin.n_synapses
    if case.n_in * case.n_out < 10**6:
        assert bits(op.todense()) == bits(twin.todense())


@every
def test_product(case):
    """Single vectors, a batch (which draws a row once for all), and both kinds of spikes."""
    op = case.make(0.3)
    if case.n_in == 0:
        assert op(jnp.ones((3, 0))).tolist() == [[0.0] * case.n_out] * 3
        return
    for dtype in ("bool", "float32"):
        spikes = typed(active(case.n_in), dtype)
        assert_product(op, spikes, op(jnp.asarray(spikes)), np.float32)
        for one in spikes[[1, 4]]:
            assert_product(op, one, op(jnp.asarray(one)))


REFERENCE = [c for c in CASES if c.n_in > 0][:: len(CASES) // 4]


@pytest.mark.parametrize("case", REFERENCE, ids=ids(REFERENCE))
def test_product_of_the_reference(case):
    spikes = typed(active(case.n_in), "float32")
    op = case.make(0.3, backend="reference")
    assert_product(op, spikes, op(jnp.asarray(spikes)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_weights(dtype):
    op = nn.EventFixedProb(63, 65, 0.3, 0.3, dtype=dtype, storage="procedural")
    spikes = active(63)
    assert_product(op, spikes, op(jnp.asarray(spikes)), dtype)


@pytest.mark.x64
def test_float64():
    op = nn.EventFixedProb(63, 65, 0.3, 0.3, dtype="float64", storage="procedural")
    spikes = typed(active(63), "float64")
    assert_product(op, spikes, op(jnp.asarray(spikes)), "float64")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_operator_itself_is_differentiable(backend):
    """Its only leaf is the weight: ``jax.grad`` needs no filter."""
    op = nn.EventFixedNumConn(40, 30, 5, 0.5, storage="procedural", backend=backend)
    assert len(jax.tree.leaves(op)) == 1
    spikes = jnp.arange(40) % 3 == 0
    grad = jax.jit(jax.grad(lambda op: op(spikes).sum()))(op)
    assert isinstance(grad, nn.EventFixedNumConn) and float(grad.weight) == 14 * 5


def test_a_mapped_branch():
    """Nothing of the graph is an operand, so ``cond`` under ``vmap`` has nothing to map."""
    op = nn.EventFixedProb(9, 7, 0.5, 0.5, storage="procedural")
    x, on = jnp.ones((2, 9)), jnp.array([True, False])

    def gated(on, x):
        return jax.lax.cond(on, lambda: op(x), lambda: jnp.zeros(7))

    out = jax.vmap(gated)(on, x)
    assert bits(out) == bits(jnp.where(on[:, None], op(x), jnp.zeros(())))


THREADS = """
import os, hashlib
if os.environ.get("ONE_CORE"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, numpy as np
import eventops as nn
rng, digest = np.random.default_rng(0), hashlib.sha256()
for op in (
    nn.EventFixedProb(3000, 3001, 0.1, 0.7, seed=1, storage="procedural"),
    nn.EventFixedNumConn(2000, 70_000, 300, 0.3, storage="procedural"),
):
    s = jnp.asarray(rng.normal(size=(3, op.in_size)) * (rng.random((3, op.in_size)) < 0.3), jnp.float32)
    out, pull = jax.vjp(lambda w, s: op.with_weight(w)(s), op.weight, s)
    for x in (out, op(s[0]), op(s[0] != 0), *pull(jnp.ones_like(out))):
        digest.update(np.asarray(x).tobytes())
print("RESULT", digest.hexdigest())
"""


def test_the_same_bits_for_any_number_of_threads():
    results = set()
    for env in ({}, {}, {"ONE_CORE": "1"}):
        done = run_python(THREADS, **env)
        assert done.returncode == 0, done.stderr[-3000:]
        results.add(done.stdout.split()[-1])
    assert len(results) == 1


def test_nothing_is_kept():
    """A graph whose synapses would take two gigabytes costs its outputs."""
    op = nn.EventFixedNumConn(1_000_000, 1_000_000, 1000, 0.5, storage="procedural")
    assert op.n_synapses == 10**9 and op.nbytes == 4
    spikes = jnp.zeros(1_000_000, bool).at[jnp.array([3, 999_999])].set(True)
    out = np.asarray(op(spikes))
    assert out.sum() == 1000.0 and set(np.unique(out)) <= {0.0, 0.5, 1.0}
    call = jax.jit(lambda op, s: op(s)).lower(op, spikes).compile().memory_analysis()
    assert call.temp_size_in_bytes < 65536 + op.in_size  # the spikes as a stack of one


def test_what_cannot_be_procedural():
    with pytest.raises(ValueError, match="efferent_target='pre'.*drawn independently.*'sparse'"):
        nn.FixedNumConn(5, 5, 2, 0.5, efferent_target="pre", storage="procedural")
    for weight in (np.ones(5), jax.nn.initializers.normal()):
        with pytest.raises(ValueError, match="one weight for all synapses.*'sparse'"):
            nn.EventFixedProb(5, 5, 0.2, weight, storage="procedural")
    op = nn.EventFixedProb(5, 5, 0.2, 0.5, storage="procedural")
    with pytest.raises(ValueError, match="with_weight: .*one weight for all synapses"):
        op.with_weight(jnp.ones(3))
    mesh = jax.make_mesh((1,), ("x",))
    with pytest.raises(ValueError, match="sharded.*procedural.*nothing to spread"):
        nn.sharded(nn.EventFixedProb, mesh, "x")(4, 4, 0.5, 1.0, storage="procedural")
    text = repr(nn.EventFixedProb(1000, 1000, 0.2, 0.5, storage="procedural"))
    assert "storage='procedural'" in text and "about 200000" in text
