"""Neurons: the native step against its reference and against a plain loop in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eventops as nn
from eventops.core import loader

POTENTIALS = dict(v_rest=-65.0, v_reset=-67.0, v_threshold=-50.0, refractory=0.3, dt=0.1)
CELLS = {
    "delta": functools.partial(nn.LIFDelta, 10.0, resistance=0.5, **POTENTIALS),
    "one current": functools.partial(nn.LIFExp, 10.0, 0.5, resistance=0.8, **POTENTIALS),
    "two currents": functools.partial(nn.LIFExp, 10.0, (0.5, 10.0), **POTENTIALS),
    "one conductance": functools.partial(nn.LIFCond, 20.0, 5.0, 0.0, **POTENTIALS),
    "two conductances": functools.partial(
        nn.LIFCond, 20.0, (5.0, 10.0), (0.0, -80.0), resistance=2.0, **POTENTIALS
    ),
}
BACKENDS = ["reference"] + ["cpu"] * (loader.unavailable() is None)


def drawn(cells, shape, seed=0, dtype=np.float32):
    """A state in which some neurons wait and some will fire, and inputs."""
    rng = np.random.default_rng(seed)
    v = np.where(rng.random(shape) < 0.3, -50.001, rng.uniform(-67, -51, shape)).astype(dtype)
    state = cells.init_state(shape, v, dtype=dtype)
    wait = rng.integers(0, 3, shape).astype(np.int16) * (rng.random(shape) < 0.3)
    synaptic = tuple(rng.uniform(0, 2, shape).astype(dtype) for _ in state.synaptic)
    inputs = [rng.uniform(0, 6, shape).astype(dtype) for _ in range(max(1, cells.n_channels))]
    state = nn.NeuronState(state.v, jnp.asarray(wait, jnp.int16), tuple(map(jnp.asarray, synaptic)))
    return state, [jnp.asarray(x) for x in inputs]


def by_hand(cells, v, wait, synaptic, inputs, drive):
    """A step of one neuron from the differential equations, in Python's floats."""
    dt, tau, r = cells.dt, cells.tau, cells.resistance
    if isinstance(cells, nn.LIFCond):
        after = [g * np.exp(-dt / t) + x for g, t, x in zip(synaptic, cells.tau_syn, inputs)]
        total = 1 + sum(after)
        pulled = sum(g * e for g, e in zip(after, cells.reversal))
        end = (cells.v_rest + r * drive + pulled) / total
        moved = end + (v - end) * np.exp(-total * dt / tau)
    else:
        # The exact solution, by many small steps of the midpoint rule.
        after = [i * np.exp(-dt / t) + x for i, t, x in zip(synaptic, cells.tau_syn, inputs)]
        moved, n = v, 400
        for k in range(n):

            def slope(at, u):
                currents = sum(i * np.exp(-at / t) for i, t in zip(synaptic, cells.tau_syn))
                return (cells.v_rest - u + r * (currents + drive)) / tau

            half = moved + dt / n / 2 * slope(k * dt / n, moved)
            moved += dt / n * slope((k + 0.5) * dt / n, half)
        if not synaptic:
            moved += inputs[0]
    v = v if wait > 0 else moved
    if v >= cells.v_threshold:
        return cells.v_reset, cells.pause, after, True
    return v, max(0, wait - 1), after, False


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
def test_a_step_solves_the_equations(name, backend):
    cells = CELLS[name](backend=backend)
    state, inputs = drawn(cells, 60)
    drive = np.linspace(0, 300, 60).astype(np.float32)
    after, spikes = cells.step(state, *inputs, drive=drive)
    fired = 0
    for i in range(60):
        given = (
            [float(s[i]) for s in state.synaptic],
            [float(x[i]) for x in inputs],
            float(drive[i]),
        )
        v, wait, synaptic, spike = by_hand(cells, float(state.v[i]), int(state.wait[i]), *given)
        assert (int(after.wait[i]), bool(spikes[i])) == (wait, spike)
        assert float(after.v[i]) == pytest.approx(v, abs=3e-4)
        assert [float(s[i]) for s in after.synaptic] == pytest.approx(synaptic, rel=1e-5)
        fired += spike
    assert 0 < fired < 60


@pytest.mark.skipif("cpu" not in BACKENDS, reason="no native library")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("drive", ["number", "each", "all"])
@pytest.mark.parametrize("shape", [(1,), (17,), (3, 5, 40), (2, 9000), (0,), (2, 0)])
@pytest.mark.parametrize("name", CELLS)
def test_native_equals_the_reference(name, shape, drive, dtype):
    with jax.enable_x64(True):
        native, plain = CELLS[name](backend="cpu"), CELLS[name](backend="reference")
        state, inputs = drawn(native, shape, dtype=dtype)
        of = {"number": (), "each": shape[-1:], "all": shape}[drive]
        current = np.random.default_rng(1).uniform(0, 20, of).astype(dtype)
        got, spikes = native.step(state, *inputs, drive=current)
        expected, expected_spikes = plain.step(state, *inputs, drive=current)
        assert got.v.dtype == dtype and spikes.shape == shape
        close = 4 if dtype == np.float32 else 8  # units in the last place of the largest number
        bound = close * np.finfo(dtype).eps * 80
        np.testing.assert_array_equal(spikes, expected_spikes)
        np.testing.assert_array_equal(got.wait, expected.wait)
        for a, b in zip((got.v, *got.synaptic), (expected.v, *expected.synaptic)):
            np.testing.assert_allclose(a, b, rtol=0, atol=bound)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
def test_a_batch_and_vmap_are_the_same_step(name, backend):
    cells = CELLS[name](backend=backend)
    state, inputs = drawn(cells, (4, 50))
    drive = jnp.linspace(0, 20, 50)
    whole = cells.step(state, *inputs, drive=drive)
    mapped = jax.vmap(lambda s, *x: cells.step(s, *x, drive=drive))(state, *inputs)
    jax.tree.map(np.testing.assert_array_equal, mapped, whole)
    first, first_inputs = jax.tree.map(lambda a: a[0], (state, inputs))
    for drives in (jnp.arange(3.0), jnp.stack([drive, drive + 1, drive + 2])):
        of_each = jax.vmap(lambda x: cells.step(first, *first_inputs, drive=x))(drives)
        one = [cells.step(first, *first_inputs, drive=x) for x in drives]
        expected = jax.tree.map(lambda *a: jnp.stack(a), *one)
        jax.tree.map(np.testing.assert_array_equal, of_each, expected)
    twice = jax.vmap(jax.vmap(lambda s, *x: cells.step(s, *x, drive=drive)))
    deep = jax.tree.map(lambda a: jnp.stack([a, a]), (state, inputs))
    expected = jax.tree.map(lambda a: jnp.stack([a, a]), whole)
    jax.tree.map(np.testing.assert_array_equal, twice(deep[0], *deep[1]), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
def test_a_neuron_waits_as_long_as_it_is_refractory(name, backend):
    cells = CELLS[name](backend=backend)
    state = cells.init_state(1, POTENTIALS["v_threshold"] + 1.0)
    nothing = [jnp.zeros(1)] * max(1, cells.n_channels)
    v = []
    for _ in range(6):
        state, spikes = cells.step(state, *nothing)
        v.append(float(state.v[0]))
    assert v[:4] == [POTENTIALS["v_reset"]] * 4  # the spike, and three steps of 0.1
    assert v[4] > POTENTIALS["v_reset"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
def test_derivatives_are_those_of_the_reference(name, backend):
    def slope(x):
        return jnp.maximum(0.0, 1.0 - jnp.abs(x) / 10)

    def loss(cells, v, inputs, drive):
        state = cells.init_state(v.shape, v)
        total = 0.0
        for _ in range(3):
            state, spikes = cells.step(state, *inputs, drive=drive, surrogate=slope)
            total = total + jnp.sum(spikes * jnp.arange(float(v.size))) + jnp.sum(state.v**2)
        return total

    cells = CELLS[name](backend=backend)
    state, inputs = drawn(cells, 30)
    operands = state.v, inputs, jnp.linspace(0, 20, 30)
    got = jax.grad(functools.partial(loss, cells), (0, 1, 2))(*operands)

    def plain(v, inputs, drive):
        """The same written out, with a spike whose derivative is the slope."""

        @jax.custom_jvp
        def spike(x):
            return (x >= 0).astype(x.dtype)

        spike.defjvps(lambda t, _, x: slope(x) * t)
        dt, tau, r = cells.dt, cells.tau, cells.resistance
        wait = jnp.zeros(v.shape, jnp.int16)
        synaptic, total = [jnp.zeros(v.shape)] * cells.n_channels, 0.0
        for _ in range(3):
            after = [s * np.exp(-dt / t) + x for s, t, x in zip(synaptic, cells.tau_syn, inputs)]
            if isinstance(cells, nn.LIFCond):
                g = 1 + sum(after)
                end = (
                    cells.v_rest + r * drive + sum(a * e for a, e in zip(after, cells.reversal))
                ) / g
                moved = end + (v - end) * jnp.exp(-g * dt / tau)
            else:
                d = np.exp(-dt / tau)
                moved = cells.v_rest + (v - cells.v_rest) * d + r * drive * (1 - d)
                for s, t in zip(synaptic, cells.tau_syn):
                    reached = dt / tau * d if t == tau else t / (tau - t) * (d - np.exp(-dt / t))
                    moved = moved + r * reached * s
                moved = moved if synaptic else moved + inputs[0]
            v = jnp.where(wait > 0, v, moved)
            spikes = spike(v - cells.v_threshold)
            v = jnp.where(spikes > 0, cells.v_reset, v)
            wait = jnp.where(
                spikes > 0, jnp.int16(cells.pause), jnp.maximum(wait - jnp.int16(1), jnp.int16(0))
            )
            synaptic = after
            total = total + jnp.sum(spikes * jnp.arange(float(v.size))) + jnp.sum(v**2)
        return total

    expected = jax.grad(plain, (0, 1, 2))(*operands)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-3)


def test_spikes_without_a_surrogate_are_bool_and_have_no_derivative():
    cells = CELLS["delta"]()
    state, inputs = drawn(cells, 5)
    assert cells.step(state, *inputs)[1].dtype == bool
    slope = jax.grad(lambda x: cells.step(state, x)[0].v.sum())(inputs[0])
    assert set(np.asarray(slope).tolist()) <= {0.0, 1.0}


def test_a_scan_updates_the_state_in_place():
    cells = CELLS["one current"]()

    @jax.jit
    def run(state, x):
        return jax.lax.scan(lambda s, _: (cells.step(s, x)[0], None), state, length=5)[0]

    state, (x,) = drawn(cells, 4000)
    text = run.lower(state, x).compile().as_text()
    body = (
        text[text.index("eventops_Neurons") - 4000 : text.index("eventops_Neurons")]
        if "eventops_Neurons" in text
        else ""
    )
    assert "copy(" not in body or loader.unavailable()


def test_devices_that_share_the_step():
    """Where XLA splits the step over devices it splits its own loop."""
    cells = CELLS["two currents"]()
    state, inputs = drawn(cells, (2, 64))
    mesh = jax.make_mesh((1,), ("x",))
    spec = jax.NamedSharding(mesh, jax.P(None, "x"))
    placed = jax.tree.map(lambda a: jax.device_put(a, spec), (state, inputs))
    got = jax.jit(lambda s, x: cells.step(s, *x))(*placed)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, cells.step(state, *inputs)
    )


def test_equal_neurons_share_a_program():
    assert CELLS["delta"]() == CELLS["delta"]() and hash(CELLS["delta"]()) == hash(CELLS["delta"]())
    assert CELLS["delta"]() != CELLS["one current"]()
    assert "tau=10.0" in repr(CELLS["delta"]())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.LIFDelta(0.0, v_rest=0, v_reset=0, v_threshold=1), "tau=0.0 must be positive"),
        (lambda: nn.LIFDelta("a", v_rest=0, v_reset=0, v_threshold=1), "tau='a' must be a number"),
        (lambda: nn.LIFDelta(1.0, v_rest=0, v_reset=2, v_threshold=1), "v_reset=2 must be below"),
        (
            lambda: nn.LIFExp(1.0, (1, 2, 3), v_rest=0, v_reset=0, v_threshold=1),
            "one or two numbers",
        ),
        (
            lambda: nn.LIFCond(1.0, (1, 2), 0.0, v_rest=0, v_reset=0, v_threshold=1),
            "1 reversal potentials",
        ),
        (
            lambda: nn.LIFDelta(1.0, v_rest=0, v_reset=0, v_threshold=1, refractory=1e9),
            "not in \\[0, 2",
        ),
        (lambda: CELLS["delta"]().init_state(3, dtype=np.float16), "too coarse"),
        (lambda: CELLS["delta"]().step((1, 2), 3), "make it with init_state"),
        (lambda: CELLS["delta"]().step(CELLS["delta"]().init_state(3)), "0 inputs do not fit"),
        (
            lambda: CELLS["delta"]().step(CELLS["delta"]().init_state(3), jnp.ones(2)),
            "an input of shape",
        ),
        (
            lambda: CELLS["delta"]().step(CELLS["delta"]().init_state(3), 0.0, drive=jnp.ones(2)),
            "a drive of shape",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
