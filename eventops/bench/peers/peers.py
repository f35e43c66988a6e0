"""What eventops is measured against: one small adapter for each peer.

An adapter turns the graph and weights of an operator into the peer's own format (outside of any timer) and
gives a function for one product. A peer that is not installed, that breaks, or that cannot do what is asked, is a
stated fact: `build` raises `Absent` or `Unable` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eventops.bench.peers import foreign
from eventops.bench.peers.foreign import Absent, Unable  # noqa: F401 - what `build` raises
from eventops.bench.sweep import synapses


@dataclass(frozen=True)
class Peer:
    """A peer that is ready to be measured.

    Attributes
    ----------
    data
        Its matrix, as an argument of `step`, or closed over where the peer isn't JAX.
    step
        ``step(data, spikes) -> out``; traceable where `traceable` is set.
    prepare
        Turns boolean NumPy spikes into what the peer takes, before the timer starts.
    nbytes
        Bytes that its matrix holds, counted.
    visits_all
        Whether one product reads the whole matrix, or the rows of active inputs alone.
    traceable
        Whether it runs inside ``jax.jit`` and ``lax.scan``.
    draws
        Whether it draws its synapses on every call and reads none.
    other_graph
        Whether it does the same task on a graph that isn't ours, so that results cannot be equal.
    """

    data: Any
    step: Callable
    prepare: Callable
    nbytes: int
    visits_all: bool
    traceable: bool
    draws: bool = False
    other_graph: bool = False


def build(name: str, op, job: dict) -> Peer:
    """Make the adapter `name` for an operator.

    Raises
    ------
    Absent, Unable
        With the reason, whatever the peer raised.
    """
    with foreign.at_work(name):
        return ADAPTERS[name](op, job)


def is_dense(op) -> bool:
    """Whether the operator stores a whole matrix."""
    return synapses.of(op) is None


def _coordinates(op) -> tuple[np.ndarray, np.ndarray]:
    rows = synapses.of(op)
    return rows.indptr(), rows.indices()


def _values(op) -> np.ndarray:
    """One weight per synapse, for peers that cannot store a single number."""
    weight = np.asarray(op.weight)
    return np.full(op.n_synapses, weight) if weight.ndim == 0 else weight


def _dense(op) -> jax.Array:
    """The dense matrix, made without a second copy where the memory can be shared."""
    if is_dense(op):
        weight = op.weight
        return jnp.full((op.in_size, op.out_size), weight) if weight.ndim == 0 else weight
    indptr, indices = _coordinates(op)
    weight = np.asarray(op.weight)
    matrix = _aligned_zeros((op.in_size, op.out_size), weight.dtype)
    for i in range(op.in_size):
        part = slice(indptr[i], indptr[i + 1])
        # add.at, because a pair may be connected more than once.
        np.add.at(matrix[i], indices[part], weight if weight.ndim == 0 else weight[part])
    return jnp.asarray(matrix)


def _aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Zeros on a 64-byte boundary: JAX then uses the buffer as it is and makes no copy of it."""
    size = shape[0] * shape[1] * dtype.itemsize
    raw = np.zeros(size + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def _jax_prepare(spikes: np.ndarray):
    return jnp.asarray(spikes)


def _jnp_dense(op, job) -> Peer:
    matrix = _dense(op)

    def step(matrix, spikes):
        return spikes.astype(matrix.dtype) @ matrix

    return Peer(matrix, step, _jax_prepare, matrix.nbytes, True, True)


def _bcoo(op, job) -> Peer:
    if is_dense(op):
        raise Unable("the matrix is dense; a sparse format has nothing to leave out")
    from jax.experimental import sparse

    indptr, indices = _coordinates(op)
    pairs = np.empty((op.n_synapses, 2), dtype=np.int32)
    pairs[:, 0] = np.repeat(np.arange(op.in_size, dtype=np.int32), np.diff(indptr))
    pairs[:, 1] = indices
    matrix = sparse.BCOO(
        (jnp.asarray(_values(op)), jnp.asarray(pairs)),
        shape=(op.in_size, op.out_size),
        indices_sorted=True,
        unique_indices=not job["allow_multi_conn"],
    )

    def step(matrix, spikes):
        return spikes.astype(matrix.dtype) @ matrix

    return Peer(matrix, step, _jax_prepare, matrix.data.nbytes + matrix.indices.nbytes, True, True)


def _scipy_csr(op, job) -> Peer:
    if is_dense(op):
        raise Unable("the matrix is dense; a sparse format has nothing to leave out")
    sparse = foreign.module("scipy.sparse")
    values = _values(op)
    if values.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise Unable(f"scipy.sparse has no {values.dtype}")
    indptr, indices = _coordinates(op)
    matrix = sparse.csr_array(
        (values, indices, indptr.astype(np.int32)), shape=(op.in_size, op.out_size)
    )
    transposed = matrix.T

    def prepare(spikes):
        return spikes.astype(values.dtype).T

    def step(matrix, spikes):
        return (transposed @ spikes).T

    nbytes = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    return Peer(None, step, prepare, nbytes, True, False)


def _brainevent(op, job) -> Peer:
    brainevent = foreign.brainevent()
    weight, shape = op.weight, (op.in_size, op.out_size)
    if is_dense(op):
        matrix = _dense(op)
        nbytes = matrix.nbytes
    else:
        indptr, indices = _coordinates(op)
        degree = np.diff(indptr)
        nbytes = weight.nbytes + indices.nbytes
        if degree.size and degree[0] > 0 and np.all(degree == degree[0]):
            table = jnp.asarray(indices.reshape(op.in_size, -1))
            data = weight if weight.ndim == 0 else weight.reshape(table.shape)
            matrix = brainevent.FixedNumPerPre((data, table), shape=shape)
        else:
            data = weight.reshape(1) if weight.ndim == 0 else weight
            pointers = jnp.asarray(indptr.astype(np.int32))
            nbytes += pointers.nbytes
            matrix = brainevent.CSR((data, jnp.asarray(indices), pointers), shape=shape)
    # The leaves (the weights; indices are constants of its trees) are the argument: its matrices cannot be
    # rebuilt from the descriptions of arguments that lowering makes, nor be constructed inside jit.
    leaves, tree = jax.tree.flatten(matrix)

    def step(leaves, spikes):
        return brainevent.BinaryArray(spikes) @ jax.tree.unflatten(tree, leaves)

    return Peer(leaves, step, _jax_prepare, nbytes, False, True)


def _brainevent_jit(op, job) -> Peer:
    """Its matrix of independent connections that are drawn on every call, by a generator of its own."""
    if job["conn_kind"] != "prob" or job["storage"] != "procedural":
        raise Unable("it draws independent connections on every call: for storage procedural alone")
    if job["dtype"] != "float32" or op.weight.ndim != 0:
        raise Unable("it is compared with one float32 weight alone")
    if not job["allow_self_conn"]:
        raise Unable("it cannot leave out the connections of a neuron to itself")
    brainevent = foreign.brainevent()
    law = (op.weight, float(job["conn"]), job["seed"] % 2**31)
    # corder: the rows of active inputs are drawn, rather than the columns of all outputs.
    matrix = brainevent.JITCScalarR(law, shape=(op.in_size, op.out_size), corder=True)
    leaves, tree = jax.tree.flatten(matrix)
    leaves = [jnp.asarray(leaf) for leaf in leaves]

    def step(leaves, spikes):
        return brainevent.BinaryArray(spikes) @ jax.tree.unflatten(tree, leaves)

    nbytes = sum(leaf.nbytes for leaf in leaves)
    return Peer(leaves, step, _jax_prepare, nbytes, False, True, draws=True, other_graph=True)


def _torch(op, job) -> Peer:
    torch = foreign.module("torch", "torch")
    dtype = getattr(torch, job["dtype"])
    if is_dense(op):
        dense = np.asarray(_dense(op))
        # NumPy's bfloat16 is not torch's; every 16-bit number is a float32.
        dense = dense.astype(np.float32) if dense.itemsize < 4 else np.array(dense)
        matrix = torch.from_numpy(dense).to(dtype)
        transposed = matrix.T
        nbytes = matrix.numel() * matrix.element_size()
    else:
        indptr, indices = _coordinates(op)
        if job["dtype"] in ("float16", "bfloat16"):
            raise Unable(f"torch's sparse CPU product has no {job['dtype']}")
        sparse = foreign.module("scipy.sparse")
        # torch multiplies a CSR matrix from the left, so its rows are the post neurons.
        by_post = sparse.csr_array(
            (_values(op), indices, indptr.astype(np.int32)), shape=(op.in_size, op.out_size)
        ).T.tocsr()
        parts = [torch.from_numpy(part) for part in (by_post.indptr, by_post.indices, by_post.data)]
        transposed = torch.sparse_csr_tensor(
            *parts, size=by_post.shape, dtype=dtype, check_invariants=False
        )
        nbytes = sum(part.numel() * part.element_size() for part in parts)

    def prepare(spikes):
        return torch.from_numpy(np.ascontiguousarray(spikes.T, dtype=np.float32)).to(dtype)

    def step(matrix, spikes):
        out = transposed @ spikes
        return out if out.ndim == 1 else out.T

    return Peer(None, step, prepare, nbytes, True, False)


ADAPTERS: dict[str, Callable] = {
    "jnp-dense": _jnp_dense,
    "bcoo": _bcoo,
    "scipy-csr": _scipy_csr,
    "brainevent": _brainevent,
    "brainevent-jit": _brainevent_jit,
    "torch": _torch,
}
