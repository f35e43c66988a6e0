"""The stored rows: tiles, checked construction, and what can be read back."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import SMALL, TILED, bits, ids

from eventops.rows import csr
from eventops.rows.csr import Rows, empty_rows, rows_from_csr, tile_width

SPARSE = tuple(c for c in SMALL + TILED if c.conn is not None)


def lists(seed, n_in, n_out, mean, repeats=False):
    """Sorted random rows in CSR form."""
    rng = np.random.default_rng(seed)
    rows = [
        np.sort(rng.choice(n_out, min(n_out, rng.poisson(mean)), replace=repeats))
        for _ in range(n_in)
    ]
    return np.concatenate([[0], np.cumsum([r.size for r in rows])]), np.concatenate(rows)


@pytest.mark.parametrize("n_out", [1, 2, 63, 8191, 8192, 8193, 65_537, 300_000])
@pytest.mark.parametrize("mean", [0.5, 40])
def test_round_trip(n_out, mean):
    indptr, indices = lists(n_out, 23, n_out, mean)
    rows = rows_from_csr(indptr, indices, n_out)
    assert np.array_equal(rows.indptr(), indptr) and rows.indptr().dtype == np.int64
    assert np.array_equal(rows.indices(), indices) and rows.indices().dtype == np.int32
    for i in range(23):
        row = rows.row(i)
        assert np.array_equal(row, indices[indptr[i] : indptr[i + 1]]) and row.dtype == np.int32
    pre, post = jax.jit(Rows.coordinates)(rows)
    assert np.array_equal(pre, np.repeat(np.arange(23), np.diff(indptr)))
    assert np.array_equal(post, indices)
    assert rows.n_synapses == indices.size
    assert rows.nbytes == rows.ptr.nbytes + rows.offsets.nbytes
    assert rows.offsets.dtype == jnp.uint16 and rows.ptr.dtype == jnp.int32


@given(n_out=st.integers(0, 2**31 - 1), mean=st.floats(0, 1e9))
def test_tile_width(n_out, mean):
    """Offsets fit 16 bits, there is no empty tile, and small populations are one tile."""
    width = tile_width(n_out, mean)
    assert 1 <= width <= 65_536
    if n_out <= 8192:
        assert width >= n_out
    n_tiles = -(-n_out // width)
    assert (n_tiles - 1) * width < max(n_out, 1)
    # Pointers stay below the offsets that they point to, or tiles are as wide as they get.
    assert n_out <= 8192 or width % 64 == 0
    assert 4 * n_tiles <= 2 * mean or width >= min(n_out // 2, 32_000)


DRAWN = [case for case in SPARSE if case.kind != "EventSparse"]


@pytest.mark.parametrize("case", DRAWN, ids=ids(DRAWN))
def test_drawn_rows_are_what_construction_makes(case):
    """Sorted, in range, without repeats unless allowed; and accepted by the checked constructor."""
    rows = case.make().rows
    indptr, indices = rows.indptr(), rows.indices()
    again = rows_from_csr(indptr, indices, case.n_out)
    assert again.hash() == rows.hash()
    assert np.array_equal(again.indices(), indices)
    step = np.diff(indices)
    inside = np.diff(np.repeat(np.arange(case.n_in), np.diff(indptr))) == 0
    options = dict(case.options)
    assert np.all(step[inside] >= (0 if options.get("allow_multi_conn") else 1))
    if options.get("allow_self_conn") is False:
        assert not np.any(np.repeat(np.arange(case.n_in), np.diff(indptr)) == indices)


def test_hash_does_not_depend_on_tiles():
    indptr, indices = lists(1, 11, 20_000, 100)
    rows = rows_from_csr(indptr, indices, 20_000)
    for tile in (64, 1000, 20_000):
        n_tiles = -(-20_000 // tile)
        segment = np.repeat(np.arange(11), np.diff(indptr)) * n_tiles + indices // tile
        ptr = np.concatenate([[0], np.cumsum(np.bincount(segment, minlength=11 * n_tiles))])
        other = Rows(
            jnp.asarray(ptr, jnp.int32), jnp.asarray(indices % tile, jnp.uint16), 11, 20_000, tile
        )
        assert other.hash() == rows.hash()
        assert bits(other.todense(jnp.float32(1))) == bits(rows.todense(jnp.float32(1)))


def test_hash_sees_every_change():
    indptr, indices = lists(2, 11, 50, 10)
    hashes = {rows_from_csr(indptr, indices, 50).hash()}
    hashes.add(rows_from_csr(indptr, indices, 51).hash())
    hashes.add(rows_from_csr(np.append(indptr, indptr[-1]), indices, 50).hash())
    moved = indices.copy()
    moved[indptr[4]] -= 1
    hashes.add(rows_from_csr(indptr, np.abs(moved), 50).hash())
    shifted = indptr.copy()
    shifted[1:3] = shifted[2]  # the second row joins the first
    joined = np.concatenate([np.sort(indices[: shifted[1]]), indices[shifted[1] :]])
    hashes.add(rows_from_csr(shifted, joined, 50).hash())
    assert len(hashes) == 5


def test_todense_adds_repeated_pairs():
    rows = rows_from_csr([0, 3, 4], [1, 1, 2, 0], 3)
    dense = rows.todense(jnp.asarray([1.0, 2, 4, 8]))
    assert dense.tolist() == [[0, 3, 4], [8, 0, 0]]
    assert rows.todense(jnp.float32(0.5)).tolist() == [[0, 1, 0.5], [0.5, 0, 0]]


@pytest.mark.parametrize("n_in, n_out", [(0, 0), (0, 5), (5, 0), (3, 4), (3, 20_000)])
def test_no_synapses(n_in, n_out):
    for rows in (empty_rows(n_in, n_out), rows_from_csr(np.zeros(n_in + 1, int), [], n_out)):
        assert rows.n_synapses == 0
        assert rows.indptr().tolist() == [0] * (n_in + 1)
        assert rows.indices().size == 0
        assert rows.todense(jnp.float32(1)).shape == (n_in, n_out)
        assert all(rows.row(i).size == 0 for i in range(n_in))
        assert len(rows.hash()) == 64


def test_rows_are_a_frozen_pytree():
    rows = rows_from_csr([0, 2, 3], [0, 2, 1], 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows.tile = 5
    leaves, tree = jax.tree.flatten(rows)
    assert len(leaves) == 2
    assert jax.tree.unflatten(tree, leaves).hash() == rows.hash()
    with pytest.raises(IndexError, match=r"Rows.row\(2\): there are 2 rows"):
        rows.row(2)
    with pytest.raises(IndexError, match=r"Rows.row\(-1\)"):
        rows.row(-1)


REFUSED = {
    "index too large": ([0, 1], [3], 3, r"in \[0, 3\).*from 3 to 3"),
    "index negative": ([0, 1], [-1], 3, r"in \[0, 3\).*from -1 to -1"),
    "not ascending": ([0, 2], [2, 1], 3, "ascend within each row; sort"),
    "not ascending in the last row": ([0, 2, 4], [0, 2, 2, 1], 3, "ascend"),
    "indptr too short": ([0, 1], [0, 1], 3, "rise from 0 to 2"),
    "indptr falls": ([0, 2, 1, 3], [0, 1, 2], 3, "rise from 0 to 3"),
    "indptr does not start at 0": ([1, 2], [0, 1], 3, "rise from 0 to 2"),
    "indptr empty": ([], [], 3, "must be vectors"),
    "indptr a matrix": ([[0, 1]], [0], 3, "must be vectors"),
    "indices a matrix": ([0, 1], [[0]], 3, "must be vectors"),
    "index not whole": ([0, 1], [0.5], 3, "integer"),
    "indptr not whole": ([0, 0.5, 1], [0], 3, "integer"),
    "index nan": ([0, 1], [float("nan")], 3, "integer"),
    "n_out negative": ([0, 0], [], -1, "n_out=-1"),
    "n_out too large": ([0, 0], [], 2**31, "n_out=2147483648"),
    "n_out not whole": ([0, 0], [], 2.5, "n_out=2.5"),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_refused(problem):
    *arguments, message = REFUSED[problem]
    with pytest.raises((ValueError, TypeError), match=f"(?s)rows_from_csr.*{message}"):
        rows_from_csr(*arguments)


def test_too_many_synapses(monkeypatch):
    monkeypatch.setattr(csr, "MAX_SYNAPSES", 3)
    with pytest.raises(ValueError, match="rows_from_csr: 4 synapses are more than 3; split"):
        rows_from_csr([0, 4], [0, 1, 2, 3], 4)
