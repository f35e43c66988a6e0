"""The checks of one operator against the float64 oracle; each gives a `Check`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np

from eventops.bench.sweep import setup, synapses
from eventops.bench.verify import oracle
from eventops.bench.verify.oracle import Exact

KINDS = ("bool", "int8", "float32")
BATCH = 3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    ``kind`` says how to read ``value``: a ``ratio`` is error / bound and must not exceed 1, a ``count`` is
    a number of violations and must be 0, a ``p-value`` must reach its limit, and ``bytes`` must not
    exceed it. ``rate`` and ``batch`` are set where the check belongs to one point of the sweep.
    """

    check: str
    where: str
    value: float
    limit: float
    passed: bool
    note: str
    kind: str
    rate: str | None = None
    batch: int | None = None

    def as_dict(self) -> dict:
        return asdict(self)


def ratio(check, where, value, note="", **point) -> Check:
    return Check(check, where, float(value), 1.0, bool(value <= 1.0), note, "ratio", **point)


def count(check, where, value, note="", **point) -> Check:
    return Check(check, where, float(value), 0.0, value == 0, note, "count", **point)


def p_value(check, where, value, limit, note="") -> Check:
    # not (value < limit) would let a not-a-number pass.
    return Check(check, where, float(value), limit, bool(value >= limit), note, "p-value")


def size(check, where, value, limit, note="") -> Check:
    return Check(check, where, float(value), float(limit), bool(value <= limit), note, "bytes")


@jax.jit
def _apply(op, spikes):
    return op(spikes)


def typed(active: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Active places as spikes of a dtype: true, small integers of both signs, or graded values."""
    if kind == "bool":
        return active
    if kind == "int8":
        values = np.random.default_rng(seed).integers(1, 5, size=active.shape)
        signs = np.where(np.arange(active.shape[-1]) % 3 == 0, -1, 1)
        return np.where(active, values * signs, 0).astype(np.int8)
    return setup.graded(active, seed)


def product(op, spikes: np.ndarray, check: str, where: str, **point) -> Check:
    """One product, element by element within the bound."""
    computed = np.asarray(_apply(op, jnp.asarray(spikes)))
    exact = oracle.product(op, spikes)
    worst, at = oracle.worst_ratio(computed, exact)
    terms = int(exact.terms.max(initial=0))
    note = f"worst at output {at % max(1, op.out_size)}, up to {terms} terms"
    return ratio(check, where, worst, note, **point)


def products(op, job: dict, where: str) -> list[Check]:
    """Every rate of the job, no spikes and all spikes, in every dtype of spikes."""
    result = []
    for rate in sorted({"0", "1", *job["rates"]}, key=float):
        active = setup.spikes(rate, (op.in_size,), job["seed"])
        for kind in KINDS:
            spikes = typed(active, kind, job["seed"])
            result.append(product(op, spikes, f"product-{kind}", f"{where}, rate {rate}"))
    return result


def same(check, where, one, other, exact: Exact, note="") -> Check:
    """Two computed results agree: each may be off by the bound, so together they may differ by two."""
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape or one.dtype != other.dtype:
        note = f"{one.dtype}{one.shape} and {other.dtype}{other.shape}"
        return ratio(check, where, math.inf, note)
    limit = 2 * oracle.bound(exact, one.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(one.astype(np.float64) - other.astype(np.float64))
        ratios = np.where(error == 0, 0.0, error / limit)
    worst = float(np.max(np.where(np.isnan(ratios), np.inf, ratios), initial=0.0))
    return ratio(check, where, worst, note)


def forms(op, job: dict, where: str) -> list[Check]:
    """bool = {0,1} float; batch = loop = vmap = nested vmap = scan; two runs give the same bits."""
    rate = max(job["rates"], key=float)
    active = setup.spikes(rate, (2, BATCH, op.in_size), job["seed"])
    spikes = jnp.asarray(typed(active, "float32", job["seed"]))
    exact = oracle.product(op, np.asarray(spikes))
    loop = np.stack([[np.asarray(_apply(op, s)) for s in part] for part in spikes])
    batched = _apply(op, spikes)
    vmapped = jax.jit(jax.vmap(lambda s: op(s)))(spikes)
    nested = jax.jit(jax.vmap(jax.vmap(lambda s: op(s))))(spikes)
    _, scanned = jax.lax.scan(lambda carry, s: (carry, op(s)), None, spikes)
    result = [
        same("batch-is-loop", where, batched, loop, exact),
        same("vmap-is-loop", where, vmapped, loop, exact),
        same("nested-vmap-is-loop", where, nested, loop, exact),
        same("scan-is-loop", where, scanned, loop, exact),
    ]
    again = np.asarray(_apply(op, spikes))
    result.append(
        count("repeatable", where, _different_bits(batched, again), "outputs that differ")
    )
    flags = jnp.asarray(active[0])
    as_bool, as_float = _apply(op, flags), _apply(op, flags.astype(op.dtype))
    result.append(
        count("bool-is-float", where, _different_bits(as_bool, as_float), "outputs that differ")
    )
    return result


def _different_bits(one, other) -> int:
    one, other = np.ascontiguousarray(one), np.ascontiguousarray(other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return max(one.size, other.size, 1)
    return int(np.count_nonzero(one.view(f"u{one.itemsize}") != other.view(f"u{other.itemsize}")))


def gradients(op, job: dict, where: str) -> list[Check]:
    """Reverse and forward mode, for weights and for spikes, against the dense twin's in float64."""
    rate = max(job["rates"], key=float)
    active = setup.spikes(rate, (BATCH, op.in_size), job["seed"] + 1)
    spikes = setup.as_dtype(typed(active, "float32", job["seed"]), job["dtype"])
    rng = np.random.default_rng(job["seed"])
    cotangent = setup.as_dtype(rng.normal(size=(BATCH, op.out_size)), job["dtype"])

    def call(weight, spikes):
        return op.with_weight(weight)(spikes)

    out, pullback = jax.vjp(jax.jit(call), op.weight, spikes)
    g_weight, g_spikes = pullback(cotangent.astype(out.dtype))
    s, c = (np.asarray(x).astype(np.float64) for x in (spikes, cotangent))
    result = [
        ratio("grad-weight", where, oracle.worst_ratio(g_weight, _weight_cotangent(op, s, c))[0]),
        ratio("grad-spikes", where, oracle.worst_ratio(g_spikes, oracle.spike_cotangent(op, c))[0]),
    ]
    d_weight = setup.as_dtype(rng.normal(size=op.weight.shape), job["dtype"])
    d_spikes = setup.as_dtype(rng.normal(size=spikes.shape), job["dtype"])
    _, tangent = jax.jvp(jax.jit(call), (op.weight, spikes), (d_weight, d_spikes))
    by_spikes = oracle.product(op, np.asarray(d_spikes))
    by_weight = oracle.product(op.with_weight(d_weight), np.asarray(spikes))
    exact = Exact(
        by_spikes.value + by_weight.value,
        by_spikes.magnitude + by_weight.magnitude,
        by_spikes.terms + by_weight.terms + 1,
    )
    # Both terms are rounded to the result's dtype before they are added, so that dtype is the accumulator.
    worst, _ = oracle.worst_ratio(tangent, exact, np.asarray(tangent).dtype)
    return [*result, ratio("jvp", where, worst)]


def _weight_cotangent(op, s, c) -> Exact:
    """``sum_b s[b, i] * c[b, j]`` for each stored weight; their sum where one number is stored."""
    dense = s.T @ c
    magnitude = np.abs(s).T @ np.abs(c)
    terms = (s != 0).astype(np.int64).T @ np.ones(c.shape, dtype=np.int64)
    if op.weight.ndim == 0:
        number = oracle.connections(op)
        parts = [np.asarray(np.sum(number * part)) for part in (dense, magnitude, terms)]
        return Exact(*parts)
    rows = synapses.of(op)
    if rows is None:
        return Exact(dense, magnitude, terms)
    pre = np.repeat(np.arange(op.in_size), np.diff(rows.indptr()))
    at = (pre, rows.indices())
    return Exact(dense[at], magnitude[at], terms[at])


def alike(op, other, name: str, job: dict, where: str) -> list[Check]:
    """The products equal those of another operator: of the reference backend, or with stored rows."""
    rate = max(job["rates"], key=float)
    result = []
    for kind in KINDS:
        active = setup.spikes(rate, (BATCH, op.in_size), job["seed"] + 2)
        spikes = typed(active, kind, job["seed"])
        exact = oracle.product(op, spikes)
        one, two = _apply(op, jnp.asarray(spikes)), _apply(other, jnp.asarray(spikes))
        result.append(same(f"{name}-{kind}", where, one, two, exact))
    return result


def dense_twin(op, where: str) -> list[Check]:
    """todense() holds what the rows say, so that both oracles are the same matrix."""
    weight = np.asarray(op.weight).astype(np.float64)
    rows = synapses.of(op)
    if rows is None:
        expected = np.broadcast_to(weight, (op.in_size, op.out_size))
    else:
        expected = np.zeros((op.in_size, op.out_size))
        pre = np.repeat(np.arange(op.in_size), np.diff(rows.indptr()))
        np.add.at(expected, (pre, rows.indices()), weight)
    found = np.asarray(op.todense()).astype(np.float64)
    # Only repeated pairs are sums, and those of a pair are few.
    tolerance = 4 * oracle.unit_roundoff(op.weight.dtype) * np.abs(expected)
    wrong = int(np.count_nonzero(~(np.abs(found - expected) <= tolerance)))
    return [count("todense-is-rows", where, wrong, "elements that differ")]
