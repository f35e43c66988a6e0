"""Random input as modules of BrainState: rates with units, and the counter of steps as a state."""

import brainstate
import brainunit as u
import jax
import numpy as np

from ..operators import drive, drive_spikes

__all__ = ["PoissonInput", "PoissonSpikes"]


class _Drive(brainstate.nn.Module):
    """A random input, whose numbers are arguments of the programs that BrainState compiles."""

    def _hold(self, made) -> None:
        self.in_size = self.out_size = made.size
        arrays, self._structure = jax.tree.flatten(made)
        self._arrays = brainstate.LongTermState(tuple(arrays))
        self._counter = brainstate.ShortTermState(made.init_state())

    @property
    def drive(self):
        """The drive of `eventops`, with a weight of 1."""
        return jax.tree.unflatten(self._structure, self._arrays.value)

    def reset_state(self, *args, **kwargs):
        """Begin again with the first step."""
        self._counter.value = self.drive.init_state()


def _per_step(call, rate, dt):
    """Rate times time step, as numbers without a unit."""
    if dt is None:
        dt = brainstate.environ.get("dt", default=None)
    if dt is None:
        raise ValueError(
            f"{call}: no time step is set; pass dt=0.1 * u.ms, or call brainstate.environ.set(dt=0.1 * u.ms)"
        )
    mean = u.maybe_decimal(rate * dt)
    if not u.get_unit(mean).is_unitless:
        raise TypeError(
            f"{call}: rate times dt has the unit {u.get_unit(mean)}; pass a rate in Hz and dt in ms, such as "
            "rate=8.0 * u.Hz, dt=0.1 * u.ms"
        )
    return mean


def _seed(seed):
    """BrainState draws with NumPy's global generator where no seed is given; so do we."""
    return int(np.random.randint(2**31 - 1)) if seed is None else seed


class PoissonInput(_Drive):
    """`eventops.PoissonInput` as a module of BrainState.

    Parameters
    ----------
    size : int or tuple of int
        Number of neurons, or the sizes of groups.
    rate : quantity
        Of one source, in Hz; one for all, for each group or for each neuron.
    weight : number, array or quantity
        What an event adds.
    num_input : int or array of int
        Sources of each neuron.
    dt : quantity, optional
        By default that of ``brainstate.environ``, when the module is made.
    seed : int, optional
        By default drawn from NumPy's global generator.
    param_type : type
        Of the state that holds the weight.
    **options
        Of `eventops.PoissonInput`: ``dtype``, ``backend``.

    Examples
    --------
    >>> import brainunit as u
    >>> import eventops.brainstate as nn
    >>> drive = nn.PoissonInput(1000, 8.0 * u.Hz, 0.15 * u.mV, num_input=1600, dt=0.1 * u.ms, seed=1)
    >>> jump = drive()
    >>> jump.shape, jump.unit == u.mV
    ((1000,), True)
    """

    def __init__(
        self,
        size,
        rate,
        weight,
        num_input=1,
        *,
        dt=None,
        seed=None,
        name=None,
        param_type=brainstate.ParamState,
        **options,
    ):
        super().__init__(name=name)
        mean = np.asarray(num_input) * _per_step("PoissonInput", rate, dt)
        unit, number = u.get_unit(weight), u.get_mantissa(weight)
        made = drive.PoissonInput(size, mean, number, seed=_seed(seed), **options)
        self.weight = param_type(u.maybe_decimal(made.weight * unit))
        self._hold(made)

    def update(self, into=None):
        """One step's events times the weight; added to ``into``, in its unit, where that is given."""
        unit = u.get_unit(self.weight.value)
        made = self.drive.with_weight(u.get_mantissa(self.weight.value))
        if into is not None:
            into = u.get_mantissa(u.Quantity(into).in_unit(unit))
        self._counter.value, current = made.step(self._counter.value, into=into)
        return u.maybe_decimal(current * unit)


class PoissonSpikes(_Drive):
    """`eventops.PoissonSpikes` as a module of BrainState: independent sources.

    Parameters
    ----------
    size : int or tuple of int
        Number of sources, or the sizes of groups.
    rate : quantity
        In Hz; one for all, for each group or for each source.
    law : {'bernoulli', 'poisson'}
    dt : quantity, optional
        By default that of ``brainstate.environ``, when the module is made.
    seed : int, optional
        By default drawn from NumPy's global generator.
    **options
        Of `eventops.PoissonSpikes`: ``backend``.

    Examples
    --------
    >>> import brainunit as u
    >>> import eventops.brainstate as nn
    >>> sources = nn.PoissonSpikes(1000, 20.0 * u.Hz, dt=0.1 * u.ms, seed=1)
    >>> sources().shape
    (1000,)
    """

    def __init__(self, size, rate, *, law="bernoulli", dt=None, seed=None, name=None, **options):
        super().__init__(name=name)
        rate = _per_step("PoissonSpikes", rate, dt)
        self._hold(drive_spikes.PoissonSpikes(size, rate, law=law, seed=_seed(seed), **options))

    def update(self):
        """One step's spikes."""
        self._counter.value, spikes = self.drive.step(self._counter.value)
        return spikes
