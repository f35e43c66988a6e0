"""Figures of single kernels that the sweep does not take: ``python -m eventops.bench.kernels [section ...]``.

Every line is a ratio of two ways to do one thing, measured in turn in one process, with its bootstrap 95 %
interval; above 1 the first way is faster. ``docs/kernels.md`` holds such a table and what follows from it.
"""

from __future__ import annotations

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np

import eventops as nn
from eventops.bench.kernels import cases as kernel_cases
from eventops.bench.kernels import steps
from eventops.bench.measure import stats
from eventops.bench.measure.timing import Method, interleave
from eventops.bench.peers import foreign

SETTINGS = {"rounds": 15, "warmup": 2, "min_sample_s": 0.01, "budget_s": 2.0, "give_up_s": 5.0}
RATES = (0.001, 0.01, 0.1, 1.0)
THEIRS = "brainevent"
# Of every comparison since `run` began: what, ours_s, method, ratio, lo, hi.
ROWS: list[dict] = []
# What could not be compared since then, and why.
LEFT_OUT: list[str] = []


def compare(what: str, ours, others: dict, steps: int = 1) -> None:
    """Print the time of ``ours`` and how many times as long the others take, and keep it in ``ROWS``.

    Parameters
    ----------
    what : str
    ours : (callable, list)
        A function of one argument, and arguments to rotate through.
    others : dict of str to (callable, list)
    steps : int
        In one call; times are those of one step.
    """
    methods = []
    for name, (call, arguments) in {"ours": ours, **others}.items():
        run = functools.partial(_finished, call)
        methods.append(Method(name, run, arguments, steps, ours=not name.startswith(THEIRS)))
    interleave(methods, SETTINGS)
    for method in methods:
        if method.broken:
            _leave_out(f"{what}: {method.name}: {method.broken}")
    methods = [method for method in methods if not method.broken]
    mine, *rest = (dict(m.samples) for m in methods)
    median = stats.summary(list(mine.values()))["median"]
    found = [f"{what:40s} {1e6 * median:9.1f} us"]
    for method, samples in zip(methods[1:], rest):
        r = stats.ratio(samples, mine)
        row = {"what": what, "ours_s": median, "method": method.name}
        ROWS.append(row | {key: r[key] for key in ("ratio", "lo", "hi")})
        found.append(f"{method.name} x {r['ratio']:.2f} [{r['lo']:.2f}, {r['hi']:.2f}]")
    print("   ".join(found), flush=True)


def _leave_out(why: str) -> None:
    LEFT_OUT.append(why)
    print(why, flush=True)


def _add_brainevent(others: dict, make, spikes: list) -> None:
    """Put the product by ``make(brainevent)``, one of its matrices, beside the others; or say why there is none."""
    try:
        with foreign.at_work(THEIRS):
            brainevent = foreign.brainevent()
            matrix = make(brainevent)
    except (foreign.Absent, foreign.Unable) as error:
        _leave_out(str(error))
        return
    product = _bound(lambda m, s: brainevent.BinaryArray(s) @ m, matrix)
    others[f"{THEIRS} {type(matrix).__name__}"] = (product, spikes)


def _finished(call, argument):
    return jax.block_until_ready(call(argument))


def _spikes(n, rate, *batch, count=4):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.random((*batch, n)) < rate) for _ in range(count)]


def _bound(function, *first):
    """The jitted function with its first arguments, which are arguments and not constants."""
    jitted = jax.jit(function)
    return lambda x: jitted(*first, x)


def _apply(op, s):
    return op(s)


def _dense(w, s):
    return s.astype(w.dtype) @ w


def _normal(n, dtype="float32"):
    return jnp.asarray(np.random.default_rng(1).normal(size=(n, n)), dtype)


def batches() -> None:
    """A batch of 32 in one call, against 32 calls, a loop in one program, and the dense product."""
    ops = [nn.EventLinear(n, n, _normal(n)) for n in (1000, 4000, 10_000)]
    for n, k in ((4000, 80), (40_000, 80), (100_000, 1000)):
        ops.append(nn.EventFixedNumConn(n, n, k, 0.5))
    for op in ops:
        single, batch = _bound(_apply, op), _bound(_apply, op)
        loop = _bound(lambda op, s: jax.lax.map(op, s), op)
        for rate in RATES:
            stacks = _spikes(op.in_size, rate, 32)
            split = [list(s) for s in stacks]
            others = {
                "32 calls": (lambda parts, call=single: [call(s) for s in parts], split),
                "loop": (loop, stacks),
            }
            if op.weight.ndim == 2:
                others["jnp dense"] = (_bound(_dense, op.weight), stacks)
            name = f"{type(op).__name__} {op.in_size} {op.n_synapses // op.in_size} {rate}"
            compare(name, (batch, stacks), others)


def cotangents() -> None:
    """The native dense cotangents, against XLA's dot, for one vector and for 32."""

    def spikes(op, pair):
        return jax.vjp(op, pair[0])[1](pair[1])

    def weights(op, pair):
        return jax.vjp(lambda w: op.with_weight(w)(pair[0]), op.weight)[1](pair[1])

    for n in (1000, 4000):
        for dtype in ("float32", "bfloat16"):
            op = nn.EventLinear(n, n, _normal(n, dtype))
            for batch in (1, 32):
                s = [x.astype(dtype) for x in _spikes(n, 0.01, batch)]
                pairs = [(x, jnp.ones((batch, n), dtype)) for x in s]
                for name, ours, xla in (
                    ("spikes", spikes, lambda w, p: p[1] @ w.T),
                    ("weights", weights, lambda w, p: p[0].T @ p[1]),
                ):
                    what = f"cotangent of {name} {n} {dtype} batch {batch}"
                    others = {"XLA": (_bound(xla, op.weight), pairs)}
                    compare(what, (_bound(ours, op), pairs), others)


def precision() -> None:
    """Half the bytes: 16-bit weights against float32."""
    wide = nn.EventLinear(10_000, 10_000, _normal(10_000))
    for dtype in ("bfloat16", "float16"):
        op = nn.EventLinear(10_000, 10_000, wide.weight.astype(dtype))
        for rate in RATES:
            s = _spikes(10_000, rate)
            others = {"float32": (_bound(_apply, wide), s)}
            compare(f"EventLinear 10000 {dtype} {rate}", (_bound(_apply, op), s), others)


def procedural() -> None:
    """Graphs drawn on every call, against stored ones and brainevent's just-in-time matrix."""
    for n, p in ((10_000, 0.1), (10_000, 0.01), (40_000, 0.01)):
        op, stored = (
            nn.EventFixedProb(n, n, p, 0.5, storage=storage) for storage in ("procedural", "sparse")
        )
        for rate in RATES[:3]:
            s = _spikes(n, rate)
            others = {"sparse": (_bound(_apply, stored), s)}
            law = (jnp.float32(0.5), p, 123)
            _add_brainevent(
                others, lambda b, law=law, n=n: b.JITCScalarR(law, shape=(n, n), corder=True), s
            )
            compare(f"EventFixedProb {n} {p} {rate}", (_bound(_apply, op), s), others)
    for n, k in ((4000, 80), (40_000, 80), (100_000, 1000)):
        op, stored = (
            nn.EventFixedNumConn(n, n, k, 0.5, storage=s) for s in ("procedural", "sparse")
        )
        for rate in RATES[:3]:
            s = _spikes(n, rate)
            others = {"sparse": (_bound(_apply, stored), s)}
            compare(f"EventFixedNumConn {n} {k} {rate}", (_bound(_apply, op), s), others)


def generated() -> None:
    """Random weights that are generated on every call, against stored ones and brainevent's just-in-time matrices."""
    n, p = 10_000, 0.1
    normal = (jnp.float32(0.5), jnp.float32(0.1), p, 123)
    uniform = (jnp.float32(0.0), jnp.float32(1.0), p, 123)
    more = {"shape": (n, n), "corder": True}
    theirs = {
        "Normal": lambda b: b.JITCNormalR(normal, **more),
        "Uniform": lambda b: b.JITCUniformR(uniform, **more),
    }
    for law in (nn.weights.Normal(0.5, 0.1), nn.weights.Uniform(0.0, 1.0)):
        name = type(law).__name__
        op = nn.EventFixedProb(n, n, p, law, storage="procedural")
        others = {"homogeneous": op.with_weight(0.5), "sparse": nn.EventFixedProb(n, n, p, law)}
        for rate in RATES[:3]:
            s = _spikes(n, rate)
            rest = {key: (_bound(_apply, other), s) for key, other in others.items()}
            _add_brainevent(rest, theirs[name], s)
            compare(f"EventFixedProb {n} {p} {name} {rate}", (_bound(_apply, op), s), rest)


def delays() -> None:
    """A step of a scan with delays, one for all synapses or one for each, against the product without."""
    for n, k in ((4000, 80), (40_000, 80), (100_000, 1000)):
        for weights in ("homogeneous", "per-synapse"):
            job = _job(n, k) | {"weights": weights, "delays": [1, 4, 16, 64]}
            _compare_cases(f"{k} of {n} {weights}", kernel_cases.delays(job))


def plasticity() -> None:
    """Weight updates on spikes, against brainevent's: in a donated buffer call by call, and per step of a scan."""
    for n, k in ((4000, 80), (40_000, 80), (10_000, 1000)):
        _compare_cases(f"{k} of {n}", kernel_cases.plasticity(_job(n, k)))


def drive() -> None:
    """Poisson input of many neurons, against JAX's Poisson numbers and against 32 random bits for each."""
    for comparison in steps.drive():
        compare(*comparison)


def neurons() -> None:
    """The native step of neurons, against XLA's loop for the same equations."""
    for comparison in steps.neurons():
        compare(*comparison)


def once() -> None:
    """The two hot kernels four times each and nothing else, for a profiler that counts instructions."""
    rows = nn.EventFixedNumConn(40_000, 40_000, 80, 0.5, seed=1)
    dense = nn.EventLinear(2000, 2000, _normal(2000))
    call = jax.jit(_apply)
    for name, op, rate, fan_out in (("synapses", rows, 0.01, 80), ("weights", dense, 0.1, 2000)):
        spikes = _spikes(op.in_size, rate)
        for s in spikes:
            jax.block_until_ready(call(op, s))
        print(f"{name} visited: {sum(int(s.sum()) for s in spikes) * fan_out}")


def _job(n: int, k: int) -> dict:
    return {"n": n, "conn": k, "weights": "per-synapse", "rate": "0.01", "seed": 0}


def _compare_cases(name: str, cases) -> None:
    for case in cases:
        ways = dict(case.calls)
        ours = "delayed" if "delayed" in ways else "eventops"
        first = ways.pop(ours)
        for method, (call, arguments) in case.calls.items():
            try:  # compiled, for which the timer would give up
                with contextlib.nullcontext() if method != THEIRS else foreign.at_work(method):
                    _finished(call, arguments[0])
            except (foreign.Absent, foreign.Unable) as error:
                _leave_out(f"{name}, {case.what}: {method}: {error}")
                ways.pop(method)
        compare(f"{name}, {case.what}", first, ways, case.steps)


SECTIONS = {
    f.__name__: f
    for f in (
        batches,
        cotangents,
        precision,
        procedural,
        generated,
        delays,
        plasticity,
        drive,
        neurons,
    )
}
# Not among those that run without a name, nor in a record: nothing is compared.
ALONE = {"once": once}


def run(names: list[str]) -> dict:
    """Run sections, and keep what they print.

    Parameters
    ----------
    names
        Of ``SECTIONS``.

    Returns
    -------
    dict
        ``rows``: section, what, ours_s, method, ratio and its 95 % interval (lo, hi), one for each pair that was
        compared; ``absent``: section to the reason why it could not run, or why a peer took no part in it.
    """
    rows, absent = [], {}
    for name in names:
        ROWS.clear()
        LEFT_OUT.clear()
        try:
            SECTIONS[name]()
        except (ImportError, foreign.Absent, foreign.Unable) as error:
            _leave_out(str(error))
        if LEFT_OUT:
            absent[name] = "; ".join(LEFT_OUT)
        rows += [{"section": name, **row} for row in ROWS]
    return {"rows": rows, "absent": absent}


def main(names: list[str]) -> None:
    known = SECTIONS | ALONE
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"kernels: no section {unknown[0]!r}; there are {', '.join(known)}")
    for name in names or SECTIONS:
        print(f"# {name}: {known[name].__doc__.splitlines()[0]}")
        run([name]) if name in SECTIONS else ALONE[name]()
