"""Check and measure the gpu backend on a machine that has a GPU: ``python -m eventops.bench.gpu [--out FILE]``.

Under ten minutes. Every operator is verified against the float64 oracle before it is timed, and two runs must agree bit
for bit; then it is timed in turn with what else there is: brainevent's CUDA kernels, cuSPARSE by way of ``BCOO``, the dense
product (cuBLAS) and XLA's own scatter (backend ``reference``). The record is JSON; ``docs/gpu.md`` says how to read it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import eventops as nn
from eventops import backends
from eventops.bench.measure import stats
from eventops.bench.measure.timing import Method, interleave
from eventops.bench.peers import foreign, peers
from eventops.bench.records import machine
from eventops.bench.verify import oracle

SETTINGS = {"rounds": 9, "warmup": 3, "min_sample_s": 0.005, "budget_s": 1.0, "give_up_s": 2.0}
RATES = (0.001, 0.01, 0.1)
OURS = ("gpu", "gpu-atomics")
PEERS = ("jnp-dense", "bcoo", "brainevent")
# Operator, neurons, partners or probability, storage.
POINTS = (
    ("EventLinear", 4000, None, "dense"),
    ("EventLinear", 20_000, None, "dense"),
    ("EventFixedNumConn", 4000, 80, "sparse"),
    ("EventFixedNumConn", 40_000, 80, "sparse"),
    ("EventFixedNumConn", 100_000, 1000, "sparse"),
    ("EventFixedNumConn", 1_000_000, 100, "sparse"),
    ("EventFixedProb", 10_000, 0.1, "sparse"),
    ("EventFixedNumConn", 100_000, 1000, "procedural"),
    ("EventFixedProb", 100_000, 0.01, "procedural"),
)
STEPS = 200
# A dense matrix of more bytes is not made.
DENSE_BYTES = 8 << 30
# Of an H100 and an H200: active bytes beyond this come from memory.
L2_BYTES = 50 << 20
# For --dry-run: the same steps on the CPU, so that they can be tried where there is no GPU.
SMALL = (
    ("EventLinear", 40, None, "dense"),
    ("EventFixedNumConn", 50, 5, "sparse"),
    ("EventFixedProb", 40, 0.2, "procedural"),
)


def operator(point, weight: str, backend: str):
    """The operator of a point; ``weight`` is "scalar" or "per-synapse"."""
    kind, n, conn, storage = point
    value = 0.3 if weight == "scalar" else jax.nn.initializers.normal(1.0)
    if kind == "EventLinear":
        return nn.EventLinear(n, n, value, backend=backend)
    return getattr(nn, kind)(n, n, conn, value, storage=storage, backend=backend)


def vectors(n: int, rate: float, count: int = 4) -> np.ndarray:
    """Spikes to rotate through."""
    return np.random.default_rng(0).random((count, n)) < rate


def check(op, spikes: np.ndarray) -> float:
    """The largest error over its bound; infinite if two runs differ where they must not."""
    first, second = (np.asarray(op(spikes)) for _ in range(2))
    if op.backend != "gpu-atomics" and first.tobytes() != second.tobytes():
        return math.inf
    return oracle.worst_ratio(first, oracle.product(op, spikes))[0]


def read_bandwidth(n_bytes: int = 1 << 30) -> float:
    """Bytes per second at which a sum reads the device's memory."""
    x = jnp.ones(n_bytes // 4, jnp.float32)
    run = jax.jit(jnp.sum)
    method = Method("read", lambda a: run(a).block_until_ready(), [x])
    interleave([method], SETTINGS)
    return n_bytes / min(seconds for _, seconds in method.samples)


def rivals(op, point) -> dict[str, tuple]:
    """Other ways to the same product, ``name: (data, step)``; a text instead where there is none."""
    found = {}
    job = {"allow_multi_conn": False, "conn_kind": "num", "storage": point[3], "dtype": "float32"}
    for name in PEERS:
        if name == "jnp-dense" and 4 * op.in_size * op.out_size > DENSE_BYTES:
            found[name] = "the dense matrix is too large"
            continue
        try:
            peer = peers.build(name, op, job)
            found[name] = (peer.data, peer.step)
        except (foreign.Absent, foreign.Unable) as error:
            found[name] = str(error)
    return found


def _apply(op, s):
    return op(s)


def _scanned(step):
    def run(data, stack):
        def turn(carry, s):
            return carry + step(data, s), None

        zero = jnp.zeros_like(step(data, stack[0]))
        return jax.lax.scan(turn, zero, stack)[0]

    return run


def measure(ways: dict, spikes: np.ndarray, steps: int) -> dict:
    """Median seconds per product of each way, called one by one and inside a scan."""
    found = {}
    for mode in ("call", "scan"):
        methods = []
        for name, (data, step) in ways.items():
            if mode == "call":
                function, arguments, divide = jax.jit(step), list(map(jnp.asarray, spikes)), 1
            else:
                order = np.arange(steps) % len(spikes)
                function, arguments, divide = (
                    jax.jit(_scanned(step)),
                    [jnp.asarray(spikes[order])],
                    steps,
                )
            run = functools.partial(_finished, function, data)
            ours = name in backends.BACKENDS
            try:
                with contextlib.nullcontext() if ours else foreign.at_work(name):
                    run(arguments[0])
            except (foreign.Absent, foreign.Unable) as error:
                found.setdefault(name, {})[f"{mode}_problem"] = str(error)
                continue
            methods.append(Method(name, run, arguments, divide, ours=ours))
        interleave(methods, SETTINGS)
        for method in methods:
            if method.broken:
                found.setdefault(method.name, {})[f"{mode}_problem"] = method.broken
                continue
            seconds = [s for _, s in method.samples]
            found.setdefault(method.name, {})[mode] = stats.summary(seconds)["median"]
    return found


def _finished(function, data, argument):
    return jax.block_until_ready(function(data, argument))


def run(points=POINTS, rates=RATES, ours=OURS, steps=STEPS, say=print) -> dict:
    """All points: verified, then timed.

    Returns
    -------
    dict
        ``points``: for each its worst error over bound, the bytes stored and in use, and the times of every way.
    """
    rows = []
    for point in points:
        weights = ("per-synapse",) if point[0] == "EventLinear" else ("scalar", "per-synapse")
        for weight in weights if point[3] != "procedural" else ("scalar",):
            ops = {backend: operator(point, weight, backend) for backend in ours}
            one = next(iter(ops.values()))
            others = rivals(one, point)
            # XLA's own scatter; the reference of a procedural operator would hold its graph as a constant.
            if point[3] != "procedural":
                ops["reference"] = operator(point, weight, "reference")
            ways = {name: (op, _apply) for name, op in ops.items()}
            ways |= {name: way for name, way in others.items() if isinstance(way, tuple)}
            for rate in rates:
                spikes = vectors(one.in_size, rate)
                row = {"point": list(point), "weight": weight, "rate": rate, "bytes": one.nbytes}
                row["worst"] = {b: max(check(op, s) for s in spikes[:1]) for b, op in ops.items()}
                row["active_bytes"] = active_bytes(one, spikes, point, weight)
                row["absent"] = {k: v for k, v in others.items() if isinstance(v, str)}
                verified = {k: w for k, w in ways.items() if row["worst"].get(k, 0) <= 1}
                row["seconds"] = measure(verified, spikes, steps)
                row["memory"] = jax.devices()[0].memory_stats()
                rows.append(row)
                say(_line(row))
    return {"points": rows}


def active_bytes(op, spikes: np.ndarray, point, weight: str) -> float | None:
    """Bytes of the rows of the active inputs, on average; None where nothing is stored."""
    if point[3] == "procedural":
        return None
    each = 4 if point[3] == "dense" else 2 if weight == "scalar" else 6
    return float(spikes.sum(axis=1).mean() * each * op.n_synapses / op.in_size)


def summary(record: dict, ours: str = "gpu") -> dict[str, float | None]:
    """How the record stands beside what was aimed at; None where there is no row to tell.

    Returns
    -------
    dict
        For each way of calling the geometric mean and the least of *time of the best other way / our time*; the most of
        *our time / brainevent's* per step of a scan; the least share of the read bandwidth where the active rows
        exceed the second-level cache.
    """
    found: dict[str, float | None] = {}
    for mode in ("call", "scan"):
        speed = []
        for row in record["points"]:
            others = [
                t[mode] for name, t in row["seconds"].items() if name not in OURS and mode in t
            ]
            own = row["seconds"].get(ours, {}).get(mode)
            if own and others:
                speed.append(min(others) / own)
        found[f"{mode}: best other / ours, geometric mean"] = _or_none(speed, _geomean)
        found[f"{mode}: best other / ours, least"] = _or_none(speed, min)
    share, per_step = [], []
    for row in record["points"]:
        own, peer = (row["seconds"].get(name, {}).get("scan") for name in (ours, "brainevent"))
        if own and peer:
            per_step.append(own / peer)
        if own and (row["active_bytes"] or 0) > L2_BYTES:
            share.append(row["active_bytes"] / own / record["read_bandwidth_bytes_per_s"])
    found["scan: ours / brainevent, most"] = _or_none(per_step, max)
    found["share of the read bandwidth beyond the cache, least"] = _or_none(share, min)
    return found


def _or_none(values: list, function) -> float | None:
    return float(function(values)) if values else None


def _geomean(values: list) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def _line(row) -> str:
    worst = max(row["worst"].values())
    times = [
        f"{name} {1e6 * t.get('call', math.nan):.1f}/{1e6 * t.get('scan', math.nan):.1f}"
        for name, t in row["seconds"].items()
    ]
    head = " ".join(map(str, (*row["point"], row["weight"], row["rate"])))
    return f"{head:55s} error/bound {worst:.2g}  us call/scan: " + "  ".join(times)


def main(arguments: list[str]) -> int:
    """Write the record; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--dry-run", action="store_true", help="the same steps, small, on the CPU")
    options = parser.parse_args(arguments)
    reason = None if options.dry_run else backends.available()["gpu"]
    if reason is None and not options.dry_run and jax.default_backend() != "gpu":
        reason = "JAX's default device is no GPU; set JAX_PLATFORMS=cuda,cpu"
    if reason is not None:
        print(f"eventops.bench.gpu: {reason}", file=sys.stderr)
        return 1
    ours = ("cpu",) if options.dry_run else OURS
    jax.config.update("jax_bcoo_cusparse_lowering", not options.dry_run)
    record = {
        "device": jax.devices()[0].device_kind,
        "versions": machine.versions(),
        "read_bandwidth_bytes_per_s": read_bandwidth(1 << 20 if options.dry_run else 1 << 30),
    }
    record |= run(SMALL, (0.1,), ours, 3) if options.dry_run else run()
    record["summary"] = summary(record, ours[0])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1))
    for name, value in record["summary"].items():
        print(f"{name}: {'no row tells' if value is None else format(value, '.3g')}")
    wrong = [row for row in record["points"] if max(row["worst"].values()) > 1]
    print(f"{len(record['points'])} points, {len(wrong)} wrong; {options.out}")
    return 1 if wrong else 0
