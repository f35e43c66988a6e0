"""Which operator to use for a network, from what was measured on a machine."""

from __future__ import annotations

import dataclasses
import math
import os

import jax
import jax.numpy as jnp
import numpy as np

from . import cost, measured_tables, ranking
from .ranking import Choice

MODES = {"call": "one call from Python", "scan": "one step inside lax.scan"}


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """All ways to compute a product, the fastest first; those that cannot be built come last.

    Where the point that was asked for is among the measured ones, what was measured there comes before what is predicted.

    Attributes
    ----------
    question
        What was asked.
    source
        The table that the answer comes from, and the machine that it was measured on.
    choices
        The ranking.
    left_out
        What was measured at one size, out-degree or batch alone, and not at this one.
    """

    question: str
    source: str
    choices: tuple[Choice, ...]
    left_out: tuple[str, ...] = ()

    @property
    def best(self) -> Choice:
        """The fastest choice that can be built."""
        return self.choices[0]

    @property
    def smallest(self) -> Choice:
        """The choice with the fewest bytes."""
        return min(self.choices, key=lambda c: c.nbytes)

    @property
    def close(self) -> tuple[Choice, ...]:
        """The choices that cannot be told from the best one: the interval of the ratio includes 1."""
        best = self.best
        wide = [math.log(c.high / c.low) / (2 * cost.Z95) for c in self.choices]
        return tuple(
            c
            for c, spread in zip(self.choices, wide, strict=True)
            if c.fits
            and math.log(c.seconds / best.seconds) < cost.Z95 * math.hypot(spread, wide[0])
        )

    def __repr__(self) -> str:
        close = self.close
        rows = [("", "operator", "computed by", "time", "95 % interval", "memory", "basis")]
        for i, c in enumerate(self.choices):
            mark = ("≈" if i and c in close else "") + str(i + 1)
            interval = f"{_si(c.low, 's')} to {_si(c.high, 's')}"
            basis = c.basis if c.fits else f"{c.basis}; too large to build"
            row = (mark, c.operator, c.method, _si(c.seconds, "s"), interval, _si(c.nbytes, "B"))
            rows.append((*row, basis))
        wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        left = {1, 2, 6}
        lines = [
            "  ".join(
                t.ljust(w) if i in left else t.rjust(w) for i, (t, w) in enumerate(zip(r, wide))
            )
            for r in rows
        ]
        tie = "≈ cannot be told from the first." if len(close) > 1 else ""
        small = f"Fewest bytes: {self.smallest.operator}, {_si(self.smallest.nbytes, 'B')}."
        out = f"Measured too little to tell: {'; '.join(self.left_out)}." if self.left_out else ""
        tail = " ".join(filter(None, [small, tie, out]))
        return "\n".join([self.question, self.source, *(s.rstrip() for s in lines), tail])


def recommend(
    n_pre: int,
    n_post: int,
    rate: float,
    prob: float | None = None,
    *,
    conn_num: int | float | None = None,
    efferent_target: str = "post",
    batch: int = 1,
    mode: str = "scan",
    dtype="float32",
    weight: str = "homogeneous",
    device: str | None = None,
    results: str | os.PathLike | None = None,
) -> Recommendation:
    """Rank the operators for a network by the time that they take on this machine.

    Times are those that the workflow measured, or are predicted from them (`eventops.advice.cost` says how); the ranking includes
    the dense product and the peers that were measured beside it. Times are those of a forward product in steady state.

    Parameters
    ----------
    n_pre, n_post
        Number of pre and post neurons.
    rate
        Fraction of pre neurons that are active in one step, in [0, 1]: the firing rate in Hz times the time step in
        seconds.
    prob
        Connection probability of independent pairs (`EventFixedProb`).
    conn_num
        Instead of `prob`: partners of each neuron (`EventFixedNumConn`); a ``float`` is a proportion. With neither,
        every pair is connected and the dense operators are compared.
    efferent_target
        ``"post"``: `conn_num` targets of each pre neuron; ``"pre"``: sources of each post neuron.
    batch
        Spike vectors per call.
    mode
        ``"scan"``: one step inside ``lax.scan``, as a model runs; ``"call"``: one jitted call from Python.
    dtype
        Of the weights.
    weight
        ``"homogeneous"``: one weight for all synapses; ``"per-synapse"``: each has its own, from an array;
        ``"random"``: each has its own, from a law of `eventops.weights`, which procedural storage generates.
    device
        ``"cpu"`` or ``"gpu"``; by default the one that JAX uses.
    results
        A directory of results that has ``tables/points.csv`` in it, or one that holds such directories, of which the one
        of this machine is taken. By default the environment variable ``EVENTOPS_RESULTS``, else ``results`` in the
        current directory; if there is none of this machine, the reference that ships with eventops. Which one it was is
        said in ``source``.

    Returns
    -------
    Recommendation
        With ``best``, ``smallest``, ``close`` and all ``choices``; its ``repr`` is a table.

    Raises
    ------
    ValueError
        For a value that makes no sense, or if nothing was measured for the device, dtype or mode.
    FileNotFoundError
        If `results` (or the environment variable) names a place without results of this machine.

    Examples
    --------
    >>> import eventops
    >>> answer = eventops.recommend(10_000, 10_000, 0.01, prob=0.1, device="cpu")
    >>> answer.best.method
    'eventops'
    >>> answer.best.low < answer.best.seconds < answer.best.high
    True
    >>> [c.operator for c in answer.choices if c.method == "jnp-dense"]
    ['Linear']
    """
    n_pre, n_post = _size("n_pre", n_pre), _size("n_post", n_post)
    batch, rate = _count("batch", batch, 1), _rate(rate)
    dtype, device = _dtype(dtype), device or _device()
    _one_of("mode", mode, tuple(MODES))
    _one_of("weight", weight, ("homogeneous", "per-synapse", "random"))
    _one_of("efferent_target", efferent_target, ("post", "pre"))
    kind, conn, synapses = _connections(n_pre, n_post, prob, conn_num, efferent_target)
    if kind == "dense":
        weight = "per-synapse"
    folder, source = measured_tables.find(results, device)
    job = {"n_pre": n_pre, "n_post": n_post, "conn_kind": kind, "conn": conn, "dtype": dtype}
    job |= {"weight": weight, "efferent_target": efferent_target, "allow_self_conn": True}
    job |= {"n_synapses": synapses, "rate": rate, "batch": batch}
    choices, left_out = ranking.choices(job, mode, *measured_tables.fitted(folder, device))
    unnamed = results is None and not os.environ.get(measured_tables.VARIABLE)
    if unnamed and not any(c.operator.startswith(ranking.OWN[kind]) for c in choices):
        # A short run says little of other sizes; an answer without the operator that was asked about is none.
        why = f", since {folder} has too few points for this question"
        folder, source = measured_tables.reference(device, why)
        choices, left_out = ranking.choices(job, mode, *measured_tables.fitted(folder, device))
    if not choices:
        raise ValueError(_nothing(folder, device, mode, left_out))
    law = {"prob": f"prob={conn}", "num": f"conn_num={conn} ({efferent_target})", "dense": "dense"}
    many = f", {batch} vectors" if batch > 1 else ""
    question = f"{n_pre:,} → {n_post:,}, {law[kind]}, {100 * rate:.3g} % active{many}, "
    question += f"{dtype}, {weight} weights, {MODES[mode]}:"
    return Recommendation(question, source, tuple(choices), tuple(map(str, left_out)))


def _nothing(folder, device: str, mode: str, left_out: list) -> str:
    """Why there is no choice at all, and what to ask instead."""
    if not left_out:
        return (
            f"recommend: no method was measured on {device!r} in mode {mode!r} in {folder}; "
            "choose another device or mode, or measure it with snakemake"
        )
    known = {}
    for one in left_out:
        for axis, value in zip(one.axes, one.values, strict=True):
            known.setdefault(axis, set()).add(f"{value:.4g}")
    said = ", ".join(f"one {axis} ({' or '.join(sorted(v))})" for axis, v in known.items())
    return (
        f"recommend: on {device!r} in mode {mode!r}, every method in {folder} was measured at {said}, which tells nothing of "
        "another; ask for that, or add what you need to a block of the sweep and run snakemake"
    )


def _device() -> str:
    return {"cuda": "gpu", "rocm": "gpu"}.get(jax.default_backend(), jax.default_backend())


def _connections(n_pre, n_post, prob, conn_num, target) -> tuple[str, str, int]:
    """Kind of connectivity, its parameter as text, and the expected number of synapses."""
    if prob is not None and conn_num is not None:
        raise ValueError(
            f"recommend: prob={prob!r} and conn_num={conn_num!r} are two laws of connectivity; give one"
        )
    if prob is not None:
        prob = _fraction("prob", prob)
        return "prob", f"{prob:.10g}", round(prob * n_pre * n_post)
    if conn_num is None:
        return "dense", "", n_pre * n_post
    pool, others = (n_post, n_pre) if target == "post" else (n_pre, n_post)
    if isinstance(conn_num, (float, np.floating)):
        conn_num = round(_fraction("conn_num", conn_num) * pool)
    number = _count("conn_num", conn_num, 0)
    if number > pool:
        raise ValueError(
            f"recommend: conn_num={number} distinct partners are more than the {pool} neurons; use at most {pool}"
        )
    return "num", str(number), number * others


def _count(name: str, value, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"recommend: {name}={value!r} must be an integer of at least {least}")
    return int(value)


def _size(name: str, value) -> int:
    """A number of neurons that an operator can be built with."""
    number = _count(name, value, 1)
    if number >= 2**31:
        raise ValueError(
            f"recommend: {name}={number} must be less than 2**31, as for the operators; split the projection"
        )
    return number


def _fraction(name: str, value) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise ValueError(f"recommend: {name}={value!r} must be a number in [0, 1]")
    if not 0 <= value <= 1:
        raise ValueError(f"recommend: {name}={value!r} must be in [0, 1]")
    return float(value)


def _rate(rate) -> float:
    """A fraction of the neurons; whoever knows a rate in Hz is told how it becomes one."""
    try:
        return _fraction("rate", rate)
    except ValueError as error:
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not rate > 1:
            raise
        raise ValueError(
            f"{error}: it is the fraction of neurons that are active in one step, the firing rate in Hz times the "
            f"time step in seconds; {rate:g} Hz in steps of 0.1 ms is rate={rate * 1e-4:g}"
        ) from None


def _one_of(name: str, value, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"recommend: {name}={value!r} must be one of {', '.join(allowed)}")


def _dtype(dtype) -> str:
    name = jnp.dtype(dtype).name
    if name not in cost.ITEM:
        raise ValueError(f"recommend: dtype={name!r} must be one of {', '.join(cost.ITEM)}")
    return name


def _si(value: float, unit: str) -> str:
    """Two or three digits and a prefix: ``_si(0.0000123, "s")`` is ``12.3 µs``."""
    if value == 0:
        return f"0 {unit}"
    value = float(f"{value:.3g}")
    power = min(max(math.floor(math.log10(value) / 3), -4), 4)
    prefix = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}[power]
    return f"{value / 1000.0**power:.3g} {prefix}{unit}"
