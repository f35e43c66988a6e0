"""The event-driven products as JAX primitives.

All three (see ``backends``) are bilinear, and each is a derivative of the same trilinear form, so the
derivatives and transposes of one are the other two: forward and reverse mode, of any order, stay inside
this family. Every primitive works on ``(V, B, ...)`` stacks (V weight sets with B vectors each), and
``vmap``, however nested, only regroups V and B: it never becomes a loop.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from .backends import IMPLEMENTATIONS, cpu
from .backends.reference import accumulator
from .csr import Rows


def _make(name: str, abstract, batching_rule) -> Primitive:
    primitive = Primitive(f"eventops_{name}")
    primitive.def_impl(functools.partial(_run_eagerly, primitive))
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batching_rule
    ad.primitive_jvps[primitive] = functools.partial(_jvp, primitive)
    mlir.register_lowering(primitive, functools.partial(_lower, name, "reference"))
    mlir.register_lowering(primitive, functools.partial(_lower, name, "cpu"), platform="cpu")
    return primitive


@functools.lru_cache(maxsize=4096)
def _compiled(primitive, params):
    return jax.jit(lambda *args: primitive.bind(*args, **dict(params)))


def _run_eagerly(primitive, *args, **params):
    return _compiled(primitive, tuple(sorted(params.items())))(*args)


def _lower(product: str, default: str, ctx, *args, backend, kind, **params):
    """Choose the kernel when the platform is known: the backend asked for, or the platform's default."""
    if backend is None and default == "cpu" and cpu.unavailable() is not None:
        cpu.warn_once()
        backend = "reference"
    if backend == "cpu" and default != "cpu":
        raise NotImplementedError(
            "eventops: backend 'cpu' runs on CPU devices only; use backend=None or 'reference' here"
        )
    kernel = IMPLEMENTATIONS[kind, product, backend or default]
    return mlir.lower_fun(functools.partial(kernel, **params), multiple_results=False)(ctx, *args)


def _jvp(primitive, primals, tangents, **params):
    x, y, *graph = primals
    dx, dy, *_ = tangents
    out = primitive.bind(x, y, *graph, **params)
    terms = []
    if not _is_zero(dx):
        terms.append(primitive.bind(dx, y, *graph, **params))
    if not _is_zero(dy):
        terms.append(primitive.bind(x, dy, *graph, **params))
    if not terms:
        return out, ad.Zero.from_primal_value(out)
    return out, functools.reduce(ad.add_jaxvals, terms)


def _is_zero(tangent) -> bool:
    return isinstance(tangent, ad.Zero) or tangent.dtype == jax.dtypes.float0


def _no_batched_graph(dims):
    if any(d is not None for d in dims):
        raise NotImplementedError(
            "eventops: vmap over the connectivity of an operator is not supported; "
            "vmap over spikes or weights (op.with_weight), or loop over the operators"
        )


def _front(x, dim, size):
    """With the mapped axis first; broadcast if it has none."""
    if dim is None:
        return jnp.broadcast_to(x, (size, *x.shape))
    return jnp.moveaxis(x, dim, 0)


def _merge(x):
    return jnp.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _batch_weights(primitive, args, dims, params):
    """The mapped axis becomes part of V, in both operands and the result."""
    size = next(a.shape[d] for a, d in zip(args, dims) if d is not None)
    x, y = (_merge(_front(a, d, size)) for a, d in zip(args[:2], dims[:2]))
    out = primitive.bind(x, y, *args[2:], **params)
    return jnp.reshape(out, (size, out.shape[0] // size, *out.shape[1:])), 0


def _batch_vectors(primitive, weight_place, args, dims, params):
    """The mapped axis becomes part of B: weights are shared."""
    _no_batched_graph(dims[2:])
    if dims[weight_place] is not None:
        return _batch_weights(primitive, args, dims, params)
    vectors = jnp.moveaxis(args[1 - weight_place], dims[1 - weight_place], 1)  # (V, X, B, n)
    n_weights, size, n_batch, n = vectors.shape
    vectors = jnp.reshape(vectors, (n_weights, size * n_batch, n))
    pair = (args[0], vectors) if weight_place == 0 else (vectors, args[1])
    out = primitive.bind(*pair, *args[2:], **params)
    return jnp.reshape(out, (n_weights, size, n_batch, out.shape[-1])), 1


def _batch_forward(args, dims, **params):
    return _batch_vectors(forward_p, 1, args, dims, params)


def _batch_spike_cotangent(args, dims, **params):
    return _batch_vectors(spike_cotangent_p, 0, args, dims, params)


def _batch_weight_cotangent(args, dims, **params):
    _no_batched_graph(dims[2:])
    return _batch_weights(weight_cotangent_p, args, dims, params)


def _forward_aval(spikes, weight, *graph, shape, **params):
    return jax.core.ShapedArray((*spikes.shape[:2], shape[1]), accumulator(weight.dtype))


def _spike_cotangent_aval(weight, g, *graph, shape, **params):
    return jax.core.ShapedArray((*g.shape[:2], shape[0]), accumulator(weight.dtype))


def _weight_cotangent_aval(spikes, g, *graph, shape, kind, homogeneous, **params):
    weights = () if homogeneous else shape if kind == "dense" else graph[1].shape
    return jax.core.ShapedArray((g.shape[0], *weights), g.dtype)


forward_p = _make("forward", _forward_aval, _batch_forward)
spike_cotangent_p = _make("spike_cotangent", _spike_cotangent_aval, _batch_spike_cotangent)
weight_cotangent_p = _make("weight_cotangent", _weight_cotangent_aval, _batch_weight_cotangent)


def _weight_cotangent(spikes, g, *graph, weight_aval, **params):
    homogeneous = weight_aval.ndim == 1
    out = weight_cotangent_p.bind(spikes, g, *graph, homogeneous=homogeneous, **params)
    return out.astype(weight_aval.dtype)


def _forward_transpose(ct, spikes, weight, *graph, **params):
    nothing = [None] * len(graph)
    if ad.is_undefined_primal(spikes):
        return [spike_cotangent_p.bind(weight, ct, *graph, **params), None, *nothing]
    return [
        None,
        _weight_cotangent(spikes, ct, *graph, weight_aval=weight.aval, **params),
        *nothing,
    ]


def _spike_cotangent_transpose(ct, weight, g, *graph, **params):
    nothing = [None] * len(graph)
    if ad.is_undefined_primal(weight):
        return [_weight_cotangent(ct, g, *graph, weight_aval=weight.aval, **params), None, *nothing]
    return [None, forward_p.bind(ct, weight, *graph, **params), *nothing]


def _weight_cotangent_transpose(ct, spikes, g, *graph, homogeneous, **params):
    nothing = [None] * len(graph)
    if ad.is_undefined_primal(spikes):
        return [spike_cotangent_p.bind(ct, g, *graph, **params), None, *nothing]
    return [None, forward_p.bind(spikes, ct, *graph, **params), *nothing]


def _skipping_zeros(transpose):
    def rule(ct, *args, **params):
        if isinstance(ct, ad.Zero):
            return [ad.Zero(a.aval) if ad.is_undefined_primal(a) else None for a in args]
        return transpose(ct, *args, **params)

    return rule


ad.primitive_transposes[forward_p] = _skipping_zeros(_forward_transpose)
ad.primitive_transposes[spike_cotangent_p] = _skipping_zeros(_spike_cotangent_transpose)
ad.primitive_transposes[weight_cotangent_p] = _skipping_zeros(_weight_cotangent_transpose)


def result_dtype(spikes, weight):
    """The weights' dtype; for floating spikes the wider of the two, whatever promotion JAX is set to."""
    if not jnp.issubdtype(spikes, jnp.floating):
        return weight
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(spikes, weight)


def event_product(spikes, weight, shape: tuple[int, int], rows: Rows | None, backend: str | None):
    """``spikes @ matrix`` over the nonzero spikes only.

    Parameters
    ----------
    spikes : array, shape (..., n_in)
        Bool, integer or floating.
    weight : array
        Shape ``shape`` if ``rows`` is None, else (n_synapses,); or () for one number. Floating.
    shape : (n_in, n_out)
    rows : Rows or None
        Where the weights stand; None for a dense matrix.
    backend : str or None

    Returns
    -------
    array, shape (..., n_out)
        Of the weights' dtype, or for floating spikes of the wider of the two.
    """
    dtype = result_dtype(spikes.dtype, weight.dtype)
    if dtype == jnp.float64:
        weight = weight.astype(dtype)
    lead = spikes.shape[:-1]
    nothing = rows is not None and rows.n_synapses == 0
    if nothing or math.prod(shape) == 0 or math.prod(lead) == 0:
        return jnp.zeros((*lead, shape[1]), dtype)
    if spikes.dtype != jnp.bool_:
        spikes = spikes.astype(accumulator(weight.dtype))
    kind, tile, graph = "rows", 0, ()
    if rows is None:
        kind = "uniform" if weight.ndim == 0 else "dense"
    else:
        tile, graph = rows.tile, (rows.ptr, rows.offsets)
    out = forward_p.bind(
        spikes.reshape(1, math.prod(lead), shape[0]),
        weight[None],
        *graph,
        kind=kind,
        shape=shape,
        tile=tile,
        backend=backend,
    )
    return out.reshape(*lead, shape[1]).astype(dtype)
