"""The products on several devices: manual axes, and the rule by which a partitioner may split them.

XLA knows nothing of a native kernel and would gather all of its operands on every device. Where a program
is lowered for several devices the kernel is therefore wrapped in ``custom_partitioning``: the weight sets and
the vectors of a batch are independent and may be split, and so may the columns of dense weights. All else
raises an error, since what it takes (rows that are split as well) is ``eventops.sharded``.
"""

import functools
import math

import jax
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import AxisType, NamedSharding, PartitionSpec

_INSTEAD = "make the operator with eventops.sharded(operator, mesh, axis, split=...)(...), which splits its rows as well"


def like(operand, shape, dtype):
    """The type of a result that varies over the manual axes of ``shard_map`` that ``operand`` varies over."""
    mesh = operand.sharding.mesh
    if mesh.empty:
        return jax.core.ShapedArray(shape, dtype)
    return jax.core.ShapedArray(
        shape,
        dtype,
        sharding=NamedSharding(mesh, PartitionSpec()),
        manual_axis_type=operand.manual_axis_type,
    )


def agree(*arrays):
    """Arrays that all vary over the manual axes of ``shard_map`` that any of them varies over.

    The transpose of this is JAX's own: the cotangent of an array that was the same on all devices is summed
    over them.
    """
    varying = [_varying(x) for x in arrays]
    axes = functools.reduce(frozenset.union, varying)
    if not axes:
        return arrays
    return [
        x if own == axes else jax.lax.pcast(x, tuple(sorted(axes - own, key=str)), to="varying")
        for x, own in zip(arrays, varying)
    ]


def _varying(x) -> frozenset:
    return jax.typeof(x).manual_axis_type.varying


def explicit_output(spikes, *operands) -> NamedSharding | None:
    """Of the product, where shardings are part of the arrays' types (``AxisType.Explicit``); else None.

    Raises
    ------
    ValueError
        If anything but the batch of the spikes or the columns of dense weights is split.
    """
    types = [jax.typeof(x).sharding for x in (spikes, *operands)]
    meshes = [t.mesh for t in types if AxisType.Explicit in getattr(t.mesh, "axis_types", ())]
    if not meshes:
        return None
    batch, *specs = ([*t.spec] for t in types)
    pre, post = batch.pop(), None
    if specs[0][1:]:
        post = specs[0].pop()
    if pre is not None or any(split is not None for spec in specs for split in spec):
        raise ValueError(
            "eventops: of a product only the batch (and the columns of dense weights) may be split over "
            "devices, but the spikes and the operator's arrays have "
            f"{', '.join(str(t.spec) for t in types)}; {_INSTEAD}, or jax.sharding.reshard them"
        )
    if set(_names(post)) & {name for split in batch for name in _names(split)}:
        raise ValueError(
            "eventops: the batch of the spikes and the columns of the weights are split over the same mesh axis; "
            "jax.sharding.reshard one of them"
        )
    return NamedSharding(meshes[0], PartitionSpec(*batch, post))


def _names(split) -> tuple[str, ...]:
    """Mesh axes of one dimension, from its entry in a ``PartitionSpec``."""
    return () if split is None else split if isinstance(split, tuple) else (split,)


def needs_devices(primitive) -> None:
    """Have JAX tell the lowering of a primitive what devices and what mesh it is for.

    ``custom_partitioning`` is lowered with them; for a primitive of ours JAX has no public way to ask.
    """
    try:
        from jax._src.dispatch import prim_requires_devices_during_lowering
    except ImportError:  # then ``for_devices`` raises where it cannot do without
        return
    prim_requires_devices_during_lowering.add(primitive)


def several_devices(ctx) -> bool:
    """Whether what is lowered is for XLA to split over devices."""
    context = ctx.module_context.axis_context
    manual = getattr(context, "manual_axes", None)
    if manual is not None and manual != frozenset(context.mesh.axis_names):
        return context.mesh.size != 1
    return getattr(context, "num_devices", 1) != 1


def for_devices(ctx, kernel, product: str, kind: str, shape: tuple[int, int]):
    """The kernel as a function of the operands, one that can be split if several devices share it.

    Parameters
    ----------
    ctx : mlir.LoweringRuleContext
    kernel : callable
        Takes ``shape`` and the operands.
    product, kind : str
    shape : tuple of int
    """
    alone = functools.partial(kernel, shape)
    if not several_devices(ctx):
        return alone
    context = ctx.module_context.axis_context
    if getattr(context, "manual_axes", None) is None and context.device_assignment is None:
        raise NotImplementedError(
            f"eventops: this version of JAX does not say which devices a product is for; {_INSTEAD}"
        )
    shapes = [a.shape for a in (*ctx.avals_in, *ctx.avals_out)]
    # What the kernel closes over, as the tables of a drawn graph, must be operands: the partitioner takes no constants.
    program = jax.make_jaxpr(alone)(*(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in ctx.avals_in))
    tables = program.consts
    rule = _Rule(kernel, product, kind, shape, shapes, [np.ndim(x) for x in tables])

    def whole(*args):
        operands, constants = args[: len(ctx.avals_in)], args[len(ctx.avals_in) :]
        return jaxpr_as_fun(ClosedJaxpr(program.jaxpr, list(constants)))(*operands)[0]

    split = custom_partitioning(whole if tables else lambda *args: alone(*args))
    split.def_partition(
        rule.partition,
        infer_sharding_from_operands=rule.infer,
        sharding_rule=rule.text(),
    )
    return lambda *args: split(*args, *tables)


class _Rule:
    """Which dimension of the operands and the result is which, and what follows from it."""

    def __init__(self, kernel, product, kind, shape, shapes, tables=()):
        self.kernel, self.product, self.shape = kernel, product, shape
        place = {"forward": 0, "spike_cotangent": 1, "weight_cotangent": 0}[product]
        batch = [f"b{k}" for k in range(len(shapes[place]) - 2)]
        dense = kind == "dense"
        spikes, g = ["v", *batch, "pre"], ["v", *batch, "post"]
        weight = ["v", "pre", "post"] if dense else ["v", "synapses"]
        # Constants have a row in front, or a set behind, that is not read: see constants.py.
        graph = [["unread"] * (len(s) - 1) for s in shapes[2:-1]] if kind == "rows" else []
        graph = [[*lead, name] for lead, name in zip(graph, ("pointers", "offsets"))]
        if product != "weight_cotangent" and shapes[0][0] != shapes[1][0]:
            weight[0] = "unread"
        operands, result = {
            "forward": ([spikes, weight], g),
            "spike_cotangent": ([weight, g], spikes),
            "weight_cotangent": ([spikes, g], weight),
        }[product]
        self.operands = [dims[: len(s)] for dims, s in zip([*operands, *graph], shapes)]
        self.n_own = len(self.operands)  # before the tables, which every device has
        self.operands += [[f"table{d}" for d in range(n)] for n in tables]
        self.result = result[: len(shapes[-1])]
        self.free = {"v", *batch, *(["post"] if dense else [])}

    def text(self) -> str:
        """For Shardy. Dimensions that may not be split have names of their own, so that nothing spreads."""

        def side(k, dims):
            return " ".join(d if d in self.free else f"{d}_{k}" for d in dims)

        operands = ", ".join(side(k, dims) for k, dims in enumerate(self.operands))
        return f"{operands} -> {side(len(self.operands), self.result)}"

    def _split(self, mesh, args) -> dict:
        """Mesh axes of each dimension that is split."""
        axes = {}
        for dims, arg in zip(self.operands, args):
            if not isinstance(arg.sharding, NamedSharding):
                if arg.sharding is not None and not arg.sharding.is_fully_replicated:
                    self._refuse(
                        f"an operand has the sharding {arg.sharding}, which names no mesh axes (if this is "
                        "inside a shard_map over some of the axes only, map over all of them)"
                    )
                continue
            for d, entry, length in zip(dims, arg.sharding.spec, arg.shape):
                names = _names(entry)
                if not names:
                    continue
                if d not in self.free:
                    self._refuse(f"its {_MEANING[d]} are split over {names}")
                if length % math.prod(mesh.shape[n] for n in names):
                    self._refuse(f"{length} {_MEANING[d[0]]} do not divide over {names}")
                if axes.setdefault(d, names) != names:
                    self._refuse(f"its operands are split over both {axes[d]} and {names}")
        used = [name for names in axes.values() for name in names]
        if len(set(used)) < len(used):
            self._refuse(f"two of its dimensions are split over the same axis: {axes}")
        return axes

    def _refuse(self, why: str):
        raise ValueError(
            f"eventops: the {self.product} product cannot be partitioned: {why}; {_INSTEAD}"
        )

    @staticmethod
    def _sharding(mesh, axes, dims):
        return NamedSharding(mesh, PartitionSpec(*(axes.get(d) for d in dims)))

    def infer(self, mesh, args, result):
        """For the partitioner before Shardy, which ends the process on an error here; ``partition`` follows."""
        try:
            return self._sharding(mesh, self._split(mesh, args), self.result)
        except ValueError:
            return self._sharding(mesh, {}, self.result)

    def partition(self, mesh, args, result):
        axes = self._split(mesh, args)
        summed = tuple(n for d, names in axes.items() if d not in self.result for n in names)
        parts = math.prod(mesh.shape[n] for n in axes.get("post", ()))
        shape = (self.shape[0], self.shape[1] // parts)

        def local(*args):
            out = self.kernel(shape, *args[: self.n_own])
            return jax.lax.psum(out, summed) if summed else out

        return (
            mesh,
            local,
            self._sharding(mesh, axes, self.result),
            tuple(self._sharding(mesh, axes, dims) for dims in self.operands),
        )


_MEANING = {
    "pre": "pre neurons",
    "post": "post neurons",
    "synapses": "weights",
    "pointers": "row pointers",
    "offsets": "rows",
    "unread": "rows",
    "v": "sets of weights",
    "b": "vectors of a batch",
    "p": "post neurons",
}
