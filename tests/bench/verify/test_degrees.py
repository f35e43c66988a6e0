"""Each statistic accepts its own law and refuses the neighbouring ones."""

import numpy as np
import pytest
from support.bench_jobs import job

from eventops.bench.verify import degrees

LOW = 1e-6


def rows(matrix):
    """CSR of a boolean matrix."""
    indptr = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))])
    return indptr, np.nonzero(matrix)[1].astype(np.int32)


def failures(indptr, indices, described):
    found = degrees.findings(indptr, indices, described, 500, 1)
    return {f.name for f in found if (f.value < LOW if f.is_p_value else f.value > 0)}


def choose(n_lines, pool, k, seed=0):
    rng = np.random.default_rng(seed)
    matrix = np.zeros((n_lines, pool), dtype=bool)
    for line in matrix:
        line[rng.choice(pool, k, replace=False)] = True
    return matrix


def described(kind, conn, n, m, **more):
    operator = {
        "prob": "EventFixedProb",
        "num": "EventFixedNumConn",
        "total": "EventFixedTotalNum",
        "distance": "EventDistanceProb",
    }[kind]
    return job(operator, sizes=[[n, m]], conn=[conn], **more)


@pytest.mark.parametrize("p", ["0.02", "0.5", "0.9"])
def test_bernoulli_passes_its_own_law(p):
    matrix = np.random.default_rng(1).random((400, 500)) < float(p)
    assert failures(*rows(matrix), described("prob", p, 400, 500)) == set()


def test_a_wrong_density_is_seen():
    matrix = np.random.default_rng(1).random((400, 500)) < 0.5
    assert "density" in failures(*rows(matrix), described("prob", "0.6", 400, 500))


def test_a_fixed_out_degree_is_no_bernoulli_graph():
    found = failures(*rows(choose(400, 500, 50)), described("prob", "0.1", 400, 500))
    assert "out-degree-variance" in found and "density" not in found


def test_half_the_binomial_variance_is_seen():
    rng = np.random.default_rng(2)
    half = rng.random((400, 250)) < 0.1
    fixed = choose(400, 250, 25)
    found = failures(*rows(np.hstack([half, fixed])), described("prob", "0.1", 400, 500))
    assert "out-degree-variance" in found


def test_rows_that_repeat_each_other_are_seen():
    matrix = choose(400, 500, 50)
    matrix[1::2] = matrix[::2]
    assert "independence-lag1" in failures(*rows(matrix), described("num", 50, 400, 500))


@pytest.mark.parametrize("target", ["post", "pre"])
def test_fixed_numbers_pass_their_own_law(target):
    matrix = choose(300, 500, 20) if target == "post" else choose(500, 300, 20).T
    n, m = matrix.shape
    kind = described("num", 20, n, m, efferent_target=[target])
    assert failures(*rows(matrix), kind) == set()
    other = described("num", 20, n, m, efferent_target=["pre" if target == "post" else "post"])
    name = "in-degree-exact" if target == "post" else "out-degree-exact"
    assert name in failures(*rows(matrix), other)


def test_preferred_targets_are_seen():
    matrix = np.hstack([choose(300, 250, 12), choose(300, 250, 8, seed=1)])
    assert "in-degree-chi2" in failures(*rows(matrix), described("num", 20, 300, 500))


def test_targets_that_are_too_even_are_seen():
    matrix = np.zeros((300, 300), dtype=bool)
    for i in range(300):
        matrix[i, (i + np.arange(20)) % 300] = True
    assert "in-degree-chi2" in failures(*rows(matrix), described("num", 20, 300, 300))


def test_repeats_autapses_disorder_and_range_are_counted():
    indptr = np.array([0, 3, 6, 9])
    kind = described("num", 2, 3, 3, allow_self_conn=False)
    found = failures(indptr, np.array([0, 1, 1, 2, 1, 0, 0, 1, 3], dtype=np.int32), kind)
    assert {"no-repeats", "no-autapses", "sorted-rows", "in-range"} <= found


def test_a_total_passes_its_own_law():
    rng = np.random.default_rng(7)
    right = np.zeros(200_000, dtype=bool)
    right[rng.choice(right.size, 60_000, replace=False)] = True
    matrix = right.reshape(400, 500)
    kind = described("total", 60_000, 400, 500)
    assert failures(*rows(matrix), kind) == set()
    assert "total-exact" in failures(*rows(matrix), described("total", 60_001, 400, 500))
    even = failures(*rows(choose(400, 500, 150)), kind)
    assert "out-degree-chi2" in even and "total-exact" not in even
    multi = described("total", 60_000, 400, 500, allow_multi_conn=True)
    drawn = np.sort(rng.integers(0, 200_000, 60_000))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(drawn // 500, minlength=400))])
    assert failures(indptr, (drawn % 500).astype(np.int32), multi) == set()
    assert "out-degree-chi2" in failures(*rows(choose(400, 500, 150)), multi)


@pytest.mark.parametrize(
    "space, sizes", [("torus", (900, 400)), ("grid", (400, 900)), ("line", (900, 600))]
)
def test_distances_pass_their_own_law(space, sizes):
    n, m = sizes
    kind = described("distance", "0.7", n, m, space=space, length="0.15")
    plane = space in ("torus", "grid")

    def places(n):
        side = round(n**0.5) if plane else n
        at = (np.arange(side) + 0.5) / side
        return (
            np.stack(np.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2)
            if plane
            else at[:, None]
        )

    apart = np.abs(places(n)[:, None] - places(m)[None])
    apart = np.minimum(apart, 1 - apart) if space == "torus" else apart
    p = 0.7 * np.exp(-0.5 * (apart**2).sum(-1) / 0.15**2)
    rng = np.random.default_rng(8)
    matrix = rng.random((n, m)) < p
    assert failures(*rows(matrix), kind) == set()
    assert failures(*rows(rng.random((n, m)) < 0.95 * p), kind) & {"density", "distance-chi2"}
    far = described("distance", "0.7", n, m, space=space, length="0.15", profile="box")
    assert "distance-range" in failures(*rows(matrix), far)
    # Rows that take all or nothing have the right mean at every distance.
    whole = (rng.random(n) < 0.5)[:, None] & (rng.random((n, m)) < 2 * np.minimum(p, 0.5))
    half = described("distance", "0.35", n, m, space=space, length="0.15")
    assert "out-degree-variance" in failures(*rows(whole), half)
