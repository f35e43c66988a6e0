"""Synaptic delays: any operator with one delay, or one for each synapse."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..core import constants, places
from ..core.arguments import as_dtype, check_dtype, spike_array, static_int, unit_events, untraced
from ..core.byte_order import native
from ..core.dtypes import accumulator
from ..core.messages import applied, shown
from ..primitives.delay_products import step_p, swap_p
from ..primitives.products import _bind, result_dtype, warn_of_constants
from ..rows.delay_table import MOST_SLOTS, delay_table, whole_steps
from ..rows.entry_order import no_column
from .delayed_entries import FromEntries
from .operator import Operator


class DelayState(NamedTuple):
    """Currents that are on their way; made by :meth:`Delayed.init_state`, and plain state of a loop.

    Attributes
    ----------
    ring : array, shape (*batch, n_tiles, slots, tile)
        Future currents. What is where is an affair of the operator that made it.
    position : array of int32, shape (*batch,)
        The slot that is due.
    """

    ring: jax.Array
    position: jax.Array


class Delayed(FromEntries, Operator):
    """An operator whose spikes arrive some steps later.

    Parameters
    ----------
    op : operator
        Any operator of this package but a sharded one. With ``storage='procedural'`` it can have one delay.
    delay : int, array of int or callable
        In steps, from 0 to 65,535. One number for all synapses; or one for each, an array of shape
        (n_synapses,) in (pre, post) order, and (in_size, out_size) for dense operators; or an initialiser
        ``f(key, shape, dtype)`` of such an array, with dtype int32 and a key made from the operator's seed (another
        one than that of its weights). Delays in another order, that of a file say: :meth:`from_entries`, or
        ``op.entry_order(pre, post).to_synapses(delays)``.

    Raises
    ------
    TypeError, ValueError
        If a delay is negative, too long, not an integer or traced, the array has another shape, or the operator cannot
        have delays; the message says what to pass.

    Notes
    -----
    With ``W_d`` the matrix of the synapses of delay ``d``, the current that call ``t`` of :meth:`step` returns is
    ``sum over d of spikes[t - d] @ W_d``: a spike with delay 0 counts in the very call it is passed to, one with
    delay 1 in the next call. The shortest delay of NEST (one step of its grid) is therefore ``delay=1`` where the
    neurons that spike in a step read their currents before, and ``delay=0`` where the spikes of the last step are
    passed in. Weights count as they are when a spike is sent.

    The currents of one delay wait in a ring of ``delay`` vectors. With one delay per synapse an event is delivered
    once, into the slot where it arrives; slots are a power of two above the longest delay, and are kept in blocks
    beside each other for some consecutive posts, so that the part of the ring that is written to stays in the
    cache. A synapse is one code of 16 bits (32 for longer delays or sparser rows) beside what ``op`` holds. The cost of a
    step grows with the events, and with one vector of currents that is read and cleared.

    The result is differentiable by weights and by floating spikes, through ``scan`` as well. Sums are made in the order
    of arrival, then of the pre neurons: bitwise the same for any number of threads, and for a batch, a ``vmap`` and
    a loop.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, eventops as nn
    >>> op = nn.EventLinear(2, 1, jnp.array([[1.0], [10.0]]))
    >>> late = nn.Delayed(op, jnp.array([[0], [2]]))
    >>> spikes = jnp.array([[True, True], [True, False], [False, False]])
    >>> state, currents = jax.lax.scan(late.step, late.init_state(), spikes)
    >>> currents[:, 0].tolist()
    [1.0, 1.0, 10.0]
    """

    _arrays = ("op", "table")
    _static = ("common",)
    _facts = ()
    # Whether delays are axonal or dendritic decides which spikes meet at a synapse, and nobody said so.
    _no_updates = (
        "an update takes spikes as they are passed, not after their delays; decide which spikes meet at the synapses, "
        "update by op.op, the operator without delays, and pass the new weights to op.with_weight(weight)"
    )

    def __init__(self, op, delay):
        call = type(self).__name__
        if not isinstance(op, Operator) or isinstance(op, Delayed):
            raise TypeError(
                f"{call}: op={shown(op)} must be an operator, for example eventops.EventLinear(...)"
            )
        if hasattr(op, "layout"):
            raise TypeError(
                f"{call}: a sharded operator cannot have delays yet; pass the operator itself"
            )
        common, delays = _delays(call, op, delay)
        table = None
        if delays is not None:
            table = delay_table(call, _synapses_of(op), delays, places.of(op))
        self._set(op=op, common=common, table=table)
        if common is not None and common * op.out_size > MOST_SLOTS:
            raise ValueError(
                f"{call}: a delay of {common} steps onto {op.out_size} neurons needs a ring of "
                f"{common * op.out_size} numbers, more than {MOST_SLOTS}; use a longer time step, or split the projection"
            )

    in_size = property(lambda self: self.op.in_size)
    out_size = property(lambda self: self.op.out_size)
    seed = property(lambda self: self.op.seed)
    backend = property(lambda self: self.op.backend)
    float_as_event = property(lambda self: self.op.float_as_event)

    @property
    def weight(self):
        """Of the operator that has the delays."""
        return self.op.weight

    @property
    def delay(self):
        """Steps: an int, or an int32 array with the shape that weights per synapse have."""
        if self.table is None:
            return self.common
        return self.table.delays().reshape(_shape_of(self.op))

    @property
    def max_delay(self) -> int:
        """The longest delay in steps."""
        if self.table is None:
            return self.common
        with (
            jax.ensure_compile_time_eval()
        ):  # which the delays of an operator that is no argument are
            return int(jnp.max(self.table.delays()))

    @property
    def n_synapses(self) -> int:
        """Number of connections."""
        return self.op.n_synapses

    @property
    def nbytes(self) -> int:
        """Bytes stored: the operator, and the codes and pointers of its delays. The state comes on top."""
        return self.op.nbytes + (0 if self.table is None else self.table.nbytes)

    def connections(self):
        """The synapses without their delays; None if dense."""
        return self.op.connections()

    def todense(self) -> jax.Array:
        """One matrix for each delay: shape (max_delay + 1, in_size, out_size), in the weights' dtype."""
        self._check_room_for_matrix(self.max_delay + 1)
        shape = (self.max_delay + 1, self.in_size, self.out_size)
        dense = places.zeros(shape, self.dtype, places.of(self))
        if self.table is None:
            return dense.at[-1].set(self.op.todense())
        rows = self.op.connections()
        if rows is None:
            pre, post = jnp.divmod(
                jnp.arange(self.n_synapses, dtype=jnp.int32), jnp.int32(self.out_size)
            )
        else:
            pre, post = rows.coordinates()
        return dense.at[self.table.delays(), pre, post].add(self.weight.reshape(-1))

    def with_weight(self, weight):
        """The same connectivity and delays with other weights; see the operator's own method."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, op=self.op.with_weight(weight))
        return new

    def with_columns(self):
        """With the column index of the operator that has the delays, for updates by it; see there."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, op=self.op.with_columns())
        return new

    def __call__(self, spikes):
        raise TypeError(
            "Delayed: what arrives depends on earlier spikes; make a state with op.init_state() and call "
            "state, current = op.step(state, spikes)"
        )

    @property
    def _ring_shape(self) -> tuple[int, int, int]:
        return (1, self.common, self.out_size) if self.table is None else self.table.ring_shape

    def init_state(self, batch_shape=(), *, dtype=None) -> DelayState:
        """The state before the first step: nothing is on its way.

        Parameters
        ----------
        batch_shape : tuple of int
            The leading dimensions of the spikes.
        dtype : dtype, optional
            Of the currents; only to be told where float64 spikes meet narrower weights. By default that of the
            weights.

        Returns
        -------
        DelayState
            ``4 * slots * out_size`` bytes for each vector (8 for float64): ``slots`` is the delay, where there is one;
            else the next power of two above the longest delay, and ``out_size`` is filled up to whole tiles.

        Examples
        --------
        >>> import eventops as nn
        >>> late = nn.Delayed(nn.EventFixedNumConn(100, 50, 10, 0.5), 20)
        >>> late.init_state().ring.nbytes
        4000
        """
        call = "Delayed.init_state"
        dtype = self.dtype if dtype is None else as_dtype(call, dtype)
        check_dtype(call, dtype)
        sizes = batch_shape if isinstance(batch_shape, (tuple, list)) else (batch_shape,)
        lead = tuple(static_int(call, "batch_shape", n) for n in sizes)
        if any(n < 0 for n in lead):
            raise ValueError(f"{call}: batch_shape={shown(batch_shape)} must not be negative")
        where = places.of(self)
        ring = places.zeros((*lead, *self._ring_shape), accumulator(dtype), where)
        return DelayState(ring, places.zeros(lead, jnp.int32, where))

    def step(self, state, spikes):
        """Send spikes, and receive what is due.

        Parameters
        ----------
        state : DelayState
            From :meth:`init_state` or the last step. In ``scan``, or where a jitted function is given it by
            ``donate_argnums``, its ring is updated in place.
        spikes : array, shape (*batch, in_size)
            Bool, integer or floating.

        Returns
        -------
        state : DelayState
        current : array, shape (*batch, out_size)
            What arrives in this step. Unit and dtype: those of the weights; for floating spikes the wider of the
            two dtypes.

        Raises
        ------
        TypeError, ValueError
            If the state is none of this operator, or does not fit the spikes; the message says what to pass.
        """
        call = "Delayed.step"
        if isinstance(spikes, DelayState):
            raise TypeError(f"{call}: the arguments are swapped; call op.step(state, spikes)")
        spikes = spike_array(call, spikes, self.in_size)
        lead = spikes.shape[:-1]
        dtype = result_dtype(spikes.dtype, self.dtype)
        ring, position = self._checked(call, state, lead, dtype)
        if self.common == 0 or math.prod(lead) * self.out_size == 0:
            return DelayState(ring, position), self.op(spikes).astype(dtype)
        at = jnp.reshape(position, (1, -1))  # one weight set, and one batch dimension
        if self.table is None:
            current = jnp.reshape(self.op(spikes).astype(ring.dtype), (1, -1, self.out_size))
            ring, current = _bind(swap_p, ring, at, current, backend=self._ring_backend)
        else:
            ring, current = self._deliver(ring, at, spikes)
        after = jax.lax.rem(position + jnp.int32(1), jnp.full_like(position, self._ring_shape[1]))
        return DelayState(ring, after), jnp.reshape(current, (*lead, self.out_size)).astype(dtype)

    @property
    def _ring_backend(self):
        """Of the ring of one delay: 'reference' where that was asked for, else the device's own."""
        return "reference" if self.backend == "reference" else None

    def _deliver(self, ring, position, spikes):
        table, weight = self.table, self.weight
        warn_of_constants(spikes, weight, table.ptr, table.codes)
        if self.float_as_event:
            spikes = unit_events(spikes)
        if spikes.dtype != jnp.bool_:
            spikes = spikes.astype(ring.dtype)
        graph = table.ptr, table.codes
        embedded = constants.embeds(ring, spikes, weight, *graph)
        stored = ring.dtype if ring.dtype == jnp.float64 else weight.dtype
        spikes = jnp.reshape(spikes, (1, -1, self.in_size))
        weight = constants.weights(weight, embedded, stored, flat=True)
        graph = (constants.vector(x, embedded) for x in graph)
        operands = (ring, spikes, weight, position, *graph)
        return _bind(step_p, *operands, n_out=self.out_size, backend=self.backend)

    def _checked(self, call, state, lead, dtype):
        """The two arrays of a state, or the error that says why it is none."""
        try:
            ring, position = (native(x) if isinstance(x, np.ndarray) else x for x in state)
            found = (ring.shape, ring.dtype, position.shape, position.dtype)
        except (TypeError, ValueError, AttributeError):
            raise TypeError(
                f"{call}: state={shown(state)} must be the state of this operator; make it with op.init_state({lead})"
            ) from None
        if (found[0], found[2]) != ((*lead, *self._ring_shape), lead):
            raise ValueError(
                f"{call}: a state with a ring of shape {found[0]} and positions of shape {found[2]} does not fit spikes "
                f"of batch shape {lead} and rings of {self._ring_shape}; make it with op.init_state({lead})"
            )
        if (found[1], found[3]) != (accumulator(dtype), jnp.int32):
            raise TypeError(
                f"{call}: a state of {found[1]} and {found[3]} cannot hold currents of {dtype}; make it with "
                f"op.init_state({lead}, dtype={dtype.name!r})"
            )
        return ring, position

    def __repr__(self):
        if self.table is None:
            return f"Delayed({self.op!r}, delay={self.common})"
        try:
            slots, bits = self.table.slots, 8 * self.table.codes.dtype.itemsize
            delays = f"delay=per synapse[below {slots}, in {bits} bits with the post]"
            return f"Delayed({self.op!r}, {delays}, nbytes={self.nbytes})"
        except AttributeError:  # leaves that are no arrays have no sizes
            return f"Delayed({self.op!r}, delay=per synapse)"


def _shape_of(op) -> tuple[int, ...]:
    """Of one number per synapse, as weights have it."""
    return (op.in_size, op.out_size) if op.rows is None else (op.rows.n_synapses,)


def _synapses_of(op):
    return op.rows if op.rows is not None else (op.in_size, op.out_size)


def _delays(call: str, op, delay) -> tuple[int | None, np.ndarray | None]:
    """(steps, None) for one delay, else (None, one for each synapse)."""
    untraced(call, "delay", delay)
    if callable(delay):
        _check_stored(call, op)
        if op.seed is None:
            raise TypeError(
                f"{call}: an initialiser needs the operator's seed, which is not known after a JAX transformation has "
                "made its arrays anew; pass the delays themselves"
            )
        shape = _shape_of(op)
        form = f"an int, an array of int or an initialiser f(key, shape, dtype) for shape {shape}"
        dtype = jnp.dtype(jnp.int32)
        # Also inside jit the delays are numbers: the size of the ring depends on them, and the key on nothing traced.
        with jax.ensure_compile_time_eval():
            key = jax.random.fold_in(jax.random.key(op.seed), 1)  # the key itself makes the weights
            made = applied(call, "delay", delay, form, lambda: delay(key, shape, dtype))
        return _delays(f"{call}: the initialiser", op, made)
    no_column(call, op, delay)
    delays = whole_steps(call, delay)
    if delays.ndim:
        _check_stored(call, op)
        delays = op._per_synapse(call, delays)
        if delays.shape != _shape_of(op):
            raise ValueError(
                f"{call}: delays of shape {delays.shape} do not fit; use one number or shape {_shape_of(op)}"
                + (" (one per synapse, in (pre, post) order)" if op.rows is not None else "")
            )
    if delays.size == 0:
        return 0, None
    shortest, longest = int(delays.min()), int(delays.max())
    # An array of one number over and over is one number, which is cheaper.
    if shortest == longest:
        return longest, None
    return None, delays.reshape(-1)


def _check_stored(call: str, op) -> None:
    if op._procedural:
        raise ValueError(
            f"{call}: storage='procedural' stores no synapses that could have delays of their own; pass one delay, "
            "or use storage='sparse'"
        )
    for leaf in jax.tree.leaves(op.rows):
        untraced(call, "op's graph", leaf)
