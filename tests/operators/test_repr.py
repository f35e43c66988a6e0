"""Every operator has a repr, whatever its leaves are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import eventops as nn

NEAR = nn.profiles.Gaussian(0.8, 4.0)
NORMAL = jax.nn.initializers.normal(0.3)
LAW = nn.weights.Normal(0.5, 0.1)
FIXED = nn.EventFixedNumConn(8, 6, 2, NORMAL, seed=1)
MESH = jax.make_mesh((1,), ("x",))
OPERATORS = {
    "Linear": nn.Linear(8, 6, NORMAL),
    "EventLinear": nn.EventLinear(8, 6, NORMAL),
    "uniform": nn.EventLinear(8, 6, 0.5, float_as_event=True),
    "EventFixedProb": nn.EventFixedProb(8, 6, 0.5, NORMAL),
    "FixedNumConn": nn.FixedNumConn(8, 6, 2, 0.5),
    "EventFixedNumConn": FIXED,
    "EventFixedTotalNum": nn.EventFixedTotalNum(8, 6, 20, NORMAL),
    "EventDistanceProb": nn.EventDistanceProb(8, 6, NEAR, NORMAL),
    "EventSparse": nn.EventSparse(np.eye(8, dtype="float32"), backend="reference"),
    "columns": FIXED.with_columns(),
    "stored law": nn.EventFixedProb(8, 6, 0.5, LAW),
    "procedural": nn.EventFixedProb(8, 6, 0.5, 0.5, storage="procedural"),
    "counted": nn.EventFixedNumConn(8, 6, 2, 0.5, storage="procedural"),
    "generated": nn.EventFixedTotalNum(8, 6, 20, LAW, storage="procedural"),
    "one delay": nn.Delayed(FIXED, 3),
    "delays": nn.Delayed(FIXED, np.arange(16) % 3),
    "dense delays": nn.Delayed(nn.EventLinear(8, 6, NORMAL), np.arange(48).reshape(8, 6)),
    "delays and columns": nn.Delayed(FIXED, np.arange(16) % 3).with_columns(),
    "drawn and delayed": nn.Delayed(nn.EventFixedProb(8, 6, 0.5, LAW, storage="procedural"), 3),
    "Sharded": nn.sharded(nn.EventFixedNumConn, MESH, "x")(8, 6, 2, NORMAL),
    "Sharded dense": nn.sharded(nn.EventLinear, MESH, "x", split="pre")(8, 6, NORMAL),
}
WITHOUT_ARRAYS = {"None": None, "object": object(), "text": "leaf", "number": 3, "list": [1, 2]}
LEAVES = {
    **{name: lambda a, leaf=leaf: leaf for name, leaf in WITHOUT_ARRAYS.items()},
    "PartitionSpec": lambda a: PartitionSpec("x"),
    "nested": lambda a: {"mean": a, "count": (a, None)},
    "ShapeDtypeStruct": lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype),
    "float0": lambda a: np.zeros(a.shape, jax.dtypes.float0),
    "numpy": np.asarray,
    "numpy number": lambda a: np.float32(2),
    "stack": lambda a: jnp.stack([a, a]),
    "emptied": lambda a: a[:0] if a.ndim else a,
    "keys": lambda a: jax.random.split(jax.random.key(0), 3),
    "complex": lambda a: a + 1j,
    "floating only": lambda a: a if jnp.issubdtype(a.dtype, jnp.floating) else None,
    "whole numbers only": lambda a: None if jnp.issubdtype(a.dtype, jnp.floating) else a,
    "deleted": lambda a: [x := jnp.copy(a), x.delete()][0],
}


@pytest.mark.parametrize("leaves", LEAVES)
@pytest.mark.parametrize("name", OPERATORS)
def test_whatever_the_leaves_are(name, leaves):
    op = OPERATORS[name]
    with jax.numpy_dtype_promotion("standard"):
        text = repr(jax.tree.map(LEAVES[leaves], op))
    assert text.startswith(f"{type(op).__name__}(") and "8, 6" in text.replace("8, 8", "8, 6")


@pytest.mark.parametrize("name", OPERATORS)
def test_some_leaves_at_a_time(name):
    """Each leaf alone is something else, as a path or a mask chooses it."""
    leaves, tree = jax.tree.flatten(OPERATORS[name])
    for k in range(len(leaves)):
        for other in (None, "leaf", np.zeros(leaves[k].shape, jax.dtypes.float0)):
            repr(jax.tree.unflatten(tree, [*leaves[:k], other, *leaves[k + 1 :]]))


@pytest.mark.parametrize("name", OPERATORS)
def test_inside_transformations(name):
    op, seen = OPERATORS[name], []

    def f(op, *rest):
        seen.append(repr(op))
        return jnp.sum(op.weight)

    jax.jit(f)(op)
    jax.vmap(f)(jax.tree.map(lambda a: jnp.stack([a, a]), op))
    jax.vmap(f, (None, 0))(op, jnp.zeros(3))
    jax.jit(jax.grad(f, allow_int=True))(op)
    jax.jvp(lambda w: f(op.with_weight(w)), (op.weight,), (op.weight,))
    assert len(seen) == 5 and all(text.startswith(type(op).__name__) for text in seen)
    # What gradients look like: whole numbers have none.
    assert "float32" in repr(jax.jit(jax.grad(f, allow_int=True))(op))


def test_what_is_shown():
    floating = jax.tree.map(LEAVES["floating only"], OPERATORS["delays"])
    assert repr(floating) == (
        "Delayed(EventFixedNumConn(8, 6, weight=float32[16]), delay=per synapse)"
    )  # without its arrays nothing is known of the graph
    whole = jax.tree.map(LEAVES["whole numbers only"], OPERATORS["one delay"])
    assert "seed=1, weight=None" in repr(whole) and repr(whole).endswith("delay=3)")
    empty = jax.tree.map(LEAVES["float0"], OPERATORS["EventLinear"])
    assert "weight=float0[8x6]" in repr(empty)


@pytest.mark.parametrize("leaves", [name for name in LEAVES if name != "nested"])
def test_rows_tables_and_states(leaves):
    op = OPERATORS["delays and columns"]
    state = op.init_state()
    with jax.numpy_dtype_promotion("standard"):
        for tree in (op.op.rows, op.op.rows.columns, op.table, state, nn.split(op)[1]):
            repr(jax.tree.map(LEAVES[leaves], tree)) if leaves != "deleted" else None


def test_laws():
    """Their parameters may be traced, or arrays."""
    seen = []

    def f(x):
        laws = nn.weights.Normal(x, x), nn.weights.Uniform(x, x + 1), nn.weights.Quantile(abs, x, x)
        seen.append(repr(laws))
        return x

    f(0.5), f(jnp.float32(0.5)), f(np.float64(0.5)), jax.jit(f)(0.5), jax.grad(f)(0.5)
    assert len(seen) == 5 and all("weights.Uniform" in text for text in seen)


@pytest.mark.parametrize("kind", ["EventLinear", "EventFixedProb", "EventFixedNumConn"])
def test_modules_of_brainstate(kind):
    pytest.importorskip("brainstate")
    import eventops.brainstate as modules

    conn = {"EventLinear": (), "EventFixedProb": (0.5,), "EventFixedNumConn": (2,)}[kind]
    layer = getattr(modules, kind)(8, 6, *conn, 0.5)
    assert kind in repr(layer) and "n_synapses" in repr(layer)
    weight, arrays = layer.weight, layer._connectivity
    for name, change in LEAVES.items():
        for held in (True, False):
            with jax.numpy_dtype_promotion("standard"):
                new_weight, new_arrays = (jax.tree.map(change, x.value) for x in (weight, arrays))
            layer.weight = type("State", (), {"value": new_weight})()
            layer._connectivity = type("State", (), {"value": new_arrays if held else None})()
            assert repr(layer).startswith(f"{kind}("), name
            layer.weight, layer._connectivity = weight, arrays
