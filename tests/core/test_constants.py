"""Nothing of a graph is computed at run time: what compiled programs hold beside the kernels."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import native

import eventops as nn

N_IN, N_OUT = 61, 53  # sizes that nothing else in the programs has
SPIKES = jnp.arange(N_IN) % 7 == 0
STEPS = 3
_TYPES = {"int32": "s32", "uint32": "u32", "uint16": "u16", "float32": "f32", "float16": "f16"}
# What takes no time of its own.
_FREE = {"constant", "parameter", "custom-call", "bitcast", "tuple", "get-tuple-element", "while"}


def one_to_one(n=N_IN):
    return np.arange(n), np.arange(n)


OPERATORS = {
    "out-degree": lambda **k: nn.EventFixedNumConn(N_IN, N_OUT, 6, k.pop("weight", 0.5), **k),
    "in-degree": lambda **k: nn.EventFixedNumConn(
        N_IN, N_OUT, 6, k.pop("weight", 0.5), efferent_target="pre", **k
    ),
    "probability": lambda **k: nn.EventFixedProb(N_IN, N_OUT, 0.2, k.pop("weight", 0.5), **k),
    "all to all": lambda **k: nn.EventFixedProb(N_IN, N_OUT, 1.0, k.pop("weight", 0.5), **k),
    "total": lambda **k: nn.EventFixedTotalNum(N_IN, N_OUT, 400, k.pop("weight", 0.5), **k),
    "one to one": lambda **k: nn.EventSparse(
        one_to_one(), k.pop("weight", 0.5), shape=(N_IN, N_IN), **k
    ),
    "one post": lambda **k: nn.EventSparse(
        (np.arange(N_IN), np.zeros(N_IN, int)), k.pop("weight", 0.5), shape=(N_IN, 1), **k
    ),
    "one pre": lambda **k: nn.EventSparse(
        (np.zeros(N_OUT, int), np.arange(N_OUT)), k.pop("weight", 0.5), shape=(1, N_OUT), **k
    ),
    "dense": lambda **k: nn.EventLinear(N_IN, N_OUT, k.pop("weight", 0.5), **k),
}


def check(f, op, *args, of):
    """No program computes an array like one of ``of``, be the operator closed over or passed; both give the same."""
    closed = jax.jit(lambda *args: f(op, *args)).lower(*args).compile()
    passed = jax.jit(f).lower(op, *args).compile()
    assert not loops(closed.as_text(), of) and not loops(passed.as_text(), of), f.__name__
    jax.tree.map(np.testing.assert_array_equal, closed(*args), passed(op, *args))


def loops(text, of):
    """Instructions of a compiled program, but kernels and constants, that make an array like one of ``of``."""
    kinds = {(_TYPES[str(x.dtype)], x.size) for x in of if x.size > 1}
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*(?:ROOT )?%\S+ = (\w+)\[([\d,]*)\]\S* ([\w-]+)\(", line)
        if match and match[3] not in _FREE:
            size = int(np.prod([int(n) for n in match[2].split(",") if n]))
            if any(match[1] == kind and size in (n, 2 * n) for kind, n in kinds):
                found.append(line.strip())
    return found


def graph_of(op):
    """The integer arrays of an operator, its column index too."""
    return [x for x in jax.tree.leaves(op) if not jnp.issubdtype(x.dtype, jnp.floating)]


def spikes_for(op):
    return jnp.arange(op.in_size) % 7 == 0


def product(op, s):
    return op(s)


def in_scan(op, s):
    return jax.lax.scan(lambda c, x: (c + 1, op(x)), 0, jnp.stack([s] * STEPS))[1]


def mapped(op, s):
    return jax.vmap(op)(jnp.stack([s] * STEPS))


def spike_cotangent(op, s):
    return jax.grad(lambda x: jnp.sum(op(x) ** 2))(s.astype(jnp.float32))


def weight_cotangent(op, s):
    return jax.grad(lambda w: jnp.sum(op.with_weight(w)(s) ** 2))(jnp.tile(op.weight, 1)[0])


def tangent(op, s):
    x = s.astype(jnp.float32)
    return jax.jvp(op, (x,), (x,))


def on_pre(op, s, weight):
    return op.update_on_pre(weight, s, jnp.linspace(-1, 1, op.out_size))


def on_post(op, s, weight):
    fired = np.arange(op.out_size) % 5 == 0
    return op.update_on_post(weight, fired, jnp.where(s, 1.0, 0.5))


def by_function(op, s, weight):
    trace = jnp.linspace(-1, 1, op.out_size)
    return op.update_on_pre(weight, s, trace, rule=lambda w, x: w * (1 + x))


USES = [product, in_scan, mapped, spike_cotangent, weight_cotangent, tangent]
UPDATES = [on_pre, on_post, by_function]


@native
@pytest.mark.parametrize("use", USES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", OPERATORS)
def test_no_graph_is_computed_in_a_product(kind, use):
    op = OPERATORS[kind]()
    check(use, op, spikes_for(op), of=graph_of(op))


@native
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("kind", ["out-degree", "probability", "dense"])
def test_nor_are_equal_weights(kind, dtype):
    """Weights per synapse that are all the same, or count up, are read as they are."""
    plain = OPERATORS[kind]()
    n = plain._weight_shape()
    for weight in (jnp.full(n, 0.5, dtype), jnp.arange(np.prod(n), dtype=dtype).reshape(n)):
        op = OPERATORS[kind](weight=0.0, dtype=dtype).with_weight(weight)
        s = spikes_for(op)
        uses = [product, in_scan, mapped, tangent] + [spike_cotangent] * (dtype == "float32")
        for use in uses:
            check(use, op, s, of=jax.tree.leaves(op))


@native
@pytest.mark.parametrize("use", UPDATES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", OPERATORS)
def test_no_graph_is_computed_in_an_update(kind, use):
    op = OPERATORS[kind]().with_columns()
    s, weight = spikes_for(op), jnp.linspace(0.1, 0.9, op.n_synapses).reshape(op._weight_shape())
    check(use, op, s, weight, of=graph_of(op))


def late_step(op, s):
    return op.step(op.init_state(), s)[1]


def late_scan(op, s):
    return jax.lax.scan(op.step, op.init_state(), jnp.stack([s] * STEPS))[1]


def late_gradients(op, s):
    def loss(x, w):
        xs = jnp.stack([x] * STEPS)
        return jnp.sum(jax.lax.scan(op.with_weight(w).step, op.init_state(), xs)[1] ** 2)

    return jax.grad(loss, (0, 1))(s.astype(jnp.float32), jnp.zeros(()) + op.weight)


def late_mapped(op, s):
    step = jax.vmap(lambda s: op.step(op.init_state(), s)[1])
    return step(jnp.stack([s] * STEPS))


def late_weights(op, s):
    step = jax.vmap(lambda f: op.with_weight(op.weight * f).step(op.init_state(), s)[1])
    return step(jnp.arange(3.0))


LATE = [late_step, late_scan, late_gradients, late_mapped, late_weights]


@native
@pytest.mark.parametrize("use", LATE, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", OPERATORS)
def test_no_graph_is_computed_with_delays(kind, use):
    op = OPERATORS[kind]()
    late = nn.Delayed(op, np.arange(op.n_synapses).reshape(op._weight_shape()) % 3)
    check(use, late, spikes_for(op), of=graph_of(late))


@native
@pytest.mark.parametrize("weight", [0.5, nn.weights.Normal(0.5, 0.1)], ids=["one", "law"])
@pytest.mark.parametrize("kind", ["out-degree", "probability", "all to all", "total"])
def test_no_table_is_computed_where_graphs_are_drawn(kind, weight):
    """The tables that a graph is drawn from are constants, and as little recomputed."""
    op = OPERATORS[kind](weight=weight, storage="procedural")
    s = spikes_for(op)
    tables = [np.zeros(n * 1024, np.uint32) for n in (1, 2, 3, 4)]
    tables += [np.zeros(N_IN, np.uint32), np.zeros(N_IN, np.int32)]
    for use in (product, in_scan, mapped, spike_cotangent, tangent):
        check(use, op, s, of=tables)


@native
def test_a_program_holds_each_array_once():
    op = OPERATORS["out-degree"](weight=np.full(N_IN * 6, 0.5, np.float32))

    def steps(s):
        return sum(op(jnp.roll(s, k)) for k in range(5))

    text = jax.jit(steps).lower(SPIKES).compile().as_text()
    size = N_IN * 6
    assert len(re.findall(rf"u16\[1,{size}\]\S* constant\(", text)) == 1
    assert len(re.findall(rf"f32\[2,{size}\]\S* constant\(", text)) == 1
