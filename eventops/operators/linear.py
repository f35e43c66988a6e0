"""Dense connectivity: the plain product, and the one that visits active rows only."""

import jax
import jax.numpy as jnp

from ..core.dtypes import accumulator
from ..primitives.products import result_dtype, warn_of_constants
from .arguments import common
from .operator import Operator


class Linear(Operator):
    """Dense product ``x @ W``: the twin that event-driven operators are compared with.

    Parameters
    ----------
    in_size, out_size : int
        Number of pre and post neurons.
    weight : number, array or callable
        A scalar (one number is stored), an array of shape (in_size, out_size), or an initialiser
        ``f(key, shape, dtype)`` as in ``jax.nn.initializers``.
    dtype : dtype, optional
        Of the stored weights: float16, bfloat16, float32 or float64. By default that of a floating
        ``weight`` array, else JAX's default, float32 or under ``jax_enable_x64`` float64.
    seed : int
        Makes the key that an initialiser gets.

    Raises
    ------
    TypeError, ValueError
        If a size, the weight or its dtype is unusable; the message says what to pass.

    Notes
    -----
    Every weight is read, whatever the input; sums are made in float32 (float64 for float64 weights).

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> op = nn.Linear(3, 2, jnp.ones((3, 2)))
    >>> op(jnp.array([1.0, 0.0, 2.0])).tolist()
    [3.0, 3.0]
    """

    def __init__(self, in_size, out_size, weight, *, dtype=None, seed=0):
        self._init_dense(in_size, out_size, weight, dtype, seed, False, None)

    def _init_dense(self, in_size, out_size, weight, dtype, seed, float_as_event, backend):
        call = type(self).__name__
        self._set(**common(call, in_size, out_size, seed, float_as_event, backend))
        self._store(call, None, weight, dtype)

    def _product(self, spikes, rounded=True):
        warn_of_constants(spikes, self.weight)
        dtype = result_dtype(spikes.dtype, self.dtype)
        acc = accumulator(dtype)
        dtype = dtype if rounded else acc
        if self.weight.ndim == 0:
            total = jnp.sum(spikes.astype(acc), axis=-1, keepdims=True) * self.weight.astype(acc)
            return jnp.broadcast_to(total, (*spikes.shape[:-1], self.out_size)).astype(dtype)
        product = jnp.matmul(
            spikes.astype(acc), self.weight.astype(acc), precision=jax.lax.Precision.HIGHEST
        )
        return product.astype(dtype)


class EventLinear(Linear):
    """Dense weights, event-driven: equals ``spikes @ W`` and reads the rows of active inputs only.

    Parameters
    ----------
    in_size, out_size : int
        Number of pre and post neurons.
    weight : number, array or callable
        A scalar (one number is stored), an array of shape (in_size, out_size), or an initialiser
        ``f(key, shape, dtype)`` as in ``jax.nn.initializers``.
    dtype : dtype, optional
        Of the stored weights: float16, bfloat16, float32 or float64. By default that of a floating
        ``weight`` array, else JAX's default, float32 or under ``jax_enable_x64`` float64.
    seed : int
        Makes the key that an initialiser gets.
    float_as_event : bool
        Count every nonzero input as one event instead of by its value. The derivative with respect to the
        input stays that of the value, so that a surrogate gradient passes.
    backend : {None, 'cpu', 'reference'}
        None takes the default of the device that the call runs on. A backend that is named runs or raises.

    Raises
    ------
    TypeError, ValueError
        If a size, the weight or its dtype is unusable; the message says what to pass.
    RuntimeError
        If the backend cannot run here.

    Notes
    -----
    A silent neuron's weights are not read: a nan or inf among them does not reach the output. Sums are
    made in float32 (float64 for float64 weights) in ascending order of the inputs, and from 256 active inputs
    on in two halves (inputs before ``in_size // 2``, and the rest), so a result is bitwise reproducible for any
    number of threads. A graded or negative input counts by its value.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> op = nn.EventLinear(3, 2, jnp.arange(6.0).reshape(3, 2))
    >>> op(jnp.array([True, False, True])).tolist()
    [4.0, 6.0]
    """

    def __init__(
        self, in_size, out_size, weight, *, dtype=None, seed=0, float_as_event=False, backend=None
    ):
        self._init_dense(in_size, out_size, weight, dtype, seed, float_as_event, backend)

    def _product(self, spikes, rounded=True):
        return Operator._product(self, spikes, rounded)
