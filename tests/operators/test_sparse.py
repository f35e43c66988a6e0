"""Connectivity that is given: every form of it, the native sort against NumPy, and the way back."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental.sparse import BCOO, BCSR
from support.cases import EMPTY, SMALL, TILED, assert_product, bits, case, ids, native, procedural

import eventops as nn
from eventops.core import loader
from eventops.rows import building, csr
from eventops.rows.entries import listed


def dense(op) -> np.ndarray:
    """The matrix in float64, from what is stored, without compiling anything."""
    out = np.zeros((op.in_size, op.out_size))
    if op.rows is None:
        out[...] = np.asarray(op.weight, np.float64)
        return out
    pre = np.repeat(np.arange(op.in_size), np.diff(op.rows.indptr()))
    np.add.at(out, (pre, op.rows.indices()), np.asarray(op.weight, np.float64))
    return out


def stored(op) -> tuple[bytes, ...]:
    """Whatever an operator with rows is made of."""
    return (op.rows.hash().encode(), bits(op.rows.ptr), bits(op.rows.offsets), bits(op.weight))


# ---- forms

N_IN, N_OUT = 11, 7
RNG = np.random.default_rng(0)
PLACES = RNG.permutation(N_IN * N_OUT)[:30]
PRE, POST = PLACES // N_OUT, PLACES % N_OUT
VALUE = RNG.integers(1, 9, 30).astype(np.float32) / 4
MATRIX = np.zeros((N_IN, N_OUT), np.float32)
MATRIX[PRE, POST] = VALUE
COO = scipy.sparse.coo_array((VALUE, (PRE, POST)), (N_IN, N_OUT))
SHAPE = dict(shape=(N_IN, N_OUT))


def unsorted_csr():
    matrix = COO.tocsr()
    for row in range(N_IN):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        matrix.indices[part] = matrix.indices[part][::-1]
        matrix.data[part] = matrix.data[part][::-1]
    matrix.has_sorted_indices = False
    return matrix


def csr64():
    matrix = COO.tocsr()
    matrix.indices, matrix.indptr = (x.astype(np.int64) for x in (matrix.indices, matrix.indptr))
    return matrix


FORMS = {
    **{name: (getattr(COO, f"to{name}")(), {}) for name in "csr csc coo lil dok dia".split()},
    "bsr": (COO.tobsr((11, 7)), {}),
    "csr_matrix": (scipy.sparse.csr_matrix(COO), SHAPE),
    "csr unsorted": (unsorted_csr(), {}),
    "csr int64": (csr64(), {}),
    "BCOO": (BCOO.fromdense(MATRIX), {}),
    "BCOO padded": (BCOO.fromdense(MATRIX, nse=40), {}),
    "BCOO shuffled": (BCOO((VALUE, np.stack([PRE, POST], 1)), shape=(N_IN, N_OUT)), {}),
    "BCSR": (BCSR.fromdense(MATRIX), {}),
    "BCSR padded": (BCSR.fromdense(MATRIX, nse=40), {}),
    "entries": ((PRE, POST, VALUE), SHAPE),
    "entries, lists": ((PRE.tolist(), POST.tolist(), VALUE.tolist()), SHAPE),
    "entries, bytes": ((PRE.astype(np.int8), POST.astype(np.uint8), VALUE), SHAPE),
    "entries, uint64": ((PRE.astype(np.uint64), POST.astype(np.uint64), VALUE), SHAPE),
    "entries, JAX": ((jnp.asarray(PRE), jnp.asarray(POST), jnp.asarray(VALUE)), SHAPE),
    "entries, strided": ((PRE[::-1], POST[::-1], VALUE[::-1]), SHAPE),
    "dense": (MATRIX, {}),
    "dense, lists": (MATRIX.tolist(), SHAPE),
    "dense, JAX": (jnp.asarray(MATRIX), {}),
    "dense, by columns": (np.asfortranarray(MATRIX), {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_the_same_operator(name):
    matrix, options = FORMS[name]
    op = nn.EventSparse(matrix, **options)
    expected = nn.EventSparse((PRE, POST, VALUE), **SHAPE)
    assert np.array_equal(dense(op), MATRIX) and op.n_synapses == 30
    assert stored(op) == stored(expected) and op.dtype == jnp.float32
    assert jax.tree.structure(op) == jax.tree.structure(expected)
    # The matrix is copied: what becomes of it later does not matter.
    assert repr(op) == f"EventSparse(11, 7, weight=float32[30], n_synapses=30, nbytes={op.nbytes})"


NARROW = ("int8", "uint8", "int16", "uint16")
WIDE = ("int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("dtype", (*NARROW, *WIDE))
@pytest.mark.parametrize("turned", [False, True])
def test_any_index_type_that_holds_the_indices(dtype, turned):
    """Narrow ones do not hold the size itself: the largest index is the last one."""
    most = int(np.iinfo(dtype).max) + 1 if dtype in NARROW else 70_000
    shape, order = ((most, 50), (1, 0)) if turned else ((50, most), (0, 1))
    places = np.array([[0, 49, 1, 2, 2], [most - 1, 0, 1, 2, 1]])[list(order)]
    value = np.arange(1, 6, dtype=np.float32)
    matrix = scipy.sparse.coo_array((value, tuple(places)), shape)
    csr_matrix = matrix.tocsr()
    pre, post = places.astype(dtype)
    indices, indptr = csr_matrix.indices.astype(dtype), csr_matrix.indptr.astype(dtype)

    def narrow(form):
        narrowed = matrix.asformat(form)
        if form == "coo":
            narrowed.coords = (pre, post)
        else:
            narrowed.indices = narrowed.indices.astype(dtype)
            narrowed.indptr = narrowed.indptr.astype(dtype)
        return narrowed

    forms = {
        "tuple": ((pre, post, value), dict(shape=shape)),
        "BCOO": (BCOO((value, np.stack([pre, post], 1)), shape=shape), {}),
        "BCOO, JAX": (BCOO((value, jnp.asarray(np.stack([pre, post], 1))), shape=shape), {}),
        "BCSR": (BCSR((csr_matrix.data, indices, indptr), shape=shape), {}),
        **{form: (narrow(form), {}) for form in ("coo", "csr", "csc")},
    }
    for name, (form, options) in forms.items():
        op = nn.EventSparse(form, **options)
        assert abs(op.to_scipy() - csr_matrix).nnz == 0, name
    # What is numbered elsewhere: neurons to choose, delays, rows that are made by hand.
    assert abs(op[pre].to_scipy() - csr_matrix[places[0]]).nnz == 0
    assert abs(op[:, post].to_scipy() - csr_matrix[:, places[1]]).nnz == 0
    delays = [0, 100, 3, 4, 5]
    assert nn.Delayed(op, np.array(delays, dtype)).delay.tolist() == delays
    assert nn.Delayed(op, np.array(100, dtype)).delay == 100
    rows = csr.rows_from_csr(indptr, indices, shape[1])
    assert np.array_equal(rows.indices(), csr_matrix.indices)


def test_padding_in_a_narrow_index_type():
    """It is beyond one size, while the indices' type cannot hold the other."""
    places = np.array([[3, 127], [50, 127], [3, 5]], np.int8)
    op = nn.EventSparse(BCOO((np.array([2, 0, 3], np.float32), places), shape=(50, 128)))
    assert op.to_scipy().tocoo().coords[1].tolist() == [5, 127] and op.weight.tolist() == [3, 2]
    places[1] = -1, 5
    with pytest.raises(ValueError, match="pre index -1 of entry 1"):
        nn.EventSparse(BCOO((np.ones(3, np.float32), places), shape=(50, 128)))


def test_large_unsigned_numbers_do_not_wrap():
    rows = nn.EventFixedNumConn(250, 70_000, 3, 1.0).rows
    assert rows.n_tiles > 1 and np.array_equal(rows.row(np.uint8(249)), rows.row(249))
    last = np.array([2**64 - 1], np.uint64)
    op = nn.EventSparse(COO)
    with pytest.raises(IndexError, match=f"pre neuron {2**64 - 1} is not among 11"):
        op[last]
    with pytest.raises(ValueError, match="post indices must be in"):
        csr.rows_from_csr([0, 1], last, 5)
    with pytest.raises(ValueError, match="indptr must rise"):
        csr.rows_from_csr(np.append(np.uint64(0), last), [2], 5)


def test_the_matrix_is_copied():
    matrix = COO.tocsr()
    op = nn.EventSparse(matrix)
    before = stored(op)
    matrix.data[:] = matrix.indices[:] = matrix.indptr[:] = 0
    assert stored(op) == before


def test_product():
    op = nn.EventSparse((PRE, POST, VALUE), **SHAPE)
    spikes = np.arange(N_IN) % 3 == 0
    assert_product(op, spikes, op(spikes), np.float32)
    assert np.array_equal(op(spikes), spikes @ MATRIX)


def test_values_that_are_stored():
    """A stored zero is a synapse; the filling of blocks and diagonals, and a zero of a dense matrix, are none."""
    zero = scipy.sparse.coo_array(([0.0, 2.0], ([0, 1], [1, 0])), (2, 2))
    assert nn.EventSparse(zero).n_synapses == nn.EventSparse(zero.tocsr()).n_synapses == 2
    assert nn.EventSparse(zero.tobsr((2, 2))).n_synapses == 1
    assert nn.EventSparse(scipy.sparse.dia_array(zero)).n_synapses == 1
    assert nn.EventSparse([[0.0, -0.0], [np.nan, 1.0]]).n_synapses == 2


@pytest.mark.parametrize(
    "given, dtype, stored",
    [
        ("float16", None, "float16"),
        ("float64", None, "float32"),
        ("int8", None, "float32"),
        ("bool", None, "float32"),
        ("uint64", "float16", "float16"),
        ("float64", "bfloat16", "bfloat16"),
        (jnp.bfloat16, None, "bfloat16"),
    ],
)
def test_dtypes(given, dtype, stored):
    value = np.arange(1, 31).astype(given)
    op = nn.EventSparse((PRE, POST, value), dtype=dtype, **SHAPE)
    assert op.dtype == stored
    matrix = np.zeros((N_IN, N_OUT))
    matrix[PRE, POST] = value.astype(np.float64)
    assert np.array_equal(dense(op), matrix)


@pytest.mark.x64
def test_float64():
    op = nn.EventSparse((PRE, POST, VALUE.astype(np.float64) / 3), **SHAPE)
    assert op.dtype == jnp.float64 and np.array_equal(dense(op)[PRE, POST], VALUE / np.float64(3))
    assert (
        nn.EventSparse((PRE, POST, 0.5), **SHAPE).dtype == jnp.float64
    )  # as a number is elsewhere
    assert nn.EventSparse((PRE, POST, 0.5), dtype="float64", **SHAPE).dtype == jnp.float64


def test_weights_in_place_of_the_entries():
    one = nn.EventSparse(COO, 0.5)
    assert one.weight.ndim == 0 and np.array_equal(dense(one), 0.5 * (MATRIX != 0))
    for same in (
        nn.EventSparse((PRE, POST, 0.5), **SHAPE),
        nn.EventSparse((PRE, POST), 0.5, **SHAPE),
    ):
        assert stored(same) == stored(one)
    init = jax.nn.initializers.normal(0.7)
    op = nn.EventSparse(COO, init, seed=3, dtype="float16")
    assert bits(op.weight) == bits(init(jax.random.key(3), (30,), jnp.float16))


# ---- repeated entries


def test_repeated_entries():
    pre, post, value = [2, 0, 2, 0, 2], [1, 0, 1, 1, 1], np.array([1, 2, 4, 8, 16], np.float32)
    kept = nn.EventSparse((pre, post, value), shape=(3, 2), duplicates="keep")
    assert kept.rows.indices().tolist() == [0, 1, 1, 1, 1]
    assert kept.weight.tolist() == [2, 8, 1, 4, 16]  # of a pair, in the order of the entries
    summed = nn.EventSparse((pre, post, value), shape=(3, 2))
    assert summed.rows.indptr().tolist() == [0, 2, 2, 3] and summed.weight.tolist() == [2, 8, 21]
    assert np.array_equal(dense(kept), dense(summed))
    matrix = scipy.sparse.coo_array((value, (pre, post)), (3, 2))
    assert np.array_equal(dense(nn.EventSparse(matrix)), matrix.toarray())
    # One number for all: kept it stays one, summed it cannot.
    assert nn.EventSparse((pre, post, 0.5), shape=(3, 2), duplicates="keep").weight.ndim == 0
    assert nn.EventSparse((pre, post, 0.5), shape=(3, 2)).weight.tolist() == [0.5, 0.5, 1.5]
    half = nn.EventSparse((pre, post), 0.1, shape=(3, 2), dtype="float16")
    assert half.weight.tolist() == [
        np.float16(0.1),
        np.float16(0.1),
        np.float16(3 * np.float16(0.1)),
    ]
    drawn = nn.EventSparse((pre, post), jax.nn.initializers.ones, shape=(3, 2))
    assert drawn.weight.tolist() == [1, 1, 1]


def test_a_sum_is_rounded_once():
    value = np.array([1, 2.0**-24, 2.0**-24], np.float32)  # in float32, 1 + 2**-24 is 1
    op = nn.EventSparse(([0] * 3, [0] * 3, value), shape=(1, 1))
    assert op.weight[0] == 1 + 2.0**-23


# ---- the native sort


def built(entries, values, **options):
    dtype = None if values is None else values.dtype
    result = building.build(entries, values, dtype, **options)
    return [
        None if x is None else bits(x)
        for x in (result.ptr, result.offsets, result.values, result.counts)
    ]


SIZES = [
    (1, 1),
    (1, 70_000),
    (3, 8192),
    (3, 8193),
    (300, 5),
    (2, 65_536),
    (5, 65_537),
    (7, 200_003),
]


@native
@pytest.mark.parametrize("n_in, n_out", SIZES)
@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16", "float32", "float64"])
def test_native_is_numpy_bit_for_bit(n_in, n_out, dtype, monkeypatch):
    """Whatever the number of threads and the size of the pieces; segments short and long, empty and full."""
    monkeypatch.setattr(building, "CHUNK", 4999)
    rng = np.random.default_rng(n_in)
    for n in (1, 40, 20_000):
        pre, post = (rng.integers(0, k, n) for k in (n_in, max(1, n_out // 2)))
        values = None if dtype is None else rng.normal(size=n).astype(jnp.dtype(dtype))
        for summed in (False, True):
            entries = listed(n_in, n_out, pre, post)
            expected = built(entries, values, summed=summed, reference=True)
            for threads in (1, 2, 5):
                monkeypatch.setattr(building, "threads", lambda n=threads: n)
                assert built(entries, values, summed=summed) == expected


@native
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9000)), max_size=300),
    st.sampled_from([1, 3]),
)
@settings(max_examples=60)
def test_any_entries(pairs, threads):
    pre, post = np.array(pairs, np.int64).reshape(-1, 2).T
    values = np.arange(pre.size, dtype=np.float32)
    op = nn.EventSparse((pre, post, values), shape=(5, 9001), duplicates="keep")
    order = np.lexsort((post, pre))
    assert np.array_equal(op.rows.indices(), post[order]) and np.array_equal(
        op.weight, values[order]
    )
    assert np.array_equal(op.rows.indptr(), np.searchsorted(pre[order], np.arange(6)))
    entries = listed(5, 9001, pre, post)
    for summed in (False, True):
        expected = built(entries, values, summed=summed, reference=True)
        assert built(entries, values, summed=summed) == expected


@native
def test_sorted_rows_are_only_copied(monkeypatch):
    def refuse(*_):
        raise AssertionError("sorted again")

    rng = np.random.default_rng(5)
    matrix = scipy.sparse.random_array((50, 9000), density=0.02, rng=rng, format="csr")
    expected = stored(nn.EventSparse(matrix.tocoo()))
    reverse = matrix[:, ::-1].tocsr()
    monkeypatch.setattr(building, "_sort", refuse)
    assert stored(nn.EventSparse(matrix)) == expected
    reverse.sort_indices()
    nn.EventSparse(reverse)
    with pytest.raises(AssertionError, match="sorted again"):
        nn.EventSparse(matrix.tocsc())


def test_without_the_library(monkeypatch):
    expected = stored(nn.EventSparse((PRE, POST, VALUE), **SHAPE))
    monkeypatch.setattr(loader, "unavailable", lambda: "not built")
    for name in ("entries", "csr", "csc", "dense", "BCOO padded"):
        matrix, options = FORMS[name]
        assert stored(nn.EventSparse(matrix, **options)) == expected


@native
def test_entries_that_change_are_an_error():
    """Between the two passes, or behind the back of the checks: never a write outside the rows."""
    pre, post = np.zeros(5000, np.int32), np.arange(5000, dtype=np.int32)

    def chunks():
        yield pre, post, slice(0, 5000)
        pre[:] = 1 - pre

    for entries in (
        building.Entries(2, 5000, 5000, chunks),
        listed(2, 4000, pre, post),
        listed(2, 5000, pre + 7, post),
        listed(2, 5000, pre - 7, post),
        building.Entries(1, 5000, 5000, lambda: iter(()), (np.array([0, 5000]), post + 1)),
        building.Entries(1, 5000, 5000, lambda: iter(()), (np.array([0, 5000]), post - 1)),
        building.Entries(1, 5000, 5000, lambda: iter(()), (np.array([0, 5001]), post)),
        building.Entries(2, 5000, 5000, lambda: iter(()), (np.array([0, -1, 5000]), post)),
    ):
        with pytest.raises(RuntimeError, match="entries of a matrix were changed"):
            building.build(entries, post.astype(np.float32), np.float32)


# ---- the way back, for every operator

ALL = (*SMALL, *EMPTY, *TILED, *filter(None, (procedural(c) for c in SMALL[10:16])))
every = pytest.mark.parametrize("case", ALL, ids=ids(ALL))


def weighted(case):
    sparse = case.conn is not None and ("storage", "procedural") not in case.options
    return case.make("per-synapse" if sparse or case.conn is None else "scalar")


@every
def test_round_trips(case):
    op = weighted(case)
    matrix = op.to_scipy()
    assert matrix.format == "csr" and matrix.shape == (case.n_in, case.n_out)
    assert matrix.dtype == np.float32
    again = nn.EventSparse(matrix, duplicates="keep")
    if case.conn is None:
        assert matrix.nnz == np.count_nonzero(op.weight)
        assert np.array_equal(matrix.toarray(), dense(op))
        assert np.array_equal(dense(again), dense(op))
        assert np.array_equal(op.to_bcoo().todense(), op.todense())
        assert type(op.T) is type(op) and np.array_equal(dense(op.T), dense(op).T)
        return
    rows = op.connections()
    assert matrix.nnz == rows.n_synapses and matrix.has_sorted_indices
    weight = np.broadcast_to(op.weight, rows.n_synapses)
    assert again.rows.hash() == rows.hash() and bits(again.weight) == bits(weight)
    jax_matrix = op.to_bcoo()
    assert jax_matrix.shape == matrix.shape and jax_matrix.nse == rows.n_synapses
    other = nn.EventSparse(jax_matrix, duplicates="keep")
    assert stored(other) == stored(again)
    turned = op.T
    assert (
        isinstance(turned, nn.EventSparse)
        and (turned.in_size, turned.out_size) == matrix.shape[::-1]
    )
    assert turned.weight.ndim == op.weight.ndim
    assert turned.T.rows.hash() == rows.hash() and bits(turned.T.weight) == bits(op.weight)
    # Not by our own code: scipy's transpose keeps repeated entries, in the order of their rows.
    theirs = scipy.sparse.coo_array(matrix).T
    order = np.lexsort((theirs.col, theirs.row))
    assert np.array_equal(turned.rows.indices(), theirs.col[order])
    assert np.array_equal(np.broadcast_to(turned.weight, theirs.nnz), theirs.data[order])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_weights_come_back_exactly(dtype):
    op = nn.EventSparse((PRE, POST, VALUE), dtype=dtype, **SHAPE)
    assert op.to_scipy().dtype == np.float32 and op.to_bcoo().dtype == dtype
    for matrix in (op.to_scipy(), op.to_bcoo()):
        assert stored(nn.EventSparse(matrix, dtype=dtype)) == stored(op)


KEYS = {
    "slice": slice(2, 9),
    "every second": slice(None, None, 2),
    "backwards": slice(None, None, -1),
    "none": slice(3, 3),
    "all": slice(None),
    "numbers": np.array([4, 0, 0, -1, 4]),
    "list": [3, 1],
    "empty list": [],
    "JAX": jnp.array([5, 2]),
    "mask": "mask",
}
CHOSEN = (
    case("Linear", 12, 12),
    case("EventLinear", 12, 12),
    case("EventFixedProb", 12, 12, 0.5),
    case("EventFixedNumConn", 12, 12, 9, allow_multi_conn=True),
    case("EventSparse", 12, 12, 200, duplicates="keep"),
)


@pytest.mark.parametrize(
    "case, name",
    [(c, k) for c in CHOSEN for k in KEYS if c.conn is not None or k in ("slice", "numbers")],
    ids=lambda x: getattr(x, "id", x),
)
def test_selections(case, name):
    op = weighted(case)
    key = np.arange(12) % 3 == 1 if name == "mask" else KEYS[name]
    plain = np.asarray(key, int) if name in ("empty list", "JAX") else key
    matrix, kind = dense(op), nn.EventLinear if case.conn is None else nn.EventSparse
    pairs = [
        (op[key], matrix[plain]),
        (op[:, key], matrix[:, plain]),
        (op[key, 1:7], matrix[plain, 1:7]),
        (op[3:, key], matrix[3:, plain]),
    ]
    if not isinstance(key, slice):
        numbers = np.flatnonzero(plain) if name == "mask" else plain
        pairs.append((op[np.ix_(numbers, numbers)], matrix[np.ix_(numbers, numbers)]))
    for chosen, expected in pairs:
        assert type(chosen) is kind and (chosen.in_size, chosen.out_size) == expected.shape
        np.testing.assert_allclose(dense(chosen), expected, rtol=1e-6, atol=1e-6)
        if chosen.rows is not None:
            again = csr.rows_from_csr(chosen.rows.indptr(), chosen.rows.indices(), chosen.out_size)
            assert again.n_synapses == chosen.n_synapses == chosen.weight.size


@pytest.mark.parametrize("case", TILED[3:6], ids=ids(TILED[3:6]))
def test_selections_across_tiles(case, monkeypatch):
    monkeypatch.setattr("eventops.rows.selection.CHUNK", 10_000)
    op = weighted(case)
    rng = np.random.default_rng(0)
    columns = rng.permutation(case.n_out)[: case.n_out // 2]
    matrix = op.to_scipy()
    for chosen, expected in (
        (op[5:20, columns], matrix[5:20][:, columns]),
        (op[:, 8000:9000], matrix[:, 8000:9000]),
        (op[::-1], matrix[np.arange(case.n_in)[::-1]]),
    ):
        expected.sort_indices()
        got = chosen.to_scipy()
        for name in ("indptr", "indices", "data"):
            assert np.array_equal(getattr(got, name), getattr(expected, name))


def test_the_rest_is_kept():
    op = nn.EventSparse(COO, float_as_event=True, backend="reference", seed=4)
    for other in (
        op.T,
        op[2:],
        op[:, ::-1],
        nn.EventLinear(3, 3, 1.0, float_as_event=True, backend="reference", seed=4).T,
    ):
        assert (other.float_as_event, other.backend, other.seed) == (True, "reference", 4)
    one = op.with_weight(0.5)
    assert one.T.weight.ndim == one[::-1].weight.ndim == 0
    whole = op[:]
    assert whole.rows is op.rows and whole.weight is op.weight


@pytest.mark.parametrize(
    "make", [lambda: nn.EventSparse(COO), lambda: nn.EventLinear(N_IN, N_OUT, MATRIX)]
)
def test_gradients_pass_through(make):
    """Weights that are shared by an operator, its transpose and a part of it, also inside jit."""
    op, x = make(), jnp.linspace(-1, 1, N_IN)

    def ours(w):
        op2 = op.with_weight(w)
        return jnp.sum(op2.T(op2(x)) ** 2) + jnp.sum(op2[::2, [3, 1, 3]](x[::2]) ** 2)

    def twin(m):
        return jnp.sum((x @ m @ m.T) ** 2) + jnp.sum((x[::2] @ m[::2][:, np.array([3, 1, 3])]) ** 2)

    expected = jax.grad(twin)(jnp.asarray(MATRIX))
    expected = expected[MATRIX != 0] if op.rows is not None else expected
    for grad in (jax.grad(ours), jax.jit(jax.grad(ours))):
        np.testing.assert_allclose(
            np.asarray(grad(op.weight)), np.asarray(expected), rtol=1e-4, atol=1e-4
        )
    as_bcoo = jax.grad(lambda w: jnp.sum(op.with_weight(w).to_bcoo().todense() ** 2))
    if op.rows is not None:
        assert np.array_equal(as_bcoo(op.weight), 2 * op.weight)
        assert np.array_equal(jax.jit(lambda o: o.to_bcoo().todense())(op), MATRIX)


def test_made_inside_jit():
    spikes = jnp.arange(N_IN) % 2 == 0
    out = jax.jit(lambda s: nn.EventSparse(COO)[:, 2:](s))(spikes)
    assert np.array_equal(out, np.asarray(spikes) @ MATRIX[:, 2:])


# ---- what is refused


def traced(function, argument):
    return lambda: jax.jit(function)(argument)


SP, OP = nn.EventSparse, nn.EventSparse(COO)
BATCHED = BCOO.fromdense(np.ones((2, 3, 4), np.float32), n_batch=1)
REFUSED = {
    "shape missing": (lambda: SP((PRE, POST, VALUE)), TypeError, ["shape=(in_size, out_size)"]),
    "shape of one": (lambda: SP((PRE, POST, VALUE), shape=(3,)), TypeError, ["shape=(3,)"]),
    "shape negative": (lambda: SP((PRE, POST, VALUE), shape=(3, -1)), ValueError, ["shape[1]=-1"]),
    "shape other": (lambda: SP(COO, shape=(7, 11)), ValueError, ["(7, 11)", "(11, 7)"]),
    "pre too large": (
        lambda: SP(([0, 3], [0, 0], 1.0), shape=(3, 2)),
        ValueError,
        ["pre index 3 of entry 1", "[0, 3)"],
    ),
    "post too large": (
        lambda: SP(([0, 0], [2, 0], 1.0), shape=(3, 2)),
        ValueError,
        ["post index 2 of entry 0", "[0, 2)"],
    ),
    "post negative": (lambda: SP(([0], [-1], 1.0), shape=(3, 2)), ValueError, ["post index -1"]),
    "huge": (
        lambda: SP(([0], np.array([2**63], np.uint64), 1.0), shape=(3, 2)),
        ValueError,
        [str(2**63)],
    ),
    "no posts at all": (lambda: SP(([0], [0], 1.0), shape=(3, 0)), ValueError, ["[0, 0)"]),
    "index floats": (
        lambda: SP(([0.0], [0], 1.0), shape=(3, 2)),
        TypeError,
        ["pre indices", "float64", "astype"],
    ),
    "index bools": (
        lambda: SP(([True], [0], 1.0), shape=(3, 2)),
        TypeError,
        ["pre indices", "bool"],
    ),
    "index matrix": (
        lambda: SP(([[0]], [0], 1.0), shape=(3, 2)),
        ValueError,
        ["pre indices of shape (1, 1)"],
    ),
    "lengths": (lambda: SP(([0, 1], [0], 1.0), shape=(3, 2)), ValueError, ["2 pre, 1 post"]),
    "weights": (lambda: SP(([0, 1], [0, 1], [1.0]), shape=(3, 2)), ValueError, ["1 weights"]),
    "weight matrix": (lambda: SP(([0], [0], [[1.0]]), shape=(3, 2)), ValueError, ["(1, 1)"]),
    "weight complex": (
        lambda: SP(([0], [0], [1j]), shape=(3, 2)),
        TypeError,
        ["real", "complex128"],
    ),
    "weight text": (lambda: SP(([0], [0], ["a"]), shape=(3, 2)), TypeError, ["numbers"]),
    "weight none": (lambda: SP(([0], [0], None), shape=(3, 2)), TypeError, ["weight=None"]),
    "no weight": (
        lambda: SP(([0], [0]), shape=(3, 2)),
        ValueError,
        ["without weights", "conn_weight"],
    ),
    "weight twice": (lambda: SP(COO, VALUE), ValueError, ["conn_weight of shape (30,)"]),
    "tuple of rows": (
        lambda: SP(((0.0, 1.0),), shape=(1, 2)),
        TypeError,
        ["a tuple of 1", "array"],
    ),
    "duplicates": (
        lambda: SP(COO, duplicates="max"),
        ValueError,
        ["duplicates='max'", "'sum'", "'keep'"],
    ),
    "dtype": (lambda: SP(COO, dtype="int8"), TypeError, ["int8", "float16"]),
    "longdouble": (
        lambda: SP(MATRIX.astype(np.longdouble)),
        TypeError,
        ["float128" if np.longdouble().nbytes == 16 else "", "float32"],
    ),
    "float64": (lambda: SP(COO, dtype="float64"), TypeError, ["jax_enable_x64"]),
    "complex": (lambda: SP(COO.astype(complex)), TypeError, ["real", "complex128"]),
    "backend": (lambda: SP(COO, backend="cuda"), ValueError, ["'cuda'", "'reference'"]),
    "vector": (lambda: SP(np.ones(3)), ValueError, ["(3,)", "two dimensions"]),
    "text": (
        lambda: SP("a matrix"),
        TypeError,
        ["'a matrix'", "scipy.sparse", "BCOO", "(pre, post, weight)"],
    ),
    "none": (lambda: SP(None), TypeError, ["None"]),
    "ragged": (lambda: SP([[1.0], [1.0, 2.0]]), TypeError, ["dense"]),
    "sparse vector": (lambda: SP(scipy.sparse.coo_array(np.ones(3))), ValueError, ["(3,)"]),
    "batched": (lambda: SP(BATCHED), ValueError, ["two dimensions"]),
    "rows batched": (lambda: SP(BCOO.fromdense(MATRIX, n_batch=1)), ValueError, ["n_batch=1"]),
    "rows dense": (lambda: SP(BCOO.fromdense(MATRIX, n_dense=1)), ValueError, ["n_dense=1"]),
    "traced": (traced(lambda m: SP(m).weight, MATRIX), TypeError, ["matrix is traced"]),
    "traced BCOO": (
        traced(lambda m: SP(m).weight, BCOO.fromdense(MATRIX)),
        TypeError,
        ["matrix is traced"],
    ),
    "traced weights": (
        traced(lambda w: SP((PRE, POST, w), **SHAPE).weight, VALUE),
        TypeError,
        ["with_weight"],
    ),
    "one row": (lambda: OP[3], TypeError, ["EventSparse[...]", "pre key 3", "i:i+1"]),
    "one column": (lambda: OP[:, 3], TypeError, ["post key 3"]),
    "one element": (lambda: OP[3, 3], IndexError, ["numpy.ix_"]),
    "two arrays": (lambda: OP[[0, 1], [0, 1]], IndexError, ["numpy.ix_"]),
    "three keys": (lambda: OP[:, :, :], IndexError, ["3 keys"]),
    "new axis": (lambda: OP[None], TypeError, ["pre key None"]),
    "key floats": (lambda: OP[[0.5]], TypeError, ["[0.5]"]),
    "key outside": (lambda: OP[:, [0, 7]], IndexError, ["post neuron 7 is not among 7"]),
    "key far outside": (lambda: OP[[-12]], IndexError, ["pre neuron -12"]),
    "mask": (lambda: OP[[True, False]], IndexError, ["length 2", "11 neurons"]),
    "traced key": (traced(lambda k: OP[k].weight, np.arange(3)), TypeError, ["pre key is traced"]),
    "traced operator": (traced(lambda o: o.T.weight, OP), TypeError, ["EventSparse.T", "traced"]),
    "traced scipy": (
        traced(lambda w: OP.with_weight(w).to_scipy(), VALUE),
        TypeError,
        ["EventSparse.to_scipy", "traced"],
    ),
    "iteration": (lambda: list(OP), TypeError, ["iterable"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, fragments = REFUSED[name]
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for fragment in ("EventSparse", *fragments):
        assert fragment in message, message


def test_scipy_arrays_that_lie():
    """Arrays that were changed since scipy checked them."""
    for name, value in (("indices", 7), ("indices", -1), ("indptr", 31), ("indptr", -1)):
        matrix = COO.tocsr()
        getattr(matrix, name)[5] = value
        with pytest.raises(ValueError, match="EventSparse: (post index|indptr)"):
            SP(matrix)


def test_too_many(monkeypatch):
    monkeypatch.setattr(building, "MAX_SYNAPSES", 29)
    with pytest.raises(ValueError, match="EventSparse: 30 entries are more than 29.*split"):
        SP(COO)
    monkeypatch.setattr(building, "MAX_SYNAPSES", 119)
    part = nn.EventSparse(([0], [0], 1.0), shape=(2, 2))
    with pytest.raises(ValueError, match=r"EventSparse\[...\]: 120 entries are more"):
        part[[0] * 120]
    with pytest.raises(ValueError, match="EventSparse: a matrix of 2147483647 x .*row pointers"):
        SP(([0], [0], 1.0), shape=(2**31 - 1, 2**31 - 1))


def test_scipy_is_not_needed_until_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    op = SP((PRE, POST, VALUE), **SHAPE)
    with pytest.raises(ImportError, match="EventSparse.to_scipy needs scipy.*to_bcoo"):
        op.to_scipy()
