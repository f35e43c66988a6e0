"""The native library: what happens without it, and that its handlers trust nobody."""

import functools
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import native, run_python

import eventops as nn
from eventops import backends
from eventops.core import loader
from eventops.graphs import drawing
from eventops.graphs.quantiles import standard_normal

CSRC = pathlib.Path(nn.__file__).parent / "csrc"

WITHOUT = """
import warnings
import numpy as np, jax, jax.numpy as jnp
import eventops as nn
from eventops import backends, random
from eventops.core import loader

assert "EVENTOPS_NATIVE=0" in backends.available()["cpu"] and loader.isa() is None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ops = [
        nn.EventLinear(30, 20, np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)),
        nn.EventFixedProb(30, 20, 0.3, 0.5),
        nn.EventFixedNumConn(30, 20, 5, 0.5),
        nn.FixedNumConn(30, 20, 5, 0.5, efferent_target="pre"),
        nn.EventSparse(([3, 0, 3], [1, 2, 1], [1.0, 2.0, 3.0]), shape=(30, 20)),
    ]
    spikes = jnp.asarray(np.random.default_rng(1).normal(size=(2, 30)), jnp.float32)
    for op in ops:
        expected = np.asarray(spikes, float) @ np.asarray(op.todense(), float)
        np.testing.assert_allclose(np.asarray(op(spikes)), expected, rtol=1e-5, atol=1e-5)
        jax.jit(jax.grad(lambda w: op.with_weight(w)(spikes).sum()))(op.weight)
ours = [str(w.message) for w in caught if "eventops" in str(w.message)]
assert len(ours) == 1, ours
print("WARNING", ours[0])
for kind in (lambda: nn.EventLinear(2, 2, 1.0, backend="cpu"), lambda: nn.EventFixedProb(2, 2, .5, 1.0, backend="cpu")):
    try:
        kind()
    except RuntimeError as error:
        print("ERROR", error)
print("GRAPH", ops[1].rows.hash())
"""


def test_without_the_library():
    """Right results, one warning in a process, and an error where the library was asked for."""
    done = run_python(WITHOUT, EVENTOPS_NATIVE="0")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    (warning,) = [line for line in lines if line.startswith("WARNING")]
    assert "reference" in warning and "EVENTOPS_NATIVE=0" in warning
    errors = [line for line in lines if line.startswith("ERROR")]
    assert len(errors) == 2
    assert "EventLinear: backend 'cpu' cannot run here" in errors[0]
    assert f"GRAPH {nn.EventFixedProb(30, 20, 0.3, 0.5).rows.hash()}" in lines


NOT_BUILT = """
import warnings, pathlib, tempfile
import eventops
from eventops.core import loader
folder = tempfile.mkdtemp()
pathlib.Path(folder, "_native.so").write_bytes(b"this is no library") if {broken} else None
eventops.__path__[:] = [folder]
loader._load_once.cache_clear()  # importing the package has loaded the library
print("REASON", loader.unavailable())
try:
    eventops.EventLinear(2, 2, 1.0, backend="cpu")
except RuntimeError as error:
    print("ERROR", error)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    out = eventops.EventLinear(2, 2, [[1.0, 2.0], [3.0, 4.0]])([True, True])
print("WARNING", *[w.message for w in caught], out.tolist())
"""


@pytest.mark.parametrize("broken", [False, True], ids=["absent", "broken"])
def test_the_reason_says_how_to_build(broken):
    done = run_python(NOT_BUILT.format(broken=broken))
    assert done.returncode == 0, done.stderr[-3000:]
    for start in ("REASON", "ERROR", "WARNING"):
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(start)]
        assert "pip install" in line and "C++17 compiler" in line
        assert ("does not load" if broken else "was not built") in line
    assert "[4.0, 6.0]" in line


@native
def test_available():
    found = backends.available()
    assert list(found) == list(backends.BACKENDS)
    assert found["reference"] is None and found["cpu"] is None
    assert loader.isa() in ("plain", "avx2", "avx512")


def test_the_table_is_frozen_and_complete():
    table = backends.IMPLEMENTATIONS
    with pytest.raises(TypeError):
        table["dense", "forward", "cpu"] = None
    kinds = ("dense", "uniform", "rows", "procedural", "generated")
    products = ("forward", "spike_cotangent", "weight_cotangent")
    entries = {(k, p, b) for k in kinds for p in products for b in backends.BACKENDS}
    updates = {(k, f"update_on_{side}") for k in ("dense", "rows") for side in ("pre", "post")}
    entries |= {(*pair, b) for pair in updates for b in backends.BACKENDS}
    # Delays run on the reference wherever there is no kernel of theirs.
    delays = {("delayed", p) for p in ("deliver", "step", "swap", *products[1:])}
    entries |= {(*pair, b) for pair in delays for b in ("reference", "cpu")}
    assert set(table) == entries


# Hostile calls, straight to the registered handlers. The good call of each comes first.


def f32(*shape):
    return np.ones(shape, np.float32)


ROWS = dict(n_out=np.int64(3), tile=np.int64(3))
PTR = np.array([0, 2, 3], np.int32)
OFFSETS = np.array([0, 2, 1], np.uint16)
DRAW = dict(
    rule=np.int64(1),
    n_in=np.int64(4),
    n_out=np.int64(5),
    tile=np.int64(5),
    conn_num=np.int64(0),
    allow_multi=np.int64(0),
    allow_self=np.int64(1),
    n_selected=np.int64(4),
    seed=np.int64(0),
    lane=np.int64(0),
    pre_begin=np.int64(0),
    pre_end=np.int64(4),
    post_begin=np.int64(0),
    post_end=np.int64(5),
)
ALL = np.zeros(0, np.int32)
THREE = {0: np.arange(3, dtype=np.int32), "n_selected": np.int64(3)}
GAPS = np.zeros((1, 256, 4), np.uint32)
NONE = np.zeros(0, np.uint32)

TABLE = standard_normal().table
SEED = np.array([1, 0], np.uint32)
COUNTS = {
    name: np.int64(value) for name, value in dict(n_partners=5, conn_num=10, allow_multi=0).items()
}

# Two rows, one tile of four posts (of which three are used), and a ring of two slots.
CODES = np.array([0, 6, 1], np.uint16)
RING = f32(1, 2, 4)
AT = np.zeros((1, 1), np.int32)
DELIVER = [RING, f32(1, 1, 2), f32(1), AT, PTR, CODES]
# Weights, spikes, traces, limits, and the graph: its rows, and its columns.
UPDATE = [f32(3), f32(2), f32(3), f32(2), PTR, OFFSETS]
PLACES = np.array([0, 2, 1], np.int32)
UPDATE_BACK = [f32(3), f32(3), f32(2), f32(2), np.array([0, 1, 2, 3], np.int32), OFFSETS, PLACES]

GOOD = {
    "DelayedStep": (DELIVER, {}, ((1, 2, 4), (1, 1, 3)), "f4"),
    "DelayedDeliver": (DELIVER, {}, (1, 2, 4), "f4"),
    "DelayedSpikeCotangent": ([f32(1, 3), RING, AT, PTR, CODES], {}, (1, 1, 2), "f4"),
    "DelayedWeightCotangent": ([f32(1, 1, 2), RING, AT, PTR, CODES], {}, (1, 3), "f4"),
    "RingSwap": ([RING, AT, f32(1, 1, 3)], {}, ((1, 2, 4), (1, 1, 3)), "f4"),
    "DenseForward": ([f32(1, 1, 2), f32(1, 2, 3)], {}, (1, 1, 3), "f4"),
    "RowsForward": ([f32(1, 1, 2), f32(1), PTR, OFFSETS], ROWS, (1, 1, 3), "f4"),
    "RowsSpikeCotangent": ([f32(1, 3), f32(1, 1, 3), PTR, OFFSETS], ROWS, (1, 1, 2), "f4"),
    "RowsWeightCotangent": ([f32(1, 1, 2), f32(1, 1, 3), PTR, OFFSETS], ROWS, (1, 3), "f4"),
    "DenseSpikeCotangent": ([f32(1, 2, 3), f32(1, 1, 3)], {}, (1, 1, 2), "f4"),
    "DenseWeightCotangent": ([f32(1, 1, 2), f32(1, 1, 3)], {}, (1, 2, 3), "f4"),
    "DrawCount": ([ALL, GAPS, NONE, SEED], DRAW, (5,), "i4"),
    "DrawFill": ([ALL, GAPS, NONE, np.arange(5, dtype=np.int32) * 5, SEED], DRAW, (20,), "u2"),
    "RowsUpdateOnPre": (UPDATE, {"tile": np.int64(3), "soft": np.int64(0)}, (3,), "f4"),
    "RowsUpdateOnPost": (UPDATE_BACK, {"tile": np.int64(2), "soft": np.int64(1)}, (3,), "f4"),
    "DenseUpdate": (
        [f32(2, 3), f32(2), f32(3), f32(2)],
        {"on_post": np.int64(0), "soft": np.int64(0)},
        (2, 3),
        "f4",
    ),
    "Replace": ([f32(3), np.array([2, -1], np.int32), f32(2)], {}, (3,), "f4"),
    "ProceduralForward": (
        [f32(1, 1, 4), f32(1), ALL, GAPS, NONE],
        {**DRAW, "prob": 0.5},
        (1, 1, 5),
        "f4",
    ),
    "ProceduralSpikeCotangent": ([f32(1), f32(1, 1, 5), ALL, GAPS, NONE], DRAW, (1, 1, 4), "f4"),
    "ProceduralWeightCotangent": ([f32(1, 1, 4), f32(1, 1, 5), ALL, GAPS, NONE], DRAW, (1,), "f4"),
    "GeneratedForward": (
        [f32(1, 1, 4), f32(1, 2), TABLE, ALL, GAPS, NONE],
        {**DRAW, "prob": 0.5},
        (1, 1, 5),
        "f4",
    ),
    "GeneratedSpikeCotangent": (
        [f32(1, 2), f32(1, 1, 5), TABLE, ALL, GAPS, NONE],
        DRAW,
        (1, 1, 4),
        "f4",
    ),
    "GeneratedWeightCotangent": (
        [f32(1, 1, 4), f32(1, 1, 5), TABLE, ALL, GAPS, NONE],
        DRAW,
        (1, 2),
        "f4",
    ),
    "StandardWeights": (
        [PTR, OFFSETS, TABLE, SEED],
        {**ROWS, "rule": np.int64(1)},
        (3,),
        "f4",
    ),
    "DrawRowCounts": ([SEED], COUNTS, (4,), "i4"),
}
# handler: changes of (position of an argument, "result" or the name of an attribute) to another value.
HOSTILE = {
    "DelayedStep": (
        {0: f32(2, 4)},
        {0: f32(1, 3, 4)},
        {0: f32(1, 2, 3)},
        {0: f32(0, 2, 4)},
        {0: f32(2, 1, 2, 4)},
        {0: RING.astype(np.float64)},
        {1: f32(1, 2)},
        {1: f32(1, 2, 2)},
        {1: f32(1, 1, 3)},
        {1: np.ones((1, 1, 2), np.int32)},
        {2: f32(2)},
        {2: f32(1, 4)},
        {2: np.ones(1, np.int32)},
        {3: AT[0]},
        {3: AT.astype(np.int64)},
        {3: np.zeros((1, 2), np.int32)},
        {4: PTR[:2]},
        {4: PTR.astype(np.int64)},
        {5: CODES.astype(np.int32)},
        {5: CODES.astype(np.uint8)},
        {5: CODES[None, None]},
        {"result": (((1, 2, 4), (1, 1, 5)), "f4")},
        {"result": (((1, 2, 4), (1, 1, 0)), "f4")},
        {"result": (((1, 2, 4), (1, 2, 3)), "f4")},
        {"result": (((1, 2, 4), (3,)), "f4")},
        {"result": (((2, 4), (1, 1, 3)), "f4")},
        {"result": (((1, 2, 4), (1, 1, 3)), "f8")},
    ),
    "DelayedDeliver": (
        {0: f32(1, 2, 8)},
        {1: np.ones((1, 1, 2), np.float64)},
        {"result": ((1, 2, 3), "f4")},
        {"result": ((1, 2, 4), "f2")},
    ),
    "DelayedSpikeCotangent": (
        {0: f32(2)},
        {0: f32(1, 2)},
        {1: f32(1, 3, 4)},
        {1: RING.astype(np.float64)},
        {2: AT.astype(np.float32)},
        {3: PTR[:2]},
        {4: CODES.astype(np.int16)},
        {"result": ((1, 1, 5), "f4")},
        {"result": ((1, 1, 2), "f2")},
    ),
    "DelayedWeightCotangent": (
        {0: f32(1, 2)},
        {0: np.ones((1, 1, 2), np.float64)},
        {1: f32(2, 2, 4)},
        {1: RING.astype(np.float64)},
        {3: PTR[:2]},
        {4: CODES[None, None]},
        {"result": ((1, 2), "f4")},
        {"result": ((2,), "f4")},
        {"result": ((1, 3), "f2")},
    ),
    "RingSwap": (
        {0: f32(2, 4)},
        {0: f32(2, 2, 4)},
        {0: f32(1, 0, 4)},
        {0: f32(1, 2, 2)},
        {0: f32(2, 2, 3)},
        {1: AT[0]},
        {1: AT.astype(np.int64)},
        {2: f32(1, 3)},
        {2: f32(1, 1, 5)},
        {2: f32(1, 2, 3)},
        {2: np.ones((1, 1, 3), np.float64)},
        {"result": (((1, 2, 4), (1, 1, 2)), "f4")},
        {"result": (((2, 4), (1, 1, 3)), "f4")},
        {"result": (((1, 2, 4), (1, 1, 3)), "i4")},
        {"result": (((1, 2, 4), (1, 1, 3)), "f2")},
    ),
    "DenseForward": (
        {0: f32(2)},
        {0: f32(1, 1, 3)},
        {1: f32(2, 3)},
        {1: f32(0, 2, 3)},
        {1: np.ones((1, 2, 3), np.int32)},
        {0: np.ones((1, 1, 2), np.int32)},
        {0: np.ones((1, 1, 2), np.float16)},
        {1: np.ones((1, 2, 3), np.float64)},
        {"result": ((1, 1, 4), "f4")},
        {"result": ((1, 1, 3), "f8")},
        {"result": ((3,), "f4")},
    ),
    "RowsForward": (
        {0: f32(2)},
        {0: f32(1, 1, 3)},
        {0: np.ones((1, 1, 2), np.int8)},
        {1: f32(2)},
        {1: f32(1, 4)},
        {1: f32()},
        {1: np.ones(1, np.int32)},
        {2: PTR[:2]},
        {2: PTR.astype(np.int64)},
        {2: PTR.astype(np.float32)},
        {3: OFFSETS.astype(np.int32)},
        {3: OFFSETS.astype(np.uint8)},
        {3: OFFSETS[None, None]},
        {"n_out": np.int64(0)},
        {"n_out": np.int64(-3)},
        {"n_out": np.int64(2**62)},
        {"n_out": np.int64(2**63 - 1)},
        {"n_out": np.int32(3)},
        {"n_out": None},
        {"tile": np.int64(0)},
        {"tile": np.int64(2)},
        {"tile": np.int64(65_537)},
        {"result": ((1, 1, 4), "f4")},
        {"result": ((1, 1, 3), "f8")},
    ),
    "RowsSpikeCotangent": (
        {0: f32(2)},
        {0: f32(1, 2)},
        {1: f32(1, 1, 4)},
        {1: np.ones((1, 1, 3), np.float64)},
        {2: PTR[:2]},
        {3: OFFSETS.astype(np.int16)},
        {"tile": np.int64(-1)},
        {"result": ((1, 1, 5), "f4")},
        {"result": ((1, 1, 2), "f2")},
    ),
    "RowsWeightCotangent": (
        {0: f32(1, 2)},
        {0: np.ones((1, 1, 2), np.float64)},
        {1: f32(1, 2, 3)},
        {1: np.ones((1, 1, 3), np.float64)},
        {2: PTR[:2]},
        {3: OFFSETS[None, None]},
        {"n_out": np.int64(4)},
        {"result": ((1, 2), "f4")},
        {"result": ((2,), "f4")},
        {"result": ((1, 3), "f2")},
    ),
    "DenseSpikeCotangent": (
        {0: f32(2, 3)},
        {0: f32(1, 2, 4)},
        {0: f32(2, 2, 3)},
        {0: np.ones((1, 2, 3), np.int32)},
        {1: f32(1, 3)},
        {1: np.ones((1, 1, 3), np.float64)},
        {"result": ((1, 1, 3), "f4")},
        {"result": ((1, 1, 2), "f8")},
    ),
    "DenseWeightCotangent": (
        {0: f32(1, 2)},
        {0: f32(1, 2, 2)},
        {0: np.ones((1, 1, 2), np.float64)},
        {0: np.ones((1, 1, 2), np.int32)},
        {1: f32(2, 1, 3)},
        {1: np.ones((1, 1, 3), np.float64)},
        {"result": ((1, 3, 2), "f4")},
        {"result": ((1, 2, 3), "i4")},
    ),
    "RowsUpdateOnPre": (
        {0: f32(4)},
        {0: f32(1, 3)},
        {0: f32(1, 1, 3)},
        {0: f32()},
        {0: np.ones(3, np.int32)},
        {0: np.ones(3, np.float64)},
        {1: f32(3)},
        {1: f32()},
        {1: f32(2, 2)},
        {1: np.ones(2, np.int32)},
        {2: f32()},
        {2: f32(4)},
        {2: np.ones(3, np.float64)},
        {3: f32(3)},
        {3: np.ones(2, np.float64)},
        {4: PTR[:2]},
        {4: PTR.astype(np.int64)},
        {5: OFFSETS[:2]},
        {5: OFFSETS.astype(np.int32)},
        {"tile": np.int64(0)},
        {"tile": np.int64(2)},
        {"tile": np.int64(65_537)},
        {"tile": None},
        {"soft": None},
        {"result": ((4,), "f4")},
        {"result": ((3,), "f8")},
        {"result": ((1, 3), "f4")},
    ),
    "RowsUpdateOnPost": (
        {6: PLACES[:2]},
        {6: PLACES.astype(np.int64)},
        {6: PLACES.astype(np.float32)},
        {1: f32(2)},
        {2: f32(3)},
    ),
    "DenseUpdate": (
        {0: f32(6)},
        {0: f32(3, 2)},
        {0: f32(1, 2, 3)},
        {0: np.ones((2, 3), np.int32)},
        {0: f32(2, 0)},
        {1: f32(3)},
        {1: np.ones(2, np.float64)},
        {2: f32(2)},
        {3: f32(1)},
        {"on_post": np.int64(1)},
        {"on_post": None},
        {"result": ((3, 2), "f4")},
        {"result": ((2, 3), "f2")},
    ),
    "Replace": (
        {0: f32()},
        {0: np.ones(3, np.int32)},
        {1: np.zeros(2, np.int64)},
        {1: np.zeros((), np.int32)},
        {2: f32(3)},
        {2: np.ones(2, np.float64)},
        {"result": ((2,), "f4")},
    ),
    "DrawCount": (
        {0: ALL.astype(np.int8)},
        {0: ALL.astype(np.int64)},
        {0: np.arange(4, dtype=np.int32)},
        {"n_selected": np.int64(3)},
        {"n_selected": np.int64(5)},
        {"n_selected": np.int64(-1)},
        {**THREE, 0: THREE[0] - 1},
        {**THREE, 0: THREE[0] + 2},
        {**THREE, 0: THREE[0][::-1].copy()},
        {"pre_begin": np.int64(-1)},
        {"pre_end": np.int64(5)},
        {"post_begin": np.int64(5)},
        {"post_end": np.int64(6)},
        {"post_end": None},
        {1: GAPS[:0]},
        {1: GAPS.astype(np.uint8)},
        {1: GAPS[:, :100]},
        {2: NONE.astype(np.int32)},
        {1: np.zeros((9, 256, 4), np.uint32)},
        {"rule": np.int64(4)},
        {"rule": np.int64(4), 2: np.zeros(5, np.uint32)},
        {"rule": np.int64(5)},
        {"rule": np.int64(5), 2: np.zeros(9, np.uint32)},
        {"rule": np.int64(5), 2: np.full(400, 2**32 - 1, np.uint32)},
        {"rule": np.int64(6)},
        {"rule": None},
        {"rule": np.int32(1)},
        {"n_in": np.int64(5)},
        {"n_in": np.int64(-4)},
        {"n_out": np.int64(0)},
        {"n_out": np.int64(2**40)},
        {"tile": np.int64(0)},
        {"tile": np.int64(70_000)},
        {3: SEED[:1]},
        {"allow_self": None},
        {"rule": np.int64(2), "conn_num": np.int64(6)},
        {"rule": np.int64(3), "conn_num": np.int64(5)},
        {"rule": np.int64(2), "conn_num": np.int64(-1)},
        {"rule": np.int64(2), "conn_num": np.int64(2**62), "allow_multi": np.int64(1)},
        {"result": ((4,), "i4")},
        {"result": ((5,), "f4")},
    ),
    "ProceduralForward": (
        {0: f32(1, 4)},
        {0: f32(1, 1, 5)},
        {0: np.ones((1, 1, 4), np.int32)},
        {0: np.ones((1, 1, 4), np.float64)},
        {1: f32(2)},
        {1: f32(1, 20)},
        {1: np.ones(1, np.int32)},
        {2: np.arange(4, dtype=np.int32)},
        {3: GAPS[:0]},
        {"rule": np.int64(3)},
        {"rule": np.int64(2), "conn_num": np.int64(6)},
        {"pre_end": np.int64(3)},
        {"prob": None},
        {"prob": np.int64(1)},
        {"result": ((1, 1, 4), "f4")},
        {"result": ((1, 1, 5), "f8")},
    ),
    "ProceduralSpikeCotangent": (
        {0: f32(2)},
        {1: f32(1, 1, 4)},
        {1: np.ones((1, 1, 5), np.float64)},
        {"rule": np.int64(3)},
        {"seed": None},
        {"result": ((1, 1, 5), "f4")},
        {"result": ((1, 1, 4), "f8")},
    ),
    "ProceduralWeightCotangent": (
        {0: f32(1, 1, 5)},
        {0: np.ones((1, 1, 4), np.float64)},
        {1: f32(1, 2, 5)},
        {1: np.ones((1, 1, 5), np.float64)},
        {"n_out": np.int64(6)},
        {"result": ((1, 2), "f4")},
        {"result": ((1,), "f2")},
    ),
    "GeneratedForward": (
        {0: f32(1, 1, 5)},
        {0: np.ones((1, 1, 4), np.int32)},
        {1: f32(1)},
        {1: f32(1, 3)},
        {2: TABLE[:1]},
        {2: TABLE.astype(np.float64)},
        {3: np.arange(4, dtype=np.int32)},
        {4: GAPS[:0]},
        {"rule": np.int64(3)},
        {"prob": None},
        {"result": ((1, 1, 4), "f4")},
        {"result": ((1, 1, 5), "f8")},
    ),
    "GeneratedSpikeCotangent": (
        {0: f32(1)},
        {1: np.ones((1, 1, 5), np.float64)},
        {2: TABLE[:, 1:]},
        {"seed": None},
        {"result": ((1, 1, 5), "f4")},
    ),
    "GeneratedWeightCotangent": (
        {0: f32(1, 1, 5)},
        {1: f32(1, 2, 5)},
        {2: TABLE[:, 1:]},
        {"result": ((1,), "f4")},
        {"result": ((1, 2), "f2")},
    ),
    "StandardWeights": (
        {0: PTR[:0]},
        {0: PTR.astype(np.int64)},
        {1: OFFSETS.astype(np.int32)},
        {2: TABLE[:1]},
        {"tile": np.int64(0)},
        {"n_out": np.int64(-1)},
        {3: SEED[:1]},
        {3: SEED.astype(np.int32)},
        {"result": ((4,), "f4")},
    ),
    "DrawFill": (
        {3: np.arange(5, dtype=np.int32)},  # other counts than the draw has
        {3: np.array([0, 5, -(2**31), 2**31 - 1, 20], np.int32)},
        {3: np.zeros(4, np.int32)},
        {4: SEED[:1]},
        {"result": ((19,), "u2")},
        {"result": ((20,), "i4")},
    ),
    "DrawRowCounts": (
        {"n_partners": np.int64(0)},
        {"n_partners": np.int64(2**31)},
        {"conn_num": np.int64(-1)},
        {"conn_num": np.int64(11)},  # more than half, which would not end
        {"conn_num": np.int64(2**31), "allow_multi": np.int64(1)},
        {0: SEED[:1]},
        {0: SEED.astype(np.int64)},
        {"result": ((4,), "f4")},
    ),
}


def ffi(name, arguments, attributes, shape, dtype):
    several = isinstance(shape[0], tuple) if shape else False
    out = [jax.ShapeDtypeStruct(s, jnp.dtype(dtype)) for s in (shape if several else [shape])]
    out = out if several else out[0]
    call = jax.ffi.ffi_call(loader.target(name), out)
    return jax.block_until_ready(jax.jit(lambda *a: call(*a, **attributes))(*arguments))


def changed(name, change):
    arguments, attributes, shape, dtype = GOOD[name]
    arguments, attributes = list(arguments), dict(attributes)
    for key, value in change.items():
        if key == "result":
            shape, dtype = value
        elif isinstance(key, int):
            arguments[key] = value
        elif value is None:
            del attributes[key]
        else:
            attributes[key] = value
    return arguments, attributes, shape, dtype


@native
@pytest.mark.x64  # so that arguments keep their 64 bits
@pytest.mark.parametrize("name", GOOD)
def test_good_calls(name):
    ffi(name, *GOOD[name])


@native
@pytest.mark.parametrize("name", [name for name in GOOD if name.startswith("Generated")])
def test_repeats_mean_nothing_to_independent_pairs(name):
    """Their number once decided how many partners a Bernoulli line had, in room for one each (found by the sanitizers)."""
    repeats = {"allow_multi": np.int64(1), "conn_num": np.int64(100_000)}
    np.testing.assert_array_equal(ffi(name, *changed(name, repeats)), ffi(name, *GOOD[name]))


CASES = [(name, i) for name, changes in HOSTILE.items() for i in range(len(changes))]


def try_from(start: int) -> None:
    """Say what each hostile call ends with; a crash ends the process."""
    jax.config.update("jax_enable_x64", True)
    for at in range(start, len(CASES)):
        name, i = CASES[at]
        try:
            ffi(name, *changed(name, HOSTILE[name][i]))
            print(f"CASE {at} accepted", flush=True)
        except Exception as error:  # noqa: BLE001 - what it is, is what is asked
            print(f"CASE {at} {type(error).__name__}: {error}".replace("\n", " "), flush=True)


@functools.cache
def outcomes() -> list[str]:
    """What each call ended with, in a process of its own that is started again after a crash."""
    found = []
    while len(found) < len(CASES):
        done = run_python(
            f"from backends import test_native; test_native.try_from({len(found)})", timeout=300
        )
        for line in done.stdout.splitlines():
            if line.startswith("CASE "):
                found.append(line.split(" ", 2)[2])
        if len(found) < len(CASES):
            found.append(f"the process died, {done.returncode}: {done.stderr[-500:]}")
    return found


@native
@pytest.mark.parametrize("name, i", CASES)
def test_hostile_calls_are_errors(name, i):
    outcome = outcomes()[CASES.index((name, i))]
    shown = {k: v for k, v in HOSTILE[name][i].items()}
    assert outcome.startswith(("JaxRuntimeError", "XlaRuntimeError")), f"{shown}: {outcome}"
    assert "INVALID_ARGUMENT" in outcome, outcome


@native
@pytest.mark.parametrize(
    "ptr", [[0, 2**31 - 1, 3], [-(2**31), 2, 3], [3, 2, 1], [0, -1, 2**31 - 1], [5, 9, 7]]
)
@pytest.mark.parametrize("name", [n for n in GOOD if n.startswith("Rows")])
def test_pointers_cannot_lead_outside(name, ptr):
    """Pointers that construction would never make are clamped to the buffers."""
    arguments, attributes, shape, dtype = GOOD[name]
    arguments = [np.array(ptr, np.int32) if a is PTR else a for a in arguments]
    if name == "RowsUpdateOnPost":
        arguments[4] = np.array([*ptr, 3], np.int32)
        arguments[6] = np.array([-5, 2**31 - 1, -(2**31)], np.int32)
    out = np.asarray(ffi(name, arguments, attributes, shape, dtype))
    assert out.shape == shape and np.all(np.isfinite(out)) and np.all(np.abs(out) <= 6)


LAWS = (
    nn.EventFixedTotalNum(60, 40, 900, 1.0, storage="procedural"),
    nn.EventFixedTotalNum(60, 40, 900, 1.0, allow_multi_conn=True, storage="procedural"),
    nn.EventDistanceProb(60, 40, nn.profiles.Gaussian(0.9, 5.0), 1.0, storage="procedural"),
    nn.EventDistanceProb(
        (6, 8), (4, 8), nn.profiles.Exponential(0.9, 1.0), 1.0, periodic=True, storage="procedural"
    ),
)


@native
@pytest.mark.parametrize("op", LAWS, ids=repr)
def test_tables_of_a_law_cannot_lead_outside(op):
    """Whatever they hold, every target is a neuron."""
    rng = np.random.default_rng(0)
    graph = op.graph
    (selected, gaps, law), attributes = drawing.native_arguments(graph, drawing.whole(graph), 40)
    out = jax.ShapeDtypeStruct((1, 1, graph.n_out), jnp.float32)
    call = jax.ffi.ffi_call(loader.target("ProceduralForward"), out)
    run = jax.jit(lambda *a: call(*a, prob=0.5, **attributes))
    spikes, weight = f32(1, 1, graph.n_in), f32(1)
    head = 9 if graph.lattice else 0
    for values in ([0, 1, 2, 7], [2**31 - 1, 2**31, 2**32 - 1], range(40), range(2**20)):
        for _ in range(5):
            changed = law.copy()
            places = rng.integers(head, law.size, max(1, law.size // rng.integers(1, 40)))
            changed[places] = rng.choice(np.array(values, np.uint32), places.size)
            tables = gaps if rng.random() < 0.5 else rng.integers(0, 2**32, gaps.shape, np.uint32)
            result = np.asarray(run(spikes, weight, selected, tables, changed))
            assert np.all(np.isfinite(result)) and np.all(result >= 0)


@native
def test_a_lattice_that_names_a_pair_often():
    """Targets of a row with generated weights are kept in a list with room for each neuron once."""
    op = nn.EventDistanceProb(
        60, 40, nn.profiles.Box(1.0, 99.0), nn.weights.Normal(0.0, 1.0), storage="procedural"
    )
    (selected, gaps, law), attributes = drawing.native_arguments(
        op.graph, drawing.whole(op.graph), 40
    )
    classes, levels, pairs = (int(n) for n in law[6:9])
    law = law.copy()
    starts = 9 + classes + 1 + 2 * levels
    law[starts + levels + 1 :].reshape(pairs, 4)[:, :2] = 0
    law[starts : starts + levels + 1] = np.arange(levels + 1) % 2 * pairs
    law[9 : 9 + classes + 1] = np.arange(classes + 1) % 2 * levels
    arguments = [f32(1, 1, op.in_size), f32(1, 2), TABLE, selected, gaps, law]
    shape = (1, 1, op.out_size)
    result = ffi("GeneratedForward", arguments, attributes | {"prob": 0.5}, shape, "f4")
    assert np.all(np.isfinite(result))


@native
@pytest.mark.parametrize("empty", range(4))
@pytest.mark.parametrize("name", ["DenseForward", "DenseSpikeCotangent", "DenseWeightCotangent"])
def test_a_side_without_elements(name, empty):
    """Found by fuzzing: a batch of nothing was divided by."""
    v, b, n_in, n_out = (0 if i == empty else 5 for i in range(4))
    spikes, weight, g = f32(v, b, n_in), f32(v, n_in, n_out), f32(v, b, n_out)
    arguments, out = {
        "DenseForward": ([spikes, weight], g.shape),
        "DenseSpikeCotangent": ([weight, g], spikes.shape),
        "DenseWeightCotangent": ([spikes, g], weight.shape),
    }[name]
    assert np.array_equal(ffi(name, arguments, {}, out, "f4"), np.zeros(out))


@native
def test_a_lattice_of_sides_beyond_32_bits_is_none():
    """Two sides of nearly 2**32 overflowed their product."""
    op = LAWS[2]
    operands, attributes = drawing.native_arguments(op.graph, drawing.whole(op.graph), 40)
    law = operands[2].copy()
    law[0] = law[3] = 2**32 - 1
    arguments = [f32(1, 1, op.in_size), f32(1), *operands[:2], law]
    with pytest.raises(Exception, match="law is no lattice of these sizes"):
        ffi("ProceduralForward", arguments, attributes | {"prob": 0.5}, (1, 1, op.out_size), "f4")


@native
@pytest.mark.parametrize("allow_multi", [0, 2, -1])
def test_more_pairs_than_there_are_end(allow_multi):
    """Found by the hostile calls: what is neither 0 nor 1 was checked as repeats and drawn as distinct, for ever."""
    attributes = {"n_partners": 2, "conn_num": 5, "allow_multi": allow_multi}
    with pytest.raises(Exception, match="conn_num is out of range"):
        ffi("DrawRowCounts", [SEED], attributes, (2,), "i4")


def test_the_sanitizers_call_every_handler():
    """The list in tests/native/calls.h against the sources; the GPU's handlers need a stream of XLA."""
    sources = "".join(path.read_text() for path in CSRC.rglob("*.cc") if "gpu" not in path.parts)
    handlers = set(
        re.findall(r"EVENTOPS_(?:HANDLER\(Eventops|PROCEDURAL\(|GENERATED\()(\w+)[,)]", sources)
    )
    listed = (CSRC.parent.parent / "tests/native/calls.h").read_text().split("#include")[0]
    assert set(re.findall(r"X\((\w+)\) ?", listed)) == handlers - {"name"}


BOOLS = (
    nn.EventLinear(130, 3, np.ones((130, 3), np.float32)),
    nn.EventFixedNumConn(130, 9, 2, 0.5),
    nn.EventFixedProb(130, 9, 0.4, 0.5, storage="procedural"),
)


@native
@pytest.mark.parametrize("batch", [(), (9,)])
@pytest.mark.parametrize("op", BOOLS, ids=repr)
def test_a_bool_of_any_byte_is_one_event(op, batch):
    """A view of bytes as bools reaches the kernels as it is; each set bit was once taken for an event."""
    places = np.broadcast_to(np.arange(130) % 5, (*batch, 130)).astype(np.uint8)
    wild, tame = (51 * places).view(bool), places != 0
    np.testing.assert_array_equal(np.asarray(op(jnp.asarray(wild))), np.asarray(op(tame)))
    pull = jax.jit(lambda s: jax.vjp(lambda w: op.with_weight(w)(s), op.weight)[1](op(tame)))
    np.testing.assert_array_equal(*(np.asarray(pull(jnp.asarray(s))[0]) for s in (wild, tame)))


OUTSIDE = """
import jax, jax.numpy as jnp, eventops as nn
op = nn.EventFixedNumConn(4, 5, 2, {weight})
bad = jax.tree.map(lambda x: jnp.full_like(x, 65535) if x.dtype == jnp.uint16 else x, op)
spikes = jnp.ones(4)
for _ in range(100):
    for call in (
        lambda: bad(spikes),
        lambda: bad(jnp.ones((16, 4))),
        lambda: jax.grad(lambda s: bad(s).sum())(spikes),
        lambda: jax.grad(lambda s: bad(s).sum())(jnp.ones((16, 4))),
        lambda: jax.grad(lambda w: bad.with_weight(w)(spikes).sum())(bad.weight),
    ):
        try:
            jax.block_until_ready(call())
        except Exception:
            pass
print("alive")
"""


@native
@pytest.mark.parametrize("weight", ["0.5", "jnp.ones(8)"])
def test_offsets_cannot_lead_outside(weight):
    """Nor do offsets, which any function on the leaves of an operator can reach."""
    done = run_python(OUTSIDE.format(weight=weight))
    assert "alive" in done.stdout, f"died of {done.returncode}"
