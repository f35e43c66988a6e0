"""The order of a list of entries, in a file say, beside the (pre, post) order in which synapses are stored."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from ..core.arguments import untraced
from ..core.dtypes import accumulator
from ..core.messages import shown
from .building import build_order
from .csr import Rows
from .entries import pairs

_SAME, _SUM = "same", "sum"


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("entry", "synapse"),
    meta_fields=("n_entries", "n_synapses"),
)
@dataclasses.dataclass(frozen=True)
class EntryOrder:
    """Takes arrays with one value per entry of a list into the order of an operator's synapses, and back.

    Made by ``op.entry_order(pre, post)``. A pytree of two arrays of int32, which are on the host: it can be an argument
    of a jitted function.

    Attributes
    ----------
    entry : array of int32, shape (n_entries,)
        The entries' numbers, sorted by (pre, post), those of one pair in the order of the list: of each synapse
        the entry, where each entry is a synapse.
    synapse : array of int32, shape (n_entries,), or None
        Of each in ``entry`` the synapse that it is a part of; None where each entry is a synapse.
    n_entries, n_synapses : int

    Examples
    --------
    >>> import eventops as nn
    >>> pre, post = [2, 0, 0], [1, 1, 0]
    >>> op = nn.EventSparse((pre, post, [20.0, 1.0, 0.5]), shape=(3, 2))
    >>> order = op.entry_order(pre, post)
    >>> order.to_synapses([7, 8, 9]).tolist()
    [9, 8, 7]
    >>> order.to_entries(op.weight).tolist()
    [20.0, 1.0, 0.5]
    """

    entry: np.ndarray
    synapse: np.ndarray | None
    n_entries: int
    n_synapses: int

    def to_synapses(self, values, *, repeated=_SAME):
        """One value per synapse, in (pre, post) order, of one per entry.

        Parameters
        ----------
        values : array, shape (..., n_entries), or a number for all
            In the order of the list. An array of JAX's may be traced.
        repeated : {'same', 'sum'}
            What counts where several entries are one synapse. 'same': their value, which must be the same. 'sum':
            the sum, as of weights; of NumPy's arrays in float64, rounded once, as :class:`eventops.EventSparse`
            adds them.

        Returns
        -------
        array, shape (..., n_synapses)
            Of JAX if ``values`` is, else of NumPy.

        Raises
        ------
        TypeError, ValueError
            If the values do not fit, or are not the same for the entries of a synapse; the message says what to do.
        """
        call = "EntryOrder.to_synapses"
        if repeated not in (_SAME, _SUM):
            raise ValueError(f"{call}: repeated={shown(repeated)} must be 'same' or 'sum'")
        xp, values = self._given(call, values, self.n_entries, "entries")
        if self.synapse is not None and repeated == _SUM:
            return self._sums(xp, values[..., self.entry])
        return self.same_for_each(call, "values", values)

    def to_entries(self, values):
        """One value per entry, in the order of the list, of one per synapse.

        Parameters
        ----------
        values : array, shape (..., n_synapses), or a number for all
            In (pre, post) order: ``op.weight``, ``op.delay``, or what a learning rule kept. May be traced.

        Returns
        -------
        array, shape (..., n_entries)
            Of JAX if ``values`` is, else of NumPy. Where several entries are one synapse each has its value.
        """
        xp, values = self._given("EntryOrder.to_entries", values, self.n_synapses, "synapses")
        spread = values if self.synapse is None else values[..., self.synapse]
        if xp is np:
            out = np.empty_like(spread)
            out[..., self.entry] = spread
            return out
        return jnp.zeros_like(spread).at[..., self.entry].set(spread, unique_indices=True)

    def _given(self, call, values, n, what):
        """The module that has the array, and the array; or the error that says what to pass."""
        jaxs = isinstance(values, jax.Array) or isinstance(self.entry, jax.core.Tracer)
        xp = jnp if jaxs else np
        values = xp.asarray(values)
        if values.ndim == 0:  # one number for all
            return xp, xp.broadcast_to(values, (n,))
        if values.shape[-1] != n:
            raise ValueError(
                f"{call}: values of shape {values.shape} do not fit {n} {what}; the last axis must have length {n}"
            )
        return xp, values

    def _sums(self, xp, grouped):
        dtype, floating = grouped.dtype, jnp.issubdtype(grouped.dtype, jnp.floating)
        if xp is np:
            first = np.flatnonzero(np.diff(self.synapse, prepend=-1))
            wide = np.float64 if floating else np.int64
            sums = np.add.reduceat(grouped.astype(wide), first, axis=-1)
            return sums.astype(dtype) if floating else sums
        wide = accumulator(dtype) if floating else dtype
        zeros = jnp.zeros((*grouped.shape[:-1], self.n_synapses), wide)
        return zeros.at[..., self.synapse].add(grouped.astype(wide)).astype(dtype)

    def same_for_each(self, call, what, values):
        """The value of each synapse, where its entries have one; ``call`` and ``what`` are named in errors."""
        grouped = values[..., self.entry]
        if self.synapse is None:
            return grouped
        for array in (grouped, self.synapse):
            if isinstance(array, jax.core.Tracer):
                raise TypeError(
                    f"{call}: several entries are one synapse, and {what} are traced, so that nobody can see whether "
                    "theirs are the same; pass repeated='sum', or make the operator with duplicates='keep'"
                )
        first = np.flatnonzero(np.diff(self.synapse, prepend=-1))
        found = np.asarray(grouped)
        expected = found[..., first][..., self.synapse]
        both_nan = (found != found) & (expected != expected)
        differing = np.argwhere((found != expected) & ~both_nan)
        if differing.size:
            at = tuple(differing[0])
            one, two = int(self.entry[first[self.synapse[at[-1]]]]), int(self.entry[at[-1]])
            raise ValueError(
                f"{call}: entries {one} and {two} are of one pair and summed into one synapse, but their {what} are "
                f"{expected[at]} and {found[at]}; pass duplicates='keep' where the operator is made: a synapse for each "
                "entry"
            )
        return grouped[..., first]


def no_column(call: str, op, values) -> None:
    """Raise where values per synapse are a column of a table: that has the order of the table."""
    if op.rows is not None and type(values).__name__ == "Series":  # of pandas or polars
        raise TypeError(
            f"{call}: a column of a table has the order of its lines, and synapses have (pre, post) order; pass "
            "op.entry_order(pre, post).to_synapses(column), or column.to_numpy() if the lines have that order"
        )


class Ordered:
    """The part of an operator that knows other orders of its synapses."""

    def entry_order(self, pre, post) -> EntryOrder:
        """Where the entries of a list are among the synapses: for weights, delays and traces in the list's order.

        Synapses are stored in (pre, post) order, and every array with one number per synapse has that order. This
        sorts the list once more, and keeps nothing in the operator.

        Parameters
        ----------
        pre, post : array of int, shape (n_entries,)
            The list, in its own order: those that :class:`eventops.EventSparse` was given, or any list of just
            the synapses of this operator.

        Returns
        -------
        EntryOrder
            ``order.to_synapses(per_entry)`` and ``order.to_entries(per_synapse)``; 4 bytes per entry, 8 where
            entries were summed.

        Raises
        ------
        TypeError, ValueError
            If the list has other pairs than the operator, or the operator stores no synapses.

        Examples
        --------
        >>> import eventops as nn
        >>> pre, post, delay = [1, 0, 1], [0, 1, 0], [3, 2, 1]
        >>> op = nn.EventSparse((pre, post, 0.5), shape=(2, 2), duplicates="keep")
        >>> nn.Delayed(op, op.entry_order(pre, post).to_synapses(delay)).delay.tolist()
        [2, 3, 1]
        """
        call = f"{type(self).__name__}.entry_order"
        if hasattr(self, "layout"):
            raise TypeError(
                f"{call}: the synapses of a sharded operator are spread over devices; use op.gathered()"
            )
        rows = getattr(self, "op", self).rows
        if rows is None:
            why = (
                "storage='procedural' stores no synapses; use storage='sparse'"
                if self.connections() is not None
                else "a dense operator has a weight for each pair; take them from the matrix, weight[pre, post]"
            )
            raise TypeError(f"{call}: {why}")
        untraced(call, "the operator", rows.ptr)
        return _order(call, rows, pre, post)


def _order(call: str, rows: Rows, pre, post) -> EntryOrder:
    given = pairs(call, pre, post, (rows.n_in, rows.n_out))
    built = build_order(given, tile=rows.tile)
    ptr, offsets = np.asarray(rows.ptr), np.asarray(rows.offsets)
    if np.array_equal(built.ptr, ptr) and np.array_equal(built.offsets, offsets):
        return EntryOrder(built.values, None, given.n, rows.n_synapses)
    # Whether an entry is the first of its pair: in its segment, or of its place there.
    first = np.append(True, built.offsets[1:] != built.offsets[:-1])[: given.n]
    first[built.ptr[:-1][built.ptr[:-1] < given.n]] = True
    ends = np.append(0, np.cumsum(first, dtype=np.int32))
    if np.array_equal(ends[built.ptr], ptr) and np.array_equal(built.offsets[first], offsets):
        return EntryOrder(built.values, ends[1:] - 1, given.n, rows.n_synapses)
    raise ValueError(
        f"{call}: {given.n} entries of {int(first.sum())} pairs are not the {rows.n_synapses} synapses of this operator; "
        "pass the pre and post neurons of all its synapses, in your order"
    )
