"""The sparsely connected network of Brunel (J. Comput. Neurosci. 8, 183-208, 2000).

Integrate-and-fire neurons, four of five excitatory, with delta synapses:

    tau dV/dt = -V,   and V jumps by J (by -g J) for every spike of one of C_E excitatory (C_I inhibitory) sources

that arrives, 1.5 ms after it was fired. Every neuron has exactly C_E and C_I sources, a tenth of each population,
and besides C_E external ones that fire as Poisson processes at ``eta`` times the rate ``theta / (J C_E tau)`` that
would just reach the threshold theta. V is held at V_reset for 2 ms after a spike. V decays exactly; what arrives
within a step is added at its end.

Figure 8 of the paper shows four states of 10,000 + 2,500 neurons with J = 0.1 mV; the default, g = 5 and eta = 2, is
the asynchronous irregular one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..operators.drive import PoissonInput
from ..operators.fixed_num import EventFixedNumConn
from ..operators.neuron_step import NeuronState
from ..operators.neurons import LIFDelta

DT = 0.1  # ms, as all times here
TAU, REFRACTORY, DELAY = 20.0, 2.0, 1.5
THRESHOLD, V_RESET = 20.0, 10.0  # mV
FAN_IN = 0.1  # of each population
_SLOTS = round(DELAY / DT)
CELLS = LIFDelta(
    TAU, v_rest=0.0, v_reset=V_RESET, v_threshold=THRESHOLD, refractory=REFRACTORY, dt=DT
)


class Network(NamedTuple):
    """Projections from the excitatory and the inhibitory neurons to all, and the external spikes, jumps of V in mV."""

    exc: EventFixedNumConn
    inh: EventFixedNumConn
    external: PoissonInput


class State(NamedTuple):
    """The neurons (V in mV), the spikes that have not arrived yet, and where among them we are.

    ``external`` is the state of the external spikes.
    """

    neurons: NeuronState
    sent: jax.Array
    turn: jax.Array
    external: jax.Array

    @property
    def v(self) -> jax.Array:
        """V in mV, shape (n,)."""
        return self.neurons.v


def network(
    n: int = 12_500, *, j: float = 0.1, g: float = 5.0, eta: float = 2.0, seed: int = 0, **options
) -> Network:
    """``n`` neurons, of which the first four fifths are excitatory.

    Parameters
    ----------
    n : int
    j : float
        Jump of V for an excitatory spike, mV.
    g : float
        Inhibition relative to excitation.
    eta : float
        External rate relative to the one that just reaches the threshold.
    seed : int
        Of the graph.
    **options
        Of the projections.
    """
    n_exc = n * 4 // 5
    fan = {"efferent_target": "pre", **options}
    exc = EventFixedNumConn(n_exc, n, FAN_IN, j, seed=2 * seed, **fan)
    inh = EventFixedNumConn(n - n_exc, n, FAN_IN, -g * j, seed=2 * seed + 1, **fan)
    external = PoissonInput(n, eta * THRESHOLD / (j * TAU) * DT, j, seed=seed, dtype=exc.dtype)
    return Network(exc, inh, external)


def initial(net: Network, seed: int = 0) -> State:
    """V uniform between V_reset and the threshold, nothing under way.

    The seed is that of V, and of the external spikes: those of seed ``s`` begin with step ``s * 2**32``.
    """
    n = net.exc.out_size
    v = jax.random.uniform(jax.random.key(seed), (n,), minval=V_RESET, maxval=THRESHOLD)
    sent = jnp.zeros((_SLOTS, n), bool)
    external = jnp.array([0, seed], jnp.uint32)
    return State(CELLS.init_state(n, v), sent, jnp.int32(0), external)


def step(net: Network, state: State) -> tuple[State, jax.Array]:
    """One step of 0.1 ms; gives the state and the spikes, shape (n,)."""
    n_exc = net.exc.in_size
    arriving = state.sent[state.turn]
    jumps = net.exc(arriving[:n_exc]) + net.inh(arriving[n_exc:])
    external, jumps = net.external.step(state.external, into=jumps)
    neurons, spikes = CELLS.step(state.neurons, jumps)
    sent = state.sent.at[state.turn].set(spikes)
    return State(neurons, sent, (state.turn + 1) % _SLOTS, external), spikes
