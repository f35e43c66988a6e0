"""Verify one job: its products, forms, gradients and graph, before anything of it is timed.

All products of the sweep are checked on the real graph. What needs the dense matrix (gradients, the
reference backend, the reference generator) is checked on the job itself where it is small, and on a twin
with fewer neurons of the same rule otherwise.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eventops.bench.records import machine
from eventops.bench.sweep import predict, setup, synapses
from eventops.bench.sweep.jobs import HAS_BACKEND
from eventops.bench.verify import checks, checks_connectome, checks_delays, degrees, histograms
from eventops.bench.verify.checks import Check

EXCEPTION = "no-exception"
"""The check that fails where checks ended in an exception."""


def run(
    job: dict[str, Any],
    memory_bytes: int | None = None,
    make: Callable[..., Any] = setup.operator,
) -> dict[str, Any]:
    """Verify a job.

    Parameters
    ----------
    job
        A job of `eventops.bench.sweep.jobs`.
    memory_bytes
        Physical memory; asked from the system by default.
    make
        ``make(job)`` and ``make(job, backend)`` give the operator. The tests put a broken one here.

    Returns
    -------
    dict
        The content of the verify record: status ``ok``, ``failed`` or ``skipped``, the checks, and facts
        of the graph.
    """
    start = time.perf_counter()
    setup.prepare(job)
    result: dict[str, Any] = {"job": job, "status": "ok", "reason": "", "checks": []}
    result |= {"graph_hash": None, "n_synapses": None, "mean_out_degree": None, "p_values": {}}
    result["histograms"] = []
    limit = predict.limit_bytes(job, memory_bytes or machine.memory_bytes())
    reason = predict.too_big(predict.peak_bytes(job, "eventops"), 0, limit)
    if reason is not None:
        # A procedural operator itself always fits.
        what = "its graph, drawn for the checks," if _procedural(job) else "the operator itself"
        result |= {"status": "skipped", "reason": f"{what} {reason}"}
    else:
        found = _all_checks(job, make, result)
        bad = [check for check in found if not check.passed]
        result["checks"] = [check.as_dict() for check in found]
        if bad:
            first = f"{bad[0].check} ({bad[0].where}): {bad[0].value:.3g}, limit {bad[0].limit:.3g}"
            more = f"; {len(bad) - 1} more" if len(bad) > 1 else ""
            result |= {"status": "failed", "reason": f"{first}{more}"}
    result["versions"] = machine.versions()
    result["duration_s"] = time.perf_counter() - start
    return result


def broken(result: dict[str, Any]) -> str:
    """What an exception said that ended a verification in which no number was wrong; empty where that is not so.

    Its cause may lie outside (memory, a device, a setting), so it is no result: the workflow tries it again. A wrong
    number stays until code or versions change.
    """
    bad = [check for check in result["checks"] if not check["passed"]]
    if not bad or any(check["check"] != EXCEPTION for check in bad):
        return ""
    return bad[0]["note"]


def _all_checks(job, make, result) -> list[Check]:
    """Every check; an exception is a check that failed, so that what was checked until then is not lost."""
    found: list[Check] = []
    small = setup.twin(job)
    stages = [
        ("graph", lambda: _real(job, make, result)),
        ("twin", lambda: _twin(small, make, result)),
    ]
    for where, stage in stages:
        try:
            for check in stage():
                found.append(check)
        except Exception as error:  # noqa: BLE001 - whatever it was, this job is not verified
            traceback.print_exc()
            note = f"{type(error).__name__}: {error}"[:500]
            found.append(checks.count(EXCEPTION, where, 1, note))
    return found


def _real(job, make, result):
    """Checks on the graph that will be timed; yields them one by one, so that none is lost."""
    op = make(job)
    n_synapses = op.n_synapses
    affordable = job["verify"]["max_synaptic_events"]
    result |= {"n_synapses": n_synapses, "mean_out_degree": n_synapses / max(1, job["n_pre"])}
    where = f"{job['n_pre']}x{job['n_post']}"
    for rate in dict.fromkeys([*job["rates"], "0", "1"]):
        for batch in dict.fromkeys([1, *job["batches"]]):
            if rate not in job["rates"] and batch != 1:
                continue
            yield from _product_at(op, job, where, rate, batch, affordable)
    yield from _bytes(op, job, where)
    if job["conn_kind"] != "dense" and n_synapses <= affordable:
        result["graph_hash"] = synapses.of(op).hash()
        yield from _statistics(op, job, where, result)
        if job["conn_kind"] == "given":
            yield from _counts(checks_connectome.findings(op, job, setup.SCALAR_WEIGHT), where)
        if _procedural(job) and setup.twin(job) is not job:
            yield from _is_sparse(op, make(_sparse(job)), job, where)


def _product_at(op, job, where, rate, batch, affordable):
    shape = (op.in_size,) if batch == 1 else (batch, op.in_size)
    spikes = setup.spikes(rate, shape, job["seed"])
    visited = setup.synaptic_events(op, spikes)
    if visited > affordable:
        return
    point = {"rate": rate, "batch": batch} if rate in job["rates"] else {}
    text = f"{where}, rate {rate}" + (f", batch {batch}" if batch > 1 else "")
    if visited * batch <= affordable:
        yield checks.product(op, spikes, "product", text, **point)
        return
    # The whole batch is computed, and as many of its vectors are checked as is affordable.
    few = max(1, int(affordable // max(1.0, visited)))
    computed = np.asarray(jax.jit(lambda op, s: op(s))(op, jnp.asarray(spikes)))[:few]
    worst, _ = checks.oracle.worst_ratio(computed, checks.oracle.product(op, spikes[:few]))
    yield checks.ratio("product", f"{text}, first {few} vectors", worst, **point)


def _bytes(op, job, where):
    """Memory follows synapses: what is stored, and what a call needs besides."""
    predicted = predict.stored_bytes({**job, "n_synapses": op.n_synapses}, "eventops")
    yield checks.size("stored-bytes", where, op.nbytes, 1.02 * predicted + 64, "1.02 x formula")
    if job["backend"] == "reference":
        return  # the specification is plain, and may take memory
    spikes = jax.ShapeDtypeStruct((op.in_size,), jnp.bool_)
    analysis = jax.jit(lambda op, s: op(s)).lower(op, spikes).compile().memory_analysis()
    if analysis is not None:
        limit = 64 * (op.in_size + op.out_size) + 65536
        temporary = analysis.temp_size_in_bytes
        note = "64 bytes per neuron and 64 KiB"
        yield checks.size("temporary-bytes", where, temporary, limit, note)


def _statistics(op, job, where, result):
    settings = job["verify"]
    rows = synapses.of(op)
    indptr, indices = rows.indptr(), rows.indices()
    result["histograms"] = histograms.of_graph(indptr, indices, job)
    for found in degrees.findings(indptr, indices, job, settings["rows_sampled"], job["seed"]):
        if found.is_p_value:
            result["p_values"][found.name] = found.value
            minimum = settings["p_value_min"]
            yield checks.p_value(found.name, where, found.value, minimum, found.note)
        else:
            yield checks.count(found.name, where, found.value, found.note)


def _twin(small, make, result):
    """Checks that need the dense matrix or the reference."""
    op = make(small)
    where = f"twin {small['n_pre']}x{small['n_post']}"
    if small["conn_kind"] != "dense":
        where += f", {small['conn_kind']} {small['conn']}"
    yield from checks.dense_twin(op, where)
    yield from checks.products(op, small, where)
    yield from checks.forms(op, small, where)
    yield from checks.gradients(op, small, where)
    if small["operator"] in HAS_BACKEND and small["backend"] != "reference":
        other = make(small, "reference")
        yield from checks.alike(op, other, "reference", small, where)
    if _procedural(small):
        stored = make(_sparse(small))
        yield from _is_sparse(op, stored, small, where)
        yield from checks.alike(op, stored, "sparse", small, where)
    if small["conn_kind"] != "dense":
        if small["conn_kind"] == "given":
            yield from _counts(checks_connectome.findings(op, small, setup.SCALAR_WEIGHT), where)
            yield from _counts(checks_connectome.repeated(small, setup.SCALAR_WEIGHT), where)
        else:
            yield _graph_is_reference(op, where)
        if result["graph_hash"] is None:  # the graph itself was too large
            yield from _statistics(op, small, where, result)
    if small["operator"] in HAS_BACKEND:
        if (
            small["device"] == "cpu"
        ):  # delays have a kernel for the CPU and a reference, and none for the GPU yet
            yield from checks_delays.delays(op, small, where)
        if op.weight.ndim:
            yield from checks_delays.updates(op, small, where)


def _counts(found, where):
    """Findings that are numbers of violations."""
    for finding in found:
        yield checks.count(finding.name, where, finding.value, finding.note)


def _procedural(job) -> bool:
    return job["storage"] == "procedural"


def _sparse(job) -> dict:
    return {**job, "storage": "sparse"}


def _is_sparse(op, stored, job, where):
    """A graph that is drawn on every call is the one that would be stored, and so is its product."""
    hashes = [op.connections().hash(), stored.rows.hash()]
    note = " and ".join(text[:16] for text in hashes)
    yield checks.count("procedural-is-sparse", where, hashes[0] != hashes[1], f"sha256 {note}")
    spikes = setup.spikes(max(job["rates"], key=float), (op.in_size,), job["seed"])
    one, other = (jax.jit(lambda op, s: op(s))(o, jnp.asarray(spikes)) for o in (op, stored))
    exact = checks.oracle.product(stored, spikes)
    yield checks.same("product-is-sparse", where, one, other, exact)


def _graph_is_reference(op, where) -> Check:
    """The graph equals the one of the reference generator, and the same seed gives it again."""
    from eventops.graphs import drawing

    hashes = {
        synapses.of(op).hash(),
        drawing.draw(op.graph).hash(),
        drawing.draw(op.graph, reference=True).hash(),
    }
    return checks.count("graph-hash", where, len(hashes) - 1, f"sha256 {sorted(hashes)[0][:16]}")
