"""Arrays in the byte order of another machine, wherever a user can pass one: the same numbers as in our own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import bits, native

import eventops as nn
from eventops.rows.csr import rows_from_csr

FOREIGN = ">" if np.little_endian else "<"
MATRIX = np.array([[0, 1.5, 0], [2, 0, 0.25], [0, 3, 0], [1, 0, -0.5]])
WEIGHT = np.arange(1, 9) / 4
SPIKES = np.array([1, 0, 3, 2])
OP = nn.EventFixedNumConn(4, 3, 2, 0.5, seed=1)
LATE = nn.Delayed(OP, 3)
PRE, POST = np.array([3, 0, 1, 1]), np.array([0, 2, 1, 1])
MESH = jax.make_mesh((1,), ("x",))


def state_of(a, dtype):
    """What a step leaves, as a file gives it back."""
    ring, position = LATE.step(LATE.init_state(), SPIKES.astype(np.float32))[0]
    return a(ring, dtype), a(position, "i4")


# Each takes ``a(values, dtype)``, an array in one order of bytes or the other.
FLOATING = {
    "dense weights": lambda a, d: nn.EventLinear(4, 3, a(MATRIX, d)),
    "weights of a plain layer": lambda a, d: nn.Linear(4, 3, a(MATRIX, d)),
    "one number": lambda a, d: nn.EventLinear(4, 3, a(0.3, d)),
    "rows of weights": lambda a, d: nn.EventLinear(4, 3, [a(row, d) for row in MATRIX]),
    "weights per synapse": lambda a, d: nn.EventFixedNumConn(4, 3, 2, a(WEIGHT, d), seed=1),
    "new weights": lambda a, d: OP.with_weight(a(WEIGHT, d)),
    "an initialiser": lambda a, d: OP.with_weight(lambda key, shape, dtype: a(WEIGHT, d)),
    "a law": lambda a, d: OP.with_weight(nn.weights.Normal(a(0.5, d), a(0.25, d))),
    "a uniform law": lambda a, d: OP.with_weight(nn.weights.Uniform(a(0.5, d), a(2.5, d))),
    "quantiles": lambda a, d: OP.with_weight(nn.weights.Quantile(lambda p: a(p, "f8"))),
    "a profile": lambda a, d: nn.EventDistanceProb(9, 9, lambda x: a(0 * x + 0.5, d), 1.0),
    "a matrix": lambda a, d: nn.EventSparse(a(MATRIX, d)),
    "entries": lambda a, d: nn.EventSparse((PRE, POST, a(WEIGHT[:4], d)), shape=(4, 3)),
    "multapses": lambda a, d: nn.EventSparse(
        (PRE, POST, a(WEIGHT[:4], d)), shape=(4, 3), duplicates="keep"
    ),
    "one weight of entries": lambda a, d: nn.EventSparse((PRE, POST), a(0.3, d), shape=(4, 3)),
    "spikes": lambda a, d: OP(a(SPIKES, d)),
    "delayed spikes": lambda a, d: LATE.step(
        LATE.init_state(dtype=OP(a(SPIKES, d)).dtype), a(SPIKES, d)
    ),
    "an update": lambda a, d: OP.update_on_pre(
        a(WEIGHT, d), a(SPIKES, d), a(MATRIX[3], d), low=a(0.5, d), high=a(1.75, d)
    ),
    "an update by post neurons": lambda a, d: OP.update_on_post(
        a(WEIGHT, d), a(SPIKES[:3], d), a(SPIKES, d)
    ),
    "an update by a function": lambda a, d: OP.update_on_pre(
        a(WEIGHT, d), a(SPIKES, d), a(MATRIX[3], d), rule=lambda w, x: w * x
    ),
    "merged weights": lambda a, d: nn.split(OP)[1]({"weight": a(0.75, "f4")})(SPIKES),
    "sharded dense weights": lambda a, d: nn.sharded(nn.EventLinear, MESH, "x")(4, 3, a(MATRIX, d)),
    "sharded weights": lambda a, d: nn.sharded(nn.EventFixedNumConn, MESH, "x")(
        4, 3, 2, a(WEIGHT, d)
    ),
    "a sharded matrix": lambda a, d: nn.sharded(nn.EventSparse, MESH, "x")(a(MATRIX, d)),
    "sharded spikes": lambda a, d: nn.sharded(nn.EventLinear, MESH, "x")(4, 3, 0.5)(a(SPIKES, d)),
}
WHOLE = {
    "whole weights": lambda a, d: nn.EventLinear(4, 3, a([[1, 2, 3]] * 4, d)),
    "indices": lambda a, d: nn.EventSparse((a(PRE, d), a(POST, d), WEIGHT[:4]), shape=(4, 3)),
    "spikes": lambda a, d: OP(a(SPIKES, d)),
    "one delay": lambda a, d: nn.Delayed(OP, a(3, d)),
    "delays": lambda a, d: nn.Delayed(OP, a(np.arange(8), d)),
    "an initialiser of delays": lambda a, d: nn.Delayed(OP, lambda *_: a(np.arange(8), d)),
    "chosen neurons": lambda a, d: OP[a([2, 0], d)],
    "chosen pairs": lambda a, d: OP[np.ix_(a([2, 0], d), a([1], d))],
    "row pointers": lambda a, d: rows_from_csr(a([0, 1, 3], d), a([2, 0, 1], d), 3),
    "a law": lambda a, d: OP.with_weight(nn.weights.Normal(a(2, d), a(1, d))),
    "an update": lambda a, d: OP.update_on_pre(np.ones(8), a(SPIKES, d), a([1, 2, 3], d)),
}


def check(make, dtype):
    """Both orders give the same trees, dtypes and bits; ours are JAX's own dtypes."""

    def in_order(order):
        return make(lambda values, d: np.array(values, np.dtype(d).newbyteorder(order)), dtype)

    ours, theirs = in_order("="), in_order(FOREIGN)
    assert jax.tree.structure(theirs) == jax.tree.structure(ours)
    for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(ours)):
        assert isinstance(a, jax.Array) and bits(a) == bits(b)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("name", FLOATING)
def test_floating_numbers(name, dtype):
    check(FLOATING[name], dtype)


@pytest.mark.x64
@pytest.mark.parametrize("name", FLOATING)
def test_float64(name):
    with jax.numpy_dtype_promotion("standard"):
        check(FLOATING[name], "f8")


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "i8"])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers(name, dtype):
    check(WHOLE[name], dtype)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_indices_of_scipy(form):
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.coo_array(MATRIX).asformat(form)
    expected = nn.EventSparse(matrix)
    for name in {"coo": ("row", "col")}.get(form, ("indices", "indptr")):
        values = getattr(matrix, name)
        setattr(matrix, name, values.astype(values.dtype.newbyteorder(FOREIGN)))
    matrix.data = matrix.data.astype(matrix.data.dtype.newbyteorder(FOREIGN))
    assert nn.EventSparse(matrix).rows.hash() == expected.rows.hash()
    assert bits(nn.EventSparse(matrix).weight) == bits(expected.weight)


def test_states():
    """Of delays: what was written to a file goes on."""

    def step(a, dtype):
        return LATE.step(state_of(a, dtype), SPIKES)

    check(step, "f4")


def test_dtypes():
    """A dtype that is asked for means its numbers, not their bytes."""
    foreign = np.dtype("f4").newbyteorder(FOREIGN)
    assert nn.EventLinear(4, 3, 0.5, dtype=foreign).dtype == jnp.float32
    assert nn.EventSparse(MATRIX, dtype=foreign).dtype == jnp.float32
    assert LATE.init_state(dtype=foreign).ring.dtype == jnp.float32


@native
def test_weights_of_brainstate():
    pytest.importorskip("brainstate")
    units = pytest.importorskip("brainunit")
    import eventops.brainstate as modules

    def product(a, dtype):
        layer = modules.EventLinear(4, 3, a(MATRIX, dtype) * units.mS)
        other = modules.EventFixedNumConn(4, 3, 2, a(WEIGHT.reshape(4, 2), dtype), seed=1)
        return layer(a(SPIKES, dtype)) / units.mS, other(a(SPIKES, dtype))

    with jax.numpy_dtype_promotion("standard"):
        check(product, "f4")
