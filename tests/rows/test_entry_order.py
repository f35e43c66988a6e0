"""Arrays in the order of a file: delays, weights and traces stand at the synapses of their entries."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cases import EMPTY, SMALL, TILED, bits, ids, native

import eventops as nn
from eventops.rows import building
from eventops.rows.building import build_order
from eventops.rows.entries import listed

# Entries in no order, two pairs of them twice. 0 and 2 and 4 are one pair, 1 and 3 another.
PRE, POST = np.array([2, 0, 2, 0, 2, 1]), np.array([1, 0, 1, 0, 1, 1])
WEIGHT = np.array([1, 2, 4, 8, 16, 32], np.float32)
DELAY = np.array([3, 0, 2, 1, 5, 4])
SAME = np.array([3, 1, 3, 1, 3, 4])
SHAPE = dict(shape=(3, 2))


def by_delay(pre, post, weight, delay, shape):
    """The matrices of the entries, one for each delay, as nobody can get them wrong."""
    dense = np.zeros((max(delay) + 1, *shape), np.float32)
    for i, j, w, d in zip(pre, post, weight, delay):
        dense[d, i, j] += w
    return dense


# ---- delays that are given with the entries


def test_delays_of_a_file_stand_at_their_entries():
    """The shortest input of the fault: two entries out of order."""
    op = nn.Delayed.from_entries(([1, 0], [0, 0], [10.0, 1.0], [5, 2]), shape=(2, 1))
    assert op.weight.tolist() == [1.0, 10.0] and op.delay.tolist() == [2, 5]


@pytest.mark.parametrize("number", [1, 5, 200, 20_000])
@pytest.mark.parametrize("n_out", [7, 20_001])
def test_multapses_with_delays_of_their_own(number, n_out):
    rng = np.random.default_rng(number)
    shape = (11, n_out)
    pre, post = (rng.integers(0, n, number) for n in (11, min(n_out, 40)))
    post = post * (n_out // 40) if n_out > 40 else post
    weight, delay = rng.integers(1, 9, number).astype(np.float32), rng.integers(0, 6, number)
    op = nn.Delayed.from_entries((pre, post, weight, delay), shape=shape, duplicates="keep")
    assert op.n_synapses == number and op.weight.dtype == jnp.float32
    expected = by_delay(pre, post, weight, delay, shape)
    np.testing.assert_array_equal(op.todense(), expected)
    # The steps themselves, and the way back into the order of the file.
    spikes = rng.random((9, 11)) < 0.5
    _, currents = jax.lax.scan(op.step, op.init_state(), jnp.asarray(spikes))
    for t, current in enumerate(currents):
        due = [spikes[t - d] @ expected[d] for d in range(min(t + 1, len(expected)))]
        np.testing.assert_array_equal(current, np.sum(due, axis=0))
    order = op.entry_order(pre, post)
    np.testing.assert_array_equal(order.to_entries(op.delay), delay)
    np.testing.assert_array_equal(order.to_entries(op.weight), weight)


def test_entries_that_are_summed_have_one_delay():
    op = nn.Delayed.from_entries((PRE, POST, WEIGHT, SAME), **SHAPE)
    np.testing.assert_array_equal(op.todense(), by_delay(PRE, POST, WEIGHT, SAME, (3, 2)))
    assert op.weight.tolist() == [10, 32, 21] and op.delay.tolist() == [1, 4, 3]
    with pytest.raises(ValueError) as caught:
        nn.Delayed.from_entries((PRE, POST, WEIGHT, DELAY), **SHAPE)
    for said in ("Delayed.from_entries", "entries 1 and 3", "delays are 0 and 1", "'keep'"):
        assert said in str(caught.value)


def test_options_of_the_operator():
    one = nn.Delayed.from_entries((PRE, POST, 0.5, DELAY), duplicates="keep", **SHAPE)
    assert one.weight.ndim == 0 and one.delay.tolist() == [0, 1, 4, 3, 2, 5]
    ours = dict(seed=3, float_as_event=True, dtype="float16", backend="reference", **SHAPE)
    init = jax.nn.initializers.normal(1.0)
    drawn = nn.Delayed.from_entries((PRE, POST, SAME), init, **ours)
    plain = nn.EventSparse((PRE, POST), init, **ours)
    assert bits(drawn.weight) == bits(plain.weight) and drawn.delay.tolist() == [1, 4, 3]
    assert (drawn.float_as_event, drawn.backend) == (True, "reference")
    common = nn.Delayed.from_entries((PRE, POST, WEIGHT, 7), **SHAPE)
    assert common.delay == 7 and common.table is None
    narrow = nn.Delayed.from_entries(
        (PRE.astype(np.int8), POST.astype(np.uint8), WEIGHT, DELAY.astype(np.uint16)),
        duplicates="keep",
        **SHAPE,
    )
    assert narrow.delay.tolist() == one.delay.tolist()
    assert nn.Delayed.from_entries(([], [], [], []), **SHAPE).n_synapses == 0


# ---- the order itself


def orders(entries, **options):
    built = build_order(entries, **options)
    return [bits(x) for x in (built.ptr, built.offsets, built.values)]


SIZES = [(1, 1), (1, 70_000), (3, 8193), (300, 5), (5, 65_537), (7, 200_003)]


@native
@pytest.mark.parametrize("n_in, n_out", SIZES)
def test_native_is_numpy(n_in, n_out, monkeypatch):
    """Whatever the number of threads and the size of the pieces, of lists and of rows that are sorted or not."""
    monkeypatch.setattr(building, "CHUNK", 4999)
    rng = np.random.default_rng(n_in)
    for n in (1, 40, 20_000):
        pre, post = (rng.integers(0, k, n) for k in (n_in, max(1, n_out // 2)))
        sort = np.lexsort((post, pre))
        indptr = np.searchsorted(pre[sort], np.arange(n_in + 1))
        for a, b, csr in (
            (pre, post, None),
            (pre[sort], post[sort], (indptr, post[sort])),
            (pre[sort], post[np.argsort(pre, kind="stable")], "unsorted"),
        ):
            csr = (indptr, b) if csr == "unsorted" else csr
            entries = building.Entries(n_in, n_out, n, listed(n_in, n_out, a, b).chunks, csr)
            expected = orders(entries, reference=True)
            for threads in (1, 2, 5):
                monkeypatch.setattr(building, "threads", lambda n=threads: n)
                assert orders(entries) == expected
            assert np.array_equal(build_order(entries).values, np.lexsort((b, a)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9000)), max_size=300))
@settings(max_examples=60)
def test_any_entries(pairs):
    pre, post = np.array(pairs, np.int64).reshape(-1, 2).T
    values = np.random.default_rng(0).normal(size=pre.size).astype(np.float32)
    for duplicates, repeated in (("keep", "same"), ("sum", "sum")):
        op = nn.EventSparse((pre, post, values), shape=(5, 9001), duplicates=duplicates)
        order = op.entry_order(pre, post)
        assert (order.n_entries, order.n_synapses) == (pre.size, op.n_synapses)
        assert np.array_equal(order.entry, np.lexsort((post, pre)))
        assert bits(order.to_synapses(values, repeated=repeated)) == bits(op.weight)
        per_entry = order.to_entries(np.asarray(op.weight))
        table = dict(zip(zip(*coordinates(op)), op.weight.tolist()))
        if duplicates == "sum":
            assert per_entry.tolist() == [table[pair] for pair in zip(pre.tolist(), post.tolist())]
        else:
            assert np.array_equal(per_entry, values)


def coordinates(op):
    rows = op.connections()
    pre = np.repeat(np.arange(op.in_size), np.diff(rows.indptr()))
    return pre.tolist(), rows.indices().tolist()


STORED = [c for c in (*SMALL, *EMPTY, *TILED) if c.conn is not None]


@pytest.mark.parametrize("case", STORED, ids=ids(STORED))
def test_every_operator_that_stores_its_synapses(case):
    """A list of them in any order, as another program may keep it."""
    op = case.make("per-synapse")
    pre, post = (np.array(x, np.int64) for x in coordinates(op))
    shuffle = np.random.default_rng(0).permutation(pre.size)
    for one in (op, nn.Delayed(op, 2)):
        order = one.entry_order(pre[shuffle], post[shuffle])
        assert order.synapse is None and order.n_synapses == op.n_synapses
        weight = order.to_entries(np.asarray(op.weight))
        assert bits(order.to_synapses(weight)) == bits(op.weight)
    # Of entries of one pair the order of the list decides; else the weights are those of their pairs.
    if np.unique(np.stack([pre, post]), axis=1).shape[1] == pre.size:
        assert np.array_equal(weight, np.asarray(op.weight)[shuffle])


# ---- what goes through it


def test_nothing_is_kept_in_the_operator():
    op = nn.EventSparse((PRE, POST, WEIGHT), duplicates="keep", **SHAPE)
    size, leaves = op.nbytes, len(jax.tree.leaves(op))
    op.entry_order(PRE, POST)
    assert (op.nbytes, len(jax.tree.leaves(op))) == (size, leaves)


def test_weights_that_are_passed_later_and_traces():
    op = nn.EventSparse((PRE, POST, 0.0), duplicates="keep", **SHAPE)
    order = op.entry_order(PRE, POST)
    weighted = op.with_weight(order.to_synapses(WEIGHT))
    made = nn.EventSparse((PRE, POST, WEIGHT), duplicates="keep", **SHAPE)
    assert bits(weighted.weight) == bits(made.weight)
    # Eligibility per synapse: the change of an entry is that of its pre and post neuron.
    post_trace = jnp.array([0.25, 0.5])
    fired = np.array([False, True, True])
    trace = op.update_on_pre(jnp.zeros(6), fired, post_trace)
    expected = fired[PRE] * np.asarray(post_trace)[POST]
    np.testing.assert_array_equal(order.to_entries(trace), expected)


def test_arrays_of_jax_stay_arrays_of_jax():
    """In and out of jit, with leading axes, and differentiable both ways."""
    op = nn.EventSparse((PRE, POST, WEIGHT), duplicates="keep", **SHAPE)
    order = op.entry_order(PRE, POST)
    stack = jnp.arange(24.0).reshape(2, 2, 6)
    there = jax.jit(lambda order, x: order.to_synapses(x))(order, stack)
    np.testing.assert_array_equal(there, stack[..., np.lexsort((POST, PRE))])
    for back in (order.to_entries(there), jax.jit(order.to_entries)(there)):
        assert isinstance(back, jax.Array)
        np.testing.assert_array_equal(back, stack)
    slope = jax.grad(lambda w: op.with_weight(order.to_synapses(w))(jnp.ones(3))[0])(
        jnp.asarray(WEIGHT)
    )
    np.testing.assert_array_equal(slope, POST == 0)
    slope = jax.grad(lambda w: order.to_entries(w)[1] * 2.0)(op.weight)
    np.testing.assert_array_equal(order.to_entries(slope), [0, 2, 0, 0, 0, 0])


@pytest.mark.parametrize("xp", [np, jnp])
def test_values_of_entries_that_are_summed(xp):
    order = nn.EventSparse((PRE, POST, WEIGHT), **SHAPE).entry_order(PRE, POST)
    sums = order.to_synapses(xp.asarray(WEIGHT), repeated="sum")
    assert sums.tolist() == [10, 32, 21] and sums.dtype == np.float32
    assert order.to_synapses(xp.asarray(SAME)).tolist() == [1, 4, 3]
    nan = np.where(SAME == 3, np.nan, 1.0).astype(np.float32)
    assert np.isnan(order.to_synapses(xp.asarray(nan))).tolist() == [False, False, True]
    assert order.to_entries(xp.asarray([1, 2, 3])).tolist() == [3, 1, 3, 1, 3, 2]
    with pytest.raises(ValueError, match="entries 1 and 3 .*values are 0 and 1.*'keep'"):
        order.to_synapses(xp.stack([xp.asarray(SAME), xp.asarray(DELAY)]))
    # One number for all, as a weight or a delay may be.
    assert order.to_entries(xp.asarray(7)).tolist() == [7] * 6
    assert order.to_synapses(xp.asarray(7)).tolist() == [7] * 3
    add = functools.partial(order.to_synapses, repeated="sum")
    assert jax.jit(add)(jnp.asarray(WEIGHT)).tolist() == [10, 32, 21]
    # Bytes are added without a wrap; 16 bits once, after a sum in 64.
    assert add(np.full(6, 100, np.int8)).tolist() == [200, 100, 300]
    assert add(xp.asarray([1, 1, 2**-11, 1, 2**-11, 1], dtype="float16")).tolist() == [
        2,
        1,
        1 + 2**-10,
    ]


# ---- what is refused

OP = nn.EventSparse((PRE, POST, WEIGHT), **SHAPE)
KEPT = nn.EventSparse((PRE, POST, WEIGHT), duplicates="keep", **SHAPE)
ORDER, SUMMED = KEPT.entry_order(PRE, POST), OP.entry_order(PRE, POST)
FROM = nn.Delayed.from_entries
REFUSED = {
    "four": (
        lambda: nn.EventSparse((PRE, POST, WEIGHT, DELAY), **SHAPE),
        TypeError,
        ["tuple of 4", "Delayed.from_entries"],
    ),
    "three": (lambda: FROM((PRE, POST, DELAY), **SHAPE), TypeError, ["a tuple of 3", "conn_weight"]),
    "matrix": (lambda: FROM(np.eye(2)), TypeError, ["(pre, post, weight, delay)"]),
    "swapped": (lambda: FROM((PRE, POST, SAME, WEIGHT), **SHAPE), TypeError, ["whole steps"]),
    "length": (lambda: FROM((PRE, POST, WEIGHT, DELAY[1:]), **SHAPE), ValueError, ["(5,)", "pre of shape (6,)"]),
    "negative": (lambda: FROM((PRE, POST, WEIGHT, -DELAY), **SHAPE), ValueError, ["-5 steps"]),
    "no shape": (lambda: FROM((PRE, POST, WEIGHT, DELAY)), TypeError, ["shape=(in_size, out_size)"]),
    "traced": (
        lambda: jax.jit(lambda d: FROM((PRE, POST, WEIGHT, d), **SHAPE).delay)(DELAY),
        TypeError,
        ["Delayed.from_entries: delay is traced"],
    ),
    "other pairs": (
        lambda: OP.entry_order(PRE, 1 - POST),
        ValueError,
        ["EventSparse.entry_order: 6 entries of 3 pairs are not the 3 synapses"],
    ),
    "fewer": (lambda: OP.entry_order(PRE[1:], POST[1:]).entry, None, []),
    "too few": (lambda: OP.entry_order(PRE[:5], POST[:5]), ValueError, ["5 entries of 2 pairs"]),
    "some repeated": (
        lambda: KEPT.entry_order(PRE[1:], POST[1:]),
        ValueError,
        ["5 entries of 3 pairs are not the 6 synapses"],
    ),
    "outside": (lambda: OP.entry_order(PRE + 1, POST), ValueError, ["pre index 3"]),
    "unequal": (lambda: OP.entry_order(PRE, POST[1:]), ValueError, ["6 pre, 5 post"]),
    "dense": (
        lambda: nn.EventLinear(3, 2, 1.0).entry_order(PRE, POST),
        TypeError,
        ["EventLinear.entry_order", "weight[pre, post]"],
    ),
    "procedural": (
        lambda: nn.EventFixedProb(3, 2, 1.0, 1.0, storage="procedural").entry_order(PRE, POST),
        TypeError,
        ["EventFixedProb.entry_order", "storage='sparse'"],
    ),
    "traced operator": (
        lambda: jax.jit(lambda op: op.entry_order(PRE, POST).entry)(OP),
        TypeError,
        ["operator is traced"],
    ),
    "traced list": (
        lambda: jax.jit(lambda pre: OP.entry_order(pre, POST).entry)(PRE),
        TypeError,
        ["pre is traced"],
    ),
    "values": (lambda: ORDER.to_synapses(WEIGHT[1:]), ValueError, ["(5,)", "6 entries"]),
    "per synapse": (lambda: SUMMED.to_synapses(OP.weight), ValueError, ["(3,)", "6 entries"]),
    "per entry": (lambda: SUMMED.to_entries(WEIGHT), ValueError, ["(6,)", "3 synapses"]),
    "repeated": (lambda: ORDER.to_synapses(WEIGHT, repeated="max"), ValueError, ["'max'", "'sum'"]),
    "traced values": (
        lambda: jax.jit(SUMMED.to_synapses)(WEIGHT),
        TypeError,
        ["EntryOrder.to_synapses", "repeated='sum'", "'keep'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, fragments = REFUSED[name]
    if error is None:  # a part of what was summed is still all of the pairs
        assert call() is not None
        return
    with pytest.raises(error) as caught:
        call()
    for fragment in fragments:
        assert fragment in str(caught.value), str(caught.value)


def test_a_column_of_a_table_is_refused_where_the_stored_order_counts():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(dict(pre=PRE, post=POST, weight=WEIGHT, delay=DELAY))
    for call in (
        lambda: nn.Delayed(KEPT, table.delay),
        lambda: KEPT.with_weight(table.weight),
        lambda: nn.EventFixedProb(3, 2, 1.0, table.weight),
        lambda: nn.EventFixedNumConn(3, 2, 2, table.weight),
        lambda: KEPT.update_on_pre(table.weight, np.ones(3, bool), np.ones(2)),
        lambda: KEPT.update_on_post(table.weight, np.ones(2, bool), np.ones(3)),
    ):
        with pytest.raises(TypeError, match="a column of a table .*entry_order.*to_numpy"):
            call()
    # With their pairs columns are what is wanted; and in the stored order they can be passed as arrays.
    op = nn.Delayed.from_entries(
        (table.pre, table.post, table.weight, table.delay), duplicates="keep", **SHAPE
    )
    ordered = table.sort_values(["pre", "post"], kind="stable")
    assert op.delay.tolist() == nn.Delayed(KEPT, ordered.delay.to_numpy()).delay.tolist()
    assert bits(op.with_weight(ordered.weight.to_numpy()).weight) == bits(op.weight)


def test_a_sharded_operator_is_gathered_first():
    mesh = jax.make_mesh((1,), ("x",))
    op = nn.sharded(nn.EventFixedNumConn, mesh, "x")(4, 6, 2, 0.5)
    pre, post = coordinates(op.gathered())
    with pytest.raises(TypeError, match=r"gathered\(\)"):
        op.entry_order(pre, post)
    assert op.gathered().entry_order(pre, post).n_synapses == 8
