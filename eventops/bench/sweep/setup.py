"""From a job to its operator, and to the spikes that it is given."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from eventops.bench.sweep import connectome, spaces, synapses
from eventops.bench.sweep.jobs import HAS_BACKEND

SCALAR_WEIGHT = 0.3
"""No dyadic fraction, so that every product is rounded."""


def prepare(job: dict) -> None:
    """Set JAX up for a job, before any array is made: float64 where it is needed, and the device."""
    if job["device"] == "cpu":
        # Otherwise the default device of a machine with a GPU is the GPU.
        jax.config.update("jax_platforms", "cpu")
    if job["dtype"] == "float64":
        jax.config.update("jax_enable_x64", True)
    offered = jax.default_backend()
    if offered != job["device"]:
        raise RuntimeError(
            f"job {job['id']} runs on device {job['device']!r}, but JAX offers {offered!r} here: the device is "
            "gone or its plugin does not load; bring it back, or leave it out with devices: [cpu]"
        )


def operator(job: dict, backend: str | None = None):
    """The operator that a job describes.

    Parameters
    ----------
    job
        A job of `eventops.bench.sweep.jobs`, or its `twin`.
    backend
        Another backend than the job's.
    """
    import eventops

    kind = getattr(eventops, job["operator"])
    options = {"dtype": job["dtype"], "seed": job["seed"]}
    if job["operator"] in HAS_BACKEND:
        options["backend"] = backend or job["backend"]
    weight = _normal if job["weight"] == "per-synapse" else SCALAR_WEIGHT
    if job["conn_kind"] == "dense":
        return kind(job["n_pre"], job["n_post"], weight, **options)
    if job["conn_kind"] == "given":
        pre, post, values = connectome.entries(job)
        matrix = (pre, post, SCALAR_WEIGHT if values is None else values)
        return kind(matrix, shape=(job["n_pre"], job["n_post"]), **options)
    conn = job["conn"]
    options["allow_self_conn"] = job["allow_self_conn"]
    options["storage"] = job["storage"]
    if job["conn_kind"] == "prob":
        return kind(job["n_pre"], job["n_post"], float(conn), weight, **options)
    if job["conn_kind"] == "distance":
        around = job["space"] in ("ring", "torus")
        pre, post = (spaces.shape(job["space"], job[name]) for name in ("n_pre", "n_post"))
        return kind(pre, post, spaces.profile(job), weight, extent=1.0, periodic=around, **options)
    if job["conn_kind"] == "num":
        options["efferent_target"] = job["efferent_target"]
    options["allow_multi_conn"] = job["allow_multi_conn"]
    number = float(conn) if "." in conn else int(conn)
    return kind(job["n_pre"], job["n_post"], number, weight, **options)


def _normal(key, shape, dtype):
    """Weights of both signs, so that sums cancel and rounding shows.

    NumPy draws them: the temporaries of ``jax.random.normal`` take several times the weights' memory, and
    would be counted as the operator's.
    """
    seed = np.asarray(jax.random.bits(key, (4,), "uint32"))
    drawn = np.float64 if np.dtype(dtype) == np.float64 else np.float32
    values = np.random.default_rng(seed).standard_normal(shape, dtype=drawn)
    return jnp.asarray(values).astype(dtype)


def twin(job: dict) -> dict:
    """The same job on at most ``twin_size`` neurons a side, where every check is affordable.

    A probability stays. A number of partners stays where it leaves a choice on the smaller side, and
    becomes a quarter of that side otherwise; so does a mean. A total stays the same part of the pairs.
    """
    from eventops.bench.sweep.jobs import partners, total

    size = job["verify"]["twin_size"]
    if max(job["n_pre"], job["n_post"]) <= size:
        return job
    if job["conn_kind"] == "distance":
        return {**job, **spaces.twin(job, size)}
    small = {**job, "n_pre": min(job["n_pre"], size), "n_post": min(job["n_post"], size)}
    # Not square: swapped axes must show.
    if small["n_post"] == small["n_pre"] and job["allow_self_conn"]:
        small["n_post"] = max(1, small["n_post"] - 13)
    if job["conn_kind"] == "total":
        pairs = small["n_pre"] * small["n_post"]
        number = round(total(job) * pairs / (job["n_pre"] * job["n_post"]))
        small["conn"] = str(min(max(1, number), total(job)))
    if job["conn_kind"] == "given":
        small["conn"] = str(min(int(job["conn"]), max(1, small["n_post"] // 4)))
    if job["conn_kind"] == "num":
        pool = small["n_post"] if job["efferent_target"] == "post" else small["n_pre"]
        number = partners(job)
        small["conn"] = str(number if 2 * number <= pool else max(1, pool // 4))
    return small


def spikes(rate: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Boolean spikes: in each vector ``rate * n`` inputs are active, at least one unless the rate is 0.

    The number of events is fixed, so that it is the same for all vectors and methods; the places are
    random.
    """
    n = shape[-1]
    count = round(float(rate) * n)
    if float(rate) > 0:
        count = max(1, count)
    rng = np.random.default_rng(np.random.SeedSequence([seed, n, count]))
    out = np.zeros(shape, dtype=bool)
    for row in out.reshape(-1, n):
        row[rng.choice(n, size=count, replace=False)] = True
    return out


def graded(active: np.ndarray, seed: int) -> np.ndarray:
    """Float values of both signs in the active places."""
    rng = np.random.default_rng(seed)
    return np.where(active, rng.normal(size=active.shape), 0).astype(np.float32)


def synaptic_events(op, vectors: np.ndarray) -> float:
    """Mean number of synapses that one spike vector visits."""
    rows = synapses.of(op)
    if rows is None:
        return float(np.mean(np.count_nonzero(vectors, axis=-1)) * op.out_size)
    degree = np.diff(rows.indptr())
    return float(np.mean(vectors.reshape(-1, vectors.shape[-1]).astype(np.float64) @ degree))


def as_dtype(values: np.ndarray, dtype: str):
    """A JAX array of the job's dtype."""
    return jnp.asarray(values).astype(dtype)
