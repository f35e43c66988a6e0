"""Arrays that a traced program closes over, in a form that XLA leaves as it is.

XLA rewrites a constant whose elements are all equal into a broadcast, and a vector that is a multiple of an iota (as
the pointers of rows of one length are) into one, and computes both at every call. An axis in front prevents it: XLA
makes iotas of vectors alone, and a second row, which no kernel reads, makes equal elements unequal.
"""

import functools
import weakref

import jax
import numpy as np

from .closure import inside_jit

_made: dict[tuple, tuple[weakref.ref, np.ndarray]] = {}


def embeds(*arrays) -> bool:
    """Whether arrays among these become constants of a program that is being traced."""
    traced = any(isinstance(x, jax.core.Tracer) for x in arrays)
    return traced and any(map(_is_embedded, arrays)) and inside_jit()


def vector(x, embedded: bool):
    """A vector of a graph as an operand: a constant with an axis in front."""
    return _constant(x, x.dtype, False) if embedded and _is_embedded(x) else x


def weights(x, embedded: bool, dtype=None, flat=False):
    """Weights as an operand of this dtype, with an axis in front; ``flat`` without their own axes."""
    dtype = x.dtype if dtype is None else dtype
    if embedded and _is_embedded(x):
        return _constant(x, dtype, flat)
    x = x.astype(dtype)
    return x.reshape(1, -1) if flat and x.ndim else x[None]


def _is_embedded(x) -> bool:
    """Whether ``jit`` would make a constant of it that XLA could rewrite."""
    if isinstance(x, jax.core.Tracer) or jax.config.jax_use_simplified_jaxpr_constants:
        return False
    return x.size > 1 and isinstance(x, jax.Array) and len(x.sharding.device_set) == 1


def _constant(array, dtype, flat) -> np.ndarray:
    """The same object for the same array, so that a program holds it once."""
    key = id(array), str(dtype), flat
    known = _made.get(key)
    if known is None or known[0]() is not array:
        values = np.asarray(array).astype(dtype, copy=False)
        made = uneven(values.reshape(-1) if flat else values)
        known = _made[key] = weakref.ref(array, functools.partial(_forget, _made, key)), made
    return known[1]


def _forget(made, key, _):
    made.pop(key, None)


def uneven(values: np.ndarray) -> np.ndarray:
    """``values[None]``; and where all are equal a second row that differs."""
    bits = values.reshape(-1).view(f"u{values.itemsize}")
    if bits.size < 2 or np.any(bits != bits[0]):
        return values[None]
    return np.stack([values, (~bits).view(values.dtype).reshape(values.shape)])


def plain(x):
    """The vector that :func:`vector` was given."""
    return x[0] if x.ndim == 2 else x
