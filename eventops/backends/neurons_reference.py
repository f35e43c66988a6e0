"""A step of integrate-and-fire neurons in ``jax.numpy``: what the native loop is tested against.

Operands: ``law`` (5 + 2 * channels,), see ``neurons.py``; ``v``, ``wait`` (int16), the channels and their inputs (one, the
jump of V, where there are no channels) of one shape (*lead, n); ``drive`` of shape (), (n,) or (*lead, n).
"""

import jax.numpy as jnp

DECAY, REST, RESET, THRESHOLD, DRIVE_GAIN, CHANNEL = range(6)


def potential(law, v, wait, *arrays, channels, conductance):
    """V after a step, before spikes reset it, and the channels after it."""
    synaptic, inputs = arrays[:channels], arrays[channels:-1]
    drive = jnp.broadcast_to(arrays[-1], v.shape)
    decays = [law[CHANNEL + 2 * k] for k in range(channels)]
    gains = [law[CHANNEL + 2 * k + 1] for k in range(channels)]
    after = [s * d + x for s, d, x in zip(synaptic, decays, inputs)]
    if conductance:
        total = 1.0 + sum(after)
        driven = law[REST] + drive * law[DRIVE_GAIN]
        end = (driven + sum(g * e for g, e in zip(after, gains))) / total
        moved = end + (v - end) * jnp.exp(total * law[DECAY])
    else:
        moved = law[REST] + (v - law[REST]) * law[DECAY] + drive * law[DRIVE_GAIN]
        moved = moved + (sum(s * g for s, g in zip(synaptic, gains)) if channels else inputs[0])
    return jnp.where(wait > 0, v, moved), after


def step(law, v, wait, *arrays, channels, conductance, pause):
    """(v, wait, *channels, spikes) after a step; spikes are bool."""
    v, after = potential(law, v, wait, *arrays, channels=channels, conductance=conductance)
    spikes = v >= law[THRESHOLD]
    less = jnp.maximum(wait - jnp.int16(1), jnp.int16(0))
    return (
        jnp.where(spikes, law[RESET], v),
        jnp.where(spikes, jnp.int16(pause), less),
        *after,
        spikes,
    )
