"""Connection probability as a function of the distance between neurons."""

import math
import numbers

from ..core.arguments import flag, no_autapses, size, untraced
from ..core.messages import shown
from ..graphs import drawing, lattice
from .arguments import common
from .operator import Operator


class EventDistanceProb(Operator):
    """Event-driven product whose pairs are connected with a probability that depends on their distance.

    Pre and post neurons lie in the same space, a line or a rectangle, spread evenly over all of it, each in the
    middle of its cell. Each pair is connected independently of the others, once at most.

    Parameters
    ----------
    in_size, out_size : int or (int, int)
        A number of neurons on a line, or rows and columns of a grid, whose neurons are numbered row by row. The
        two need not be equal, but both are lines or both are grids.
    profile : callable
        The probability of a connection: a function from an array of distances, shape (n,), to probabilities,
        for example ``profiles.Gaussian(p_max, sigma)``. It is evaluated once, when the operator is made, in
        NumPy and float64.
    conn_weight : number, array, callable or law
        A scalar (one number is stored), an array of shape (n_synapses,) in (pre, post) order, an initialiser
        ``f(key, shape, dtype)`` as in ``jax.nn.initializers``, or a law of :mod:`eventops.weights`, whose weights
        need not be stored.
    extent : float or (float, float), optional
        Length of the line, or height and width of the rectangle, in the unit of the distances. By default
        ``in_size``: neighbouring pre neurons are at distance 1.
    periodic : bool or (bool, bool)
        Whether the ends meet: a ring instead of a line, a torus instead of a rectangle, for both axes or each
        (rows, columns). Distances are then the shorter way round.
    allow_self_conn : bool
        Whether neuron i may connect to neuron i (autapses). False needs equal sizes.
    seed : int
        In [0, 2**63). Together with the sizes, ``periodic`` and the probabilities it determines the graph. Give
        each projection of a model its own seed: the same seed gives the same graph again.
    storage : {'sparse', 'procedural'}
        'sparse' stores the synapses, about 2 bytes each plus their weights. 'procedural' stores none and draws
        the rows of active inputs again on every call: the same graph, with one weight for all synapses or a law of weights. The
        table of probabilities, 16 bytes for each offset between neurons that has one, is then a constant of
        the compiled program, which is not counted in ``nbytes``.
    float_as_event : bool
        Count every nonzero input as one event instead of by its value. The derivative with respect to the
        input stays that of the value, so that a surrogate gradient passes.
    dtype : dtype, optional
        Of the stored weights: float16, bfloat16, float32 or float64. By default that of a floating
        ``conn_weight`` array, else JAX's default, float32 or under ``jax_enable_x64`` float64.
    backend : {None, 'cpu', 'reference'}
        None takes the default of the device that the call runs on. A backend that is named runs or raises.

    Attributes
    ----------
    in_size, out_size : int
        Number of neurons, of a grid all of them: spikes and outputs are flat, ``grid.reshape(..., in_size)``.

    Raises
    ------
    TypeError, ValueError
        If a parameter is unusable (a probability outside [0, 1], a line onto a grid, ...); the message says
        what to pass.
    RuntimeError
        If the backend cannot run here.

    Notes
    -----
    Probabilities are rounded down to multiples of 2**-64, and from there on all is exact. Offsets are sorted
    into levels by powers of two; the candidates of a level are found by geometric gaps with the power as
    probability, and each is kept with the quotient, so that drawing a row costs at most about two candidates
    per synapse and nothing per neuron (thinning: L. Devroye, *Non-Uniform Random Variate Generation*, 1986,
    ch. VI.2). ``docs/generator.md`` has the definition.

    The table has one entry for each offset between two neurons. Where the sizes differ, there are as many tables
    as pre neurons per common divisor of both sizes; so 80 onto 40 is small and 80 onto 79 is large.

    A silent neuron's weights are not read: a nan or inf among them does not reach the output. Sums are
    made in float32 (float64 for float64 weights) in ascending order of the inputs, so a result is bitwise
    reproducible for any number of threads. Where rows are stored, events of 1 with one weight are counted, and the
    weight is multiplied once.

    Examples
    --------
    A torus of 40 x 40 excitatory neurons onto one of 20 x 20 inhibitory ones; its side has length 1.

    >>> import jax.numpy as jnp, eventops as nn
    >>> near = nn.profiles.Gaussian(0.8, 0.1)
    >>> op = nn.EventDistanceProb((40, 40), (20, 20), near, 0.5, extent=1.0, periodic=True, seed=1)
    >>> op.in_size, op.out_size
    (1600, 400)
    >>> op(jnp.zeros((40, 40)).at[20, 20].set(1.0).reshape(-1)).reshape(20, 20)[10, 10]
    Array(0.5, dtype=float32)
    """

    _arrays = ("weight", "rows")
    _static = (*Operator._static, "drawn", "storage", "law")
    _facts = ("seed", "stored", "profile")
    profile: str | None = None

    def __init__(
        self,
        in_size,
        out_size,
        profile,
        conn_weight,
        *,
        extent=None,
        periodic=False,
        allow_self_conn=True,
        seed=0,
        storage="sparse",
        float_as_event=False,
        dtype=None,
        backend=None,
    ):
        call = type(self).__name__
        pre, post = _shape(call, "in_size", in_size), _shape(call, "out_size", out_size)
        if len(pre) != len(post):
            raise ValueError(
                f"{call}: in_size={in_size} and out_size={out_size} must both be lines or both be grids; a line is "
                "the grid (1, n)"
            )
        n_in, n_out = math.prod(pre), math.prod(post)
        self._set(storage=storage, **common(call, n_in, n_out, seed, float_as_event, backend))
        allow_self_conn = no_autapses(call, allow_self_conn, n_in, n_out)
        if not allow_self_conn and pre != post:
            raise ValueError(
                f"{call}: allow_self_conn=False needs in_size == out_size, not {pre} and {post}"
            )
        if not callable(profile) or isinstance(profile, type):
            raise TypeError(
                f"{call}: profile={shown(profile)} must be a function of distances, for example "
                "profiles.Gaussian(0.5, 10.0); for one probability use EventFixedProb"
            )
        periodic = _pair(call, "periodic", periodic, len(pre), lambda v: flag(call, "periodic", v))
        extent = tuple(max(1, n) for n in pre) if extent is None else extent
        extent = _pair(call, "extent", extent, len(pre), lambda v: _length(call, v))
        axes = tuple(lattice.Axis(*axis) for axis in zip(pre, post, periodic))
        if len(axes) == 1:
            axes, extent = (lattice.Axis(1, 1, False), *axes), (1.0, *extent)
        graph = drawing.Graph(
            rule=drawing.DISTANCE,
            n_in=n_in,
            n_out=n_out,
            allow_self=allow_self_conn,
            seed=self.seed,
            lattice=lattice.make(call, axes, extent, profile),
        )
        # Its text alone: a function would be compared by identity, and could not be saved.
        name = getattr(profile, "__name__", None) or repr(profile)
        self._set(profile=name)
        self._store(call, graph, conn_weight, dtype)

    def _describe(self):
        axes = self.graph.lattice.axes
        profile = [f"profile={self.profile}"] * (self.profile is not None)
        if axes[0] == lattice.Axis(1, 1, False):
            parts = [*profile, "periodic=True" * axes[1].periodic]
        else:
            pre, post = (axes[0].n_pre, axes[1].n_pre), (axes[0].n_post, axes[1].n_post)
            parts = [f"grid={pre} to {post}", *profile]
            parts += [f"periodic={self.graph.lattice.periodic}"] * any(self.graph.lattice.periodic)
        parts += ["allow_self_conn=False"] * (not self.graph.allow_self)
        parts += [f"storage={self.storage!r}"] * self._procedural
        return [*filter(None, parts), f"seed={self.seed}"]


def _shape(call: str, name: str, value) -> tuple[int, ...]:
    if not isinstance(value, (tuple, list)):
        return (size(call, name, value),)
    if len(value) != 2:
        raise ValueError(
            f"{call}: {name}={shown(value)} must be a number of neurons or (rows, columns)"
        )
    shape = tuple(size(call, name, n) for n in value)
    size(call, name, math.prod(shape))
    return shape


def _pair(call: str, name: str, value, n: int, check) -> tuple:
    """One value for each of ``n`` axes."""
    if not isinstance(value, (tuple, list)):
        return (check(value),) * n
    if len(value) != n:
        raise ValueError(
            f"{call}: {name}={shown(value)} must be one value, or one for each of {n} axes"
        )
    return tuple(check(v) for v in value)


def _length(call: str, value) -> float:
    untraced(call, "extent", value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{call}: extent={shown(value)} must be a length, a positive number")
    if not 0 < value < math.inf:
        raise ValueError(f"{call}: extent={value} must be positive and finite")
    return float(value)
