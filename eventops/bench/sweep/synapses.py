"""The synapses of an operator, whatever form they are kept in."""

from __future__ import annotations

import functools

import numpy as np

from eventops.graphs import drawing
from eventops.rows.csr import Rows


def of(op) -> Rows | None:
    """The rows that an operator stores or draws; None for a dense one.

    The checks and the peers ask many times. A graph that is drawn is therefore kept here until another one
    is drawn, which costs the memory of the stored form; `eventops.bench.sweep.predict` counts it.
    """
    if op.rows is not None or op.graph is None:
        return op.rows
    return _drawn(op.graph)


def weights(op) -> np.ndarray:
    """The weights of :func:`of`, or the dense ones; one number if homogeneous."""
    return np.asarray(op.weight if op.law is None else op._weights(of(op)))


def drawn(op) -> bool:
    """Whether the operator keeps no synapse and draws them on every call."""
    return op.rows is None and op.graph is not None


@functools.lru_cache(maxsize=1)
def _drawn(graph) -> Rows:
    return drawing.draw(graph)
