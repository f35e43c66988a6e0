"""COBA: a balanced network of integrate-and-fire neurons with conductance-based synapses.

Benchmark 1 of Brette et al. (J. Comput. Neurosci. 23, 349-398, 2007), after Vogels & Abbott (J. Neurosci. 25,
10786-10795, 2005). Four of five neurons are excitatory; each pair is connected with such a probability that a
neuron has 80 targets in the mean.

    tau dV/dt = (V_rest - V) + g_e (E_e - V) + g_i (E_i - V) + drive
    tau_e dg_e/dt = -g_e,   tau_i dg_i/dt = -g_i

with conductances relative to the leak's. A spike of an excitatory (inhibitory) neuron adds ``w_e`` (``w_i``) to
``g_e`` (``g_i``) of its targets one step later; V is held at V_reset for 5 ms after a spike. V is integrated by
exponential Euler, the conductances exactly.

The published network sustains its activity by itself; BrainState's and BrainPy's version of it has a constant
``drive`` of 20 mV besides, which is the default here, so that rates can be compared (about 50 Hz).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..operators.fixed_prob import EventFixedProb
from ..operators.neuron_step import NeuronState
from ..operators.neurons import LIFCond

DT = 0.1  # ms, as all times here
TAU, TAU_E, TAU_I, REFRACTORY = 20.0, 5.0, 10.0, 5.0
V_REST, V_RESET, V_THRESHOLD, E_E, E_I = -60.0, -60.0, -50.0, 0.0, -80.0  # mV
W_E, W_I = 0.6, 6.7  # of the leak conductance: 6 nS and 67 nS of 10 nS
TARGETS = 80
CELLS = LIFCond(
    TAU,
    (TAU_E, TAU_I),
    (E_E, E_I),
    v_rest=V_REST,
    v_reset=V_RESET,
    v_threshold=V_THRESHOLD,
    refractory=REFRACTORY,
    dt=DT,
)


class Network(NamedTuple):
    """Projections from the excitatory and the inhibitory neurons to all, and the drive in mV."""

    exc: EventFixedProb
    inh: EventFixedProb
    drive: float


class State(NamedTuple):
    """The neurons (V in mV; the channels are g_e and g_i), and the spikes of the last step, shape (n,)."""

    neurons: NeuronState
    spikes: jax.Array

    @property
    def v(self) -> jax.Array:
        """V in mV, shape (n,)."""
        return self.neurons.v


def network(n: int = 4000, *, seed: int = 0, drive: float = 20.0, **options) -> Network:
    """``n`` neurons, of which the first four fifths are excitatory.

    Parameters
    ----------
    n : int
    seed : int
        Of the graph; the two projections have different ones.
    drive : float
        Constant input, mV.
    **options
        Of the projections, for example ``storage='procedural'`` or ``backend='reference'``.
    """
    n_exc = n * 4 // 5
    prob = min(1.0, TARGETS / n)
    exc = EventFixedProb(n_exc, n, prob, W_E, seed=2 * seed, **options)
    inh = EventFixedProb(n - n_exc, n, prob, W_I, seed=2 * seed + 1, **options)
    return Network(exc, inh, drive)


def initial(net: Network, seed: int = 0) -> State:
    """V normal around -55 mV (standard deviation 2 mV) up to the threshold, everything else silent."""
    n = net.exc.out_size
    v = jnp.minimum(-55.0 + 2.0 * jax.random.normal(jax.random.key(seed), (n,)), V_THRESHOLD)
    return State(CELLS.init_state(n, v), jnp.zeros(n, bool))


def step(net: Network, state: State) -> tuple[State, jax.Array]:
    """One step of 0.1 ms; gives the state and the spikes, shape (n,)."""
    n_exc = net.exc.in_size
    arriving = net.exc(state.spikes[:n_exc]), net.inh(state.spikes[n_exc:])
    neurons, spikes = CELLS.step(state.neurons, *arriving, drive=net.drive)
    return State(neurons, spikes), spikes
