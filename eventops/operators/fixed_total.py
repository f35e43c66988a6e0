"""A fixed total number of synapses over all pairs of neurons."""

import dataclasses
import numbers

from ..core.arguments import flag, no_autapses, static_int
from ..graphs import drawing
from ..rows.csr import MAX_SYNAPSES
from .arguments import common
from .fixed_num import proportion
from .operator import Operator


class EventFixedTotalNum(Operator):
    """Event-driven product with a fixed number of connections in all.

    With ``allow_multi_conn=True`` each connection is a pair drawn uniformly from all pairs, independently of
    the others: NEST's ``fixed_total_number`` and GeNN's ``FixedNumberTotalWithReplacement``, the rule of the
    cortical microcircuit of Potjans & Diesmann (2014). By default pairs are distinct: every set of
    ``conn_num`` pairs is equally likely.

    Parameters
    ----------
    in_size, out_size : int
        Number of pre and post neurons.
    conn_num : int or float
        Number of connections in all. A float in [0, 1] is a proportion of the pairs, rounded to nearest.
    conn_weight : number, array, callable or law
        A scalar (one number is stored), an array of shape (n_synapses,) in (pre, post) order, an initialiser
        ``f(key, shape, dtype)`` as in ``jax.nn.initializers``, or a law of :mod:`eventops.weights`, whose weights
        need not be stored.
    allow_multi_conn : bool
        Whether a pair may be connected repeatedly (multapses).
    allow_self_conn : bool
        Whether neuron i may connect to neuron i (autapses). False needs equal sizes.
    seed : int
        In [0, 2**63). Together with the sizes, the number and the options it determines the graph. Give each
        projection of a model its own seed: the same seed gives the same graph again.
    storage : {'sparse', 'procedural'}
        'sparse' stores the synapses, about 2 bytes each plus their weights. 'procedural' stores none and draws
        the rows of active inputs again on every call: the same graph, at a few nanoseconds per synapse, with
        one weight for all synapses or a law of weights. How many synapses each row has, 4 bytes for each pre neuron, is then a
        constant of the compiled program, which is not counted in ``nbytes``.
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
        If a parameter is unusable (for example more distinct pairs than there are); the message says what to
        pass.
    RuntimeError
        If the backend cannot run here.

    Notes
    -----
    Out-degrees are multinomial with repeats and multivariate hypergeometric without. They are drawn first, as
    pairs drawn one after another would give them, and each row then draws its own partners, uniformly: so any
    row can be drawn alone. ``docs/generator.md`` has the definition.

    A silent neuron's weights are not read: a nan or inf among them does not reach the output. Sums are
    made in float32 (float64 for float64 weights) in ascending order of the inputs, so a result is bitwise
    reproducible for any number of threads. Where rows are stored, events of 1 with one weight are counted, and the
    weight is multiplied once.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> op = nn.EventFixedTotalNum(100, 50, 700, 0.5, allow_multi_conn=True, seed=1)
    >>> float(op(jnp.ones(100, bool)).sum())
    350.0
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
        allow_multi_conn=False,
        allow_self_conn=True,
        seed=0,
        storage="sparse",
        float_as_event=False,
        dtype=None,
        backend=None,
    ):
        call = type(self).__name__
        self._set(storage=storage, **common(call, in_size, out_size, seed, float_as_event, backend))
        graph = drawing.Graph(
            rule=drawing.FIXED_TOTAL,
            n_in=self.in_size,
            n_out=self.out_size,
            allow_multi=flag(call, "allow_multi_conn", allow_multi_conn),
            allow_self=no_autapses(call, allow_self_conn, self.in_size, self.out_size),
            seed=self.seed,
        )
        number = _number(call, conn_num, graph.n_pairs, graph.allow_multi)
        self._store(call, dataclasses.replace(graph, conn_num=number), conn_weight, dtype)

    def _describe(self):
        parts = [f"conn_num={self.graph.conn_num}"]
        parts += ["allow_multi_conn=True"] * self.graph.allow_multi
        parts += ["allow_self_conn=False"] * (not self.graph.allow_self)
        parts += [f"storage={self.storage!r}"] * self._procedural
        return [*parts, f"seed={self.seed}"]


def _number(call: str, conn_num, n_pairs: int, allow_multi: bool) -> int:
    if isinstance(conn_num, numbers.Real) and not isinstance(conn_num, numbers.Integral):
        conn_num = proportion(call, "conn_num", conn_num, n_pairs)
    conn_num = static_int(call, "conn_num", conn_num)
    if conn_num < 0:
        raise ValueError(f"{call}: conn_num={conn_num} must not be negative")
    if conn_num > 0 and n_pairs == 0:
        raise ValueError(f"{call}: conn_num={conn_num}, but there is no pair of neurons to connect")
    if not allow_multi and conn_num > n_pairs:
        raise ValueError(
            f"{call}: conn_num={conn_num} distinct pairs cannot be drawn from {n_pairs}; reduce conn_num or pass "
            "allow_multi_conn=True"
        )
    if conn_num > MAX_SYNAPSES:
        raise ValueError(
            f"{call}: conn_num={conn_num} synapses are more than {MAX_SYNAPSES}; split the projection over several "
            "operators"
        )
    return conn_num
