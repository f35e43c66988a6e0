"""What neurons have in common: their state, and a step that is one pass over it."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import backends
from ..backends import neurons_reference
from ..core.arguments import array, as_dtype, check_dtype, static_int
from ..core.messages import shown
from ..primitives import neuron_products


class NeuronState(NamedTuple):
    """What neurons keep from one step to the next.

    Attributes
    ----------
    v : array, shape (*batch, n)
        Membrane potential.
    wait : array of int16, shape (*batch, n)
        Steps until it moves again.
    synaptic : tuple of array, shape (*batch, n)
        Current or conductance of each synaptic channel.
    """

    v: jax.Array
    wait: jax.Array
    synaptic: tuple[jax.Array, ...]


class Neurons:
    """What the models share; immutable, and a static part of a program."""

    _conductance = False

    def _init(self, names, numbers, tau_syn, refractory, dt, law, backend):
        call = type(self).__name__
        self.__dict__.update(zip(names, numbers))
        pause = round(refractory / dt)
        if not 0 <= pause < 2**15:
            raise ValueError(
                f"{call}: refractory={refractory} is {pause} steps of dt={dt}, which is not in [0, 2**15)"
            )
        backend = backends.check(call, backend)
        self.__dict__.update(
            tau_syn=tau_syn, refractory=refractory, dt=dt, pause=pause, backend=backend, _law=law
        )

    def __setattr__(self, name, value):
        raise AttributeError(f"{type(self).__name__} is immutable: make another one instead")

    def __eq__(self, other):
        return type(self) is type(other) and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    @property
    def _key(self):
        return (self._law, self.pause, self.backend)

    def __repr__(self):
        parts = [f"{k}={v!r}" for k, v in self.__dict__.items() if k not in ("_law", "pause")]
        return f"{type(self).__name__}({', '.join(parts)})"

    @property
    def n_channels(self) -> int:
        """Number of synaptic channels, each with an input."""
        return len(self.tau_syn)

    def init_state(self, shape, v=None, *, dtype=None) -> NeuronState:
        """The state in which no neuron waits and no channel is open.

        Parameters
        ----------
        shape : int or tuple of int
            Number of neurons, and the batch before it.
        v : array or number, optional
            Potentials; by default all rest.
        dtype : dtype, optional
            float32 or float64; by default what JAX gives to numbers.
        """
        call = f"{type(self).__name__}.init_state"
        dtype = jnp.result_type(float) if dtype is None else as_dtype(call, dtype)
        check_dtype(call, dtype)
        if dtype.itemsize < 4:
            raise TypeError(f"{call}: dtype={dtype} is too coarse for potentials; use float32")
        sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
        sizes = tuple(static_int(call, "shape", n) for n in sizes)
        v = self.v_rest if v is None else v
        v = jnp.broadcast_to(array(call, "v", v).astype(dtype), sizes)
        synaptic = tuple(jnp.zeros(sizes, dtype) for _ in self.tau_syn)
        return NeuronState(v, jnp.zeros(sizes, jnp.int16), synaptic)

    def step(self, state, *inputs, drive=0.0, surrogate=None):
        """One step of ``dt``.

        Parameters
        ----------
        state : NeuronState
            From :meth:`init_state` or the last step; in ``scan`` it is updated in place.
        *inputs : array, shape (*batch, n)
            What arrives in this step, one array for each channel; of ``LIFDelta`` one, the jump of V.
        drive : number or array, shape (n,) or (*batch, n)
            A current that is constant within the step.
        surrogate : callable, optional
            The derivative of a spike with respect to the potential: a function of ``v - v_threshold``, elementwise.
            Spikes are floating then. The reset is not differentiated.

        Returns
        -------
        state : NeuronState
        spikes : array, shape (*batch, n)
            Bool, or with a surrogate 0 and 1 in the dtype of V.

        Raises
        ------
        TypeError, ValueError
            If the state or an input does not fit; the message says what to pass.
        """
        call = f"{type(self).__name__}.step"
        v, arrays = self._checked(call, state, inputs, drive)
        outs = _step(self, surrogate, v, state.wait, *arrays)
        after = NeuronState(outs[0], outs[1], tuple(outs[2:-1]))
        return after, outs[-1]

    def _checked(self, call, state, inputs, drive):
        if not isinstance(state, NeuronState) or len(state.synaptic) != self.n_channels:
            raise TypeError(
                f"{call}: state={shown(state)} must be the state of these neurons; make it with init_state(n)"
            )
        wanted = max(1, self.n_channels)
        if len(inputs) != wanted:
            raise TypeError(
                f"{call}: {len(inputs)} inputs do not fit; pass {wanted}, one for each channel"
            )
        v = state.v
        arrays = []
        for k, given in enumerate(inputs):
            x = array(call, f"input {k}", given).astype(v.dtype)
            if x.shape not in ((), v.shape[-1:], v.shape):
                raise ValueError(
                    f"{call}: an input of shape {x.shape} does not fit neurons of shape {v.shape}"
                )
            arrays.append(jnp.broadcast_to(x, v.shape))
        drive = array(call, "drive", drive).astype(v.dtype)
        if drive.shape not in ((), v.shape[-1:], v.shape):
            raise ValueError(
                f"{call}: a drive of shape {drive.shape} does not fit neurons of shape {v.shape}"
            )
        return v, (*state.synaptic, *arrays, drive)

    def _numbers(self, dtype):
        return np.asarray(self._law, dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _step(neurons, surrogate, v, wait, *arrays):
    *state, spikes = neuron_products.step(
        neurons._numbers(v.dtype),
        v,
        wait,
        *arrays,
        channels=neurons.n_channels,
        conductance=neurons._conductance,
        pause=neurons.pause,
        backend=neurons.backend,
    )
    return (*state, spikes if surrogate is None else spikes.astype(v.dtype))


@_step.defjvp
def _step_jvp(neurons, surrogate, primals, tangents):
    outs = _step(neurons, surrogate, *primals)
    v, wait, *arrays = primals
    dv, _, *darrays = tangents
    law = neurons._numbers(v.dtype)
    params = dict(channels=neurons.n_channels, conductance=neurons._conductance)

    def smooth(v, *arrays):
        return neurons_reference.potential(law, v, wait, *arrays, **params)

    (before, _), (dbefore, dsynaptic) = jax.jvp(smooth, (v, *arrays), (dv, *darrays))
    fired = outs[-1].astype(bool)
    after = jnp.where(fired, jnp.zeros_like(dbefore), dbefore)
    nothing = np.zeros(wait.shape, jax.dtypes.float0)
    if surrogate is None:
        spikes = np.zeros(v.shape, jax.dtypes.float0)
    else:
        spikes = surrogate(before - law[neurons_reference.THRESHOLD]) * dbefore
    return outs, (after, nothing, *dsynaptic, spikes)
