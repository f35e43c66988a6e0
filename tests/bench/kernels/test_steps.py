"""What is compared of a step does what it says, in every way that is timed."""

import jax
import numpy as np
import pytest

from eventops.bench.kernels import steps


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(steps, "NEURONS", 4000)
    monkeypatch.setattr(steps, "STEPS", 12)


def test_drives_have_the_mean_that_their_name_says():
    for what, (ours, states), others, n in steps.drive():
        assert n == 12
        mean = {"0.16": 0.16, "1.3": 1.3, "40": 40.0}.get(what.split()[-1], None)
        _, current = ours(states[0])
        # A current that halves in each step ends in twice its mean.
        found = float(current.mean()) / 2 / 0.5
        call, ((key, nothing), *_) = others["jax.random.poisson"]
        theirs = float(call((key, nothing))[1].mean()) / 2
        assert found == pytest.approx(theirs, rel=0.1)
        assert mean is None or found == pytest.approx(mean, rel=0.1)


def test_neurons_end_in_the_same_state_in_both_ways():
    for what, (ours, states), others, _ in steps.neurons():
        (theirs, again) = others["reference"]
        for a, b in zip(jax.tree.leaves(ours(states[0])), jax.tree.leaves(theirs(again[0]))):
            apart = np.abs(np.asarray(a, float) - np.asarray(b, float)) > 1e-3
            assert apart.mean() < 0.002, what  # at a threshold, rounding decides
