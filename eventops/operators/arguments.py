"""What all operators take, checked: their weights, and the attributes that every one of them has."""

import math

import jax
import jax.numpy as jnp

from .. import backends
from ..core.arguments import array, as_dtype, check_dtype, flag, seed_value, size
from ..core.dtypes import default_float
from ..core.memory import check_room
from ..core.messages import applied
from ..graphs.weights import Law


def weight_array(call: str, weight, shape: tuple[int, ...], dtype, seed: int) -> jax.Array:
    """Weights from a number, an array or an initialiser.

    Parameters
    ----------
    call : str
        Named in errors.
    weight : number, array or callable
        A callable is an initialiser ``f(key, shape, dtype)`` as in ``jax.nn.initializers``; its key is made
        from ``seed``.
    shape : tuple of int
        The shape of weights that are not homogeneous.
    dtype : dtype or None
        None keeps the dtype of a floating array and is the default float otherwise.
    """
    if dtype is not None:
        dtype = as_dtype(call, dtype)
        check_dtype(call, dtype)
    if callable(weight):
        if seed is None:
            raise TypeError(
                f"{call}: an initialiser needs the operator's seed, which is not known after a JAX transformation has "
                "made its arrays anew; pass the weights, initialiser(key, shape, dtype)"
            )
        form = f"a number, an array or an initialiser f(key, shape, dtype) for shape {shape}, such as jax.nn.initializers.normal(0.1)"
        key, kind = jax.random.key(seed), dtype or default_float()
        sizes = " x ".join(map(str, shape))
        n_bytes = math.prod(shape) * kind.itemsize
        check_room(
            call, f"an array of {sizes} weights", n_bytes, "use fewer neurons or a sparse operator"
        )
        made = applied(call, "weight", weight, form, lambda: weight(key, shape, kind))
        return weight_array(f"{call}: the initialiser", made, shape, dtype, seed)
    if isinstance(weight, Law):
        raise TypeError(
            f"{call}: {weight!r} generates weights for the synapses of a graph that the operator draws; pass a number, "
            "an array or an initialiser f(key, shape, dtype) here"
        )
    weight = array(call, "weight", weight, dtype or default_float())
    if dtype is None:
        floating = jnp.issubdtype(weight.dtype, jnp.floating)
        strong = floating and not weight.weak_type
        dtype = weight.dtype if strong else default_float()
    check_dtype(call, dtype)
    if jnp.issubdtype(weight.dtype, jnp.complexfloating):
        raise TypeError(f"{call}: weights must be real, not {weight.dtype}")
    if weight.shape not in ((), shape):
        raise ValueError(
            f"{call}: a weight of shape {weight.shape} does not fit; use a scalar "
            f"or shape {shape}" + (f" ({math.prod(shape)} synapses)" if len(shape) == 1 else "")
        )
    return jax.lax.convert_element_type(weight, dtype)


def common(call: str, in_size, out_size, seed, float_as_event, backend) -> dict:
    """The checked static attributes that every operator has."""
    return dict(
        in_size=size(call, "in_size", in_size),
        out_size=size(call, "out_size", out_size),
        seed=seed_value(call, seed),
        float_as_event=flag(call, "float_as_event", float_as_event),
        backend=backends.check(call, backend),
    )
