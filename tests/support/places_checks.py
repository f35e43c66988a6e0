"""Runs in a process of its own, with two devices: what is made from an operator is where the operator is.

Prints the name of each array that lies elsewhere.
"""

import jax
import jax.numpy as jnp
import numpy as np

import eventops as nn

HERE, THERE = jax.devices()
NORMAL = jax.nn.initializers.normal(0.3)
LAW = nn.weights.Normal(0.5, 0.1)
SPIKES, BACK = np.arange(8) % 2 == 0, np.arange(6) % 2 == 0


def operators():
    given = np.random.default_rng(2).random((8, 6)) < 0.4
    near = nn.profiles.Gaussian(0.8, 4.0)
    rows = nn.EventFixedNumConn(8, 6, 2, NORMAL, seed=1)
    dense = nn.EventLinear(8, 6, NORMAL)
    return {
        "Linear": nn.Linear(8, 6, NORMAL),
        "dense": dense,
        "uniform": nn.EventLinear(8, 6, 0.5),
        "rows": rows,
        "one weight": nn.EventFixedProb(8, 6, 0.5, 0.5),
        "total": nn.EventFixedTotalNum(8, 6, 20, LAW),
        "distance": nn.EventDistanceProb(8, 6, near, NORMAL),
        "given": nn.EventSparse(given.astype("float32")),
        "reference": nn.EventFixedNumConn(8, 6, 2, NORMAL, seed=1, backend="reference"),
        "empty": nn.EventFixedProb(8, 6, 0.0, 0.5),
        "procedural": nn.EventFixedProb(8, 6, 0.5, 0.5, storage="procedural"),
        "generated": nn.EventFixedNumConn(8, 6, 2, LAW, storage="procedural"),
        "one delay": nn.Delayed(rows, 3),
        "delays": nn.Delayed(rows, np.arange(16) % 3),
        "dense delays": nn.Delayed(dense, np.arange(48).reshape(8, 6) % 5),
        "drawn and delayed": nn.Delayed(nn.EventFixedProb(8, 6, 0.5, LAW, storage="procedural"), 2),
    }


def derived(op):
    """What users make from an operator, by name."""
    late = isinstance(op, nn.Delayed)
    plain = op.op if late else op
    procedural = plain._procedural
    yield "T", lambda: op.T
    yield "part", lambda: op[1:5, [0, 2]]
    yield "rows", lambda: op[::2]
    yield "all", lambda: op[:, :]
    yield "todense", lambda: op.todense()
    yield "to_bcoo", lambda: (op.to_bcoo().data, op.to_bcoo().indices)
    yield "number", lambda: op.with_weight(0.25)
    if not procedural:
        shape = plain._weight_shape()
        yield "array", lambda: op.with_weight(np.ones(shape, np.float32))
        yield "delays", lambda: nn.Delayed(plain, np.arange(np.prod(shape)).reshape(shape) % 3)
        if plain.seed is not None:  # as it is where arrays were moved to another device
            yield "initialiser", lambda: op.with_weight(NORMAL)
            yield (
                "drawn delays",
                lambda: nn.Delayed(plain, lambda k, s, d: jax.random.randint(k, s, 0, 4, d)),
            )
        yield "with_columns", lambda: op.with_columns()
    if plain.graph is not None and (not procedural or plain.law is not None):
        yield "law", lambda: op.with_weight(LAW)
    yield "one delay", lambda: nn.Delayed(plain, 2)
    if late:
        yield "init_state", lambda: op.init_state((3,))
        yield "delay", lambda: jnp.asarray(op.delay) if op.table is not None else op.weight
        yield "step", lambda: op.step(op.init_state(), SPIKES)
        return
    yield "product", lambda: op(SPIKES)
    if procedural:
        return
    weight = jax.device_put(np.ones(shape, np.float32), op.weight.sharding)
    for rule in ("additive", lambda w, x: w + x):
        yield "on pre", lambda rule=rule: op.update_on_pre(weight, SPIKES, BACK, rule=rule)
        yield "on post", lambda rule=rule: op.update_on_post(weight, BACK, SPIKES, rule=rule)


def check(what, tree, sharding):
    for leaf in jax.tree.leaves(tree):
        if not (leaf.committed and leaf.sharding.is_equivalent_to(sharding, leaf.ndim)):
            print(f"{what}: {leaf.dtype}{leaf.shape} on {leaf.sharding}")


def main():
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    both = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    for name, op in operators().items():
        there = jax.device_put(op, THERE)
        for what, make in derived(there):
            check(f"{name}.{what}", make(), there.weight.sharding)
        if name in ("dense", "rows", "total", "delays"):  # whole on every device of a mesh
            everywhere = jax.device_put(op, both)
            for what, make in derived(everywhere):
                if what not in ("on pre", "on post"):
                    check(f"{name}.{what} on both", make(), both)
        # What was put nowhere commits nothing, so that it meets arrays on any device.
        for what, make in derived(op):
            for leaf in jax.tree.leaves(make()):
                if leaf.committed and what not in ("on pre", "on post"):
                    print(f"{name}.{what}: {leaf.dtype}{leaf.shape} is committed")
    meets()
    sharded()


def meets():
    """Columns of an operator that was put nowhere, and arrays that were."""
    op = nn.EventFixedNumConn(8, 6, 2, NORMAL, seed=1).with_columns()
    weight = jax.device_put(op.weight, THERE)
    check("columns", op.update_on_post(weight, BACK, SPIKES), THERE_ALONE)
    late = nn.Delayed(op, np.arange(16) % 3)
    spikes = jax.device_put(SPIKES, THERE)
    check("a step", late.step(late.init_state(), spikes)[1], THERE_ALONE)


THERE_ALONE = jax.sharding.SingleDeviceSharding(THERE)


def sharded():
    """Gathered on a device of the mesh, and new weights on all of them."""
    mesh = jax.sharding.Mesh(np.array([THERE]), ("x",))
    for make, conn in ((nn.EventFixedNumConn, (2,)), (nn.EventLinear, ())):
        op = nn.sharded(make, mesh, "x")(8, 6, *conn, NORMAL)
        for what, other in (("gathered", op.gathered()), ("T", op.T), ("part", op[1:3])):
            check(f"sharded {what}", other, THERE_ALONE)
        for axis_types in (None, (jax.sharding.AxisType.Auto,)):
            wide = jax.make_mesh((2,), ("x",), axis_types=axis_types)
            op = nn.sharded(make, wide, "x")(8, 6, *conn, NORMAL)
            new = op.with_weight(np.asarray(op.weight))
            check("sharded weights", new.weight, op.weight.sharding)
            assert np.array_equal(new(SPIKES), op(SPIKES))
            number = op.with_weight(0.5)
            check(
                "one sharded weight",
                number.weight,
                jax.sharding.NamedSharding(wide, jax.sharding.PartitionSpec()),
            )
            number(SPIKES)


if __name__ == "__main__":
    main()
