"""What test_sharding.py runs on four devices, which have to be asked for before JAX starts.

Each check is a function of this module; ``main`` runs some and prints a JSON object of tracebacks (null for
a check that passed). ``process`` is one of the two processes of the distributed test.
"""

import json
import re
import traceback

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import eventops as nn
from support.cases import assert_product

NORMAL = jax.nn.initializers.normal(1.0)
GIVEN = tuple(np.random.default_rng(1).integers(0, n, 300) for n in (40, 32))
# Each rule along and across the axis, homogeneous and other weights, parts of unequal size.
OPERATORS = {
    "prob": (nn.EventFixedProb, (40, 32, 0.3, NORMAL), {}),
    "prob homogeneous": (nn.EventFixedProb, (40, 40, 0.9, 0.5), dict(allow_self_conn=False)),
    "prob reference": (nn.EventFixedProb, (40, 32, 0.3, NORMAL), dict(backend="reference")),
    "prob homogeneous reference": (
        nn.EventFixedProb,
        (40, 32, 0.3, 0.5),
        dict(backend="reference"),
    ),
    "post": (nn.EventFixedNumConn, (40, 32, 5, NORMAL), dict(afferent_ratio=0.5)),
    "pre": (
        nn.EventFixedNumConn,
        (40, 40, 5, NORMAL),
        dict(efferent_target="pre", afferent_ratio=0.6, allow_self_conn=False),
    ),
    "multapses": (nn.FixedNumConn, (16, 12, 20, np.arange(320.0)), dict(allow_multi_conn=True)),
    "total": (nn.EventFixedTotalNum, (40, 32, 500, NORMAL), dict(seed=2)),
    "distance": (
        nn.EventDistanceProb,
        ((5, 8), (4, 8), nn.profiles.Gaussian(0.9, 2.0), NORMAL),
        dict(periodic=(False, True)),
    ),
    "bfloat16": (nn.EventFixedProb, (40, 32, 0.3, NORMAL), dict(dtype="bfloat16")),
    "empty": (nn.EventFixedProb, (40, 32, 0.0, 0.5), {}),
    "dense": (nn.EventLinear, (40, 32, NORMAL), {}),
    "dense homogeneous": (nn.EventLinear, (40, 32, 0.5), {}),
    "linear": (nn.Linear, (40, 32, np.linspace(-1, 1, 1280).reshape(40, 32)), {}),
    "sparse": (nn.EventSparse, (GIVEN, NORMAL), dict(shape=(40, 32), duplicates="keep")),
    "sparse homogeneous": (nn.EventSparse, (GIVEN, 0.5), dict(shape=(40, 32), duplicates="keep")),
    "unit events": (nn.EventFixedProb, (40, 32, 0.3, NORMAL), dict(float_as_event=True)),
}


def mesh_of(kind=AxisType.Auto, **axes):
    axes = axes or {"x": 4}
    return jax.make_mesh(tuple(axes.values()), tuple(axes), (kind,) * len(axes))


def put(x, mesh, *spec):
    return jax.device_put(x, NamedSharding(mesh, P(*spec)))


def spikes_for(op, *lead):
    rng = np.random.default_rng(op.in_size)
    shape = (*lead, op.in_size)
    return (rng.normal(size=shape) * (rng.random(shape) < 0.4)).astype(np.float32)


def collectives(compiled) -> list[str]:
    names = r"(all-\w+|collective-\w+|reduce-scatter|ragged-\S+)(?:-start)?\("
    return re.findall(names, compiled.as_text())


def same(a, b):
    np.testing.assert_array_equal(np.asarray(a, np.float32), np.asarray(b, np.float32))


def close(a, b):
    a, b = (np.asarray(x, np.float32) for x in (a, b))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1, np.abs(b).max(initial=0)))


def call(op, spikes):
    return op(spikes)


def gradients(op, spikes):
    return jax.grad(lambda w, s: jnp.sum(op.with_weight(w)(s) ** 2), argnums=(0, 1))(
        op.weight, spikes
    )


def raised(f, *args):
    """The message of the error, which may come out of the compiler."""
    try:
        f(*args)
    except Exception as error:
        return str(error)
    raise AssertionError("no error")


def _pair(name, mesh, split):
    cls, args, options = OPERATORS[name]
    return cls(*args, **options), nn.sharded(cls, mesh, "x", split=split)(*args, **options)


def _check_sharded(name, split):
    mesh = mesh_of()
    op, sharded = _pair(name, mesh, split)
    spikes = spikes_for(op, 3)
    placed = put(spikes, mesh, None, "x" if split == "pre" else None)
    compiled = jax.jit(call).lower(sharded, placed).compile()
    reductions = ["all-reduce"] if split == "pre" and op.n_synapses else []
    assert collectives(compiled) == reductions, collectives(compiled)
    out, whole = compiled(sharded, placed), op(spikes)
    assert out.shape == whole.shape and out.dtype == whole.dtype
    if not op.float_as_event:
        assert_product(op, spikes, out)
    if split == "post" and name != "linear" and "reference" not in name:
        same(out, whole)
        same(sharded(spikes[0]), whole[0])
    else:
        close(out, whole) if out.dtype == jnp.float32 else None
    if name in ("prob", "prob homogeneous", "multapses", "dense", "dense homogeneous"):
        same(sharded.todense(), op.todense())
    assert sharded.n_synapses == op.n_synapses and len(sharded.counts) == 4
    if op.rows is not None:
        assert sharded.hash() == op.rows.hash()
        same(sharded.T.weight, op.T.weight)
    if name == "bfloat16":
        return
    gw, gs = jax.jit(gradients)(sharded, spikes)
    ew, es = gradients(op, spikes)
    close(gs, es)
    if ew.ndim == 1:
        same(in_order(sharded, sharded.weight, name, split), op.weight)
        close(in_order(sharded, gw, name, split), ew)
        for part, count in enumerate(sharded.counts):
            assert not np.any(np.asarray(gw)[part, count:])
    else:
        close(gw, ew)


def in_order(sharded, stacked, name, split):
    """What is stored for each synapse in parts, in the order of the operator that is not sharded."""
    cls, (*connections, _), options = OPERATORS[name]
    places = nn.sharded(cls, sharded.layout.mesh, "x", split=split)(
        *connections, lambda key, shape, dtype: jnp.arange(*shape, dtype=dtype), **options
    )
    flat = np.full(sharded.n_synapses, np.nan)
    for part, count in enumerate(sharded.counts):
        flat[np.asarray(places.weight)[part, :count].astype(int)] = np.asarray(stacked)[
            part, :count
        ]
    return flat


def _named(name, split):
    return lambda: _check_sharded(name, split)


CHECKS = {f"{s}: {n}": _named(n, s) for s in ("post", "pre") for n in OPERATORS}


def check(f):
    CHECKS[f.__name__] = f
    return f


@check
def each_device_holds_its_own_part():
    op, sharded = _pair("post", mesh_of(), "post")
    arrays = jax.tree.leaves(sharded)
    for x in arrays:
        assert len(x.addressable_shards) == 4 and x.sharding.shard_shape(x.shape)[0] == 1
    assert sharded.nbytes == sum(x.nbytes for x in arrays) == 4 * sharded.nbytes_per_device
    assert sharded.rows.offsets.shape == (4, max(sharded.counts))
    assert sum(sharded.counts) == op.n_synapses
    _, dense = _pair("dense", mesh_of(), "pre")
    assert dense.weight.sharding.shard_shape(dense.weight.shape) == (10, 32)
    assert "n_synapses=100" in repr(sharded) and "split='post'" in repr(sharded)


@check
def batches_vmap_and_scan():
    for split in ("post", "pre"):
        op, sharded = _pair("prob", mesh_of(), split)
        spikes = spikes_for(op, 2, 3)
        close(sharded(spikes), op(spikes))
        close(jax.vmap(sharded)(spikes), op(spikes))
        close(jax.jit(lambda op, s: jax.lax.map(op, s))(sharded, spikes), op(spikes))
        assert sharded(spikes[:0]).shape == (0, 3, 32)
        weights = jnp.stack([sharded.weight, 2 * sharded.weight])
        out = jax.vmap(lambda w, op=sharded, s=spikes: op.with_weight(w)(s))(weights)
        close(out[1], 2 * out[0])


@check
def mesh_of_two_axes():
    mesh = mesh_of(data=2, x=2)
    for split in ("post", "pre"):
        cls, args, options = OPERATORS["prob"]
        op = cls(*args, **options)
        sharded = nn.sharded(cls, mesh, "x", split=split, batch="data")(*args, **options)
        spikes = spikes_for(op, 4)
        placed = put(spikes, mesh, "data", "x" if split == "pre" else None)
        compiled = jax.jit(call).lower(sharded, placed).compile()
        assert collectives(compiled) == (["all-reduce"] if split == "pre" else [])
        close(compiled(sharded, placed), op(spikes))
        gw, gs = jax.jit(gradients)(sharded, placed)
        ew, es = gradients(op, spikes)
        close(gs, es)
        close(in_order(sharded, gw, "prob", split), ew)


@check
def inside_your_own_shard_map():
    mesh = mesh_of()
    for split, into, out in (("post", P(), P(None, "x")), ("pre", P(None, "x"), P())):
        op, sharded = _pair("prob", mesh, split)
        spikes = spikes_for(op, 3)
        f = jax.shard_map(
            lambda op, s: 2 * op.local(s),
            mesh=mesh,
            in_specs=(sharded.specs, into),
            out_specs=out,
        )
        close(jax.jit(f)(sharded, spikes), 2 * op(spikes))


@check
def replicated_operator_and_split_batch_in_shard_map():
    mesh = mesh_of()
    for name in (
        "prob",
        "prob homogeneous",
        "prob reference",
        "dense",
        "dense homogeneous",
        "empty",
    ):
        op, _ = _pair(name, mesh, "post")
        spikes = spikes_for(op, 8)

        @jax.jit
        @jax.shard_map(
            mesh=mesh, in_specs=(P(), P(), P("x")), out_specs=(P("x"), P(), P("x"), P("x"))
        )
        def f(op, weight, spikes):
            def product(w, s):
                return op.with_weight(w)(s)

            loss = lambda w, s: jnp.sum(product(w, s) ** 2)  # noqa: E731
            tangent = jax.vmap(lambda s: jax.jvp(product, (weight, s), (weight, s))[1])(spikes)
            return product(weight, spikes), *jax.grad(loss, argnums=(0, 1))(weight, spikes), tangent

        out, gw, gs, tangent = f(op, op.weight, spikes)
        ew, es = gradients(op, spikes)
        for computed, expected in (
            (out, op(spikes)),
            (gw, ew),
            (gs, es),
            (tangent, 2 * op(spikes)),
        ):
            close(computed, expected)


@check
def axes_with_explicit_types():
    mesh = mesh_of(AxisType.Explicit)
    op, _ = _pair("prob", mesh, "post")
    spikes = spikes_for(op, 8)
    placed = put(spikes, mesh, "x")
    for split in ("post", "pre"):
        _, sharded = _pair("prob", mesh, split)
        close(sharded(spikes), op(spikes))
        close(jax.jit(call)(sharded, spikes), op(spikes))
        close(jax.vmap(sharded)(spikes), op(spikes))
        close(jax.jit(gradients)(sharded, spikes)[1], gradients(op, spikes)[1])
        assert sharded.hash() == op.rows.hash()
    compiled = jax.jit(call).lower(op, placed).compile()
    assert collectives(compiled) == [] and compiled(op, placed).sharding.spec[0] == "x"
    close(compiled(op, placed), op(spikes))
    close(jax.jit(gradients)(op, placed)[0], gradients(op, spikes)[0])
    assert "eventops.sharded" in raised(jax.jit(call), op, put(spikes, mesh, None, "x"))
    dense = nn.EventLinear(40, 32, NORMAL)
    columns = dense.with_weight(put(dense.weight, mesh, None, "x"))
    close(jax.jit(call)(columns, put(spikes, mesh)), dense(spikes))
    assert "same mesh axis" in raised(jax.jit(call), columns, placed)
    with jax.set_mesh(mesh):  # all of the mesh's devices get the operator
        again = nn.EventFixedProb(*OPERATORS["prob"][1])
        assert again.rows.hash() == op.rows.hash() and len(again.rows.ptr.devices()) == 4
        close(jax.jit(call)(again, placed), op(spikes))


@check
def plain_jit_splits_the_batch():
    mesh = mesh_of()
    for name in ("prob", "prob homogeneous", "prob reference", "dense", "dense homogeneous"):
        op, _ = _pair(name, mesh, "post")
        spikes = spikes_for(op, 2, 8)
        placed = put(spikes, mesh, None, "x")
        expected, (ew, es) = op(spikes), gradients(op, spikes)
        for f in (call, lambda op, s: jax.vmap(op)(s)):
            compiled = jax.jit(f).lower(op, placed).compile()
            assert collectives(compiled) == [], collectives(compiled)
            out = compiled(op, placed)
            assert out.sharding.shard_shape(out.shape)[:2] == (2, 2)
            close(out, expected)
        compiled = jax.jit(gradients).lower(op, placed).compile()
        assert set(collectives(compiled)) == {"all-reduce"}, collectives(compiled)
        gw, gs = compiled(op, placed)
        close(gw, ew), close(gs, es)
        weights = jnp.stack([op.weight] * 4)
        sets = jax.jit(jax.vmap(lambda w, s, op=op: op.with_weight(w)(s)))
        compiled = sets.lower(put(weights, mesh, "x"), put(spikes[0, :4], mesh, "x")).compile()
        assert collectives(compiled) == [], collectives(compiled)
        close(compiled(weights, spikes[0, :4]), op(spikes[0, :4]))


@check
def plain_jit_splits_the_batch_of_what_is_drawn():
    """The tables of a graph that is drawn on every call are on every device."""
    mesh = mesh_of()
    for law in (0.5, nn.weights.Normal(0.0, 1.0)):
        for op in (
            nn.EventFixedProb(24, 16, 0.3, law, storage="procedural"),
            nn.EventFixedNumConn(24, 16, 5, law, storage="procedural"),
        ):
            spikes = spikes_for(op, 8)
            placed = put(spikes, mesh, "x")
            compiled = jax.jit(call).lower(op, placed).compile()
            assert collectives(compiled) == [], collectives(compiled)
            out = compiled(op, placed)
            assert out.sharding.shard_shape(out.shape)[0] == 2
            close(out, op(spikes))
            for got, expected in zip(jax.jit(gradients)(op, placed), gradients(op, spikes)):
                close(got, expected)


@check
def plain_jit_splits_the_columns_of_dense_weights():
    mesh = mesh_of()
    op = nn.EventLinear(40, 32, NORMAL)
    spikes = spikes_for(op, 8)
    columns = op.with_weight(put(op.weight, mesh, None, "x"))
    compiled = jax.jit(call).lower(columns, put(spikes, mesh)).compile()
    assert collectives(compiled) == []
    close(compiled(columns, put(spikes, mesh)), op(spikes))
    compiled = jax.jit(gradients).lower(columns, put(spikes, mesh)).compile()
    assert collectives(compiled) == ["all-reduce"]
    gw, gs = compiled(columns, put(spikes, mesh))
    ew, es = gradients(op, spikes)
    close(gw, ew), close(gs, es)
    both = mesh_of(data=2, x=2)
    columns = op.with_weight(put(op.weight, both, None, "x"))
    compiled = jax.jit(call).lower(columns, put(spikes, both, "data")).compile()
    assert collectives(compiled) == []


@check
def plain_jit_refuses_what_it_would_gather():
    mesh = mesh_of()
    op, _ = _pair("post", mesh, "post")
    dense, _ = _pair("dense", mesh, "post")
    spikes = spikes_for(op, 8)
    rows = jax.tree.map(lambda x: put(x, mesh, "x") if x.shape[0] % 4 == 0 else x, op)
    for operator, placed, said in (
        (op, put(spikes, mesh, None, "x"), "pre neurons"),
        (op.with_weight(put(op.weight, mesh, "x")), put(spikes, mesh), "weights"),
        (rows, put(spikes, mesh), "are split"),
        (dense, put(spikes, mesh, None, "x"), "pre neurons"),
        (dense.with_weight(put(dense.weight, mesh, "x")), put(spikes, mesh), "pre neurons"),
        (
            dense.with_weight(put(dense.weight, mesh, None, "x")),
            put(spikes, mesh, "x"),
            "same axis",
        ),
    ):
        for f in (call, jax.jit(call)):
            message = raised(f, operator, placed)
            assert "eventops.sharded" in message and said in message, message


@check
def the_partitioner_before_shardy():
    mesh = mesh_of()
    op, _ = _pair("prob", mesh, "post")
    spikes = spikes_for(op, 8)
    jax.config.update("jax_use_shardy_partitioner", False)
    try:
        compiled = jax.jit(gradients).lower(op, put(spikes, mesh, "x")).compile()
        assert set(collectives(compiled)) == {"all-reduce"}
        close(compiled(op, put(spikes, mesh, "x"))[0], gradients(op, spikes)[0])
        message = raised(jax.jit(lambda op, s: 2 * op(s)), op, put(spikes, mesh, None, "x"))
        assert "eventops.sharded" in message
    finally:
        jax.config.update("jax_use_shardy_partitioner", True)


@check
def one_device_has_no_partitioner():
    op, _ = _pair("prob", mesh_of(), "post")
    spikes = spikes_for(op, 8)
    for device in jax.devices()[:2]:
        placed = jax.device_put((op, spikes), device)
        text = jax.jit(call).lower(*placed).as_text()
        assert "eventops_RowsForward" in text and "Partitioning" not in text
    two = jax.jit(call).lower(op, put(spikes, mesh_of(), "x")).as_text()
    assert "CustomSPMDPartitioning" in two


@check
def split_outputs_uneven_batches_and_loops():
    mesh = mesh_of()
    op, _ = _pair("prob", mesh, "post")
    spikes = spikes_for(op, 8)
    columns = jax.jit(call, out_shardings=NamedSharding(mesh, P(None, "x")))
    compiled = columns.lower(op, put(spikes, mesh)).compile()
    assert collectives(compiled) == []
    close(compiled(op, put(spikes, mesh)), op(spikes))
    uneven = jax.jit(
        lambda op, s: op(jax.lax.with_sharding_constraint(s, NamedSharding(mesh, P("x"))))
    )
    assert "6 vectors of a batch do not divide" in raised(uneven, op, spikes[:6])
    steps = jax.jit(lambda op, s: jax.lax.scan(lambda c, x: (c, op(x)), 0, s)[1])
    placed = put(np.stack([spikes] * 3), mesh, None, "x")
    compiled = steps.lower(op, placed).compile()
    assert collectives(compiled) == []
    close(compiled(op, placed)[2], op(spikes))


@check
def sizes_that_do_not_divide():
    make = nn.sharded(nn.EventFixedNumConn, mesh_of(), "x", split="post")
    message = raised(make, 40, 30, 5, 0.5)
    assert "out_size=30" in message and "out_size=32" in message, message
    make = nn.sharded(nn.EventLinear, mesh_of(), "x", split="pre")
    message = raised(make, 42, 30, 0.5)
    assert "in_size=42" in message and "in_size=44" in message, message
    make = nn.sharded(nn.EventFixedNumConn, mesh_of(), "x")
    assert "50 distinct partners" in raised(make, 40, 32, 50, 0.5)


def main(names):
    results = {}
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    for name in names:
        try:
            CHECKS[name]()
            results[name] = None
        except Exception:
            results[name] = traceback.format_exc()
    print(json.dumps(results))


def process(rank: int, port: int):
    """One of two processes, with two devices each."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, rank)
    assert jax.device_count() == 4 and jax.local_device_count() == 2
    mesh = mesh_of()
    for split in ("post", "pre"):
        for name in ("prob", "prob homogeneous", "pre", "dense"):
            op, sharded = _pair(name, mesh, split)
            for x in jax.tree.leaves(sharded):
                assert len(x.addressable_shards) == 2
            if op.rows is not None:
                assert sharded.hash() == op.rows.hash()
            spikes = spikes_for(op, 3)
            compiled = jax.jit(call).lower(
                sharded, put(spikes, mesh, None, "x" if split == "pre" else None)
            )
            assert collectives(compiled.compile()) == (["all-reduce"] if split == "pre" else [])
            whole, expected = np.asarray(op(spikes)), gradients(op, spikes)[1]
            for piece in sharded(spikes).addressable_shards:
                (same if split == "post" else close)(piece.data, whole[piece.index])
            for piece in jax.jit(gradients)(sharded, spikes)[1].addressable_shards:
                close(piece.data, np.asarray(expected)[piece.index])
    # Nothing is gathered over processes either.
    op, _ = _pair("prob", mesh, "post")
    spikes = spikes_for(op, 8)
    out = jax.jit(call)(op, put(spikes, mesh, "x"))
    for piece in out.addressable_shards:
        close(piece.data, np.asarray(op(spikes))[piece.index])
    print("passed")
