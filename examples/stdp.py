"""Competition by spike-timing-dependent plasticity: Song, Miller & Abbott (2000), Nature Neuroscience 3, 919-926.

One integrate-and-fire neuron gets 1,000 excitatory and 200 inhibitory Poisson inputs through conductances:

    tau_m dV/dt = (V_rest - V) + g_ex (E_ex - V) + g_in (E_in - V)        spike and reset at the threshold
    tau_ex dg_ex/dt = -g_ex       g_ex -> g_ex + g_max w_i                on a spike of excitatory input i
    tau_in dg_in/dt = -g_in       g_in -> g_in + 0.05                     on a spike of an inhibitory input

The excitatory weights w_i in [0, 1] follow pairs of spikes. Each input has a trace P_i, the neuron a trace M, both of
which decay with 20 ms:

    input i fires:       w_i -> max(w_i + M, 0)       P_i -> P_i + A_plus
    the neuron fires:    w_i -> min(w_i + P_i, 1)     M   -> M - A_minus,    A_minus = 1.05 A_plus

Depression outweighs potentiation a little, so that inputs compete for the control of the neuron's spikes. From any start
the weights end up near the two bounds (figure 2 of the paper), and the neuron's rate depends little on that of its
inputs.

The paper's A_plus is 0.005, with which the competition takes half an hour of simulated time; twice that is the default
here and shows the same in 400 s.

    python examples/stdp.py --rate 20 --a-plus 0.005 --seconds 2000 --figure stdp.svg
"""

import argparse
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import eventops as nn

N_EX, N_IN, RATE_IN = 1000, 200, 10.0  # inputs, and Hz
DT, TAU_M, TAU_SYN, TAU_STDP = 1.0, 20.0, 5.0, 20.0  # ms
V_REST, V_RESET, THRESHOLD, E_EX, E_IN = -70.0, -60.0, -54.0, 0.0, -70.0  # mV
G_MAX, G_IN = 0.015, 0.05  # in units of the leak conductance
A_PLUS, RATIO = 0.01, 1.05


def network(seed=0) -> nn.EventLinear:
    """The excitatory synapses, with all weights in the middle of their range."""
    return nn.EventLinear(N_EX, 1, jnp.full((N_EX, 1), 0.5), seed=seed)


def step(op, a_plus, state, spikes):
    """One step: perhaps a spike out, inputs in, and the weights that these change.

    Inputs act from the next step on, so a spike that an input causes is later than the input; spikes of the same
    step are no pair.
    """
    weight, v, g_ex, g_in, p, m = state
    excitatory, inhibitory = spikes
    decay, stdp_decay = np.exp(-DT / TAU_SYN), np.exp(-DT / TAU_STDP)
    v = v + DT / TAU_M * ((V_REST - v) + g_ex * (E_EX - v) + g_in * (E_IN - v))
    fired = v > THRESHOLD
    v = jnp.where(fired, V_RESET, v)
    g_ex = g_ex * decay + G_MAX * op.with_weight(weight)(excitatory)
    g_in = g_in * decay + G_IN * inhibitory
    weight = op.update_on_pre(weight, excitatory, m, low=0.0, high=1.0)
    weight = op.update_on_post(weight, fired, p, low=0.0, high=1.0)
    p = (p + a_plus * excitatory) * stdp_decay
    m = (m - RATIO * a_plus * fired) * stdp_decay
    return (weight, v, g_ex, g_in, p, m), fired[0]


@partial(jax.jit, static_argnames="seconds")
def run(op, rate, seconds, a_plus=A_PLUS, seed=0):
    """Simulate.

    Parameters
    ----------
    op : EventLinear
        The excitatory synapses, (1000, 1).
    rate : float
        Of each excitatory input, Hz.
    seconds : int
    a_plus : float
        Potentiation by one pair of spikes, in units of the range of a weight.

    Returns
    -------
    weight : array, shape (1000,)
        In the end.
    rates : array, shape (seconds,)
        Of the neuron in each second, Hz.
    """
    steps = round(1000 / DT)

    def second(state, key):
        keys = jax.random.split(key)
        excitatory = jax.random.bernoulli(keys[0], rate * DT / 1000, (steps, N_EX))
        inhibitory = jax.random.bernoulli(keys[1], RATE_IN * DT / 1000, (steps, N_IN))
        inputs = excitatory, jnp.sum(inhibitory, axis=1, dtype=jnp.float32)
        state, fired = jax.lax.scan(partial(step, op, a_plus), state, inputs)
        return state, jnp.sum(fired)

    one = jnp.zeros(1)
    state = op.weight, one + V_REST, one, one, jnp.zeros(N_EX), one
    keys = jax.random.split(jax.random.key(seed), seconds)
    state, rates = jax.lax.scan(second, state, keys)
    return state[0][:, 0], rates


def draw(path, weight, rates, rate):
    """The distribution of the weights, and the neuron's rate over time."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "eventops"
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="ticks", context="paper")
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
    sns.histplot(x=np.asarray(weight), bins=np.linspace(0, 1, 21), color="0.35", ax=left)
    left.set(xlabel="weight / largest weight", ylabel="synapses")
    left.set_title(f"after {len(rates)} s of {rate:g} Hz inputs", fontsize=9)
    sns.lineplot(x=np.arange(1, len(rates) + 1), y=np.asarray(rates), color="0.35", ax=right)
    right.set(xlabel="time (s)", ylabel="rate of the neuron (Hz)", ylim=(0, None))
    sns.despine()
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--rate", type=float, default=20.0, help="of each excitatory input, Hz (10 to 40)"
    )
    parser.add_argument("--seconds", type=int, default=400, help="of simulated time")
    parser.add_argument(
        "--a-plus", type=float, default=A_PLUS, help="potentiation by a pair of spikes"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", metavar="FILE", help="write the figure there (.svg or .png)")
    options = parser.parse_args()
    start = time.perf_counter()
    weight, rates = jax.block_until_ready(
        run(network(), options.rate, options.seconds, options.a_plus, options.seed)
    )
    print(f"{options.seconds} s simulated in {time.perf_counter() - start:.1f} s")
    shares = np.histogram(weight, [0, 0.2, 0.8, 1.0])[0] / N_EX
    print("weights below 0.2: {:.0%}, between: {:.0%}, above 0.8: {:.0%}".format(*shares))
    print(
        f"rate of the neuron: {rates[:10].mean():.1f} Hz at first, {rates[-10:].mean():.1f} Hz in the end"
    )
    if options.figure:
        draw(options.figure, weight, rates, options.rate)


if __name__ == "__main__":
    main()
