"""Jobs whose connections are given: a matrix like a connectome's, made from the seed, and what must come of it.

Out-degrees are log-normal: heavy-tailed, as connections of the brain are (Buzsaki & Mizuseki 2014, Nat. Rev. Neurosci.
15:264), so that rows differ in length by orders of magnitude, which those of the random rules do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from eventops.bench.finding import Finding

SIGMA = 1.0
"""Of the logarithm of the out-degrees: the mean is 1.6 times the median."""


def degrees(job: dict[str, Any]) -> np.ndarray:
    """The out-degree of every pre neuron, at most all post neurons; the mean is ``conn`` but for what is cut off."""
    mean, n_post = int(job["conn"]), job["n_post"]
    if mean == 0:
        return np.zeros(job["n_pre"], np.int64)
    drawn = _rng(job, 0).lognormal(np.log(mean) - SIGMA**2 / 2, SIGMA, job["n_pre"])
    return np.minimum(np.round(drawn), n_post).astype(np.int64)


def entries(job: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The synapses in no order: pre, post, and their values (None where all weigh the same)."""
    degree, rng = degrees(job), _rng(job, 1)
    targets = [rng.choice(job["n_post"], k, replace=False, shuffle=False) for k in degree]
    post = np.concatenate([np.empty(0, np.int64), *targets]).astype(np.int32)
    pre = np.repeat(np.arange(job["n_pre"], dtype=np.int32), degree)
    order = rng.permutation(post.size)
    values = None
    if job["weight"] == "per-synapse":
        drawn = np.float64 if job["dtype"] == "float64" else np.float32
        values = rng.standard_normal(post.size, dtype=drawn)
    return pre[order], post[order], values


def _rng(job, stream: int) -> np.random.Generator:
    return np.random.default_rng([job["seed"], job["n_pre"], job["n_post"], stream])


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

    pre, post, values = entries(job)
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

    pre, post, values = entries(job)
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
