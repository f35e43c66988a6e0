"""What is beyond a single product: steps with delays and updates of weights, each ready to be timed beside another way.

The kernels work in place where a model's would: a state or a weight array goes from call to call in a donated buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import eventops as nn
from eventops.bench.peers import foreign
from eventops.bench.sweep import setup

STEPS = {"delays": 100, "plasticity": 20}
"""Steps of one call: a call from Python would cost more than a small step."""
BOUNDS = {"unbounded": (None, None), "in [0, 1]": (0.0, 1.0)}
WEIGHT = 0.5


class Case(NamedTuple):
    """Two ways to do one thing.

    Attributes
    ----------
    what : str
        The case among those of its job.
    method, against : str
        The way whose cost is told, and the one that it is compared with.
    calls : dict of str to (callable, list)
        Both by name: a function of one argument that runs ``steps`` steps, and arguments to rotate through.
    steps : int
    subject : Any
        What is checked before anything is timed: the delayed operator, or an `Update`.
    """

    what: str
    method: str
    against: str
    calls: dict[str, tuple[Callable, list]]
    steps: int
    subject: Any


@dataclass(frozen=True, eq=False)
class Update:
    """An update of weights: by name the function of weights and spikes that each method runs, and what it is to give."""

    op: Any
    side: str
    trace: Any
    bounds: tuple
    methods: dict[str, Callable]


def operator(job: dict):
    """The operator of a job: `conn` distinct targets for each of `n` neurons."""
    normal = jax.nn.initializers.normal(1.0)
    weight = WEIGHT if job["weights"] == "homogeneous" else normal
    return nn.EventFixedNumConn(job["n"], job["n"], job["conn"], weight, seed=job["seed"])


def spikes(job: dict, steps: int, count: int = 2) -> list:
    """`count` stretches of `steps` spike vectors."""
    shape = (count, steps, job["n"])
    return [jnp.asarray(s) for s in setup.spikes(job["rate"], shape, job["seed"] + 1)]


# ---- delays


def delays(job: dict):
    """A step with delays, one for all synapses or uniform ones per synapse, against the product without.

    Yields one `Case` for each number of distinct delays.
    """
    op, movies = operator(job), spikes(job, STEPS["delays"])
    for distinct in job["delays"]:
        rng = np.random.default_rng(job["seed"])
        delay = 8 if distinct == 1 else rng.integers(0, distinct, op.n_synapses, dtype=np.int32)
        late = nn.Delayed(op, delay)
        calls = {
            "delayed": (_going_on(late), movies),
            "undelayed": (_bound(_undelayed, op), movies),
        }
        what = "one delay" if distinct == 1 else f"{distinct} delays"
        yield Case(what, "delayed", "undelayed", calls, STEPS["delays"], late)


def _undelayed(op, movie):
    return jax.lax.scan(lambda carry, s: (carry, op(s)), None, movie)[1]


def run_delayed(late, state, movie):
    """The state after some steps, and the current of each."""
    return jax.lax.scan(late.step, state, movie)


_in_place = jax.jit(run_delayed, donate_argnums=1)


def _going_on(late):
    """The state stays where it is from call to call, as in a model."""
    state = late.init_state()

    def call(movie):
        nonlocal state
        state, current = _in_place(late, state, movie)
        return current

    return call


def _bound(function, *first):
    """The jitted function with its first arguments, which are arguments and not constants."""
    jitted = jax.jit(function)
    return lambda x: jitted(*first, x)


# ---- updates of weights


def plasticity(job: dict):
    """Additive updates on pre and on post spikes, with and without bounds, against brainevent's.

    Yields one `Case` for each side, kind of bounds, and way to call. Raises `eventops.bench.peers.foreign.Absent` or
    ``Unable`` where brainevent cannot be had.
    """
    op = operator({**job, "weights": "homogeneous"}).with_columns()
    movies = spikes(job, STEPS["plasticity"])
    singles = [movie[0] for movie in movies]
    trace = jnp.asarray(np.random.default_rng(2).normal(size=job["n"]), "float32") * 1e-3
    weight = jnp.full(op.n_synapses, WEIGHT)
    with foreign.at_work("brainevent"):
        theirs = _theirs(op)
    for side, (their, graph) in theirs.items():
        ours = _ours(side)
        for bounds, (low, high) in BOUNDS.items():
            both = {
                "brainevent": lambda w, s, f=their, g=graph, b=(low, high): f(w, s, g, trace, *b),
                "eventops": lambda w, s, f=ours, b=(low, high): f(w, s, op, trace, *b),
            }
            subject = Update(op, side, trace, (low, high), both)
            for way, made, stack, steps in (
                ("call", _handed_on, singles, 1),
                ("scan", _scanned, movies, STEPS["plasticity"]),
            ):
                calls = {
                    "brainevent": (made(their, weight, graph, trace, low, high), stack),
                    "eventops": (made(ours, weight, op, trace, low, high), stack),
                }
                what = f"on {side} spikes, {bounds}, {way}"
                yield Case(what, "brainevent", "eventops", calls, steps, subject)


def _ours(side: str):
    def update(weight, spikes, op, trace, low, high):
        return getattr(op, f"update_on_{side}")(weight, spikes, trace, low=low, high=high)

    return update


def _theirs(op) -> dict:
    """Side to brainevent's update, called like ours, and the arrays of its graph."""
    brainevent = foreign.brainevent()
    rows, columns = op.rows, op.rows.columns
    shape = {"shape": (op.in_size, op.out_size)}
    segment = np.repeat(np.arange(columns.ptr.size - 1, dtype=np.int32), np.diff(columns.ptr))
    pre = segment % np.int32(columns.n_tiles) * np.int32(columns.tile) + np.asarray(columns.offsets)
    csr = jnp.asarray(rows.indices()), jnp.asarray(rows.indptr(), jnp.int32)
    csc = jnp.asarray(pre, jnp.int32), columns.ptr[:: columns.n_tiles], columns.position

    def on_pre(weight, spikes, csr, trace, low, high):
        return brainevent.update_csr_on_binary_pre(weight, *csr, spikes, trace, low, high, **shape)

    def on_post(weight, spikes, csc, trace, low, high):
        return brainevent.update_csr_on_binary_post(weight, *csc, trace, spikes, low, high, **shape)

    return {"pre": (on_pre, csr), "post": (on_post, csc)}


def _handed_on(update, weight, graph, trace, low, high):
    """Calls that hand the weights on, each in the buffer of the one before."""
    step = jax.jit(
        lambda w, s, graph, trace: update(w, s, graph, trace, low, high), donate_argnums=0
    )
    return _keeping(step, weight, graph, trace)


def _scanned(update, weight, graph, trace, low, high):
    """As before, with a stack of spike vectors in each call."""

    def steps(w, stack, graph, trace):
        def step(w, s):
            return update(w, s, graph, trace, low, high), None

        return jax.lax.scan(step, w, stack)[0]

    return _keeping(jax.jit(steps, donate_argnums=0), weight, graph, trace)


def _keeping(step, weight, *arguments):
    state = [weight + 0]

    def call(spikes):
        state[0] = step(state[0], spikes, *arguments)
        return state[0]

    return call


CASES = {"delays": delays, "plasticity": plasticity}
