"""Every transformation of JAX, against the same transformation of the dense twin in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import BACKENDS, WEIGHTS, active, case, normal, typed, weight_shape

N_IN, N_OUT = 9, 7
KINDS = (
    case("EventLinear", N_IN, N_OUT),
    case("EventFixedProb", N_IN, N_OUT, 0.5, seed=2),
    case("EventFixedNumConn", N_IN, N_OUT, 9, allow_multi_conn=True),  # with repeated pairs
)
every = pytest.mark.parametrize(
    "case, weight, backend",
    [(c, w, b) for c in KINDS for w in WEIGHTS for b in BACKENDS],
    ids=lambda x: getattr(x, "id", str(x)),
)
two = pytest.mark.parametrize(
    "case, weight, backend",
    [(KINDS[0], "per-synapse", None), (KINDS[2], "scalar", None), (KINDS[2], "per-synapse", None)],
    ids=lambda x: getattr(x, "id", str(x)),
)


def twin(op):
    """``(weight, spikes) -> spikes @ matrix(weight)`` by the dense matrix."""
    shape = (op.in_size, op.out_size)
    if op.rows is None:
        return lambda w, s: s @ jnp.broadcast_to(w, shape)
    pre = np.repeat(np.arange(op.in_size), np.diff(op.rows.indptr()))
    place = np.zeros((op.n_synapses, *shape))
    place[np.arange(op.n_synapses), pre, op.rows.indices()] = 1
    return lambda w, s: s @ jnp.tensordot(jnp.broadcast_to(w, (op.n_synapses,)), place, 1)


class Setting:
    """An operator as a function of weights and spikes, its twin, and numbers to put in."""

    def __init__(self, case, weight, backend, dtype="float64", batch=()):
        self.op = case.make(weight, dtype=dtype, backend=backend)
        self.f = lambda w, s: self.op.with_weight(w)(s)
        self.twin = twin(self.op)
        self.rng = np.random.default_rng(3)
        self.w = self.op.weight
        places = self.rng.random((*batch, N_IN)) < 0.6
        self.s = jnp.asarray(np.where(places, self.rng.normal(size=places.shape), 0), dtype)
        self.dtype = dtype

    def like(self, x):
        return jnp.asarray(self.rng.normal(size=x.shape), self.dtype)

    def cotangent(self, *batch):
        return jnp.asarray(self.rng.normal(size=(*batch, N_OUT)), self.dtype)


def assert_same(ours, expected, tolerance=1e-12):
    """All arrays of two trees; float64 rounding of some dozen terms of order 1 stays below 1e-12."""
    ours, expected = jax.tree.leaves(ours), jax.tree.leaves(expected)
    assert len(ours) == len(expected)
    for a, b in zip(ours, expected):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


def both(transformed, setting, *args, tolerance=1e-12):
    """The same transformation of the operator and of its twin."""
    ours, expected = (jax.jit(transformed(f))(*args) for f in (setting.f, setting.twin))
    assert_same(ours, expected, tolerance)


@pytest.mark.x64
@every
def test_first_order(case, weight, backend):
    """jvp and vjp with respect to both, each and together."""
    s = Setting(case, weight, backend, batch=(3,))
    tangents, ct = (s.like(s.w), s.like(s.s)), s.cotangent(3)
    both(lambda f: lambda w, x, t: jax.jvp(f, (w, x), t), s, s.w, s.s, tangents)
    both(lambda f: lambda w, x, c: jax.vjp(f, w, x)[1](c), s, s.w, s.s, ct)


@pytest.mark.x64
@every
def test_second_order(case, weight, backend):
    """Forward over reverse, reverse over reverse and reverse over forward of a composed loss."""
    s = Setting(case, weight, backend)
    tangent = (s.like(s.w), s.like(s.s))

    def loss(f):
        return lambda w, x: jnp.sum(jnp.tanh(f(w, jnp.sin(x))) ** 2)

    def transformed(f):
        def run(w, x, t):
            grad = jax.grad(loss(f), (0, 1))

            def along(w, x):
                return jax.jvp(loss(f), (w, x), t)[1]

            def directed(w, x):
                return sum(jnp.vdot(g, v) for g, v in zip(grad(w, x), t))

            return jax.jvp(grad, (w, x), t), jax.grad(directed, (0, 1))(w, x), jax.grad(along)(w, x)

        return run

    both(transformed, s, s.w, s.s, tangent)


@pytest.mark.x64
@two
def test_hessian(case, weight, backend):
    s = Setting(case, weight, backend)
    both(lambda f: jax.hessian(lambda w, x: jnp.sum(f(w, x) ** 3), (0, 1)), s, s.w, s.s)


@pytest.mark.x64
@every
def test_linear_transpose(case, weight, backend):
    """The product is linear in each of its operands, and JAX can see that."""
    s = Setting(case, weight, backend)
    ct = s.cotangent()
    expected = jax.vjp(s.twin, s.w, s.s)[1](ct)
    by_spikes = jax.linear_transpose(lambda x: s.f(s.w, x), s.s)(ct)
    by_weight = jax.linear_transpose(lambda w: s.f(w, s.s), s.w)(ct)
    assert_same((*by_weight, *by_spikes), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@two
def test_gradients_in_narrow_types(case, weight, backend, dtype):
    """Cotangents are summed in float32 and have the dtypes of what they belong to."""
    s = Setting(case, weight, backend, dtype=dtype, batch=(2,))
    ct = s.cotangent(2)
    ours = jax.jit(lambda w, x, c: jax.vjp(s.f, w, x)[1](c))(s.w, s.s, ct)
    assert [g.dtype for g in ours] == [s.w.dtype, s.s.dtype]
    with jax.enable_x64(True):
        w, x, c = (jnp.asarray(np.asarray(a, np.float64)) for a in (s.w, s.s, ct))
        expected = jax.vjp(s.twin, w, x)[1](c)
    u = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    for a, b in zip(ours, expected):
        # Some hundred terms of order 1 in float32, and one rounding to the dtype.
        limit = 2 * u * np.abs(np.asarray(b)) + 200 * 2.0**-24
        assert np.all(np.abs(np.asarray(a, np.float64) - np.asarray(b)) <= limit)


@two
def test_integer_and_bool_spikes_have_no_tangent(case, weight, backend):
    s = Setting(case, weight, backend, dtype="float32")
    for dtype in ("bool", "int8"):
        spikes = jnp.asarray(typed(active(N_IN), dtype))
        value = spikes.astype(jnp.float32)
        g = jax.grad(lambda w: jnp.sum(s.f(w, spikes) ** 2))(s.w)  # noqa: B023
        expected = jax.grad(lambda w: jnp.sum(s.f(w, value) ** 2))(s.w)  # noqa: B023
        assert_same(g, expected, 1e-6)
        out, tangent = jax.jvp(
            lambda x: s.f(s.w, x), (spikes,), (np.zeros(spikes.shape, jax.dtypes.float0),)
        )
        assert tangent.shape == out.shape and not np.any(np.asarray(tangent))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@every
def test_silent_neurons_have_no_weight_cotangent(case, weight, backend, bad):
    """Exactly zero, whatever comes back: also a cotangent or a tangent that is inf or nan."""
    op = case.make(weight, backend=backend)
    spikes = jnp.asarray([1.0, 0, 0, 2, 0, 0, 0, 0, 3])
    if weight == "scalar":
        spikes = jnp.zeros(N_IN)
    ct = jnp.full(N_OUT, bad, jnp.float32)
    (g,) = jax.vjp(lambda w: op.with_weight(w)(spikes), op.weight)[1](ct)
    silent = np.asarray(spikes) == 0
    if weight == "per-synapse":
        if op.rows is None:
            g = g[silent]
        else:
            g = np.asarray(g)[silent[np.repeat(np.arange(N_IN), np.diff(op.rows.indptr()))]]
    assert g.size and not np.any(np.asarray(g))
    tangent = jnp.full(op.weight.shape, bad, jnp.float32)
    _, out = jax.jvp(lambda w: op.with_weight(w)(jnp.zeros(N_IN)), (op.weight,), (tangent,))
    assert not np.any(np.asarray(out))


@pytest.mark.x64
@every
def test_vmap(case, weight, backend):
    """Over spikes, weights, both, nested, and over axes other than the first."""
    s = Setting(case, weight, backend)
    spikes = jnp.asarray(s.rng.normal(size=(2, 3, N_IN)))
    weights = s.like(jnp.zeros((3, *s.w.shape)))

    def transformed(f):
        def run(weights, spikes):
            over_spikes = jax.vmap(f, (None, 0))
            return (
                jax.vmap(over_spikes, (None, 0))(weights[0], spikes),
                jax.vmap(f, (None, 1), 1)(weights[0], spikes),
                jax.vmap(f, (0, None))(weights, spikes[0]),
                jax.vmap(f)(weights, spikes[0]),
                jax.vmap(over_spikes, (0, None))(weights, spikes),
                jax.vmap(f, (weights.ndim - 1, 1), -1)(jnp.moveaxis(weights, 0, -1), spikes),
            )

        return run

    both(transformed, s, weights, spikes)


@pytest.mark.x64
@every
def test_vmap_of_gradients(case, weight, backend):
    """Per-example gradients, and gradients of a mapped loss."""
    s = Setting(case, weight, backend)
    spikes = jnp.asarray(s.rng.normal(size=(4, N_IN)))
    weights = s.like(jnp.zeros((4, *s.w.shape)))

    def transformed(f):
        grad = jax.grad(lambda w, x: jnp.sum(f(w, x) ** 2), (0, 1))

        def mapped(w, x):
            return jnp.sum(jax.vmap(f, (None, 0))(w, x) ** 3)

        def run(weights, spikes):
            return (
                jax.vmap(grad, (None, 0))(weights[0], spikes),
                jax.vmap(grad)(weights, spikes),
                jax.grad(mapped, (0, 1))(weights[0], spikes),
                jax.vmap(jax.vmap(grad, (None, 0)), (0, None))(weights[:2], spikes),
            )

        return run

    both(transformed, s, weights, spikes)


@pytest.mark.x64
@two
def test_control_flow(case, weight, backend):
    """scan, cond, while_loop and checkpoint, with their gradients."""
    s = Setting(case, weight, backend)
    spikes = jnp.asarray(s.rng.normal(size=(5, N_IN)))

    def transformed(f):
        def loss(w, spikes):
            kept = jax.checkpoint(f)

            def step(v, x):
                v = 0.5 * v + kept(w, x)
                v = jax.lax.cond(v[0] > 0, lambda: v + f(w, jnp.tanh(x)), lambda: v)
                return v, jnp.sum(v**2)

            v, losses = jax.lax.scan(step, jnp.zeros(N_OUT), spikes)
            return jnp.sum(losses) + jnp.sum(v)

        def run(w, spikes):
            turns = jax.lax.while_loop(
                lambda c: c[0] < 3,
                lambda c: (c[0] + 1, c[1] + f(w, spikes[c[0]])),
                (0, jnp.zeros(N_OUT)),
            )[1]
            return jax.value_and_grad(loss, (0, 1))(w, spikes), turns

        return run

    both(transformed, s, s.w, spikes, tolerance=1e-11)


@two
def test_operators_pass_through_transformations(case, weight, backend):
    """An operator is an argument, a constant, a carry, and the thing that is differentiated."""
    op = case.make(weight, backend=backend)
    spikes = jnp.asarray(typed(active(N_IN), "float32"))
    expected = op(spikes)
    assert_same(jax.jit(lambda o, x: o(x))(op, spikes), expected, 1e-6)
    carried, outs = jax.lax.scan(lambda o, x: (o, o(x)), op, spikes)
    assert_same(outs, expected, 1e-6)
    assert type(carried) is type(op) and carried.n_synapses == op.n_synapses
    assert_same(jax.vmap(lambda o, x: o(x), (None, 0))(op, spikes), expected, 1e-6)
    g = jax.grad(lambda o: jnp.sum(o(spikes)), allow_int=True)(op)
    assert g.weight.shape == op.weight.shape
    built = jax.jit(lambda w, x: case.make(w, backend=backend)(x))(op.weight, spikes)
    assert_same(built, expected, 1e-6)


def test_a_mapped_graph_is_refused():
    op = KINDS[2].make("scalar")
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), op)
    with pytest.raises(NotImplementedError, match="vmap over the connectivity.*with_weight"):
        jax.vmap(lambda o, x: o(x))(stacked, jnp.ones((2, N_IN)))


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("case", KINDS, ids=lambda c: c.id)
def test_vmap_is_one_call(case, weight):
    """A mapped product is one batched kernel, however it is mapped, and never a loop."""
    if case.conn is None and weight == "scalar":
        pytest.skip("one sum for all outputs: no kernel is called")
    op = case.make(weight)
    name = "Dense" if op.rows is None else "Rows"
    weights = jnp.asarray(normal((4, *weight_shape(case)) if weight == "per-synapse" else (4,)))
    spikes = jnp.ones((3, 4, N_IN), bool)
    mapped = jax.vmap(lambda w, x: op.with_weight(w)(x))
    for function, args in (
        (op, (spikes[0, 0],)),
        (op, (spikes,)),
        (jax.vmap(op), (spikes[0],)),
        (jax.vmap(jax.vmap(op)), (spikes,)),
        (jax.vmap(op, in_axes=1, out_axes=1), (jnp.ones((N_IN, 4), bool),)),
        (mapped, (weights, spikes[0])),
        (jax.vmap(mapped, (None, 0)), (weights, spikes)),
    ):
        text = jax.jit(function).lower(*args).as_text()
        assert text.count("stablehlo.custom_call") == 1, text
        assert f"eventops_{name}Forward" in text and "stablehlo.while" not in text
    ct = jnp.ones((4, N_OUT))

    def pull(w, x, c):
        return jax.vjp(lambda w, x: op.with_weight(w)(x), w, x)[1](c)

    values = jnp.ones((4, N_IN))
    text = jax.jit(jax.vmap(pull, (None, 0, 0))).lower(weights[0], values, ct).as_text()
    assert text.count("stablehlo.custom_call") == (0 if op.rows is None else 2)
    assert "stablehlo.while" not in text
