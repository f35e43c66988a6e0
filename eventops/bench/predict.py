"""What a method will need, before it is built: bytes held, bytes at the peak, and whether that fits."""

from __future__ import annotations

from typing import Any

from eventops.bench.sweep import expected_synapses, item_bytes
from eventops.csr import tile_width

GIB = 2**30


def stored_bytes(job: dict[str, Any], method: str) -> int:
    """Bytes that a method holds for a job, by formula.

    Parameters
    ----------
    job
        A job of `eventops.bench.sweep.jobs`; with ``n_synapses`` where the number is known.
    method
        ``eventops`` or the name of a peer.
    """
    n_pre, n_post, item = job["n_pre"], job["n_post"], item_bytes(job["dtype"])
    synapses = job.get("n_synapses", expected_synapses(job))
    dense = n_pre * n_post * item
    scalar = job["weight"] == "homogeneous"
    pointers = 4 * (n_pre + 1)
    if method == "eventops":
        weights = item if scalar else synapses * item
        if job["storage"] != "sparse":
            return weights
        return _rows_bytes(job) + weights
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
    raise ValueError(f"predict.stored_bytes: method={method!r} is unknown")


def _rows_bytes(job: dict[str, Any]) -> int:
    """Bytes of stored rows."""
    n_pre, n_post = job["n_pre"], job["n_post"]
    synapses = job.get("n_synapses", expected_synapses(job))
    tiles = -(-n_post // tile_width(n_post, synapses / n_pre))
    return 2 * synapses + 4 * (n_pre * tiles + 1)


def peak_bytes(job: dict[str, Any], method: str) -> int:
    """Bytes at the peak of building a method: what it holds and the copies that the building takes."""
    held = stored_bytes(job, method)
    if method == "brainevent-jit":
        return held
    if method == "eventops" and job["storage"] == "procedural":
        # It stores no graph itself; the checks draw it, and compare it with a stored one.
        return held + 3 * _rows_bytes(job)
    if method == "eventops" and job["conn_kind"] == "given":
        # The entries, drawn and shuffled.
        return round(1.5 * held) + 24 * expected_synapses(job)
    if method == "jnp-dense" and job["conn_kind"] != "dense":
        return held + 8 * expected_synapses(job)
    if method == "jnp-dense" or method == "eventops":
        return round(1.5 * held)
    # Decoding the indices takes two arrays of them beside the one that the peer keeps a copy of.
    return held + 12 * expected_synapses(job) if job["conn_kind"] != "dense" else 2 * held


def limit_bytes(job: dict[str, Any], memory_bytes: int) -> int:
    """The memory that one job may use."""
    limit = job["measure"]["memory_limit_gib"]
    return round(0.6 * memory_bytes) if limit == "auto" else round(limit * GIB)


def too_big(needed: int, held: int, limit: int) -> str | None:
    """A reason to skip a method, or None where it fits beside what is held already."""
    if needed + held <= limit:
        return None
    beside = f" beside {held / GIB:.1f} GiB held" if held > 0.05 * GIB else ""
    return f"needs {needed / GIB:.1f} GiB{beside}; the limit is {limit / GIB:.1f} GiB"
