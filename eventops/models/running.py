"""Many steps of a model inside one ``lax.scan``."""

import functools

import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnames=("step", "n_steps", "watch", "every"))
def run(step, net, state, n_steps: int, watch: int = 0, every: int = 1):
    """Run a model.

    Parameters
    ----------
    step : callable
        ``step(net, state) -> (state, spikes)`` with ``spikes`` of shape (n,), bool; of one of the models here.
    net, state : pytree
        From the model's ``network`` and ``initial``.
    n_steps : int
    watch, every : int
        The spikes of so many neurons are kept: the first, or every so manyth.

    Returns
    -------
    state : pytree
    counts : array of int32, shape (n,)
        Spikes of each neuron.
    raster : array of bool, shape (n_steps, watch)

    Examples
    --------
    >>> from eventops import models
    >>> net = models.coba.network(400, seed=1)
    >>> state, counts, raster = models.run(models.coba.step, net, models.coba.initial(net), 100, watch=5)
    >>> counts.shape, raster.shape
    ((400,), (100, 5))
    """

    def turn(carry, _):
        state, counts = carry
        state, spikes = step(net, state)
        return (state, jnp.where(spikes, counts + 1, counts)), spikes[: every * watch : every]

    n = jax.eval_shape(step, net, state)[1].shape[0]
    (state, counts), raster = jax.lax.scan(turn, (state, jnp.zeros(n, jnp.int32)), length=n_steps)
    return state, counts, raster
