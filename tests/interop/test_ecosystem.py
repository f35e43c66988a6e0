"""Operators in the libraries that models are written with, and ``split``, for all of them and plain JAX."""

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from support.cases import bits

import eventops as nn

SPIKES = jnp.asarray(np.random.default_rng(0).random((16, 30)) < 0.3)
TARGET = jnp.asarray(np.random.default_rng(1).normal(size=(16, 4)), jnp.float32)
NORMAL = jax.nn.initializers.normal(0.3)


def layers():
    return (
        nn.EventFixedNumConn(30, 20, 5, NORMAL, seed=1),
        nn.EventFixedProb(30, 20, 0.3, 0.1, seed=2),
        nn.EventLinear(20, 4, NORMAL, seed=3),
    )


def others():
    """One of every other rule, and a matrix that is given."""
    near = nn.profiles.Gaussian(0.8, 4.0)
    given = np.random.default_rng(2).random((30, 20)) < 0.2
    return {
        "distance": nn.EventDistanceProb(30, 20, near, 0.1, periodic=True, seed=4),
        "given": nn.EventSparse(given.astype("float32"), NORMAL),
        "total": nn.EventFixedTotalNum(30, 20, 100, 0.1, allow_multi_conn=True, seed=5),
    }


class Net(eqx.Module):
    """A nested container with everything that a model can hold."""

    hidden: dict
    out: nn.EventLinear
    tau: jax.Array
    activation: object
    order: int
    nothing: None = None

    def __call__(self, spikes):
        return self.out(self.activation(sum(op(spikes) for op in self.hidden.values()) / self.tau))


def net():
    fixed, random, out = layers()
    hidden = {"fixed": fixed, "random": random, **others()}
    return Net(hidden, out, jnp.float32(2), jnp.tanh, 3)


KINDS = ("distance", "fixed", "given", "random", "total")
NAMES = [*(f"hidden.{kind}.weight" for kind in KINDS), "out.weight", "tau"]


def error_of(model, spikes=SPIKES):
    return jnp.mean((model(spikes) - TARGET[: spikes.shape[0]]) ** 2)


def graphs(model) -> list[bytes]:
    """The integer arrays of a model."""
    integers = [
        a for a in jax.tree.leaves(model) if getattr(a, "dtype", None) in ("int32", "uint16")
    ]
    return [bits(a) for a in integers]


def same(a, b) -> bool:
    """Same structure, and the same bits in every array."""
    same_tree = jax.tree.structure(a) == jax.tree.structure(b)
    return same_tree and all(
        bits(x) == bits(y) if hasattr(x, "dtype") else x is y
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b))
    )


# ---- split


def test_split_and_merge_are_inverse():
    model = net()
    weights, merge = nn.split(model)
    assert list(weights) == NAMES and all(a.dtype == jnp.float32 for a in weights.values())
    assert same(merge(weights), model)
    assert len(graphs(merge)) == 2 * len(KINDS) and not graphs(weights)
    assert all(a.dtype in ("int32", "uint16", int) for a in map(np.asarray, jax.tree.leaves(merge)))
    twice = merge({name: 2 * a for name, a in weights.items()})
    assert bits(twice.out.weight) == bits(2 * model.out.weight) and graphs(twice) == graphs(model)
    assert repr(merge) == f"Merge({', '.join(NAMES)})"
    assert hash(jax.tree.structure(merge)) == hash(jax.tree.structure(nn.split(net())[1]))


@pytest.mark.parametrize(
    "model, names",
    [
        (layers()[0], ["weight"]),
        (layers()[:2], ["0.weight", "1.weight"]),
        ({"a": [layers()[2], None], "n": 3, "x": np.ones(2)}, ["a.0.weight", "x"]),
        (jnp.ones(3), [""]),
        ({"key": jax.random.key(0), "mask": jnp.ones(3, bool), "tau": 3.0}, []),
        ((), []),
    ],
    ids=lambda x: str(type(x).__name__),
)
def test_split_of_any_pytree(model, names):
    weights, merge = nn.split(model)
    assert list(weights) == names
    again = merge(weights)
    assert jax.tree.structure(again) == jax.tree.structure(model)
    assert all(a is b for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(model)))


def test_gradients_by_split_are_those_by_with_weight():
    """With ``merge`` closed over, as an argument of jit, and where the model itself is traced."""
    fixed, random, out = layers()

    def by_hand(w):
        hidden = fixed.with_weight(w)(SPIKES) + random(SPIKES)
        hidden += sum(op(SPIKES) for op in others().values())
        return jnp.mean((out(jnp.tanh(hidden / jnp.float32(2))) - TARGET) ** 2)

    exact = np.asarray(jax.grad(by_hand)(fixed.weight))
    model = net()
    weights, merge = nn.split(model)
    arrays, rest = eqx.partition(model, eqx.is_array)

    def traced(arrays):
        weights, merge = nn.split(eqx.combine(arrays, rest))
        return jax.grad(lambda w: error_of(merge(w)))(weights)

    for grads in (
        jax.grad(lambda w: error_of(merge(w)))(weights),
        jax.jit(jax.grad(lambda w, merge: error_of(merge(w))))(weights, merge),
        jax.jit(traced)(arrays),
    ):
        assert list(grads) == NAMES
        ours = np.asarray(grads["hidden.fixed.weight"])
        np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-7)


def test_the_graph_is_no_constant_of_a_program_that_takes_merge():
    op = nn.EventFixedNumConn(100, 1000, 500, 0.5)
    weights, merge = nn.split(op)
    text = jax.jit(lambda w, m, s: m(w)(s)).lower(weights, merge, jnp.ones(100, bool)).as_text()
    assert len(text) < 10_000


def test_a_stack_of_weights_is_mapped():
    weights, merge = nn.split(net())
    stack = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), weights)
    outs = jax.vmap(lambda w: merge(w)(SPIKES))(stack)
    for i in range(2):
        one = merge(jax.tree.map(lambda a: a[i], stack))(SPIKES)  # noqa: B023
        np.testing.assert_allclose(np.asarray(outs[i]), np.asarray(one), rtol=1e-5, atol=1e-6)


def test_merge_refuses_what_does_not_fit():
    weights, merge = nn.split(net())
    with pytest.raises(ValueError, match=r"missing \['tau'\] and unknown \['tua'\].*names are"):
        merge({**{k: v for k, v in weights.items() if k != "tau"}, "tua": weights["tau"]})
    with pytest.raises(ValueError, match=r"out.weight has shape \(4, 20\), not \(20, 4\)"):
        merge({**weights, "out.weight": weights["out.weight"].T})
    with pytest.raises(ValueError, match="weights must be a dict"):
        merge(list(weights.values()))
    with pytest.raises(ValueError, match="two leaves of the model are named 'a.b'"):
        nn.split({"a": {"b": jnp.ones(2)}, "a.b": jnp.ones(2)})


# ---- optax


def test_adam_trains_the_weights_and_nothing_else():
    """Why split: an optimiser that is given integer pointers changes those above 2**24."""
    pointers = jnp.asarray([2**24 + 1], jnp.int32)
    model = net()
    weights, merge = nn.split(model)
    optimiser = optax.adam(0.02)
    with jax.numpy_dtype_promotion("standard"):  # as optax expects
        assert optax.apply_updates(pointers, jnp.zeros(1))[0] != pointers[0]
        state = optimiser.init(weights)
        assert not graphs(state[0].mu)

        @jax.jit
        def step(weights, state, merge):
            error, grads = jax.value_and_grad(lambda w: error_of(merge(w)))(weights)
            updates, state = optimiser.update(grads, state, weights)
            return optax.apply_updates(weights, updates), state, error

        errors = []
        for _ in range(60):
            weights, state, error = step(weights, state, merge)
            errors.append(float(error))
    assert step._cache_size() == 1
    assert errors[-1] < 0.6 * errors[0] and np.all(np.diff(errors[:10]) < 0)
    trained = merge(weights)
    assert graphs(trained) == graphs(model)
    assert bits(trained.hidden["fixed"].weight) != bits(model.hidden["fixed"].weight)


# ---- equinox


def test_equinox_transformations():
    model = net()
    grads = eqx.filter_grad(error_of)(model)
    exact = jax.grad(lambda w: error_of(nn.split(model)[1](w)))(nn.split(model)[0])
    assert same(nn.split(grads)[0], exact)
    stepped = eqx.apply_updates(model, jax.tree.map(lambda g: -0.1 * g, grads))
    assert float(error_of(stepped)) < float(error_of(model)) and graphs(stepped) == graphs(model)
    np.testing.assert_allclose(eqx.filter_jit(model)(SPIKES), model(SPIKES), rtol=1e-5, atol=1e-6)
    mapped = eqx.filter_vmap(model)(SPIKES)
    np.testing.assert_allclose(mapped, model(SPIKES), rtol=1e-5, atol=1e-6)
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    assert same(eqx.combine(arrays, rest), model) and "EventFixedNumConn(30, 20" in repr(arrays)


def test_equinox_serialisation(tmp_path):
    model = net()
    eqx.tree_serialise_leaves(tmp_path / "net.eqx", model)
    blank = nn.split(model)[1](jax.tree.map(jnp.zeros_like, nn.split(model)[0]))
    assert same(eqx.tree_deserialise_leaves(tmp_path / "net.eqx", blank), model)


# ---- flax


class Synapses(nnx.Module):
    """The graph as data, the weight as a parameter."""

    def __init__(self, op):
        self.graph = nnx.data(op.with_weight(0.0))
        self.weight = nnx.Param(op.weight)

    def __call__(self, spikes):
        return self.graph.with_weight(self.weight[...])(spikes)


def test_flax_nnx():
    op = layers()[0]
    model = Synapses(op)
    assert (
        bits(model(SPIKES)) == bits(op(SPIKES)) == bits(nnx.jit(lambda m, s: m(s))(model, SPIKES))
    )
    target = jnp.ones((16, 20))

    def loss(model):
        return jnp.mean((model(SPIKES) - target) ** 2)

    exact = jax.grad(lambda w: jnp.mean((op.with_weight(w)(SPIKES) - target) ** 2))(op.weight)
    assert bits(nnx.grad(loss)(model)["weight"][...]) == bits(exact)
    with jax.numpy_dtype_promotion("standard"):
        optimiser = nnx.Optimizer(model, optax.adam(0.02), wrt=nnx.Param)

        @nnx.jit
        def step(model, optimiser):
            error, grads = nnx.value_and_grad(loss)(model)
            optimiser.update(model, grads)
            return error

        errors = [float(step(model, optimiser)) for _ in range(30)]
    assert errors[-1] < 0.6 * errors[0]
    assert model.graph.rows.hash() == op.rows.hash()
    structure, state = nnx.split(model)
    assert bits(nnx.merge(structure, state)(SPIKES)) == bits(model(SPIKES))


class Dense(linen.Module):
    """The operator is an attribute, its weight a parameter."""

    op: nn.EventFixedNumConn

    @linen.compact
    def __call__(self, spikes):
        return self.op.with_weight(self.param("weight", lambda key: self.op.weight))(spikes)


def test_flax_linen():
    op = layers()[0]
    model = Dense(op)
    variables = model.init(jax.random.key(0), SPIKES)
    assert list(variables["params"]) == ["weight"]
    assert bits(jax.jit(model.apply)(variables, SPIKES)) == bits(op(SPIKES))
    g = jax.grad(lambda v: jnp.sum(model.apply(v, SPIKES) ** 2))(variables)
    exact = jax.grad(lambda w: jnp.sum(op.with_weight(w)(SPIKES) ** 2))(op.weight)
    assert bits(g["params"]["weight"]) == bits(exact)


# ---- orbax


def test_orbax_checkpoints(tmp_path):
    """The weights alone, and a whole operator, graph and all."""
    model = net()
    weights, merge = nn.split(model)
    ops = model.hidden
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "weights", weights)
        checkpointer.save(tmp_path / "operators", ops)
        checkpointer.wait_until_finished()
        blank = jax.tree.map(jnp.zeros_like, ops)
        assert same(merge(checkpointer.restore(tmp_path / "weights")), model)
        assert same(checkpointer.restore(tmp_path / "operators", blank), ops)
