"""What all operators are: immutable pytrees with a weight, called on spikes."""

from operator import attrgetter

import jax
import jax.numpy as jnp

from ..backends.reference import combine
from ..core import places
from ..core.arguments import spike_array, unit_events
from ..core.memory import check_room
from ..core.messages import weights_shown
from ..graphs import drawing
from ..graphs.quantiles import Quantiles
from ..graphs.weights import Law
from ..primitives.products import event_product
from ..rows.csr import Rows
from ..rows.entry_order import Ordered, no_column
from .arguments import weight_array
from .facts import Facts
from .plasticity import Plastic
from .storage import PROCEDURAL, SPARSE, check_storage, check_weight


class Operator(Plastic, Ordered):
    """Base of the operators: a frozen pytree whose leaves are arrays and whose rest is static.

    A subclass lists its array attributes in ``_arrays``, what programs depend on in ``_static``, and in ``_facts``
    what it was made from, which is None where a JAX transformation has made other arrays of its own.
    """

    _arrays: tuple[str, ...] = ("weight",)
    _static: tuple[str, ...] = ("in_size", "out_size", "float_as_event", "backend", "facts")
    _facts: tuple[str, ...] = ("seed",)
    facts = Facts()
    seed: int | None = None
    rows: Rows | None = None
    drawn: drawing.Graph | None = None  # on every call
    stored: drawing.Graph | None = None  # that the rows are of
    law: Quantiles | None = None  # of weights that are generated on every call

    def __init_subclass__(cls):
        super().__init_subclass__()
        arrays, static = _getter(cls._arrays), _getter(cls._static)
        keys = [jax.tree_util.GetAttrKey(name) for name in cls._arrays]
        jax.tree_util.register_pytree_with_keys(
            cls,
            lambda op: (list(zip(keys, arrays(op))), static(op)),
            cls._unflatten,
            lambda op: (arrays(op), static(op)),
        )

    @classmethod
    def _unflatten(cls, static, arrays):
        self = object.__new__(cls)
        self.__dict__.update(zip(cls._static, static), **dict(zip(cls._arrays, arrays)))
        if cls._facts:
            self.__dict__.update(self.facts.of(self._own_array()))
        if self.drawn is not None:
            self._set(seed=self.drawn.seed)
        return self

    def _own_array(self):
        """The array that the facts belong to: one of the graph, or of a dense operator the weight."""
        return self.weight if self.rows is None else getattr(self.rows, "offsets", None)

    def _remember(self, shared=None):
        """Keep the facts with an array of this operator; not with one that others with other facts may have."""
        values = {name: self.__dict__[name] for name in self._facts if name in self.__dict__}
        array = self._own_array()
        self._set(facts=Facts(values, None if array is shared else array))

    def __setstate__(self, state):
        graph = state.get("graph")  # pickled by 0.1.0, which had one name for both
        self.__dict__.update(state)
        if graph is not None:
            del self.__dict__["graph"]
            self._set(**{"drawn" if state.get("rows") is None else "stored": graph})
        if self._facts:
            self._remember(shared=self.weight)

    @property
    def graph(self) -> drawing.Graph | None:
        """What determines the connections, as far as it is known; None if they were given."""
        return self.drawn if self.stored is None else self.stored

    def _set(self, **attributes):
        self.__dict__.update(attributes)

    def __setattr__(self, name, value):
        raise AttributeError(
            f"{type(self).__name__} is immutable: cannot set {name!r}. Use with_weight(w) for other "
            "weights, or make a new operator"
        )

    def __delattr__(self, name):
        raise AttributeError(f"{type(self).__name__} is immutable: cannot delete {name!r}")

    @property
    def dtype(self):
        """Dtype of the stored weights."""
        return self.weight.dtype

    @property
    def n_synapses(self) -> int:
        """Number of connections."""
        if self.rows is not None:
            return self.rows.n_synapses
        if self.drawn is not None:
            return drawing.n_synapses(self.drawn)
        return self.in_size * self.out_size

    @property
    def nbytes(self) -> int:
        """Bytes stored: weights and, for sparse operators, the rows."""
        stored = 0 if self.rows is None else self.rows.nbytes
        return stored + self.weight.size * self.weight.dtype.itemsize

    def todense(self) -> jax.Array:
        """The matrix, shape (in_size, out_size), in the weights' dtype. MemoryError if it cannot fit."""
        if self.weight.shape != (self.in_size, self.out_size):  # which is the matrix
            self._check_room_for_matrix()
        rows = self.connections()
        if rows is None:
            return jnp.broadcast_to(self.weight, (self.in_size, self.out_size))
        return places.moved(rows.todense(self._weights(rows)), places.of(self.weight))

    def _check_room_for_matrix(self, copies=1):
        check_room(
            f"{type(self).__name__}.todense",
            f"a matrix of {self.in_size} x {self.out_size} weights"
            + f" for each of {copies} delays" * (copies > 1),
            int(copies * self.in_size * self.out_size * self.dtype.itemsize),
            "use to_scipy() or to_bcoo(), or take some of the neurons, op[pre, post].todense()",
            self.weight,
        )

    def to_scipy(self):
        """The matrix as ``scipy.sparse.csr_array``, one entry for each synapse (repeated pairs repeatedly).

        Returns
        -------
        scipy.sparse.csr_array, shape (in_size, out_size)
            On the host, rows sorted. Of the weights' dtype, float32 for float16 and bfloat16, which scipy has
            not. Of a dense operator the weights that are not zero; of one with delays all synapses, without them.

        Raises
        ------
        ImportError
            If scipy is not installed.
        TypeError
            If the connections or the weights are traced.

        Examples
        --------
        >>> import eventops as nn
        >>> op = nn.EventFixedNumConn(4, 6, 2, 0.5)
        >>> op.to_scipy().sum()
        np.float32(4.0)
        """
        from . import convert

        return convert.to_scipy(self)

    def to_bcoo(self):
        """The matrix as ``jax.experimental.sparse.BCOO``, one entry for each synapse, sorted.

        Returns
        -------
        jax.experimental.sparse.BCOO, shape (in_size, out_size)
            Of the weights' dtype; differentiable with respect to them. Of a dense operator the weights that
            are not zero; of one with delays all synapses, without them.

        Raises
        ------
        TypeError
            If a dense operator is traced: the number of its entries is not known.

        Examples
        --------
        >>> import eventops as nn
        >>> nn.EventFixedNumConn(4, 6, 2, 0.5).to_bcoo().nse
        8
        """
        from . import convert

        return convert.to_bcoo(self)

    @property
    def T(self):
        """The transposed operator: from the post neurons to the pre neurons, with the same weights.

        An :class:`eventops.EventSparse`, or of a dense operator one of the same class. The graph is sorted anew
        and stored; weights may be traced, so that gradients pass. Delays stay with their synapses.

        Examples
        --------
        >>> import jax.numpy as jnp, eventops as nn
        >>> op = nn.EventFixedNumConn(4, 6, 2, 0.5)
        >>> bool(jnp.all(op.T.todense() == op.todense().T))
        True
        """
        from . import convert

        return convert.transposed(self)

    def __getitem__(self, key):
        """Some of the neurons: ``op[pre]``, ``op[:, post]``, ``op[pre, post]``, as of the matrix.

        Parameters
        ----------
        key : slice, array of int or array of bool; or a pair of these
            Neurons in any order, some repeatedly. Two arrays are written ``op[numpy.ix_(pre, post)]``.

        Returns
        -------
        EventSparse, or EventLinear of a dense operator
            The sizes are the numbers of chosen neurons. Weights may be traced, so that gradients pass. With delays
            a :class:`eventops.Delayed` of it: they stay with their synapses.

        Raises
        ------
        TypeError, IndexError
            If the key is one number or traced, or a neuron does not exist.

        Examples
        --------
        >>> import eventops as nn
        >>> op = nn.EventFixedNumConn(4, 6, 2, 0.5)
        >>> op[1:3].n_synapses
        4
        """
        from . import convert

        return convert.selected(self, key)

    __iter__ = None  # an operator is no sequence of its rows
    __array_ufunc__ = None  # so that NumPy asks __rmatmul__

    def __matmul__(self, other):
        raise TypeError(
            f"{type(self).__name__}: an operator has no product @; call op(spikes), which is spikes @ matrix, or "
            "op.T(x), which is matrix @ x"
        )

    __rmatmul__ = __matmul__

    def connections(self) -> Rows | None:
        """The synapses: those that are stored, or for procedural storage drawn now. None if dense."""
        if self.drawn is not None:
            rows = drawing.draw(self.drawn, type(self).__name__)
            return places.moved(rows, places.of(self.weight))
        return self.rows

    @property
    def _procedural(self) -> bool:
        return self.drawn is not None

    def _weights(self, rows: Rows) -> jax.Array:
        """The weights of all synapses, which are in ``rows``; one number if homogeneous."""
        if self.law is None:
            return self.weight
        return generated_weights(self.graph, self.law, rows, self.weight)

    def _weight_shape(self) -> tuple[int, ...]:
        """Shape of weights that are not homogeneous."""
        if self._procedural:
            return () if self.law is None else (2,)
        return (self.in_size, self.out_size) if self.rows is None else (self.rows.n_synapses,)

    def with_weight(self, weight):
        """The same connectivity with other weights.

        Parameters
        ----------
        weight : array or law
            Shape () for homogeneous weights, else (in_size, out_size) for dense operators and
            (n_synapses,), in (pre, post) order (see :meth:`entry_order`), for sparse ones. Floating; numbers that are not arrays
            take the present dtype. Or a law of :mod:`eventops.weights`, for an operator that draws its graph; where
            weights are generated, an array of shape (2,) has another location and scale of the same law.

        Returns
        -------
        operator
            Of the same class. The arrays of the graph are shared, not copied.

        Examples
        --------
        Differentiate with respect to the weights:

        >>> import jax, jax.numpy as jnp, eventops as nn
        >>> op = nn.EventFixedNumConn(4, 6, 2, 0.5)
        >>> spikes = jnp.array([True, False, True, False])
        >>> float(jax.grad(lambda w: op.with_weight(w)(spikes).sum())(op.weight))
        4.0
        """
        call = f"{type(self).__name__}.with_weight"
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        if self._procedural:
            check_weight(call, PROCEDURAL, weight, self._weight_shape())
        dtype = None if hasattr(weight, "dtype") else self.dtype
        new._put_weight(call, weight, dtype)
        if not isinstance(weight, jax.Array):  # which its user has put somewhere
            new._set(weight=places.moved(new.weight, places.of(self)))
        return new

    def __call__(self, spikes):
        """Propagate spikes.

        Parameters
        ----------
        spikes : array, shape (..., in_size)
            Bool, integer or floating; any leading batch dimensions.

        Returns
        -------
        array, shape (..., out_size)
            Unit: that of the weights. The weights' dtype; for floating spikes the wider of the two.
        """
        spikes = spike_array(type(self).__name__, spikes, self.in_size)
        if self.float_as_event:
            spikes = unit_events(spikes)
        return self._product(spikes)

    def _store(self, call, graph, weight, dtype):
        """Make the arrays: the rows of ``graph`` (or rows; None for a dense operator), and the weight."""
        if isinstance(graph, Rows):
            self._set(rows=graph)
        elif graph is not None:
            check_storage(call, self.storage, graph.rule)
            check_weight(call, self.storage, weight)
            if self.storage == SPARSE:
                self._set(stored=graph, rows=drawing.draw(graph, call))
            else:
                self._set(drawn=graph, rows=None)
        self._put_weight(call, weight, dtype)

    def _per_synapse(self, call, values):
        """One value per synapse in (pre, post) order, where a subclass knows another form of them."""
        no_column(call, self, values)
        return values

    def _put_weight(self, call, weight, dtype):
        """Check and keep a weight: an array, or what one is made from."""
        weight = self._per_synapse(call, weight)
        given = weight
        if isinstance(weight, Law) and self.graph is None and "stored" in self._facts:
            raise TypeError(
                f"{call}: a law of weights needs the seed of the graph, which is not known after a JAX transformation "
                "has made the operator's arrays anew; use the operator as it was made, or pass an array"
            )
        if not isinstance(weight, Law) or self.graph is None:
            weight = weight_array(call, weight, self._weight_shape(), dtype, self.seed)
            if self.law is not None and weight.ndim == 0:
                self._set(law=None)
        else:
            parameters = weight_array(call, weight.parameters(), (2,), dtype, self.seed)
            if self._procedural:
                self._set(law=weight.quantiles)
                weight = parameters
            else:
                weight = generated_weights(self.graph, weight.quantiles, self.rows, parameters)
        self._set(weight=weight)
        self._remember(shared=given)

    def _product(self, spikes, rounded=True):
        """The product; not ``rounded`` to the result's dtype it is that of the accumulator."""
        shape = (self.in_size, self.out_size)
        connections = self.rows
        if self._procedural:
            law = self.law
            connections = self.drawn if law is None else drawing.Generated(self.drawn, law)
        return event_product(spikes, self.weight, shape, connections, self.backend, rounded)

    def _describe(self) -> list[str]:
        """Further ``name=value`` parts of the repr, where the graph is known."""
        return []

    def _n_synapses_text(self) -> str:
        if self._procedural and not self.drawn.counted:
            return f"about {self.drawn.expected_synapses():.0f}"  # to count them is to draw them
        return str(self.n_synapses)

    def __repr__(self):
        kind = None if self.law is None else f"{self.law.name}, generated"
        made = [] if self.graph is None else self._describe()
        parts = [str(self.in_size), str(self.out_size), *made]
        parts.append(f"weight={weights_shown(self.weight, kind)}")
        try:
            if self.rows is None or self.rows.offsets.ndim == 1:
                parts.append(f"n_synapses={self._n_synapses_text()}, nbytes={self.nbytes}")
        except AttributeError:
            pass  # leaves that are no arrays have no sizes
        if self.float_as_event:
            parts.append("float_as_event=True")
        if self.backend is not None:
            parts.append(f"backend={self.backend!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def generated_weights(graph, law: Quantiles, rows: Rows, parameters) -> jax.Array:
    """The weights of all synapses of a graph, in (pre, post) order; ``parameters`` are location and scale."""
    standard = drawing.standard_weights(drawing.Generated(graph, law), rows)
    return combine(parameters, standard, parameters.dtype)


def _getter(names):
    """What reads these attributes as a tuple, in C: each call of a jitted function flattens its operators."""
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda op: (read(op),)
