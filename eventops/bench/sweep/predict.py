"""What a method will need, before it is built: bytes held, bytes at the peak, and whether that fits."""

from __future__ import annotations

from typing import Any

from eventops.advice import sizes
from eventops.bench.sweep.jobs import expected_synapses

GIB = 2**30


def stored_bytes(job: dict[str, Any], method: str) -> int:
    """Bytes that a method holds for a job; see `eventops.advice.sizes.stored_bytes`."""
    return sizes.stored_bytes(_counted(job), method)


def _counted(job: dict[str, Any]) -> dict[str, Any]:
    """The job with its number of synapses, which is expected where it is not known."""
    return job if "n_synapses" in job else {**job, "n_synapses": expected_synapses(job)}


def peak_bytes(job: dict[str, Any], method: str) -> int:
    """Bytes at the peak of building a method: what it holds and the copies that the building takes."""
    held = stored_bytes(job, method)
    if method == "brainevent-jit":
        return held
    if method == "eventops" and job["storage"] == "procedural":
        # It stores no graph itself; the checks draw it, and compare it with a stored one.
        return held + 3 * sizes.rows_bytes(_counted(job))
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
