"""Random input: every neuron gets a Poisson number of external events in each step."""

import math

import jax
import jax.numpy as jnp

from ..core.arguments import array, static_int
from ..core.messages import shown
from ..graphs import poisson_law
from ..primitives.drive_products import counts_p, current_p
from ..primitives.products import _bind, result_dtype
from .drive_arguments import (
    advanced,
    drive_backend,
    event_weight,
    group_sizes,
    mean_array,
    number_shown,
    seed_words,
)


class Drive:
    """What random inputs have in common: sizes, seeds, and a state that counts steps.

    Immutable pytrees: the attributes in ``_arrays`` are leaves, those in ``_static`` are not.
    """

    _arrays: tuple[str, ...] = ()
    _static: tuple[str, ...] = ("size", "backend")
    _of_neurons: tuple[str, ...] = ()  # numbers that all neurons share or have one each of

    def __init_subclass__(cls):
        jax.tree_util.register_pytree_with_keys(
            cls,
            lambda drive: (
                [(jax.tree_util.GetAttrKey(a), getattr(drive, a)) for a in cls._arrays],
                tuple(getattr(drive, a) for a in cls._static),
            ),
            cls._unflatten,
        )

    @classmethod
    def _unflatten(cls, static, arrays):
        self = object.__new__(cls)
        self.__dict__.update(zip(cls._static, static), **dict(zip(cls._arrays, arrays)))
        return self

    def __setattr__(self, name, value):
        raise AttributeError(
            f"{type(self).__name__} is immutable: cannot set {name!r}; make another one"
        )

    def _with(self, **attributes):
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **attributes)
        return new

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape of the seeds: one independent drive for each."""
        return self.seed.shape[:-1]

    def with_seed(self, seed):
        """The same drive with another seed, or with an array of seeds."""
        return self._with(seed=seed_words(f"{type(self).__name__}.with_seed", seed))

    def window(self, first, size: int):
        """The drive of some of the neurons, with the numbers that they have among all.

        Parameters
        ----------
        first : int
            May be traced: inside ``shard_map`` it is ``jax.lax.axis_index(axis) * size``.
        size : int

        Examples
        --------
        >>> import eventops as nn
        >>> drive = nn.PoissonInput(1000, 2.0)
        >>> _, all_of_them = drive.step(drive.init_state())
        >>> _, some = drive.window(300, 10).step(drive.init_state())
        >>> bool((some == all_of_them[300:310]).all())
        True
        """
        call = f"{type(self).__name__}.window"
        size = static_int(call, "size", size)
        last = self.size - size
        known = not isinstance(first, jax.core.Tracer)
        if known:
            first = static_int(call, "first", first)
        if last < 0 or size < 0 or (known and not 0 <= first <= last):
            raise ValueError(
                f"{call}: neurons from first={shown(first)} on, size={size}, are not among the {self.size} of the drive"
            )
        begin = jnp.asarray(first, jnp.int32)

        def cut(x):
            return x if x.ndim == 0 else jax.lax.dynamic_slice_in_dim(x, begin, size)

        each = {name: cut(getattr(self, name)) for name in self._of_neurons}
        return self._with(size=size, first=self.first + begin.astype(jnp.uint32), **each)

    def init_state(self) -> jax.Array:
        """The state before the first step.

        Returns
        -------
        array of uint32, shape (2,)
            The number of the step, low word first. It begins again after 2**64 steps.
        """
        return jnp.zeros(2, jnp.uint32)

    def _draw(self, counter, mean) -> list[jax.Array]:
        """Operands of the primitives."""
        return [
            counter.reshape(1, 2),
            self.seed.reshape(-1, 2),
            self.first.reshape(1),
            mean.reshape(1, -1),
        ]

    def _checked_state(self, call, state):
        if getattr(state, "shape", None) != (2,) or state.dtype != jnp.uint32:
            raise TypeError(
                f"{call}: state={shown(state)} must be the state of a drive, uint32 of shape (2,); make it with "
                "drive.init_state()"
            )
        return state


class PoissonInput(Drive):
    """External events: in each step every neuron gets a Poisson number of them, times a weight.

    Parameters
    ----------
    size : int or tuple of int
        Number of neurons; or the sizes of groups that stand behind each other.
    mean : number or array
        Events per neuron and step, from 0 to below 4,096: sources times rate times time step. One for all neurons, one for
        each group, or one for each neuron. May be traced.
    weight : number or array
        What an event adds. One for all neurons, for each group or for each neuron; differentiable.
    seed : int, array of int or key of ``jax.random``
        An array makes as many independent drives, whose currents stand along leading axes. May be traced.
    dtype : dtype, optional
        Of the weights and of the current; by default that of the weights, or float32.
    backend : str, optional
        'cpu', 'reference' or None for the device's own: native code on CPUs, ``reference`` elsewhere.

    Raises
    ------
    TypeError, ValueError
        If a mean is negative or too large, or something does not fit; the message says what to pass.

    Notes
    -----
    The law is exact: no normal approximation, and no rounding but that of the mean to a multiple of 2**-48. Traced means
    give the same numbers as known ones. The number of neuron ``i`` in step ``t`` depends on the seed, ``i``, ``t`` and the
    neuron's mean, and on nothing else: it is the same on every device and in any split; see docs/generator.md.

    A traced mean that is negative, too large or not a number gives a current of nan, and counts of -1. Numbers do not
    depend on the mean smoothly: derivatives with respect to it are 0.

    Examples
    --------
    >>> import jax, eventops as nn
    >>> drive = nn.PoissonInput(10_000, 1.28, 0.5, seed=1)
    >>> state, currents = jax.lax.scan(lambda s, _: drive.step(s), drive.init_state(), length=100)
    >>> currents.shape, round(float(currents.mean()), 2)
    ((100, 10000), 0.64)

    Eight independent drives:

    >>> many = nn.PoissonInput(10_000, 1.28, 0.5, seed=range(8))
    >>> many.step(many.init_state())[1].shape
    (8, 10000)
    """

    _arrays = ("mean", "weight", "seed", "first")
    _of_neurons = ("mean", "weight")

    def __init__(self, size, mean, weight=1.0, *, seed=0, dtype=None, backend=None):
        call = type(self).__name__
        sizes = group_sizes(call, size)
        self.__dict__.update(
            size=sum(sizes),
            mean=_mean(call, mean, sizes),
            weight=event_weight(call, weight, sizes, dtype),
            seed=seed_words(call, seed),
            first=jnp.uint32(0),
            backend=drive_backend(call, backend),
        )

    def with_weight(self, weight):
        """The same events with another weight, of the present dtype."""
        call = "PoissonInput.with_weight"
        return self._with(weight=event_weight(call, weight, (self.size,), self.weight.dtype))

    def with_mean(self, mean):
        """The same drive with another mean, as for an input whose rate changes from step to step."""
        return self._with(mean=_mean("PoissonInput.with_mean", mean, (self.size,)))

    @property
    def dtype(self):
        """Of the weights."""
        return self.weight.dtype

    def step(self, state, into=None):
        """One step's events.

        Parameters
        ----------
        state : array of uint32, shape (2,)
            From :meth:`init_state` or the last step.
        into : array, shape (*batch, size), optional
            A current that they are added to, in place where its memory may be used: in ``scan``, or where a jitted
            function is given it by ``donate_argnums``. Leading axes beyond those of the seeds share the events.

        Returns
        -------
        state : array of uint32, shape (2,)
        current : array, shape (*batch, size)
            Of the weights' dtype, or the wider of that and the dtype of ``into``.

        Raises
        ------
        TypeError, ValueError
            If the state is none, or ``into`` does not fit.
        """
        call = "PoissonInput.step"
        counter = self._checked_state(call, state)
        lead, dtype = self.batch_shape, self.weight.dtype
        draw, weight = self._draw(counter, self.mean), self.weight
        if into is None:
            out_shape, into = (*lead, self.size), jnp.zeros(0, dtype)
        else:
            into = array(call, "into", into)
            out_shape = into.shape
            more = _axes_before(call, into, lead, self.size)
            dtype = result_dtype(into.dtype, dtype)
            into = into.astype(dtype)
            if more > 1 and lead:
                draw = [x if x.shape[0] == 1 else _repeated(x, more) for x in draw]
        weight = weight.astype(dtype).reshape(1, -1)
        if self.size == 0 or math.prod(out_shape) == 0:
            return advanced(counter), jnp.zeros(out_shape, dtype)
        params = dict(n=self.size, dtype=dtype, backend=self.backend)
        out = _bind(current_p, into, weight, *draw, **params)
        return advanced(counter), jnp.reshape(out, out_shape)

    def counts(self, state):
        """One step's numbers of events, without the weights.

        Returns
        -------
        state : array of uint32, shape (2,)
        counts : array of int32, shape (*batch, size)
        """
        counter = self._checked_state("PoissonInput.counts", state)
        shape = (*self.batch_shape, self.size)
        if math.prod(shape) == 0:
            return advanced(counter), jnp.zeros(shape, jnp.int32)
        out = _bind(counts_p, *self._draw(counter, self.mean), n=self.size, backend=self.backend)
        return advanced(counter), jnp.reshape(out, shape)

    def __repr__(self):
        return f"PoissonInput({self.size}, mean={number_shown(self.mean)}, weight={number_shown(self.weight)})"


def _repeated(x, times):
    """Seeds of several batches behind each other."""
    return jnp.reshape(jnp.broadcast_to(x, (times, *x.shape)), (times * x.shape[0], *x.shape[1:]))


def _axes_before(call, into, lead, size) -> int:
    """How many batches a current has that share the seeds' events."""
    if not jnp.issubdtype(into.dtype, jnp.floating):
        raise TypeError(f"{call}: into of dtype {into.dtype} must be a floating current")
    k = len(lead) + 1
    if into.ndim < k or into.shape[into.ndim - k :] != (*lead, size):
        raise ValueError(
            f"{call}: into of shape {into.shape} does not fit a drive of shape {(*lead, size)}"
        )
    return math.prod(into.shape[: into.ndim - k])


def _mean(call, mean, sizes):
    return mean_array(
        call,
        "mean",
        mean,
        sizes,
        lambda x: x < poisson_law.MOST,
        f"must be in [0, {poisson_law.MOST}) events per neuron and step; use a shorter step, or the sum of several drives",
    )
