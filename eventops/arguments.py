"""What users pass, checked: each function gives it in the form that the operators hold, or raises and says what to pass."""

import math
import operator

import jax
import jax.numpy as jnp
import numpy as np

from . import backends
from .byte_order import native, native_dtype
from .memory import check_room
from .messages import applied, shown
from .weights import Law, default_float


@jax.custom_jvp
def unit_events(spikes):
    """1 for every nonzero spike, in the spikes' dtype.

    The derivative is that of the spikes' value: a surrogate gradient of the spikes passes through.
    """
    return spikes if spikes.dtype == jnp.bool_ else (spikes != 0).astype(spikes.dtype)


@unit_events.defjvp
def _unit_events_jvp(primals, tangents):
    return unit_events(*primals), tangents[0]


def spike_array(call: str, spikes, in_size: int) -> jax.Array:
    """Spikes as an array whose last axis is the pre neurons, or an error that says what is wrong."""
    spikes = array(call, "spikes", spikes)
    whole = spikes.dtype == jnp.bool_ or jnp.issubdtype(spikes.dtype, jnp.integer)
    if not whole and spikes.dtype.name not in FLOATS:
        raise TypeError(
            f"{call}: spikes must be bool, integer or floating ({', '.join(FLOATS)}), not {spikes.dtype}"
        )
    if spikes.ndim == 0 or spikes.shape[-1] != in_size:
        raise ValueError(
            f"{call}: spikes of shape {spikes.shape} do not fit in_size={in_size}; "
            f"the last axis must have length {in_size}"
        )
    return spikes


def size(call: str, name: str, value) -> int:
    """A population size: a non-negative integer that 32-bit indices can number."""
    if isinstance(value, (tuple, list)):
        raise TypeError(
            f"{call}: {name}={shown(value)} must be one number of neurons; "
            f"flatten the population, math.prod({shown(value)}) neurons"
        )
    value = static_int(call, name, value)
    if not 0 <= value < 2**31:
        raise ValueError(f"{call}: {name}={value} must be in [0, 2**31)")
    return value


# What kernels know; other floating types must be converted by the caller.
FLOATS = ("float16", "bfloat16", "float32", "float64")


def array(call: str, name: str, value, whole_as=None) -> jax.Array:
    """An array of JAX's. Integers that are not JAX's yet keep their values, or raise; JAX would wrap them.

    Parameters
    ----------
    call, name : str
        Named in errors.
    value : number, array, or nested lists of numbers
    whole_as : dtype, optional
        Floating: what integers are converted to. By default they get the dtype that JAX has for them, which must
        hold their values.
    """
    if isinstance(value, jax.Array):
        return value
    try:
        host = native(value)
    except (TypeError, ValueError):  # a list with tracers in it, or no numbers
        host = None
    if host is not None and host.dtype.kind in "iu":
        if whole_as is None:
            _check_held(call, name, host)
        else:
            with np.errstate(over="ignore"):  # to inf in float16, as JAX does
                value = host.astype(whole_as)
    # JAX reads no numbers in another byte order, neither in one array nor in a list of them.
    numbers = host is not None and host.dtype.kind in "biufc"
    for given in (value, host if numbers else None):
        if given is None:
            continue
        try:
            return jnp.asarray(given)
        except (TypeError, ValueError):
            pass
        except OverflowError:  # a Python int that no dtype holds
            raise ValueError(f"{call}: {name}={shown(value)} is too large; pass a float") from None
    raise TypeError(f"{call}: {name}={shown(value)} must be a number or an array of numbers")


def _check_held(call: str, name: str, whole: np.ndarray) -> None:
    """Raise where JAX's dtype for these integers, which without x64 is a narrower one, does not hold them."""
    dtype = jax.dtypes.canonicalize_dtype(whole.dtype)
    if dtype == whole.dtype or whole.size == 0:
        return
    held = np.iinfo(dtype)
    for extreme in (whole.min(), whole.max()):
        if not held.min <= extreme <= held.max:
            raise ValueError(
                f"{call}: {name} with the value {extreme} of {whole.dtype} would become {dtype}, which does not hold "
                f"it; convert to floating numbers, for example {name}.astype(numpy.float32)"
            )


def as_dtype(call: str, dtype):
    try:
        return native_dtype(jnp.dtype(dtype))
    except TypeError:
        raise TypeError(
            f"{call}: dtype={shown(dtype)} is not a dtype; use float16, bfloat16, float32 or float64"
        ) from None


def float_dtype(call: str, dtype, given) -> np.dtype:
    """What values of dtype ``given`` are stored in: ``dtype``, or if that is None their own or JAX's default."""
    if dtype is not None:
        dtype = as_dtype(call, dtype)
    elif given is not None and jnp.issubdtype(given, jnp.floating):
        dtype = jax.dtypes.canonicalize_dtype(native_dtype(given))
    else:
        dtype = default_float()
    check_dtype(call, dtype)
    return dtype


def untraced(call: str, name: str, value) -> None:
    """Raise where a value that determines shapes or the graph is traced."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(
            f"{call}: {name} is traced by a JAX transformation, but it determines shapes or the graph; "
            "make the operator outside, or mark the argument static"
        )


def flag(call: str, name: str, value) -> bool:
    """A static truth value."""
    untraced(call, name, value)
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{call}: {name}={shown(value)} must be True or False")
    return bool(value)


def no_autapses(call: str, allow_self_conn, in_size, out_size) -> bool:
    """The checked ``allow_self_conn``; without autapses both sides must be the same neurons."""
    allow_self_conn = flag(call, "allow_self_conn", allow_self_conn)
    if not allow_self_conn and in_size != out_size:
        raise ValueError(
            f"{call}: allow_self_conn=False needs in_size == out_size, not {in_size} and {out_size}"
        )
    return allow_self_conn


def static_int(call: str, name: str, value) -> int:
    """A Python integer, or an error where the value is traced or not an integer."""
    untraced(call, name, value)
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{call}: {name}={shown(value)} must be an integer, not a bool")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{call}: {name}={shown(value)} must be an integer, not {type(value).__name__}"
        ) from None


def seed_value(call: str, seed) -> int:
    """A seed of the graph generator."""
    seed = static_int(call, "seed", seed)
    if not 0 <= seed < 2**63:
        raise ValueError(f"{call}: seed={seed} must be in [0, 2**63)")
    return seed


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


def check_dtype(call: str, dtype) -> None:
    """Only the storage types that kernels know."""
    if dtype.name not in FLOATS:
        raise TypeError(
            f"{call}: weights of dtype {dtype} are not supported; use {', '.join(FLOATS)}"
        )
    if dtype.name == "float64" and not jax.config.jax_enable_x64:
        raise TypeError(f"{call}: float64 weights need jax.config.update('jax_enable_x64', True)")


def common(call: str, in_size, out_size, seed, float_as_event, backend) -> dict:
    """The checked static attributes that every operator has."""
    return dict(
        in_size=size(call, "in_size", in_size),
        out_size=size(call, "out_size", out_size),
        seed=seed_value(call, seed),
        float_as_event=flag(call, "float_as_event", float_as_event),
        backend=backends.check(call, backend),
    )
