"""Distal reward by dopamine-modulated plasticity: Izhikevich (2007), Cerebral Cortex 17, 2443-2452.

A thousand spiking neurons (800 excitatory, 200 inhibitory; Izhikevich 2003) are connected at random with 100 synapses
each and driven by noise. Pairs of spikes do not change an excitatory synapse's weight s, they mark the synapse with an
eligibility c that fades in a second; the concentration d of dopamine, which fades in 0.2 s, turns it into a change:

    dc/dt = -c / tau_c + STDP(t_post - t_pre) at each pair of spikes        ds/dt = c d        dd/dt = -d / tau_d + reward

Whenever neuron 1 fires within 20 ms before neuron 2, to which it has a synapse of weight 0, a reward comes one to three
seconds later, when thousands of other pairs have fired. The synapse that causes the reward grows nevertheless, since it
is the only one that is marked before every reward (figure 1 of the paper).

Both c and s stand one per synapse in (pre, post) order. A spike changes c of its neuron's synapses alone
(``update_on_pre``, ``update_on_post``); the decay of c and the change of s, which concern all synapses, are made every
10 ms, as in the program that comes with the paper.

The paper's rewards, 0.5 micromolar, act over an hour of simulated time, after which the rewarded synapse is among the
largest (3.79 of 4 mV with seed 0). By default they are ten times as large and the run takes minutes: the synapse rises from
0 to about the mean of all others (1.6 mV after 200 s in one run). For the paper's figure, run the line below.

    python examples/reward.py --seconds 3600 --reward 0.5 --figure reward.svg
"""

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import eventops as nn

N_EX, N_IN, OUT_DEGREE = 800, 200, 100
N = N_EX + N_IN
LARGEST = 4.0  # weight, mV
STEP_MS, BLOCK = 1, 10  # of a step; steps between changes of all synapses
TAU_TRACE, TAU_C, TAU_D = 20.0, 1000.0, 200.0  # ms
A_PLUS, A_MINUS = 0.1, 0.15
REWARD, WINDOW, DELAYS = 0.5, 20, (1000, 3000)  # micromolar; ms
TONIC = 0.002  # change of c d that is always there, in units of d


def network(seed=0):
    """The synapses of the excitatory neurons, which learn, and those of the inhibitory ones, which do not.

    Returns
    -------
    excitatory, inhibitory : EventFixedNumConn
        Inhibitory neurons reach excitatory ones only. The first synapse of neuron 0 has the weight 0.
    """
    excitatory = nn.EventFixedNumConn(N_EX, N, OUT_DEGREE, 1.0, seed=2 * seed + 1)
    weight = jnp.ones(excitatory.n_synapses).at[0].set(0.0)
    inhibitory = nn.EventFixedNumConn(N_IN, N_EX, OUT_DEGREE, -1.0, seed=2 * seed + 2)
    return excitatory.with_weight(weight).with_columns(), inhibitory


def step(excitatory, inhibitory, weight, state, inputs):
    """One millisecond of the network."""
    v, u, fired, trace, c = state
    current = inputs + excitatory.with_weight(weight)(fired[:N_EX])
    current = current.at[:N_EX].add(inhibitory(fired[N_EX:]))
    fast = jnp.arange(N) >= N_EX
    a, d = jnp.where(fast, 0.1, 0.02), jnp.where(fast, 2.0, 8.0)
    v, u = jnp.where(fired, -65.0, v), jnp.where(fired, u + d, u)
    for _ in range(2):  # half a millisecond each, for stability
        v = v + 0.5 * ((0.04 * v + 5) * v + 140 - u + current)
    u = u + a * (0.2 * v - u)
    fired = v >= 30
    # The last spikes of the partners, in reach of 20 ms: pre before post marks, post before pre unmarks.
    c = excitatory.update_on_pre(c, fired[:N_EX], -A_MINUS * trace)
    c = excitatory.update_on_post(c, fired, A_PLUS * trace[:N_EX])
    trace = jnp.where(fired, 1.0, trace * np.exp(-STEP_MS / TAU_TRACE))
    return (v, u, fired, trace, c), fired


def block(excitatory, inhibitory, target, reward, carry, inputs):
    """Ten milliseconds: the network, the rewards, and the weights that dopamine changes."""
    weight, state, dopamine, since, now, due = carry
    noise, delay = inputs
    state, fired = jax.lax.scan(partial(step, excitatory, inhibitory, weight), state, noise)

    def watch(carry, pair):
        dopamine, since, now, due = carry
        first, second = pair
        due = due.at[(now + delay) % due.shape[0]].add(
            jnp.where(second & (since < WINDOW), reward, 0.0)
        )
        dopamine = dopamine * np.exp(-STEP_MS / TAU_D) + due[now % due.shape[0]]
        due = due.at[now % due.shape[0]].set(0.0)
        return (dopamine, jnp.where(first, 0, since + 1), now + 1, due), None

    pairs = fired[:, 0], fired[:, target]
    (dopamine, since, now, due), _ = jax.lax.scan(watch, (dopamine, since, now, due), pairs)
    *neurons, c = state
    weight = jnp.clip(weight + (TONIC + dopamine) * c, 0.0, LARGEST)
    c = c * np.exp(-BLOCK * STEP_MS / TAU_C)
    return (weight, (*neurons, c), dopamine, since, now, due), jnp.mean(fired)


@partial(jax.jit, static_argnames="seconds")
def run(excitatory, inhibitory, target, seconds, reward=REWARD, seed=0):
    """Simulate.

    Parameters
    ----------
    excitatory, inhibitory : EventFixedNumConn
        As :func:`network` makes them.
    target : int
        The post neuron of synapse 0: its spikes after those of neuron 0 are rewarded.
    seconds : int
    reward : float
        Dopamine that a reward adds, micromolar.

    Returns
    -------
    weight : array, shape (n_synapses,)
        Of the excitatory synapses in the end, mV.
    course : array, shape (seconds,)
        Weight of synapse 0 after each second.
    mean : array, shape (seconds,)
        Mean weight of all excitatory synapses after each second.
    rates : array, shape (seconds,)
        Mean rate of all neurons, Hz.
    """

    def second(carry, key):
        keys = jax.random.split(key)
        noise = jax.random.uniform(keys[0], (1000 // BLOCK, BLOCK, N), minval=-6.5, maxval=6.5)
        delays = jax.random.randint(keys[1], (1000 // BLOCK,), *DELAYS)
        carry, rate = jax.lax.scan(
            partial(block, excitatory, inhibitory, target, reward), carry, (noise, delays)
        )
        return carry, (carry[0][0], jnp.mean(carry[0]), 1000 * jnp.mean(rate))

    silent = jnp.zeros(N, bool)
    state = (
        jnp.full(N, -65.0),
        jnp.full(N, -13.0),
        silent,
        jnp.zeros(N),
        jnp.zeros_like(excitatory.weight),
    )
    far = jnp.int32(10**6)
    carry = excitatory.weight, state, jnp.float32(0), far, jnp.int32(0), jnp.zeros(DELAYS[1] + 1)
    carry, (course, mean, rates) = jax.lax.scan(
        second, carry, jax.random.split(jax.random.key(seed), seconds)
    )
    return carry[0], course, mean, rates


def draw(path, weight, course, mean):
    """The rewarded synapse over time, and where it ends among all others."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "eventops"
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="ticks", context="paper")
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
    seconds = np.arange(1, len(course) + 1)
    sns.lineplot(x=seconds, y=np.asarray(course), color="0.1", label="rewarded synapse", ax=left)
    sns.lineplot(x=seconds, y=np.asarray(mean), color="0.6", ls="--", label="mean of all", ax=left)
    left.set(xlabel="time (s)", ylabel="weight (mV)", ylim=(0, 1.05 * LARGEST))
    sns.histplot(x=np.asarray(weight), bins=np.linspace(0, LARGEST, 41), color="0.6", ax=right)
    right.axvline(float(weight[0]), color="0.1")
    right.set(xlabel="weight (mV); line: rewarded synapse", ylabel="synapses", yscale="log")
    sns.despine()
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=200, help="of simulated time")
    parser.add_argument(
        "--reward", type=float, default=10 * REWARD, help="dopamine of a reward, micromolar"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", metavar="FILE", help="write the figure there (.svg or .png)")
    options = parser.parse_args()
    start = time.perf_counter()
    excitatory, inhibitory = network(options.seed)
    target = int(excitatory.rows.row(0)[0])
    result = run(excitatory, inhibitory, target, options.seconds, options.reward, options.seed)
    weight, course, mean, rates = jax.block_until_ready(result)
    print(
        f"{options.seconds} s simulated in {time.perf_counter() - start:.1f} s, mean rate {rates.mean():.1f} Hz"
    )
    larger = float(jnp.mean(weight > weight[0]))
    print(
        f"rewarded synapse: {weight[0]:.2f} mV, from 0; {larger:.1%} of all are larger, mean {mean[-1]:.2f} mV"
    )
    if options.figure:
        draw(options.figure, weight, course, mean)


if __name__ == "__main__":
    main()
