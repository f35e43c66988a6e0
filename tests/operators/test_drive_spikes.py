"""Populations of random sources: their spikes one by one, in any form, and by their law."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from graphs.test_drawing_statistics import P_MIN, p_of_count
from operators.test_drive_statistics import check, p_of_normal
from scipy import stats
from support import drive_oracle
from support.cases import native, run_python

import eventops as nn

pytestmark = pytest.mark.unoptimized
BACKENDS = [pytest.param("cpu", marks=native), "reference"]
RATES = (0.0, 1e-6, 1e-3, 0.02, 0.3, 0.5, 0.77, 1.0)
LAWS = ("bernoulli", "poisson")
STEP = 3 * 2**32 + 11


def at(step: int):
    return jnp.array([step & 0xFFFFFFFF, step >> 32], jnp.uint32)


def every(law, rate, n, seed=5, step=STEP, **options):
    drive = nn.PoissonSpikes(n, rate, law=law, seed=seed, **options)
    return np.asarray(drive.step(at(step))[1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("law", LAWS)
def test_the_spikes_are_those_of_the_oracle(law, backend):
    rng = np.random.default_rng(0)
    mixed = rng.choice(np.float32([0, 1e-5, 1e-3, 0.01, 0.1, 0.3, 0.9, 1]), 700)
    for rate in (*np.float32(RATES), mixed):
        found = every(law, rate, 700, backend=backend)
        expected = drive_oracle.spikes(5, STEP, np.broadcast_to(rate, 700), law == "poisson")
        np.testing.assert_array_equal(found, expected)


def test_rates_that_are_none():
    """Of a traced rate the nearest one counts, of what is no number none."""
    rate = jnp.array([-1.0, np.nan, 1.5, 0.0, np.inf])
    for backend in (None, "reference"):
        drive = jax.jit(lambda r, b=backend: nn.PoissonSpikes(5, r, backend=b).step(at(0))[1])
        assert drive(rate).tolist() == [False, False, True, False, True]


GOLDEN = {
    ("bernoulli", 0.001): "f1757deda3373fcb",
    ("bernoulli", 0.3): "d41635c2e262b750",
    ("poisson", 0.001): "a821c936a28efd8d",
    ("poisson", 0.3): "d0b2c67aad422334",
}


def digest(x) -> str:
    return hashlib.sha256(np.asarray(x, "<i4").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("law, rate", GOLDEN)
def test_golden_hashes(law, rate):
    """The numbers of version 1 of the generator, for good."""
    assert digest(every(law, rate, 100_000, seed=3)) == GOLDEN[law, rate]


@native
@pytest.mark.parametrize("isa, threads", [("plain", 1), ("avx2", 2), ("avx512", 1)])
def test_any_instruction_set_and_number_of_threads(isa, threads):
    code = """
from operators import test_drive_spikes as t
for law, rate in t.GOLDEN:
    print(t.digest(t.every(law, rate, 100_000, seed=3)))
"""
    done = run_python(code, EVENTOPS_ISA=isa, PJRT_NPROC=str(threads))
    assert done.stdout.split() == list(GOLDEN.values()), done.stderr[-2000:]


@pytest.mark.parametrize("law", LAWS)
def test_forms(law):
    """jit, scan, batches, vmap and windows have the same spikes."""
    rate = np.linspace(0, 0.6, 1500)
    drive = nn.PoissonSpikes(1500, rate, law=law, seed=[3, 4])
    state, found = drive.init_state(), []
    for _ in range(3):
        state, x = drive.step(state)
        found.append(np.asarray(x))
    scanned = jax.lax.scan(lambda s, _: drive.step(s), drive.init_state(), length=3)[1]
    np.testing.assert_array_equal(scanned, found)
    for k, seed in enumerate((3, 4)):
        np.testing.assert_array_equal(every(law, rate, 1500, seed, 2), found[2][k])
    mapped = jax.vmap(lambda s, r: nn.PoissonSpikes(1500, r, law=law, seed=s).step(at(2))[1])(
        jnp.array([3, 4]), jnp.asarray(np.stack([rate, rate]), jnp.float32)
    )
    np.testing.assert_array_equal(mapped, found[2])
    for first, size in ((0, 1500), (255, 600), (1499, 1), (300, 0)):
        part = drive.window(first, size).step(at(2))[1]
        np.testing.assert_array_equal(part, found[2][:, first : first + size])
    groups = nn.PoissonSpikes((700, 800), (0.1, 0.5), law=law).step(at(1))[1]
    each = nn.PoissonSpikes(1500, np.repeat([0.1, 0.5], (700, 800)), law=law).step(at(1))[1]
    np.testing.assert_array_equal(groups, each)
    again = nn.PoissonSpikes(1500, 0.0, law=law, seed=[3, 4]).with_rate(rate).step(at(2))[1]
    np.testing.assert_array_equal(again, found[2])
    assert law in repr(drive)


def test_a_source_does_not_depend_on_the_rates_of_others():
    rate = np.full(2000, 0.01)
    alone = every("bernoulli", rate, 2000)
    rate[::2] = 0.7
    np.testing.assert_array_equal(every("bernoulli", rate, 2000)[1::2], alone[1::2])


def test_spikes_go_into_operators():
    op = nn.EventFixedNumConn(300, 40, 10, 0.5)
    for law in LAWS:
        drive = nn.PoissonSpikes(300, 0.4, law=law)
        _, spikes = drive.step(drive.init_state())
        expected = np.asarray(spikes, np.float32) @ np.asarray(op.todense())
        np.testing.assert_allclose(op(spikes), expected, rtol=1e-5)
        assert spikes.dtype == (jnp.bool_ if law == "bernoulli" else jnp.int32)


def sample(law, rate, shape=(400, 2500)):
    drive = nn.PoissonSpikes(shape[1], rate, law=law, seed=71)
    half = shape[0] // 2

    def run(first):
        return jax.lax.scan(lambda s, _: drive.step(s), at(first), length=half)[1]

    return np.concatenate([np.asarray(run(5)), np.asarray(run(5 + 2**32))]).astype(np.int64)


@pytest.mark.parametrize("rate", [1e-3, 0.02, 0.3, 0.9])
def test_poisson_sources_are_poisson(rate):
    check(sample("poisson", rate), rate)


def check_bernoulli(x, rate, minimum=P_MIN):
    assert p_of_count(x.sum(), stats.binom(x.size, rate)) > minimum, "total"
    spread = rate * (1 - rate)
    for name, axis in (("sources", 0), ("steps", 1)):
        total, n = x.sum(axis), x.shape[axis]
        q = stats.chi2(total.size).cdf(np.sum((total - n * rate) ** 2) / (n * spread))
        assert 2 * min(q, 1 - q) > minimum, name
    half = len(x) // 2
    for name, a, b in (
        ("source", x[:, :-1], x[:, 1:]),
        ("block", x[:, :-256], x[:, 256:]),
        ("step", x[:-1], x[1:]),
        ("step 2**32 later", x[:half], x[half:]),
    ):
        r = np.sum((a - rate) * (b - rate)) / spread / np.sqrt(a.size)
        assert p_of_normal(r) > minimum, name


@pytest.mark.parametrize("rate", [1e-3, 0.02, 0.3, 0.5, 0.9])
def test_bernoulli_sources_are_bernoulli(rate):
    check_bernoulli(sample("bernoulli", rate), rate)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_wrong_sources_fail(rate):
    """Negative controls: at most as many as a Poisson number above 0 has; blocks that are alike; steps that repeat."""
    rng, shape = np.random.default_rng(1), (400, 2560)
    check_bernoulli((rng.random(shape) < rate).astype(int), rate)
    capped = (rng.random(shape) < -np.expm1(-rate)).astype(int)
    alike = np.tile((rng.random((400, 256)) < rate).astype(int), (1, 10))
    repeated = np.tile((rng.random((200, 2560)) < rate).astype(int), (2, 1))
    wrong = [alike, repeated] if rate < 0.1 else [capped, alike, repeated]
    for x in wrong:
        with pytest.raises(AssertionError):
            check_bernoulli(x, rate)
    with pytest.raises(AssertionError):
        check((rng.random(shape) < rate).astype(int), rate)
