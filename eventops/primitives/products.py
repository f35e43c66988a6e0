"""The event-driven products as JAX primitives.

All three (see ``backends``) are bilinear, and each is a derivative of the same trilinear form, so the
derivatives and transposes of one are the other two: forward and reverse mode, of any order, stay inside
this family. Every primitive works on ``(V, *B, ...)`` stacks (V weight sets, each with a batch of vectors of
any number of dimensions), and ``vmap``, however nested, only regroups V and B: it never becomes a loop.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..backends import IMPLEMENTATIONS, PLATFORMS
from ..core import closure, constants, cuda, loader, places
from ..core.dtypes import accumulator
from ..graphs.graph import Generated, Graph
from ..rows.csr import Rows
from . import partition


def _make(name: str, abstract, batching_rule) -> Primitive:
    primitive = Primitive(f"eventops_{name}")
    primitive.def_impl(functools.partial(_run_eagerly, primitive))
    primitive.def_abstract_eval(abstract)
    partition.needs_devices(primitive)
    batching.primitive_batchers[primitive] = batching_rule
    ad.primitive_jvps[primitive] = functools.partial(_jvp, primitive)
    mlir.register_lowering(primitive, functools.partial(_lower, name, "reference", None))
    mlir.register_lowering(primitive, functools.partial(_lower, name, "cpu", "cpu"), platform="cpu")
    mlir.register_lowering(
        primitive, functools.partial(_lower, name, "gpu", "cuda"), platform="cuda"
    )
    return primitive


@functools.lru_cache(maxsize=4096)
def _compiled(primitive, params):
    return jax.jit(lambda *args: primitive.bind(*args, **dict(params)))


def _bind(primitive, *args, **params):
    return primitive.bind(*partition.agree(*args), **params)


def _run_eagerly(primitive, *args, **params):
    # A kernel is always compiled, also where the user has switched jit off.
    with jax.disable_jit(False):
        return _compiled(primitive, tuple(sorted(params.items())))(*args)


def _lower(product: str, default: str, platform, ctx, *args, backend, kind, **params):
    """Choose the kernel when the platform is known: the backend asked for, or the platform's default."""
    if backend is None and default != "reference" and loader.unavailable() is not None:
        loader.warn_once()
        backend = "reference"
    if backend is not None and PLATFORMS[backend] not in (None, (platform,)):
        where = "CPU devices" if backend == "cpu" else "NVIDIA GPUs"
        raise NotImplementedError(
            f"eventops: backend {backend!r} runs on {where} only; use backend=None or 'reference' here"
        )
    if (backend or default).startswith("gpu"):
        cuda.register()
    kernel = IMPLEMENTATIONS[kind, product, backend or default]
    if (backend or default) == "reference":
        kernel = functools.partial(_on_plain, product, kernel)
    kernel = functools.partial(_on_stacks, product, kernel)
    shape = params.pop("shape")
    if kind not in ("procedural", "generated"):
        del params["law"]
    kernel = functools.partial(kernel, params)
    kernel = partition.for_devices(ctx, kernel, product, kind, shape)
    return mlir.lower_fun(kernel, multiple_results=False)(ctx, *args)


def _on_stacks(product, kernel, params, shape, x, y, *graph):
    """The kernel, which knows one batch dimension, on operands with any number of them."""
    lead = (x if product == "forward" else y).shape[:-1]
    if product != "spike_cotangent":
        x = _flat(x)
    if product != "forward":
        y = _flat(y)
    out = kernel(x, y, *graph, shape=shape, **params)
    return out if product == "weight_cotangent" else jnp.reshape(out, (*lead, out.shape[-1]))


def _on_plain(product, kernel, x, y, *graph, **params):
    """The kernel on operands without the axes and rows of ``constants``, which only native kernels take."""
    if product == "forward":
        y = y[: x.shape[0]]
    elif product == "spike_cotangent":
        x = x[: y.shape[0]]
    return kernel(x, y, *map(constants.plain, graph), **params)


def _flat(vectors):
    """(V, *B, n) as (V, B, n)."""
    return jnp.reshape(
        vectors, (vectors.shape[0], math.prod(vectors.shape[1:-1]), vectors.shape[-1])
    )


def _jvp(primitive, primals, tangents, **params):
    x, y, *graph = primals
    dx, dy, *_ = tangents
    out = _bind(primitive, x, y, *graph, **params)
    terms = []
    if not _is_zero(dx):
        terms.append(_bind(primitive, dx, y, *graph, **params))
    if not _is_zero(dy):
        terms.append(_bind(primitive, x, dy, *graph, **params))
    if not terms:
        return out, ad.Zero.from_primal_value(out)
    return out, functools.reduce(ad.add_jaxvals, terms)


def _is_zero(tangent) -> bool:
    return isinstance(tangent, ad.Zero) or tangent.dtype == jax.dtypes.float0


def _no_batched_graph(dims):
    if any(d is not None for d in dims):
        raise NotImplementedError(
            "eventops: vmap over the connectivity of an operator is not supported; "
            "vmap over spikes or weights (op.with_weight), or loop over the operators. (A cond or switch whose "
            "predicate is mapped maps all that its branches use: call the operator outside of the branches)"
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
    out = _bind(primitive, x, y, *args[2:], **params)
    return jnp.reshape(out, (size, out.shape[0] // size, *out.shape[1:])), 0


def _batch_vectors(primitive, weight_place, args, dims, params):
    """The mapped axis becomes one of B: weights are shared."""
    _no_batched_graph(dims[2:])
    if dims[weight_place] is not None:
        return _batch_weights(primitive, args, dims, params)
    vectors = jnp.moveaxis(args[1 - weight_place], dims[1 - weight_place], 1)  # (V, X, *B, n)
    pair = (args[0], vectors) if weight_place == 0 else (vectors, args[1])
    out = _bind(primitive, *pair, *args[2:], **params)
    return out, 1


def _batch_forward(args, dims, **params):
    return _batch_vectors(forward_p, 1, args, dims, params)


def _batch_spike_cotangent(args, dims, **params):
    return _batch_vectors(spike_cotangent_p, 0, args, dims, params)


def _batch_weight_cotangent(args, dims, **params):
    _no_batched_graph(dims[2:])
    return _batch_weights(weight_cotangent_p, args, dims, params)


# The product and the weight cotangent are given in ``dtype``: the accumulator's, or rounded to the weights'. The
# spike cotangent and all cotangents that go in are of the accumulator's.


def _forward_aval(spikes, weight, *graph, shape, dtype, **params):
    return partition.like(spikes, (*spikes.shape[:-1], shape[1]), dtype)


def _spike_cotangent_aval(weight, g, *graph, shape, **params):
    return partition.like(g, (*g.shape[:-1], shape[0]), accumulator(weight.dtype))


def _weight_cotangent_aval(spikes, g, *graph, shape, kind, homogeneous, dtype, **params):
    if homogeneous:
        weights = ()
    elif kind == "generated":
        weights = (2,)
    else:
        weights = shape if kind == "dense" else graph[1].shape[-1:]
    return partition.like(g, (g.shape[0], *weights), dtype)


forward_p = _make("forward", _forward_aval, _batch_forward)
spike_cotangent_p = _make("spike_cotangent", _spike_cotangent_aval, _batch_spike_cotangent)
weight_cotangent_p = _make("weight_cotangent", _weight_cotangent_aval, _batch_weight_cotangent)


def _weight_cotangent(spikes, g, *graph, weight_aval, **params):
    params |= dict(homogeneous=weight_aval.ndim == 1, dtype=weight_aval.dtype)
    return _bind(weight_cotangent_p, spikes, g, *graph, **params)


def _sums(x):
    """In the accumulator's dtype."""
    return x.astype(accumulator(x.dtype))


def _forward_transpose(ct, spikes, weight, *graph, dtype, **params):
    nothing = [None] * len(graph)
    ct = _sums(ct)
    if ad.is_undefined_primal(spikes):
        return [_bind(spike_cotangent_p, weight, ct, *graph, **params), None, *nothing]
    return [
        None,
        _weight_cotangent(spikes, ct, *graph, weight_aval=weight.aval, **params),
        *nothing,
    ]


def _spike_cotangent_transpose(ct, weight, g, *graph, **params):
    nothing = [None] * len(graph)
    if ad.is_undefined_primal(weight):
        return [_weight_cotangent(ct, g, *graph, weight_aval=weight.aval, **params), None, *nothing]
    return [None, _bind(forward_p, ct, weight, *graph, dtype=ct.dtype, **params), *nothing]


def _weight_cotangent_transpose(ct, spikes, g, *graph, homogeneous, dtype, **params):
    nothing = [None] * len(graph)
    if ad.is_undefined_primal(spikes):
        return [_bind(spike_cotangent_p, ct, g, *graph, **params), None, *nothing]
    params["dtype"] = accumulator(ct.dtype)
    return [None, _bind(forward_p, spikes, ct, *graph, **params), *nothing]


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


# From this many bytes on, arrays that a jitted function closes over are worth a warning.
LARGE_CONSTANTS = 100_000_000


def warn_of_constants(spikes, *arrays) -> None:
    """Warn, once in a process, where ``jit`` is about to copy large arrays into a program as constants."""
    if not isinstance(spikes, jax.core.Tracer):
        return
    concrete = [a for a in arrays if not isinstance(a, jax.core.Tracer)]
    n_bytes = sum(a.size * a.dtype.itemsize for a in concrete)
    if n_bytes < LARGE_CONSTANTS or jax.config.jax_use_simplified_jaxpr_constants:
        return
    if closure.inside_jit():
        closure.warn_once()


def event_product(
    spikes,
    weight,
    shape: tuple[int, int],
    connections: Rows | Graph | Generated | None,
    backend: str | None,
    rounded=True,
):
    """``spikes @ matrix`` over the nonzero spikes only.

    Parameters
    ----------
    spikes : array, shape (..., n_in)
        Bool, integer or floating.
    weight : array
        Shape ``shape`` if ``connections`` is None, (n_synapses,) if they are rows; or () for one number.
        Floating. (2,), the location and the scale, if weights are generated.
    shape : (n_in, n_out)
    connections : Rows, Graph, Generated or None
        Where the weights stand: stored rows, a graph that is drawn again on every call (with or without weights of its
        own), or a dense matrix.
    backend : str or None
    rounded : bool
        False leaves the result in the accumulator's dtype, for sums that go on.

    Returns
    -------
    array, shape (..., n_out)
        Of the weights' dtype, or for floating spikes of the wider of the two.
    """
    kind, tile, graph, law, empty = "rows", 0, (), None, False
    if connections is None:
        kind = "uniform" if weight.ndim == 0 else "dense"
    elif isinstance(connections, Graph):
        kind, law, empty = "procedural", connections, connections.expected_synapses() == 0
    elif isinstance(connections, Generated):
        kind, law, empty = "generated", connections, connections.graph.expected_synapses() == 0
    else:
        tile, graph = connections.tile, (connections.ptr, connections.offsets)
        empty = connections.n_synapses == 0
    warn_of_constants(spikes, weight, *graph)
    out_sharding = partition.explicit_output(spikes, weight, *graph)
    dtype = result_dtype(spikes.dtype, weight.dtype)
    stored = dtype if dtype == jnp.float64 else weight.dtype
    if not rounded:
        dtype = accumulator(dtype)
    lead = spikes.shape[:-1]
    if empty or math.prod(shape) == 0 or math.prod(lead) == 0:
        zeros = places.zeros((*lead, shape[1]), dtype, places.of((weight, *graph, spikes)))
        return zeros if out_sharding is None else jax.sharding.reshard(zeros, out_sharding)
    if spikes.dtype != jnp.bool_:
        spikes = spikes.astype(accumulator(stored))

    def product(spikes, weight, *graph):
        params = dict(kind=kind, shape=shape, tile=tile, law=law, backend=backend)
        params["dtype"] = dtype if dtype == stored else accumulator(stored)
        weight = constants.weights(weight, embedded, stored)
        graph = [constants.vector(x, embedded) for x in graph]
        out = _bind(forward_p, spikes[None], weight, *graph, **params)
        return out[0].astype(dtype)

    embedded = out_sharding is None and constants.embeds(spikes, weight, *graph)
    if out_sharding is not None:
        product = jax.sharding.auto_axes(product, out_sharding=out_sharding)
    return product(spikes, weight, *graph)
