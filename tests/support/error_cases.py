"""What the operators refuse: the call, the exception, and what its message must contain."""

import ast
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eventops as nn

LINEAR = nn.EventLinear
PROB = nn.EventFixedProb
NUM = nn.EventFixedNumConn
TOTAL = nn.EventFixedTotalNum
DISTANCE = nn.EventDistanceProb
LAWS = nn.weights
NEAR = nn.profiles.Gaussian(0.5, 3.0)
TOO_BIG = 2**31


def traced(function, argument=0.5):
    """The call inside jit, with its argument traced."""
    return lambda: jax.jit(function)(argument)


def row(name, call, error, *fragments):
    return pytest.param(call, error, fragments, id=name)


ONES = np.ones(4, np.float32)
OP = NUM(4, 6, 2, 0.5)
LATE = nn.Delayed(OP, 3)
SQUARE = LINEAR(3, 3, np.ones((3, 3), np.float32))

SIZES = (
    row(
        "negative",
        lambda: LINEAR(-1, 2, 0.5),
        ValueError,
        "EventLinear",
        "in_size=-1",
        "[0, 2**31)",
    ),
    row("huge", lambda: PROB(TOO_BIG, 2, 0.5, 1.0), ValueError, "EventFixedProb", str(TOO_BIG)),
    row("huge out", lambda: NUM(2, 2**40, 1, 1.0), ValueError, "EventFixedNumConn", str(2**40)),
    row("float", lambda: NUM(2.0, 2, 1, 1.0), TypeError, "in_size=2.0", "integer", "float"),
    row("bool", lambda: NUM(2, True, 1, 1.0), TypeError, "out_size=True", "integer"),
    row("none", lambda: nn.Linear(None, 2, 1.0), TypeError, "Linear", "in_size=None", "integer"),
    row("tuple", lambda: NUM((2, 3), 2, 1, 1.0), TypeError, "in_size=(2, 3)", "math.prod"),
    row("text", lambda: NUM("4", 2, 1, 1.0), TypeError, "in_size='4'", "integer"),
    row(
        "traced",
        traced(lambda n: LINEAR(n, 2, 1.0).weight, 3),
        TypeError,
        "in_size",
        "traced",
        "static",
    ),
)

SEEDS = (
    row("negative", lambda: NUM(2, 2, 1, 1.0, seed=-1), ValueError, "seed=-1", "[0, 2**63)"),
    row(
        "huge", lambda: PROB(2, 2, 0.5, 1.0, seed=2**63), ValueError, f"seed={2**63}", "[0, 2**63)"
    ),
    row(
        "float",
        lambda: LINEAR(2, 2, 1.0, seed=1.5),
        TypeError,
        "EventLinear",
        "seed=1.5",
        "integer",
    ),
    row("none", lambda: NUM(2, 2, 1, 1.0, seed=None), TypeError, "seed=None", "integer"),
    row(
        "traced", traced(lambda s: NUM(2, 2, 1, 1.0, seed=s).weight, 3), TypeError, "seed", "traced"
    ),
)

PROBABILITIES = (
    row(
        "above",
        lambda: PROB(9, 9, 1.5, 1.0),
        ValueError,
        "EventFixedProb",
        "conn_num=1.5",
        "[0, 1]",
    ),
    row("below", lambda: PROB(9, 9, -0.1, 1.0), ValueError, "conn_num=-0.1", "[0, 1]"),
    row("nan", lambda: PROB(9, 9, float("nan"), 1.0), ValueError, "conn_num=nan", "[0, 1]"),
    row("int", lambda: PROB(9, 9, 5, 1.0), ValueError, "conn_num=5", "EventFixedNumConn"),
    row("numpy int", lambda: PROB(9, 9, np.int64(5), 1.0), ValueError, "5", "EventFixedNumConn"),
    row("bool", lambda: PROB(9, 9, True, 1.0), TypeError, "conn_num=True", "probability"),
    row("numpy bool", lambda: PROB(9, 9, np.True_, 1.0), TypeError, "conn_num=", "probability"),
    row("none", lambda: PROB(9, 9, None, 1.0), TypeError, "conn_num=None", "probability"),
    row("text", lambda: PROB(9, 9, "0.1", 1.0), TypeError, "conn_num='0.1'", "probability"),
    row(
        "traced",
        traced(lambda p: PROB(9, 9, p, 1.0).weight),
        TypeError,
        "conn_num",
        "EventFixedProb",
    ),
)

NUMBERS = (
    row("negative", lambda: NUM(9, 9, -2, 1.0), ValueError, "EventFixedNumConn", "conn_num=-2"),
    row(
        "too many posts",
        lambda: NUM(9, 5, 6, 1.0),
        ValueError,
        "conn_num=6",
        "5 post",
        "allow_multi",
    ),
    row(
        "too many pres",
        lambda: NUM(5, 9, 6, 1.0, efferent_target="pre"),
        ValueError,
        "conn_num=6",
        "5 pre",
        "allow_multi_conn=True",
    ),
    row(
        "no self",
        lambda: NUM(5, 5, 5, 1.0, allow_self_conn=False),
        ValueError,
        "conn_num=5",
        "4 post",
    ),
    row(
        "few afferent",
        lambda: NUM(10, 9, 6, 1.0, efferent_target="pre", afferent_ratio=0.5),
        ValueError,
        "conn_num=6",
        "5 pre",
    ),
    row("nobody", lambda: NUM(5, 0, 1, 1.0), ValueError, "conn_num=1", "no post"),
    row(
        "nobody, repeats",
        lambda: NUM(0, 5, 1, 1.0, efferent_target="pre", allow_multi_conn=True),
        ValueError,
        "conn_num=1",
        "no pre",
    ),
    row(
        "rounds to nobody",
        lambda: NUM(40, 30, 0.001, 1.0),
        ValueError,
        "EventFixedNumConn",
        "conn_num=0.001 of 30",
        "rounds to 0",
    ),
    row(
        "rounds to no sources",
        lambda: NUM(40, 30, 5, 1.0, afferent_ratio=0.001),
        ValueError,
        "afferent_ratio=0.001 of 40",
        "rounds to 0",
    ),
    row("float above 1", lambda: NUM(9, 9, 2.0, 1.0), ValueError, "conn_num=2.0", "[0, 1]"),
    row("nan", lambda: NUM(9, 9, float("nan"), 1.0), ValueError, "conn_num=nan", "[0, 1]"),
    row(
        "bool", lambda: nn.FixedNumConn(9, 9, True, 1.0), TypeError, "FixedNumConn", "conn_num=True"
    ),
    row("none", lambda: NUM(9, 9, None, 1.0), TypeError, "conn_num=None", "integer"),
    row("traced", traced(lambda k: NUM(9, 9, k, 1.0).weight, 3), TypeError, "conn_num", "traced"),
    row(
        "ratio",
        lambda: NUM(9, 9, 2, 1.0, afferent_ratio=1.1),
        ValueError,
        "afferent_ratio=1.1",
        "[0, 1]",
    ),
    row(
        "ratio nan",
        lambda: NUM(9, 9, 2, 1.0, afferent_ratio=np.nan),
        ValueError,
        "afferent_ratio=nan",
    ),
    row(
        "ratio text", lambda: NUM(9, 9, 2, 1.0, afferent_ratio="a"), TypeError, "afferent_ratio='a'"
    ),
    row(
        "ratio traced",
        traced(lambda r: NUM(9, 9, 2, 1.0, afferent_ratio=r).weight),
        TypeError,
        "EventFixedNumConn",
        "afferent_ratio",
    ),
)

OPTIONS = (
    row(
        "target",
        lambda: NUM(9, 9, 2, 1.0, efferent_target="both"),
        ValueError,
        "'both'",
        "'post'",
        "'pre'",
    ),
    row(
        "target none",
        lambda: NUM(9, 9, 2, 1.0, efferent_target=None),
        ValueError,
        "efferent_target=None",
    ),
    row(
        "storage",
        lambda: NUM(9, 9, 2, 1.0, storage="dense"),
        ValueError,
        "storage='dense'",
        "'sparse'",
    ),
    row(
        "storage prob",
        lambda: PROB(9, 9, 0.2, 1.0, storage=None),
        ValueError,
        "EventFixedProb",
        "storage=None",
    ),
    row(
        "self of unequal",
        lambda: NUM(9, 8, 2, 1.0, allow_self_conn=False),
        ValueError,
        "allow_self_conn=False",
        "in_size == out_size",
        "9 and 8",
    ),
    row(
        "self of unequal, prob",
        lambda: PROB(9, 8, 0.2, 1.0, allow_self_conn=False),
        ValueError,
        "EventFixedProb",
        "in_size == out_size",
    ),
    row(
        "backend",
        lambda: LINEAR(2, 2, 1.0, backend="cuda"),
        ValueError,
        "'cuda'",
        "'reference'",
        "'cpu'",
        "None",
    ),
    row("backend type", lambda: NUM(2, 2, 1, 1.0, backend=3), ValueError, "EventFixedNumConn", "3"),
)

WEIGHTS = (
    row(
        "dense shape",
        lambda: LINEAR(2, 3, np.ones((3, 2))),
        ValueError,
        "EventLinear",
        "(3, 2)",
        "(2, 3)",
    ),
    row(
        "sparse shape",
        lambda: NUM(4, 6, 2, np.ones((4, 6))),
        ValueError,
        "(4, 6)",
        "(8,)",
        "8 synapses",
    ),
    row(
        "length", lambda: PROB(4, 6, 1.0, np.ones(23)), ValueError, "(23,)", "(24,)", "24 synapses"
    ),
    row("complex", lambda: LINEAR(2, 2, 1j), TypeError, "EventLinear", "real", "complex64"),
    row("none", lambda: LINEAR(2, 2, None), TypeError, "EventLinear", "weight", "None"),
    row(
        "law of a dense operator",
        lambda: LINEAR(2, 2, LAWS.Normal(0.5, 0.1)),
        TypeError,
        "EventLinear",
        "weights.Normal(0.5, 0.1)",
        "initialiser",
    ),
    row(
        "law of a given matrix",
        lambda: nn.EventSparse(np.eye(2), LAWS.Normal(0.5, 0.1)),
        TypeError,
        "EventSparse",
        "weights.Normal(0.5, 0.1)",
        "initialiser",
    ),
    row("mean", lambda: LAWS.Normal(None, 1.0), TypeError, "mean=None", "one number"),
    row("high", lambda: LAWS.Uniform(0.0, np.ones(3)), TypeError, "high=", "one number"),
    row("complex mean", lambda: LAWS.Normal(1j, 1.0), TypeError, "mean=1j", "one real number"),
    row("mean inf", lambda: LAWS.Normal(-np.inf, 1.0), ValueError, "mean=-inf", "finite"),
    row("mean huge", lambda: LAWS.Normal(10**400, 1.0), ValueError, "mean=1000", "finite"),
    row("std negative", lambda: LAWS.Normal(0, -1), ValueError, "std=-1", "not be negative"),
    row("std nan", lambda: LAWS.Normal(0, np.nan), ValueError, "std=nan", "finite"),
    row("interval", lambda: LAWS.Uniform(1, 0), ValueError, "high=0", "low=1"),
    row("scale", lambda: LAWS.Quantile(np.log, scale=np.inf), ValueError, "Quantile: scale=inf"),
    row("no quantile function", lambda: LAWS.Quantile(3), TypeError, "icdf=3", "function"),
    row(
        "one quantile",
        lambda: NUM(2, 2, 1, LAWS.Quantile(lambda p: 1.0)),
        TypeError,
        "icdf",
        "shape of its argument",
    ),
    row(
        "quantiles of no number",
        lambda: NUM(2, 2, 1, LAWS.Quantile(lambda p: p + np.inf)),
        ValueError,
        "icdf",
        "not a finite float32 number",
    ),
    row(
        "discrete law",
        lambda: NUM(2, 2, 1, LAWS.Quantile(lambda p: np.floor(3 * p))),
        ValueError,
        "icdf",
        "not smooth enough",
        "storage='sparse'",
    ),
    row("text", lambda: NUM(2, 2, 1, "a"), TypeError, "EventFixedNumConn", "weight", "'a'"),
    row(
        "initialiser shape",
        lambda: NUM(4, 6, 2, lambda key, shape, dtype: jnp.ones(3, dtype)),
        ValueError,
        "EventFixedNumConn",
        "initialiser",
        "(3,)",
        "(8,)",
    ),
    row(
        "initialiser none",
        lambda: NUM(4, 6, 2, lambda *_: None),
        TypeError,
        "EventFixedNumConn",
        "initialiser",
    ),
    row(
        "law's class",
        lambda: PROB(4, 6, 1.0, LAWS.Normal),
        TypeError,
        "EventFixedProb",
        "not a class",
        "Normal(...)",
    ),
    row(
        "initialiser of matrices",
        lambda: NUM(4, 6, 2, jax.nn.initializers.he_normal()),
        ValueError,
        "EventFixedNumConn",
        "initialiser",
        "(8,)",
        "initializers.normal",
    ),
    row(
        "initialiser of nothing",
        lambda: LINEAR(4, 3, lambda: 1.0),
        TypeError,
        "EventLinear",
        "f(key, shape, dtype)",
        "0 positional",
    ),
    row(
        "dtype int",
        lambda: LINEAR(2, 2, 1.0, dtype="int32"),
        TypeError,
        "EventLinear",
        "int32",
        "float32",
    ),
    row(
        "dtype unknown",
        lambda: LINEAR(2, 2, 1.0, dtype="foo"),
        TypeError,
        "EventLinear",
        "foo",
        "float32",
    ),
    row(
        "dtype fp8",
        lambda: NUM(2, 2, 1, 1.0, dtype=jnp.float8_e5m2),
        TypeError,
        "float8_e5m2",
        "float16",
    ),
    row(
        "float64",
        lambda: LINEAR(2, 2, 1.0, dtype="float64"),
        TypeError,
        "float64",
        "jax_enable_x64",
    ),
    row(
        "with_weight",
        lambda: OP.with_weight(np.ones(3)),
        ValueError,
        "EventFixedNumConn.with_weight",
        "(8,)",
    ),
    row(
        "with_weight complex",
        lambda: OP.with_weight(1j),
        TypeError,
        "EventFixedNumConn.with_weight",
        "real",
    ),
    row(
        "with_weight none",
        lambda: OP.with_weight(None),
        TypeError,
        "EventFixedNumConn.with_weight",
        "None",
    ),
    row(
        "with_weight operator",
        lambda: OP.with_weight(SQUARE),
        TypeError,
        "EventFixedNumConn.with_weight",
        "weight=EventLinear(3, 3",
        "must be a number, an array",
    ),
)

SPIKES = (
    row("length", lambda: OP(np.ones(5)), ValueError, "EventFixedNumConn", "(5,)", "in_size=4"),
    row("batch", lambda: OP(np.ones((4, 6))), ValueError, "(4, 6)", "in_size=4", "last axis"),
    row("number", lambda: OP(1.0), ValueError, "EventFixedNumConn", "()", "in_size=4"),
    row(
        "complex",
        lambda: OP(ONES * 1j),
        TypeError,
        "EventFixedNumConn",
        "bool, integer or floating",
        "complex64",
    ),
    row("linear", lambda: SQUARE(ONES), ValueError, "EventLinear", "(4,)", "in_size=3"),
    row(
        "key",
        lambda: OP(jax.random.split(jax.random.key(0), 4)),
        TypeError,
        "EventFixedNumConn",
        "key<fry>",
    ),
    row("none", lambda: OP(None), TypeError, "EventFixedNumConn", "spikes", "None"),
    row("text", lambda: OP("abcd"), TypeError, "EventFixedNumConn", "spikes", "'abcd'"),
    row(
        "traced",
        lambda: jax.jit(OP)(np.ones(5)),
        ValueError,
        "EventFixedNumConn",
        "(5,)",
        "in_size=4",
    ),
    row(
        "objects",
        lambda: OP(np.array(100 * ["a"])),
        TypeError,
        "EventFixedNumConn",
        "shape (100,)",
        "<U1",
    ),
    row(
        "beyond int32",
        lambda: OP(np.int64([2**40, 0, 0, 0])),
        ValueError,
        "EventFixedNumConn",
        "spikes",
        str(2**40),
        "int32",
        "astype(numpy.float32)",
    ),
    row("beyond int32, list", lambda: OP([0, -(2**31) - 1, 0, 0]), ValueError, "spikes", "int32"),
    row("beyond 64 bits", lambda: OP([2**70, 0, 0, 0]), ValueError, "spikes", "pass a float"),
    row("left of @", lambda: OP @ ONES, TypeError, "EventFixedNumConn", "op(spikes)"),
    row("right of @", lambda: ONES @ OP, TypeError, "EventFixedNumConn", "op(spikes)"),
    row("right of @ in JAX", lambda: jnp.array(ONES) @ OP, TypeError, "op(spikes)"),
)

DELAYS = (
    row(
        "no operator",
        lambda: nn.Delayed(jnp.zeros(100), 2),
        TypeError,
        "Delayed: op=",
        "shape (100,)",
        "must be an operator",
    ),
    row(
        "of entries that are summed",
        lambda: nn.Delayed.from_entries(([0, 1, 0], [2, 0, 2], 0.5, [3, 1, 4]), shape=(2, 3)),
        ValueError,
        "Delayed.from_entries",
        "entries 0 and 2",
        "delays are 3 and 4",
        "duplicates='keep'",
    ),
    row(
        "with the entries",
        lambda: nn.EventSparse(([0, 1], [2, 0], 0.5, [3, 1]), shape=(2, 3)),
        TypeError,
        "EventSparse: a tuple of 4",
        "Delayed.from_entries",
    ),
    row(
        "of other entries",
        lambda: LATE.entry_order([0, 1], [2, 0]),
        ValueError,
        "Delayed.entry_order",
        "2 entries",
        "8 synapses",
    ),
    row("swapped", lambda: LATE.step(ONES, LATE.init_state()), TypeError, "swapped", "op.step("),
    row(
        "updates",
        lambda: LATE.update_on_pre(np.ones(8), ONES, np.ones(6)),
        TypeError,
        "Delayed.update_on_pre",
        "op.op",
        "op.with_weight(weight)",
    ),
    row("key", lambda: LATE[3], TypeError, "Delayed[...]", "i:i+1"),
    row("no state", lambda: LATE.step(ONES, ONES), TypeError, "Delayed.step", "init_state(())"),
    row(
        "initialiser of nothing",
        lambda: nn.Delayed(OP, lambda: 1),
        TypeError,
        "Delayed: delay=",
        "f(key, shape, dtype)",
    ),
)

RULES = (
    row(
        "a part",
        lambda: OP.update_on_pre(np.ones(8), ONES, np.ones(6), rule=lambda w, x: w[:3]),
        TypeError,
        "update_on_pre: rule(weight, change)",
        "(3,)",
    ),
    row(
        "of weights alone",
        lambda: OP.update_on_pre(np.ones(8), ONES, np.ones(6), rule=lambda w: w),
        TypeError,
        "update_on_pre: rule=",
        "f(weight, change)",
    ),
    row(
        "trace beyond int32",
        lambda: OP.update_on_pre(np.ones(8), ONES, np.full(6, 2**40)),
        ValueError,
        "update_on_pre: post_trace",
        str(2**40),
    ),
    row(
        "bounds",
        lambda: OP.update_on_pre(np.ones(8), ONES, np.ones(6), low=jnp.zeros(150)),
        ValueError,
        "low=<array of shape (150,), dtype float32>",
        "one real number",
    ),
)

TOTALS = (
    row("negative", lambda: TOTAL(9, 9, -2, 1.0), ValueError, "EventFixedTotalNum", "conn_num=-2"),
    row(
        "too many pairs",
        lambda: TOTAL(9, 5, 46, 1.0),
        ValueError,
        "conn_num=46",
        "45",
        "allow_multi_conn=True",
    ),
    row(
        "no self", lambda: TOTAL(5, 5, 21, 1.0, allow_self_conn=False), ValueError, "21", "from 20"
    ),
    row(
        "self of unequal",
        lambda: TOTAL(9, 8, 2, 1.0, allow_self_conn=False),
        ValueError,
        "EventFixedTotalNum",
        "in_size == out_size",
    ),
    row("nobody", lambda: TOTAL(5, 0, 1, 1.0), ValueError, "conn_num=1", "no pair"),
    row(
        "rounds to none", lambda: TOTAL(4, 3, 0.001, 1.0), ValueError, "0.001 of 12", "rounds to 0"
    ),
    row("float above 1", lambda: TOTAL(9, 9, 2.0, 1.0), ValueError, "conn_num=2.0", "[0, 1]"),
    row("bool", lambda: TOTAL(9, 9, True, 1.0), TypeError, "conn_num=True", "integer"),
    row("none", lambda: TOTAL(9, 9, None, 1.0), TypeError, "conn_num=None", "integer"),
    row("traced", traced(lambda k: TOTAL(9, 9, k, 1.0).weight, 3), TypeError, "conn_num", "traced"),
    row(
        "weights of none stored",
        lambda: TOTAL(9, 9, 3, np.ones(3), storage="procedural"),
        ValueError,
        "one weight for all synapses",
        "eventops.weights",
    ),
)

DISTANCES = (
    row(
        "line onto grid",
        lambda: DISTANCE(9, (3, 3), NEAR, 1.0),
        ValueError,
        "EventDistanceProb",
        "in_size=9",
        "out_size=(3, 3)",
        "(1, n)",
    ),
    row("three axes", lambda: DISTANCE((2, 2, 2), 8, NEAR, 1.0), ValueError, "(rows, columns)"),
    row("float side", lambda: DISTANCE((2, 2.0), (2, 2), NEAR, 1.0), TypeError, "in_size=2.0"),
    row("too large", lambda: DISTANCE((2**16, 2**16), (1, 1), NEAR, 1.0), ValueError, str(2**32)),
    row(
        "profile's class",
        lambda: DISTANCE(9, 9, nn.profiles.Gaussian, 1.0),
        TypeError,
        "EventDistanceProb",
        "must be a function of distances",
        "profiles.Gaussian(0.5, 10.0)",
    ),
    row(
        "profile of nothing",
        lambda: DISTANCE(9, 9, lambda: 0.5, 1.0),
        TypeError,
        "EventDistanceProb: profile=",
        "array of distances",
    ),
    row(
        "probability", lambda: DISTANCE(9, 9, 0.5, 1.0), TypeError, "profile=0.5", "EventFixedProb"
    ),
    row(
        "above",
        lambda: DISTANCE(9, 9, lambda d: 1.5 - 0.1 * d, 1.0),
        ValueError,
        "EventDistanceProb: profile(",
        "must be a probability in [0, 1]",
    ),
    row(
        "nan", lambda: DISTANCE(9, 9, lambda d: d * np.nan, 1.0), ValueError, "= nan", "probability"
    ),
    row(
        "shape",
        lambda: DISTANCE(9, 9, lambda d: 0.5, 1.0),
        ValueError,
        "profile gave",
        "17 distances",
        "one probability for each",
    ),
    row(
        "self of another grid",
        lambda: DISTANCE((3, 4), (4, 3), NEAR, 1.0, allow_self_conn=False),
        ValueError,
        "in_size == out_size",
        "(3, 4)",
    ),
    row("extent", lambda: DISTANCE(9, 9, NEAR, 1.0, extent=0.0), ValueError, "extent=0.0"),
    row("extent text", lambda: DISTANCE(9, 9, NEAR, 1.0, extent="1"), TypeError, "extent='1'"),
    row(
        "extents",
        lambda: DISTANCE(9, 9, NEAR, 1.0, extent=(1.0, 2.0)),
        ValueError,
        "extent=(1.0, 2.0)",
        "one for each of 1 axes",
    ),
    row("periodic", lambda: DISTANCE(9, 9, NEAR, 1.0, periodic=1), TypeError, "periodic=1"),
    row(
        "too many offsets",
        lambda: DISTANCE(99_991, 99_989, lambda d: 0 * d, 1.0),
        ValueError,
        "different offsets",
        "common divisor",
    ),
    row("profile", lambda: nn.profiles.Gaussian(1.5, 1.0), ValueError, "Gaussian", "p_max=1.5"),
    row("profile text", lambda: nn.profiles.Box("1", 1.0), TypeError, "Box", "p_max='1'"),
    row("length", lambda: nn.profiles.Exponential(1.0, 0.0), ValueError, "length=0.0", "positive"),
    row("radius", lambda: nn.profiles.Box(1.0, np.nan), ValueError, "radius=nan", "positive"),
    row("sigma none", lambda: nn.profiles.Gaussian(1.0, None), TypeError, "sigma=None", "number"),
)

DRIVE, SOURCES = nn.PoissonInput, nn.PoissonSpikes
STATE = np.zeros(2, np.uint32)

INPUT = (
    row("mean below", lambda: DRIVE(9, -0.1), ValueError, "PoissonInput", "mean=-0.1", "[0, 4096)"),
    row("mean above", lambda: DRIVE(9, 5000), ValueError, "mean=5000", "sum of several drives"),
    row("mean nan", lambda: DRIVE(9, float("nan")), ValueError, "mean=nan", "[0, 4096)"),
    row("one mean", lambda: DRIVE(3, [1, -2, 3]), ValueError, "mean=-2", "[0, 4096)"),
    row("means", lambda: DRIVE(9, [1.0, 2.0]), ValueError, "mean of shape (2,)", "shape (9,)"),
    row("groups", lambda: DRIVE((4, 5), [1, 2, 3]), ValueError, "(3,)", "(2,)", "(9,)"),
    row("mean text", lambda: DRIVE(9, "1"), TypeError, "mean='1'", "number"),
    row("mean complex", lambda: DRIVE(9, 1j), TypeError, "mean", "complex"),
    row("size", lambda: DRIVE(-1, 1.0), ValueError, "size=-1", "[0, 2**31)"),
    row("size float", lambda: DRIVE(2.0, 1.0), TypeError, "size=2.0", "integer"),
    row("size huge", lambda: DRIVE((2**30, 2**30), 1.0), ValueError, "[0, 2**31)"),
    row("seed", lambda: DRIVE(9, 1.0, seed=-1), ValueError, "seed=-1", "[0, 2**63)"),
    row("seed float", lambda: DRIVE(9, 1.0, seed=1.5), TypeError, "seed=1.5", "integer"),
    row("seeds", lambda: DRIVE(9, 1.0, seed=[0.5]), TypeError, "seed=[0.5]", "array of integers"),
    row("weight", lambda: DRIVE(9, 1.0, [1.0, 2.0]), ValueError, "weight of shape (2,)", "(9,)"),
    row("weight none", lambda: DRIVE(9, 1.0, None), TypeError, "weight=None", "number"),
    row("dtype", lambda: DRIVE(9, 1.0, dtype="int8"), TypeError, "int8", "float32"),
    row(
        "backend",
        lambda: DRIVE(9, 1.0, backend="gpus"),
        ValueError,
        "backend 'gpus'",
        "'reference'",
    ),
    row("state", lambda: DRIVE(9, 1.0).step(0), TypeError, "state=0", "drive.init_state()"),
    row(
        "other state",
        lambda: DRIVE(9, 1.0).counts(ONES),
        TypeError,
        "PoissonInput.counts",
        "uint32",
    ),
    row("into", lambda: DRIVE(9, 1.0).step(STATE, ONES), ValueError, "into of shape (4,)", "(9,)"),
    row("into int", lambda: DRIVE(2, 1.0).step(STATE, [1, 2]), TypeError, "int32", "floating"),
    row("window", lambda: DRIVE(9, 1.0).window(5, 5), ValueError, "first=5", "size=5", "9"),
    row("new mean", lambda: DRIVE(9, 1.0).with_mean(-1), ValueError, "with_mean", "mean=-1"),
    row("rate", lambda: SOURCES(9, 1.1), ValueError, "PoissonSpikes", "rate=1.1", "PoissonInput"),
    row("law", lambda: SOURCES(9, 0.1, law="gauss"), ValueError, "law='gauss'", "'bernoulli'"),
    row(
        "source state", lambda: SOURCES(9, 0.1).step(None), TypeError, "state=None", "init_state()"
    ),
    row("new rate", lambda: SOURCES(9, 0.1).with_rate(2), ValueError, "with_rate", "rate=2"),
)

ALL = {
    "sizes": SIZES,
    "seed": SEEDS,
    "probability": PROBABILITIES,
    "number": NUMBERS,
    "total": TOTALS,
    "distance": DISTANCES,
    "option": OPTIONS,
    "weight": WEIGHTS,
    "spikes": SPIKES,
    "delays": DELAYS,
    "rules of learning": RULES,
    "random input": INPUT,
}

# No machine has room for these.
NEURONS = 2**22
MEMORY = (
    row(
        "matrix",
        lambda: NUM(NEURONS, NEURONS, 1, 1.0, storage="procedural").todense(),
        MemoryError,
        "EventFixedNumConn.todense",
        "4194304 x 4194304 weights",
        "70,368,744,177,664 bytes",
        "to_scipy() or to_bcoo()",
    ),
    row("one number", lambda: LINEAR(NEURONS, NEURONS, 1.0).todense(), MemoryError, "EventLinear"),
    row(
        "matrices of delays",
        lambda: nn.Delayed(LINEAR(NEURONS, NEURONS, 1.0), 3).todense(),
        MemoryError,
        "Delayed.todense",
        "4 delays",
    ),
    row(
        "initialiser",
        lambda: LINEAR(NEURONS, NEURONS, jax.nn.initializers.ones),
        MemoryError,
        "EventLinear: an array of 4194304 x 4194304 weights",
        "a sparse operator",
    ),
)
ALL["memory"] = MEMORY

# Refused by the number of synapses or of row pointers.
TOO_MANY = (
    row("prob", lambda: PROB(2**31 - 1, 2**31 - 1, 0.5, 1.0), ValueError, "2.306e+18", "split"),
    row("prob just", lambda: PROB(100_000, 100_000, 0.3, 1.0), ValueError, "3e+09", "split"),
    row("num", lambda: NUM(2**20, 2**20, 2048, 1.0), ValueError, "split"),
    row("fan-in", lambda: NUM(2**20, 2**20, 2048, 1.0, efferent_target="pre"), ValueError, "split"),
    row("repeats", lambda: NUM(10, 10, 2**30, 1.0, allow_multi_conn=True), ValueError, "split"),
    row("total", lambda: TOTAL(2**20, 2**20, 2**31, 1.0), ValueError, "2147483648", "split"),
    row(
        "distance",
        lambda: DISTANCE(2**21, 2**21, nn.profiles.Box(1.0, 600.0), 1.0, periodic=True),
        ValueError,
        "2.519e+09",
        "split",
    ),
    row("listed", lambda: LINEAR(10**6, 10**6, 1.0).to_scipy(), ValueError, "to_scipy", "split"),
    row("listed in JAX", lambda: LINEAR(10**6, 10**6, 1.0).to_bcoo(), ValueError, "to_bcoo"),
    row("pointers", lambda: PROB(2**31 - 1, 2**31 - 1, 1e-15, 1.0), ValueError, "32 bits", "split"),
)


# Values that look wrong and are not refused: the call, and what it gives.
NAN, INF, TINY = float("nan"), float("inf"), 2.0**-140
FIRST_NAN = LINEAR(2, 1, [[NAN], [2.0]])
OF_INF = LINEAR(2, 1, [[INF], [2.0]])
SUM = LINEAR(2, 1, [[1.0], [2.0]])
BYTES = np.full(70, 255, np.uint8).view(bool)
ACCEPTED = (
    row("weight nan, neuron silent", lambda: FIRST_NAN([0.0, 1.0]), None, 2.0),
    row("weight nan, neuron active", lambda: FIRST_NAN([1.0, 1.0]), None, NAN),
    row("weight inf, neuron silent", lambda: OF_INF([0.0, 1.0]), None, 2.0),
    row("weight inf, neuron active", lambda: OF_INF([1.0, 1.0]), None, INF),
    row("weights inf and -inf", lambda: LINEAR(2, 1, [[INF], [-INF]])([1.0, 1.0]), None, NAN),
    row("spike nan", lambda: SUM([NAN, 1.0]), None, NAN),
    row("spike inf", lambda: SUM([INF, 1.0]), None, INF),
    row("spike inf, weight 0", lambda: LINEAR(1, 1, [[0.0]])([INF]), None, NAN),
    row("spike -0.0 is silent", lambda: FIRST_NAN([-0.0, 1.0]), None, 2.0),
    row("spike subnormal: flushed to zero", lambda: SUM([TINY, 0.0]), None, 0.0),
    row("weight subnormal: flushed to zero", lambda: LINEAR(1, 1, [[TINY]])([1.0]), None, 0.0),
    row("spike negative", lambda: SUM([-2, 1]), None, 0.0),
    row("bool of another byte than 1", lambda: LINEAR(70, 1, np.ones((70, 1)))(BYTES), None, 70.0),
    row("no spikes", lambda: SUM([False, False]), None, 0.0),
)


class _Plain(ast.NodeTransformer):
    """The names of this file as a reader of the page would write them."""

    names = {"LINEAR": LINEAR, "PROB": PROB, "NUM": NUM, "DRIVE": DRIVE, "SOURCES": SOURCES}
    shown = {"OP", "LATE", "SQUARE", "FIRST_NAN", "OF_INF", "SUM", "BYTES", "NAN", "INF"}

    def visit_Name(self, node):
        if node.id in self.names:
            return ast.parse(f"nn.{self.names[node.id].__name__}", mode="eval").body
        plain = {
            "ONES": "np.ones(4)",
            "STATE": "np.zeros(2, np.uint32)",
            "NEURONS": "2**22",
            "TOO_BIG": "2**31",
            "TINY": "2.0**-140",
        }.get(node.id)
        if plain is not None:
            return ast.parse(plain, mode="eval").body
        return ast.Name(node.id.lower(), node.ctx) if node.id in self.shown else node

    def visit_Call(self, node):
        node = self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "traced":
            return ast.Call(
                ast.Call(ast.parse("jax.jit", mode="eval").body, node.args[:1], []),
                node.args[1:] or [ast.Constant(0.5)],
                [],
            )
        return node


def _sources() -> dict[str, list[str]]:
    """The calls of each table, as text, in order."""
    tree = ast.parse(pathlib.Path(__file__).read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if not isinstance(node.value, ast.Tuple):
                continue
            rows = [
                c
                for c in node.value.elts
                if isinstance(c, ast.Call) and getattr(c.func, "id", "") == "row"
            ]
            calls = [_Plain().visit(c.args[1]) for c in rows]
            calls = [c.body if isinstance(c, ast.Lambda) else c for c in calls]
            found[node.targets[0].id] = [ast.unparse(ast.fix_missing_locations(c)) for c in calls]
    return found


def _cell(text: str) -> str:
    text = re.sub(r"\w*Trace[dr]<.*?>\S*", "Traced<...>", " ".join(text.split()))
    text = re.sub(r"[\d,]+ are left", "... are left", text)
    return text.replace("|", "\\|")


def page() -> str:
    """``docs/errors.md``: every refusal with its message, as it is now."""
    sources = _sources()
    lines = [HEAD]
    for title, table in {**ALL, "too many synapses": TOO_MANY}.items():
        name = next(key for key, value in globals().items() if value is table)
        lines += [f"\n## {title.capitalize()}\n", "| call | error |", "| --- | --- |"]
        for source, case in zip(sources[name], table, strict=True):
            call, error, _ = case.values
            try:
                call()
            except error as raised:
                said = f"`{type(raised).__name__}`: {_cell(str(raised)).replace('<', '&lt;')}"
            lines.append(f"| `{_cell(source)}` | {said} |")
    lines += ["\n## What is not an error\n", "| what | call | result |", "| --- | --- | --- |"]
    for source, case in zip(sources["ACCEPTED"], ACCEPTED, strict=True):
        lines.append(f"| {case.id} | `{_cell(source)}` | {case.values[2][0]:g} |")
    return "\n".join(lines) + "\n"


HEAD = """# Errors

Every call that the operators refuse, with the message. Made from `tests/support/error_cases.py`, which the tests run, by
`python tests/support/error_cases.py`; a test fails where this page is out of date.

In the calls `op` is `nn.EventFixedNumConn(4, 6, 2, 0.5)`, `late` is `nn.Delayed(op, 3)`, `square` an
`nn.EventLinear` of 3 by 3, and `sum`, `first_nan` and `of_inf` are `nn.EventLinear(2, 1, weights)` with the weights (1, 2),
(nan, 2) and (inf, 2); `bytes` is `np.full(70, 255, np.uint8).view(bool)`."""

if __name__ == "__main__":
    (pathlib.Path(__file__).parents[2] / "docs/errors.md").write_text(page())
