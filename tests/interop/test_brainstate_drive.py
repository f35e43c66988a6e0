"""Random input as modules of BrainState: units, time steps and states."""

import jax.numpy as jnp
import numpy as np
import pytest

brainstate = pytest.importorskip("brainstate")
u = pytest.importorskip("brainunit")

from interop.test_brainstate import _as_brainstate_expects  # noqa: E402, F401

import eventops  # noqa: E402
import eventops.brainstate as nn  # noqa: E402


def test_input_is_that_of_eventops():
    drive = nn.PoissonInput(50, 8.0 * u.Hz, 0.15 * u.mV, 1600, dt=0.1 * u.ms, seed=3)
    plain = eventops.PoissonInput(50, 1600 * 8.0 * 1e-4, 0.15, seed=3)
    state = plain.init_state()
    for _ in range(3):
        state, expected = plain.step(state)
        found = drive()
        assert found.unit == u.mV
        np.testing.assert_allclose(u.get_mantissa(found), expected, rtol=1e-6)
    drive.reset_state()
    np.testing.assert_allclose(
        u.get_mantissa(drive()), plain.step(plain.init_state())[1], rtol=1e-6
    )


def test_a_unit_of_the_target_is_converted():
    drive = nn.PoissonInput(50, 8.0 * u.kHz, 0.15 * u.mV, dt=0.1 * u.ms, seed=3)
    alone = drive()
    drive.reset_state()
    added = drive(jnp.full(50, 0.001) * u.volt)
    np.testing.assert_allclose(added / u.mV, alone / u.mV + 1.0, rtol=1e-5)


def test_spikes_and_the_time_step_of_the_environment():
    with brainstate.environ.context(dt=0.1 * u.ms):
        sources = nn.PoissonSpikes(3000, 500.0 * u.Hz, seed=2)
    plain = eventops.PoissonSpikes(3000, 0.05, seed=2)
    expected = plain.step(plain.init_state())[1]
    np.testing.assert_array_equal(sources(), expected)


def test_it_steps_inside_a_loop_and_has_a_gradient():
    drive = nn.PoissonInput(20, 8.0 * u.kHz, 0.5, dt=0.1 * u.ms, seed=3)

    @brainstate.transform.jit
    def run():
        return brainstate.transform.for_loop(lambda _: drive(), jnp.arange(4))

    currents = np.asarray(run())
    assert currents.shape == (4, 20) and np.any(currents[0] != currents[1])
    gradient = brainstate.transform.grad(
        lambda: drive().sum(), drive.states(brainstate.ParamState)
    )()
    assert float(next(iter(gradient.values()))) > 0


def test_what_is_refused():
    with pytest.raises(ValueError, match="PoissonInput: no time step is set; pass dt"):
        nn.PoissonInput(5, 8.0 * u.Hz, 1.0)
    with pytest.raises(TypeError, match="PoissonSpikes: rate times dt has the unit"):
        nn.PoissonSpikes(5, 8.0 * u.mV, dt=0.1 * u.ms)
