"""Operators whose connections are spread over the devices of a mesh."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from ..core import loader
from ..core.arguments import spike_array, unit_events
from ..core.messages import shown, weights_shown
from ..core.places import moved, placed
from ..primitives.products import result_dtype, warn_of_constants
from ..rows.building import build
from ..rows.csr import Rows
from ..rows.entries import listed
from .arguments import weight_array
from .delays import Delayed
from .operator import Operator
from .parts import Layout, Parts, dense_weight, sparse_weight
from .sparse import rows_of, sparse_operator
from .storage import SPARSE


def sharded(operator, mesh, axis, *, split="post", batch=None):
    """Spread an operator over the devices of a mesh axis.

    Parameters
    ----------
    operator : class
        ``EventFixedProb``, ``EventFixedNumConn``, ``FixedNumConn``, ``EventSparse``, ``EventLinear`` or ``Linear``.
    mesh : jax.sharding.Mesh
    axis : str
        Name of the mesh axis that the neurons are split over.
    split : {'post', 'pre'}
        'post': each device has the connections onto its own part of the post neurons. Every device reads all
        spikes, the output is split over the axis, and there is no communication. 'pre': each device has the
        connections from its own part of the pre neurons. Spikes are split over the axis, and the devices'
        partial sums are added in one reduction.
    batch : str or tuple of str, optional
        Names of other mesh axes that the first dimension of batched spikes is split over. Along mesh axes that
        are named neither here nor by ``axis``, all devices compute the same.

    Returns
    -------
    callable
        It takes the arguments of ``operator`` and returns a :class:`Sharded` operator.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit the others; the message says what to pass.

    Notes
    -----
    The graph is that of ``operator`` with the same arguments, and so are the weights. Each process draws for
    its own devices and stores nothing else. Lines that run along the split axis (``EventFixedProb`` and a
    fixed out-degree with 'pre', a fixed in-degree with 'post') are drawn by one device each; in the other
    orientation every device draws all lines and keeps its own partners. An array of weights per synapse, or
    an initialiser of such, is made whole in every process for a moment, and so is an ``EventSparse``; a scalar and
    dense weights are not. ``to_scipy``, ``to_bcoo``, ``.T`` and selections gather the operator first; what they
    give is not sharded.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, eventops as nn
    >>> mesh = jax.make_mesh((len(jax.devices()),), ("x",))
    >>> n = 100 * len(jax.devices())
    >>> op = nn.sharded(nn.EventFixedNumConn, mesh, "x", split="post")(n, n, 10, 0.5, seed=1)
    >>> op(jnp.ones(n, bool)).shape == (n,)
    True
    """
    unfit = (Sharded, Delayed)
    if not (isinstance(operator, type) and issubclass(operator, Operator)) or operator in unfit:
        raise TypeError(
            f"sharded: operator={shown(operator)} must be a class of operators, for example eventops.EventLinear; "
            "its arguments come in a second call, sharded(EventLinear, mesh, 'x')(in_size, out_size, weight)"
        )
    if not isinstance(mesh, Mesh):
        raise TypeError(
            f"sharded: mesh={shown(mesh)} must be a jax.sharding.Mesh, see jax.make_mesh"
        )
    if split not in ("post", "pre"):
        raise ValueError(f"sharded: split={split!r} must be 'post' or 'pre'")
    others = () if batch is None else (batch,) if isinstance(batch, str) else tuple(batch)
    for name, given in (("axis", axis), *(("batch", b) for b in others)):
        if given not in mesh.axis_names:
            raise ValueError(f"sharded: {name}={given!r} must be one of the axes {mesh.axis_names}")
    if axis in others:
        raise ValueError(f"sharded: batch={batch!r} must not contain axis={axis!r}")
    return functools.partial(_make, operator, Layout(mesh, axis, split, others))


class Sharded(Operator):
    """An operator that is spread over the devices of a mesh axis; made by :func:`sharded`.

    It is called, differentiated and passed around like any other operator. Global arrays go in and come out.

    Attributes
    ----------
    stacked : Operator
        Of the class that was asked for, with the sizes of one part. Its arrays are global: with a leading axis
        that numbers the parts (padded to the largest part; the row pointers say where a part ends), or the
        (in_size, out_size) matrix of dense weights, split over the mesh axis; a homogeneous weight is on every
        device.
    layout : Layout
        ``mesh``, ``axis``, ``split`` and ``batch``, as passed to :func:`sharded`.
    counts : tuple of int
        Number of connections of each part.
    """

    _arrays = ("stacked",)
    _static = ("in_size", "out_size", "layout", "counts")
    _facts = ()
    _no_updates = (
        "a sharded operator cannot update weights; keep the plastic projection on one device"
    )

    def __init__(self, *args, **kwargs):
        raise TypeError("Sharded: make it with sharded(operator, mesh, axis)(...)")

    @property
    def weight(self):
        """() if homogeneous; (in_size, out_size) if dense; else (n_parts, most connections of a part)."""
        return self.stacked.weight

    @property
    def rows(self):
        """Rows of the parts, stacked; None for dense operators."""
        return self.stacked.rows

    @property
    def n_synapses(self) -> int:
        """Number of connections, of all parts together."""
        return sum(self.counts)

    @property
    def nbytes(self) -> int:
        """Bytes stored, on all devices together."""
        n_devices = self.layout.mesh.size
        return sum(
            n_devices * x.dtype.itemsize * math.prod(x.sharding.shard_shape(x.shape))
            for x in jax.tree.leaves(self.stacked)
        )

    @property
    def nbytes_per_device(self) -> int:
        """Bytes stored on each device."""
        return self.nbytes // self.layout.mesh.size

    @property
    def specs(self):
        """This operator with a ``PartitionSpec`` for each array: the ``in_specs`` of your own ``shard_map``."""
        leaves, tree = jax.tree.flatten(self)
        dense = self.rows is None
        return jax.tree.unflatten(tree, [self.layout.weights(x.ndim, dense) for x in leaves])

    def with_weight(self, weight):
        """The same connections with other weights.

        Parameters
        ----------
        weight : array
            Shape () for homogeneous weights, else the shape of ``op.weight``: for sparse operators
            (n_parts, most connections of a part), where part p has its weights in (pre, post) order in
            ``weight[p, :counts[p]]`` and the rest is not read. Floating; numbers that are not arrays take the
            present dtype.
        """
        stacked = self.stacked
        shape = (self.in_size, self.out_size)
        if self.rows is not None:
            shape = self.rows.offsets.shape
        dtype = None if hasattr(weight, "dtype") else self.dtype
        call = "Sharded.with_weight"
        new = weight_array(call, weight, shape, dtype, stacked.seed)
        if not isinstance(weight, jax.Array):  # which its user has put somewhere
            spec = self.layout.weights(new.ndim, dense=self.rows is None)
            new = moved(new, NamedSharding(self.layout.mesh, spec))
        return _copy(self, stacked=_copy(stacked, weight=new))

    def __call__(self, spikes):
        """Propagate spikes.

        Parameters
        ----------
        spikes : array, shape (..., in_size)
            Bool, integer or floating. Concrete arrays are put where they are needed; in a program, JAX's
            partitioner moves them there: with 'post' every device needs all spikes, with 'pre' its own part.

        Returns
        -------
        array, shape (..., out_size)
            With 'post' split over the mesh axis, with 'pre' the same on all its devices.
        """
        layout = self.layout
        spikes = spike_array("Sharded", spikes, self.in_size)
        warn_of_constants(spikes, *jax.tree.leaves(self))
        into = layout.spec(spikes.ndim, layout.split == "pre")
        return _call(self, _moved(spikes, NamedSharding(layout.mesh, into)))

    def local(self, spikes):
        """One device's part of the product, to be called inside ``shard_map`` over the mesh axis.

        Pass the operator into the ``shard_map`` with ``in_specs=op.specs``.

        Parameters
        ----------
        spikes : array, shape (..., n)
            All spikes (n = in_size) with 'post', those of the device's own pre neurons with 'pre'.

        Returns
        -------
        array, shape (..., m)
            The device's own outputs with 'post'; with 'pre' all outputs, added up over the mesh axis.
        """
        part = self._part()
        spikes = spike_array("Sharded.local", spikes, part.in_size)
        if part.float_as_event:
            spikes = unit_events(spikes)
        if self._reads_padding(part):
            part = _with_row_for_padding(part)
            silent = jnp.zeros((*spikes.shape[:-1], 1), spikes.dtype)
            spikes = jnp.concatenate([spikes, silent], axis=-1)
        if self.layout.split == "post":
            return part._product(spikes)
        # Rounded once, after the sum over the devices.
        total = jax.lax.psum(part._product(spikes, rounded=False), self.layout.axis)
        return total.astype(result_dtype(spikes.dtype, part.dtype))

    def todense(self) -> jax.Array:
        """The matrix, shape (in_size, out_size), split over the mesh axis."""
        if self.weight.ndim and self.rows is None:
            return self.weight
        mesh = self.layout.mesh
        on_host = mesh.devices.flat[0].platform == "cpu"  # whose devices have one memory
        self._check_room_for_matrix(
            (len(mesh.local_devices) if on_host else 1) / self.layout.n_parts
        )
        if self.rows is None:
            return jnp.broadcast_to(self.weight, (self.in_size, self.out_size))
        return _todense(self)

    def hash(self) -> str:
        """SHA-256 of the graph: that of ``op.rows.hash()`` of the operator that is not sharded.

        Every process takes the whole graph into its host's memory for it.
        """
        if self.rows is None:
            raise TypeError("Sharded.hash: a dense operator has no graph")
        return self.gathered().rows.hash()

    def gathered(self) -> Operator:
        """The same connections and weights, not sharded.

        Every process takes all of them into its host's memory.
        """
        layout, rows, weight = self.layout, self.rows, self.weight
        where = layout.one_device()
        if rows is None:
            whole = weight if weight.ndim == 0 else layout.everywhere(weight)
            return _copy(
                self.stacked,
                weight=placed(np.asarray(whole), where),
                in_size=self.in_size,
                out_size=self.out_size,
            )
        ptrs, offsets = layout.everywhere(rows.ptr), layout.everywhere(rows.offsets)
        pre, post = [], []
        for p, count in enumerate(self.counts):
            window = layout.window(p, self.in_size, self.out_size)
            part = Rows(ptrs[p], offsets[p, :count], window.n_in, window.n_out, rows.tile)
            pre.append(np.repeat(np.arange(*window.pre, dtype=np.int32), np.diff(part.indptr())))
            post.append(part.indices() + np.int32(window.post[0]))
        pre, post, values = np.concatenate(pre), np.concatenate(post), None
        if weight.ndim:
            stacked = layout.everywhere(weight)
            values = np.concatenate([stacked[p, :count] for p, count in enumerate(self.counts)])
        built = build(listed(self.in_size, self.out_size, pre, post), values, weight.dtype)
        weight = placed(built.values if weight.ndim else np.asarray(weight), where)
        rows = rows_of(built, self.in_size, self.out_size, where)
        return sparse_operator(self.stacked, rows, weight)

    def _part(self) -> Operator:
        """The operator of one device, inside ``shard_map``."""
        if self.rows is None:
            return self.stacked
        return jax.tree.map(lambda x: x[0] if x.ndim > 1 else x, self.stacked)

    def _reads_padding(self, part: Operator) -> bool:
        """Whether the kernel takes every stored offset for a synapse: ``reference`` does."""
        if self.rows is None or len(set(self.counts)) == 1:
            return False
        device = self.layout.mesh.devices.flat[0]
        native = device.platform == "cpu" or "nvidia" in device.device_kind.lower()
        native = native and part.backend != "reference" and loader.unavailable() is None
        return not native

    def __repr__(self):
        layout = self.layout
        where = f"{layout.n_parts} x {layout.axis!r}, split={layout.split!r}"
        if layout.batch:
            where += f", batch={layout.batch!r}"
        parts = [type(self.stacked).__name__, str(self.in_size), str(self.out_size)]
        parts += self.stacked._describe() if self.stacked.graph is not None else []
        parts += [f"weight={weights_shown(self.weight)}", f"n_synapses={self.n_synapses}"]
        try:
            parts[-1] += f", nbytes={self.nbytes}"
        except AttributeError:
            pass  # leaves that are traced or no arrays do not say where they are
        return f"Sharded({', '.join([*parts, where])})"


# Compiled once for an operator's sizes, also where the call is eager.
@jax.jit
def _call(op, spikes):
    layout = op.layout
    return jax.shard_map(
        lambda op, spikes: op.local(spikes),
        mesh=layout.mesh,
        in_specs=(op.specs, layout.spec(spikes.ndim, layout.split == "pre")),
        out_specs=layout.spec(spikes.ndim, layout.split == "post"),
    )(op, spikes)


@jax.jit
def _todense(op):
    def dense(op):
        part = op._part()
        return _with_row_for_padding(part).todense()[: part.in_size]

    layout = op.layout
    return jax.shard_map(dense, mesh=layout.mesh, in_specs=(op.specs,), out_specs=layout.matrix())(
        op
    )


def _copy(op, **changes):
    new = object.__new__(type(op))
    new.__dict__.update({**op.__dict__, **changes})
    return new


def _moved(spikes, sharding):
    """Spikes where they are needed; in a program on a mesh whose axes are automatic that is up to XLA."""
    if not isinstance(spikes, jax.core.Tracer):
        return jax.device_put(spikes, sharding)
    if jax.sharding.AxisType.Explicit in sharding.mesh.axis_types:
        return jax.sharding.reshard(spikes, sharding)
    return spikes


def _with_row_for_padding(part: Operator) -> Operator:
    """With one more, silent, pre neuron that what stands behind the synapses belongs to."""
    rows = part.rows
    length = jnp.full(rows.n_tiles, rows.n_synapses, rows.ptr.dtype)
    ptr = jnp.concatenate([rows.ptr, length])
    longer = Rows(ptr, rows.offsets, rows.n_in + 1, rows.n_out, rows.tile)
    return _copy(part, rows=longer, in_size=part.in_size + 1)


def _make(operator, layout: Layout, *args, **options) -> Sharded:
    """The constructor of ``operator`` checks the arguments; its arrays are made here, in parts."""
    asked = {}
    op = object.__new__(operator)
    op._set(_store=lambda *request: asked.update(request=request))
    op.__init__(*args, **options)
    call, graph, weight, dtype = asked["request"]
    if getattr(op, "storage", SPARSE) != SPARSE:
        raise ValueError(
            f"sharded({call}): storage={op.storage!r} has nothing to spread over devices; use storage='sparse', or "
            "the operator itself, whose batch is split by plain jit"
        )
    del op.__dict__["_store"]
    name, split = ("out_size", op.out_size) if layout.split == "post" else ("in_size", op.in_size)
    n = layout.n_parts
    if split % n:
        raise ValueError(
            f"sharded({call}): {name}={split} does not divide into {n} equal parts, the size of mesh axis "
            f"{layout.axis!r}; use {name}={-(-split // n) * n} and leave the surplus neurons unused"
        )
    shape = (op.in_size, op.out_size)
    window = layout.window(0, *shape)
    op._set(in_size=window.n_in, out_size=window.n_out)
    if graph is None:
        counts = (window.n_in * window.n_out,) * n
        op._set(weight=dense_weight(call, layout, weight, shape, dtype, op.seed))
    else:
        parts = Parts(call, layout, graph)
        counts = parts.counts
        op._set(stored=None if isinstance(graph, Rows) else graph, rows=parts.rows())
        op._set(weight=sparse_weight(call, layout, parts, weight, dtype, op.seed))
    op._remember(shared=weight)
    new = object.__new__(Sharded)
    new._set(stacked=op, in_size=shape[0], out_size=shape[1], layout=layout, counts=counts)
    return new
