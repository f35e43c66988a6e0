"""How many bytes each method holds for a network, by formula."""

from __future__ import annotations

from typing import Any

from ..rows.csr import tile_width
from .cost_terms import ITEM


def stored_bytes(job: dict[str, Any], method: str) -> int:
    """Bytes that a method holds for a job, by formula.

    Parameters
    ----------
    job
        ``n_pre``, ``n_post``, ``n_synapses``, ``dtype``, ``weight``, ``storage`` and ``conn_kind``, as in a job of
        `eventops.bench.sweep.jobs`.
    method
        ``eventops`` or the name of a peer.
    """
    n_pre, n_post, item = job["n_pre"], job["n_post"], ITEM[job["dtype"]]
    synapses = job["n_synapses"]
    dense = n_pre * n_post * item
    scalar = job["weight"] == "homogeneous"
    pointers = 4 * (n_pre + 1)
    if method == "eventops":
        weights = item if scalar else synapses * item
        if job["storage"] != "sparse":
            return weights
        return rows_bytes(job) + weights
    if method == "brainevent-jit":
        return item + 4 + 4  # a weight, a probability and a seed
    if method == "jnp-dense" or job["conn_kind"] == "dense":
        return dense
    if method == "bcoo":
        return synapses * (2 * 4 + item)
    if method == "scipy-csr":
        return synapses * (4 + item) + pointers
    if method == "brainevent":
        return synapses * 4 + (item if scalar else synapses * item) + pointers
    if method == "torch":
        return synapses * (4 + item) + pointers
    raise ValueError(f"sizes.stored_bytes: method={method!r} is unknown")


def rows_bytes(job: dict[str, Any]) -> int:
    """Bytes of stored rows."""
    n_pre, n_post = job["n_pre"], job["n_post"]
    synapses = job["n_synapses"]
    tiles = -(-n_post // tile_width(n_post, synapses / n_pre))
    return 2 * synapses + 4 * (n_pre * tiles + 1)
