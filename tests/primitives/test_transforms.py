"""One table: every operator under every transformation of JAX, against its dense twin in float64."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import (
    BACKENDS,
    EMPTY,
    GENERATED,
    WEIGHTS,
    bits,
    case,
    normal,
    procedural,
    typed,
    weight_shape,
    weights_of,
)

from eventops.graphs import drawing

pytestmark = pytest.mark.unoptimized

N_IN, N_OUT = 9, 7
KINDS = (
    case("Linear", N_IN, N_OUT),
    case("EventLinear", N_IN, N_OUT),
    case("EventFixedProb", N_IN, N_OUT, 0.5, seed=2),
    case("FixedNumConn", N_IN, N_OUT, 3),
    case("EventFixedNumConn", N_IN, N_OUT, 3, seed=1),
    case("EventFixedNumConn", N_IN, N_OUT, 4, efferent_target="pre"),
    case("EventFixedNumConn", N_IN, N_OUT, 9, allow_multi_conn=True),  # with repeated pairs
    case("EventSparse", N_IN, N_OUT, 40, duplicates="keep"),
)


name = lambda x: getattr(x, "id", str(x))  # noqa: E731
every = pytest.mark.parametrize(
    "case, weight, backend",
    [
        (c, w, b)
        for c in (*KINDS, procedural(KINDS[2]), procedural(KINDS[4]), procedural(KINDS[6]))
        for w in (*weights_of(c), *[GENERATED] * (len(weights_of(c)) == 1))
        for b in BACKENDS
        if c.has_backend or b is None
    ],
    ids=name,
)
event_kinds = pytest.mark.parametrize("case", KINDS[1:], ids=name)
weights = pytest.mark.parametrize("weight", WEIGHTS)


# ---- an operator and its twin as functions of (weights, spikes), and numbers to put in


@jax.custom_jvp
def threshold(v):
    """Spikes of height 2, so that counting events and adding values differ."""
    return 2.0 * (v > 0).astype(v.dtype)


@threshold.defjvp
def _surrogate(primals, tangents):
    """The derivative of a fast sigmoid, as in surrogate-gradient training."""
    (v,), (dv,) = primals, tangents
    return threshold(v), dv / (1 + jnp.abs(v)) ** 2


def as_events(x):
    """What float_as_event means: the value is that of unit events, the derivative that of x."""
    return x + jax.lax.stop_gradient((x != 0).astype(x.dtype) - x)


@functools.cache
def matrix_of(case, weight="scalar", size=False):
    """``weights -> matrix`` as plain arithmetic; with ``size`` that of the magnitudes, for positive weights."""
    shape = (case.n_in, case.n_out)
    if case.conn is None:
        return lambda w: jnp.broadcast_to(w, shape)
    rows = case.make(0.5).connections()
    pre = np.repeat(np.arange(case.n_in), np.diff(rows.indptr()))
    place = np.zeros((rows.n_synapses, *shape))
    place[np.arange(rows.n_synapses), pre, rows.indices()] = 1
    if weight == GENERATED:
        op = case.make(GENERATED)
        law = drawing.Generated(op.graph, op.law)
        standard = drawing.standard_weights(law, rows, reference=True).astype(np.float64)
        standard = np.abs(standard) if size else standard
        return lambda w: jnp.tensordot(w[0] + w[1] * standard, place, 1)
    return lambda w: jnp.tensordot(jnp.broadcast_to(w, place.shape[:1]), place, 1)


def twin(case, weight="scalar", size=False):
    matrix = matrix_of(case, weight, size)

    def f(w, x):
        return x @ matrix(w)

    f.event = lambda w, x: f(w, as_events(x))
    return f


@functools.cache
def ours(case, backend, weight="scalar"):
    made = GENERATED if weight == GENERATED else 0.5
    op = case.make(made, backend=backend)

    def f(w, x):
        return op.with_weight(w)(x)

    if "Event" in case.kind:
        counting = case.make(made, backend=backend, float_as_event=True)
        f.event = lambda w, x: counting.with_weight(w)(x)
    else:
        f.event = lambda w, x: f(w, as_events(x))
    return f


def numbers(case, weight, dtype="float64"):
    """Weights, spikes (some are zero), tangents and cotangents; plural names are stacks of three."""
    rng = np.random.default_rng(3)
    shape = (
        {"scalar": (), GENERATED: (2,)}.get(weight)
        if weight != "per-synapse"
        else weight_shape(case)
    )

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), dtype)

    def spikes(*lead):
        shape = (*lead, case.n_in)
        return jnp.asarray(np.where(rng.random(shape) < 0.6, rng.normal(size=shape), 0), dtype)

    return types.SimpleNamespace(
        w=draw(*shape),
        dw=draw(*shape),
        ws=draw(3, *shape),
        dws=draw(3, *shape),
        x=spikes(),
        dx=draw(case.n_in),
        xs=spikes(3),
        dxs=draw(3, case.n_in),
        movie=spikes(2, 3),  # (time, batch, pre)
        ct=draw(case.n_out),
        cts=draw(3, case.n_out),
    )


def loss(f):
    """Nonlinear before and after the product, so that all second derivatives are there."""
    return lambda w, x: jnp.sum(jnp.tanh(f(w, jnp.sin(x))) ** 2)


# ---- the transformations: (function, numbers) -> results

TRANSFORMS = {}


def transform(function):
    TRANSFORMS[function.__name__] = function
    return function


@transform
def jvp(f, d):
    return (
        jax.jvp(f, (d.w, d.x), (d.dw, d.dx)),
        jax.jvp(lambda w: f(w, d.x), (d.w,), (d.dw,)),
        jax.jvp(lambda x: f(d.w, x), (d.x,), (d.dx,)),
    )


@transform
def vjp(f, d):
    """Of one vector and of a batch that shares the weights."""
    out, pull = jax.vjp(f, d.w, d.x)
    outs, pulls = jax.vjp(f, d.w, d.xs)
    return out, pull(d.ct), outs, pulls(d.cts)


@transform
def linearize(f, d):
    out, push = jax.linearize(f, d.w, d.x)
    return out, push(d.dw, d.dx), jax.linear_transpose(push, d.w, d.x)(d.ct)


@transform
def linear_transpose(f, d):
    """The product is linear in each of its operands, and JAX can see that."""
    return (
        jax.linear_transpose(lambda x: f(d.w, x), d.x)(d.ct),
        jax.linear_transpose(lambda w: f(w, d.x), d.w)(d.ct),
    )


@transform
def jacobians(f, d):
    return jax.jacfwd(f, (0, 1))(d.w, d.x), jax.jacrev(f, (0, 1))(d.w, d.x)


@transform
def gradients(f, d):
    """By each operand and both, plain and rematerialised."""
    kept = jax.checkpoint(f, policy=jax.checkpoint_policies.nothing_saveable)
    return (
        jax.grad(loss(f), 0)(d.w, d.x),
        jax.grad(loss(f), 1)(d.w, d.x),
        jax.value_and_grad(loss(f), (0, 1))(d.w, d.x),
        jax.grad(loss(kept), (0, 1))(d.w, d.x),
    )


@transform
def hessian(f, d):
    return jax.hessian(loss(f), (0, 1))(d.w, d.x)


@transform
def second_order(f, d):
    """Reverse over reverse and reverse over forward (the Hessian is forward over reverse)."""

    def along(w, x):
        return jax.jvp(loss(f), (w, x), (d.dw, d.dx))[1]

    def directed(w, x):
        grad = jax.grad(loss(f), (0, 1))(w, x)
        return sum(jnp.vdot(g, v) for g, v in zip(grad, (d.dw, d.dx)))

    return jax.grad(along, (0, 1))(d.w, d.x), jax.grad(directed, (0, 1))(d.w, d.x)


@transform
def surrogate(f, d):
    """Unit events whose derivative passes through float_as_event."""

    def run(w, v):
        return jnp.sum(jnp.tanh(f.event(w, threshold(v))))

    return f.event(d.w, d.movie), jax.grad(run, (0, 1))(d.w, d.x)


@transform
def leading_dimensions(f, d):
    def run(w, x):
        return jnp.sum(f(w, x) ** 3)

    return f(d.w, d.movie), f(d.w, d.movie[:1]), jax.grad(run, (0, 1))(d.w, d.movie)


@transform
def vmap(f, d):
    """Over spikes, weights, both, nested, and over axes other than the first."""
    spikes = jax.vmap(f, (None, 0))
    return (
        spikes(d.w, d.xs),
        jax.vmap(f, (0, None))(d.ws, d.x),
        jax.vmap(f)(d.ws, d.xs),
        jax.vmap(f, (None, 1), 1)(d.w, d.xs.T),
        jax.vmap(f, (d.w.ndim, 1), -1)(jnp.moveaxis(d.ws, 0, -1), d.xs.T),
        jax.vmap(f, (0, None), spmd_axis_name="weights")(d.ws, d.movie),
        jax.vmap(spikes, (None, 0))(d.w, d.movie),
        jax.vmap(spikes, (0, None))(d.ws, d.xs),
        jax.vmap(jax.vmap(f, (0, None)), (None, 0))(d.ws, d.xs),
        jax.vmap(jax.vmap(f), (None, 1), 2)(d.ws, jnp.swapaxes(d.movie, 0, 1)),
    )


@transform
def vmap_of_derivatives(f, d):
    """Per-example tangents and cotangents."""

    def push(w, x, dw, dx):
        return jax.jvp(f, (w, x), (dw, dx))

    def pull(w, x, ct):
        return jax.vjp(f, w, x)[1](ct)

    return (
        jax.vmap(push, (None, 0, None, 0))(d.w, d.xs, d.dw, d.dxs),
        jax.vmap(push, (0, None, 0, None))(d.ws, d.x, d.dws, d.dx),
        jax.vmap(pull, (None, 0, 0))(d.w, d.xs, d.cts),
        jax.vmap(pull, (None, None, 0))(d.w, d.x, d.cts),
        jax.vmap(pull)(d.ws, d.xs, d.cts),
        jax.vmap(jax.vmap(pull, (None, 0, 0)), (0, None, None))(d.ws, d.xs, d.cts),
    )


@transform
def gradient_of_vmap(f, d):
    def run(axes):
        return lambda w, x: jnp.sum(jax.vmap(f, axes)(w, x) ** 3)

    return (
        jax.grad(run((None, 0)), (0, 1))(d.w, d.xs),
        jax.grad(run((0, None)), (0, 1))(d.ws, d.x),
        jax.grad(run((0, 0)), (0, 1))(d.ws, d.xs),
    )


@transform
def loops(f, d):
    """while, fori, map, and a scan whose weights are carried."""

    def more(carry):
        i, v = carry
        return i + 1, jnp.tanh(v + f(d.w, d.xs[i]))

    def total(w):
        return jax.lax.fori_loop(0, 3, lambda i, v: jnp.tanh(v + f(w, d.xs[i])), d.ct)

    def turn(w, x):
        out = f(w, x)
        return w * (1 + jnp.mean(out)), out

    return (
        jax.lax.while_loop(lambda carry: carry[0] < 3, more, (0, d.ct)),
        jax.vjp(total, d.w)[1](d.ct),
        jax.lax.map(lambda x: f(d.w, x), d.xs, batch_size=2),
        jax.lax.scan(turn, d.w, d.xs),
    )


@transform
def branches(f, d):
    """cond and switch, whose index is not mapped while the operands are, with gradients."""

    def chosen(i, w, x):
        v = jax.lax.switch(i, [lambda: f(w, x), lambda: jnp.sin(f(2 * w, x)), lambda: d.ct])
        return jnp.sum(jax.lax.cond(i == 0, lambda: v + f(w, jnp.tanh(x)), lambda: v) ** 2)

    grad = jax.value_and_grad(chosen, (1, 2))
    return [jax.vmap(grad, (None, None, 0))(i, d.w, d.xs) for i in range(3)]


@transform
def backpropagation_through_time(f, d):
    """The gradient of a scan over leaky neurons whose spikes have a surrogate derivative."""

    def run(w, gain):
        kept = jax.checkpoint(f.event)

        def step(v, x):
            v = 0.9 * v + kept(w, threshold(gain * x))
            return v - jax.lax.stop_gradient(v > 0.5).astype(v.dtype), jnp.sum(jnp.tanh(v))

        v, heights = jax.lax.scan(step, jnp.zeros(d.ct.shape, d.ct.dtype), d.xs)
        return jnp.sum(heights) + jnp.sum(v)

    return jax.value_and_grad(run, (0, 1))(d.w, jnp.full((), 0.7, d.w.dtype))


# ---- the table


@functools.cache
def results(case, weight, backend=None):
    """Of all transformations, compiled in one go; of the twin for the backend 'twin'."""
    f = twin(case, weight) if backend == "twin" else ours(case, backend, weight)

    def run(d):
        return {name: t(f, types.SimpleNamespace(**d)) for name, t in TRANSFORMS.items()}

    return jax.jit(run)(vars(numbers(case, weight)))


def assert_same(computed, expected, tolerance):
    assert jax.tree.structure(computed) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(computed), jax.tree.leaves(expected)):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


@pytest.mark.x64
@pytest.mark.parametrize("name", TRANSFORMS)
@every
def test_same_as_the_dense_twin(case, weight, backend, name):
    """Float64 rounding of some hundred terms of order 1 to 100 stays below 1e-11."""
    computed, expected = (results(case, weight, b)[name] for b in (backend, "twin"))
    assert_same(computed, expected, 1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@every
def test_narrow_types(case, weight, backend, dtype):
    """Sums of k terms in float32 (gamma_k, Higham 2002, 4.2), and one rounding to what they belong to."""
    d, f = numbers(case, weight, dtype), ours(case, backend, weight)
    out, pull = jax.vjp(f, d.w, d.xs)
    computed = (out, *pull(d.cts), jax.jvp(f, (d.w, d.xs), (d.dw, d.dxs))[1])
    assert all(a.dtype == dtype for a in computed)

    def exact(w, x, ct, dw, dx, size=False):
        with jax.enable_x64(True):
            f = twin(case, weight, size)
            w, x, ct, dw, dx = (jnp.asarray(np.asarray(a, np.float64)) for a in (w, x, ct, dw, dx))
            out, pull = jax.vjp(f, w, x)
            return [np.asarray(a) for a in (out, *pull(ct), jax.jvp(f, (w, x), (dw, dx))[1])]

    values = (d.w, d.xs, d.cts, d.dw, d.dxs)
    u, u32 = 2.0 ** -{"float32": 24, "float16": 11, "bfloat16": 8}[dtype], 2.0**-24
    k = 3 * N_IN * N_OUT + 2  # the longest sum: a homogeneous weight's; 2 for the sum of a jvp
    gamma = k * u32 / (1 - k * u32)
    smallest = 2.0**-25 if dtype == "float16" else 0.0  # half a step between subnormal numbers
    for a, b, size in zip(computed, exact(*values), exact(*map(jnp.abs, values), size=True)):
        # A jvp rounds each of its two products to the dtype, then their sum: 3 roundings of `size`.
        limit = (gamma + 3 * u * (1 + gamma)) * size + 3 * smallest
        assert np.all(np.abs(np.asarray(a, np.float64) - b) <= limit)


@event_kinds
@weights
def test_batch_is_loop_is_vmap_bitwise(case, weight):
    """Native float32: how vectors are grouped changes no bit, also of the cotangents of spikes."""
    op, n = case.make(weight), 19  # more than a vector register holds
    xs = jnp.asarray(typed(np.random.default_rng(4).random((n, N_IN)) < 0.5, "float32") * 0.3)
    cts = jnp.asarray(normal((n, N_OUT)))

    def pull(x, ct):
        return jax.vjp(op, x)[1](ct)[0]

    for f, args in ((op, (xs,)), (op, (xs != 0,)), (pull, (xs, cts))):
        loop = jnp.stack([f(*(a[i] for a in args)) for i in range(n)])
        for grouped in (f, jax.vmap(f), jax.jit(jax.vmap(f, 0, 0))):
            assert bits(grouped(*args)) == bits(loop)
        _, scanned = jax.lax.scan(lambda c, a: (c, f(*a)), None, args)  # noqa: B023
        assert bits(scanned) == bits(loop)


# ---- what the twin cannot say


@event_kinds
@weights
def test_integer_and_bool_spikes_have_no_tangent(case, weight):
    op, places = case.make(weight), np.random.default_rng(4).random((6, N_IN)) < 0.5
    for spikes in (jnp.asarray(typed(places, dtype)) for dtype in ("bool", "int8")):
        g, exact = (
            jax.grad(lambda w: jnp.sum(op.with_weight(w)(x) ** 2))(op.weight)  # noqa: B023
            for x in (spikes, spikes.astype(jnp.float32))
        )
        assert bits(g) == bits(exact)
        tangent = np.zeros(spikes.shape, jax.dtypes.float0)
        assert not np.any(np.asarray(jax.jvp(op, (spikes,), (tangent,))[1]))


@pytest.mark.parametrize("bad", [np.inf, np.nan])
@pytest.mark.parametrize("backend", BACKENDS, ids=name)
@event_kinds
@weights
def test_silent_neurons_have_no_weight_cotangent(case, weight, backend, bad):
    """Exactly zero, whatever comes back: also a cotangent or a tangent that is inf or nan."""
    op = case.make(weight, backend=backend)
    spikes = jnp.asarray([1.0, 0, 0, 2, 0, 0, 0, 0, 3])
    if weight == "scalar":
        spikes = jnp.zeros(N_IN)
    ct = jnp.full(N_OUT, bad, jnp.float32)
    (g,) = jax.vjp(lambda w: op.with_weight(w)(spikes), op.weight)[1](ct)
    silent = np.asarray(spikes) == 0
    if weight == "per-synapse" and op.rows is not None:
        silent = np.repeat(silent, np.diff(op.rows.indptr()))
    g = g if weight == "scalar" else g[silent]
    assert g.size and not np.any(np.asarray(g))
    tangent = jnp.full(op.weight.shape, bad, jnp.float32)
    out = jax.jvp(lambda w: op.with_weight(w)(jnp.zeros(N_IN)), (op.weight,), (tangent,))[1]
    assert not np.any(np.asarray(out))


@pytest.mark.parametrize("case", EMPTY, ids=name)
@weights
def test_gradients_of_nothing(case, weight):
    """No neurons, no synapses or no spikes: zeros of the right shapes, by every route."""
    op, d = case.make(weight), numbers(case, weight, "float32")
    for x in (d.x, d.xs, d.xs[:0]):
        out, pull = jax.vjp(lambda w, x: op.with_weight(w)(x), op.weight, x)
        dw, dx = pull(jnp.ones_like(out))
        assert out.shape == (*x.shape[:-1], op.out_size) and not np.any(np.asarray(out))
        assert dw.shape == op.weight.shape and dx.shape == x.shape
        if op.n_synapses == 0:
            assert not np.any(np.asarray(dw)) and not np.any(np.asarray(dx))
    mapped = jax.vmap(lambda w, x: op.with_weight(w)(x), (None, 0))(op.weight, d.xs)
    assert mapped.shape == (3, op.out_size) and not np.any(np.asarray(mapped))
