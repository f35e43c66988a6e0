"""Operators under JAX's own settings: its default dtype, and its means to find errors."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import bits

import eventops as nn

NORMAL = jax.nn.initializers.normal(0.3)
LAW = nn.weights.Normal(0.1, 0.3)
NEAR = nn.profiles.Gaussian(0.8, 4.0)
PAIRS = (np.array([0, 3, 5]), np.array([1, 1, 0]))
MESH = jax.make_mesh((1,), ("x",))

# Each takes a weight.
SIMPLE = {
    "Linear": lambda w: nn.Linear(8, 6, w),
    "EventLinear": lambda w: nn.EventLinear(8, 6, w),
    "EventFixedProb": lambda w: nn.EventFixedProb(8, 6, 0.5, w),
    "FixedNumConn": lambda w: nn.FixedNumConn(8, 6, 2, w),
    "EventFixedNumConn": lambda w: nn.EventFixedNumConn(8, 6, 2, w),
    "EventFixedTotalNum": lambda w: nn.EventFixedTotalNum(8, 6, 20, w),
    "EventDistanceProb": lambda w: nn.EventDistanceProb(8, 6, NEAR, w),
    "EventSparse": lambda w: nn.EventSparse(PAIRS, w, shape=(8, 6)),
    "Delayed": lambda w: nn.Delayed(nn.EventFixedNumConn(8, 6, 2, w), 3),
    "Sharded": lambda w: nn.sharded(nn.EventFixedNumConn, MESH, "x")(8, 6, 2, w),
    "Sharded dense": lambda w: nn.sharded(nn.EventLinear, MESH, "x")(8, 6, w),
}
DRAWN = [name for name in SIMPLE if "Fixed" in name or "Distance" in name]


def procedural(name):
    return lambda w: {
        "EventFixedProb": lambda: nn.EventFixedProb(8, 6, 0.5, w, storage="procedural"),
        "EventFixedNumConn": lambda: nn.EventFixedNumConn(8, 6, 2, w, storage="procedural"),
        "EventFixedTotalNum": lambda: nn.EventFixedTotalNum(8, 6, 20, w, storage="procedural"),
    }[name]()


# ---- the default dtype


@pytest.mark.x64
@pytest.mark.parametrize("name", SIMPLE)
def test_numbers_without_a_dtype_get_the_default_one(name):
    """A Python number is the number itself, and no longer off by 1e-8; so are integers, lists and initialisers."""
    op = SIMPLE[name](0.3)
    assert op.dtype == jnp.float64 and op.weight == 0.3
    assert op.with_weight(0.1).weight == 0.1
    assert SIMPLE[name](3).dtype == SIMPLE[name](NORMAL).dtype == jnp.float64
    # What has a dtype keeps it, and so does an operator that is given a plain number.
    for dtype in ("float16", "float32", "float64"):
        given = SIMPLE[name](np.array(0.3, dtype))
        assert given.dtype == dtype == given.with_weight(0.1).dtype
        assert SIMPLE[name](jnp.asarray(0.3, dtype)).dtype == dtype
    if "Delayed" not in name:
        spikes = np.arange(8) / 7
        expected = spikes @ np.asarray(op.todense())
        np.testing.assert_allclose(op(spikes), expected, rtol=1e-14)


@pytest.mark.parametrize("name", SIMPLE)
def test_the_default_is_float32(name):
    for weight in (0.3, 3, NORMAL, jnp.asarray(0.3), np.float64(0.3)):
        assert SIMPLE[name](weight).dtype == jnp.float32


@pytest.mark.x64
def test_lists_and_entries():
    values = [0.1, 0.2, 0.3]
    assert nn.EventLinear(1, 3, [values]).weight.tolist() == [values]
    assert nn.EventSparse((*PAIRS, values), shape=(8, 6)).weight.tolist() == values
    assert nn.EventSparse((*PAIRS, 0.1), shape=(8, 6)).weight == 0.1
    assert nn.EventSparse([[0.1, 0], [0, 3]]).weight.tolist() == [0.1, 3.0]
    assert nn.EventSparse(np.eye(3, dtype=int)).dtype == jnp.float64
    assert nn.EventSparse(np.eye(3, dtype="float32")).dtype == jnp.float32
    repeated = nn.EventSparse(([0, 0], [1, 1], 0.1), shape=(2, 2))
    assert repeated.weight.tolist() == [0.2]


@pytest.mark.x64
@pytest.mark.parametrize("name", DRAWN)
def test_laws(name):
    """The numbers of a law too; stored or not, the weights have the same bits."""
    op = SIMPLE[name](LAW)
    assert op.dtype == jnp.float64
    assert SIMPLE[name](nn.weights.Uniform(np.float32(0), np.float32(1))).dtype == jnp.float32
    assert SIMPLE[name](0.5).with_weight(LAW).dtype == jnp.float64
    if name in ("EventFixedProb", "EventFixedNumConn", "EventFixedTotalNum"):
        drawn = procedural(name)(LAW)
        assert drawn.dtype == jnp.float64 and drawn.weight.tolist() == [0.1, 0.3]
        assert bits(drawn.todense()) == bits(op.todense())


@pytest.mark.x64
def test_modules_of_brainstate():
    pytest.importorskip("brainstate")
    units = pytest.importorskip("brainunit")
    import eventops.brainstate as modules

    with jax.numpy_dtype_promotion("standard"):
        for layer in (
            modules.EventLinear(8, 6, 0.3 * units.mS),
            modules.EventFixedProb(8, 6, 0.5, 0.3),
            modules.EventFixedNumConn(8, 6, 2, 0.3),
        ):
            value = units.get_mantissa(layer.weight.value)
            assert value == 0.3 and value.dtype == layer.op.dtype == jnp.float64
        array = modules.EventFixedNumConn(8, 6, 2, np.ones((8, 2), np.float32))
        assert array.op.dtype == jnp.float32


@pytest.mark.x64
@pytest.mark.parametrize("name", ["coba", "cuba", "brunel", "microcircuit"])
def test_models(name):
    """All numbers of a model have one dtype, also where JAX promotes nothing."""
    from eventops import models

    model = getattr(models, name)
    net = model.network(0.01) if name == "microcircuit" else model.network(400)
    floating = [
        x.dtype
        for x in jax.tree.leaves(net)
        if jnp.issubdtype(jnp.result_type(x), jnp.floating)
        if hasattr(x, "dtype")
    ]
    assert set(floating) == {jnp.dtype("float64")}
    state, counts, _ = models.run(model.step, net, model.initial(net), 20)
    assert state.v.dtype == jnp.float64 and np.isfinite(state.v).all()


# ---- the means to find errors


@contextlib.contextmanager
def searching():
    """As someone does who looks for a nan: operation by operation."""
    with jax.debug_nans(True), jax.disable_jit():
        yield


@pytest.mark.parametrize("weight", [0.5, NORMAL, LAW], ids=["number", "initialiser", "law"])
@pytest.mark.parametrize("name", SIMPLE)
def test_debug_nans_without_jit(name, weight):
    if weight is LAW and name not in (*DRAWN, "Delayed"):
        pytest.skip("draws no graph")
    op, spikes = SIMPLE[name](weight), np.arange(8) / 8
    with searching():
        again = SIMPLE[name](weight)
        assert bits(again.weight) == bits(op.weight)
        again.todense()
        if name == "Delayed":
            assert bits(again.step(again.init_state(), spikes)[0].ring) == bits(
                op.step(op.init_state(), spikes)[0].ring
            )
            return
        np.testing.assert_allclose(again(spikes), op(spikes), rtol=1e-6)
        if name.startswith("Sharded"):
            return
        jax.grad(lambda w: again.with_weight(w)(spikes).sum())(op.weight)
        jax.jvp(again, (jnp.asarray(spikes, "float32"),), (jnp.ones(8),))
        again.T(np.ones(6, bool)), again[1:3](np.ones(2, bool))
        full = jnp.ones(again._weight_shape())
        for rule in ("additive", lambda w, x: w + x):
            again.update_on_pre(full, spikes, np.ones(6), rule=rule)
            again.update_on_post(full, np.ones(6), spikes, low=0.0, high=3.0, rule=rule)


@pytest.mark.parametrize("weight", [0.5, LAW], ids=["number", "law"])
@pytest.mark.parametrize("name", ["EventFixedProb", "EventFixedNumConn", "EventFixedTotalNum"])
def test_debug_nans_of_procedural_storage(name, weight):
    op, spikes = procedural(name)(weight), np.arange(8) / 8
    with searching():
        again = procedural(name)(weight)
        assert bits(again(spikes)) == bits(op(spikes))
        assert bits(again.todense()) == bits(op.todense())
        jax.grad(lambda w: again.with_weight(w)(spikes).sum())(op.weight)


def test_a_nan_among_the_weights_is_still_one():
    """What makes no nan of its own hides none."""
    for mean, std in ((np.nan, 1.0), (0.0, np.nan), (0.0, np.inf)):
        parameters = jnp.array([mean, std], jnp.float32)
        op = nn.EventFixedNumConn(8, 6, 2, LAW, storage="procedural").with_weight(parameters)
        dense = np.asarray(op.todense())
        assert not np.isfinite(dense[op.connections().todense(jnp.ones(16)) > 0]).any()
        stored = nn.EventSparse(np.eye(2, dtype="float32")).with_weight(jnp.array([np.nan, 1.0]))
        with jax.debug_nans(True), pytest.raises(FloatingPointError):
            stored(np.ones(2, bool))
