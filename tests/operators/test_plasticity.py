"""Weight updates: equal to the dense update within the bound, in place, event-driven, and refused where unclear."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import BACKENDS, SMALL, TILED, active, bits, case, ids, native, run_python, typed

import eventops as nn
from eventops.bench.verify import oracle
from eventops.primitives import updates
from eventops.rows import columns

CASES = SMALL + TILED
SIDES = ("pre", "post")


def half_up(weight, change):
    """A rule of the user's: goes half of the way to 1, times the change."""
    return weight + 0.5 * change * (1 - weight)


@dataclasses.dataclass
class Update:
    """The arguments of an update, and what float64 makes of them."""

    op: object
    side: str
    weight: np.ndarray
    spikes: np.ndarray
    trace: np.ndarray
    options: dict

    def __call__(self, op=None, weight=None):
        method = getattr(op or self.op, f"update_on_{self.side}")
        weight = self.weight if weight is None else weight
        return method(weight, self.spikes, self.trace, **self.options)

    def places(self):
        """The neuron that fires and its partner, of each weight."""
        if self.op.rows is None:
            pre, post = np.indices((self.op.in_size, self.op.out_size))
        else:
            pre = np.repeat(np.arange(self.op.in_size), np.diff(self.op.rows.indptr()))
            post = self.op.rows.indices()
        return (pre, post) if self.side == "pre" else (post, pre)

    def exact(self) -> oracle.Exact:
        line, partner = self.places()
        w, s, t = (x.astype(np.float64) for x in (self.weight, self.spikes, self.trace))
        w, s, t = w.reshape(line.shape), s[line], t[partner]
        x = s * t
        low, high = (self.options.get(name) for name in ("low", "high"))
        rule, terms = self.options.get("rule", "additive"), 2
        if rule == "soft":
            distance = np.where(x > 0, high - w, w - low)
            # w, then the change times a difference of two: each of its parts is rounded three times more.
            new, size, terms = (
                w + x * distance,
                np.abs(w) + np.abs(x) * (np.abs(w) + max(abs(low), abs(high))),
                4,
            )
        elif rule == "additive":
            new, size = w + x, np.abs(w) + np.abs(x)
        else:
            new, size, terms = (
                w + 0.5 * x * (1 - w),
                np.abs(w) + 0.5 * np.abs(x) * (1 + np.abs(w)),
                4,
            )
        new = np.clip(new, low, high) if low is not None or high is not None else new
        fired = s != 0
        return oracle.Exact(
            np.where(fired, new, w), np.where(fired, size, 0), np.where(fired, terms, 0)
        )


def make(op, side, *, spikes="bool", dtype="float32", pattern=5, seed=0, **options) -> Update:
    rng = np.random.default_rng(seed)
    n = (op.in_size, op.out_size) if side == "pre" else (op.out_size, op.in_size)
    weight = rng.normal(size=op._weight_shape()).astype(jnp.dtype(dtype))
    trace = rng.normal(size=n[1]).astype(np.float64 if dtype == "float64" else np.float32)
    return Update(op, side, weight, typed(active(n[0]), spikes)[pattern], trace, options)


def assert_update(update: Update, new) -> None:
    new = np.asarray(new)
    assert new.dtype == update.weight.dtype and new.shape == update.weight.shape
    worst, at = oracle.worst_ratio(new, update.exact())
    assert worst <= 1, f"{update.op!r} {update.side} {update.options}: error/bound {worst} at {at}"


OPTIONS = (
    {},
    {"low": -0.5, "high": 0.75},
    {"low": -1.0, "high": 2.0, "rule": "soft"},
    {"high": 0.5, "rule": half_up},
)


@functools.cache
def made(case):
    return case.make(0.5)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_equals_the_dense_update(case, side):
    """Every operator and pattern of spikes; each backend in turn."""
    op = made(case)
    for pattern in range(6):
        update = make(op, side, pattern=pattern, low=-0.5, high=0.75)
        assert_update(update, update())
    if case.has_backend and case not in TILED:
        slow = object.__new__(type(op))  # the same graph, not drawn again
        slow.__dict__.update(op.__dict__, backend="reference")
        assert_update(update, update(slow))


# One of each kind, several tiles, multapses.
SOME = [c for c in SMALL if c.n_in in (131, 63, 17, 31)] + [TILED[0], TILED[3]]


@pytest.mark.parametrize(
    "options", OPTIONS[::2] + OPTIONS[3:], ids=lambda o: str(o.get("rule"))[:9]
)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("case", SOME, ids=ids(SOME))
def test_rules(case, side, options):
    op = made(case)
    for pattern in (1, 4):
        update = make(op, side, pattern=pattern, spikes="float32", **options)
        assert_update(update, update())


TYPES = (
    ("float16", "bool"),
    ("float16", "float16"),
    ("bfloat16", "int8"),
    ("bfloat16", "bfloat16"),
    ("float32", "uint8"),
    ("float32", "float64"),
    ("float64", "bool"),
    ("float64", "float32"),
)


@pytest.mark.x64
@pytest.mark.parametrize("dtype, spikes", TYPES)
@pytest.mark.parametrize("kind", ["rows", "dense"])
@pytest.mark.parametrize("side", SIDES)
def test_dtypes(side, kind, dtype, spikes):
    updates = [make(OPS[kind](b), side, spikes=spikes, dtype=dtype, **OPTIONS[2]) for b in BACKENDS]
    updates.append(make(OPS[kind](), side, spikes=spikes, dtype=dtype, **OPTIONS[3]))
    for update in updates:
        assert_update(update, update())


OPS = {
    "rows": lambda backend=None: nn.EventFixedNumConn(37, 41, 9, 0.5, backend=backend),
    "dense": lambda backend=None: nn.EventLinear(37, 41, 0.5, backend=backend),
}
KINDS = tuple(OPS)


# The column index.


@pytest.mark.parametrize("case", [c for c in CASES if c.conn is not None], ids=lambda c: c.id)
def test_columns(case):
    """Every synapse once, by post and then by pre neuron; native and NumPy the same."""
    rows = made(case).rows
    index = columns.make(rows)
    same = columns.make(rows, reference=True)
    assert jax.tree.all(jax.tree.map(lambda a, b: bits(a) == bits(b), index, same))
    position = np.asarray(index.position)
    pre, post = np.repeat(np.arange(rows.n_in), np.diff(rows.indptr())), rows.indices()
    assert np.array_equal(np.sort(position), np.arange(rows.n_synapses))
    order = np.lexsort((np.arange(rows.n_synapses), post))
    assert np.array_equal(position, order)
    assert np.array_equal(
        np.diff(index.ptr).reshape(rows.n_out, -1).sum(1), np.bincount(post, minlength=rows.n_out)
    )
    assert np.array_equal(index.offsets, pre[position] % index.tile)


def test_columns_of_many_pre_neurons():
    """More than 16 bits can name."""
    op = nn.EventFixedNumConn(70_001, 13, 2, 0.5, seed=2)
    assert columns.make(op.rows).n_tiles == 2
    update = make(op, "post")
    assert_update(update, update())
    assert bits(columns.make(op.rows).ptr) == bits(columns.make(op.rows, reference=True).ptr)


def test_the_column_index_is_made_once_and_counted():
    op = OPS["rows"]()
    size = op.nbytes
    update = make(op, "post")
    update()
    made = op.rows.made_columns
    assert op.nbytes == size + made.nbytes == size + sum(a.nbytes for a in jax.tree.leaves(made))
    update()
    op.with_weight(jnp.zeros(op.n_synapses)).update_on_post(
        update.weight, update.spikes, update.trace
    )
    assert op.rows.made_columns is made
    # The operator is what it was: its structure has not changed. The other has the index as leaves.
    assert len(jax.tree.leaves(op)) == 3 and len(jax.tree.leaves(op.with_columns())) == 6
    assert op.with_columns().rows.columns is made and op.with_columns().nbytes == op.nbytes
    assert bits(op.with_columns().todense()) == bits(op.todense())


def test_a_function_that_closes_over_the_operator_makes_the_index():
    op = OPS["rows"]()
    update = make(op, "post")
    assert_update(update, jax.jit(lambda w: update(weight=w))(update.weight))


# Transformations.


@pytest.mark.parametrize("options", OPTIONS[1::2], ids=["additive", "function"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_vmap_equals_a_loop(kind, side, options):
    """Over weights, over spikes (which then have a set of weights each), over all, and nested."""
    op = OPS[kind]().with_columns()
    one = make(op, side, **options)
    n = one.spikes.size
    w = np.stack([make(op, side, seed=k).weight for k in range(3)])
    s = active(n)[3:6]
    t = np.stack([make(op, side, seed=k).trace for k in range(3)])
    method = functools.partial(getattr(op, f"update_on_{side}"), **options)
    for axes in ((0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0)):
        mapped = [
            x if a is None else stack
            for a, x, stack in zip(axes, (one.weight, s[2], t[0]), (w, s, t))
        ]
        got = jax.jit(jax.vmap(method, axes))(*mapped)
        loop = [method(*(x if a is None else x[k] for a, x in zip(axes, mapped))) for k in range(3)]
        assert bits(got) == bits(jnp.stack(loop))
    nested = jax.vmap(jax.vmap(method, (0, None, None)), (None, 0, 0))(w, s, t)
    assert nested.shape == (3, *w.shape)
    assert bits(nested[1, 2]) == bits(method(w[2], s[1], t[1]))


def test_vmap_of_bounds():
    op = OPS["rows"]()
    u = make(op, "pre", pattern=1)
    high = jnp.array([0.0, 0.5])
    got = jax.vmap(lambda h: op.update_on_pre(u.weight, u.spikes, u.trace, high=h))(high)
    assert got.max(axis=1).tolist() == [0.0, 0.5]


@pytest.mark.parametrize("options", OPTIONS[2:], ids=["soft", "function"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_scan_equals_steps(kind, side, options):
    op = OPS[kind]().with_columns()
    u = make(op, side, **options)
    stack = active(u.spikes.size, 7)[2:]

    def step(op, w, s):
        return getattr(op, f"update_on_{side}")(w, s, u.trace, **options)

    got = jax.jit(lambda op, w, ss: jax.lax.scan(lambda w, s: (step(op, w, s), None), w, ss)[0])(
        op, u.weight, stack
    )
    weight = u.weight
    for s in stack:
        weight = step(op, weight, s)
    assert bits(got) == bits(weight)


@native
@pytest.mark.parametrize("rule", ["additive", half_up], ids=["additive", "function"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_scan_copies_no_weights(kind, side, rule):
    """Neither a donated buffer nor the carry of a scan is copied: temporaries stay far below the weights."""
    make_op = {
        "rows": lambda: nn.EventFixedNumConn(500, 500, 400, 0.5),
        "dense": lambda: nn.EventLinear(500, 500, 0.5),
    }
    op = make_op[kind]().with_columns()
    u = make(op, side)
    method = lambda op, w, s: getattr(op, f"update_on_{side}")(w, s, u.trace, rule=rule)  # noqa: E731
    once = jax.jit(method, donate_argnums=1)
    steps = jax.jit(
        lambda op, w, ss: jax.lax.scan(lambda w, s: (method(op, w, s), None), w, ss)[0],
        donate_argnums=1,
    )
    for program, spikes in ((once, u.spikes), (steps, active(500))):
        memory = program.lower(op, u.weight, spikes).compile().memory_analysis()
        assert memory.alias_size_in_bytes == u.weight.nbytes
        assert memory.temp_size_in_bytes < u.weight.nbytes / 8
    # Without donation the argument stays what it was.
    weight = jnp.asarray(u.weight)
    jax.jit(method)(op, weight, u.spikes)
    assert bits(weight) == bits(u.weight)


@native
def test_a_function_sees_the_touched_synapses_only():
    """As many chunks as hold them."""
    turns = []
    op = nn.EventFixedNumConn(100, 9000, 3000, 0.5)
    rule = lambda w, x: jax.debug.callback(lambda: turns.append(1)) or w + x  # noqa: E731
    for count, expected in (
        (0, 1),
        (1, -(-3000 // updates.CHUNK)),
        (10, -(-30_000 // updates.CHUNK)),
    ):
        turns.clear()
        spikes = np.arange(100) < count
        jax.block_until_ready(
            op.update_on_pre(jnp.zeros(300_000), spikes, np.ones(9000), rule=rule)
        )
        jax.effects_barrier()
        assert len(turns) == expected
    assert len(jax.tree.leaves(op)) == 3


@pytest.mark.x64
@pytest.mark.parametrize(
    "backend, rule",
    [(None, "additive"), (None, "soft"), ("reference", half_up)],
    ids=["additive", "soft", "function"],
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", SIDES)
def test_derivatives(kind, side, backend, rule):
    """In weights, spikes, traces and a bound at once, both modes, against differences."""
    op = OPS[kind](backend).with_columns()
    u = make(op, side, spikes="float64", dtype="float64")

    def loss(w, s, t, high):
        new = getattr(op, f"update_on_{side}")(w, s, t, low=-1.5, high=high, rule=rule)
        return jnp.sum(jnp.sin(new))

    at = u.weight, u.spikes, u.trace, np.float64(1.0)
    rng = np.random.default_rng(3)
    along = [rng.normal(size=x.shape) for x in at]
    along[1] = np.where(
        u.spikes != 0, along[1], 0
    )  # between an event and silence an update may jump
    grads = jax.jit(jax.grad(loss, (0, 1, 2, 3)))(*at)
    slope = sum(float(np.sum(g * d)) for g, d in zip(grads, along))
    value = jax.jit(loss)
    up, down = (value(*(x + h * d for x, d in zip(at, along))) for h in (1e-6, -1e-6))
    assert slope == pytest.approx(float(up - down) / 2e-6, rel=1e-5, abs=1e-6)
    tangent = jax.jit(lambda *x: jax.jvp(loss, x, tuple(along))[1])(*at)
    assert float(tangent) == pytest.approx(slope, rel=1e-9)
    # The derivative in the spikes is dense, as a product's is.
    assert callable(rule) or np.any(np.asarray(grads[1])[u.spikes == 0])


@native
def test_a_function_has_no_derivative_in_a_loop():
    op = OPS["rows"]()
    u = make(op, "pre", rule=half_up)
    with pytest.raises(NotImplementedError, match="(?s)no derivative.*backend='reference'"):
        jax.grad(lambda w: jnp.sum(u(weight=w)))(jnp.asarray(u.weight))


def test_silent_neurons_keep_their_weights():
    """Whatever they and their traces are; limits are no business of theirs."""
    for kind in KINDS:
        for backend in BACKENDS:
            op = OPS[kind](backend)
            for side in SIDES:
                u = make(op, side, pattern=4, low=-0.1, high=0.1)
                line, _ = u.places()
                silent = ~u.spikes[line]
                u.weight[silent] = np.where(np.arange(silent.sum()) % 2, np.nan, 9.0)
                assert bits(np.asarray(u())[silent]) == bits(u.weight[silent])
                u.spikes[:] = False
                u.trace[:] = np.nan
                assert bits(u()) == bits(u.weight)


def test_float_as_event_counts_events():
    op = nn.EventFixedNumConn(4, 3, 2, 0.5, float_as_event=True)
    s = jnp.array([0.0, -3.0, 0.5, 0.0])
    w = jnp.zeros(op.n_synapses)
    assert op.update_on_pre(w, s, jnp.ones(3)).tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    op = nn.EventFixedNumConn(4, 3, 2, 0.5)
    assert op.update_on_pre(w, s, jnp.ones(3)).tolist() == [0, 0, -3, -3, 0.5, 0.5, 0, 0]


@pytest.mark.parametrize("kind", ["EventLinear", "EventFixedNumConn"])
@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_empty(kind, sizes):
    op = case(kind, *sizes, None if kind == "EventLinear" else 0).make(0.5)
    for side in SIDES:
        u = make(op, side, pattern=1)
        assert u().shape == u.weight.shape
    assert op.with_columns().n_synapses == 0


def test_no_synapses():
    op = nn.EventFixedNumConn(5, 4, 0, 0.5).with_columns()
    assert op.update_on_post(jnp.zeros(0), jnp.ones(4, bool), jnp.ones(5)).shape == (0,)
    assert nn.EventLinear(2, 2, 0.5).with_columns().nbytes == 4


# What is refused.

OP = nn.EventFixedNumConn(4, 6, 2, 0.5)
W, S, T = np.ones(8, np.float32), np.ones(4, bool), np.ones(6, np.float32)
REFUSED = {
    "homogeneous": (
        lambda: OP.update_on_pre(0.5, S, T),
        ValueError,
        r"update_on_pre: a weight of shape \(\).*jnp.full\(\(8,\)",
    ),
    "weights": (lambda: OP.update_on_pre(W[:7], S, T), ValueError, r"shape \(7,\).*\(8,\)"),
    "matrix": (
        lambda: OP.update_on_pre(np.ones((4, 6)), S, T),
        ValueError,
        r"shape \(4, 6\).*\(8,\)",
    ),
    "whole weights": (lambda: OP.update_on_pre(W.astype(int), S, T), TypeError, "int32.*float32"),
    "no weights": (lambda: OP.update_on_pre(None, S, T), TypeError, "weight=None"),
    "batch": (
        lambda: OP.update_on_pre(W, np.ones((3, 4), bool), T),
        ValueError,
        r"pre_spikes of shape \(3, 4\) is a batch.*vmap",
    ),
    "batch of traces": (
        lambda: OP.update_on_pre(W, S, np.ones((3, 6))),
        ValueError,
        r"post_trace of shape \(3, 6\) is a batch",
    ),
    "exchanged": (
        lambda: OP.update_on_pre(W, T, S),
        ValueError,
        r"pre_spikes of shape \(6,\).*use shape \(4,\)",
    ),
    "post": (
        lambda: OP.update_on_post(W, S, T),
        ValueError,
        r"update_on_post: post_spikes of shape \(4,\).*\(6,\)",
    ),
    "complex": (lambda: OP.update_on_pre(W, S * 1j, T), TypeError, "pre_spikes must be bool"),
    "complex trace": (lambda: OP.update_on_pre(W, S, T * 1j), TypeError, "post_trace must be"),
    "low above high": (
        lambda: OP.update_on_pre(W, S, T, low=2, high=1),
        ValueError,
        "low=2.0.*high=1.0",
    ),
    "nan bound": (lambda: OP.update_on_pre(W, S, T, low=np.nan), ValueError, "low=nan"),
    "array bound": (
        lambda: OP.update_on_pre(W, S, T, high=T),
        ValueError,
        "high=.*one real number",
    ),
    "text bound": (lambda: OP.update_on_pre(W, S, T, high="1"), TypeError, "high='1'"),
    "rule": (
        lambda: OP.update_on_pre(W, S, T, rule="hard"),
        ValueError,
        "rule='hard'.*'additive' or 'soft'",
    ),
    "soft without bounds": (
        lambda: OP.update_on_pre(W, S, T, high=1, rule="soft"),
        ValueError,
        "both bounds",
    ),
    "function of shape": (
        lambda: OP.update_on_pre(W, S, T, rule=lambda w, x: jnp.sum(w)),
        TypeError,
        r"rule\(weight, change\)",
    ),
    "function of bool": (
        lambda: OP.update_on_pre(W, S, T, rule=lambda w, x: w > x),
        TypeError,
        "floating",
    ),
    "traced without index": (
        lambda: jax.jit(lambda op: op.update_on_post(W, T, S))(OP),
        TypeError,
        r"op = op.with_columns\(\)",
    ),
    "index inside": (
        lambda: jax.jit(lambda op: op.with_columns())(OP),
        TypeError,
        "has no column index",
    ),
    "procedural": (
        lambda: nn.EventFixedNumConn(4, 6, 2, 0.5, storage="procedural").update_on_pre(W, S, T),
        TypeError,
        "storage='sparse'",
    ),
    "sharded": (
        lambda: nn.sharded(nn.EventFixedNumConn, jax.make_mesh((1,), ("x",)), "x")(
            4, 6, 2, 0.5
        ).update_on_pre(W, S, T),
        TypeError,
        "Sharded.update_on_pre: a sharded operator",
    ),
    "graphs under vmap": (
        lambda: jax.vmap(lambda op: op.update_on_pre(W, S, T))(
            jax.tree.map(lambda a: jnp.stack([a, a]), OP)
        ),
        NotImplementedError,
        "vmap over the connectivity",
    ),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_refused(problem):
    call, error, message = REFUSED[problem]
    with pytest.raises(error, match=f"(?s){message}"):
        call()


# Threads.

THREADS = """
import os
import jax, jax.numpy as jnp, numpy as np, hashlib
import eventops as nn
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for op in (nn.EventFixedNumConn(3000, 20_000, 300, 0.5), nn.EventLinear(1000, 1500, 0.5)):
    w = jnp.asarray(rng.normal(size=op._weight_shape()), jnp.float32)
    for _ in range(3):
        s, t = rng.random(op.in_size) < 0.3, rng.normal(size=op.out_size).astype(np.float32)
        w = op.update_on_pre(w, s, t, low=-1.0, high=1.0, rule="soft")
        s, t = rng.random(op.out_size) < 0.3, rng.normal(size=op.in_size).astype(np.float32)
        w = op.update_on_post(w, s, t, low=-1.0, high=1.0, rule="soft")
    digest.update(np.asarray(w).tobytes())
print("BITS", len(os.sched_getaffinity(0)), digest.hexdigest())
"""


@native
def test_bits_do_not_depend_on_the_number_of_threads():
    """XLA makes as many threads as there are processors to run on."""
    pin = "import os; os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{}])\n"
    found = {}
    for n in (1, 2):
        done = run_python(pin.format(n) + THREADS)
        assert done.returncode == 0, done.stderr[-2000:]
        _, threads, digest = done.stdout.split()
        found[threads] = digest
    assert len(set(found.values())) == 1
