"""What must come of a matrix that is given: itself, bit for bit, and twice itself where every entry is given twice."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventops.bench.sweep import connectome
from eventops.bench.verify.statistic import Finding


def findings(op, job: dict[str, Any], scalar: float) -> list[Finding]:
    """Is the operator's matrix the one that was given, bit for bit?

    Parameters
    ----------
    op
        The job's operator.
    job
        The job or its twin.
    scalar
        The weight of every synapse where the job is homogeneous.
    """
    wrong = _different(op.to_scipy(), _matrix(job, scalar))
    return [Finding("given-is-stored", wrong, False, "synapses that differ from the matrix given")]


def repeated(job: dict[str, Any], scalar: float) -> list[Finding]:
    """Every entry given twice: summed to one synapse, or kept as two; the matrix is exactly twice the given one."""
    import eventops

    pre, post, values = connectome.entries(job)
    twice = [np.concatenate([x, x]) for x in (pre, post)]
    twice += [] if values is None else [np.concatenate([values, values])]
    options = {"conn_weight": scalar} if values is None else {}
    options |= {"shape": (job["n_pre"], job["n_post"]), "dtype": job["dtype"]}
    expected = 2 * _matrix(job, scalar)
    result = []
    for duplicates, number in (("sum", 1), ("keep", 2)):
        op = eventops.EventSparse(tuple(twice), duplicates=duplicates, **options)
        matrix = op.to_scipy()
        matrix.sum_duplicates()
        wrong = _different(matrix, expected) + abs(op.n_synapses - number * pre.size)
        result.append(Finding(f"duplicates-{duplicates}", wrong, False, "synapses that differ"))
    return result


def _matrix(job, scalar: float):
    """As scipy reads the entries, with weights as they are stored."""
    import jax.numpy as jnp
    from scipy import sparse

    pre, post, values = connectome.entries(job)
    values = np.full(pre.size, scalar) if values is None else values
    stored = values.astype(jnp.dtype(job["dtype"]))
    wide = stored.astype(np.float64)  # scipy has no 16-bit numbers; these are exact
    return sparse.csr_array(
        sparse.coo_array((wide, (pre, post)), shape=(job["n_pre"], job["n_post"]))
    )


def _different(found, expected) -> int:
    """Synapses that are not where they must be, or have another weight."""
    expected.sort_indices()
    if found.shape != expected.shape or found.nnz != expected.nnz:
        return max(1, abs(found.nnz - expected.nnz))
    wrong = np.count_nonzero(found.indptr != expected.indptr)
    wrong += np.count_nonzero(found.indices != expected.indices)
    return int(wrong + np.count_nonzero(found.data.astype(np.float64) != expected.data))
