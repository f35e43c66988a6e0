"""Time one verified job: the operator and its peers, in one process, round by round."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eventops.bench.measure import stats, timing
from eventops.bench.measure.rss import Growth
from eventops.bench.peers import foreign, peers
from eventops.bench.peers.peers import Peer
from eventops.bench.records import machine
from eventops.bench.sweep import predict, setup, synapses
from eventops.bench.verify import oracle

OURS = "eventops"
SCAN_BYTES = 2**26
"""Most bytes of stacked spikes in one scan."""
SCATTERED = "scattered"
"""How the reason of a point begins, or goes on, whose samples lie too far apart."""


def run(
    job: dict[str, Any],
    verified: dict[str, Any],
    memory_bytes: int | None = None,
    progress: Callable[[int, int, str], None] = lambda done, points, what: None,
) -> dict:
    """Measure a job.

    Parameters
    ----------
    job
        A job of `eventops.bench.sweep.jobs`.
    verified
        Its verify record. A point that did not pass is not timed.
    memory_bytes
        Physical memory; asked from the system by default.
    progress
        Called before each point with the number of points done, that of all, and what comes next.

    Returns
    -------
    dict
        The content of the record: facts of construction and one entry in ``points`` for each rate, batch,
        mode and method.
    """
    start = time.perf_counter()
    setup.prepare(job)
    result = {"job": job, "status": verified["status"], "reason": verified["reason"], "points": []}
    result |= {"n_checks": len(verified["checks"]), "versions": machine.versions(), "construct": {}}
    grid = _grid(job)
    refused = {(r, b): refusal(verified, r, b) for r, b, _ in grid}
    if all(refused.values()):
        result["points"] = [_row(*point, OURS, *refused[point[:2]]) for point in grid]
    else:
        limit = predict.limit_bytes(job, memory_bytes or machine.memory_bytes())
        bench = _Bench(job, limit)
        result["construct"] = bench.construct
        result["n_synapses"] = bench.op.n_synapses
        for i, (rate, batch, mode) in enumerate(grid):
            progress(i, len(grid), f"rate {rate}, batch {batch}, {mode}")
            reason = refused[rate, batch]
            if reason:
                result["points"].append(_row(rate, batch, mode, OURS, *reason))
            else:
                result["points"] += bench.point(rate, batch, mode)
    result["duration_s"] = time.perf_counter() - start
    return result


def _grid(job: dict) -> list[tuple[str, int, str]]:
    return [(r, b, m) for r in job["rates"] for b in job["batches"] for m in job["modes"]]


def refused(job: dict[str, Any], status: str, reason: str) -> list[dict]:
    """The points of a job of which none is timed: a row for each, with the same status and reason."""
    return [_row(*point, OURS, status, reason) for point in _grid(job)]


def refusal(verified: dict, rate: str, batch: int) -> tuple[str, str] | None:
    """Status and reason of a point that may not be timed, or None.

    A failed check that belongs to one point refuses that point; any other refuses the whole job.
    """
    if verified["status"] == "skipped":
        return "skipped", verified["reason"]
    for check in verified["checks"]:
        mine = check["rate"] is None or (check["rate"] == rate and check["batch"] == batch)
        if not check["passed"] and mine:
            return (
                "failed",
                f"{check['check']} ({check['where']}): {check['value']} {check['note']}",
            )
    checked = any(c["rate"] == rate and c["batch"] == batch for c in verified["checks"])
    if not checked:
        return "skipped", "not verified: visits more synapses than verify.max_synaptic_events"
    return None


def _row(rate, batch, mode, method, status="ok", reason="", **more) -> dict:
    row = {"rate": rate, "batch": batch, "mode": mode, "method": method}
    return row | {"status": status, "reason": reason, "samples": []} | more


def _scatter(method: timing.Method) -> float | None:
    return stats.scatter([seconds for _, seconds in method.samples])


def _flag(row: dict) -> str:
    times = "twice" if row["earlier_samples"] else "once"
    return f"{SCATTERED}: half of the samples span {row['scatter']:.0%} of their median, measured {times}"


class _Bench:
    """The operator and its peers, built one after the other with their memory counted."""

    def __init__(self, job, limit):
        self.job, self.limit = job, limit
        self.settings = job["measure"]
        self.construct: dict[str, dict] = {}
        self.ready: dict[str, Peer] = {}
        self.jitted: dict[Any, Any] = {}
        self.compiled: dict[Any, dict] = {}
        self.held = 0
        self.op = None
        # How fast the memory is changes from second to second on a shared machine: it is read in the same rounds.
        self.reader = machine.reader() if job["device"] == "cpu" else None
        self._build(OURS, self._ours)
        if synapses.drawn(self.op):
            self.held += synapses.of(self.op).nbytes  # for the peers and the oracle
        for name in job["peers"]:
            self._build(name, lambda name=name: peers.build(name, self.op, job))

    def _ours(self) -> Peer:
        self.op = jax.block_until_ready(setup.operator(self.job))
        nbytes, draws = self.op.nbytes, synapses.drawn(self.op)
        return Peer(self.op, lambda op, s: op(s), jnp.asarray, nbytes, False, True, draws)

    def _build(self, name, make) -> None:
        """Build one method, or keep the reason why not."""
        known = {**self.job, "n_synapses": self.op.n_synapses} if self.op is not None else self.job
        facts = {"bytes_predicted": predict.stored_bytes(known, name), "status": "ok", "reason": ""}
        self.construct[name] = facts
        reason = predict.too_big(predict.peak_bytes(known, name), self.held, self.limit)
        if reason is not None:
            facts |= {"status": "skipped", "reason": reason}
            return
        gc.collect()
        try:
            start = time.perf_counter()
            with Growth() as growth:
                peer = make()
            facts["construct_s"] = time.perf_counter() - start
        except foreign.Absent as error:
            facts |= {"status": "absent", "reason": str(error)}
            return
        except foreign.Unable as error:
            facts |= {"status": "skipped", "reason": str(error)}
            return
        facts |= {"bytes_stored": peer.nbytes, "rss_growth_bytes": growth.bytes}
        self.held += peer.nbytes
        self.ready[name] = peer
        self.jitted[name] = jax.jit(peer.step)

    def point(self, rate: str, batch: int, mode: str) -> list[dict]:
        """All methods at one rate, batch and mode."""
        n_vectors = self.settings["spike_vectors"]
        shape = (n_vectors, self.op.in_size) if batch == 1 else (n_vectors, batch, self.op.in_size)
        vectors = setup.spikes(rate, shape, self.job["seed"])
        events = {
            "events": float(np.mean(np.count_nonzero(vectors, axis=-1))),
            "synaptic_events": setup.synaptic_events(self.op, vectors),
        }
        rows, methods = [], []
        for name, facts in self.construct.items():
            row = _row(rate, batch, mode, name, facts["status"], facts["reason"], **events)
            rows.append(row)
            if name not in self.ready:
                continue
            peer = self.ready[name]
            row["bytes_moved"] = self._bytes_moved(name, peer, events, batch)
            if mode == "scan" and not peer.traceable:
                row |= {
                    "status": "skipped",
                    "reason": "not a JAX function: it cannot run in a scan",
                }
                continue
            try:
                with contextlib.nullcontext() if name == OURS else foreign.at_work(name):
                    methods.append((row, self._method(name, peer, vectors, mode, row)))
            except (foreign.Absent, foreign.Unable) as error:
                row |= {"status": "skipped", "reason": str(error)}
        methods = [(row, method) for row, method in methods if method is not None]
        reading = self._reading()
        timing.interleave([method for _, method in methods] + reading, self.settings)
        earlier = self._again_if_scattered([method for _, method in methods], reading)
        for row, method in methods:
            if method.broken:
                row |= {"status": "skipped", "reason": method.broken}
                continue
            if method.name == OURS and reading:
                row["memory"] = {"bytes": self.reader.nbytes, "samples": reading[0].samples}
            row |= {"samples": method.samples, "t_calls": method.repeats, "steps": method.divide}
            row |= {"scatter": _scatter(method), "earlier_samples": earlier.get(method.name, [])}
            if (row["scatter"] or 0) > self.settings["max_scatter"]:
                row["reason"] = "; ".join(filter(None, [row["reason"], _flag(row)]))
        return rows

    def _reading(self) -> list[timing.Method]:
        """One pass over memory, where the operator's data are in the same."""
        return [timing.Method("memory", self.reader.run, [None])] if self.reader else []

    def _again_if_scattered(self, methods, reading) -> dict[str, list]:
        """Measure the whole point once more, so that ratios stay those of the same rounds.

        The second samples count, whatever they are, because to choose the better ones would be to choose the
        result; the first are kept beside them.
        """
        limit = self.settings["max_scatter"]
        if not any((_scatter(method) or 0) > limit for method in methods if method.samples):
            return {}
        methods = [method for method in methods if not (method.slow or method.broken)]
        earlier = {method.name: method.samples for method in methods}
        for method in methods + reading:
            method.samples = []
        timing.interleave(methods + reading, self.settings)
        return earlier

    def _method(self, name, peer, vectors, mode, row) -> timing.Method | None:
        arguments = [peer.prepare(one) for one in vectors]
        if not peer.traceable:
            first = self._first_call(name, row, lambda: peer.step(None, arguments[0]))
            if self._agrees(peer, name, first, vectors[0], row):
                return timing.Method(name, lambda s: peer.step(None, s), arguments, ours=False)
            return None
        if mode == "call":
            function = self.jitted[name]
            key = (name, mode, vectors[0].shape)
            self._compile(row, key, function, peer.data, arguments[0])
            first = function(peer.data, arguments[0])
            if not self._agrees(peer, name, first, vectors[0], row):
                return None
            return timing.Method(
                name,
                lambda s: function(peer.data, s).block_until_ready(),
                arguments,
                ours=name == OURS,
            )
        return self._scan_method(name, peer, vectors, row)

    def _scan_method(self, name, peer, vectors, row) -> timing.Method | None:
        """New spikes each step; the outputs are added up, so that none of them is dead code."""
        per_step = vectors[0].size
        steps = max(2, min(self.settings["scan_steps"], SCAN_BYTES // per_step))
        once = self.jitted[name]
        first = jax.block_until_ready(once(peer.data, peer.prepare(vectors[0])))
        if not self._agrees(peer, name, first, vectors[0], row):
            return None
        start = time.perf_counter()
        jax.block_until_ready(once(peer.data, peer.prepare(vectors[1])))
        a_step = time.perf_counter() - start
        if a_step > self.settings["give_up_s"]:
            row |= {
                "status": "skipped",
                "reason": f"one step takes {a_step:.1f} s: not run in a scan",
            }
            return None
        # A slow method gets a shorter scan, so that a few samples fit its budget.
        steps = max(2, min(steps, int(self.settings["budget_s"] / timing.MIN_SAMPLES / a_step)))
        order = [np.arange(steps) + shift for shift in (0, 1)]
        stacks = [jnp.asarray(vectors[at % len(vectors)]) for at in order]

        def scan(data, stack):
            def step(carry, spikes):
                return carry + peer.step(data, spikes), None

            zero = jnp.zeros(first.shape, first.dtype)
            return jax.lax.scan(step, zero, stack)[0]

        key = (name, "scan", stacks[0].shape)
        function = self.jitted.setdefault(key, jax.jit(scan))
        self._compile(row, key, function, peer.data, stacks[0])
        return timing.Method(
            name,
            lambda s: function(peer.data, s).block_until_ready(),
            stacks,
            divide=steps,
            ours=name == OURS,
        )

    def _compile(self, row, key, function, *arguments) -> None:
        """Lower, compile and call once, each timed; memory of temporaries and growth of the call.

        A program is compiled once: the other rates run the same one, and share these facts.
        """
        if key not in self.compiled:
            facts = {}
            start = time.perf_counter()
            lowered = function.lower(*arguments)
            facts["lower_s"] = time.perf_counter() - start
            start = time.perf_counter()
            compiled = lowered.compile()
            facts["compile_s"] = time.perf_counter() - start
            analysis = compiled.memory_analysis()
            facts["temp_bytes"] = None if analysis is None else analysis.temp_size_in_bytes
            self._first_call(key[0], facts, lambda: compiled(*arguments))
            self.compiled[key] = facts
        row |= self.compiled[key]

    def _first_call(self, name, facts, call):
        """The first call: its time, and the growth of memory in it and in construction."""
        with Growth() as growth:
            start = time.perf_counter()
            result = jax.block_until_ready(call())
            elapsed = time.perf_counter() - start
        built = self.construct[name]["rss_growth_bytes"]
        facts |= {"first_call_s": elapsed, "rss_growth_bytes": built + growth.bytes}
        return result

    def _agrees(self, peer, name, result, spikes, row) -> bool:
        """A peer that computes something else is not compared; ours was verified before."""
        if name == OURS:
            return True
        if peer.other_graph:
            prob = float(self.job["conn"])
            found = oracle.other_graph(np.asarray(result), float(self.op.weight), prob, spikes)
            row |= {"reason": found.text} | ({} if found.passed else {"status": "skipped"})
            return found.passed
        exact = oracle.product(self.op, spikes)
        worst, _ = oracle.worst_ratio(np.asarray(result), exact, np.asarray(result).dtype)
        # A peer may sum in any precision of its result's dtype, and add zeros; twice the bound is lenient.
        if worst <= 2:
            return True
        reason = f"its result is {worst:.3g} times the error bound away from the exact one"
        row |= {"status": "skipped", "reason": reason}
        return False

    def _bytes_moved(self, name, peer, events, batch) -> float | None:
        """Bytes that one call has to read and write at least, by the method's own algorithm.

        None where synapses are drawn: arithmetic is what takes the time, and bytes say nothing of it.
        """
        if peer.draws:
            return None
        item = self.op.weight.dtype.itemsize
        ends = batch * (self.op.in_size + self.op.out_size * item)
        if peer.visits_all:
            return float(peer.nbytes + ends)
        visited = batch * events["synaptic_events"]
        per_synapse = peer.nbytes / max(1, self.op.n_synapses)
        rows = self.op.rows
        if name == OURS and rows is not None:
            # Row pointers belong to the active rows as the synapses do.
            per_synapse = rows.offsets.dtype.itemsize
            per_synapse += item if self.op.weight.ndim else 0
        return float(visited * per_synapse + ends)
