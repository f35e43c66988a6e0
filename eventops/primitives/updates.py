"""The event-driven weight updates as JAX primitives.

An update works on one set of weights or on V of them, each with spikes, a trace and limits of its own; ``vmap`` only
makes V larger. (One set has no axis for V: XLA would copy the weights to give them one.) The kernels write into the
buffer of the weights, so that in a ``scan`` nothing is copied. Functions of the user's are applied to chunks of the
touched synapses in a loop that ends with them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..backends import IMPLEMENTATIONS, PLATFORMS, cpu, reference
from ..core import constants, cuda, loader
from . import partition
from .products import _bind, _front, _is_zero, _merge, _no_batched_graph, _run_eagerly

# Synapses that a function is applied to at once: enough to hide what a turn of the loop costs, few enough to
# stay in the first-level cache.
CHUNK = 2048


def _primitive(name, abstract, lower, batch, jvp, multiple_results=False) -> Primitive:
    primitive = Primitive(f"eventops_{name}")
    primitive.multiple_results = multiple_results
    primitive.def_impl(functools.partial(_run_eagerly, primitive))
    primitive.def_abstract_eval(abstract)
    partition.needs_devices(primitive)
    batching.primitive_batchers[primitive] = functools.partial(batch, primitive)
    ad.primitive_jvps[primitive] = functools.partial(jvp, primitive)
    for platform, default in ((None, "reference"), ("cpu", "cpu"), ("cuda", "gpu")):
        kernel = functools.partial(lower, default, platform)
        mlir.register_lowering(primitive, kernel, platform=platform)
    return primitive


def _mapped(args, dims, sets):
    """All operands with the mapped axis as V, or as a part of V if there are ``sets``; and the way back."""
    size = next(a.shape[d] for a, d in zip(args, dims) if d is not None)
    args = [_front(a, d, size) for a, d in zip(args, dims)]
    if not sets:
        return args, lambda out: out
    return [_merge(a) for a in args], lambda out: jnp.reshape(out, (size, -1, *out.shape[1:]))


def _one_set(update):
    """The reference, which wants V, for operands without it."""

    def of_one(*operands, **params):
        return update(*(x[None] for x in operands[:4]), *operands[4:], **params)[0]

    return of_one


def _reference(kind, side, trace):
    update = IMPLEMENTATIONS[kind, f"update_on_{side}", "reference"]
    return _plainly(update if trace.ndim == 2 else _one_set(update))


def _plainly(update):
    """The reference takes the graph without the axes of ``constants``."""
    return lambda *operands, **params: update(
        *operands[:4], *map(constants.plain, operands[4:]), **params
    )


def _like_weight(weight, *others, **params):
    return partition.like(weight, weight.shape, weight.dtype)


# The built-in rules.


def _lower_update(default, platform, ctx, *args, backend, kind, side, **params):
    """Choose the kernel when the platform is known: the backend asked for, or the platform's default."""
    if backend is None and default != "reference" and loader.unavailable() is not None:
        loader.warn_once()
        backend = "reference"
    if backend is not None and PLATFORMS[backend] not in (None, (platform,)):
        raise NotImplementedError(
            f"eventops: weight updates do not run with backend {backend!r} on this device; use backend=None or "
            "'reference'"
        )
    backend = backend or default
    if backend.startswith("gpu"):
        cuda.register()
    kernel = IMPLEMENTATIONS[kind, f"update_on_{side}", backend]
    if backend == "reference":
        kernel = _reference(kind, side, ctx.avals_in[2])
    kernel = functools.partial(kernel, **params)
    return mlir.lower_fun(kernel, multiple_results=False)(ctx, *args)


def _batch_update(primitive, args, dims, **params):
    _no_batched_graph(dims[4:])
    operands, back = _mapped(args[:4], dims[:4], args[2].ndim - (dims[2] is not None) == 2)
    return back(_bind(primitive, *operands, *args[4:], **params)), 0


def _jvp_update(primitive, primals, tangents, *, backend, kind, side, **params):
    """The derivative of the reference, which visits all synapses; in the spikes it is dense, as a product's is."""
    out = _bind(primitive, *primals, backend=backend, kind=kind, side=side, **params)
    if all(map(_is_zero, tangents[:4])):
        return out, ad.Zero.from_primal_value(out)
    numbers = [k for k in range(4) if jnp.issubdtype(primals[k].dtype, jnp.floating)]
    tangents = [
        jnp.zeros_like(primals[k]) if _is_zero(tangents[k]) else tangents[k] for k in numbers
    ]
    update = _reference(kind, side, primals[2])

    def of_numbers(*values):
        operands = list(primals)
        for k, value in zip(numbers, values):
            operands[k] = value
        return update(*operands, **params, smooth=True)

    return out, jax.jvp(of_numbers, [primals[k] for k in numbers], tangents)[1]


update_p = _primitive("update", _like_weight, _lower_update, _batch_update, _jvp_update)


# Functions of the user's: the touched synapses, a chunk at a time.


def _touched_avals(weight, spikes, trace, first, *graph, tile, chunk, backend):
    of = functools.partial(partition.like, weight)
    chunks = (*weight.shape[:-1], chunk)
    return (
        of(chunks, jnp.dtype("int32")),
        of(chunks, trace.dtype),
        of(chunks, trace.dtype),
        of((), jnp.dtype("int32")),
    )


def _batch_touched(primitive, args, dims, **params):
    _no_batched_graph(dims[3:])
    operands, back = _mapped(args[:3], dims[:3], args[2].ndim - (dims[2] is not None) == 2)
    *chunks, total = _bind(primitive, *operands, *args[3:], **params)
    return [*map(back, chunks), total], [0, 0, 0, None]


def _batch_replace(primitive, args, dims, **params):
    operands, back = _mapped(args, dims, args[2].ndim - (dims[2] is not None) == 2)
    return back(_bind(primitive, *operands, **params)), 0


def _no_derivative(primitive, primals, tangents, **params):
    if all(map(_is_zero, tangents)):
        out = _bind(primitive, *primals, **params)
        return out, jax.tree.map(ad.Zero.from_primal_value, out)
    raise NotImplementedError(
        "eventops: a weight update by a function has no derivative, except with backend='reference', which applies "
        "the function to all synapses; the rules 'additive' and 'soft' have one with every backend"
    )


def _lower_native(kernel, multiple_results, default, platform, ctx, *args, backend, **params):
    kernel = functools.partial(kernel, **params)
    if default != "cpu":
        if backend == "cpu":
            raise NotImplementedError(
                "eventops: backend 'cpu' runs on CPU devices only; use backend=None or 'reference' here"
            )

        # A program for several platforms has the loop as a branch, which runs on CPU devices alone.
        def kernel(*args):
            never = tuple(jnp.zeros(aval.shape, aval.dtype) for aval in ctx.avals_out)
            return never if multiple_results else never[0]

    return mlir.lower_fun(kernel, multiple_results)(ctx, *args)


touched_p = _primitive(
    "touched",
    _touched_avals,
    functools.partial(_lower_native, cpu.rows_touched, True),
    _batch_touched,
    _no_derivative,
    multiple_results=True,
)
replace_p = _primitive(
    "replace",
    _like_weight,
    functools.partial(_lower_native, cpu.replace, False),
    _batch_replace,
    _no_derivative,
)


def _limited(rule, weight, change, limits):
    low, high = (jnp.broadcast_to(limits[k], weight.shape) for k in (0, 1))
    return jnp.clip(reference.changed(rule, weight, change, low, high), low, high)


def _by_function_of_rows(rule, tile, backend, weight, spikes, trace, limits, *graph):
    """A loop over chunks of the touched synapses, as many as there are."""
    chunk = min(CHUNK, weight.shape[0])

    def turn(carry):
        weight, first, _ = carry
        position, old, change, total = _bind(
            touched_p,
            weight,
            spikes,
            trace,
            first,
            *graph,
            tile=tile,
            chunk=chunk,
            backend=backend,
        )
        new = _limited(rule, old, change, limits).astype(trace.dtype)
        weight = _bind(replace_p, weight, position, new, backend=backend)
        return weight, first + jnp.int32(chunk), total

    start = weight, jnp.int32(0), jnp.int32(1)
    return jax.lax.while_loop(lambda carry: carry[1] < carry[2], turn, start)[0]


def _by_function_of_lines(rule, side, weight, spikes, trace, limits):
    """A loop over the rows (or columns) of a matrix whose neurons fire."""
    axis = 0 if side == "pre" else 1
    active = spikes != jnp.zeros((), spikes.dtype)
    (lines,) = jnp.nonzero(active, size=active.shape[0], fill_value=0)

    def turn(k, weight):
        old = jax.lax.dynamic_index_in_dim(weight, lines[k], axis, keepdims=False)
        change = jnp.broadcast_to(spikes[lines[k]].astype(trace.dtype), old.shape) * trace
        new = _limited(rule, old.astype(trace.dtype), change, limits).astype(weight.dtype)
        return jax.lax.dynamic_update_index_in_dim(weight, new, lines[k], axis)

    return jax.lax.fori_loop(0, jnp.sum(active, dtype=jnp.int32), turn, weight)


def update(kind, side, weight, spikes, trace, limits, graph, *, shape, tile, rule, backend):
    """New weights of the synapses of the neurons that fire.

    Parameters
    ----------
    kind : {'rows', 'dense'}
    side : {'pre', 'post'}
        Which neurons fire.
    weight : array, shape (n_synapses,) or (n_in, n_out)
    spikes : array, shape (n,)
        Bool or of the accumulator's dtype.
    trace : array
        Of the neurons on the other side, of the accumulator's dtype.
    limits : array, shape (2,)
        Lowest and highest weight, of the accumulator's dtype.
    graph : tuple of array
        ``ptr, offsets`` of the rows, or ``ptr, offsets, position`` of the columns; () if dense.
    shape : (n_in, n_out)
    tile : int
        Of the rows, or of the columns.
    rule : {'additive', 'soft'} or callable
    backend : str or None

    Returns
    -------
    array
        Like ``weight``.
    """
    operands = weight, spikes, trace, jnp.asarray(limits), *graph
    if not callable(rule):
        params = dict(shape=shape, tile=tile, rule=rule)
        return _bind(update_p, *operands, kind=kind, side=side, backend=backend, **params)
    masked = functools.partial(_reference(kind, side, trace), shape=shape, tile=tile, rule=rule)
    if backend == "reference":
        return masked(*operands)
    if kind == "dense":
        return _by_function_of_lines(rule, side, *operands)
    loop = functools.partial(_by_function_of_rows, rule, tile, backend)
    if backend == "cpu":
        return loop(*operands)
    if loader.unavailable() is not None:
        return masked(*operands)
    return jax.lax.platform_dependent(*operands, cpu=loop, default=masked)
