"""Weights that are generated: the same ones stored and not stored, and the law that was asked for."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from support.cases import (
    BACKENDS,
    DRAWN,
    GENERATED,
    LAW,
    active,
    assert_product,
    bits,
    case,
    ids,
    run_python,
    typed,
)

import eventops as nn
from eventops.graphs import drawing, quantiles
from eventops.interop.trees import _from_json, _to_json

# A third of the table: every rule, repeats, autapses left out, nothing connected, several tiles.
CASES = DRAWN[::3]
every = pytest.mark.parametrize("case", CASES, ids=ids(CASES))
LAWS = (
    nn.weights.Normal(0.5, 0.1),
    nn.weights.Uniform(-1.0, 0.25),
    nn.weights.Quantile(lambda p: -np.log1p(-p), scale=2.0),
)


def stored(c):
    """The sparse operator of the same arguments."""
    return case(c.kind, c.n_in, c.n_out, c.conn, **{**dict(c.options), "storage": "sparse"})


@every
def test_the_weights_that_are_stored(case):
    """Bit for bit, natively and with NumPy, whatever the rule and the tiles."""
    op, twin = case.make(GENERATED), stored(case).make(GENERATED)
    assert op.nbytes == 8 and op.weight.shape == (2,) and twin.weight.shape == (twin.n_synapses,)
    rows = op.connections()
    assert bits(op._weights(rows)) == bits(twin.weight)
    if twin.n_synapses < 20_000:
        law = drawing.Generated(op.graph, op.law)
        slow = drawing.standard_weights(law, rows, reference=True)
        assert bits(drawing.standard_weights(law, rows)) == bits(slow)
    if case.n_in * case.n_out < 10**6:
        assert bits(op.todense()) == bits(twin.todense())


@every
def test_product(case):
    """Single vectors, a batch (which draws a row once for all), and both kinds of spikes."""
    op = case.make(GENERATED)
    if case.n_in == 0:
        assert op(jnp.ones((3, 0))).tolist() == [[0.0] * case.n_out] * 3
        return
    for dtype in ("bool", "float32"):
        spikes = typed(active(case.n_in), dtype)
        assert_product(op, spikes, op(jnp.asarray(spikes)), np.float32)
        for one in spikes[[1, 4]]:
            assert_product(op, one, op(jnp.asarray(one)))


# What a kernel multiplies is read off a product with unit vectors.
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "law, dtype",
    [*((LAW, d) for d in ("float32", "float16", "bfloat16")), *((x, "float32") for x in LAWS[1:])],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_the_weights_of_the_kernels(law, dtype, backend):
    def make(**options):
        return nn.EventFixedProb(63, 65, 0.3, law, seed=2**62 + 5, dtype=dtype, **options)

    op, dense = make(storage="procedural", backend=backend), make().todense()
    unit = jnp.eye(63, dtype=bool)
    assert bits(op(unit)) == bits(dense)
    assert bits(op(unit[5])) == bits(dense[5])


@pytest.mark.x64
def test_float64():
    op, twin = (
        nn.EventFixedProb(63, 65, 0.3, LAW, dtype="float64", storage=storage)
        for storage in ("procedural", "sparse")
    )
    assert bits(op(jnp.eye(63, dtype=bool))) == bits(twin.todense())
    spikes = typed(active(63), "float64")
    assert_product(op, spikes, op(jnp.asarray(spikes)), "float64")


def test_weights_depend_on_the_pair_and_the_seed_alone():
    """Not on the size, nor on which other pairs are connected; each synapse of a pair has its own."""
    small = nn.EventFixedProb(20, 30, 1.0, LAW, seed=4).todense()
    large = nn.EventFixedProb(50, 40, 1.0, LAW, seed=4).todense()
    sparse = nn.EventFixedProb(50, 40, 0.3, LAW, seed=4).todense()
    assert bits(large[:20, :30]) == bits(small)
    assert bits(jnp.where(sparse != 0, large, 0)) == bits(sparse)
    assert not jnp.any(nn.EventFixedProb(20, 30, 1.0, LAW, seed=5).todense() == small)
    repeated = nn.EventFixedNumConn(5, 3, 40, LAW, allow_multi_conn=True)
    assert np.unique(repeated.weight).size == 200


def test_golden_weights():
    """Version 1 of the generator, for good."""
    w = nn.EventFixedProb(5, 4, 0.5, nn.weights.Normal(0.0, 1.0), seed=11).weight
    assert quantiles.standard_normal().digest() == GOLDEN_NORMAL
    assert quantiles.standard_uniform().digest() == GOLDEN_UNIFORM
    assert np.asarray(w[:3]).view(np.uint32).tolist() == GOLDEN_WEIGHTS


GOLDEN_NORMAL = "3a8d61af46c0705980bb37f1a3cc494fd9142ea2628d69b6caefe34c0efa01a3"
GOLDEN_UNIFORM = "dac004863fb9791bfe6f9a724987d8608c6520a234b4f6414e845bb1cb905617"
GOLDEN_WEIGHTS = [3210704993, 3189950737, 1072788888]


def test_quantiles_follow_the_law():
    """To some float32 roundings, in the middle and in both tails."""
    rng = np.random.default_rng(0)
    ends = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1], np.uint32)
    words = np.concatenate([ends, rng.integers(0, 2**32, 200_000, dtype=np.uint32), ends[:3] + 5])
    p = (words.astype(np.float64) + 0.5) / 2**32
    # From the end that is nearer, as 1 - p loses what a tail is made of.
    q = ((~words).astype(np.float64) + 0.5) / 2**32
    exact = np.where(p < 0.5, stats.norm.ppf(p), stats.norm.isf(q))
    assert np.max(np.abs(quantiles.standard_normal()(words) - exact)) < 5e-7
    assert np.max(np.abs(quantiles.standard_uniform()(words) - p)) < 1e-7
    table = quantiles.tabulate("test", "lognorm", stats.lognorm(0.5).ppf)
    np.testing.assert_allclose(table(words), stats.lognorm(0.5).ppf(p), rtol=2e-6)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_distribution(law):
    """Of 200,000 synapses: Kolmogorov and Smirnov's test, and no correlation of neighbours in either direction."""
    op = nn.EventFixedProb(500, 400, 1.0, law, seed=9)
    w = np.asarray(op.weight, np.float64).reshape(500, 400)
    exact = {
        "Normal": stats.norm(0.5, 0.1),
        "Uniform": stats.uniform(-1.0, 1.25),
        "Quantile": stats.expon(scale=2.0),
    }[type(law).__name__]
    assert stats.kstest(w.ravel(), exact.cdf).pvalue > 1e-4
    z = stats.norm.ppf(exact.cdf(w).clip(1e-9, 1 - 1e-9))
    for a, b in ((z[:, 1:], z[:, :-1]), (z[1:], z[:-1]), (z[1:, 1:], z[:-1, :-1])):
        assert abs(np.mean(a * b)) * a.size**0.5 < 4.5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("storage", ["sparse", "procedural"])
def test_gradients_by_the_parameters(storage, backend):
    """Mean and spread, the input, and the operator itself, beside the dense matrix."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 40)), jnp.float32)
    op = nn.EventFixedNumConn(40, 30, 5, LAW, storage=storage, backend=backend)
    base = op.with_weight(nn.weights.Normal(0.0, 1.0)).todense()
    linked = op.with_weight(1.0).todense()

    def ours(mean, std, x):
        return jnp.sum(jnp.tanh(op.with_weight(nn.weights.Normal(mean, std))(x)))

    def twin(mean, std, x):
        return jnp.sum(jnp.tanh(x @ (mean * linked + std * base)))

    for a, b in zip(
        jax.jit(jax.grad(ours, (0, 1, 2)))(0.3, 0.2, x), jax.grad(twin, (0, 1, 2))(0.3, 0.2, x)
    ):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    low = jax.grad(lambda low: op.with_weight(nn.weights.Uniform(low, 1.0))(x).sum())(0.0)
    unit = op.with_weight(nn.weights.Uniform(0.0, 1.0))
    np.testing.assert_allclose(low, jnp.sum(x @ (linked - unit.todense())), rtol=1e-4)
    if storage == "procedural":
        grad = jax.grad(lambda op: op(x).sum())(op)
        assert grad.weight.shape == (2,) and isinstance(grad, nn.EventFixedNumConn)


def test_other_weights():
    """A law for one number and back, another location and scale, and a traced law of a stored graph."""
    op = nn.EventFixedProb(40, 30, 0.3, LAW, storage="procedural")
    one = op.with_weight(0.5)
    assert one.weight.shape == () and "homogeneous" in repr(one) and "normal, generated" in repr(op)
    assert bits(one.with_weight(LAW).todense()) == bits(op.todense())
    assert bits(op.with_weight(jnp.array([0.2, 0.7])).todense()) == bits(op.todense())
    sparse = nn.EventFixedProb(40, 30, 0.3, 1.0)
    traced = jax.jit(lambda m, s: sparse.with_weight(nn.weights.Normal(m, s)).weight)(0.2, 0.7)
    assert bits(traced) == bits(sparse.with_weight(LAW).weight)
    with pytest.raises(ValueError, match=r"shape \(3,\).*|one weight for all synapses"):
        op.with_weight(jnp.ones(3))


def test_as_other_matrices():
    op = nn.EventFixedProb(40, 30, 0.3, LAW, storage="procedural")
    dense = np.asarray(op.todense())
    assert np.array_equal(op.to_scipy().toarray(), dense)
    assert np.array_equal(op.to_bcoo().todense(), dense)
    assert np.array_equal(op.T.todense(), dense.T)
    assert np.array_equal(op[3:9, ::2].todense(), dense[3:9, ::2])


@pytest.mark.parametrize("split", ["pre", "post"])
def test_sharded(split):
    op = nn.sharded(nn.EventFixedProb, jax.make_mesh((1,), ("x",)), "x", split=split)(
        40, 30, 0.3, LAW
    )
    assert bits(op.todense()) == bits(nn.EventFixedProb(40, 30, 0.3, LAW).todense())


def test_one_delay():
    op = nn.EventFixedProb(40, 30, 0.3, LAW, storage="procedural")
    late = nn.Delayed(op, 2)
    x = jnp.arange(40) % 3 == 0
    _, currents = jax.lax.scan(late.step, late.init_state(), jnp.stack([x, ~x, ~x]))
    assert bits(currents[2]) == bits(op(x))


def test_staging():
    """Export, with the operator as an argument; its static part as text."""
    op = nn.EventFixedProb(40, 30, 0.3, LAW, storage="procedural")
    x = jnp.arange(40) % 3 == 0
    kernel = jax.export.DisabledSafetyCheck.custom_call("eventops_GeneratedForward")
    exported = jax.export.export(jax.jit(lambda op, x: op(x)), disabled_checks=[kernel])(op, x)
    again = jax.export.deserialize(exported.serialize())
    assert bits(again.call(op, x)) == bits(op(x))
    static = jax.tree.structure(op).node_data()[1]
    assert _from_json(_to_json(static)) == tuple(static)
    assert json.loads(_to_json(static))


ISA = """
import hashlib, jax.numpy as jnp, numpy as np, eventops as nn
digest = hashlib.sha256()
for op in (
    nn.EventFixedProb(200, 3001, 0.1, nn.weights.Normal(0.7, 0.1), seed=1, storage="procedural"),
    nn.EventFixedNumConn(50, 700, 300, nn.weights.Normal(0.3, 1.0), allow_multi_conn=True, storage="procedural"),
):
    for x in (op(jnp.ones(op.in_size, bool)), op.todense()):
        digest.update(np.asarray(x).tobytes())
print("RESULT", digest.hexdigest())
"""


def test_the_same_bits_for_any_instruction_set(capsys):
    exec(ISA, {})
    here = capsys.readouterr().out.split()[-1]
    done = run_python(ISA, EVENTOPS_ISA="plain")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split()[-1] == here


def test_what_cannot_be_done_with_generated_weights():
    op = nn.EventFixedProb(5, 5, 0.2, LAW, storage="procedural")
    with pytest.raises(NotImplementedError, match="GPU generates no weights.*storage='sparse'"):
        jax.export.export(jax.jit(lambda s: op(s)), platforms=["cuda"])(jnp.ones(5, bool))
    with pytest.raises(TypeError, match="keeps no synapses whose weights could change"):
        op.update_on_pre(jnp.zeros(3), jnp.ones(5), jnp.ones(5))
