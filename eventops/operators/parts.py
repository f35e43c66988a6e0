"""The arrays of a sharded operator: which device has what, and how it is made there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from ..core import placement
from ..core.arguments import array
from ..core.byte_order import native
from ..graphs import drawing
from ..graphs.weights import Law
from ..rows.building import Entries, build
from ..rows.csr import Rows, n_tiles, tile_width
from ..rows.selection import chosen
from .arguments import weight_array
from .operator import generated_weights


class Layout:
    """Which device has what. Hashable, a static part of a sharded operator."""

    def __init__(self, mesh: Mesh, axis: str, split: str, batch: tuple[str, ...]):
        self._key = mesh, axis, split, batch
        self.mesh, self.axis, self.split, self.batch = self._key

    def __eq__(self, other):
        return isinstance(other, Layout) and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    @property
    def n_parts(self) -> int:
        return self.mesh.shape[self.axis]

    def spec(self, ndim: int, split: bool) -> PartitionSpec:
        """Of (..., neurons) arrays."""
        lead = [None] * (ndim - 1)
        if lead and self.batch:
            lead[0] = self.batch
        return PartitionSpec(*lead, self.axis if split else None)

    def matrix(self) -> PartitionSpec:
        """Of (in, out) matrices."""
        return PartitionSpec(*((None, self.axis) if self.split == "post" else (self.axis, None)))

    def weights(self, ndim: int, dense: bool) -> PartitionSpec:
        """Of a matrix, of stacked arrays, or of one number."""
        if ndim == 0:
            return PartitionSpec()
        return self.matrix() if dense else PartitionSpec(self.axis)

    def window(self, part: int, n_in: int, n_out: int) -> drawing.Window:
        """The pre and post neurons of a part."""
        if self.split == "post":
            width = n_out // self.n_parts
            return drawing.Window((0, n_in), (part * width, (part + 1) * width))
        width = n_in // self.n_parts
        return drawing.Window((part * width, (part + 1) * width), (0, n_out))

    def stack(self, row, length: int, dtype) -> jax.Array:
        """Global (n_parts, length) array, one row for each part, of ``row(part)`` with zeros behind."""

        def piece(index):
            padded = np.zeros((1, length), dtype)
            values = np.asarray(row(index[0].start or 0))
            padded[0, : values.size] = values
            return padded

        return self.place((self.n_parts, length), PartitionSpec(self.axis), piece)

    def place(self, shape, spec, piece) -> jax.Array:
        """Global array of ``piece(index)`` for the devices of this process."""
        return jax.make_array_from_callback(shape, NamedSharding(self.mesh, spec), piece)

    def one_device(self) -> SingleDeviceSharding | None:
        """Of arrays that are not split: a device of the mesh; None if the default one is among them."""
        devices = self.mesh.local_devices
        with jax.ensure_compile_time_eval():
            default = jnp.zeros(()).sharding.device_set
        return None if default & set(devices) else SingleDeviceSharding(devices[0])

    def everywhere(self, stacked: jax.Array) -> np.ndarray:
        """A stacked array on the host of every process."""
        if stacked.is_fully_addressable:
            return np.asarray(stacked)
        whole = NamedSharding(self.mesh, PartitionSpec())
        return np.asarray(jax.jit(lambda x: x, out_shardings=whole)(stacked).addressable_data(0))


class Parts:
    """The parts of a graph, or of rows, that belong to the devices of this process, and the sizes of all."""

    def __init__(self, call, layout, graph):
        self.call, self.layout, self.graph = call, layout, graph
        self.part = functools.cache(self._part)
        counts = layout.stack(lambda p: self.part(p).n_synapses, 1, np.int32)
        self.counts = tuple(int(c) for c in layout.everywhere(counts)[:, 0])
        self.most = max(self.counts)

    def _part(self, p) -> drawing.Part:
        window = self.layout.window(p, self.graph.n_in, self.graph.n_out)
        if isinstance(self.graph, Rows):
            return RowsPart(self.graph, window)
        return drawing.Part(self.graph, window, self.call)

    def rows(self) -> Rows:
        """All rows, stacked."""
        layout = self.layout
        window = layout.window(0, self.graph.n_in, self.graph.n_out)
        tile = (rows_tile if isinstance(self.graph, Rows) else drawing.part_tile)(
            self.graph, window
        )
        n_ptr = window.n_in * n_tiles(window.n_out, tile) + 1
        ptr = layout.stack(lambda p: self.part(p).ptr, n_ptr, np.int32)
        offsets = layout.stack(lambda p: self.part(p).rows(self.most).offsets, self.most, np.uint16)
        return Rows(ptr, offsets, window.n_in, window.n_out, tile)

    def places(self):
        """The function of a part that gives the places of its synapses among those of the whole graph."""
        starts = np.concatenate([[0], np.cumsum(self.counts)])
        if self.layout.split == "pre":
            return lambda p: np.arange(starts[p], starts[p + 1])
        degrees = self.layout.stack(lambda p: self.part(p).out_degrees(), self.graph.n_in, np.int32)
        degrees = self.layout.everywhere(degrees).astype(np.int64)
        row_starts = np.concatenate([[0], np.cumsum(degrees.sum(axis=0))])[:-1]

        def places(p):
            first = row_starts + degrees[:p].sum(axis=0)
            own = degrees[p]
            within = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
            return np.repeat(first, own) + within

        return places


class RowsPart:
    """The synapses of rows inside a window: what :class:`eventops.graphs.drawing.Part` is of a graph."""

    def __init__(self, rows: Rows, window: drawing.Window):
        pre, post = np.arange(*window.pre), np.arange(*window.post)
        copies = np.zeros(rows.n_out, np.int64)
        copies[post] = 1

        def chunks():
            return chosen(rows, pre, post, copies)

        n = sum(found.size for found, _, _ in chunks())
        entries = Entries(window.n_in, window.n_out, n, chunks)
        self.built = build(entries, tile=rows_tile(rows, window))
        self.window, self.n_synapses, self.ptr = window, n, self.built.ptr

    def rows(self, length: int) -> Rows:
        """With ``length >= n_synapses`` offsets of which the last are 0."""
        offsets = np.zeros(length, np.uint16)
        offsets[: self.n_synapses] = self.built.offsets
        return Rows(self.ptr, offsets, self.window.n_in, self.window.n_out, self.built.tile)

    def out_degrees(self) -> np.ndarray:
        """Synapses of each pre neuron of the part: int64, shape (n_in,)."""
        tiles = n_tiles(self.window.n_out, self.built.tile)
        return np.diff(self.ptr[::tiles].astype(np.int64))


def rows_tile(rows: Rows, window: drawing.Window) -> int:
    """Number of posts per tile in a part: the same for all windows of the same sizes."""
    share = window.n_out / rows.n_out if rows.n_out else 0
    return tile_width(window.n_out, rows.n_synapses * share / rows.n_in if rows.n_in else 0)


def sparse_weight(call, layout, parts, weight, dtype, seed) -> jax.Array:
    """The weights of :func:`weight_array` for the whole graph, stacked by parts; () if homogeneous."""
    n_synapses = sum(parts.counts)
    if np.ndim(weight) == 2:
        raise ValueError(
            f"{call}: a weight of shape {np.shape(weight)} does not fit a sharded operator; use a scalar or shape "
            f"({n_synapses},) in (pre, post) order, which the weight of the same operator without sharded has"
        )

    def make():
        if not isinstance(weight, Law) or isinstance(parts.graph, Rows):
            return weight_array(call, weight, (n_synapses,), dtype, seed)
        parameters = weight_array(call, weight.parameters(), (2,), dtype, seed)
        rows = drawing.draw(parts.graph, call)
        return generated_weights(parts.graph, weight.quantiles, rows, parameters)

    # On a thread of its own: as one device would make it, whatever mesh is set.
    whole = placement.apart(lambda: np.asarray(make()))
    if whole.ndim == 0:
        return layout.place((), PartitionSpec(), lambda index: whole)
    places = parts.places()
    return layout.stack(lambda p: whole[places(p)], parts.most, whole.dtype)


def dense_weight(call, layout, weight, shape, dtype, seed) -> jax.Array:
    """The weights of :func:`weight_array`, split like the matrix; () if homogeneous."""

    def make(weight=weight):
        return weight_array(call, weight, shape, dtype, seed)

    sharding = NamedSharding(layout.mesh, layout.matrix())
    if callable(weight):
        try:
            # Each device makes its own part.
            return placement.apart(lambda: jax.jit(make, out_shardings=sharding)())
        except jax.errors.JAXTypeError:
            pass  # an initialiser that computes with concrete numbers, in NumPy say
    elif isinstance(weight, jax.Array) and not weight.is_fully_addressable:
        return jax.jit(make, out_shardings=sharding)(weight)
    elif np.ndim(weight) == 2:
        given = native(weight)
        made = jax.eval_shape(make, given)

        def piece(index):
            values = placement.apart(lambda: array(call, "weight", given[index], made.dtype))
            return np.asarray(jax.lax.convert_element_type(values, made.dtype))

        return layout.place(shape, layout.matrix(), piece)
    whole = placement.apart(lambda: np.asarray(make()))
    spec = layout.matrix() if whole.ndim else PartitionSpec()
    return layout.place(whole.shape, spec, lambda index: whole[index])
