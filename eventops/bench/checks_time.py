"""Checks of what an operator does over time: delays, and updates of its weights; against float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import eventops
from eventops.bench import build, oracle, synapses
from eventops.bench.checks import Check, ratio, typed
from eventops.bench.oracle import Exact

STEPS = 12
DELAY = 3
LONGEST = 5
LOW, HIGH = -0.5, 0.75


@jax.jit
def _run(late, state, spikes):
    return jax.lax.scan(late.step, state, spikes)[1]


def _ends(op) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post neuron of every synapse, in the order of the weights."""
    rows = synapses.of(op)
    if rows is None:
        return np.divmod(np.arange(op.in_size * op.out_size), max(1, op.out_size))
    return np.repeat(np.arange(op.in_size), np.diff(rows.indptr())), rows.indices()


def delays(op, job: dict, where: str) -> list[Check]:
    """One delay, and one drawn for each synapse, over some steps, against one matrix per delay."""
    rate = max(job["rates"], key=float)
    active = build.spikes(rate, (STEPS, op.in_size), job["seed"] + 3)
    spikes = build.as_dtype(typed(active, "float32", job["seed"]), job["dtype"])
    found = [("one", DELAY)]
    if not synapses.drawn(op) and op.n_synapses:
        shape = (op.in_size, op.out_size) if op.rows is None else (op.n_synapses,)
        rng = np.random.default_rng(job["seed"])
        found.append(("per-synapse", rng.integers(0, LONGEST + 1, shape).astype(np.int32)))
    result = []
    for name, delay in found:
        late = eventops.Delayed(op, delay)
        currents = _run(late, late.init_state(), spikes)
        worst, at = oracle.worst_ratio(currents, _delayed(op, delay, np.asarray(spikes)))
        step, output = divmod(at, max(1, op.out_size))
        note = f"{name}; worst in step {step} at output {output}"
        result.append(ratio("delayed", f"{where}, delay {name}", worst, note))
    return result


def _delayed(op, delay, spikes) -> Exact:
    """Call t returns the sum over delays d of ``spikes[t - d] @ W_d``, W_d the matrix of the synapses of delay d."""
    pre, post = _ends(op)
    delay = np.broadcast_to(np.asarray(delay).reshape(-1), pre.shape)
    weight = np.broadcast_to(np.asarray(op.weight).astype(np.float64).reshape(-1), pre.shape)
    values = spikes.astype(np.float64)
    parts = [np.zeros((len(values), op.out_size)) for _ in range(3)]
    for d in np.unique(delay):
        here = delay == d
        matrix, sizes, number = np.zeros((3, op.in_size, op.out_size))
        at = (pre[here], post[here])
        np.add.at(matrix, at, weight[here])
        np.add.at(sizes, at, np.abs(weight[here]))
        np.add.at(number, at, 1)
        sent = values[: max(0, len(values) - d)]
        parts[0][d:] += sent @ matrix
        parts[1][d:] += np.abs(sent) @ sizes
        parts[2][d:] += (sent != 0).astype(np.float64) @ number
    return Exact(parts[0], parts[1], parts[2].astype(np.int64))


def updates(op, job: dict, where: str) -> list[Check]:
    """Additive updates within bounds, on pre and on post spikes; weights of silent neurons stay to the bit."""
    result = []
    rng = np.random.default_rng(job["seed"])
    rate = max(job["rates"], key=float)
    weight = np.asarray(op.weight)
    pre, post = _ends(op)
    sides = {
        "pre": (op.in_size, op.out_size, pre, post),
        "post": (op.out_size, op.in_size, post, pre),
    }
    wide = np.float64 if job["dtype"] == "float64" else np.float32
    for side, (firing, others, line, partner) in sides.items():
        spikes = build.spikes(rate, (firing,), job["seed"] + 4)
        trace = rng.normal(size=others).astype(wide)
        update = getattr(op, f"update_on_{side}")
        new = update(op.weight, jnp.asarray(spikes), jnp.asarray(trace), low=LOW, high=HIGH)
        before = weight.astype(np.float64).reshape(-1)
        change, fired = trace.astype(np.float64)[partner], spikes[line]
        exact = Exact(
            np.where(fired, np.clip(before + change, LOW, HIGH), before),
            np.where(fired, np.abs(before) + np.abs(change), 0),
            np.where(fired, 2, 0),
        )
        worst, at = oracle.worst_ratio(np.asarray(new).reshape(-1), exact)
        note = f"worst at synapse {at} of {int(fired.sum())} touched ones"
        result.append(ratio("update", f"{where}, on {side} spikes", worst, note))
    return result
