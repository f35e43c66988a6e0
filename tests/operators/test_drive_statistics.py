"""Random input follows its law, jointly over neurons and steps; see test_random_statistics.py for how to read a failure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graphs.test_drawing_statistics import P_MIN, p_of_cells, p_of_count
from scipy import stats

import eventops as nn

MEANS = (0.0, 1e-6, 0.16, 2.3, 40.0, 2000.0)
# Steps and neurons of a sample; half of the steps come 2**32 later than the others.
SHAPE = {1e-6: (200, 100_000)}
FAR = 2**32


def sample(mean, seed=51, shape=None):
    """Counts of shape (steps, neurons)."""
    n_steps, n = shape or SHAPE.get(mean, (400, 2500))
    drive = nn.PoissonInput(n, mean, seed=seed)
    half = n_steps // 2

    def run(first):
        state = jnp.array([first & 0xFFFFFFFF, first >> 32], jnp.uint32)
        return jax.lax.scan(lambda s, _: drive.counts(s), state, length=half)[1]

    return np.concatenate([np.asarray(run(1000)), np.asarray(run(1000 + FAR))]).astype(np.int64)


def cells_of(law, n, most=40):
    """Upper ends of up to ``most`` cells with at least 10 expected of ``n``, and the probabilities of all."""
    ends = np.unique(law.ppf(np.linspace(0, 1, most + 1)[1:-1]))
    while True:
        p = np.diff(np.concatenate([[0], law.cdf(ends), [1]]))
        small = np.flatnonzero(p * n < 10)
        if small.size == 0 or ends.size == 0:
            return ends, p
        ends = np.delete(ends, min(small[0], ends.size - 1))


def check(x, mean, minimum=P_MIN):
    """Every number is Poisson, and all are independent."""
    x = np.asarray(x)
    n_steps, n = x.shape
    law = stats.poisson(mean)
    if mean == 0:
        assert not x.any()
        return
    assert p_of_count(x.sum(), stats.poisson(x.size * mean)) > minimum, "total"
    ends, p = cells_of(law, x.size)
    cell = np.searchsorted(ends, x)
    if ends.size:
        assert p_of_cells(np.bincount(cell.ravel(), minlength=p.size), p) > minimum, "law"
    rare = law.isf(min(1e-4, 20 / x.size))
    tail = stats.binom(x.size, law.sf(rare))
    if tail.mean() > 1:
        assert p_of_count((x > rare).sum(), tail) > minimum, "tail"
    z = (x - mean) / np.sqrt(mean)
    if mean * x.size > 1000:
        spread = np.sqrt((2 + 1 / mean) / x.size)
        assert p_of_normal((np.mean(z**2) - 1) / spread) > minimum, "variance"
        third = (
            15 + 24 / mean + 1 / mean**2
        )  # of the cube: its variance, less the square of its mean
        skew = (np.mean(z**3) - mean**-0.5) / np.sqrt(third / x.size)
        assert p_of_normal(skew) > minimum, "skewness"
    for name, axis in (("neurons", 0), ("steps", 1)):
        total, expected = x.sum(axis), x.shape[axis] * mean
        if expected > 5:
            q = stats.chi2(total.size).cdf(np.sum((total - expected) ** 2) / expected)
            assert 2 * min(q, 1 - q) > minimum, name
    if mean * x.size < 1000:
        return
    half = n_steps // 2
    others = {
        "the next neuron": (x[:, :-1], x[:, 1:]),
        "the neuron of the same word of the next block": (x[:, :-4], x[:, 4:]),
        "the next step": (x[:-1], x[1:]),
        "the step 2**32 later": (x[:half], x[half:]),
    }
    few = cells_of(law, x.size, 5)[0]
    for name, (a, b) in others.items():
        r = np.sum((a - mean) * (b - mean)) / mean / np.sqrt(a.size)
        assert p_of_normal(r) > minimum, f"correlation with {name}"
        if few.size:
            p = np.diff(np.concatenate([[0], law.cdf(few), [1]]))
            both = np.searchsorted(few, a) * p.size + np.searchsorted(few, b)
            found = np.bincount(both.ravel(), minlength=p.size**2)
            joint = np.outer(p, p).ravel()
            if joint.min() * a.size >= 5:
                # Pairs share members, which chi-squared does not know: every other one is left out.
                axis = 1 if "neuron" in name else 0
                if "2**32" not in name:
                    gap = 4 if "block" in name else 1
                    keep = np.arange(a.shape[axis]) // gap % 2 == 0
                    both = np.compress(keep, both.reshape(a.shape), axis)
                    found = np.bincount(both.ravel(), minlength=p.size**2)
                if joint.min() * found.sum() >= 5:
                    assert p_of_cells(found, joint) > minimum, f"jointly with {name}"


def p_of_normal(z) -> float:
    return float(2 * stats.norm.sf(abs(z)))


@pytest.mark.parametrize("mean", MEANS)
def test_input_is_poisson(mean):
    check(sample(np.float64(np.float32(mean))), mean)


@pytest.mark.parametrize("mean", [0.0078, 3.99, 700.5])
def test_means_around_the_digits(mean):
    check(sample(mean, seed=52), mean)


def test_seeds_are_independent():
    one, two = (sample(2.3, seed).ravel() for seed in (7, 8))
    r = np.sum((one - 2.3) * (two - 2.3)) / 2.3 / np.sqrt(one.size)
    assert p_of_normal(r) > P_MIN
    totals = nn.PoissonInput(1000, 0.5, seed=range(500)).counts(jnp.zeros(2, jnp.uint32))[1]
    totals = np.asarray(totals).sum(1)
    q = stats.chi2(500).cdf(np.sum((totals - 500) ** 2) / 500)
    assert 2 * min(q, 1 - q) > P_MIN


def test_each_neuron_has_its_own_mean():
    mean = np.random.default_rng(5).exponential(3, 2000)
    x = sample_of_each(mean)
    total = x.sum(0)
    q = stats.chi2(2000).cdf(np.sum((total - len(x) * mean) ** 2 / (len(x) * mean)))
    assert 2 * min(q, 1 - q) > P_MIN
    uniform = stats.poisson(mean).cdf(x - 1) + stats.poisson(mean).pmf(x) * np.random.default_rng(
        6
    ).random(x.shape)
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > P_MIN


def sample_of_each(mean):
    drive = nn.PoissonInput(mean.size, mean, seed=61)
    run = jax.lax.scan(lambda s, _: drive.counts(s), drive.init_state(), length=200)
    return np.asarray(run[1]).astype(np.int64)


# Negative controls: generators with the faults that the tests above were made to see.


def normal_approximation(mean, shape, rng):
    return np.maximum(0, np.rint(rng.normal(mean, np.sqrt(mean), shape)))


def repeats_after_32_bits(mean, shape, rng):
    return np.tile(rng.poisson(mean, (shape[0] // 2, shape[1])), (2, 1))


def neurons_in_pairs(mean, shape, rng):
    return np.repeat(rng.poisson(mean, (shape[0], shape[1] // 2)), 2, axis=1)


def same_word_of_each_block(mean, shape, rng):
    """A fault of one part in twenty: of the neurons of a block one uses the next block's word."""
    x = rng.poisson(mean, shape)
    x[:, 4::40] = x[:, 0:-4:40]
    return x


def one_percent_more(mean, shape, rng):
    return rng.poisson(1.01 * mean, shape)


def bernoulli(mean, shape, rng):
    """At most one event in a step."""
    return (rng.random(shape) < -np.expm1(-mean)).astype(int)


def binomial(mean, shape, rng):
    """Of 200 sources that fire independently."""
    return rng.binomial(200, mean / 200, shape)


WRONG = [
    *((normal_approximation, m) for m in (2.3, 40.0, 2000.0)),
    *((repeats_after_32_bits, m) for m in (0.16, 2.3, 40.0, 2000.0)),
    *((neurons_in_pairs, m) for m in (0.16, 2.3, 2000.0)),
    *((same_word_of_each_block, m) for m in (0.16, 40.0)),
    *((one_percent_more, m) for m in (0.16, 40.0)),
    (bernoulli, 0.16),
    (binomial, 2.3),
]


@pytest.mark.parametrize("wrong, mean", WRONG)
def test_wrong_inputs_fail(wrong, mean):
    shape = (400, 2500)
    with pytest.raises(AssertionError):
        check(wrong(mean, shape, np.random.default_rng(3)).astype(np.int64), mean)


@pytest.mark.parametrize("mean", MEANS[2:])
def test_right_inputs_pass(mean):
    """NumPy's, in four choices of its seed."""
    for seed in range(4):
        check(np.random.default_rng(seed).poisson(mean, (400, 2500)), mean)
