"""Operators that differ in their seed or parameters are of one structure: one program serves all."""

import copy
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import native

import eventops as nn

N_IN, N_OUT = 40, 30
SPIKES = jnp.arange(N_IN) % 3 == 0


def late(op):
    return nn.Delayed(op, np.arange(op.n_synapses).reshape(op._weight_shape()) % 4)


def given(seed):
    """As many synapses for every seed, at other places."""
    place = np.random.default_rng(seed).choice(N_IN * N_OUT, 200, replace=False)
    return np.divmod(np.sort(place), N_OUT)


def bernoulli(seed):
    return nn.EventFixedProb(N_IN, N_OUT, 0.01, 0.5, seed=seed)


def near(seed):
    return nn.EventDistanceProb(N_IN, N_OUT, nn.profiles.Gaussian(0.1, 1.0), 0.5, seed=seed)


# Of each two operators with arrays of the same shapes, and different graphs or weights.
MAKE = {
    "out-degree": lambda k: nn.EventFixedNumConn(N_IN, N_OUT, 5, 0.5, seed=k),
    "wide seed": lambda k: nn.EventFixedNumConn(N_IN, N_OUT, 5, 0.5, seed=k + 2**40),
    "real-valued": lambda k: nn.FixedNumConn(N_IN, N_OUT, 5, 0.5, seed=k),
    "in-degree": lambda k: nn.EventFixedNumConn(
        N_IN, N_OUT, 4, nn.weights.Normal(0.5, 0.1), efferent_target="pre", seed=k
    ),
    "no autapses": lambda k: nn.EventFixedNumConn(
        N_IN, N_IN, 5, 0.5, allow_self_conn=bool(k % 2), seed=k
    ),
    "total": lambda k: nn.EventFixedTotalNum(N_IN, N_OUT, 300, 0.5, seed=k),
    "probability": lambda k: same_number(bernoulli, k),
    "distance": lambda k: same_number(near, k),
    "given": lambda k: nn.EventSparse(given(k), 0.5, shape=(N_IN, N_OUT), seed=k),
    "dense": lambda k: nn.EventLinear(N_IN, N_OUT, jax.nn.initializers.normal(), seed=k),
    "twin": lambda k: nn.Linear(N_IN, N_OUT, jax.nn.initializers.normal(), seed=k),
    "columns": lambda k: nn.EventFixedNumConn(N_IN, N_OUT, 5, 0.5, seed=k).with_columns(),
    "late": lambda k: late(nn.EventFixedNumConn(N_IN, N_OUT, 5, 0.5, seed=k)),
    "one delay": lambda k: nn.Delayed(nn.EventFixedNumConn(N_IN, N_OUT, 5, 0.5, seed=k), 1),
    "transposed": lambda k: nn.EventFixedNumConn(N_OUT, N_IN, 4, 0.5, seed=k).T,
}


@functools.cache
def same_number(make, k):
    """The ``k``-th of the operators with as many synapses as the first one has."""
    first = make(0)
    same = (op for op in map(make, range(1, 3000)) if op.n_synapses == first.n_synapses)
    return next(op for i, op in enumerate(same) if i == k)


def apply(op, s=SPIKES):
    if not isinstance(op, nn.Delayed):
        return op(s)
    state = op.init_state(s.shape[:-1])
    state, first = op.step(state, s)
    return first + op.step(state, ~s)[1]


every = pytest.mark.parametrize("kind", MAKE)


@pytest.fixture
def compilations(monkeypatch):
    """The names of the programs that XLA compiles from here on."""
    names = []
    jax.monitoring.register_event_duration_secs_listener(listener := _Listener(names))
    yield names
    listener.names = None


class _Listener:
    def __init__(self, names):
        self.names = names

    def __call__(self, event, duration, **kwargs):
        if self.names is not None and event == "/jax/core/compile/backend_compile_duration":
            self.names.append(event)


@every
def test_structures_are_equal_and_values_their_own(kind, compilations):
    a, b = MAKE[kind](1), MAKE[kind](2)
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert hash(jax.tree.structure(a)) == hash(jax.tree.structure(b))
    program = jax.jit(apply)
    of_a = program(a)
    del compilations[:]
    of_b = program(b)
    assert not compilations
    np.testing.assert_array_equal(of_a, jax.jit(lambda: apply(a))())
    np.testing.assert_array_equal(of_b, jax.jit(lambda: apply(b))())
    assert not np.array_equal(of_a, of_b)


@every
def test_a_stack_of_operators(kind):
    """Stacked, a loop over them has one body; a choice between two is one of them."""
    a, b = MAKE[kind](1), MAKE[kind](2)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), a, b)
    expected = np.stack([apply(a), apply(b)])

    def body(carry, op):
        return carry + 1, apply(op)

    np.testing.assert_array_equal(jax.lax.scan(body, 0, both)[1], expected)
    np.testing.assert_array_equal(jax.jit(lambda x: jax.lax.scan(body, 0, x))(both)[1], expected)
    np.testing.assert_array_equal(jax.lax.map(apply, both), expected)
    for first in (True, False):
        chosen = jax.lax.cond(first, lambda: a, lambda: b)
        np.testing.assert_array_equal(apply(chosen), expected[int(not first)])
        repr(chosen)

    def turn(carry):
        k, op, other, total = carry
        return k + 1, other, op, total + apply(op)

    start = (0, a, b, jnp.zeros(expected.shape[1:]))
    total = jax.lax.while_loop(lambda carry: carry[0] < 3, turn, start)[3]
    np.testing.assert_allclose(total, 2 * expected[0] + expected[1], rtol=1e-5)


@every
def test_an_optimiser_takes_two_of_them(kind):
    optax = pytest.importorskip("optax")
    model = {"a": MAKE[kind](1), "b": MAKE[kind](2)}
    weights, merge = nn.split(model)
    other, merge_other = nn.split({"a": model["b"], "b": model["a"]})
    assert jax.tree.structure(merge) == jax.tree.structure(merge_other)
    descent = optax.sgd(0.1)

    @jax.jit
    def step(weights, merge, state):
        def loss(weights):
            model = merge(weights)
            s = jnp.ones_like(SPIKES)
            return jnp.sum(apply(model["a"], s) ** 2) + jnp.sum(apply(model["b"], s))

        updates, state = descent.update(jax.grad(loss)(weights), state)
        return optax.apply_updates(weights, updates), state

    for w, m in ((weights, merge), (other, merge_other)):
        new, _ = step(w, m, descent.init(w))
        lower = [np.asarray(new[name]) != np.asarray(w[name]) for name in w]
        assert all(map(np.any, lower))
    assert step._cache_size() == 1


@native
@pytest.mark.parametrize("kind", ["out-degree", "dense", "late"])
def test_two_hundred_projections_are_one_kernel(kind):
    """A step over a stack of 200 has the kernels of one; written out, each is a call of the same kernel."""
    op = MAKE[kind](0)
    many = [op.with_weight(op.weight + k) for k in range(4)]
    many += [MAKE[kind](k) for k in range(1, 5)]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves * 25), *many)

    start = jnp.zeros(N_OUT)

    def step(stack, s):
        return jax.lax.scan(lambda total, op: (total + apply(op, s), None), start, stack)[0]

    text = jax.jit(step).lower(stack, SPIKES).as_text()
    once = jax.jit(apply).lower(op).as_text()
    assert text.count("custom_call @") == once.count("custom_call @")
    expected = 25 * sum(np.asarray(apply(op), np.float64) for op in many)
    np.testing.assert_allclose(jax.jit(step)(stack, SPIKES), expected, rtol=1e-4)


# What is known of an operator, and where.


def test_a_seed_is_shown_where_it_is_the_right_one():
    a, b = (nn.EventFixedNumConn(N_IN, N_OUT, 5, 0.5, seed=k) for k in (11, 22))
    same = jax.jit(lambda op: op)
    assert "seed=11" in repr(a) and "seed=22" in repr(b)
    for op, wrong in ((a, "seed=22"), (b, "seed=11")):
        rebuilt = jax.tree.unflatten(jax.tree.structure(a), jax.tree.leaves(op))
        for other in (same(op), rebuilt, jax.tree.map(lambda x: x + 0, op), jax.device_put(op)):
            assert wrong not in repr(other) and other.seed in (op.seed, None)
            assert "n_synapses=200" in repr(other)
    assert "seed=11" in repr(jax.tree.map(lambda x: x, a))
    assert "seed=22" in repr(b.with_weight(2.0)) and "seed=22" in repr(b.with_columns())
    traced = []
    jax.jit(lambda op: traced.append((op.seed, op.graph, repr(op))))(b)
    assert traced[0][:2] == (None, None) and "seed" not in traced[0][2]


def test_nor_is_one_taken_from_another_operator_with_the_same_weights():
    """Both hold the user's own array, which JAX hands through a jitted function as it is."""
    w = jnp.ones((N_IN, N_OUT))
    same = jax.jit(lambda op: op)
    for k in (11, 22):
        op = nn.EventLinear(N_IN, N_OUT, w, seed=k)
        assert op.seed == k and same(op).seed in (k, None)
        assert jax.tree.map(lambda x: x, op).seed in (k, None)


@every
@pytest.mark.parametrize(
    "saved", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_know_what_they_are(kind, saved):
    op = MAKE[kind](3)
    again = saved(op)
    assert repr(again) == repr(op) and again.seed == op.seed
    assert jax.tree.structure(again) == jax.tree.structure(op)
    assert repr(jax.tree.map(lambda x: x, op)) == repr(op)


@pytest.mark.parametrize("kind", ["out-degree", "dense"])
def test_initialisers_need_a_seed_that_is_known(kind):
    op = MAKE[kind](3)
    init = jax.nn.initializers.normal()
    drawn, again = op.with_weight(init), op.with_weight(0.0).with_weight(init)
    assert drawn.seed == again.seed == op.seed
    np.testing.assert_array_equal(drawn.weight, again.weight)
    with pytest.raises(TypeError, match="initialiser needs the operator's seed"):
        jax.jit(lambda op: op.with_weight(init))(op)
    moved = jax.tree.map(lambda x: x + x.dtype.type(0), op)
    with pytest.raises(TypeError, match="initialiser needs the operator's seed"):
        nn.Delayed(moved, lambda *_: 1)
    with pytest.raises(TypeError, match="initialiser needs the operator's seed"):
        moved.with_weight(init)


def test_laws_need_a_graph_that_is_known():
    law = nn.weights.Normal(0.5, 0.1)
    op = MAKE["out-degree"](3)
    assert op.with_weight(law).weight.shape == (200,)
    with pytest.raises(TypeError, match="needs the seed of the graph"):
        jax.jit(lambda op: op.with_weight(law))(op)


@native
@pytest.mark.parametrize("kind", ["out-degree", "in-degree", "total", "columns"])
def test_graphs_of_one_size_are_drawn_by_one_program(kind, compilations):
    MAKE[kind](5)
    del compilations[:]
    for seed in range(6, 12):
        MAKE[kind](seed)
    assert not compilations
