"""Event-driven weight updates: what operators offer, and what they refuse."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ..core import constants
from ..core.arguments import FLOATS, array, unit_events
from ..core.dtypes import accumulator
from ..core.messages import applied, shown
from ..primitives import updates
from ..primitives.products import warn_of_constants
from ..rows import columns
from ..rows.entry_order import no_column

RULES = ("additive", "soft")


class Plastic:
    """The part of an operator that changes weights."""

    _no_updates: str | None = None  # why there are none, and what to do

    def update_on_pre(
        self, weight, pre_spikes, post_trace, *, low=None, high=None, rule="additive"
    ):
        """New weights of the synapses of the pre neurons that fire.

        For each pre neuron i that fires and each of its synapses (i, j), with the change ``x = pre_spikes[i] *
        post_trace[j]``, the weight w becomes ``w + x`` (``rule='additive'``), or what another rule says, and is
        then limited to [low, high]. All other weights stay as they are. The cost is that of the synapses of the
        neurons that fired.

        Parameters
        ----------
        weight : array, shape (n_synapses,) or (in_size, out_size)
            The weights now: one per synapse, in (pre, post) order, or for a dense operator the matrix. They need
            not be those of the operator, which is only asked for its connections (``op.with_weight(0.0)`` has the
            connections without weights), and may be any other number per synapse, an eligibility trace say.
        pre_spikes : array, shape (in_size,)
            Bool, integer or floating. A value that is not 0 is an event that counts by its value (as 1 where the
            operator has ``float_as_event=True``).
        post_trace : array, shape (out_size,)
            Unit: that of the weights. Converted to float32 (float64 for float64 weights), in which is computed.
        low, high : number, optional
            Bounds of the weights that are updated. May be traced.
        rule : {'additive', 'soft'} or callable
            'soft' scales a change by the distance to the bound that it leads to: ``w + x * (high - w)`` for
            x > 0, else ``w + x * (w - low)`` (van Rossum, Bi & Turrigiano 2000; Rubin, Lee & Sompolinsky 2001).
            A function ``f(w, x)`` of two equal arrays, elementwise in ``jax.numpy``, gives the new weights; it
            is applied to the touched synapses alone, in chunks.

        Returns
        -------
        array
            Like ``weight``. In a ``scan``, or under ``jit`` with the weights donated
            (``donate_argnums``), it is written in place; else the weights are copied first.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the message says what to pass.

        Notes
        -----
        Each synapse is changed once, so the result has the same bits for any number of threads. A multapse is as
        many synapses. 'additive' and 'soft' have derivatives of any order and mode, which visit all synapses;
        functions have them with ``backend='reference'``, which applies them to all synapses. ``vmap`` gives
        each set its own weights.

        Examples
        --------
        Depression when a pre neuron fires after a post neuron (the trace is negative), not below 0:

        >>> import jax.numpy as jnp, eventops as nn
        >>> op = nn.EventFixedNumConn(3, 2, 2, 0.5)
        >>> weight = jnp.full(op.n_synapses, 0.5)
        >>> fired = jnp.array([False, True, False])
        >>> op.update_on_pre(weight, fired, jnp.array([-0.125, -0.75]), low=0.0).tolist()
        [0.5, 0.5, 0.375, 0.0, 0.5, 0.5]
        """
        return _update(self, "pre", weight, pre_spikes, post_trace, low, high, rule)

    def update_on_post(
        self, weight, post_spikes, pre_trace, *, low=None, high=None, rule="additive"
    ):
        """New weights of the synapses of the post neurons that fire.

        As :meth:`update_on_pre` with the sides exchanged: for each post neuron j that fires and each of its
        synapses (i, j), ``x = post_spikes[j] * pre_trace[i]``.

        Parameters
        ----------
        weight : array, shape (n_synapses,) or (in_size, out_size)
            As for :meth:`update_on_pre`: one per synapse in (pre, post) order, or the matrix.
        post_spikes : array, shape (out_size,)
        pre_trace : array, shape (in_size,)
        low, high, rule
            As for :meth:`update_on_pre`.

        Returns
        -------
        array
            Like ``weight``.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit, or if the operator is an argument of a transformation and has no column
            index (see Notes).

        Notes
        -----
        Stored rows need the column index for it, 6 bytes per synapse: :meth:`with_columns` gives an operator that
        has it. Where the operator is no argument of a ``jit``, ``scan`` or other transformation, the index is made
        on first use and kept.

        Examples
        --------
        >>> import jax, jax.numpy as jnp, eventops as nn
        >>> op = nn.EventFixedNumConn(3, 2, 2, 0.5).with_columns()
        >>> weight = jnp.full(op.n_synapses, 0.5)
        >>> learn = jax.jit(lambda op, *args: op.update_on_post(*args, high=1.0))
        >>> learn(op, weight, jnp.array([False, True]), jnp.array([0.0, 0.25, 0.75])).tolist()
        [0.5, 0.5, 0.5, 0.75, 0.5, 1.0]
        """
        return _update(self, "post", weight, post_spikes, pre_trace, low, high, rule)

    def with_columns(self):
        """The same operator with its column index, which :meth:`update_on_post` needs inside transformations.

        Returns
        -------
        operator
            Of the same class. The index (three arrays, 6 bytes per synapse) is a part of its ``rows``, counted in
            ``nbytes``. A dense operator needs none and is returned as it is.

        Raises
        ------
        TypeError
            If the operator stores no synapses, or is traced.

        Examples
        --------
        >>> import eventops as nn
        >>> op = nn.EventFixedNumConn(100, 100, 10, 0.5)
        >>> size = op.nbytes
        >>> op.with_columns().nbytes - size
        6404
        """
        call = f"{type(self).__name__}.with_columns"
        if _kind(self, call) == "dense":
            return self
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._set(rows=columns.with_columns(self.rows, call))
        return new


def _kind(op, call) -> str:
    if op._no_updates is not None:
        raise TypeError(f"{call}: {op._no_updates}")
    if op._procedural:
        raise TypeError(
            f"{call}: storage='procedural' keeps no synapses whose weights could change; use storage='sparse'"
        )
    return "dense" if op.rows is None else "rows"


def _update(op, side, weight, spikes, trace, low, high, rule):
    call, other = f"{type(op).__name__}.update_on_{side}", "post" if side == "pre" else "pre"
    sizes = {"pre": op.in_size, "post": op.out_size}
    kind = _kind(op, call)
    no_column(call, op, weight)
    weight = _weights(call, weight, op._weight_shape())
    dtype = accumulator(weight.dtype)
    spikes = _vector(call, f"{side}_spikes", spikes, sizes[side])
    trace = _vector(call, f"{other}_trace", trace, sizes[other]).astype(dtype)
    limits = _limits(call, low, high, dtype)
    _check_rule(call, rule, low, high, dtype, weight.size)
    if op.float_as_event:
        spikes = unit_events(spikes)
    if spikes.dtype != jnp.bool_:
        spikes = spikes.astype(dtype)
    if weight.size == 0:
        return weight
    graph, tile = (), 0
    if kind == "rows":
        lines = op.rows if side == "pre" else columns.of(op.rows, call)
        graph, tile = (lines.ptr, lines.offsets), lines.tile
        graph += () if side == "pre" else (lines.position,)
    warn_of_constants(spikes, *graph)
    embedded = constants.embeds(weight, spikes, trace, *graph)
    graph = tuple(constants.vector(x, embedded) for x in graph)
    return updates.update(
        kind,
        side,
        weight,
        spikes,
        trace,
        limits,
        graph,
        shape=(op.in_size, op.out_size),
        tile=tile,
        rule=rule,
        backend=op.backend,
    )


def _weights(call, weight, shape):
    weight = array(call, "weight", weight)
    if weight.dtype.name not in FLOATS:
        raise TypeError(f"{call}: weights of dtype {weight.dtype}; use {', '.join(FLOATS)}")
    if weight.shape != shape:
        n = math.prod(shape)
        hint = f"jnp.full({shape}, w) gives each of the {n} synapses its own"
        raise ValueError(
            f"{call}: a weight of shape {weight.shape} does not fit; it must have shape {shape}, one number per "
            f"synapse" + (f" ({hint})" if weight.ndim == 0 else "")
        )
    return weight


def _vector(call, name, values, n):
    values = array(call, name, values)
    whole = values.dtype == jnp.bool_ or jnp.issubdtype(values.dtype, jnp.integer)
    if not whole and values.dtype.name not in FLOATS:
        raise TypeError(
            f"{call}: {name} must be bool, integer or floating ({', '.join(FLOATS)}), not {values.dtype}"
        )
    if values.ndim > 1 and values.shape[-1] == n:
        raise ValueError(
            f"{call}: {name} of shape {values.shape} is a batch, of which it is not said how its updates add up; "
            f"pass one vector of {n} at a time (lax.scan), or jax.vmap for a set of weights each"
        )
    if values.shape != (n,):
        raise ValueError(f"{call}: {name} of shape {values.shape} does not fit; use shape ({n},)")
    return values


def _limits(call, low, high, dtype):
    """Both bounds in one array of length 2."""
    bounds = []
    for name, bound, none in (("low", low, -np.inf), ("high", high, np.inf)):
        bound = none if bound is None else bound
        if not isinstance(bound, (int, float, np.number)):
            bound = array(call, name, bound)
        if jnp.shape(bound) != () or jnp.issubdtype(jnp.result_type(bound), jnp.complexfloating):
            raise ValueError(
                f"{call}: {name}={shown(bound)} must be one real number for all weights"
            )
        bounds.append(bound)
    if any(isinstance(bound, jax.core.Tracer) for bound in bounds):
        return jnp.stack([jnp.asarray(bound).astype(dtype) for bound in bounds])
    low, high = (float(bound) for bound in bounds)
    if not low <= high:
        raise ValueError(f"{call}: low={low} must not be above high={high}")
    return np.array([low, high], dtype)


def _check_rule(call, rule, low, high, dtype, n_synapses):
    if callable(rule):
        # Longer than what it is applied to, so that no part of it has the right length by chance.
        pair = [jax.ShapeDtypeStruct((n_synapses + 1,), dtype)] * 2
        form = f"{' or '.join(map(repr, RULES))}, or a function f(weight, change) of two arrays"
        made = applied(call, "rule", rule, form, lambda: jax.eval_shape(rule, *pair))
        floating = jnp.issubdtype(getattr(made, "dtype", jnp.bool_), jnp.floating)
        if getattr(made, "shape", None) != pair[0].shape or not floating:
            raise TypeError(
                f"{call}: rule(weight, change) must give floating numbers of its arguments' shape: for two arrays "
                f"of {pair[0]} it gives {shown(made)}"
            )
    elif rule not in RULES:
        names = " or ".join(map(repr, RULES))
        raise ValueError(
            f"{call}: rule={shown(rule)} must be {names}, or a function of weight and change"
        )
    elif rule == "soft" and (low is None or high is None):
        raise ValueError(f"{call}: rule='soft' needs both bounds, low and high")
