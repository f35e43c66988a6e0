"""CUBA: a balanced network of integrate-and-fire neurons with current-based synapses.

Benchmark 2 of Brette et al. (J. Comput. Neurosci. 23, 349-398, 2007), after Vogels & Abbott (J. Neurosci. 25,
10786-10795, 2005). Neurons and connectivity are as in COBA, but a spike moves the voltage by a fixed amount:

    tau dV/dt = (V_rest - V) + u_e + u_i
    tau_e du_e/dt = -u_e,   tau_i du_i/dt = -u_i

with ``V_rest = -49 mV`` above the threshold of -50 mV. A spike of an excitatory (inhibitory) neuron adds
``w_e = 1.62 mV`` (``w_i = -9 mV``) to ``u_e`` (``u_i``) of its targets one step later; V is held at V_reset for
5 ms after a spike. V and the inputs are integrated exactly on the grid.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..operators.fixed_prob import EventFixedProb
from ..operators.neuron_step import NeuronState
from ..operators.neurons import LIFExp

DT = 0.1  # ms, as all times here
TAU, TAU_E, TAU_I, REFRACTORY = 20.0, 5.0, 10.0, 5.0
V_REST, V_RESET, V_THRESHOLD = -49.0, -60.0, -50.0  # mV
W_E, W_I = 1.62, -9.0  # mV
TARGETS = 80
CELLS = LIFExp(
    TAU,
    (TAU_E, TAU_I),
    v_rest=V_REST,
    v_reset=V_RESET,
    v_threshold=V_THRESHOLD,
    refractory=REFRACTORY,
    dt=DT,
)


class Network(NamedTuple):
    """Projections from the excitatory and the inhibitory neurons to all."""

    exc: EventFixedProb
    inh: EventFixedProb


class State(NamedTuple):
    """The neurons (V in mV; the channels are u_e and u_i), and the spikes of the last step, shape (n,)."""

    neurons: NeuronState
    spikes: jax.Array

    @property
    def v(self) -> jax.Array:
        """V in mV, shape (n,)."""
        return self.neurons.v


def network(n: int = 4000, *, seed: int = 0, **options) -> Network:
    """``n`` neurons, of which the first four fifths are excitatory; ``options`` are those of the projections."""
    n_exc = n * 4 // 5
    prob = min(1.0, TARGETS / n)
    exc = EventFixedProb(n_exc, n, prob, W_E, seed=2 * seed, **options)
    inh = EventFixedProb(n - n_exc, n, prob, W_I, seed=2 * seed + 1, **options)
    return Network(exc, inh)


def initial(net: Network, seed: int = 0) -> State:
    """V normal around -55 mV (standard deviation 2 mV) up to the threshold, everything else silent."""
    n = net.exc.out_size
    v = jnp.minimum(-55.0 + 2.0 * jax.random.normal(jax.random.key(seed), (n,)), V_THRESHOLD)
    return State(CELLS.init_state(n, v), jnp.zeros(n, bool))


def step(net: Network, state: State) -> tuple[State, jax.Array]:
    """One step of 0.1 ms; gives the state and the spikes, shape (n,)."""
    n_exc = net.exc.in_size
    arriving = net.exc(state.spikes[:n_exc]), net.inh(state.spikes[n_exc:])
    neurons, spikes = CELLS.step(state.neurons, *arriving)
    return State(neurons, spikes), spikes
