"""Bernoulli connectivity: each pair is connected with the same probability, independently."""

import numbers

from ..core.arguments import no_autapses, untraced
from ..core.messages import shown
from ..graphs import drawing
from .arguments import common
from .operator import Operator


class EventFixedProb(Operator):
    """Event-driven product whose (pre, post) pairs are connected independently with one probability.

    Parameters
    ----------
    in_size, out_size : int
        Number of pre and post neurons.
    conn_num : float
        The probability, in [0, 1].
    conn_weight : number, array, callable or law
        A scalar (one number is stored), an array of shape (n_synapses,) in (pre, post) order, an initialiser
        ``f(key, shape, dtype)`` as in ``jax.nn.initializers``, or a law of :mod:`eventops.weights`, whose weights
        need not be stored.
    seed : int
        In [0, 2**63). Together with the sizes and the probability it determines the graph. Give each
        projection of a model its own seed: the same seed gives the same graph again.
    allow_self_conn : bool
        Whether neuron i may connect to neuron i (autapses). False needs equal sizes.
    storage : {'sparse', 'procedural'}
        'sparse' stores the synapses, about 2 bytes each plus their weights. 'procedural' stores none and draws
        the rows of active inputs again on every call: the same graph, at a few nanoseconds per synapse, with
        one weight for all synapses or a law of weights.
    float_as_event : bool
        Count every nonzero input as one event instead of by its value. The derivative with respect to the
        input stays that of the value, so that a surrogate gradient passes.
    dtype : dtype, optional
        Of the stored weights: float16, bfloat16, float32 or float64. By default that of a floating
        ``conn_weight`` array, else JAX's default, float32 or under ``jax_enable_x64`` float64.
    backend : {None, 'cpu', 'reference'}
        None takes the default of the device that the call runs on. A backend that is named runs or raises.

    Raises
    ------
    TypeError, ValueError
        If a parameter is unusable (a probability outside [0, 1], an int other than 0 and 1, ...); the
        message says what to pass.
    RuntimeError
        If the backend cannot run here.

    Notes
    -----
    The number of targets of a neuron is binomial. Rows are drawn by the gaps between targets, which are
    geometric (L. Devroye, *Non-Uniform Random Variate Generation*, 1986, ch. X.2), digit by digit from
    integer tables; :func:`eventops.graphs.drawing.gap_table` gives the law. Each digit has the exact probability
    of the given double to within 2**-128.

    A silent neuron's weights are not read: a nan or inf among them does not reach the output. Sums are
    made in float32 (float64 for float64 weights) in ascending order of the inputs, so a result is bitwise
    reproducible for any number of threads. Where rows are stored, events of 1 with one weight are counted, and the
    weight is multiplied once.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> op = nn.EventFixedProb(1000, 1000, 0.2, 0.5, seed=3)
    >>> bool(jnp.all(op(jnp.ones(1000, bool)) == op.todense().sum(axis=0)))
    True
    """

    _arrays = ("weight", "rows")
    _static = (*Operator._static, "drawn", "storage", "law")
    _facts = ("seed", "stored")

    def __init__(
        self,
        in_size,
        out_size,
        conn_num,
        conn_weight,
        *,
        seed=0,
        allow_self_conn=True,
        storage="sparse",
        float_as_event=False,
        dtype=None,
        backend=None,
    ):
        call = type(self).__name__
        self._set(storage=storage, **common(call, in_size, out_size, seed, float_as_event, backend))
        graph = drawing.Graph(
            rule=drawing.BERNOULLI,
            n_in=self.in_size,
            n_out=self.out_size,
            prob=_probability(call, conn_num),
            allow_self=no_autapses(call, allow_self_conn, self.in_size, self.out_size),
            seed=self.seed,
        )
        self._store(call, graph, conn_weight, dtype)

    def _describe(self):
        parts = [f"conn_num={self.graph.prob}"]
        parts += ["allow_self_conn=False"] * (not self.graph.allow_self)
        parts += [f"storage={self.storage!r}"] * self._procedural
        return [*parts, f"seed={self.seed}"]


def _probability(call: str, prob) -> float:
    untraced(call, "conn_num", prob)
    if isinstance(prob, bool) or not isinstance(prob, numbers.Real):
        raise TypeError(f"{call}: conn_num={shown(prob)} must be a probability, a float in [0, 1]")
    if isinstance(prob, numbers.Integral) and prob not in (0, 1):
        raise ValueError(
            f"{call}: conn_num={prob} is a number of connections, but this operator takes a probability "
            "in [0, 1]; for a fixed number per neuron use EventFixedNumConn"
        )
    if not 0 <= prob <= 1:
        raise ValueError(f"{call}: conn_num={prob} must be a probability in [0, 1]")
    return float(prob)
