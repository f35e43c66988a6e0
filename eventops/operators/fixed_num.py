"""Fixed numbers of partners: exact out-degree (per pre neuron) or exact in-degree (per post neuron)."""

import numbers

import numpy as np

from ..core.arguments import flag, no_autapses, static_int, untraced
from ..core.messages import shown
from ..graphs import drawing
from ..rows import columns
from .arguments import common
from .operator import Operator


class FixedNumConn(Operator):
    """Sparse product with a fixed number of connections per neuron, for real-valued inputs.

    Parameters
    ----------
    in_size, out_size : int
        Number of pre and post neurons.
    conn_num : int or float
        Partners of each neuron. A float in [0, 1] is a proportion of the population that partners are
        taken from, rounded to nearest (0.29 of 100 is 29); one that is not 0 must not round to 0.
    conn_weight : number, array, callable or law
        A scalar (one number is stored), an array of shape (n_synapses,) in (pre, post) order, an initialiser
        ``f(key, shape, dtype)`` as in ``jax.nn.initializers``, or a law of :mod:`eventops.weights`, whose weights
        need not be stored. An array with two dimensions has a row for each neuron that has ``conn_num`` partners,
        its weights in the ascending order of these: (in_size, conn_num) with 'post', (out_size, conn_num)
        with 'pre'.
    efferent_target : {'post', 'pre'}
        'post': each pre neuron has exactly ``conn_num`` targets (fixed out-degree). 'pre': each post neuron
        has exactly ``conn_num`` sources (fixed in-degree, fan-in).
    afferent_ratio : float
        Fraction, in [0, 1], of the pre neurons that have any connection; which ones is drawn, their number
        is rounded to nearest. With 'pre', sources are taken from these alone.
    allow_multi_conn : bool
        Whether a pair may be connected repeatedly (multapses). By default partners are distinct.
    allow_self_conn : bool
        Whether neuron i may connect to neuron i (autapses). False needs equal sizes.
    seed : int
        In [0, 2**63). Together with the rule, the sizes and the parameters it determines the graph. Give
        each projection of a model its own seed: the same seed gives the same graph again.
    storage : {'sparse', 'procedural'}
        'sparse' stores the synapses, about 2 bytes each plus their weights. 'procedural' (for 'post' only)
        stores none and draws the rows of active inputs again on every call: the same graph, at a few
        nanoseconds per synapse, with one weight for all synapses or a law of weights.
    dtype : dtype, optional
        Of the stored weights: float16, bfloat16, float32 or float64. By default that of a floating
        ``conn_weight`` array, else JAX's default, float32 or under ``jax_enable_x64`` float64.
    backend : {None, 'cpu', 'reference'}
        None takes the default of the device that the call runs on. A backend that is named runs or raises.

    Raises
    ------
    TypeError, ValueError
        If a parameter is unusable (for example more distinct partners than neurons); the message says
        what to pass.
    RuntimeError
        If the backend cannot run here.

    Notes
    -----
    Subsets of distinct partners are uniform: positions are drawn with Philox4x32-10 (Salmon et al. 2011)
    and exact bounded integers (Lemire 2019), and those that repeat are drawn again.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> op = nn.FixedNumConn(100, 50, 10, 0.5, efferent_target='pre', seed=1)
    >>> op.n_synapses
    500
    >>> op(jnp.ones(100))[:3].tolist()
    [5.0, 5.0, 5.0]
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
        efferent_target="post",
        afferent_ratio=1.0,
        allow_multi_conn=False,
        allow_self_conn=True,
        seed=0,
        storage="sparse",
        dtype=None,
        backend=None,
    ):
        options = (efferent_target, afferent_ratio, allow_multi_conn, allow_self_conn)
        self._init(
            in_size, out_size, conn_num, conn_weight, options, seed, storage, dtype, False, backend
        )

    def _init(
        self,
        in_size,
        out_size,
        conn_num,
        conn_weight,
        options,
        seed,
        storage,
        dtype,
        float_as_event,
        backend,
    ):
        call = type(self).__name__
        self._set(storage=storage, **common(call, in_size, out_size, seed, float_as_event, backend))
        graph = _graph(call, self.in_size, self.out_size, conn_num, options, self.seed)
        self._store(call, graph, conn_weight, dtype)

    def _per_synapse(self, call, values):
        values = super()._per_synapse(call, values)
        if getattr(values, "ndim", 0) != 2 or self.rows is None:
            return values
        lines, n = line_shape(self), self.n_synapses
        if values.shape != lines:
            side = "pre" if self._efferent_target == "post" else "post"
            rows = f"shape {lines} (a row for each {side} neuron, its partners ascending) or "
            raise ValueError(
                f"{call}: an array of shape {values.shape} does not fit; use one number, {rows if lines else ''}shape "
                f"({n},) ({n} synapses in (pre, post) order)"
            )
        values = values.reshape(-1)
        if self._efferent_target == "post":
            return values
        untraced(f"{call}, weights by post neuron", "the graph", self.rows.ptr)
        position = np.asarray(columns.make(self.rows).position)  # in (post, pre) order
        order = np.empty_like(position)
        order[position] = np.arange(position.size, dtype=position.dtype)
        return values[order]

    @property
    def _efferent_target(self) -> str:
        return "post" if self.graph.rule == drawing.FIXED_POST else "pre"

    def _describe(self):
        target = self._efferent_target
        parts = [f"conn_num={self.graph.conn_num}, efferent_target={target!r}"]
        if self.graph.n_selected != self.graph.n_in:
            parts.append(f"n_afferent={self.graph.n_selected}")
        parts += ["allow_multi_conn=True"] * self.graph.allow_multi
        parts += ["allow_self_conn=False"] * (not self.graph.allow_self)
        parts += [f"storage={self.storage!r}"] * self._procedural
        return [*parts, f"seed={self.seed}"]


class EventFixedNumConn(FixedNumConn):
    """Event-driven product with a fixed number of connections per neuron.

    The connectivity is that of :class:`FixedNumConn` with the same arguments, which are described there;
    ``spikes`` may be bool, integer or floating, and only nonzero ones cost anything.

    Parameters
    ----------
    in_size, out_size, conn_num, conn_weight
        As for :class:`FixedNumConn`.
    efferent_target, afferent_ratio, allow_multi_conn, allow_self_conn, seed, storage, dtype, backend
        As for :class:`FixedNumConn`.
    float_as_event : bool
        Count every nonzero input as one event instead of by its value. The derivative with respect to the
        input stays that of the value, so that a surrogate gradient passes.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As for :class:`FixedNumConn`.

    Notes
    -----
    A silent neuron's weights are not read: a nan or inf among them does not reach the output. Sums are
    made in float32 (float64 for float64 weights) in ascending order of the inputs, so a result is bitwise
    reproducible for any number of threads. Where rows are stored, events of 1 with one weight are counted, and the
    weight is multiplied once.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> op = nn.EventFixedNumConn(4, 1000, 80, 0.5, seed=1)
    >>> float(op(jnp.array([True, False, False, True])).sum())
    80.0
    """

    def __init__(
        self,
        in_size,
        out_size,
        conn_num,
        conn_weight,
        *,
        efferent_target="post",
        afferent_ratio=1.0,
        allow_multi_conn=False,
        allow_self_conn=True,
        seed=0,
        storage="sparse",
        float_as_event=False,
        dtype=None,
        backend=None,
    ):
        options = (efferent_target, afferent_ratio, allow_multi_conn, allow_self_conn)
        self._init(
            in_size,
            out_size,
            conn_num,
            conn_weight,
            options,
            seed,
            storage,
            dtype,
            float_as_event,
            backend,
        )


def line_shape(op: FixedNumConn) -> tuple[int, int] | None:
    """(neurons, partners of each) on the side that ``conn_num`` counts for; None where some have no partners.

    It is not known either where a JAX transformation has made the operator's arrays anew.
    """
    graph = op.graph
    if graph is None:
        return None
    lines = graph.n_in if graph.rule == drawing.FIXED_POST else graph.n_out
    return (lines, graph.conn_num) if op.n_synapses == lines * graph.conn_num else None


def _graph(call, in_size, out_size, conn_num, options, seed) -> drawing.Graph:
    efferent_target, afferent_ratio, allow_multi, allow_self = options
    if efferent_target not in ("post", "pre"):
        raise ValueError(
            f"{call}: efferent_target={shown(efferent_target)} must be 'post' (fixed out-degree) or 'pre' "
            "(fixed in-degree)"
        )
    allow_multi = flag(call, "allow_multi_conn", allow_multi)
    allow_self = no_autapses(call, allow_self, in_size, out_size)
    n_selected = proportion(call, "afferent_ratio", afferent_ratio, in_size)
    post = efferent_target == "post"
    candidates = out_size if post else n_selected
    if isinstance(conn_num, numbers.Real) and not isinstance(conn_num, numbers.Integral):
        conn_num = proportion(call, "conn_num", conn_num, out_size if post else in_size)
    conn_num = static_int(call, "conn_num", conn_num)
    if conn_num < 0:
        raise ValueError(f"{call}: conn_num={conn_num} must not be negative")
    lines = n_selected if post else out_size
    if conn_num > 0 and lines > 0:
        _check_possible(call, conn_num, candidates, allow_multi, allow_self, post)
    return drawing.Graph(
        rule=drawing.FIXED_POST if post else drawing.FIXED_PRE,
        n_in=in_size,
        n_out=out_size,
        conn_num=conn_num,
        allow_multi=allow_multi,
        allow_self=allow_self,
        n_selected=n_selected,
        seed=seed,
    )


def proportion(call, name, value, n) -> int:
    """A fraction of ``n``, rounded to nearest (halves up); not to nothing where it is not 0."""
    untraced(call, name, value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{call}: {name}={shown(value)} must be a number in [0, 1]")
    if not 0 <= value <= 1:
        raise ValueError(f"{call}: {name}={value} must be a proportion in [0, 1]")
    number = int(float(value) * n + 0.5)
    if number == 0 and value > 0 and n > 0:
        # BrainState has no synapses then, and does not say so.
        raise ValueError(
            f"{call}: {name}={value} of {n} is {float(value) * n:.2g}, which rounds to 0; pass a larger proportion, or 0 "
            "if no connection is what you want"
        )
    return number


def _check_possible(call, conn_num, candidates, allow_multi, allow_self, post):
    available = candidates - (0 if allow_self else 1)
    side = "post" if post else "pre"
    if available <= 0:
        raise ValueError(
            f"{call}: conn_num={conn_num}, but there is no {side} neuron to connect to"
        )
    if not allow_multi and conn_num > available:
        raise ValueError(
            f"{call}: conn_num={conn_num} distinct partners cannot be drawn from {available} {side} "
            "neurons; reduce conn_num or pass allow_multi_conn=True"
        )
