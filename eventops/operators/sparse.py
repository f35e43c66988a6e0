"""Connectivity that is given: a sparse or dense matrix, or a list of its entries."""

import jax.numpy as jnp
import numpy as np

from ..core.arguments import float_dtype
from ..core.messages import shown
from ..core.places import placed
from ..rows import entries
from ..rows.building import Built, build, check_sizes
from ..rows.csr import Rows
from .arguments import common, weight_array
from .operator import Operator

_SUM, _KEEP = "sum", "keep"


class EventSparse(Operator):
    """Event-driven product with connections of your own: a connectome, or what another program drew.

    Parameters
    ----------
    matrix : matrix or tuple
        Of shape (in_size, out_size), pre neurons by post neurons, in one of these forms:

        * a ``scipy.sparse`` matrix or array of any format. Its entries are the synapses, stored zeros included
          (but not the filling of ``bsr`` and ``dia``).
        * a ``jax.experimental.sparse.BCOO`` or ``BCSR`` without batch or dense dimensions. Padding, which has
          indices outside the shape, is left out.
        * ``(pre, post, weight)``: two vectors of integers and a vector of weights, or one number. ``(pre, post)``
          if ``conn_weight`` is given.
        * a dense 2-D array. Its elements that are not zero are the synapses.

        Entries may be in any order. They are copied.
    conn_weight : number or callable, optional
        In place of the entries' values: a scalar (one number is stored), or an initialiser
        ``f(key, shape, dtype)`` as in ``jax.nn.initializers`` for weights of shape (n_synapses,).
    shape : tuple of int, optional
        (in_size, out_size). Needed with ``(pre, post, weight)``; else it must be the matrix's.
    duplicates : {'sum', 'keep'}
        What several entries of one pair are. 'sum': one synapse, whose weight is their sum, as
        ``scipy.sparse`` and ``BCOO`` read them; of an initialiser each pair gets one weight. 'keep': as many
        synapses (multapses) with weights of their own, in the entries' order. The matrix is the same.
    seed : int
        Makes the key that an initialiser gets.
    float_as_event : bool
        Count every nonzero input as one event instead of by its value. The derivative with respect to the
        input stays that of the value, so that a surrogate gradient passes.
    dtype : dtype, optional
        Of the stored weights: float16, bfloat16, float32 or float64. By default that of floating entries,
        else JAX's default, float32 or under ``jax_enable_x64`` float64.
    backend : {None, 'cpu', 'reference'}
        None takes the default of the device that the call runs on. A backend that is named runs or raises.

    Raises
    ------
    TypeError, ValueError
        If the matrix or another parameter is unusable; the message says what to pass. Indices are checked
        here, once.
    RuntimeError
        If the backend cannot run here.

    Notes
    -----
    Synapses are stored like those of the random operators, sorted by (pre, post), 2 bytes each plus their
    weights; ``with_weight``, delays and traces take that order, and :meth:`entry_order` takes them there from the
    order of the entries, and back. Delays in that order: :meth:`eventops.Delayed.from_entries`. One number stays one
    number, unless it is summed over repeated pairs. Sums of repeated entries are made in float64, in their order, from entries rounded to ``dtype``.

    A counting sort by pre neuron and tile, then a stable sort of each segment (Knuth 1998, sections 5.2 and
    5.2.5), in native code on all processors; rows that are sorted already are only copied. Beside the result
    it takes no memory that grows with the entries, except where repeated entries are summed: then the
    synapses before the sum.

    A silent neuron's weights are not read: a nan or inf among them does not reach the output. Products are
    summed in float32 (float64 for float64 weights) in ascending order of the inputs, so a result is bitwise
    reproducible for any number of threads. Where rows are stored, events of 1 with one weight are counted, and the
    weight is multiplied once.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> pre, post = [0, 2, 2, 0], [1, 0, 1, 1]
    >>> op = nn.EventSparse((pre, post, [1.0, 2.0, 3.0, 4.0]), shape=(3, 2))
    >>> op(jnp.array([True, False, True])).tolist()
    [2.0, 8.0]
    >>> op
    EventSparse(3, 2, weight=float32[3], n_synapses=3, nbytes=34)
    """

    _arrays = ("weight", "rows")

    def __init__(
        self,
        matrix,
        conn_weight=None,
        *,
        shape=None,
        duplicates=_SUM,
        seed=0,
        float_as_event=False,
        dtype=None,
        backend=None,
    ):
        call = type(self).__name__
        if duplicates not in (_SUM, _KEEP):
            raise ValueError(f"{call}: duplicates={shown(duplicates)} must be 'sum' or 'keep'")
        given, values = entries.read(call, matrix, shape)
        self._set(**common(call, given.n_in, given.n_out, seed, float_as_event, backend))
        values, weight = _values_or_weight(call, values, conn_weight)
        stored = float_dtype(call, dtype, None if values is None else values.dtype)
        check_sizes(call, self.in_size, self.out_size, given.n)
        built = build(given, values, stored, summed=duplicates == _SUM)
        if values is not None:
            weight = placed(built.values)
        elif built.counts is not None and not callable(weight):
            weight = _times(weight_array(call, weight, (), dtype, self.seed), built.counts)
        self._store(call, rows_of(built, self.in_size, self.out_size), weight, dtype)


def _values_or_weight(call, values, conn_weight):
    """A value for each entry, or what weights are made from."""
    if conn_weight is None:
        if values is None:
            raise ValueError(
                f"{call}: (pre, post) without weights; pass (pre, post, weight), or a number or an initialiser as "
                "conn_weight"
            )
        return (values, None) if np.ndim(values) else (None, values)
    if not callable(conn_weight) and np.ndim(conn_weight):
        raise ValueError(
            f"{call}: conn_weight of shape {np.shape(conn_weight)} must be one number or an initialiser; pass the "
            "weights of entries with them, (pre, post, weight)"
        )
    return None, conn_weight


def _times(weight, counts):
    """One weight for each synapse: the sum of the entries of its pair, all of which have this one."""
    wide = jnp.float64 if weight.dtype == jnp.float64 else jnp.float32
    return (weight.astype(wide) * placed(counts).astype(wide)).astype(weight.dtype)


def rows_of(built: Built, n_in: int, n_out: int, where=None) -> Rows:
    """The rows that were built, in the place that :func:`eventops.core.places.of` gives."""
    return Rows(placed(built.ptr, where), placed(built.offsets, where), n_in, n_out, built.tile)


def sparse_operator(like: Operator, rows: Rows, weight) -> EventSparse:
    """With these arrays, and else what ``like`` has."""
    op = object.__new__(EventSparse)
    kept = {name: getattr(like, name) for name in ("seed", "float_as_event", "backend")}
    op._set(in_size=rows.n_in, out_size=rows.n_out, rows=rows, weight=weight, **kept)
    op._remember()
    return op
