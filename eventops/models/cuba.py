"""CUBA: a balanced network of integrate-and-fire neurons with current-based synapses.

Benchmark 2 of Brette et al. (J. Comput. Neurosci. 23, 349-398, 2007), after Vogels & Abbott (J. Neurosci. 25,
10786-10795, 2005). Neurons and connectivity are as in COBA, but a spike moves the voltage by a fixed amount:

    tau dV/dt = (V_rest - V) + u_e + u_i
    tau_e du_e/dt = -u_e,   tau_i du_i/dt = -u_i

with ``V_rest = -49 mV`` above the threshold of -50 mV. A spike of an excitatory (inhibitory) neuron adds
``w_e = 1.62 mV`` (``w_i = -9 mV``) to ``u_e`` (``u_i``) of its targets one step later; V is held at V_reset for
5 ms after a spike. V is integrated by exponential Euler with the inputs held for a step, the inputs exactly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..operators.fixed_prob import EventFixedProb

DT = 0.1  # ms, as all times here
TAU, TAU_E, TAU_I, REFRACTORY = 20.0, 5.0, 10.0, 5.0
V_REST, V_RESET, V_THRESHOLD = -49.0, -60.0, -50.0  # mV
W_E, W_I = 1.62, -9.0  # mV
TARGETS = 80


class Network(NamedTuple):
    """Projections from the excitatory and the inhibitory neurons to all."""

    exc: EventFixedProb
    inh: EventFixedProb


class State(NamedTuple):
    """Arrays of shape (n,): V and inputs in mV, steps until V moves again.

    V stands as it was integrated: where it is above the threshold the neuron has just fired, and is reset by the next
    step. So the spikes and all that follows from them are found from one array, in which the loops of a step meet.
    """

    v: jax.Array
    u_e: jax.Array
    u_i: jax.Array
    refractory: jax.Array


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
    zero = jnp.zeros(n)
    return State(v, zero, zero, jnp.zeros(n, jnp.int16))


def step(net: Network, state: State) -> tuple[State, jax.Array]:
    """One step of 0.1 ms; gives the state and the spikes, shape (n,)."""
    n_exc = net.exc.in_size
    fired = state.v > V_THRESHOLD
    pause = jnp.int16(round(REFRACTORY / DT))
    refractory = jnp.where(fired, pause, jnp.maximum(state.refractory - jnp.int16(1), jnp.int16(0)))
    v = jnp.where(fired, V_RESET, state.v)
    u_e = state.u_e * jnp.exp(-DT / TAU_E) + net.exc(fired[:n_exc])
    u_i = state.u_i * jnp.exp(-DT / TAU_I) + net.inh(fired[n_exc:])
    v_end = V_REST + u_e + u_i
    moved = v_end + (v - v_end) * jnp.exp(-DT / TAU)
    v = jnp.where(refractory > 0, v, moved)
    return State(v, u_e, u_i, refractory), v > V_THRESHOLD
