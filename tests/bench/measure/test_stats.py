"""Intervals of medians and of interleaved ratios."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from eventops.bench.measure import stats


def test_the_interval_is_the_percentile_bootstrap():
    samples = np.random.default_rng(3).lognormal(size=25)
    found = stats.summary(samples)
    expected = bootstrap(
        (samples,), np.median, method="percentile", n_resamples=2000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert found["median"] == np.median(samples) and found["n"] == 25
    assert found["lo"] == pytest.approx(expected.low, rel=0.15)
    assert found["hi"] == pytest.approx(expected.high, rel=0.15)
    assert stats.summary(samples) == found


def test_two_samples_have_no_interval():
    found = stats.summary([1.0, 3.0])
    assert found["median"] == 2.0 and math.isnan(found["lo"]) and math.isnan(found["hi"])
    with pytest.raises(ValueError, match="no samples"):
        stats.summary([])


def test_ratios_survive_a_machine_that_slows_down():
    ours = {i: 1.0 * 2**i for i in range(8)}
    theirs = {i: 3.0 * 2**i for i in range(1, 9)}
    found = stats.ratio(theirs, ours)
    assert found["ratio"] == found["lo"] == found["hi"] == 3.0
    assert math.isnan(stats.ratio({0: 1.0}, {1: 1.0})["ratio"])
