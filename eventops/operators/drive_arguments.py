"""Arguments of random inputs: checked, and brought into the form that the primitives take."""

import jax
import jax.numpy as jnp
import numpy as np

from .. import backends
from ..core.arguments import array, as_dtype, check_dtype, float_dtype, static_int
from ..core.messages import shown


def advanced(state) -> jax.Array:
    """The next step's number."""
    low = state[0] + jnp.uint32(1)
    return jnp.stack([low, state[1] + (low == 0).astype(jnp.uint32)])


def seed_words(call: str, seed) -> jax.Array:
    """Seeds as two words each, low one first: uint32, shape (*batch, 2).

    Parameters
    ----------
    call : str
        Named in errors.
    seed : int, array of int, or key of ``jax.random``
        An integer that is known must be in [0, 2**63); of a traced one the bits count.
    """
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        words = jax.random.key_data(seed)
        if words.shape[-1] != 2:
            raise TypeError(
                f"{call}: seed has keys of {words.shape[-1]} words; pass an integer, an array of integers or keys of "
                "two words, as jax.random.key makes them by default"
            )
        return words[..., ::-1]
    if isinstance(seed, jax.core.Tracer):
        if not jnp.issubdtype(seed.dtype, jnp.integer):
            raise TypeError(f"{call}: seed={shown(seed)} must be an integer or a key")
        low = seed.astype(jnp.uint32)
        wide = seed.dtype.itemsize > 4
        high = (seed >> 32).astype(jnp.uint32) if wide else jnp.zeros_like(low)
        return jnp.stack([low, high], axis=-1)
    host = np.asarray(seed)
    if host.dtype.kind not in "iu":
        if host.ndim == 0:
            static_int(call, "seed", seed)
        raise TypeError(
            f"{call}: seed={shown(seed)} must be an integer, an array of integers or a key of jax.random"
        )
    if host.size and not (0 <= int(host.min()) and int(host.max()) < 2**63):
        raise ValueError(f"{call}: seed={shown(seed)} must be in [0, 2**63)")
    host = host.astype(np.uint64)
    words = np.stack([host & np.uint64(0xFFFFFFFF), host >> np.uint64(32)], axis=-1)
    return jnp.asarray(words.astype(np.uint32))


def group_sizes(call: str, size) -> tuple[int, ...]:
    """Of an int or a tuple of sizes."""
    sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    sizes = tuple(static_int(call, "size", n) for n in sizes)
    if any(n < 0 for n in sizes) or sum(sizes) >= 2**31:
        raise ValueError(
            f"{call}: size={shown(size)} must be a number of neurons in [0, 2**31), or those of groups that stand "
            "behind each other"
        )
    return sizes


def of_neurons(call: str, name: str, value, sizes: tuple[int, ...], kinds: str) -> jax.Array:
    """Shape () where all neurons have the same number, else one for each neuron."""
    n = sum(sizes)
    if value.ndim == 1 and value.shape[0] == n:
        return value
    if value.ndim == 1 and len(sizes) > 1 and value.shape[0] == len(sizes):
        return jnp.repeat(value, np.array(sizes), total_repeat_length=n)
    if value.ndim == 0:
        return value
    groups = f", ({len(sizes)},) with one for each group" if len(sizes) > 1 else ""
    raise ValueError(
        f"{call}: {name} of shape {value.shape} does not fit; pass a number{groups} or shape ({n},) with {kinds}"
    )


def mean_array(call: str, name: str, mean, sizes, most, wanted: str) -> jax.Array:
    """Means, float32 or float64, checked where they are known."""
    mean = array(call, name, mean, jnp.dtype(jnp.float32))
    if jnp.issubdtype(mean.dtype, jnp.complexfloating) or mean.dtype == jnp.bool_:
        raise TypeError(f"{call}: {name} must be real numbers, not {mean.dtype}")
    mean = mean.astype(jnp.float64 if mean.dtype == jnp.float64 else jnp.float32)
    if not isinstance(mean, jax.core.Tracer) and mean.size:
        known = np.asarray(mean)
        wrong = ~((known >= 0) & most(known))
        if wrong.any():
            raise ValueError(f"{call}: {name}={known[wrong].flat[0]} {wanted}")
    return jax.lax.stop_gradient(of_neurons(call, name, mean, sizes, "one for each neuron"))


def event_weight(call: str, weight, sizes: tuple[int, ...], dtype) -> jax.Array:
    """What an event adds: floating, shape () or one for each neuron."""
    weight = array(call, "weight", weight, jnp.dtype(jnp.float32))
    if jnp.issubdtype(weight.dtype, jnp.complexfloating):
        raise TypeError(f"{call}: weights must be real, not {weight.dtype}")
    strong = not getattr(weight, "weak_type", False)
    if dtype is not None:
        dtype = as_dtype(call, dtype)
        check_dtype(call, dtype)
    else:
        dtype = float_dtype(call, None, weight.dtype if strong else None)
    return of_neurons(call, "weight", weight.astype(dtype), sizes, "one for each neuron")


def drive_backend(call: str, backend: str | None) -> str | None:
    """The checked backend of a drive."""
    backend = backends.check(call, backend)
    if backend is not None and backend.startswith("gpu"):
        raise ValueError(
            f"{call}: backend={backend!r} makes no random drive yet; use None or 'reference', which XLA compiles for the "
            "device"
        )
    return backend


def number_shown(x) -> str:
    """A number, or one for each neuron, in a ``repr``."""
    if isinstance(x, jax.core.Tracer) or not hasattr(x, "dtype"):
        return "traced"
    return f"{float(x):g}" if x.ndim == 0 else f"<{x.dtype}{list(x.shape)}>"
