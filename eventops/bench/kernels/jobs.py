"""Jobs of the section ``kernels``: steps with delays and updates of weights, verified and then timed beside another way."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eventops.bench.kernels import cases as kernel_cases
from eventops.bench.measure.timing import Method, interleave
from eventops.bench.peers import foreign
from eventops.bench.records import machine
from eventops.bench.verify import checks_delays, oracle

OURS = ("eventops", "delayed", "undelayed")
_SENT = 4  # steps with spikes at the beginning and at the end of what is checked


def jobs(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Expand the section ``kernels`` of a validated configuration: job id to job."""
    result = {}
    for block in config.get("kernels", []):
        delayed = block["measure"] == "delays"
        for n, conn in block["sizes"]:
            for weights in block["weights"] if delayed else ["per-synapse"]:
                for rate in block["rates"]:
                    job = {
                        "measure": block["measure"],
                        "n": n,
                        "conn": conn,
                        "weights": weights,
                        "rate": rate,
                        "delays": list(block["delays"]) if delayed else [],
                        "seed": config["seed"],
                        "settings": dict(config["measure"]),
                    }
                    text = json.dumps(job, sort_keys=True)
                    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
                    name = f"{job['measure']}-{n}-{conn}-{weights}-{digest}"
                    result[name] = {"id": name, **job}
    return result


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Verify and time all cases of a job.

    Parameters
    ----------
    job : dict
        Of :func:`jobs`.

    Returns
    -------
    dict
        The content of the record: ``status`` (``ok``, ``failed``, ``absent`` where a peer is not installed, or
        ``skipped`` where it cannot run) and ``reason``; ``cases`` with what was compared, its own status and reason,
        the largest error / bound, and the samples of both methods. A case that is not equal to the dense form is
        failed and not timed.
    """
    start = time.monotonic()
    result: dict[str, Any] = {"job": job, "status": "ok", "reason": "", "cases": []}
    result["versions"] = machine.versions()
    verify = functools.cache(functools.partial(VERIFY[job["measure"]], job))
    try:
        for case in kernel_cases.CASES[job["measure"]](job):
            result["cases"].append(_case(case, verify, job["settings"]))
    except foreign.Absent as error:
        result |= {"status": "absent", "reason": str(error)}
    except foreign.Unable as error:
        result |= {"status": "skipped", "reason": str(error)}
    failed = [f"{c['what']}: {c['reason']}" for c in result["cases"] if c["status"] == "failed"]
    if failed:
        result |= {"status": "failed", "reason": "; ".join(failed)}
    return result | {"duration_s": time.monotonic() - start}


def _case(case: kernel_cases.Case, verify, settings: dict) -> dict[str, Any]:
    found = {key: getattr(case, key) for key in ("what", "method", "against", "steps")}
    found |= {"status": "ok", "reason": "", "samples": {}, "worst": None}
    methods = []
    try:
        found["worst"], wrong = verify(case.subject)
        if wrong:
            return found | {"status": "failed", "reason": wrong}
        for name, (call, arguments) in case.calls.items():
            with _guarded(name):  # compiled, for which the timer would give up
                _finished(call, arguments[0])
            methods.append(Method(name, _bound(call), arguments, case.steps, ours=name in OURS))
        interleave(methods, settings)
    except (foreign.Absent, foreign.Unable) as error:
        return found | {"status": "skipped", "reason": str(error)}
    broken = [method.broken for method in methods if method.broken]
    if broken:
        return found | {"status": "skipped", "reason": broken[0]}
    return found | {"samples": {method.name: method.samples for method in methods}}


def _guarded(name: str):
    """Context for one of the methods: what ours raises goes on, what a peer raises is a fact about the peer."""
    return contextlib.nullcontext() if name in OURS else foreign.at_work(name)


def _finished(call, argument):
    return jax.block_until_ready(call(argument))


def _bound(call):
    return lambda argument: _finished(call, argument)


def _delays(job, late) -> tuple[float, str]:
    """Currents of some steps against one matrix per delay in float64: the ring goes round once."""
    gap = late.max_delay + 1
    sent = np.asarray(kernel_cases.spikes(job, _SENT)).reshape(-1, job["n"])
    movie = np.zeros((gap + 2 * _SENT, job["n"]), bool)
    movie[:_SENT], movie[-_SENT:] = sent[:_SENT], sent[_SENT:]
    _, currents = jax.jit(kernel_cases.run_delayed)(late, late.init_state(), jnp.asarray(movie))
    return _verdict(currents, checks_delays.exact_currents(late.op, late.delay, movie))


def _updates(job, subject) -> tuple[float, str]:
    """One update by both methods, against the dense update in float64."""
    op, (low, high) = subject.op, subject.bounds
    weight = np.full(op.n_synapses, kernel_cases.WEIGHT, np.float32)
    spikes = np.asarray(kernel_cases.spikes(job, 1)[0][0])
    exact = checks_delays.exact_update(
        op, weight, subject.side, spikes, np.asarray(subject.trace), low, high
    )
    found = []
    for name, update in subject.methods.items():
        with _guarded(name):
            computed = _finished(
                lambda w, update=update: jax.jit(update)(w, jnp.asarray(spikes)),
                jnp.asarray(weight),
            )
        worst, wrong = _verdict(computed, exact)
        if wrong:
            return worst, f"{name}: {wrong}"
        found.append(worst)
    return max(found), ""


def _verdict(computed, exact) -> tuple[float, str]:
    worst, at = oracle.worst_ratio(np.asarray(computed), exact)
    return worst, "" if worst <= 1 else f"error {worst:.3g} times its bound at element {at}"


VERIFY = {"delays": _delays, "plasticity": _updates}
