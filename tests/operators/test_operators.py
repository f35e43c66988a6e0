"""Every operator against the float64 oracle, and what all operators have in common."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import (
    EMPTY,
    SMALL,
    TILED,
    WEIGHTS,
    active,
    assert_product,
    bits,
    case,
    ids,
    native,
    normal,
    typed,
    weight_shape,
    with_backends,
)

import eventops as nn
from eventops.graphs.profiles import Gaussian

DTYPED = (
    case("Linear", 23, 18),
    case("EventLinear", 23, 18),
    case("EventFixedProb", 23, 18, 0.4),
    case("EventFixedNumConn", 23, 18, 9, efferent_target="pre"),
    case("EventSparse", 23, 18, 200, duplicates="keep"),
)
SPIKES = ("bool", "int8", "uint8", "int32", "float32", "float16", "bfloat16")


def pairs(cases):
    both = with_backends(cases)
    return pytest.mark.parametrize(
        "case, backend", both, ids=[f"{c.id}-{b or 'default'}" for c, b in both]
    )


def result_dtype(spikes: str, weight: str) -> np.dtype:
    """The weights' dtype; for floating spikes the wider of the two."""
    if "float" not in spikes:
        return jnp.dtype(weight)
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(spikes, weight)


@pytest.mark.parametrize("weight", WEIGHTS)
@pairs(SMALL)
def test_product(case, backend, weight):
    op = case.make(weight, backend=backend)
    # The reference takes most of the time of this file, in compiling: one form of spikes is enough there.
    forms = (("float32", (6,)),) if backend else (("bool", (2, 3)), ("float32", (6,)))
    for dtype, shape in forms:
        spikes = typed(active(case.n_in), dtype).reshape(*shape, case.n_in)
        out = op(jnp.asarray(spikes))
        assert out.shape == (*shape, case.n_out)
        assert_product(op, spikes, out, np.float32)
    if backend is None:
        assert op(spikes[5]).shape == (case.n_out,)
        assert_product(op, spikes[5], op(spikes[5]))
    assert op(jnp.zeros((0, case.n_in))).shape == (0, case.n_out)


@pytest.mark.parametrize("weight", WEIGHTS)
@pairs(EMPTY)
def test_nothing_connected(case, backend, weight):
    op = case.make(weight, backend=backend)
    for shape in ((), (2, 3), (0,)):
        for dtype in (bool, jnp.float32):
            out = op(jnp.ones((*shape, case.n_in), dtype))
            assert out.shape == (*shape, case.n_out) and out.dtype == jnp.float32
            assert not np.any(np.asarray(out))
    assert op.n_synapses == 0
    assert op.todense().shape == (case.n_in, case.n_out)
    assert not np.any(np.asarray(op.todense()))
    grad = jax.grad(lambda w: op.with_weight(w)(jnp.ones(case.n_in)).sum())(op.weight)
    assert grad.shape == op.weight.shape and not np.any(np.asarray(grad))
    if op.rows is not None:
        assert op.rows.indptr().tolist() == [0] * (case.n_in + 1)
        assert op.rows.indices().size == 0
        assert len(op.rows.hash()) == 64
        assert all(op.rows.row(i).size == 0 for i in range(case.n_in))
    assert f"{case.n_in}, {case.n_out}" in repr(op)


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("case", TILED, ids=ids(TILED))
def test_tiles_and_threads(case, weight):
    op = case.make(weight)
    spikes = active(case.n_in)
    for dtype in ("bool", "float32"):
        values = typed(spikes, dtype)
        batch = op(jnp.asarray(values))
        assert_product(op, values, batch)
    single = [op(jnp.asarray(v)) for v in values]
    if op.weight.ndim:  # a dense scalar has one sum for all outputs, which XLA orders as it likes
        assert bits(np.stack([np.asarray(s) for s in single])) == bits(batch)
    for v, out in zip(values, single):
        assert_product(op, v, out)


@pytest.mark.parametrize("case", [TILED[i] for i in (2, 5, 7)], ids=lambda c: c.id)
def test_tiles_on_the_reference(case):
    op = case.make("per-synapse", backend="reference")
    values = typed(active(case.n_in), "float32")
    assert_product(op, values, op(jnp.asarray(values)))


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pairs(DTYPED)
def test_dtypes(case, backend, dtype, weight):
    op = case.make(weight, dtype=dtype, backend=backend)
    assert op.dtype == dtype
    assert op.todense().dtype == dtype
    for kind in SPIKES:
        spikes = typed(active(case.n_in), kind)
        assert_product(op, spikes, op(jnp.asarray(spikes)), result_dtype(kind, dtype))


@pytest.mark.x64
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pairs(DTYPED[1:])
def test_float64(case, backend, dtype, weight):
    """float64 on either side is summed in float64."""
    op = case.make(weight, dtype=dtype, backend=backend)
    for kind in ("bool", "int64", "float32", "float64"):
        spikes = typed(active(case.n_in), kind)
        assert_product(op, spikes, op(jnp.asarray(spikes)), result_dtype(kind, dtype))


@pairs(DTYPED)
def test_subnormal_half_weights(case, backend):
    """The smallest float16 numbers are ordinary float32 numbers: none is lost."""
    tiny = np.float16(2.0**-24) * np.arange(1, 1 + np.prod(weight_shape(case)), dtype=np.float16)
    op = case.make(tiny.reshape(weight_shape(case)), dtype=None, backend=backend)
    assert op.dtype == jnp.float16
    spikes = np.full(case.n_in, 1024, np.float32)
    assert_product(op, spikes, op(spikes), np.float32)


@pytest.mark.parametrize("case", DTYPED[1:], ids=lambda c: c.id)
def test_large_integers_count_by_their_value(case):
    """An integer that float32 cannot hold is rounded once, and that is all."""
    spikes = np.zeros(case.n_in, np.int32)
    spikes[3] = 2**31 - 1
    op = case.make(1.0)
    expected = (2.0**31 - 1) * np.asarray(op.todense(), np.float64)[3]
    assert np.all(np.abs(np.asarray(op(spikes), np.float64) - expected) <= 2.0**31 * 2.0**-24)


@pytest.mark.parametrize("case", DTYPED + SMALL[17:18], ids=lambda c: c.id)
def test_initialiser(case):
    op = case.make(jax.nn.initializers.normal(0.7), dtype="bfloat16")
    assert op.weight.shape == weight_shape(case) and op.dtype == jnp.bfloat16
    key = jax.random.key(dict(case.options).get("seed", 0))
    expected = jax.nn.initializers.normal(0.7)(key, weight_shape(case), jnp.bfloat16)
    assert bits(op.weight) == bits(expected)
    spikes = active(case.n_in)
    assert_product(op, spikes, op(spikes), jnp.bfloat16)


def test_weights_keep_their_dtype():
    assert nn.EventLinear(2, 2, 1).dtype == jnp.float32
    assert nn.EventLinear(2, 2, np.ones((2, 2), np.int8)).dtype == jnp.float32
    assert nn.EventLinear(2, 2, jnp.ones((2, 2), jnp.float16)).dtype == jnp.float16
    assert nn.EventLinear(2, 2, jnp.ones((2, 2), jnp.float16), dtype="float32").dtype == jnp.float32
    op = nn.EventLinear(2, 2, jnp.ones((), jnp.bfloat16))
    assert op.with_weight(2.0).dtype == jnp.bfloat16
    assert op.with_weight(jnp.ones(())).dtype == jnp.float32


@pytest.mark.parametrize("case", SMALL[::2], ids=ids(SMALL[::2]))
def test_description(case):
    """n_synapses, nbytes, todense and repr tell the truth."""
    op = case.make("per-synapse")
    scalar = case.make("scalar")
    dense = np.zeros((case.n_in, case.n_out))
    if op.rows is None:
        dense[...] = np.asarray(op.weight)
        assert op.n_synapses == case.n_in * case.n_out
        assert (scalar.nbytes, op.nbytes) == (4, 4 * op.n_synapses)
    else:
        pre = np.repeat(np.arange(case.n_in), np.diff(op.rows.indptr()))
        np.add.at(dense, (pre, op.rows.indices()), np.asarray(op.weight, np.float64))
        assert op.n_synapses == op.rows.indices().size == op.rows.indptr()[-1]
        stored = op.rows.ptr.nbytes + op.rows.offsets.nbytes
        assert (scalar.nbytes, op.nbytes) == (stored + 4, stored + 4 * op.n_synapses)
        n_tiles = -(-case.n_out // op.rows.tile)
        assert stored == 2 * op.n_synapses + 4 * (case.n_in * n_tiles + 1)
    np.testing.assert_allclose(np.asarray(op.todense()), dense, rtol=1e-5, atol=1e-6)
    for part in (
        case.kind,
        f"({case.n_in}, {case.n_out}",
        "float32",
        f"n_synapses={op.n_synapses}",
    ):
        assert part in repr(op)
    assert f"nbytes={op.nbytes}" in repr(op) and "homogeneous" in repr(scalar)


@pytest.mark.parametrize("case", DTYPED, ids=lambda c: c.id)
def test_with_weight(case):
    op = case.make("scalar")
    other = op.with_weight(normal(weight_shape(case)))
    assert type(other) is type(op) and op.weight.ndim == 0
    assert other.weight.shape == weight_shape(case)
    assert other.with_weight(0.3).weight.ndim == 0
    if op.rows is not None:
        assert other.rows is op.rows
        assert other.graph == op.graph
    assert bits(other.todense()) == bits(case.make("per-synapse").todense())


@pytest.mark.parametrize("case", DTYPED, ids=lambda c: c.id)
def test_immutable(case):
    op = case.make()
    before = bits(op.todense())
    for name in ("weight", "in_size", "anything"):
        with pytest.raises(AttributeError, match=f"{case.kind} is immutable.*{name}"):
            setattr(op, name, 1)
    with pytest.raises(AttributeError, match="immutable"):
        del op.weight
    with pytest.raises(ValueError):
        np.asarray(op.weight)[...] = 0
    assert bits(op.todense()) == before


@pytest.mark.parametrize("case", DTYPED, ids=lambda c: c.id)
def test_pytree(case):
    op = case.make("per-synapse")
    leaves, tree = jax.tree.flatten(op)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert len(leaves) == (1 if op.rows is None else 3)
    again = jax.tree.unflatten(tree, leaves)
    assert repr(again) == repr(op) and tree == jax.tree.structure(case.make("per-synapse"))
    hash(tree)
    spikes = jnp.asarray(active(case.n_in))
    for same in (again, copy.deepcopy(op), pickle.loads(pickle.dumps(op)), jax.device_put(op)):
        assert bits(same(spikes)) == bits(op(spikes))
    assert bits(jax.jit(lambda o, s: o(s))(op, spikes)) == bits(jax.jit(op)(spikes))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(op)]
    assert paths[0] == ".weight"
    # What JAX does with trees: placeholders of any kind pass, and can be printed.
    for leaf in (object(), None, 1.0, np.zeros(())):
        assert case.kind in repr(jax.tree.map(lambda _: leaf, op))  # noqa: B023
    assert case.kind in repr(jax.eval_shape(lambda o: o, op))


@pytest.mark.parametrize("weight", WEIGHTS)
@pairs(DTYPED[1:])
def test_float_as_event(case, backend, weight):
    """Every nonzero input is one event, whatever the weights; the gradient is that of the value."""
    op = case.make(weight, backend=backend, float_as_event=True)
    plain = case.make(weight, backend=backend)
    places = active(case.n_in)
    for dtype in ("bool", "int8", "float32"):
        out = op(typed(places, dtype))
        assert bits(out) == bits(plain(places.astype(np.float32)))
    assert "float_as_event=True" in repr(op)

    def loss(op, s):
        return jnp.sum(op(s) * normal((6, case.n_out)))

    spikes = jnp.asarray(typed(places, "float32"))
    assert bits(jax.grad(loss, 1)(op, spikes)) == bits(jax.grad(loss, 1)(plain, spikes))
    by_event = jax.grad(lambda w: loss(op.with_weight(w), spikes))(op.weight)
    units = jnp.asarray(places.astype(np.float32))
    assert bits(by_event) == bits(jax.grad(lambda w: loss(plain.with_weight(w), units))(op.weight))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("weight", WEIGHTS)
@pairs(DTYPED[1:])
def test_weights_of_silent_neurons_are_not_read(case, backend, weight, bad):
    op = case.make(weight, backend=backend)
    places = active(case.n_in)[4]
    if weight == "scalar":
        places = np.zeros(case.n_in, bool)
        spoilt = op.with_weight(bad)
    else:
        pre = np.arange(case.n_in)
        if op.rows is None:
            w = np.where(places[:, None], np.asarray(op.weight), bad)
        else:
            pre = np.repeat(pre, np.diff(op.rows.indptr()))
            w = np.where(places[pre], np.asarray(op.weight), bad)
        spoilt = op.with_weight(w.astype(np.float32))
    for dtype in ("bool", "int8", "float32"):
        spikes = typed(places, dtype)
        out = np.asarray(spoilt(spikes))
        assert np.all(np.isfinite(out)) and bits(out) == bits(op(spikes))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("n_batch", [8, 9])
@pytest.mark.parametrize("n", [64, 700])
def test_nor_in_a_batch_in_which_nearly_all_are_active(n, n_batch, bad):
    """Such a batch is multiplied as a whole, silent neurons too: 0 times inf must not show."""
    weight = np.random.default_rng(1).normal(size=(n, 90)).astype(np.float32)
    op, spoilt = nn.EventLinear(n, 90, weight), weight.copy()
    spoilt[n // 2] = bad
    spikes = np.ones((n_batch, n), bool)
    spikes[::3, n // 2] = False
    for dtype in ("bool", "float32"):
        out = np.asarray(op.with_weight(spoilt)(typed(spikes, dtype)))
        assert bits(out[::3]) == bits(op(typed(spikes, dtype))[::3])
        assert not np.isfinite(np.delete(out, np.s_[::3], axis=0)).any()


@native
@pytest.mark.parametrize("bad", [0.0, np.inf])
@pytest.mark.parametrize("n_batch", [3, 4, 8, 9])
@pytest.mark.parametrize("n_in, n_out", [(255, 70), (257, 1), (700, 1000), (3000, 600)])
def test_dense_sums_in_halves_have_the_same_bits_however_they_are_computed(
    n_in, n_out, n_batch, bad
):
    """Vectors of many events are summed in two halves: alone, in a batch, with other columns, stacked weights."""
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(n_in, n_out)).astype(np.float32)
    rates = np.array([1.0, 0.9, 0.6, 300 / n_in, 0.3, 0.1, 250 / n_in, 260 / n_in, 0.0])[
        :n_batch, None
    ]
    for few, middle in (
        (rates, n_in // 2),
        (rates * 0.4, n_in // 2),
        (rates, n_in - 1),
        (rates, 0),
    ):
        spikes = rng.random((n_batch, n_in)) < few
        spikes[:, middle:] &= rng.random(n_in - middle) < 0.99  # the halves are not alike
        spikes[:, 5] = False
        weight[5] = bad
        op, stacked = nn.EventLinear(n_in, n_out, weight), jnp.stack([weight, weight])
        for s in (spikes, spikes * np.float32(0.3)):
            alone = np.stack([np.asarray(op(one)) for one in s])
            assert bits(op(s)) == bits(alone)
            assert bits(nn.EventLinear(n_in, 1, weight[:, -1:])(s)) == bits(alone[:, -1:])
            both = jax.vmap(lambda w, s: op.with_weight(w)(s))(stacked, jnp.asarray(s[:2]))  # noqa: B023
            assert bits(both) == bits(alone[:2])


@native
@pytest.mark.parametrize("weight", [0.1, -0.1, np.inf])
@pytest.mark.parametrize("n_batch", [3, 33])
@pytest.mark.parametrize("n_out", [70, 40_000])
def test_one_weight_is_multiplied_by_how_many_came(n_out, n_batch, weight):
    """Events of 1 are counted, beyond 16 bits too, whether alone, in a batch, or beside others in it."""
    rng = np.random.default_rng(3)
    pre, post = rng.integers(0, 50, 20_000), rng.integers(0, 70, 20_000)
    pre, post = np.append(pre, np.full(140_000, 7)), np.append(post, np.full(140_000, 5))
    op = nn.EventSparse((pre, post, weight), shape=(50, n_out), duplicates="keep")
    assert op.weight.ndim == 0
    spikes = (rng.random((n_batch, 50)) < np.linspace(0, 1, n_batch)[:, None]).astype(np.float32)
    graded = spikes.copy()
    graded[1::2] *= np.float32(0.3)
    out, mixed = np.asarray(op(spikes)), np.asarray(op(graded))
    counts = np.zeros((50, n_out))
    np.add.at(counts, (pre, post), 1)
    counts = spikes @ counts
    with np.errstate(invalid="ignore"):
        exact = np.where(counts == 0, 0, np.float32(weight) * counts.astype(np.float32))
    assert bits(out) == bits(exact.astype(np.float32))
    assert bits(op(spikes != 0)) == bits(out)
    assert bits(mixed) == bits(np.stack([np.asarray(op(one)) for one in graded]))
    assert bits(mixed[::2]) == bits(out[::2])
    for vectors in (spikes, graded):
        assert bits(jax.jit(jax.vmap(op))(jnp.asarray(vectors))) == bits(op(vectors))
    assert_product(op.with_weight(np.float32(0.3)), graded, op.with_weight(np.float32(0.3))(graded))


@pairs(DTYPED[1:])
def test_not_a_number_is_an_event(case, backend):
    """A spike that is nan reaches exactly the outputs that its neuron is connected to."""
    op = case.make(1.0, backend=backend)
    spikes = np.zeros(case.n_in, np.float32)
    spikes[2] = np.nan
    connected = np.asarray(op.todense())[2] != 0
    assert np.array_equal(np.isnan(np.asarray(op(spikes))), connected)
    assert not np.any(np.asarray(op(np.where(np.isnan(spikes), np.float32(-0.0), spikes))))


@pytest.mark.parametrize("weight", WEIGHTS)
@pairs(DTYPED + TILED[3:4])
def test_two_runs_give_the_same_bits(case, backend, weight):
    spikes = jnp.asarray(typed(active(case.n_in), "float32"))
    first, second = (case.make(weight, backend=backend)(spikes) for _ in range(2))
    assert bits(first) == bits(second)
    ones = jnp.asarray(active(case.n_in))
    op = case.make(weight, backend=backend)
    assert bits(op(ones)) == bits(op(ones.astype(jnp.float32)))


@given(data=st.data())
def test_random_operator(data):
    """Any operator on any spikes; shapes repeat, so that few programs are compiled."""
    n_in, n_out = data.draw(st.sampled_from([(5, 8), (16, 16), (33, 7)]), label="sizes")
    kind = data.draw(
        st.sampled_from(
            [
                "EventLinear",
                "EventFixedProb",
                "EventFixedNumConn",
                "EventFixedTotalNum",
                "EventDistanceProb",
            ]
        ),
        label="kind",
    )
    seed = data.draw(st.integers(0, 2**63 - 1), label="seed")
    conn, options = None, {"seed": seed}
    if kind == "EventFixedProb":
        conn = data.draw(st.floats(0, 1), label="probability")
    if kind == "EventFixedNumConn":
        options["efferent_target"] = target = data.draw(st.sampled_from(["post", "pre"]))
        options["allow_multi_conn"] = data.draw(st.booleans(), label="multi")
        conn = data.draw(st.integers(0, n_out if target == "post" else n_in), label="number")
    if kind == "EventFixedTotalNum":
        options["allow_multi_conn"] = data.draw(st.booleans(), label="multi")
        conn = data.draw(st.integers(0, n_in * n_out), label="number")
    if kind == "EventDistanceProb":
        options["periodic"] = data.draw(st.booleans(), label="periodic")
        conn = Gaussian(data.draw(st.floats(0, 1)), data.draw(st.floats(0.1, 100)))
    drawn = case(kind, n_in, n_out, conn, **options)
    # Per-synapse weights of a new length are a new program, a scalar is not.
    weight = data.draw(st.sampled_from(WEIGHTS if kind == "EventLinear" else ("scalar",)))
    op = drawn.make(weight)
    spikes = data.draw(
        st.lists(
            st.one_of(st.just(0.0), st.floats(-1e3, 1e3, width=32, allow_subnormal=False)),
            min_size=n_in,
            max_size=n_in,
        ),
        label="spikes",
    )
    spikes = np.array(spikes, np.float32)
    spikes[np.abs(spikes) < 1e-20] = 0  # products below the normal range are flushed to zero
    assert_product(op, spikes, op(spikes))
