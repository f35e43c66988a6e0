"""Every way to compute a product that was measured, with its predicted time, in order."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..rows.csr import MAX_SYNAPSES
from . import cost, sizes

OWN = {"prob": "EventFixedProb", "num": "EventFixedNumConn", "dense": "EventLinear"}
# To generate random weights takes procedural storage 1.2 to 1.7 times as long as one weight: the logarithm, and its
# standard deviation, on the machine of the reference. The sweep has no such point.
_GENERATED, _GENERATED_SPREAD = math.log(1.4), 0.15


@dataclasses.dataclass(frozen=True)
class Choice:
    """One way to compute the product.

    Attributes
    ----------
    operator
        What to construct, such as ``EventFixedProb(storage='procedural')``; ``Linear`` is the dense product.
    method
        Who computes it: ``eventops``, ``jnp-dense``, or a peer that was measured.
    seconds, low, high
        Time of a call (of a step in a scan) for all vectors of the batch, with the 95 % interval of a measurement in
        another hour: the measured time where `basis` is ``measured``, else a predicted one.
    nbytes
        Bytes that its matrix takes.
    basis
        ``measured``, ``interpolated``, or ``extrapolated`` with the axes that lie beyond every measured point.
    fits
        Whether it can be built: within the memory of the machine, and within 2³¹ - 1 synapses.
    """

    operator: str
    method: str
    seconds: float
    low: float
    high: float
    nbytes: int
    basis: str
    fits: bool


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A way that was measured at one value of an axis alone, and is asked for another."""

    name: str
    axes: tuple[str, ...]
    values: tuple[float, ...]

    def __str__(self) -> str:
        pairs = zip(self.axes, self.values, strict=True)
        return f"{self.name} ({' and '.join(f'one {axis}, {value:.4g}' for axis, value in pairs)})"


def choices(
    job: dict, mode: str, curves: dict, machine: dict
) -> tuple[list[Choice], list[LeftOut]]:
    """A choice for every curve that applies, ranked; and the curves that say nothing here."""
    sparse = None if job["conn_kind"] == "dense" else OWN[job["conn_kind"]]
    found, left_out, told = [], [], False
    for (method, form, way), curve in curves.items():
        if way != mode or (form != "dense" and sparse is None):
            continue
        drawn = form == "drawn"
        fan_in = job["conn_kind"] == "num" and job["efferent_target"] == "pre"
        if drawn and (job["weight"] == "per-synapse" or fan_in):
            continue  # a graph that is drawn has one weight or a law of weights, and no fixed in-degree
        work, name = _work(job, drawn), _name(method, form, sparse)
        never = curve.never_varied(work)
        if never.any():
            name = name if method in (cost.OURS, cost.DENSE) else f"{method}, {form}"
            axes, values = np.array(cost.AXES)[never], np.exp(curve.at[0][never]) - 0.5
            left_out.append(LeftOut(name, tuple(map(str, axes)), tuple(values)))
            continue
        basis = _basis(curve, work)
        log_t, spread = curve.measurement(work) if basis == "measured" else curve.predict(work)
        if drawn and job["weight"] == "random":
            log_t, spread = log_t + _GENERATED, np.hypot(spread, _GENERATED_SPREAD)
            basis = "extrapolated in weights" if basis in ("measured", "interpolated") else basis
        told = told or (basis == "measured" and (form != "dense" or sparse is None))
        t, far = math.exp(log_t), math.exp(cost.Z95 * cost.any_hour(spread))
        nbytes, fits = _memory(job, method, form, machine)
        found.append(Choice(name, method, t, t / far, t * far, nbytes, basis, fits))

    def place(c: Choice):
        # Where the point that is asked for was itself measured, no prediction comes before a measurement. (A full
        # matrix was measured for every connectivity, which says nothing of stored synapses.) Those that are predicted
        # to cost no more than a call does are level: first the one that is known better.
        return not c.fits, told and c.basis != "measured", c.seconds, c.high

    return sorted(found, key=place), left_out


def _work(job: dict, drawn: bool) -> cost.Work:
    """What is asked for; a form that draws its graph stores no weights."""
    item = float(cost.ITEM[job["dtype"]])
    each = job["weight"] != "homogeneous" and not drawn
    return cost.Work(
        *(np.array(float(x)) for x in (job["n_pre"], job["n_post"], job["n_synapses"])),
        events=np.array(job["rate"] * job["n_pre"]),
        batch=np.array(float(job["batch"])),
        item=np.array(item),
        stored=np.array(item if each else 0.0),
    )


def _name(method: str, form: str, sparse: str | None) -> str:
    if method == cost.DENSE:
        return "Linear"
    if method != cost.OURS:
        return f"its {form} product"
    names = {"sparse": sparse, "drawn": f"{sparse}(storage='procedural')", "dense": "EventLinear"}
    return names[form]


def _memory(job: dict, method: str, form: str, machine: dict) -> tuple[int, bool]:
    """Bytes stored, and whether that can be built on the machine."""
    if form == "dense":
        job = job | {"conn_kind": "dense", "weight": "per-synapse", "storage": "dense"}
        job["n_synapses"] = job["n_pre"] * job["n_post"]
    else:
        job = job | {"storage": "procedural" if form == "drawn" else "sparse"}
    if form == "drawn" and job["weight"] == "random":
        nbytes = 2 * cost.ITEM[job["dtype"]]  # the law's location and scale
    else:
        nbytes = int(sizes.stored_bytes(job, method))
    fits = nbytes <= machine.get("memory_bytes", math.inf)
    if form == "sparse":
        fits = fits and job["n_synapses"] <= MAX_SYNAPSES
    return nbytes, fits


def _basis(curve: cost.Curve, work: cost.Work) -> str:
    if curve.measured(work):
        return "measured"
    outside = curve.outside(work)
    if outside.any():
        return "extrapolated in " + ", ".join(np.array(cost.AXES)[outside])
    return "interpolated"
