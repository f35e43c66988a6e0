"""What all operators are: immutable pytrees with a weight, called on spikes."""

import math
import operator as _operator

import jax
import jax.numpy as jnp
import numpy as np

from . import backends, random
from .csr import Rows
from .plasticity import Plastic
from .products import event_product
from .storage import PROCEDURAL, SPARSE, check_storage, check_weight


class Operator(Plastic):
    """Base of the operators: a frozen pytree whose leaves are arrays and whose rest is static.

    A subclass lists its array attributes in ``_arrays`` and everything else in ``_static``.
    """

    _arrays: tuple[str, ...] = ("weight",)
    _static: tuple[str, ...] = ("in_size", "out_size", "seed", "float_as_event", "backend")
    rows: Rows | None = None
    graph: random.Graph | None = None

    def __init_subclass__(cls):
        super().__init_subclass__()
        jax.tree_util.register_pytree_with_keys(cls, _flatten_with_keys, cls._unflatten, _flatten)

    @classmethod
    def _unflatten(cls, static, arrays):
        self = object.__new__(cls)
        self.__dict__.update(zip(cls._static, static), **dict(zip(cls._arrays, arrays)))
        return self

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
        if self.graph is not None:
            return random.n_synapses(self.graph)
        return self.in_size * self.out_size

    @property
    def nbytes(self) -> int:
        """Bytes stored: weights and, for sparse operators, the rows."""
        stored = 0 if self.rows is None else self.rows.nbytes
        return stored + self.weight.size * self.weight.dtype.itemsize

    def todense(self) -> jax.Array:
        """The matrix, shape (in_size, out_size), in the weights' dtype."""
        rows = self.connections()
        if rows is None:
            return jnp.broadcast_to(self.weight, (self.in_size, self.out_size))
        return rows.todense(self.weight)

    def to_scipy(self):
        """The matrix as ``scipy.sparse.csr_array``, one entry for each synapse (repeated pairs repeatedly).

        Returns
        -------
        scipy.sparse.csr_array, shape (in_size, out_size)
            On the host, rows sorted. Of the weights' dtype, float32 for float16 and bfloat16, which scipy has
            not. Of a dense operator the weights that are not zero.

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
            are not zero.

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
        and stored; weights may be traced, so that gradients pass.

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
            The sizes are the numbers of chosen neurons. Weights may be traced, so that gradients pass.

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

    def connections(self) -> Rows | None:
        """The synapses: those that are stored, or for procedural storage drawn now. None if dense."""
        if self.rows is None and self.graph is not None:
            return random.draw(self.graph, type(self).__name__)
        return self.rows

    @property
    def _procedural(self) -> bool:
        return self.graph is not None and self.rows is None

    def _weight_shape(self) -> tuple[int, ...]:
        """Shape of weights that are not homogeneous."""
        if self._procedural:
            return ()
        return (self.in_size, self.out_size) if self.rows is None else (self.rows.n_synapses,)

    def with_weight(self, weight):
        """The same connectivity with other weights.

        Parameters
        ----------
        weight : array
            Shape () for homogeneous weights, else (in_size, out_size) for dense operators and
            (n_synapses,), in (pre, post) order, for sparse ones. Floating; numbers that are not arrays
            take the present dtype.

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
            check_weight(call, PROCEDURAL, weight)
        dtype = None if hasattr(weight, "dtype") else self.dtype
        new._set(weight=weight_array(call, weight, self._weight_shape(), dtype, self.seed))
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
            sparse = self.storage == SPARSE
            self._set(graph=graph, rows=random.draw(graph, call) if sparse else None)
        self._set(weight=weight_array(call, weight, self._weight_shape(), dtype, self.seed))

    def _product(self, spikes, rounded=True):
        """The product; not ``rounded`` to the result's dtype it is that of the accumulator."""
        shape = (self.in_size, self.out_size)
        connections = self.graph if self._procedural else self.rows
        return event_product(spikes, self.weight, shape, connections, self.backend, rounded)

    def _describe(self) -> list[str]:
        """Further ``name=value`` parts of the repr."""
        return []

    def _n_synapses_text(self) -> str:
        if self._procedural and not self.graph.counted:
            return f"about {self.graph.expected_synapses():.0f}"  # to count them is to draw them
        return str(self.n_synapses)

    def __repr__(self):
        weight = self.weight
        if not hasattr(weight, "dtype"):  # while JAX moves placeholders through the tree
            return f"{type(self).__name__}({self.in_size}, {self.out_size}, weight={weight!r})"
        kind = "homogeneous" if weight.ndim == 0 else "x".join(map(str, weight.shape))
        parts = [str(self.in_size), str(self.out_size), *self._describe()]
        parts.append(f"weight={weight.dtype}[{kind}]")
        # A tree whose arrays were mapped to something else still has a repr.
        if self.rows is None or getattr(self.rows.offsets, "ndim", 0) == 1:
            parts.append(f"n_synapses={self._n_synapses_text()}, nbytes={self.nbytes}")
        if self.float_as_event:
            parts.append("float_as_event=True")
        if self.backend is not None:
            parts.append(f"backend={self.backend!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _flatten(op):
    return (
        [op.__dict__[name] for name in op._arrays],
        tuple(op.__dict__[name] for name in op._static),
    )


def _flatten_with_keys(op):
    arrays, static = _flatten(op)
    return [(jax.tree_util.GetAttrKey(n), a) for n, a in zip(op._arrays, arrays)], static


@jax.custom_jvp
def unit_events(spikes):
    """1 for every nonzero spike, in the spikes' dtype.

    The derivative is that of the spikes' value: a surrogate gradient of the spikes passes through.
    """
    return spikes if spikes.dtype == jnp.bool_ else (spikes != 0).astype(spikes.dtype)


@unit_events.defjvp
def _unit_events_jvp(primals, tangents):
    return unit_events(*primals), tangents[0]


def spike_array(call: str, spikes, in_size: int) -> jax.Array:
    """Spikes as an array whose last axis is the pre neurons, or an error that says what is wrong."""
    spikes = _as_array(call, "spikes", spikes)
    whole = spikes.dtype == jnp.bool_ or jnp.issubdtype(spikes.dtype, jnp.integer)
    if not whole and spikes.dtype.name not in _FLOATS:
        raise TypeError(
            f"{call}: spikes must be bool, integer or floating ({', '.join(_FLOATS)}), not {spikes.dtype}"
        )
    if spikes.ndim == 0 or spikes.shape[-1] != in_size:
        raise ValueError(
            f"{call}: spikes of shape {spikes.shape} do not fit in_size={in_size}; "
            f"the last axis must have length {in_size}"
        )
    return spikes


def size(call: str, name: str, value) -> int:
    """A population size: a non-negative integer that 32-bit indices can number."""
    if isinstance(value, (tuple, list)):
        raise TypeError(
            f"{call}: {name}={value!r} must be one number of neurons; "
            f"flatten the population, math.prod({value!r}) neurons"
        )
    value = static_int(call, name, value)
    if not 0 <= value < 2**31:
        raise ValueError(f"{call}: {name}={value} must be in [0, 2**31)")
    return value


# A process can address 2**48 bytes at most, so not as many weights either.
_MOST_WEIGHTS = 2**48
# What kernels know; other floating types must be converted by the caller.
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def _as_array(call: str, name: str, value) -> jax.Array:
    if value is not None:
        try:
            return jnp.asarray(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{call}: {name}={value!r} must be a number or an array of numbers")


def _as_dtype(call: str, dtype):
    try:
        return jnp.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"{call}: dtype={dtype!r} is not a dtype; use float16, bfloat16, float32 or float64"
        ) from None


def float_dtype(call: str, dtype, given) -> np.dtype:
    """What values of dtype ``given`` are stored in: ``dtype``, or if that is None their own or float32."""
    if dtype is not None:
        dtype = _as_dtype(call, dtype)
    elif given is not None and jnp.issubdtype(given, jnp.floating):
        dtype = jax.dtypes.canonicalize_dtype(given)
    else:
        dtype = jnp.dtype(jnp.float32)
    check_dtype(call, dtype)
    return dtype


def untraced(call: str, name: str, value) -> None:
    """Raise where a value that determines shapes or the graph is traced."""
    if isinstance(value, jax.core.Tracer):
        raise TypeError(
            f"{call}: {name} is traced by a JAX transformation, but it determines shapes or the graph; "
            "make the operator outside, or mark the argument static"
        )


def flag(call: str, name: str, value) -> bool:
    """A static truth value."""
    untraced(call, name, value)
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{call}: {name}={value!r} must be True or False")
    return bool(value)


def no_autapses(call: str, allow_self_conn, in_size, out_size) -> bool:
    """The checked ``allow_self_conn``; without autapses both sides must be the same neurons."""
    allow_self_conn = flag(call, "allow_self_conn", allow_self_conn)
    if not allow_self_conn and in_size != out_size:
        raise ValueError(
            f"{call}: allow_self_conn=False needs in_size == out_size, not {in_size} and {out_size}"
        )
    return allow_self_conn


def static_int(call: str, name: str, value) -> int:
    """A Python integer, or an error where the value is traced or not an integer."""
    untraced(call, name, value)
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{call}: {name}={value!r} must be an integer, not a bool")
    try:
        return _operator.index(value)
    except TypeError:
        raise TypeError(
            f"{call}: {name}={value!r} must be an integer, not {type(value).__name__}"
        ) from None


def seed_value(call: str, seed) -> int:
    """A seed of the graph generator."""
    seed = static_int(call, "seed", seed)
    if not 0 <= seed < 2**63:
        raise ValueError(f"{call}: seed={seed} must be in [0, 2**63)")
    return seed


def weight_array(call: str, weight, shape: tuple[int, ...], dtype, seed: int) -> jax.Array:
    """Weights from a number, an array or an initialiser.

    Parameters
    ----------
    call : str
        Named in errors.
    weight : number, array or callable
        A callable is an initialiser ``f(key, shape, dtype)`` as in ``jax.nn.initializers``; its key is made
        from ``seed``.
    shape : tuple of int
        The shape of weights that are not homogeneous.
    dtype : dtype or None
        None keeps the dtype of a floating array and is the default float otherwise.
    """
    if dtype is not None:
        dtype = _as_dtype(call, dtype)
        check_dtype(call, dtype)
    if callable(weight):
        if math.prod(shape) >= _MOST_WEIGHTS:
            raise ValueError(
                f"{call}: {' x '.join(map(str, shape))} weights are more than can be addressed; "
                "use smaller sizes or a sparse operator"
            )
        made = weight(jax.random.key(seed), shape, dtype or jnp.dtype(jnp.float32))
        return weight_array(f"{call}: the initialiser", made, shape, dtype, seed)
    weight = _as_array(call, "weight", weight)
    if dtype is None:
        floating = jnp.issubdtype(weight.dtype, jnp.floating)
        strong = floating and not weight.weak_type
        dtype = weight.dtype if strong else jnp.dtype(jnp.float32)
    check_dtype(call, dtype)
    if jnp.issubdtype(weight.dtype, jnp.complexfloating):
        raise TypeError(f"{call}: weights must be real, not {weight.dtype}")
    if weight.shape not in ((), shape):
        raise ValueError(
            f"{call}: a weight of shape {weight.shape} does not fit; use a scalar "
            f"or shape {shape}" + (f" ({math.prod(shape)} synapses)" if len(shape) == 1 else "")
        )
    return jax.lax.convert_element_type(weight, dtype)


def check_dtype(call: str, dtype) -> None:
    """Only the storage types that kernels know."""
    if dtype.name not in _FLOATS:
        raise TypeError(
            f"{call}: weights of dtype {dtype} are not supported; use {', '.join(_FLOATS)}"
        )
    if dtype.name == "float64" and not jax.config.jax_enable_x64:
        raise TypeError(f"{call}: float64 weights need jax.config.update('jax_enable_x64', True)")


def common(call: str, in_size, out_size, seed, float_as_event, backend) -> dict:
    """The checked static attributes that every operator has."""
    return dict(
        in_size=size(call, "in_size", in_size),
        out_size=size(call, "out_size", out_size),
        seed=seed_value(call, seed),
        float_as_event=flag(call, "float_as_event", float_as_event),
        backend=backends.check(call, backend),
    )
