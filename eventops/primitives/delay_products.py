"""Delivery of spikes into rings of future currents, as JAX primitives.

With spikes ``s``, weights ``w`` and ring cotangents ``R`` everything is a partial derivative of
``T = sum_k s[pre k] * w[k] * R[place of synapse k]``, as in ``products.py``: ``deliver`` adds its derivative by ``R``
to a ring, ``spike_cotangent`` and ``weight_cotangent`` are the two others. ``swap`` exchanges the slot that is due; it
is linear and its own transpose. ``step``, what an undifferentiated model runs, is a delivery and a swap for zeros in one
kernel. So forward and reverse mode, of any order, stay inside this family.

Operands are ``(V, B, ...)`` stacks, V weight sets with B vectors each, see ``backends/delayed_reference.py``. ``vmap``
regroups V and B and never becomes a loop. Rings keep their own leading dimensions: XLA updates the operand of a kernel
in place only where nothing, not even a reshape, comes between it and the state of a loop.
"""

import functools

import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ..backends import IMPLEMENTATIONS
from ..core import constants, loader
from ..core.dtypes import accumulator
from . import partition
from .products import (
    _bind,
    _front,
    _is_zero,
    _jvp,
    _merge,
    _no_batched_graph,
    _run_eagerly,
    _skipping_zeros,
)

# What an operand or a result has copies of: "v" one for each weight set, "b" one for each vector, "g" one in all;
# "r" is a ring for each vector, whose leading dimensions are left as they are.
_ROLES = {
    "deliver": ("rbvbgg", "r"),
    "step": ("rbvbgg", "rb"),
    "swap": ("rbb", "rb"),
    "spike_cotangent": ("vrbgg", "b"),
    "weight_cotangent": ("brbgg", "v"),
}


def _make(name: str, abstract) -> Primitive:
    primitive = Primitive(f"eventops_delayed_{name}")
    primitive.multiple_results = len(_ROLES[name][1]) > 1
    primitive.def_impl(functools.partial(_run_eagerly, primitive))
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = functools.partial(_batch, primitive, *_ROLES[name])
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
            f"eventops: backend {backend!r} delivers no delayed spikes on this device; use backend=None or 'reference'"
        )
    kernel = functools.partial(IMPLEMENTATIONS["delayed", name, backend or default], **params)
    if (backend or default) == "reference":
        kernel = functools.partial(_on_plain, _ROLES[name][0], kernel)
    multiple = len(_ROLES[name][1]) > 1
    return mlir.lower_fun(kernel, multiple_results=multiple)(ctx, *args)


def _on_plain(roles, kernel, *args):
    """The reference, on operands without the axes and rows of ``constants``."""
    n_sets = args[roles.index("b")].shape[0]
    plain = {"g": constants.plain, "v": lambda x: x[:n_sets]}
    return kernel(*(plain.get(role, lambda x: x)(x) for role, x in zip(roles, args)))


def _batch(primitive, roles, out_roles, args, dims, **params):
    """The mapped axis becomes part of V where weights or their cotangents are mapped, else of B."""
    _no_batched_graph(d for d, role in zip(dims, roles) if role == "g")
    size = next(a.shape[d] for a, d in zip(args, dims) if d is not None)
    weights = "v" in out_roles or any(d is not None for d, r in zip(dims, roles) if r == "v")
    shapes = [[n for i, n in enumerate(a.shape) if i != d] for a, d in zip(args, dims)]
    n_sets = shapes[roles.index("b")][0]

    def regroup(x, dim, role):
        if role == "g" or (role == "v" and not weights):
            return x
        x = _front(x, dim, size)
        if role == "r":
            # V comes before B: a ring stays as it is where that is so already.
            if weights or n_sets == 1:
                return x
            return jnp.moveaxis(jnp.reshape(x, (size, n_sets, -1, *x.shape[-3:])), 0, 1)
        if weights:
            return _merge(x)
        x = jnp.moveaxis(x, 0, 1)  # (V, size, B, ...)
        return jnp.reshape(x, (x.shape[0], size * x.shape[2], *x.shape[3:]))

    def ungroup(x, role):
        """With the mapped axis first."""
        if role == "r":
            if not weights and n_sets > 1:
                x = jnp.moveaxis(x, 1, 0)
            return jnp.reshape(x, (size, *shapes[roles.index("r")]))
        if weights:
            return jnp.reshape(x, (size, x.shape[0] // size, *x.shape[1:]))
        return jnp.moveaxis(jnp.reshape(x, (x.shape[0], size, -1, *x.shape[2:])), 1, 0)

    outs = _bind(primitive, *map(regroup, args, dims, roles), **params)
    if not primitive.multiple_results:
        return ungroup(outs, out_roles), 0
    return [ungroup(x, role) for x, role in zip(outs, out_roles)], [0] * len(outs)


def _deliver_aval(ring, *rest, **params):
    return partition.like(ring, ring.shape, ring.dtype)


def _step_aval(ring, spikes, *rest, n_out, **params):
    current = partition.like(ring, (*spikes.shape[:2], n_out), ring.dtype)
    return _deliver_aval(ring), current


def _swap_aval(ring, position, new, **params):
    return _deliver_aval(ring), partition.like(ring, new.shape, new.dtype)


def _spike_cotangent_aval(weight, ring, position, ptr, codes, **params):
    n_in = (ptr.shape[-1] - 1) // ring.shape[-3]
    return partition.like(ring, (*position.shape, n_in), accumulator(weight.dtype))


def _weight_cotangent_aval(spikes, ring, position, ptr, codes, *, homogeneous, dtype, **params):
    weights = () if homogeneous else codes.shape[-1:]
    return partition.like(ring, (position.shape[0], *weights), dtype)


deliver_p = _make("deliver", _deliver_aval)
step_p = _make("step", _step_aval)
swap_p = _make("swap", _swap_aval)
spike_cotangent_p = _make("spike_cotangent", _spike_cotangent_aval)
weight_cotangent_p = _make("weight_cotangent", _weight_cotangent_aval)


def _array(tangent):
    """Zeros where JAX has but the promise of them."""
    return jnp.zeros(tangent.aval.shape, tangent.aval.dtype) if _is_zero(tangent) else tangent


# ---- forward mode


def _deliver_tangent(primals, tangents, backend):
    """Of the ring after a delivery: two more deliveries into the ring's tangent; None where all are zero."""
    ring, spikes, weight, *graph = primals
    dring, dspikes, dweight, *_ = tangents
    if _is_zero(dring) and _is_zero(dspikes) and _is_zero(dweight):
        return None
    out = _array(dring)
    if not _is_zero(dspikes):
        out = _bind(deliver_p, out, dspikes, weight, *graph, backend=backend)
    if not _is_zero(dweight):
        out = _bind(deliver_p, out, spikes, dweight, *graph, backend=backend)
    return out


def _deliver_jvp(primals, tangents, backend):
    out = _bind(deliver_p, *primals, backend=backend)
    tangent = _deliver_tangent(primals, tangents, backend)
    return out, ad.Zero.from_primal_value(out) if tangent is None else tangent


def _step_jvp(primals, tangents, n_out, backend):
    outs = _bind(step_p, *primals, n_out=n_out, backend=backend)
    tangent = _deliver_tangent(primals, tangents, backend)
    if tangent is None:
        return outs, [ad.Zero.from_primal_value(x) for x in outs]
    nothing = jnp.zeros((*primals[3].shape, n_out), tangent.dtype)
    return outs, _bind(swap_p, tangent, primals[3], nothing, backend=backend)


def _swap_jvp(primals, tangents, backend):
    outs = _bind(swap_p, *primals, backend=backend)
    dring, _, dnew = tangents
    if _is_zero(dring) and _is_zero(dnew):
        return outs, [ad.Zero.from_primal_value(x) for x in outs]
    return outs, _bind(swap_p, _array(dring), primals[1], _array(dnew), backend=backend)


ad.primitive_jvps[deliver_p] = _deliver_jvp
ad.primitive_jvps[step_p] = _step_jvp
ad.primitive_jvps[swap_p] = _swap_jvp
for _p in (spike_cotangent_p, weight_cotangent_p):
    ad.primitive_jvps[_p] = functools.partial(_jvp, _p)


# ---- reverse mode


def _weight_cotangent(spikes, ring, *graph, weight_aval, backend):
    params = dict(homogeneous=weight_aval.ndim == 1, dtype=weight_aval.dtype, backend=backend)
    return _bind(weight_cotangent_p, spikes, ring, *graph, **params)


def _deliver_transpose(ct, ring, spikes, weight, *graph, backend):
    undefined = ad.is_undefined_primal
    outs = [None] * (3 + len(graph))
    if undefined(ring):
        outs[0] = ct
    if undefined(spikes):
        outs[1] = _bind(spike_cotangent_p, weight, ct, *graph, backend=backend)
    if undefined(weight):
        outs[2] = _weight_cotangent(spikes, ct, *graph, weight_aval=weight.aval, backend=backend)
    return outs


def _swap_transpose(cts, ring, position, new, backend):
    dring, dnew = _bind(swap_p, _array(cts[0]), position, _array(cts[1]), backend=backend)
    undefined = ad.is_undefined_primal
    return [dring if undefined(ring) else None, None, dnew if undefined(new) else None]


def _spike_cotangent_transpose(ct, weight, ring, *graph, backend):
    nothing = [None] * len(graph)
    if ad.is_undefined_primal(weight):
        dw = _weight_cotangent(ct, ring, *graph, weight_aval=weight.aval, backend=backend)
        return [dw, None, *nothing]
    zeros = jnp.zeros(ring.aval.shape, ring.aval.dtype)
    return [None, _bind(deliver_p, zeros, ct, weight, *graph, backend=backend), *nothing]


def _weight_cotangent_transpose(ct, spikes, ring, *graph, backend, homogeneous, dtype):
    nothing = [None] * len(graph)
    if ad.is_undefined_primal(spikes):
        return [_bind(spike_cotangent_p, ct, ring, *graph, backend=backend), None, *nothing]
    zeros = jnp.zeros(ring.aval.shape, ring.aval.dtype)
    return [None, _bind(deliver_p, zeros, spikes, ct, *graph, backend=backend), *nothing]


ad.primitive_transposes[deliver_p] = _skipping_zeros(_deliver_transpose)
ad.primitive_transposes[swap_p] = _swap_transpose
ad.primitive_transposes[spike_cotangent_p] = _skipping_zeros(_spike_cotangent_transpose)
ad.primitive_transposes[weight_cotangent_p] = _skipping_zeros(_weight_cotangent_transpose)
