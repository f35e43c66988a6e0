"""The one table of cases: operators that every test of the core crosses with backends, dtypes and spikes."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import eventops as nn
from eventops.bench.verify import oracle
from eventops.core import loader
from eventops.graphs.profiles import Box, Exponential, Gaussian

BACKENDS = (None, "reference")
native = pytest.mark.skipif(loader.unavailable() is not None, reason=str(loader.unavailable()))
WEIGHTS = ("scalar", "per-synapse")
GENERATED = "generated"  # only where no synapse is stored: a location and a scale
LAW = nn.weights.Normal(0.2, 0.7)


@dataclasses.dataclass(frozen=True)
class Case:
    """An operator without its weights."""

    kind: str
    n_in: int
    n_out: int
    conn: float | int | None = None
    options: tuple[tuple[str, object], ...] = ()

    @property
    def id(self) -> str:
        parts = [self.kind, f"{self.n_in}x{self.n_out}"]
        parts += [] if self.conn is None else [str(self.conn)]
        return "-".join(parts + [f"{name}={value}" for name, value in self.options])

    @property
    def has_backend(self) -> bool:
        return self.kind != "Linear"

    def make(self, weight="scalar", dtype="float32", backend=None, **more):
        """The operator. ``weight`` is one of ``WEIGHTS``, ``GENERATED``, or what the operator itself takes."""
        if isinstance(weight, str):
            scalar = LAW if weight == GENERATED else 0.3
            weight = normal(weight_shape(self)) if weight == "per-synapse" else scalar
        options = {**dict(self.options), "dtype": dtype, **more}
        if self.has_backend:
            options["backend"] = backend
        if self.kind == "EventSparse":
            return self._make_sparse(weight, options)
        conn = () if self.conn is None else (self.conn,)
        sizes = options.pop("shapes", (self.n_in, self.n_out))
        return getattr(nn, self.kind)(*sizes, *conn, weight, **options)

    def _make_sparse(self, weight, options):
        """``conn`` entries in any order, each of a pair of its own unless repeats are kept."""
        rng = np.random.default_rng(int(self.conn))
        repeated = options.get("duplicates") == "keep"
        place = rng.choice(self.n_in * self.n_out, self.conn, replace=repeated) if self.conn else []
        pair = np.divmod(np.asarray(place, np.int64), max(1, self.n_out))
        shape = (self.n_in, self.n_out)
        if callable(weight) or np.ndim(weight) == 0:
            return nn.EventSparse(pair, weight, shape=shape, **options)
        if not isinstance(weight, np.ndarray):  # traced, say
            return nn.EventSparse(pair, 0.0, shape=shape, **options).with_weight(weight)
        given = np.empty_like(weight)
        given[np.lexsort(pair[::-1])] = weight
        return nn.EventSparse((*pair, given), shape=shape, **options)


@functools.lru_cache(maxsize=256)
def weight_shape(case: Case) -> tuple[int, ...]:
    """Shape of weights that are not homogeneous."""
    return (case.n_in, case.n_out) if case.conn is None else (case.make(0.5).n_synapses,)


def normal(shape) -> np.ndarray:
    """Numbers of both signs, so that sums cancel and rounding shows."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def case(kind, n_in, n_out, conn=None, **options) -> Case:
    return Case(kind, n_in, n_out, conn, tuple(options.items()))


# Every rule and option once, at sizes that are odd, prime, and around a machine word.
SMALL = (
    case("Linear", 7, 5),
    case("EventLinear", 1, 1),
    case("EventLinear", 63, 65),
    case("EventLinear", 64, 64),
    case("EventLinear", 65, 3),
    case("EventLinear", 131, 257),
    case("EventFixedProb", 1, 1, 1.0),
    case("EventFixedProb", 63, 65, 0.3),
    case("EventFixedProb", 64, 127, 0.9),
    case("EventFixedProb", 127, 64, 1e-3, seed=1),
    case("EventFixedProb", 13, 11, 1),
    case("EventFixedProb", 65, 65, 0.3, allow_self_conn=False, seed=2**62 + 5),
    case("EventFixedNumConn", 1, 1, 1),
    case("EventFixedNumConn", 63, 65, 5),
    case("EventFixedNumConn", 65, 63, 63),
    case("EventFixedNumConn", 64, 64, 63, allow_self_conn=False),
    case("EventFixedNumConn", 17, 31, 40, allow_multi_conn=True),
    case("EventFixedNumConn", 19, 19, 9, allow_multi_conn=True, allow_self_conn=False),
    case("EventFixedNumConn", 127, 64, 5, efferent_target="pre"),
    case("EventFixedNumConn", 64, 129, 64, efferent_target="pre", seed=3),
    case("EventFixedNumConn", 31, 31, 30, efferent_target="pre", allow_self_conn=False),
    case("EventFixedNumConn", 31, 17, 40, efferent_target="pre", allow_multi_conn=True),
    case("EventFixedNumConn", 100, 50, 0.29, efferent_target="pre", afferent_ratio=0.5),
    case("EventFixedNumConn", 101, 53, 7, afferent_ratio=0.3),
    case(
        "EventFixedNumConn",
        37,
        37,
        6,
        efferent_target="pre",
        afferent_ratio=0.4,
        allow_self_conn=False,
    ),
    case("EventFixedTotalNum", 1, 1, 1),
    case("EventFixedTotalNum", 63, 65, 700),
    case("EventFixedTotalNum", 17, 31, 500, seed=3),
    case("EventFixedTotalNum", 31, 31, 0.4, allow_self_conn=False),
    case("EventFixedTotalNum", 19, 23, 600, allow_multi_conn=True),
    case("EventFixedTotalNum", 9, 9, 50, allow_multi_conn=True, allow_self_conn=False),
    case("EventDistanceProb", 64, 64, Gaussian(0.7, 5.0)),
    case("EventDistanceProb", 60, 90, Exponential(1.0, 4.0), periodic=True, seed=2),
    case("EventDistanceProb", 63, 63, Box(0.3, 9.0), allow_self_conn=False),
    case("EventDistanceProb", 63, 42, Gaussian(0.9, 0.2), shapes=((7, 9), (7, 6)), extent=1.0),
    case("EventDistanceProb", 48, 48, Box(1.0, 2.0), shapes=((6, 8), (6, 8)), periodic=True),
    case("FixedNumConn", 63, 65, 5),
    case("FixedNumConn", 40, 30, 3, efferent_target="pre"),
    case("EventSparse", 1, 1, 1),
    case("EventSparse", 63, 65, 300),
    case("EventSparse", 17, 31, 900, duplicates="keep"),
)

# Nothing to connect, or nothing connected: zeros of the right shape.
EMPTY = (
    case("Linear", 0, 4),
    case("Linear", 4, 0),
    case("EventLinear", 0, 4),
    case("EventLinear", 4, 0),
    case("EventFixedProb", 0, 5, 0.5),
    case("EventFixedProb", 5, 0, 0.5),
    case("EventFixedProb", 5, 4, 0),
    case("EventFixedProb", 5, 4, 0.0),
    case("EventFixedProb", 5, 4, 1e-300),
    case("EventFixedProb", 1, 1, 0.5, allow_self_conn=False),
    case("EventFixedNumConn", 0, 5, 3),
    case("EventFixedNumConn", 5, 0, 0),
    case("EventFixedNumConn", 5, 0, 0, efferent_target="pre"),
    case("EventFixedNumConn", 5, 4, 0),
    case("EventFixedNumConn", 5, 4, 0, efferent_target="pre"),
    case("EventFixedNumConn", 5, 4, 3, afferent_ratio=0.0),
    case("EventFixedTotalNum", 0, 5, 0),
    case("EventFixedTotalNum", 5, 0, 0),
    case("EventFixedTotalNum", 5, 4, 0),
    case("EventDistanceProb", 0, 5, Box(1.0, 1.0)),
    case("EventDistanceProb", 5, 0, Box(1.0, 1.0)),
    case("EventDistanceProb", 5, 4, Box(0.0, 1.0)),
    case("FixedNumConn", 0, 0, 0),
    case("EventSparse", 0, 5, 0),
    case("EventSparse", 5, 0, 0),
    case("EventSparse", 5, 4, 0),
)

# Around the boundary where posts are cut into tiles (csr.tile_width), and several tiles.
TILED = (
    case("EventLinear", 40, 8193),
    case("EventFixedProb", 50, 8192, 0.05),
    case("EventFixedProb", 50, 8193, 0.05),
    case("EventFixedNumConn", 100, 20_000, 2_000),
    case("EventFixedNumConn", 60, 20_001, 7, efferent_target="pre"),
    case("EventFixedNumConn", 30, 70_001, 3_000),
    case("EventFixedNumConn", 40, 200_003, 3),
    case("EventFixedNumConn", 30, 66_000, 5_000, allow_multi_conn=True),
    case("EventSparse", 20, 8193, 20_000),
    case("EventSparse", 20, 70_001, 30_000, duplicates="keep"),
    case("EventFixedTotalNum", 40, 70_001, 90_000),
    case("EventDistanceProb", 30, 30_000, Gaussian(0.5, 1.0), periodic=True),
)


def procedural(case: Case) -> Case | None:
    """The same graph drawn again on every call, where the rule allows it."""
    options = dict(case.options)
    if case.conn is None or case.kind == "EventSparse" or options.get("efferent_target") == "pre":
        return None
    return dataclasses.replace(case, options=(*case.options, ("storage", "procedural")))


DRAWN = tuple(p for c in SMALL + EMPTY + TILED if (p := procedural(c)) is not None)


def weights_of(case: Case) -> tuple[str, ...]:
    """Nothing is stored per synapse, so not a weight either."""
    return WEIGHTS[:1] if ("storage", "procedural") in case.options else WEIGHTS


def ids(cases) -> list[str]:
    return [c.id for c in cases]


def with_backends(cases):
    """(case, backend) pairs; plain ``Linear`` has no backend to choose."""
    return [(c, b) for c in cases for b in BACKENDS if c.has_backend or b is None]


def active(n: int, seed: int = 0) -> np.ndarray:
    """(6, n) places: none, all, the first, the last, about a tenth, about half."""
    rng = np.random.default_rng(seed)
    places = np.zeros((6, n), bool)
    places[1] = True
    places[2, :1] = True
    places[3, -1:] = True
    places[4] = rng.random(n) < 0.1
    places[5] = rng.random(n) < 0.5
    return places


def typed(places: np.ndarray, dtype: str) -> np.ndarray:
    """Spikes in these places: true, or values of both signs that the dtype holds exactly."""
    if dtype == "bool":
        return places
    rng = np.random.default_rng(places.size)
    values = rng.integers(1, 8, places.shape)
    if not dtype.startswith("u"):
        values = values * np.where(rng.random(places.shape) < 0.4, -1, 1)
    if "float" in dtype:
        values = values / 4
    return np.where(places, values, 0).astype(jax.numpy.dtype(dtype))


def assert_product(op, spikes, computed, dtype=None):
    """The product is within the derived bound of the float64 one, element by element."""
    computed = np.asarray(computed)
    if dtype is not None:
        assert computed.dtype == dtype
    worst, at = oracle.worst_ratio(computed, oracle.product(op, np.asarray(spikes)))
    assert worst <= 1, f"{op!r}: error/bound {worst} at output {at}"


def bits(x) -> bytes:
    """For comparisons that know no tolerance (and for which nan equals nan)."""
    x = np.asarray(x)
    return f"{x.dtype}{x.shape}".encode() + x.tobytes()


def run_python(code: str, timeout: float = 120, **env) -> subprocess.CompletedProcess:
    """A fresh process, for what is chosen once in a process."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **env},
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )
