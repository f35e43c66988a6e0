"""Populations of independent random sources, whose cost follows their spikes."""

import math

import jax.numpy as jnp

from ..core.messages import shown
from ..primitives.drive_products import spikes_p
from ..primitives.products import _bind
from .drive import Drive
from .drive_arguments import (
    advanced,
    drive_backend,
    group_sizes,
    mean_array,
    number_shown,
    seed_words,
)


class PoissonSpikes(Drive):
    """A population of independent sources: their spikes in each step, to be passed to an operator.

    Parameters
    ----------
    size : int or tuple of int
        Number of sources; or the sizes of groups that stand behind each other.
    rate : number or array
        Per source and step, in [0, 1]: rate times time step. One for all, for each group or for each source. May be traced.
    law : {'bernoulli', 'poisson'}
        'bernoulli': at most one spike in a step, with probability ``rate``. 'poisson': a Poisson number of spikes with mean
        ``rate``.
    seed : int, array of int or key of ``jax.random``
        An array makes as many independent populations, along leading axes. May be traced.
    backend : str, optional
        'cpu', 'reference' or None for the device's own: native code on CPUs, ``reference`` elsewhere.

    Raises
    ------
    TypeError, ValueError
        If a rate is out of range, or something does not fit; the message says what to pass.

    Notes
    -----
    Both laws are exact, but for the rounding of rates to a multiple of 2**-48. The spikes of source ``i`` in step ``t``
    depend on the seed, ``i``, ``t`` and the source's rate, and on nothing else.

    The time of a step grows with the number of spikes; what is left is to clear the result, one byte a source (four for
    'poisson'), and to read the rates where each source has its own. Candidates are found by the gaps between them, at
    the next power of two above the rate, so at most half of what is drawn is thrown away; below a rate of 2**-12 more. A
    spike costs tens of nanoseconds: where more than one source in thirty fires in a step, ``PoissonInput.counts`` takes less.

    A traced rate above 1 counts as 1, one that is negative or not a number as 0.

    Examples
    --------
    A thousand sources of 10 Hz in steps of 0.1 ms, each onto 100 neurons:

    >>> import eventops as nn
    >>> sources = nn.PoissonSpikes(1000, 10 * 1e-4, seed=1)
    >>> synapses = nn.EventFixedNumConn(1000, 400, 100, 0.5)
    >>> state, spikes = sources.step(sources.init_state())
    >>> spikes.dtype, synapses(spikes).shape
    (dtype('bool'), (400,))
    """

    _arrays = ("rate", "seed", "first")
    _static = ("size", "law", "backend")
    _of_neurons = ("rate",)

    def __init__(self, size, rate, *, law="bernoulli", seed=0, backend=None):
        call = type(self).__name__
        sizes = group_sizes(call, size)
        if law not in ("bernoulli", "poisson"):
            raise ValueError(f"{call}: law={shown(law)} must be 'bernoulli' or 'poisson'")
        self.__dict__.update(
            size=sum(sizes),
            law=law,
            rate=_rate(call, rate, sizes),
            seed=seed_words(call, seed),
            first=jnp.uint32(0),
            backend=drive_backend(call, backend),
        )

    def with_rate(self, rate):
        """The same sources at another rate, as for one that changes from step to step."""
        return self._with(rate=_rate("PoissonSpikes.with_rate", rate, (self.size,)))

    def step(self, state):
        """One step's spikes.

        Parameters
        ----------
        state : array of uint32, shape (2,)
            From :meth:`init_state` or the last step.

        Returns
        -------
        state : array of uint32, shape (2,)
        spikes : array, shape (*batch, size)
            Bool; or int32, how many, where the law is 'poisson'.
        """
        counter = self._checked_state("PoissonSpikes.step", state)
        shape, poisson = (*self.batch_shape, self.size), self.law == "poisson"
        if math.prod(shape) == 0:
            return advanced(counter), jnp.zeros(shape, jnp.int32 if poisson else jnp.bool_)
        params = dict(n=self.size, poisson=poisson, backend=self.backend)
        out = _bind(spikes_p, *self._draw(counter, self.rate), **params)
        return advanced(counter), jnp.reshape(out, shape)

    def __repr__(self):
        return f"PoissonSpikes({self.size}, rate={number_shown(self.rate)}, law={self.law!r})"


def _rate(call, rate, sizes):
    return mean_array(
        call,
        "rate",
        rate,
        sizes,
        lambda x: x <= 1,
        "must be in [0, 1] per source and step; use a shorter step, or PoissonInput, whose means may be large",
    )
