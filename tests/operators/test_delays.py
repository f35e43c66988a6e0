"""Delays: every operator against the float64 model with one matrix per delay, under every transformation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import (
    BACKENDS,
    EMPTY,
    SMALL,
    TILED,
    active,
    bits,
    case,
    ids,
    native,
    normal,
    procedural,
    run_python,
    typed,
)
from support.cases import weights_of as weights_of_case

import eventops as nn
from eventops.bench.verify import oracle
from eventops.rows.delay_table import delay_table, n_slots, tile_width

STEPS = 9


def delays_of(op, longest=6, seed=0):
    """One per synapse, of all values up to the longest, zero included."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, longest + 1, op._weight_shape()).astype(np.int32)


def coordinates(op):
    """(pre, post) of each synapse."""
    rows = op.connections()
    if rows is None:
        return np.divmod(np.arange(op.in_size * op.out_size), max(1, op.out_size))
    return np.repeat(np.arange(op.in_size), np.diff(rows.indptr())), rows.indices()


def exact(op, delay, spikes) -> oracle.Exact:
    """The float64 model: what a spike of step t sends over a synapse arrives in step t + its delay."""
    pre, post = coordinates(op)
    delay = np.broadcast_to(np.asarray(delay).reshape(-1), pre.shape)
    weight = np.broadcast_to(np.asarray(op.weight).astype(np.float64).reshape(-1), pre.shape)
    spikes = np.asarray(spikes).astype(np.float64)
    last = len(spikes) + int(delay.max(initial=0))
    value, magnitude = np.zeros((2, last, op.out_size))
    terms = np.zeros((last, op.out_size), np.int64)
    for t, s in enumerate(spikes):
        k = np.flatnonzero(s[pre])
        term = s[pre[k]] * weight[k]
        at = (t + delay[k], post[k])
        np.add.at(value, at, term)
        np.add.at(magnitude, at, np.abs(term))
        np.add.at(terms, at, 1)
    return oracle.Exact(*(x[: len(spikes)] for x in (value, magnitude, terms)))


@jax.jit
def run(late, state, spikes):
    return jax.lax.scan(late.step, state, spikes)


def assert_model(op, delay, spikes):
    late = nn.Delayed(op, delay)
    currents = np.asarray(run(late, late.init_state(), jnp.asarray(spikes))[1])
    worst, at = oracle.worst_ratio(currents, exact(op, delay, spikes))
    assert worst <= 1, f"{late!r}: error/bound {worst} at {at}"
    return late


def movie(n_in, dtype, seed=0):
    """(STEPS, n_in): silence, all, few, half ... of both signs where the dtype has them."""
    return typed(np.concatenate([active(n_in, seed), active(n_in, seed + 1)])[1 : STEPS + 1], dtype)


# Natively all cases, and every fourth by the specification.
with_backends = [(c, None) for c in SMALL] + [(c, "reference") for c in SMALL[1::4]]


@pytest.mark.parametrize("case, backend", with_backends, ids=lambda x: getattr(x, "id", str(x)))
def test_one_delay_per_synapse(case, backend):
    weight, dtype = (("scalar", "bool"), ("per-synapse", "float32"))[SMALL.index(case) % 2]
    op = case.make(weight, backend=backend)
    late = assert_model(op, delays_of(op), movie(op.in_size, dtype))
    assert op.n_synapses < 20 or late.table.slots == 8


@native
@pytest.mark.parametrize("case", TILED[3:6], ids=ids(TILED[3:6]))
def test_many_tiles(case):
    """Codes of 16 bits and of 32, and more delays than 8 bits can tell apart."""
    for weight, longest in (("scalar", 3), ("per-synapse", 260)):
        op = case.make(weight)
        assert_model(op, delays_of(op, longest), movie(op.in_size, "bool"))


ONE_DELAY = (SMALL[0], SMALL[2], procedural(SMALL[7]), SMALL[13])


@pytest.mark.parametrize("delay", [0, 1, 4, 300])
@pytest.mark.parametrize("case", ONE_DELAY, ids=ids(ONE_DELAY))
def test_one_delay(case, delay):
    """For any storage; and an array of one number is that number."""
    op = case.make(weights_of_case(case)[-1])
    late = assert_model(op, delay, movie(op.in_size, "float32"))
    assert late.delay == delay == late.max_delay and late.nbytes == op.nbytes
    if op.rows is not None:
        assert nn.Delayed(op, np.full(op.n_synapses, delay)).delay == delay


def test_when_a_spike_arrives():
    """A delay of d steps: in the current that the d-th call after this one returns, and only there."""
    op = nn.EventLinear(1, 5, 2.0)
    late = nn.Delayed(op, np.array([[0, 1, 2, 5, 65_535]]))
    state, arrived = late.init_state(), []
    for t in range(8):
        state, current = late.step(state, jnp.asarray([t == 1]))
        arrived.append(current)
    expected = np.zeros((8, 5))
    for i, d in enumerate((0, 1, 2, 5)):
        expected[1 + d, i] = 2
    assert np.array_equal(np.asarray(arrived), expected)


def test_the_ring_goes_round():
    """Hundreds of steps, at any place of the ring, also for a delay that is no power of two."""
    op = nn.EventFixedNumConn(50, 40, 10, normal(500))
    spikes = np.random.default_rng(0).random((300, 50)) < 0.1
    for delay in (7, delays_of(op, 13)):
        assert_model(op, delay, spikes)


@pytest.mark.parametrize("case", EMPTY, ids=ids(EMPTY))
def test_nothing(case):
    op = case.make("scalar")
    for delay in (2, np.zeros(op._weight_shape(), int)):
        late = nn.Delayed(op, delay)
        for lead in ((), (3,), (0, 2)):
            state, current = late.step(late.init_state(lead), jnp.zeros((*lead, op.in_size), bool))
            assert current.shape == (*lead, op.out_size) and not np.any(np.asarray(current))
            late.step(state, jnp.zeros((*lead, op.in_size), bool))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("weight", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.x64
def test_dtypes(weight, backend):
    """Sums are of float32 or float64, rounded once when they arrive."""
    op = nn.EventFixedNumConn(60, 50, 12, normal(720), dtype=weight, backend=backend)
    for delay, dtype in ((3, weight), (delays_of(op), weight), (delays_of(op), "float64")):
        late, spikes = nn.Delayed(op, delay), movie(60, dtype)
        _, currents = run(late, late.init_state(dtype=dtype), jnp.asarray(spikes))
        assert currents.dtype == dtype
        assert oracle.worst_ratio(np.asarray(currents), exact(op, delay, spikes))[0] <= 1


# ---- transformations, against the same model in plain arithmetic

N_IN, N_OUT = 9, 7
KINDS = (
    case("EventLinear", N_IN, N_OUT),
    case("EventFixedProb", N_IN, N_OUT, 0.5, seed=2),
    case("EventFixedNumConn", N_IN, N_OUT, 9, allow_multi_conn=True),  # with repeated pairs
)


def twin(op, delay, w, spikes):
    """(time, ..., in) to (time, ..., out): the sum over delays of one product each."""
    pre, post = coordinates(op)
    delay = np.broadcast_to(np.asarray(delay).reshape(-1), pre.shape)
    out = jnp.zeros((*spikes.shape[:-1], op.out_size), spikes.dtype)
    flat = jnp.broadcast_to(w.reshape(-1), pre.shape)
    for d in np.unique(delay):
        k = delay == d
        matrix = jnp.zeros((op.in_size, op.out_size), w.dtype).at[pre[k], post[k]].add(flat[k])
        arriving = spikes[: len(spikes) - d] @ matrix
        out = out.at[d:].add(arriving)
    return out


def transformed(f, d):
    """Everything that JAX does to ``f(weights, spikes)``."""
    kept = jax.checkpoint(f)

    def loss(w, x):
        return jnp.sum(jnp.tanh(f(w, jnp.sin(x))) ** 2)

    def along(w, x):
        return jax.jvp(loss, (w, x), (d["dw"], d["dx"]))[1]

    out, pull = jax.vjp(f, d["w"], d["x"])
    batch = jnp.swapaxes(d["xs"], 0, 1)
    return (
        out,
        pull(d["ct"]),
        jax.jvp(f, (d["w"], d["x"]), (d["dw"], d["dx"])),
        jax.grad(along, (0, 1))(d["w"], d["x"]),
        jax.vmap(f)(d["ws"], d["xs"]),
        jax.vmap(f, (None, 1))(d["w"], batch),
        jax.vmap(jax.vmap(f, (None, 0)), (0, None))(d["ws"], d["xs"]),
        jax.vmap(jax.vmap(f, (0, None)), (None, 0))(d["ws"], d["xs"]),
        jax.vmap(jax.grad(loss, (0, 1)))(d["ws"], d["xs"]),
        f(d["w"], batch),  # a batch in leading dimensions
        jax.grad(lambda w, x: jnp.sum(kept(w, x) ** 3), (0, 1))(d["w"], batch),
    )


TRANSFORMED = [
    (KINDS[0], 2, "per-synapse", None),
    (KINDS[0], None, "per-synapse", None),
    (KINDS[1], None, "scalar", None),
    (KINDS[1], 1, "scalar", "reference"),
    (KINDS[2], None, "scalar", "reference"),
    (KINDS[2], None, "per-synapse", None),
]


@pytest.mark.x64
@pytest.mark.parametrize(
    "case, delay, weight, backend", TRANSFORMED, ids=lambda x: getattr(x, "id", str(x))
)
def test_transformations(case, delay, weight, backend):
    """Rounding in float64 of some hundred terms of order 1 to 100 stays below 1e-11."""
    op = case.make(0.5, dtype="float64", backend=backend)
    delay = delays_of(op, 3) if delay is None else delay
    late = nn.Delayed(op, delay)
    rng = np.random.default_rng(3)
    shape = () if weight == "scalar" else op._weight_shape()
    steps = 5
    spikes = np.where(rng.random((3, steps, N_IN)) < 0.6, rng.normal(size=(3, steps, N_IN)), 0)
    d = {
        "w": rng.normal(size=shape),
        "dw": rng.normal(size=shape),
        "ws": rng.normal(size=(3, *shape)),
        "x": spikes[0],
        "xs": spikes,
        "dx": rng.normal(size=(steps, N_IN)),
        "ct": rng.normal(size=(steps, N_OUT)),
    }

    def ours(w, x):
        now = late.with_weight(w)
        return jax.lax.scan(now.step, now.init_state(x.shape[1:-1]), x)[1]

    d = {name: jnp.asarray(x) for name, x in d.items()}
    computed = jax.jit(functools.partial(transformed, ours))(d)
    expected = jax.jit(functools.partial(transformed, functools.partial(twin, op, delay)))(d)
    assert jax.tree.structure(computed) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(computed), jax.tree.leaves(expected)):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("weight", ["scalar", "per-synapse"])
@pytest.mark.parametrize("one", [True, False], ids=["one delay", "per synapse"])
def test_batch_is_loop_is_vmap_bitwise(weight, one):
    op, n = KINDS[2].make(weight), 5
    spikes = typed(np.random.default_rng(4).random((STEPS, n, N_IN)) < 0.5, "float32") * 0.3
    xs = jnp.asarray(spikes if weight == "scalar" else spikes != 0)
    late = nn.Delayed(op, 2 if one else delays_of(op))
    state, currents = run(late, late.init_state((n,)), xs)
    again = run(late, late.init_state((n,)), xs)
    mapped = jax.vmap(functools.partial(run, late), (0, 1), (0, 1))(late.init_state((n,)), xs)
    shared = jax.vmap(functools.partial(run, late, late.init_state()), 1, (0, 1))(xs)
    for other in (again, mapped, shared):
        assert bits(other[1]) == bits(currents) and bits(other[0].ring) == bits(state.ring)
    for b in range(n):
        last, out = run(late, late.init_state(), xs[:, b])
        assert bits(out) == bits(currents[:, b]) and bits(last.ring) == bits(state.ring[b])
        assert last.position == state.position[b]
    eager = late.init_state()
    for t in range(3):  # one call after another, without a scan
        eager, current = late.step(eager, xs[t, 0])
        assert bits(current) == bits(currents[t, 0])


def test_surrogate_gradient_and_unit_events():
    """A graded input counts as one event, and its derivative is that of the value, with any delay."""
    for backend in BACKENDS:
        op = nn.EventFixedNumConn(30, 20, 5, normal(150), float_as_event=True, backend=backend)
        plain = nn.EventFixedNumConn(30, 20, 5, op.weight)
        x = jnp.asarray(movie(30, "float32"))
        for delay in (2, delays_of(op)):
            late, value = nn.Delayed(op, delay), nn.Delayed(plain, delay)
            events = run(late, late.init_state(), x)[1]
            assert bits(events) == bits(run(late, late.init_state(), x != 0)[1])

            def total(late, x):
                return jnp.sum(run(late, late.init_state(), x)[1][-1])

            a, b = jax.grad(total, 1)(late, x), jax.grad(total, 1)(value, x)
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_silent_neurons(backend):
    """Their weights are not read, and have no cotangent, whatever comes back."""
    weight = np.where(np.arange(4)[:, None] == 1, np.nan, 1).astype(np.float32) * np.ones(
        (1, 3), "f4"
    )
    op = nn.EventLinear(4, 3, weight, backend=backend)
    late = nn.Delayed(op, delays_of(op, 2))
    spikes = jnp.asarray([[1.0, 0, 2, 1]] * 4)
    assert np.all(np.isfinite(run(late, late.init_state(), spikes)[1]))

    def f(w):
        now = late.with_weight(w)
        return run(now, now.init_state(), spikes)[1]

    (g,) = jax.vjp(f, op.weight)[1](jnp.full((4, 3), jnp.inf))
    assert not np.any(np.asarray(g[1])) and np.all(np.isinf(np.asarray(g)[[0, 2, 3]]))


# ---- what is stored


@native
def test_in_place():
    """A donated state keeps its buffer, and a scan makes no copy of the ring."""
    op = nn.EventFixedNumConn(300, 2000, 50, 0.5)
    spikes = jnp.asarray(np.random.default_rng(0).random((4, 300)) < 0.1)
    for delay in (50, delays_of(op, 50)):
        late = nn.Delayed(op, delay)
        state = late.init_state()
        step = jax.jit(lambda late, state, s: late.step(state, s), donate_argnums=1)
        buffer = state.ring.unsafe_buffer_pointer()
        for s in spikes:
            state, _ = step(late, state, s)
        assert state.ring.unsafe_buffer_pointer() == buffer
        scan = jax.jit(lambda *a: run(*a), donate_argnums=1).lower(late, state, spikes).compile()
        assert scan.memory_analysis().temp_size_in_bytes < state.ring.nbytes / 4


@native
@pytest.mark.parametrize("weight", [0.5, None], ids=["scalar", "per-synapse"])
def test_segments_of_any_length(weight):
    """Short segments are put together, long ones and the last of the table are not; all are added in the same order."""
    rng = np.random.default_rng(3)
    degrees = [3, 0, 1, 15, 16, 17, 63, 64, 65, 150, 1, 16, 0, 5]
    pre = np.repeat(np.arange(len(degrees)), degrees)
    post = np.concatenate([np.sort(rng.choice(160, k, replace=False)) for k in degrees])
    weight = rng.integers(-9, 9, pre.size).astype("f") if weight is None else weight
    ops = [
        nn.EventSparse((pre, post, weight), shape=(len(degrees), 160), backend=backend)
        for backend in ("cpu", "reference")
    ]
    delays = rng.integers(0, 9, pre.size)
    spikes = jnp.asarray(rng.integers(-1, 3, (4, len(degrees))), "float32")
    for given in (spikes, spikes != 0, jnp.ones_like(spikes)):
        cpu, reference = (
            jax.lax.scan(late.step, late.init_state(), given)[1]
            for late in (nn.Delayed(op, delays) for op in ops)
        )
        np.testing.assert_array_equal(cpu, reference)


def test_the_table():
    op = nn.EventFixedNumConn(100, 20_000, 400, 0.5)
    for longest, wide in ((1, False), (7, False), (63, False), (1000, True), (65_535, True)):
        delays = delays_of(op, longest)
        delays[0] = longest
        late = nn.Delayed(op, delays)
        table = late.table
        assert np.array_equal(late.delay, delays) and late.max_delay == longest
        assert table.codes.dtype == (np.uint32 if wide else np.uint16)
        assert late.nbytes == op.nbytes + table.codes.nbytes + table.ptr.nbytes
        assert table.ptr.nbytes <= op.n_synapses  # less than a byte each
        assert late.init_state((2,)).ring.shape == (2, *table.ring_shape)
    for slots, tile in (
        (n_slots(d), tile_width(70_000, n_slots(d), 1000)) for d in range(1, 3000, 7)
    ):
        assert slots & (slots - 1) == 0 and tile & (tile - 1) == 0 and 16 <= tile <= 65_536


def test_chunks(monkeypatch):
    """A table that is made in many pieces is the same."""
    for op in (nn.EventFixedNumConn(90, 300, 20, 0.5), nn.EventLinear(30, 40, normal((30, 40)))):
        delays = delays_of(op)
        whole = nn.Delayed(op, delays).table
        monkeypatch.setattr("eventops.rows.delay_table._CHUNK", 55)
        parts = nn.Delayed(op, delays).table
        monkeypatch.undo()
        assert bits(whole.ptr) == bits(parts.ptr) and bits(whole.codes) == bits(parts.codes)


def test_one_matrix_per_delay():
    for make in (
        lambda: nn.EventFixedNumConn(20, 15, 9, normal(180)),
        lambda: nn.EventLinear(4, 5, 0.5),
    ):
        op = make()
        late = nn.Delayed(op, delays_of(op))
        dense = np.asarray(late.todense())
        assert dense.shape == (late.max_delay + 1, op.in_size, op.out_size)
        np.testing.assert_allclose(dense.sum(0), op.todense(), rtol=1e-6)
        late = nn.Delayed(op, 3)
        assert bits(late.todense()[3]) == bits(op.todense())
        assert not np.any(np.asarray(late.todense()[:3]))


REPEATED = (np.r_[3, 3, 3, 0, 1], np.r_[2, 2, 0, 4, 2], np.r_[1.0, 2, 3, 4, 5].astype(np.float32))


@pytest.mark.parametrize(
    "op",
    [
        nn.EventFixedNumConn(6, 5, 3, normal(18), seed=2),
        nn.EventFixedNumConn(6, 5, 3, 0.5, allow_multi_conn=True, seed=2),
        nn.EventSparse(REPEATED, shape=(6, 5), duplicates="keep"),
        nn.EventLinear(6, 5, 0.5),
        nn.EventLinear(6, 5, normal((6, 5))),
    ],
    ids=["weights", "one weight, repeats", "weights, repeats", "dense, one weight", "dense"],
)
@pytest.mark.parametrize("one", [False, True], ids=["per synapse", "one delay"])
def test_transposed_and_selected(op, one):
    """Delays stay with their synapses: each matrix of one delay is transposed, and selected from."""
    late = nn.Delayed(op, 3 if one else delays_of(op))
    dense = np.asarray(late.todense())
    pre, post = [5, 0, 3, 3], np.array([True, False, True, False, True])
    ix = np.ix_(pre, np.flatnonzero(post))
    for made, expected in (
        (late.T, dense.transpose(0, 2, 1)),
        (late.T.T, dense),
        (late[1:4], dense[:, 1:4]),
        (late[:, post], dense[:, :, post]),
        (late[ix], np.stack([matrix[ix] for matrix in dense])),
        (late[:], dense),
    ):
        assert isinstance(made, nn.Delayed)
        found = np.zeros_like(expected)
        found[: made.max_delay + 1] = made.todense()
        np.testing.assert_array_equal(found, expected)


def test_gradient_through_the_transposed():
    op = nn.EventFixedNumConn(6, 5, 3, normal(18), seed=2)
    late = nn.Delayed(op, delays_of(op))
    factor = jnp.arange(1.0, 31.0).reshape(5, 6)
    found = jax.grad(lambda w: jnp.sum(factor * late.with_weight(w).T.todense().sum(0)))(op.weight)
    np.testing.assert_array_equal(found, factor.T[coordinates(op)])
    with pytest.raises(TypeError, match=r"Delayed\.T: the operator is traced"):
        jax.jit(lambda late: late.T)(late)
    with pytest.raises(IndexError, match=r"Delayed\[\.\.\.\]: pre neuron 6"):
        late[[6]]


def test_as_one_matrix():
    """All synapses, whatever their delays; generated weights too."""
    op = nn.EventFixedProb(30, 20, 0.3, nn.weights.Normal(0.5, 0.1), storage="procedural")
    late = nn.Delayed(op, 3)
    np.testing.assert_array_equal(late.to_scipy().toarray(), op.todense())
    np.testing.assert_array_equal(late.to_bcoo().todense(), op.todense())


def test_weight_updates_are_those_of_the_operator_itself():
    op = nn.EventFixedNumConn(6, 5, 3, normal(18), seed=2)
    late = nn.Delayed(op, delays_of(op)).with_columns()
    weight, post, trace = op.weight, jnp.arange(5) == 2, jnp.arange(6.0)
    for call in (late.update_on_pre, late.update_on_post):
        with pytest.raises(TypeError, match=r"Delayed\.update_on_.*update by op\.op"):
            call(weight, post, trace)
    learn = jax.jit(lambda late, *args: late.with_weight(late.op.update_on_post(*args)))
    found = learn(late, weight, post, trace)
    assert bits(found.weight) == bits(op.update_on_post(weight, post, trace))
    assert bits(found.delay) == bits(late.delay)


def test_initialiser():
    """Drawn with a key of its own, from the operator's seed."""

    def draw(key, shape, dtype):
        return jax.random.randint(key, shape, 1, 17, dtype)

    def make(seed):
        return nn.EventFixedNumConn(100, 80, 10, jax.nn.initializers.normal(), seed=seed)

    first, again, other = (nn.Delayed(make(seed), draw).delay for seed in (1, 1, 2))
    assert bits(first) == bits(again) != bits(other)
    assert first.shape == (1000,) and first.min() == 1 and first.max() == 16
    same_key = draw(jax.random.key(1), (1000,), jnp.int32)
    assert bits(first) != bits(same_key)
    dense = nn.Delayed(nn.EventLinear(5, 6, 0.5), draw)
    assert dense.delay.shape == (5, 6)


def test_as_a_pytree():
    op = nn.EventFixedNumConn(40, 30, 5, normal(200), backend="reference", float_as_event=True)
    for delay in (3, delays_of(op)):
        late = nn.Delayed(op, delay)
        weights, merge = nn.split({"late": late})
        assert list(weights) == ["late.op.weight"]
        assert bits(merge(weights)["late"].delay) == bits(late.delay)
        leaves, tree = jax.tree.flatten(late)
        again = jax.tree.unflatten(tree, leaves)
        assert repr(again) == repr(late) and "EventFixedNumConn(40, 30" in repr(late)
        assert (again.in_size, again.out_size, again.n_synapses) == (40, 30, 200)
        assert again.backend == "reference" and again.float_as_event and again.seed == 0
        assert again.connections().hash() == op.connections().hash()
        repr(jax.tree.unflatten(tree, [object()] * len(leaves)))
        with pytest.raises(AttributeError, match="immutable"):
            late.common = 4
        doubled = late.with_weight(2 * late.weight)
        x = jnp.asarray(movie(40, "float32"))
        double = run(doubled, late.init_state(), x)[1]
        assert bits(double) == bits(2 * run(late, late.init_state(), x)[1])


# ---- what is refused

OP = nn.EventFixedNumConn(4, 6, 2, 0.5)
DENSE = nn.EventLinear(4, 6, 0.5)
DRAWN = nn.EventFixedNumConn(4, 6, 2, 0.5, storage="procedural")
LATE = nn.Delayed(OP, np.arange(8))
STATE = LATE.init_state()
ON = jnp.ones(4, bool)
REFUSED = {
    "negative": (lambda: nn.Delayed(OP, -1), ValueError, "-1 steps", "[0, 65535]"),
    "long": (lambda: nn.Delayed(OP, 65_536), ValueError, "65536 steps", "longer time step"),
    "negative in an array": (lambda: nn.Delayed(OP, np.arange(8) - 3), ValueError, "-3 steps"),
    "huge ring": (
        lambda: nn.Delayed(nn.EventFixedProb(2, 2**30, 0.0, 0.5), 65_535),
        ValueError,
        "65535 steps",
        "split",
    ),
    "huge ring of a table": (
        lambda: nn.Delayed(nn.EventFixedNumConn(2, 10**6, 2, 0.5), np.array([1, 2, 3, 65_535])),
        ValueError,
        "longer time step",
    ),
    "float": (lambda: nn.Delayed(OP, 1.5), TypeError, "whole steps", "float64", "round"),
    "float array": (lambda: nn.Delayed(OP, np.ones(8)), TypeError, "whole steps"),
    "bool": (lambda: nn.Delayed(OP, True), TypeError, "whole steps", "bool"),
    "none": (lambda: nn.Delayed(OP, None), TypeError, "whole steps"),
    "shape": (lambda: nn.Delayed(OP, np.arange(7)), ValueError, "(7,)", "(8,)", "(pre, post)"),
    "shape of dense": (lambda: nn.Delayed(DENSE, np.arange(6)), ValueError, "(6,)", "(4, 6)"),
    "initialiser": (
        lambda: nn.Delayed(OP, lambda key, shape, dtype: jnp.ones(shape)),
        TypeError,
        "the initialiser",
        "whole steps",
    ),
    "traced": (
        lambda: jax.jit(lambda d: nn.Delayed(OP, d).weight)(3),
        TypeError,
        "traced",
        "static",
    ),
    "traced graph": (
        lambda: jax.jit(lambda op: nn.Delayed(op, np.arange(8)).weight)(OP),
        TypeError,
        "traced",
    ),
    "procedural": (lambda: nn.Delayed(DRAWN, np.arange(8)), ValueError, "procedural", "'sparse'"),
    "no operator": (lambda: nn.Delayed(np.ones((4, 6)), 1), TypeError, "EventLinear"),
    "twice": (lambda: nn.Delayed(LATE, 1), TypeError, "must be an operator"),
    "called": (lambda: LATE(ON), TypeError, "init_state", "step(state, spikes)"),
    "no state": (lambda: LATE.step(None, ON), TypeError, "state=None", "init_state"),
    "state of another": (
        lambda: LATE.step(nn.Delayed(OP, 3).init_state(), ON),
        ValueError,
        "does not fit",
        "init_state",
    ),
    "batch": (lambda: LATE.step(STATE, jnp.ones((2, 4))), ValueError, "(2,)", "init_state((2,))"),
    "spikes": (lambda: LATE.step(STATE, jnp.ones(5)), ValueError, "(5,)", "in_size=4"),
    "wide state": (
        lambda: LATE.step(STATE._replace(ring=STATE.ring.astype(jnp.float16)), ON),
        TypeError,
        "float16",
        "float32",
    ),
    "float position": (
        lambda: LATE.step(STATE._replace(position=jnp.float32(0)), ON),
        TypeError,
        "init_state",
    ),
    "batch shape": (lambda: LATE.init_state(-1), ValueError, "batch_shape=-1"),
    "batch shape of floats": (lambda: LATE.init_state((2.0,)), TypeError, "batch_shape=2.0"),
    "dtype": (lambda: LATE.init_state(dtype="int8"), TypeError, "int8", "float32"),
    "mapped graph": (
        lambda: jax.vmap(lambda op: op.step(STATE, ON)[1])(
            jax.tree.map(lambda x: jnp.stack([x, x]), LATE)
        ),
        NotImplementedError,
        "vmap over the connectivity",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, *fragments = REFUSED[name]
    with pytest.raises(error) as caught:
        call()
    for fragment in fragments:
        assert fragment in str(caught.value), str(caught.value)


@pytest.mark.x64
def test_wide_spikes_need_a_wide_state():
    with pytest.raises(TypeError, match="dtype='float64'"):
        LATE.step(STATE, jnp.ones(4, jnp.float64))


def test_sharded_is_refused():
    op = nn.sharded(nn.EventFixedNumConn, jax.make_mesh((1,), ("x",)), "x")(4, 6, 2, 0.5)
    with pytest.raises(TypeError, match="sharded"):
        nn.Delayed(op, 1)
    with pytest.raises(TypeError, match="Delayed"):
        nn.sharded(nn.Delayed, jax.make_mesh((1,), ("x",)), "x")


def test_dense_delays_that_cannot_be_numbered():
    with pytest.raises(ValueError, match="split"):
        delay_table("Delayed", (2, 2**30), np.broadcast_to(np.int8(1), 2**31))


HOSTILE = """
import itertools, jax, jax.numpy as jnp, numpy as np, eventops as nn
op = nn.EventFixedNumConn(4, 5, 2, {weight})
for longest in (5, 40_000):
    late = nn.Delayed(op, np.array([0, 1, 2, 3, 4, 5, 1, longest]))
    spikes = jnp.ones(4)
    for code, pointer, position in itertools.product((0, 2**16 - 1, 2**32 - 1), (-(2**31), 5, 2**31 - 1), (-7, 2**31 - 1)):
        table = late.table
        codes = jnp.full_like(table.codes, min(code, 2 ** (8 * table.codes.dtype.itemsize) - 1))
        for ptr in (table.ptr, table.ptr.at[1::2].set(pointer)):
            leaves = [x if x is not table.codes else codes for x in jax.tree.leaves(late)]
            leaves = [x if x is not table.ptr else ptr for x in leaves]
            bad = jax.tree.unflatten(jax.tree.structure(late), leaves)
            state = late.init_state()._replace(position=jnp.int32(position))
            f = lambda w, s: bad.with_weight(w).step(state, s)[1].sum()
            jax.block_until_ready(jax.value_and_grad(f, (0, 1))(bad.weight, spikes))
print("alive")
"""


@native
@pytest.mark.parametrize("weight", ["0.5", "jnp.ones(8)"])
def test_nothing_leads_outside(weight):
    """Whatever codes, pointers and positions hold."""
    done = run_python(HOSTILE.format(weight=weight))
    assert "alive" in done.stdout, f"died of {done.returncode}: {done.stderr[-500:]}"


# ---- initialisers of delays inside programs

INITIALISERS = {
    "randint": lambda key, shape, dtype: jax.random.randint(key, shape, 0, 9, dtype),
    "poisson": lambda key, shape, dtype: jax.random.poisson(key, 3.0, shape, dtype),
    "jitted": jax.jit(lambda *args: jax.random.randint(*args[:2], 0, 9), static_argnums=(1, 2)),
    "numpy": lambda key, shape, dtype: np.arange(np.prod(shape)).reshape(shape) % 5,
}


@pytest.mark.parametrize("name", INITIALISERS)
@pytest.mark.parametrize("make", [nn.EventLinear, lambda *a: nn.EventFixedNumConn(*a[:2], 3, a[2])])
def test_initialisers_inside_jit(make, name):
    """The delays of an operator that is made or closed over there are those that it has outside."""
    spikes = jnp.arange(8) % 2 == 0
    outside = nn.Delayed(make(8, 6, 0.5), INITIALISERS[name])

    @jax.jit
    def inside(w, spikes):
        late = nn.Delayed(make(8, 6, w), INITIALISERS[name])
        assert late.max_delay == outside.max_delay
        return late.step(late.init_state(), spikes), late.delay, late.todense()

    (state, current), delay, dense = inside(0.5, spikes)
    due, expected = outside.step(outside.init_state(), spikes)
    assert bits(delay) == bits(outside.delay) and bits(dense) == bits(outside.todense())
    assert bits(state.ring) == bits(due.ring) and bits(current) == bits(expected)


def test_traced_delays_are_refused():
    """The size of the ring depends on them."""
    op = nn.EventFixedNumConn(8, 6, 3, 0.5)
    for late in (
        lambda d: nn.Delayed(op, d),
        lambda d: nn.Delayed(op, jnp.arange(24) % d),
        lambda d: nn.Delayed(op, lambda key, shape, dtype: jnp.full(shape, d)),
    ):
        with pytest.raises(TypeError, match="delay is traced.*make the operator outside"):
            jax.jit(lambda d: late(d).delay)(3)  # noqa: B023
