"""The networks of `eventops.models`: against dense twins, and against what was published of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eventops import models
from eventops.bench.networks import spiketrains

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


@pytest.mark.parametrize("name", ["brunel", "microcircuit"])
def test_the_external_spikes_have_the_rate_of_the_paper(name):
    """Twice the rate that just reaches the threshold; sources of each population at 8 Hz."""
    if name == "brunel":
        drive, mean = (
            models.brunel.network(500, j=0.1).external,
            np.full(500, 2 * 20 / (0.1 * 20) * 0.1),
        )
        jump = 0.1
    else:
        drive = models.microcircuit.network(0.01).external
        mean = (
            np.repeat(models.microcircuit.EXTERNAL, models.microcircuit.sizes(0.01)) * 8e-4 * 0.01
        )
        jump = 878.0
    np.testing.assert_allclose(np.broadcast_to(drive.mean, mean.shape), mean, rtol=1e-6)
    assert float(drive.weight) == pytest.approx(jump)


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


def test_the_microcircuit_has_the_numbers_of_its_paper():
    net = models.microcircuit.network(0.03, seed=1)
    n = models.microcircuit.sizes(0.03)
    edge = np.concatenate([[0], np.cumsum(n)])
    rows = net.synapses.op.rows
    pre = np.repeat(np.arange(rows.n_in), np.diff(rows.indptr()))
    post, weight = rows.indices(), np.asarray(net.synapses.weight)
    delay = np.asarray(net.synapses.delay) + 1
    assert np.all(np.diff(pre * np.int64(edge[-1]) + post) >= 0)
    for target, source in ((0, 0), (0, 2), (2, 3), (7, 6), (1, 5)):
        inside = (pre >= edge[source]) & (pre < edge[source + 1])
        inside &= (post >= edge[target]) & (post < edge[target + 1])
        p = models.microcircuit.PROBABILITY[target][source]
        full = [models.microcircuit.SIZES[i] for i in (target, source)]
        k = np.log(1 - p) / np.log(1 - 1 / (full[0] * full[1])) / full[0]
        assert inside.sum() == round(k * 0.03 * n[target])
        if p == 0:
            continue
        w = 87.8 / np.sqrt(0.03) * (2 if (target, source) == (0, 2) else 1) * (1, -4)[source % 2]
        # Five deviations of the mean.
        assert weight[inside].mean() == pytest.approx(w, rel=0.5 / np.sqrt(inside.sum()))
        assert weight[inside].std() == pytest.approx(0.1 * abs(w), rel=5 / np.sqrt(inside.sum()))
        mean = 1.5 if source % 2 == 0 else 0.75
        assert delay[inside].mean() * 0.1 == pytest.approx(mean, rel=0.05) and delay.min() == 1


@pytest.mark.nightly
def test_the_microcircuit_fires_at_the_published_rates():
    """At a fifth of its size; van Albada et al. 2015: a reduced one is more correlated, and fires a little less."""
    net = models.microcircuit.network(0.2, seed=1)
    state, _, _ = models.run(models.microcircuit.step, net, models.microcircuit.initial(net), 5000)
    _, counts, _ = models.run(models.microcircuit.step, net, state, 20_000)
    found = models.microcircuit.rates(counts, 0.2, 20_000)
    for rate, published in zip(found.values(), models.microcircuit.RATES):
        assert rate == pytest.approx(published, rel=0.15, abs=0.35), found
