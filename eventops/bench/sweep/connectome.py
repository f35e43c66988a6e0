"""Jobs whose connections are given: a matrix like a connectome's, made from the seed.

Out-degrees are log-normal: heavy-tailed, as connections of the brain are (Buzsaki & Mizuseki 2014, Nat. Rev. Neurosci.
15:264), so that rows differ in length by orders of magnitude, which those of the random rules do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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
