"""Random input: the numbers one by one, in any form in which they can be asked for; statistics are in the next file."""

import ctypes
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import drive_oracle
from support.cases import native, run_python

import eventops as nn
from eventops.core import loader
from eventops.graphs import poisson_law

# What is tested here is the numbers; the reference takes XLA seconds to compile well.
pytestmark = pytest.mark.unoptimized
BACKENDS = [pytest.param("cpu", marks=native), "reference"]
MEANS = (0.0, 1e-6, 0.0078, 0.16, 2.3, 3.99, 4.0, 40.0, 100.5, 2000.0, 4095.9)
STEP = 3 * 2**32 + 11


def at(step: int):
    return jnp.array([step & 0xFFFFFFFF, step >> 32], jnp.uint32)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mean", MEANS)
def test_the_numbers_are_those_of_the_oracle(mean, backend):
    drive = nn.PoissonInput(2000, mean, seed=5 + 7 * 2**32, backend=backend)
    _, counts = drive.counts(at(STEP))
    exact = float(np.float32(mean))
    for i in range(0, 2000, 23):
        assert counts[i] == drive_oracle.number(5 + 7 * 2**32, STEP, i, exact), i


@native
def test_the_tables_are_equal():
    """Of the C++ and of Python."""
    law, native = poisson_law.tables(), loader.library().EventopsPoissonRow
    native.restype = ctypes.c_int64
    for row in range(548):
        words, sure = np.zeros((1500, 4), np.uint32), ctypes.c_int64()
        where = words.ctypes.data_as(ctypes.c_void_p)
        n = native(ctypes.c_int64(row), ctypes.c_int64(1500), where, ctypes.byref(sure))
        expected = law.words[law.start[row] : law.start[row + 1]]
        assert n == len(expected) and sure.value == law.sure[row], row
        np.testing.assert_array_equal(words[:n], expected)


def test_the_tables_are_those_of_the_law():
    """Against scipy, to the precision that it has."""
    from scipy import stats

    for mean in (1, 128, 511, 4 * 128, 60 * 128, 960 * 128, 3072 * 128):
        sure, thresholds = poisson_law.survival(mean)
        found = np.array([float(t) / 2.0**128 for t in thresholds])
        expected = stats.poisson(mean / 128).sf(np.arange(len(found)) + sure)
        np.testing.assert_allclose(found, expected, atol=1e-15)
        assert sum(t < 2**128 for t in thresholds) == len(thresholds) and thresholds[-1] > 0


MIXED = np.random.default_rng(0).choice(
    np.float32([0, 0.1, 0.5, 3.3, 17, 300, np.nan, -1, 5000, 2000.3]), 4001
)
CONTINUOUS = np.random.default_rng(1).exponential(2, 4001).astype(np.float32)
EQUAL = np.repeat(np.float32([0.3, 2.0, 7.0, 0.0]), (1000, 1000, 1000, 1001))


@native
@pytest.mark.parametrize("mean", [MIXED, CONTINUOUS, EQUAL], ids=["mixed", "all", "equal"])
def test_backends_agree(mean):
    def counts(backend):
        drive = jax.jit(
            lambda m: nn.PoissonInput(4001, m, seed=9, backend=backend).counts(at(STEP))[1]
        )
        return drive(mean)

    np.testing.assert_array_equal(counts("cpu"), counts("reference"))


GOLDEN = {
    0.16: "1304629a6c91700f",
    2.3: "8ac4cac19494b2b9",
    40.0: "4402fe6789580e58",
    2000.0: "a2584a1e036510cb",
}


def digest(x) -> str:
    return hashlib.sha256(np.asarray(x, "<i4").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("mean", GOLDEN)
def test_golden_hashes(mean):
    """The numbers of version 1 of the generator, for good."""
    assert digest(nn.PoissonInput(10_000, mean, seed=3).counts(at(STEP))[1]) == GOLDEN[mean]


@native
@pytest.mark.parametrize("isa, threads", [("plain", 1), ("avx2", 2), ("avx512", 1)])
def test_any_instruction_set_and_number_of_threads(isa, threads):
    code = """
import hashlib, jax.numpy as jnp, numpy as np, eventops as nn
mean = np.random.default_rng(1).exponential(2, 100_000).astype(np.float32)
for m in (2.3, mean):
    counts = nn.PoissonInput(100_000, m, seed=3).counts(jnp.array([11, 3], jnp.uint32))[1]
    print(hashlib.sha256(np.asarray(counts).tobytes()).hexdigest())
"""
    done = run_python(code, EVENTOPS_ISA=isa, PJRT_NPROC=str(threads))
    assert done.returncode == 0, done.stderr[-2000:]
    mean = np.random.default_rng(1).exponential(2, 100_000).astype(np.float32)
    expected = []
    for m in (2.3, mean):
        counts = nn.PoissonInput(100_000, m, seed=3).counts(at(STEP))[1]
        expected.append(hashlib.sha256(np.asarray(counts).tobytes()).hexdigest())
    assert done.stdout.split() == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_count_beyond_32_bits(backend):
    drive = nn.PoissonInput(500, 1.5, backend=backend)
    state, found = drive.init_state(), []
    state, first = drive.counts(state)
    assert state.tolist() == [1, 0]
    state, last = drive.counts(at(2**32 - 1))
    assert state.tolist() == [0, 1]
    state, after = drive.counts(state)
    assert state.tolist() == [1, 1] and np.any(after != first) and np.any(last != first)
    assert drive.step(at(2**64 - 1))[0].tolist() == [0, 0] and not found


def steps(drive, n, **options):
    def one(state, _):
        return drive.step(state, **options)

    return jax.lax.scan(one, drive.init_state(), length=n)[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_loops_scans_and_jit_agree(backend):
    drive = nn.PoissonInput(300, 2.3, 0.5, seed=4, backend=backend)
    state, looped = drive.init_state(), []
    for _ in range(5):
        state, x = drive.step(state)
        looped.append(np.asarray(x))
    np.testing.assert_array_equal(steps(drive, 5), looped)
    np.testing.assert_array_equal(jax.jit(lambda d: steps(d, 5))(drive), looped)
    with jax.disable_jit():
        np.testing.assert_array_equal(drive.step(drive.init_state())[1], looped[0])
    assert all(np.any(a != b) for a, b in zip(looped, looped[1:]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_has_the_numbers_of_each_alone(backend):
    seeds = np.array([[3, 1], [4, 2**62]])
    mean = np.linspace(0, 9, 70)
    many = nn.PoissonInput(70, mean, 0.5, seed=seeds, backend=backend)
    assert many.batch_shape == (2, 2)
    _, found = many.step(at(7))
    assert found.shape == (2, 2, 70)
    for k in np.ndindex(2, 2):
        alone = nn.PoissonInput(70, mean, 0.5, seed=int(seeds[k]), backend=backend)
        np.testing.assert_array_equal(found[k], alone.step(at(7))[1])
    into = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 2, 70)), jnp.float32)
    _, added = many.step(at(7), into=into)
    np.testing.assert_allclose(added, into + found[None], rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_vmap_is_a_loop(backend):
    """Over seeds, steps, means, weights and what is added to, alone and together."""
    options = dict(backend=backend)

    def one(seed, step, mean, weight, into):
        drive = nn.PoissonInput(50, mean, weight, seed=seed, **options)
        state, counts = drive.counts(step)
        return drive.step(step)[1], drive.step(step, into=into)[1], counts, state

    rng = np.random.default_rng(2)
    given = (
        jnp.arange(3, dtype=jnp.int32),
        jnp.stack([at(t) for t in (5, 2**32 + 1, 9)]),
        jnp.asarray(rng.exponential(3, (3, 50)), jnp.float32),
        jnp.asarray(rng.normal(size=(3, 50)), jnp.float32),
        jnp.asarray(rng.normal(size=(3, 50)), jnp.float32),
    )
    ways = [(0, 0, 0, 0, 0)]
    if backend == "cpu":
        ways += [tuple(0 if i == k else None for i in range(5)) for k in range(5)]
        ways += [(0, None, None, None, 0)]
    for axes in ways:
        fixed = [x if a is not None else x[1] for x, a in zip(given, axes)]
        found = jax.vmap(one, axes)(*fixed)
        for k in range(3):
            alone = one(*(x[k] if a is not None else x for x, a in zip(fixed, axes)))
            for a, b in zip(jax.tree.map(lambda x, k=k: x[k], found), alone):
                np.testing.assert_allclose(a, b, rtol=1e-6)
    if backend == "reference":
        return
    twice = jax.vmap(jax.vmap(one, (None, 0, None, None, 0)), (0, None, None, None, None))(
        given[0], given[1], given[2][0], given[3][0], given[4]
    )
    alone = one(given[0][2], given[1][1], given[2][0], given[3][0], given[4][1])
    for a, b in zip(twice, alone):
        np.testing.assert_allclose(a[2, 1], b, rtol=1e-6)


def test_traced_means_give_the_same_numbers():
    for mean in (0.3, CONTINUOUS):
        known = nn.PoissonInput(4001, mean, seed=1).counts(at(2))[1]
        traced = jax.jit(lambda m: nn.PoissonInput(4001, m, seed=1).counts(at(2))[1])(mean)
        np.testing.assert_array_equal(known, traced)
        changed = nn.PoissonInput(4001, 0.0, seed=1).with_mean(mean).counts(at(2))[1]
        np.testing.assert_array_equal(known, changed)


@pytest.mark.parametrize("backend", BACKENDS)
def test_means_that_are_none(backend):
    def both(mean):
        drive = nn.PoissonInput(3, mean, backend=backend)
        return drive.counts(at(0))[1], drive.step(at(0))[1]

    for mean in (jnp.array([-1.0, np.nan, 4096.0]), jnp.float32(np.inf)):
        counts, current = jax.jit(both)(mean)
        assert counts.tolist() == [-1] * 3 and np.isnan(current).all()


def test_groups():
    drive = nn.PoissonInput((200, 300), (0.5, 80.0), (1.0, -2.0), seed=2)
    each = nn.PoissonInput(
        500, np.repeat([0.5, 80.0], (200, 300)), np.repeat([1.0, -2.0], (200, 300)), seed=2
    )
    np.testing.assert_array_equal(drive.step(at(3))[1], each.step(at(3))[1])
    assert drive.size == 500


@pytest.mark.x64
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype, each", [("float16", True), ("float16", False), ("bfloat16", False),
                                         ("float32", True), ("float64", False), ("float64", True)])  # fmt: skip
def test_dtypes(dtype, each, backend):
    weight = np.linspace(-1, 1, 333) if each else 0.3
    drive = nn.PoissonInput(333, 2.3, weight, seed=1, dtype=dtype, backend=backend)
    counts = np.asarray(drive.counts(at(1))[1], float)
    exact = np.asarray(drive.weight, float) * counts
    into = jnp.asarray(np.random.default_rng(1).normal(size=333), dtype)
    _, current = drive.step(at(1))
    _, added = drive.step(at(1), into=into)
    assert current.dtype == added.dtype == dtype
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(current, float), exact, rtol=eps, atol=0)
    both = exact + np.asarray(into, float)
    size = np.abs(exact) + np.abs(np.asarray(into, float))
    assert np.all(np.abs(np.asarray(added, float) - both) <= 2 * eps * size)
    wide = drive.step(at(1), into=into.astype("float64"))[1]
    assert wide.dtype == jnp.float64


@pytest.mark.parametrize(
    "backend, each", [pytest.param("cpu", True, marks=native), ("reference", False)]
)
def test_derivatives(backend, each):
    """Linear in the weight and in what is added to; the numbers are constants."""
    weight = jnp.linspace(-1, 1, 40) if each else jnp.float32(0.3)
    drive = nn.PoissonInput(40, 1.7, weight, seed=8, backend=backend)
    counts = drive.counts(at(4))[1].astype(jnp.float32)
    g = jnp.asarray(np.random.default_rng(3).normal(size=40), jnp.float32)

    def f(weight, into):
        return drive.with_weight(weight).step(at(4), into=into)[1]

    out, back = jax.vjp(f, weight, g)
    d_weight, d_into = back(g)
    np.testing.assert_allclose(d_weight, counts * g if each else jnp.sum(counts * g), rtol=1e-5)
    np.testing.assert_array_equal(d_into, g)
    _, tangent = jax.jvp(f, (weight, g), (jnp.ones_like(weight), g))
    np.testing.assert_allclose(tangent, counts + g, rtol=1e-6)
    by_drive = jax.grad(lambda d: jnp.sum(d.step(at(4))[1] * g), allow_int=True)(drive)
    np.testing.assert_allclose(by_drive.weight, d_weight, rtol=1e-5)
    assert float(jnp.sum(jnp.abs(by_drive.mean))) == 0

    def loss(weight):
        return jnp.sum(steps(drive.with_weight(weight), 3) ** 2)

    hessian = jax.hessian(loss)(weight)
    total = jnp.sum(steps(drive.with_weight(jnp.float32(1.0)), 3) ** 2, axis=0)
    np.testing.assert_allclose(jnp.sum(hessian), 2 * jnp.sum(total), rtol=1e-5)
