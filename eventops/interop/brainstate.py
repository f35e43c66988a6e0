"""The operators as modules of BrainState: a model changes its import and nothing else.

``pip install "eventops[brainstate]"``, then ``import eventops.brainstate as nn`` where a model said
``brainstate.nn``: ``EventLinear``, ``EventFixedProb``, ``FixedNumConn`` and ``EventFixedNumConn`` take BrainState's
arguments, hold their weights in a ``ParamState``, and take and give physical units. What they compute is that of
the operators of `eventops`; ``docs/from-brainstate.md`` says where that differs from BrainState, and why.
"""

import math

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core.messages import weights_shown
from ..operators import fixed_num, fixed_prob, linear
from .brainstate_drive import PoissonInput, PoissonSpikes

__all__ = [
    "EventFixedNumConn",
    "EventFixedProb",
    "EventLinear",
    "FixedNumConn",
    "PoissonInput",
    "PoissonSpikes",
]


class _Module(brainstate.nn.Module):
    """An operator whose weights are a state, and whose connectivity is another one.

    The connectivity is a state too, so that it is an argument of the programs that BrainState compiles and not a
    constant in them. It is a ``LongTermState``: gradients and ``init_all_states`` leave it alone.
    """

    def _hold(self, make, weight, param_type) -> None:
        """Make the operator with a weight of 1, then the real weights, since these may have to be drawn."""
        op = make(1.0)
        self.in_size, self.out_size = op.in_size, op.out_size
        weight = _given(f"{type(self).__name__}: conn_weight", weight, op)
        op = op.with_weight(u.get_mantissa(weight))
        self.weight = param_type(u.maybe_decimal(op.weight * u.get_unit(weight)))
        known = op if op.law is not None else op.with_weight(1.0)  # a law needs its two numbers
        arrays, self._structure = jax.tree.flatten(known)
        self._connectivity = brainstate.LongTermState(tuple(arrays))

    @property
    def op(self):
        """The operator of `eventops`, with the present weights as plain numbers."""
        op = jax.tree.unflatten(self._structure, self._connectivity.value)
        return op.with_weight(u.get_mantissa(self.weight.value))

    def update(self, x):
        """The product; its unit is that of the weights times that of ``x``."""
        y = self.op(u.get_mantissa(x))
        return u.maybe_decimal(y * (u.get_unit(self.weight.value) * u.get_unit(x)))

    def __repr__(self):
        try:
            return f"{type(self).__name__}({self.op!r}, unit={u.get_unit(self.weight.value)})"
        except Exception:  # a state can hold anything
            sizes = f"{self.in_size}, {self.out_size}"
            return f"{type(self).__name__}({sizes}, weight={weights_shown(self.weight.value)})"


def _given(call, weight, op):
    """What weights are, as a number, an array or a quantity. Their shape says where they belong, or is refused.

    BrainState's shape is asked of an initialiser: a row for each neuron that has a fixed number of partners.
    """
    lines = fixed_num.line_shape(op) if isinstance(op, fixed_num.FixedNumConn) else None
    flat = op._weight_shape()
    if isinstance(weight, brainstate.State):
        weight = weight.value
    if callable(weight):
        weight = weight(lines or flat or (op.n_synapses,))
    elif isinstance(weight, (list, tuple)):
        weight = jnp.asarray(weight)
    shape = np.shape(u.get_mantissa(weight))
    wanted = dict.fromkeys(s for s in ((), lines, flat) if s is not None)
    if shape not in wanted and math.prod(shape) == 1:  # one number, as BrainState reads it
        return weight.reshape(())
    if shape not in wanted:
        *most, last = (str(s) for s in wanted)
        raise ValueError(
            f"{call} of shape {shape} does not fit; use one number or shape {' or '.join([*most[1:], last])}"
        )
    return weight


def _seed(seed) -> int:
    """BrainState draws with NumPy's global generator where no seed is given; so do we."""
    return int(np.random.randint(2**31 - 1)) if seed is None else seed


def _last(size):
    """BrainState's sizes are shapes; the neurons are its last axis."""
    return size[-1] if isinstance(size, (tuple, list)) else size


class EventLinear(_Module):
    """`eventops.EventLinear` as a module of BrainState.

    Parameters
    ----------
    in_size, out_size : int or tuple of int
        Number of pre and post neurons; of a tuple the last counts.
    weight : number, array, quantity or callable
        Shape (in, out); a callable is one of BrainState's initialisers, ``f(shape)``.
    float_as_event : bool
        Count every nonzero input as one event, as BrainState does.
    name : str, optional
    param_type : type
        Of the state that holds the weights.
    backend : str, optional
        Of the product, see `eventops.EventLinear`.

    Examples
    --------
    >>> import brainunit as u, jax.numpy as jnp
    >>> import eventops.brainstate as nn
    >>> layer = nn.EventLinear(3, 2, jnp.ones((3, 2)) * u.mS)
    >>> print(layer(jnp.array([True, False, True])).unit, layer(jnp.array([True, False, True])) / u.mS)
    mS [2. 2.]
    """

    def __init__(
        self,
        in_size,
        out_size,
        weight,
        float_as_event=True,
        *,
        name=None,
        param_type=brainstate.ParamState,
        backend=None,
    ):
        super().__init__(name=name)

        def make(w):
            return linear.EventLinear(
                _last(in_size), _last(out_size), w, float_as_event=float_as_event, backend=backend
            )

        self._hold(make, weight, param_type)


class EventFixedProb(_Module):
    """`eventops.EventFixedProb` as a module of BrainState: independent Bernoulli connections.

    Parameters
    ----------
    in_size, out_size : int or tuple of int
    conn_num : float
        Probability of each pair, in [0, 1].
    conn_weight : number, array, quantity or callable
        A callable is one of BrainState's initialisers, ``f(shape)``.
    seed : int, optional
        By default drawn from NumPy's global generator.
    name : str, optional
    param_type : type
        Of the state that holds the weights.
    **options
        Of `eventops.EventFixedProb`: ``allow_self_conn``, ``storage``, ``float_as_event`` (here True, as in
        BrainState), ``dtype``, ``backend``.

    Examples
    --------
    >>> import brainunit as u, jax.numpy as jnp
    >>> import eventops.brainstate as nn
    >>> layer = nn.EventFixedProb(1000, 500, 0.1, 0.6 * u.mS, seed=1)
    >>> layer(jnp.zeros(1000, bool)).shape
    (500,)
    """

    def __init__(
        self,
        in_size,
        out_size,
        conn_num,
        conn_weight,
        *,
        seed=None,
        name=None,
        param_type=brainstate.ParamState,
        **options,
    ):
        super().__init__(name=name)
        options = {"float_as_event": True, "seed": _seed(seed), **options}

        def make(w):
            return fixed_prob.EventFixedProb(
                _last(in_size), _last(out_size), conn_num, w, **options
            )

        self._hold(make, conn_weight, param_type)


class FixedNumConn(_Module):
    """`eventops.FixedNumConn` as a module of BrainState: fixed numbers of partners, for real-valued inputs.

    Parameters
    ----------
    in_size, out_size : int or tuple of int
    conn_num : int or float
    conn_weight : number, array, quantity or callable
        An array has a row for each neuron that has ``conn_num`` partners, as in BrainState, its weights in the
        ascending order of these: (n_pre, conn_num) with 'post', (n_post, conn_num) with 'pre'. Or it has shape
        (n_synapses,), in (pre, post) order. A callable is one of BrainState's initialisers, ``f(shape)``.
    efferent_target : {'post', 'pre'}
        'pre', which BrainState refuses, fixes the number of sources of each post neuron.
    afferent_ratio : float
    allow_multi_conn : bool
        False by default, unlike in BrainState: partners are distinct.
    seed : int, optional
        By default drawn from NumPy's global generator.
    name : str, optional
    param_type : type
        Of the state that holds the weights.
    **options
        Of `eventops.FixedNumConn`: ``allow_self_conn``, ``storage``, ``dtype``, ``backend``.
    """

    _operator = fixed_num.FixedNumConn
    _defaults: dict = {}

    def __init__(
        self,
        in_size,
        out_size,
        conn_num,
        conn_weight,
        efferent_target="post",
        afferent_ratio=1.0,
        allow_multi_conn=False,
        seed=None,
        name=None,
        *,
        param_type=brainstate.ParamState,
        **options,
    ):
        super().__init__(name=name)
        options = {**self._defaults, "seed": _seed(seed), **options}

        def make(w):
            return self._operator(
                _last(in_size),
                _last(out_size),
                conn_num,
                w,
                efferent_target=efferent_target,
                afferent_ratio=afferent_ratio,
                allow_multi_conn=allow_multi_conn,
                **options,
            )

        self._hold(make, conn_weight, param_type)


class EventFixedNumConn(FixedNumConn):
    """`eventops.EventFixedNumConn` as a module of BrainState; its arguments are those of :class:`FixedNumConn`.

    Examples
    --------
    >>> import brainunit as u, jax.numpy as jnp
    >>> import eventops.brainstate as nn
    >>> layer = nn.EventFixedNumConn(100, 50, 10, 0.5 * u.mS, efferent_target='pre', seed=1)
    >>> print(layer(jnp.ones(100, bool))[:2] / u.mS)
    [5. 5.]
    """

    _operator = fixed_num.EventFixedNumConn
    _defaults = {"float_as_event": True}
