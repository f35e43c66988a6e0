"""Random drive, as JAX primitives.

``counts`` are Poisson numbers of events; ``current`` is their product with weights, added to a current that is there
already where it is given one; ``spikes`` are those of sources that are mostly silent. The numbers are constant, so a
current is linear in weights and in what it is added to; its derivative is made of ``counts``.

``vmap`` never becomes a loop: every operand but ``into`` has an axis of drives in front, see
``backends/drive_reference.py``, and mapped axes are merged into it. ``into`` keeps its own leading dimensions: XLA updates
the operand of a kernel in place only where nothing, not even a reshape, comes between it and the state of a loop.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..backends import IMPLEMENTATIONS
from ..core import loader
from ..core.dtypes import accumulator
from . import partition
from .products import _bind, _front, _is_zero, _run_eagerly


def _make(name: str, abstract, batch) -> Primitive:
    primitive = Primitive(f"eventops_drive_{name}")
    primitive.def_impl(functools.partial(_run_eagerly, primitive))
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, functools.partial(_lower, name, "reference"))
    mlir.register_lowering(primitive, functools.partial(_lower, name, "cpu"), platform="cpu")
    return primitive


def _lower(name: str, default: str, ctx, *args, backend, **params):
    """The backend asked for, or the platform's default."""
    if backend is None and default == "cpu" and loader.unavailable() is not None:
        loader.warn_once()
        backend = "reference"
    if backend not in (None, "reference", default):
        raise NotImplementedError(
            f"eventops: backend {backend!r} makes no random drive on this device; use backend=None or 'reference'"
        )
    kernel = functools.partial(IMPLEMENTATIONS["drive", name, backend or default], **params)
    return mlir.lower_fun(kernel, multiple_results=False)(ctx, *args)


def _drives(args) -> int:
    """How many there are along the first axis, where each operand has one for each or one for all."""
    return max(x.shape[0] for x in args)


def _counts_aval(*draw, n, **params):
    return partition.like(draw[0], (_drives(draw), n), jnp.int32)


def _spikes_aval(*draw, n, poisson, **params):
    return partition.like(draw[0], (_drives(draw), n), jnp.int32 if poisson else jnp.bool_)


def _current_aval(into, *operands, n, dtype, **params):
    shape = into.shape if into.shape != (0,) else (_drives(operands), n)
    return partition.like(into, shape, dtype)


def _merged(args, dims):
    """Operands with the mapped axis merged into the first one, and the size of both."""
    size = next(x.shape[d] for x, d in zip(args, dims) if d is not None)
    own = _drives(jax.ShapeDtypeStruct(_without(x.shape, d), x.dtype) for x, d in zip(args, dims))

    def merge(x, d):
        if d is None and x.shape[0] == 1:
            return x
        x = _front(x, d, size)
        x = jnp.broadcast_to(x, (size, own, *x.shape[2:]))
        return jnp.reshape(x, (size * own, *x.shape[2:]))

    return [merge(x, d) for x, d in zip(args, dims)], (size, own)


def _without(shape, d):
    return shape if d is None else shape[:d] + shape[d + 1 :]


def _batch_numbers(args, dims, *, n, name, **params):
    args, (size, own) = _merged(args, dims)
    primitive = counts_p if name == "counts" else spikes_p
    return jnp.reshape(_bind(primitive, *args, n=n, **params), (size, own, n)), 0


def _batch_current(args, dims, *, n, **params):
    into, *rest = args
    d_into, *d_rest = dims
    if all(d is None for d in d_rest):
        own = math.prod(_without(into.shape, d_into)[:-1])
        into = jnp.moveaxis(into, d_into, 0)
        if own > 1:  # drives of their own, for each of which there are several
            rest = [
                x if x.shape[0] == 1 else jnp.tile(x, (into.shape[0],) + (1,) * (x.ndim - 1))
                for x in rest
            ]
        return _bind(current_p, into, *rest, n=n, **params), 0
    rest, (size, own) = _merged(rest, d_rest)
    if into.shape == (0,):
        return jnp.reshape(_bind(current_p, into, *rest, n=n, **params), (size, own, n)), 0
    into = _front(into, d_into, size)
    lead = math.prod(into.shape[1:-1])
    if own < lead:  # one drive for all vectors
        rest = [x if x.shape[0] == 1 else jnp.repeat(x, lead // own, axis=0) for x in rest]
    return _bind(current_p, into, *rest, n=n, **params), 0


counts_p = _make("counts", _counts_aval, functools.partial(_batch_numbers, name="counts"))
spikes_p = _make("spikes", _spikes_aval, functools.partial(_batch_numbers, name="spikes"))
current_p = _make("current", _current_aval, _batch_current)


def _current_jvp(primals, tangents, *, n, dtype, backend):
    into, weight, *draw = primals
    d_into, d_weight, *_ = tangents
    out = _bind(current_p, *primals, n=n, dtype=dtype, backend=backend)
    sums, terms = accumulator(dtype), []
    if not _is_zero(d_weight):
        events = _bind(counts_p, *draw, n=n, backend=backend).astype(sums)
        product = jnp.broadcast_to(d_weight.astype(sums) * events, (out.size // n, n))
        terms.append(jnp.reshape(product, out.shape))
    if into.shape != (0,) and not _is_zero(d_into):
        terms.append(d_into.astype(sums))
    if not terms:
        return out, ad.Zero.from_primal_value(out)
    return out, functools.reduce(ad.add_jaxvals, terms).astype(dtype)


def _constant_jvp(primitive, primals, tangents, **params):
    """Numbers of events depend on nothing smoothly."""
    out = _bind(primitive, *primals, **params)
    return out, ad.Zero.from_primal_value(out)


ad.primitive_jvps[current_p] = _current_jvp
for _p in (counts_p, spikes_p):
    ad.primitive_jvps[_p] = functools.partial(_constant_jvp, _p)
