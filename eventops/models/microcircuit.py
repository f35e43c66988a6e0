"""The cortical microcircuit of Potjans & Diesmann (Cerebral Cortex 24, 785-806, 2014).

A square millimetre of early sensory cortex: 77,169 integrate-and-fire neurons in four layers, each with an excitatory and an
inhibitory population, and about 300 million synapses with exponential currents:

    C dV/dt = -(V - E_L) C / tau_m + I + I_ext,    tau_syn dI/dt = -I

The number of synapses between two populations follows from the published probability p that a pair has at least one,
K = log(1 - p) / log(1 - 1 / (N_pre N_post)), and the K pairs are drawn with repeats (tables 4 and 5 of the paper). Weights
and delays are normal: 87.8 pA, which makes a potential of 0.15 mV, with a tenth of that as deviation, twice as large from
layer 4E to 2/3E, and -4 times that for inhibitory ones; 1.5 +- 0.75 ms and 0.75 +- 0.375 ms, at least one step. Every neuron
has K_ext external sources that fire as Poisson processes at 8 Hz. V and I are integrated exactly on the grid
(Rotter & Diesmann, Biol. Cybern. 81, 381-402, 1999).

With ``scale`` below 1 the numbers of neurons and of synapses per neuron are both reduced; weights grow by its inverse
root and a current replaces the missing mean input, so that rates stay as they are (van Albada, Helias & Diesmann,
PLoS Comput. Biol. 11, e1004490, 2015).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..operators.delays import Delayed, DelayState
from ..operators.drive import PoissonInput
from ..operators.fixed_total import EventFixedTotalNum
from ..operators.neuron_step import NeuronState
from ..operators.neurons import LIFExp
from ..operators.sparse import EventSparse

DT = 0.1  # ms, as all times here
POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = (20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948)
# Probability that a pair is connected; rows are targets, columns sources.
PROBABILITY = (
    (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0),
    (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0),
    (0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0),
    (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0),
    (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0),
    (0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0),
    (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252),
    (0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443),
)
EXTERNAL = (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100)  # sources of each neuron
EXTERNAL_RATE = 8.0  # Hz
# Mean rates of the full model, Hz: what the paper's simulations give, and what a reduced one is made to keep.
RATES = (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829)
CAPACITY, TAU, TAU_SYN, REFRACTORY = 250.0, 10.0, 0.5, 2.0  # pF and ms
E_L, V_RESET, V_THRESHOLD = -65.0, -65.0, -50.0  # mV
WEIGHT, RELATIVE_DEVIATION, INHIBITION = 87.8, 0.1, -4.0  # pA
DELAY = {"E": (1.5, 0.75), "I": (0.75, 0.375)}  # mean and deviation


CELLS = LIFExp(
    TAU,
    TAU_SYN,
    v_rest=E_L,
    v_reset=V_RESET,
    v_threshold=V_THRESHOLD,
    refractory=REFRACTORY,
    dt=DT,
    resistance=TAU / CAPACITY,
)


class Network(NamedTuple):
    """All synapses as one operator with delays, the external spikes, and a constant current of each neuron in pA."""

    synapses: Delayed
    external: PoissonInput
    current: jax.Array


class State(NamedTuple):
    """The neurons (V in mV, I in pA), currents under way, spikes of the last step, shape (n,).

    ``external`` is the state of the external spikes.
    """

    neurons: NeuronState
    ring: DelayState
    spikes: jax.Array
    external: jax.Array

    @property
    def v(self) -> jax.Array:
        """V in mV, shape (n,)."""
        return self.neurons.v


def sizes(scale: float = 0.1) -> np.ndarray:
    """Neurons of each population."""
    return np.maximum(1, np.round(np.array(SIZES) * scale)).astype(int)


def network(scale: float = 0.1, *, seed: int = 0, **options) -> Network:
    """The circuit.

    Parameters
    ----------
    scale : float
        Of the numbers of neurons and of synapses per neuron; 1 is the full one (about 3 GB).
    seed : int
        Of connections, weights and delays.
    **options
        Of the operator, such as ``backend``.
    """
    n = sizes(scale)
    first = np.concatenate([[0], np.cumsum(n)])
    full, probability = np.array(SIZES, float), np.array(PROBABILITY)
    number = np.log1p(-probability) / np.log1p(-1 / np.outer(full, full))
    per_target = number / full[:, None]  # synapses of a target neuron from each population
    mean = WEIGHT * np.where(np.arange(8) % 2, INHIBITION, 1.0) * np.ones((8, 1))
    mean[0, 2] *= 2
    rng, dtype = np.random.default_rng(seed), jnp.result_type(float)
    blocks = {}
    for target, source in np.ndindex(8, 8):
        k = round(per_target[target, source] * scale * n[target])
        if k == 0:
            continue
        draw = EventFixedTotalNum(
            n[source],
            n[target],
            k,
            1.0,
            allow_multi_conn=True,
            seed=64 * seed + 8 * target + source,
        )
        w = mean[target, source] / np.sqrt(scale)
        weight = rng.normal(w, RELATIVE_DEVIATION * abs(w), k).astype(dtype)
        # A weight keeps the sign of its source.
        weight = np.maximum(weight, 0) if w > 0 else np.minimum(weight, 0)
        mu, sigma = DELAY[POPULATIONS[source][-1]]
        delay = np.maximum(1, np.rint(rng.normal(mu, sigma, k) / DT)).astype(np.int16)
        blocks[target, source] = draw.rows.indptr(), draw.rows.indices(), weight, delay
    pre, post, weight, delay = _together(blocks, first, dtype)
    shape = (int(first[-1]),) * 2
    op = EventSparse((pre, post, weight), shape=shape, duplicates="keep", **options)
    # Spikes are handed on in the step after they were fired, which is the first step of their delay.
    synapses = Delayed(op, delay - np.int16(1))

    drive = np.array(EXTERNAL) * EXTERNAL_RATE * WEIGHT + (per_target * mean) @ np.array(
        RATES
    )  # pA / s
    current = 1e-3 * TAU_SYN * (1 - np.sqrt(scale)) * drive
    mean = np.array(EXTERNAL) * scale * EXTERNAL_RATE * 1e-3 * DT
    external = PoissonInput(
        tuple(n.tolist()), mean, WEIGHT / np.sqrt(scale), seed=seed, dtype=dtype
    )
    return Network(synapses, external, jnp.asarray(np.repeat(current, n), dtype))


def _together(blocks: dict, first: np.ndarray, dtype) -> tuple[np.ndarray, ...]:
    """Synapses of all pairs of populations as arrays in (pre, post) order: pre, post, weight, delay.

    They are put in their places and not sorted, and a block is dropped when it is done: the full circuit has 3e8.
    """
    degree = np.zeros((first[-1], 8), np.int64)
    for (target, source), (ptr, *_) in blocks.items():
        degree[first[source] : first[source + 1], target] = np.diff(ptr)
    start = (np.cumsum(degree) - degree.ravel()).reshape(degree.shape)
    total = int(degree.sum())
    post, weight = np.empty(total, np.int32), np.empty(total, dtype)
    delay = np.empty(total, np.int16)
    for target, source in list(blocks):
        ptr, posts, weights, delays = blocks.pop((target, source))
        begin = start[first[source] : first[source + 1], target]
        place = np.repeat(begin - ptr[:-1], np.diff(ptr)) + np.arange(posts.size)
        post[place], weight[place], delay[place] = posts + np.int32(first[target]), weights, delays
    pre = np.repeat(np.arange(first[-1], dtype=np.int32), degree.sum(axis=1))
    return pre, post, weight, delay


def initial(net: Network, seed: int = 0) -> State:
    """V normal around -58 mV (standard deviation 10 mV), no currents.

    The seed is that of V, and of the external spikes: those of seed ``s`` begin with step ``s * 2**32``.
    """
    n = net.current.shape[0]
    v = -58.0 + 10.0 * jax.random.normal(jax.random.key(seed), (n,))
    external = jnp.array([0, seed], jnp.uint32)
    silent = jnp.zeros(n, bool)
    return State(CELLS.init_state(n, v), net.synapses.init_state(), silent, external)


def step(net: Network, state: State) -> tuple[State, jax.Array]:
    """One step of 0.1 ms; gives the state and the spikes, shape (n,)."""
    ring, arriving = net.synapses.step(state.ring, state.spikes)
    external, arriving = net.external.step(state.external, into=arriving)
    neurons, spikes = CELLS.step(state.neurons, arriving, drive=net.current)
    return State(neurons, ring, spikes, external), spikes


def rates(counts, scale: float, n_steps: int) -> dict[str, float]:
    """Mean rate of each population in Hz, from the spike counts of :func:`eventops.models.run`."""
    parts = np.split(np.asarray(counts), np.cumsum(sizes(scale))[:-1])
    return {p: float(c.mean() / (n_steps * DT * 1e-3)) for p, c in zip(POPULATIONS, parts)}
