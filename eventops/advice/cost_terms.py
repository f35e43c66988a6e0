"""What a product asks of the hardware, in the units that `eventops.advice.cost` finds prices for."""

from __future__ import annotations

import dataclasses

import numpy as np

OURS, DENSE = "eventops", "jnp-dense"
METHODS = (OURS, DENSE, "bcoo", "scipy-csr", "brainevent", "torch")
WITHOUT_JAX = ("scipy-csr", "torch")  # and so without the price of its calls
BY_EVENT = (OURS, "brainevent")  # visit the rows of active inputs alone; the others read everything
ITEM = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_CACHES = {"L2": 2**20, "L3": 2**25}  # for a machine that does not tell
AXES = ("n_pre", "n_post", "out-degree", "active inputs", "batch", "dtype", "weights")


@dataclasses.dataclass(frozen=True)
class Work:
    """What a product is asked to do; arrays of one shape.

    Attributes
    ----------
    n_pre, n_post, synapses
        Sizes of the matrix, and its number of connections.
    events
        Active inputs of one vector.
    batch
        Vectors per call.
    item
        Bytes of one weight.
    stored
        Bytes of weight that are stored with each synapse: 0 where all have one weight.
    """

    n_pre: np.ndarray
    n_post: np.ndarray
    synapses: np.ndarray
    events: np.ndarray
    batch: np.ndarray
    item: np.ndarray
    stored: np.ndarray

    @property
    def fan(self) -> np.ndarray:
        """Mean out-degree."""
        return self.synapses / np.maximum(self.n_pre, 1)

    @property
    def rows(self) -> np.ndarray:
        """Rows that at least one vector of the batch needs, if vectors are independent."""
        silent = 1 - np.minimum(self.events / np.maximum(self.n_pre, 1), 1)
        return self.n_pre * (1 - silent**self.batch)

    def place(self) -> np.ndarray:
        """Where this is among the measured points: natural logarithms, shape (..., len(AXES))."""
        columns = (self.n_pre, self.n_post, self.fan, self.events, self.batch, self.item)
        logs = [np.log(np.asarray(c, float) + 0.5) for c in columns]
        return np.stack([*logs, np.asarray(self.stored > 0, float)], axis=-1)


def as_seen(method: str, form: str, w: Work) -> Work:
    """The same work, with all that the method does not notice made equal."""
    if form == "dense":
        w = dataclasses.replace(w, synapses=w.n_pre * w.n_post, stored=w.item)
    if method not in BY_EVENT:
        w = dataclasses.replace(w, events=w.n_pre, stored=w.item)
    return w


def _beyond(size, cache):
    """The share of something walked through again and again that does not stay in a cache."""
    return np.maximum(0.0, 1 - cache / np.maximum(size, 1.0))


def walked_bytes(method: str, form: str, w: Work) -> dict[str, np.ndarray]:
    """Bytes that are walked through again and again, and so are cheaper if they fit into a cache."""
    if form == "dense":
        matrix = w.n_pre * w.n_post * w.item
        return {"L2": matrix, "L3": matrix}
    if form == "drawn":
        return {}
    if method in BY_EVENT:
        return {"L2": 4 * w.n_post, "L3": (2 + w.stored) * w.synapses}
    return {"L3": (4 + w.item) * w.synapses}


def known_caches(caches: dict[str, int], walked: dict[str, np.ndarray]) -> dict[str, int]:
    """The caches that some measured point fits into; the others, of which nothing is known, count as none."""
    sizes = {name: caches.get(name) or size for name, size in _CACHES.items()}
    return {
        name: size if name in walked and (walked[name] <= size).any() else 0
        for name, size in sizes.items()
    }


def terms(method: str, form: str, w: Work, caches: dict[str, int]) -> np.ndarray:
    """What one call costs, in units whose prices are fitted: shape (..., number of terms)."""
    beyond = {
        name: _beyond(size, caches[name]) for name, size in walked_bytes(method, form, w).items()
    }
    ends = [np.ones(np.shape(w.n_pre)), w.batch * w.n_pre, w.batch * w.n_post]
    visits = w.batch * w.events * w.fan
    # Weights of 16 bits are widened before they are added.
    narrow = visits * (np.asarray(w.stored) == 2)
    if form == "dense":
        read = w.rows * w.n_post * w.item  # once for all vectors of a batch
        columns = [*ends, w.rows, visits, narrow]
        columns += [read * beyond["L2"], read * beyond["L3"]]
    elif form == "drawn":
        columns = [*ends, w.rows, w.rows * w.fan, visits]
    elif method in BY_EVENT:
        columns = [*ends, w.batch * w.events, visits, visits * w.stored, narrow]
        columns += [visits * beyond["L2"], visits * beyond["L3"]]
    else:
        columns = [*ends, w.synapses, w.batch * w.synapses, w.synapses * beyond["L3"]]
    return np.stack([np.asarray(c, float) for c in columns], axis=-1)
