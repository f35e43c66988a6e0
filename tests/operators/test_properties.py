"""Whole operators at random (hypothesis): any rule, size, option, dtype, batch and spikes, against the float64 oracle.

Nearly all the time goes into XLA's compiler, so each operator is called with four draws of weights and spikes.
``HYPOTHESIS_PROFILE=nightly`` makes 20,000 examples in place of 200, ``long`` 2,000.
"""

import functools
import itertools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from support.cases import assert_product, bits, case

from eventops.bench.verify import oracle
from eventops.core import loader

pytestmark = pytest.mark.unoptimized
# Few enough that most programs are compiled once: 0, 1, prime, and around words and vectors.
SIZES = st.sampled_from([0, 1, 2, 7, 16, 31, 33, 64, 101])
MANY = {"nightly": 20_000, "long": 2_000}.get(hypothesis.settings.get_current_profile_name(), 200)
DRAWS = 4  # of weights and spikes, for each operator
KEPT = 200  # operators whose programs are kept: JAX keeps them all, which is a gigabyte after 500


KINDS = (
    "EventLinear",
    "EventFixedProb",
    "EventFixedNumConn",
    "FixedNumConn",
    "EventFixedTotalNum",
    "EventSparse",
)


@st.composite
def operators(draw):
    """A case of the table's kind with weights, and the options that its rule allows."""
    kind = draw(st.sampled_from(KINDS))
    n_in = draw(SIZES)
    drawn = kind not in ("EventLinear", "EventSparse")
    options = {"seed": draw(st.integers(0, 3))} if drawn else {}
    conn = None
    if drawn and n_in > 0 and draw(st.booleans()):
        n_out, options["allow_self_conn"] = n_in, False
    else:
        n_out = draw(SIZES)
    if kind == "EventFixedProb":
        conn = draw(st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.9, 1.0]))
    elif kind == "EventSparse":
        options["duplicates"] = draw(st.sampled_from(["sum", "keep"]))
        most = min(300, n_in * n_out)
        conn = draw(st.sampled_from([0, min(1, most), most // 3, most]))
    elif kind == "EventFixedTotalNum":
        multi = options["allow_multi_conn"] = draw(st.booleans())
        pairs = n_in * (n_out - (options.get("allow_self_conn") is False))
        most = 2 * pairs if multi else pairs
        conn = draw(st.sampled_from([0, min(1, most), most // 3, most]))
    elif kind != "EventLinear":
        target = options["efferent_target"] = draw(st.sampled_from(["post", "pre"]))
        some = [0.4] if n_in != 1 else []  # which would round to none, and is refused
        ratio = options["afferent_ratio"] = draw(st.sampled_from([0.0, *some, 1.0]))
        multi = options["allow_multi_conn"] = draw(st.booleans())
        pool = n_out if target == "post" else int(np.floor(ratio * n_in + 0.5))
        pool -= options.get("allow_self_conn") is False
        conn = (
            0
            if pool <= 0
            else draw(st.sampled_from([0, 1, pool // 3, pool, 2 * pool if multi else 1]))
        )
    procedural = drawn and options.get("efferent_target") != "pre" and draw(st.booleans())
    if procedural:
        options["storage"] = "procedural"
    homogeneous = procedural or draw(st.booleans())
    dtype = draw(st.sampled_from(["float32", "float16", "bfloat16"]))
    backend = draw(st.sampled_from([None, None, "reference"]))
    return case(kind, n_in, n_out, conn, **options), homogeneous, dtype, backend


@functools.lru_cache(maxsize=16)
def make(described, homogeneous, dtype, backend):
    return described.make("scalar" if homogeneous else "per-synapse", dtype, backend)


def weights(op, rng) -> jax.Array:
    """Numbers of both signs and many magnitudes, whose sums round."""
    shape = op.weight.shape
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 3, shape)
    return jnp.asarray(np.asarray(values, op.dtype))


# Programs of their own: of two that compute the same XLA would make one.
@jax.jit
def product(op, spikes):
    return op(spikes)


@jax.jit
def mapped(op, spikes):
    return jax.vmap(op)(spikes)


@jax.jit
def cotangent_of_spikes(op, spikes, cotangent):
    return jax.vjp(op, spikes)[1](cotangent)[0]


NUMBER = itertools.count(1)
# Found by the nightly run: two synapses of one pair, whose sum float16 rounds.
REPEATS = case(
    "EventFixedNumConn",
    7,
    7,
    2,
    seed=0,
    allow_self_conn=False,
    efferent_target="pre",
    afferent_ratio=0.4,
    allow_multi_conn=True,
)
# Found by the nightly run: a vector that is drawn in one piece alone, and in two in a batch.
SHARED = case("EventFixedTotalNum", 101, 101, 10100, allow_self_conn=False, storage="procedural")


@hypothesis.settings(max_examples=MANY)
@hypothesis.example(
    (REPEATS, False, "float16", None), "bool", (), [(0.0, seed) for seed in range(DRAWS)]
)
@hypothesis.example(
    (case("EventLinear", 16, 16), False, "float32", "reference"), "bool", (17,), [(0.3, 1)]
)
@hypothesis.example((SHARED, True, "float32", None), "bool", (17,), [(0.3, 1)])
@hypothesis.given(
    operators(),
    st.sampled_from(["bool", "int8", "uint8", "float32", "float16"]),
    st.sampled_from([(), (1,), (5,), (2, 3), (0,), (17,)]),
    st.lists(
        st.tuples(st.sampled_from([0.02, 0.3, 1.0, 0.0]), st.integers(0, 2**32 - 1)),
        min_size=DRAWS,
        max_size=DRAWS,
    ),
)
def test_products_and_cotangents(operator, kind, batch, draws):
    if next(NUMBER) % KEPT == 0:
        jax.clear_caches()
    for rate, seed in draws:
        rng = np.random.default_rng(seed)
        op = make(*operator)
        op = op.with_weight(weights(op, rng))
        shape = (*batch, op.in_size)
        values = rng.integers(0 if kind[0] == "u" else -5, 6, shape) if kind != "bool" else 1
        values = np.where(rng.random(shape) < rate, values, 0)
        spikes = (values / 4 if "float" in kind else values).astype(jnp.dtype(kind))
        check(op, spikes, rng)


def check(op, spikes, rng):
    """The product, and those of a loop and of vmap, or the cotangent of the spikes."""
    *batch, _ = spikes.shape
    out = product(op, spikes)
    # Floating spikes that are wider than the weights widen the result.
    floating = jnp.issubdtype(spikes.dtype, jnp.floating)
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.promote_types(op.dtype, spikes.dtype) if floating else op.dtype
    assert_product(op, spikes, out, dtype)
    assert out.shape == (*batch, op.out_size)
    # A batch, a loop and vmap give the same bits. Of the reference XLA decides how a batch is summed; and vectors that
    # share the rows they draw are cut into the same pieces, however few of them are a vector's own.
    if len(batch) == 1 and batch[0]:
        out, last = np.asarray(out), product(op, spikes[-1])
        kernel = op.backend != "reference" and not loader.unavailable()
        shared = op.rows is None and op.graph is not None
        for given, one, same, exactly in (
            (spikes, mapped(op, spikes), out, kernel),
            (spikes[-1], last, out[-1], kernel and not shared),
        ):
            if exactly:
                assert bits(one) == bits(same)
            else:
                assert_product(op, given, one, dtype)
    if not batch:
        cotangent = rng.normal(size=op.out_size).astype(op.dtype)
        found = cotangent_of_spikes(op, spikes.astype(op.dtype), cotangent)
        worst, at = oracle.worst_ratio(found, oracle.spike_cotangent(op, cotangent))
        assert worst <= 1, f"{op!r}: error/bound {worst} at input {at}"
