"""The networks of `eventops.models`: against dense twins, and against what was published of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventops import models
from eventops.bench import spiketrains
from eventops.models import poisson

SMALL = {"coba": 300, "cuba": 300, "brunel": 200}


def rate(step, net, state, n_steps, skip=1000):
    """Spikes per neuron and second after a start of ``skip`` steps."""
    state, _, _ = models.run(step, net, state, skip)
    _, counts, _ = models.run(step, net, state, n_steps)
    return float(counts.mean()) / (n_steps * 1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_a_step_is_that_of_the_dense_matrices(name):
    model = getattr(models, name)
    net = model.network(SMALL[name], seed=3)
    dense = [jnp.asarray(op.todense()) for op in (net.exc, net.inh)]
    twin = net._replace(exc=_Dense(dense[0]), inh=_Dense(dense[1]))
    state = other = model.initial(net, 1)
    for _ in range(60):
        state, spikes = model.step(net, state)
        other, expected = model.step(twin, other)
        np.testing.assert_array_equal(spikes, expected)
        np.testing.assert_allclose(state.v, other.v, rtol=1e-4)
    assert int(spikes.shape[0]) == SMALL[name]


class _Dense:
    """The operator's matrix, multiplied as a whole."""

    def __init__(self, matrix):
        self.matrix = matrix
        self.in_size, self.out_size = matrix.shape

    def __call__(self, spikes):
        return jnp.matmul(spikes.astype(jnp.float32), self.matrix, precision="highest")


def test_loops_and_scans_agree_and_storage_does_not_matter():
    net = models.coba.network(400, seed=2)
    state = models.coba.initial(net)
    _, counts, raster = models.run(models.coba.step, net, state, 50, watch=400)
    looped = []
    for _ in range(50):
        state, spikes = jax.jit(models.coba.step)(net, state)
        looped.append(np.asarray(spikes))
    np.testing.assert_array_equal(raster, looped)
    np.testing.assert_array_equal(counts, np.sum(looped, axis=0))
    drawn = models.coba.network(400, seed=2, storage="procedural")
    _, again, _ = models.run(models.coba.step, drawn, models.coba.initial(drawn), 50)
    np.testing.assert_array_equal(counts, again)


def test_the_rates_are_those_that_others_found():
    # COBA with a drive and CUBA: what BrainState, Brian2 and NEST give for the same equations (the report has them).
    net = models.coba.network(4000, seed=1)
    assert 18 < rate(models.coba.step, net, models.coba.initial(net), 5000) < 24
    net = models.cuba.network(4000, seed=1)
    assert 4.5 < rate(models.cuba.step, net, models.cuba.initial(net), 5000) < 6.5


def test_without_connections_coba_fires_as_the_formula_says():
    net = models.coba.network(200, seed=1)
    silent = net._replace(exc=net.exc.with_weight(0.0), inh=net.inh.with_weight(0.0))
    found = rate(models.coba.step, silent, models.coba.initial(silent), 10_000)
    # From reset to threshold takes tau ln(20 / 10), then 5 ms of rest; both to a step of 0.1 ms.
    assert found == pytest.approx(1000 / (20 * np.log(2) + 5), rel=0.02)


def test_the_network_of_brunel_is_asynchronous_and_irregular():
    """Figure 8C of the paper: 37.7 Hz at g = 5, eta = 2, for 12,500 neurons."""
    # A fifth of the sources, with jumps five times as large: the same mean.
    net = models.brunel.network(2500, j=0.5, eta=2.0, seed=1)
    state, _, _ = models.run(models.brunel.step, net, models.brunel.initial(net), 1000)
    _, counts, raster = models.run(models.brunel.step, net, state, 5000, watch=300)
    step, neuron = np.nonzero(np.asarray(raster))
    found = spiketrains.summary(np.zeros_like(step), step, neuron, 300, 1, 5000, 0.1)
    assert (
        20 < found["rate_hz"] < 60 and 0.3 < found["cv"] < 1.3 and abs(found["correlation"]) < 0.1
    )


def test_the_external_input_of_brunel_is_poisson():
    thresholds = poisson.tail(2.0)
    tail = np.asarray(thresholds, np.float64) / 2**32
    assert tail.sum() == pytest.approx(
        2.0, abs=1e-6
    )  # the mean is the sum of the tail probabilities
    assert tail[0] == pytest.approx(1 - np.exp(-2.0), abs=1e-8)


def test_statistics_of_spikes_that_are_known():
    clock = np.arange(0, 10_000, 100)
    found = spiketrains.summary(np.zeros(100, int), clock, np.zeros(100, int), 1, 1, 10_000, 0.1)
    assert found["rate_hz"] == pytest.approx(100) and found["cv"] == pytest.approx(0)
    rng = np.random.default_rng(0)
    raster = rng.random((20_000, 40)) < 0.01
    step, neuron = np.nonzero(raster)
    found = spiketrains.summary(np.zeros_like(step), step, neuron, 40, 1, 20_000, 0.1)
    assert found["cv"] == pytest.approx(1, abs=0.06) and abs(found["correlation"]) < 0.01
    both = np.repeat(raster[:, :1], 2, axis=1)
    step, neuron = np.nonzero(both)
    found = spiketrains.summary(np.zeros_like(step), step, neuron, 2, 1, 20_000, 0.1)
    assert found["correlation"] == pytest.approx(1)
    # An interval does not reach over the border of two segments.
    found = spiketrains.summary(
        np.array([0, 1]), np.array([5, 7]), np.array([0, 0]), 1, 2, 100, 0.1
    )
    assert np.isnan(found["cv"])
