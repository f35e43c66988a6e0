"""Checks of what an operator does over time: delays, and updates of its weights; against float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import eventops
from eventops.bench.sweep import setup, synapses
from eventops.bench.verify import oracle
from eventops.bench.verify.checks import Check, ratio, typed
from eventops.bench.verify.oracle import Exact

STEPS = 12
DELAY = 3
LONGEST = 5
LOW, HIGH = -0.5, 0.75


@jax.jit
def _run(lates, spikes):
    """Currents with each of some delays: one program, since compiling is all that this costs."""
    return [jax.lax.scan(late.step, late.init_state(), spikes)[1] for late in lates]


def _ends(op) -> tuple[np.ndarray, np.ndarray]:
    """Pre and post neuron of every synapse, in the order of the weights."""
    rows = synapses.of(op)
    if rows is None:
        return np.divmod(np.arange(op.in_size * op.out_size), max(1, op.out_size))
    return np.repeat(np.arange(op.in_size), np.diff(rows.indptr())), rows.indices()


def delays(op, job: dict, where: str) -> list[Check]:
    """One delay, and one drawn for each synapse, over some steps, against one matrix per delay."""
    rate = max(job["rates"], key=float)
    active = setup.spikes(rate, (STEPS, op.in_size), job["seed"] + 3)
    spikes = setup.as_dtype(typed(active, "float32", job["seed"]), job["dtype"])
    found = [("one", DELAY)]
    if not synapses.drawn(op) and op.n_synapses:
        shape = (op.in_size, op.out_size) if op.rows is None else (op.n_synapses,)
        rng = np.random.default_rng(job["seed"])
        found.append(("per-synapse", rng.integers(0, LONGEST + 1, shape).astype(np.int32)))
    result = []
    given = np.asarray(spikes)
    every = _run([eventops.Delayed(op, delay) for _, delay in found], spikes)
    for (name, delay), currents in zip(found, every, strict=True):
        worst, at = oracle.worst_ratio(currents, exact_currents(op, delay, given))
        step, output = divmod(at, max(1, op.out_size))
        note = f"{name}; worst in step {step} at output {output}"
        result.append(ratio("delayed", f"{where}, delay {name}", worst, note))
    return result


def exact_currents(op, delay, spikes) -> Exact:
    """Call t returns the sum over delays d of ``spikes[t - d] @ W_d``, W_d the matrix of the synapses of delay d.

    The sum is taken synapse by synapse, without the matrices, so that it serves large graphs as well.
    """
    pre, post = _ends(op)
    delay = np.broadcast_to(np.asarray(delay).reshape(-1), pre.shape)
    weight = np.broadcast_to(np.asarray(op.weight).reshape(-1), pre.shape)
    steps = len(spikes)
    parts = [np.zeros(steps * op.out_size) for _ in range(3)]
    for sent, values in enumerate(spikes.astype(np.float64)):
        if not values.any():
            continue
        active = np.flatnonzero((values != 0)[pre])
        active = active[sent + delay[active] < steps]
        terms = values[pre[active]] * weight[active].astype(np.float64)
        at = (sent + delay[active]) * op.out_size + post[active]
        for part, term in zip(parts, (terms, np.abs(terms), np.ones(active.size)), strict=True):
            np.add.at(part, at, term)
    value, magnitude, number = (part.reshape(steps, op.out_size) for part in parts)
    return Exact(value, magnitude, number.astype(np.int64))


def updates(op, job: dict, where: str) -> list[Check]:
    """Additive updates within bounds, on pre and on post spikes; weights of silent neurons stay to the bit."""
    result = []
    rng = np.random.default_rng(job["seed"])
    rate = max(job["rates"], key=float)
    weight = np.asarray(op.weight)
    sides = {"pre": (op.in_size, op.out_size), "post": (op.out_size, op.in_size)}
    wide = np.float64 if job["dtype"] == "float64" else np.float32
    for side, (firing, others) in sides.items():
        spikes = setup.spikes(rate, (firing,), job["seed"] + 4)
        trace = rng.normal(size=others).astype(wide)
        update = getattr(op, f"update_on_{side}")
        new = update(op.weight, jnp.asarray(spikes), jnp.asarray(trace), low=LOW, high=HIGH)
        exact = exact_update(op, weight, side, spikes, trace, LOW, HIGH)
        worst, at = oracle.worst_ratio(np.asarray(new).reshape(-1), exact)
        note = f"worst at synapse {at} of {int((exact.terms > 0).sum())} touched ones"
        result.append(ratio("update", f"{where}, on {side} spikes", worst, note))
    return result


def exact_update(op, weight, side: str, spikes, trace, low, high) -> Exact:
    """The dense additive update of the synapses whose neuron on `side` fired, within the bounds (None for none)."""
    pre, post = _ends(op)
    line, partner = (pre, post) if side == "pre" else (post, pre)
    before = np.asarray(weight).astype(np.float64).reshape(-1)
    change, fired = trace.astype(np.float64)[partner], spikes[line]
    after = before + change
    if not (low is None and high is None):
        after = np.clip(after, low, high)
    magnitude = np.where(fired, np.abs(before) + np.abs(change), 0)
    return Exact(np.where(fired, after, before), magnitude, np.where(fired, 2, 0))
