"""The generators of the peers under the tests that ours must pass.

Each draws one graph of each rule that it offers, at one size and seed; whatever it draws is held against
the exact law of that rule by `eventops.bench.verify.degrees`. A package that is not installed, or that has no
generator of the rule, is a stated fact.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from eventops.bench.peers import foreign
from eventops.bench.peers.foreign import Absent, Unable
from eventops.bench.records import machine
from eventops.bench.verify import degrees, histograms

VERSIONS = ("jax", "numpy", "scipy", "brainevent", "numba", "brainstate")
"""Packages that the graphs depend on."""
N_PRE, N_POST, SEED, ROWS_SAMPLED = 1200, 1000, 1, 1000
OURS = "eventops"
P_VALUE_MIN = 1e-6
"""A smaller p-value is called a failure: ours has it once in a million tests."""

CASES: dict[str, dict[str, Any]] = {
    "independent pairs, p = 0.1": {"conn_kind": "prob", "conn": "0.1"},
    "independent pairs, p = 0.6": {"conn_kind": "prob", "conn": "0.6"},
    "80 distinct targets each": {"conn_kind": "num", "conn": "80"},
    "80 distinct sources each": {"conn_kind": "num", "conn": "80", "efferent_target": "pre"},
    "80 targets each, repeats allowed": {
        "conn_kind": "num",
        "conn": "80",
        "allow_multi_conn": True,
    },
}


def rule(case: str) -> dict[str, Any]:
    """What `eventops.bench.verify.degrees` asks of a job, for one of `CASES`."""
    fixed = {"n_pre": N_PRE, "n_post": N_POST, "allow_self_conn": True}
    return fixed | {"allow_multi_conn": False, "efferent_target": "post"} | CASES[case]


def run(generators: dict[str, Callable] | None = None) -> dict[str, Any]:
    """Draw every rule by every generator and test what was drawn.

    Parameters
    ----------
    generators : dict, optional
        Name to ``draw(job)``, which gives ``indptr`` and ``indices``; `GENERATORS` by default.

    Returns
    -------
    dict
        ``graphs``: one entry per rule and generator with ``status`` (``ok``, ``failed``, ``absent`` or
        ``unable``), ``reason``, ``findings`` and ``histograms``. A peer that fails is a finding, and
        does not fail the run; the verification of ours does.

    Raises
    ------
    Exception
        Whatever ours raises: a graph that was not drawn is no result, and the workflow tries it again.
    """
    start = time.perf_counter()
    graphs = [
        _one(name, draw, case)
        for case in CASES
        for name, draw in (GENERATORS if generators is None else generators).items()
    ]
    facts = {"seed": SEED, "versions": machine.versions(VERSIONS)}
    return {"graphs": graphs, **facts, "duration_s": time.perf_counter() - start}


def _one(name: str, draw: Callable, case: str) -> dict[str, Any]:
    job = rule(case)
    entry = {"generator": name, "rule": case, "n_pre": N_PRE, "n_post": N_POST}
    entry |= {"status": "ok", "reason": "", "findings": [], "histograms": []}
    try:
        with contextlib.nullcontext() if name == OURS else foreign.at_work(name):
            return entry | _tested(job, *draw(job))
    except Absent as error:
        return entry | {"status": "absent", "reason": str(error)}
    except Unable as error:
        return entry | {"status": "unable", "reason": str(error)}


def _tested(job, indptr, indices) -> dict[str, Any]:
    """What the tests say of one graph."""
    found = degrees.findings(indptr, indices, job, ROWS_SAMPLED, SEED)
    findings = [
        {
            "test": f.name,
            "value": float(f.value),
            "is_p_value": f.is_p_value,
            "passed": bool(f.value >= P_VALUE_MIN if f.is_p_value else f.value == 0),
            "note": f.note,
        }
        for f in found
    ]
    bad = [f"{f['test']}: {f['note']}" for f in findings if not f["passed"]]
    drawn = {"findings": findings, "histograms": histograms.of_graph(indptr, indices, job)}
    return drawn | ({"status": "failed", "reason": "; ".join(bad)} if bad else {})


def _rows(pre, post) -> tuple[np.ndarray, np.ndarray]:
    """CSR from pairs, in pre-major order."""
    order = np.lexsort((post, pre))
    counts = np.bincount(pre, minlength=N_PRE)
    return np.concatenate([[0], np.cumsum(counts)]), np.asarray(post)[order].astype(np.int32)


def _ours(job):
    import eventops as nn

    more = {"seed": SEED}
    if job["conn_kind"] == "prob":
        op = nn.EventFixedProb(N_PRE, N_POST, float(job["conn"]), 1.0, **more)
    else:
        more |= {k: job[k] for k in ("efferent_target", "allow_multi_conn")}
        op = nn.EventFixedNumConn(N_PRE, N_POST, int(job["conn"]), 1.0, **more)
    return op.rows.indptr(), op.rows.indices()


def _scipy(job):
    """A uniform subset of the pairs of a fixed size: close to independent pairs, and not the same law."""
    if job["conn_kind"] != "prob":
        raise Unable("scipy.sparse.random_array draws a proportion of all pairs alone")
    sparse = foreign.module("scipy.sparse")
    drawn = sparse.random_array((N_PRE, N_POST), density=float(job["conn"]), rng=SEED).tocoo()
    return _rows(*drawn.coords)


def _brainevent(corder: bool):
    def draw(job):
        if job["conn_kind"] != "prob":
            raise Unable(
                "its fixed-number matrices are given their indices; it has no generator of them"
            )
        brainevent = foreign.brainevent()
        law = (1.0, float(job["conn"]), SEED)
        matrix = brainevent.JITCScalarR(law, shape=(N_PRE, N_POST), corder=corder)
        return _rows(*np.nonzero(np.asarray(matrix.todense())))

    return draw


def _brainstate(job):
    """Its layers, by the name that the tutorial gives each rule."""
    nn = foreign.module("brainstate", "brainstate").nn
    if job["efferent_target"] == "pre":
        raise Unable("its FixedNumConn refuses efferent_target='pre'")
    if job["conn_kind"] == "prob":
        layer = nn.EventFixedProb((N_PRE,), (N_POST,), float(job["conn"]), 1.0, seed=SEED)
    else:
        more = {"allow_multi_conn": job["allow_multi_conn"], "seed": SEED}
        layer = nn.EventFixedNumConn((N_PRE,), (N_POST,), int(job["conn"]), 1.0, **more)
    targets = np.asarray(layer.conn.indices)
    return _rows(np.repeat(np.arange(N_PRE), targets.shape[1]), targets.ravel())


GENERATORS: dict[str, Callable] = {
    OURS: _ours,
    "scipy.sparse.random_array": _scipy,
    "brainevent JITCScalarR": _brainevent(False),
    "brainevent JITCScalarR, corder": _brainevent(True),
    "brainstate": _brainstate,
}
