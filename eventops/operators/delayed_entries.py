"""Delays that are given with the entries of a list."""

import numpy as np

from ..core.arguments import untraced
from ..core.messages import shown
from ..rows.delay_table import whole_steps
from .sparse import EventSparse


class FromEntries:
    """The part of :class:`eventops.Delayed` that reads a list."""

    @classmethod
    def from_entries(
        cls,
        entries,
        conn_weight=None,
        *,
        shape=None,
        duplicates="sum",
        seed=0,
        float_as_event=False,
        dtype=None,
        backend=None,
    ):
        """An operator of a list of synapses, each with its delay: a connectome in the order of its file.

        Parameters
        ----------
        entries : tuple
            ``(pre, post, weight, delay)``: vectors of integers, weights (a vector or one number), and steps (a
            vector of integers or one). ``(pre, post, delay)`` if ``conn_weight`` is given. In any order.
        conn_weight : number or callable, optional
            See :class:`eventops.EventSparse`.
        shape, duplicates, seed, float_as_event, dtype, backend
            Of :class:`eventops.EventSparse`. With ``duplicates='sum'``, the default, entries of one pair become one
            synapse, which has one delay: theirs, which must be the same. With 'keep' each entry is a synapse
            with a delay of its own.

        Returns
        -------
        Delayed
            Of an :class:`eventops.EventSparse`; ``weight`` and ``delay`` are in (pre, post) order, and
            ``op.entry_order(pre, post).to_entries`` takes them back into that of the list.

        Raises
        ------
        TypeError, ValueError
            If the entries are unusable, or entries that are summed have several delays; the message says what to
            pass.

        Examples
        --------
        >>> import eventops as nn
        >>> pre, post, weight, delay = [1, 0, 1], [0, 1, 0], [0.5, 0.25, 1.0], [3, 2, 1]
        >>> op = nn.Delayed.from_entries((pre, post, weight, delay), shape=(2, 2), duplicates="keep")
        >>> op.weight.tolist(), op.delay.tolist()
        ([0.25, 0.5, 1.0], [2, 3, 1])
        """
        call = f"{cls.__name__}.from_entries"
        wanted = (
            ("pre", "post", "weight", "delay") if conn_weight is None else ("pre", "post", "delay")
        )
        if not isinstance(entries, tuple) or len(entries) != len(wanted):
            what = f"a tuple of {len(entries)}" if isinstance(entries, tuple) else shown(entries)
            raise TypeError(
                f"{call}: {what} must be ({', '.join(wanted)})"
                + ("; or (pre, post, delay) with conn_weight" if conn_weight is None else "")
            )
        *matrix, delay = entries
        untraced(call, "delay", delay)
        delay = whole_steps(call, delay)
        if delay.ndim and delay.shape != np.shape(entries[0]):
            raise ValueError(
                f"{call}: delays of shape {delay.shape} do not fit pre of shape {np.shape(entries[0])}; pass one for each "
                "entry, or one number"
            )
        options = dict(shape=shape, duplicates=duplicates, seed=seed, float_as_event=float_as_event)
        op = EventSparse(tuple(matrix), conn_weight, dtype=dtype, backend=backend, **options)
        if delay.ndim:
            order = op.entry_order(*matrix[:2])
            delay = order.same_for_each(call, "delays", delay)
        return cls(op, delay)
