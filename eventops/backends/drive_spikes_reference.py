"""Spikes of independent sources in plain ``jax.numpy``; shapes as in :mod:`drive_reference`, numbers in docs/generator.md."""

import jax
import jax.numpy as jnp

from ..graphs import poisson_law
from .drive_reference import _u32, philox, word

SPIKES = 7
# Lanes: first gaps of the levels, further gaps, their further digits, what is kept, and further candidates of a source.
MORE_GAPS, FURTHER, KEEP, OTHERS_FURTHER, KEEP_MORE = 16, 32, 48, 49, 64
_BLOCK = poisson_law.BLOCK
_BLOCK_BITS = 23


def _units(rate):
    """The rate in units of 2**-48 as two words, the upper in units of 2**-16, and its level."""
    rate = jnp.where(rate > 0, jnp.minimum(rate, 1), 0)
    scaled = rate * jnp.asarray(2.0**16, rate.dtype)
    high = jnp.floor(scaled)
    low = jnp.floor((scaled - high) * jnp.asarray(2.0**32, rate.dtype))
    high, low = high.astype(jnp.uint32), low.astype(jnp.uint32)
    level = jnp.zeros(rate.shape, jnp.int32)
    for k in range(1, poisson_law.SPIKE_LEVELS):  # at most 2**-k
        half = _u32(1 << (16 - k))
        level += ((high < half) | ((high == half) & (low == 0))).astype(jnp.int32)
    return high, low, level


def _below(words, thresholds):
    """Whether a fraction is below another, both highest word first."""
    below = words[-1] < thresholds[-1]
    for w, t in zip(reversed(words[:-1]), reversed(thresholds[:-1])):
        below = (w < t) | ((w == t) & below)
    return below


def _candidates(step, block, level, law, present):
    """The sources of each block, (B, blocks, 256), that are candidates of a level."""
    row = jnp.asarray(law)[level]
    lane = level.astype(jnp.uint32)

    def gap(own, draw):
        certain = jnp.sum(row[None, None, :, 0] > own[..., None], axis=-1, dtype=jnp.int32)
        tied = jnp.any(row[None, None, :, 0] == own[..., None])

        def further():
            words = philox(*step, block | (draw << _BLOCK_BITS), lane + FURTHER, SPIKES)
            words = [own[..., None], *(w[..., None] for w in words[1:])]
            below = _below(words, [row[None, None, :, w] for w in range(4)])
            return jnp.sum(below, axis=-1, dtype=jnp.int32)

        return jax.lax.cond(tied, further, lambda: certain)

    def look(state):
        draw, own, place, hit = state
        place = place + gap(own, draw)
        inside = place < _BLOCK
        hit |= (
            jnp.arange(_BLOCK, dtype=jnp.int32)[None, None]
            == jnp.where(inside, place, -1)[..., None]
        )
        words = philox(*step, block | ((draw // _u32(4)) << _BLOCK_BITS), lane + MORE_GAPS, SPIKES)
        own = words[(draw % _u32(4)).astype(jnp.int32)]
        return draw + _u32(1), own, jnp.where(inside, place + 1, _BLOCK), hit

    start = (
        _u32(0),
        word(*step, block, lane, SPIKES),
        jnp.where(present, 0, _BLOCK).astype(jnp.int32),
        jnp.zeros((*block.shape, _BLOCK), bool),
    )
    return jax.lax.while_loop(lambda s: jnp.any(s[2] < _BLOCK), look, start)[3]


def spikes(counter, seed, first, rate, *, n, poisson):
    """The primitive ``spikes``: bool of shape (B, n), or int32 of Poisson sources."""
    lead = max(x.shape[0] for x in (counter, seed, first, rate))
    counter, seed = (jnp.broadcast_to(x, (lead, 2)) for x in (counter, seed))
    first = jnp.broadcast_to(first, (lead,))
    step = (seed, counter)
    n_blocks = -(-n // _BLOCK) + 1
    block = (first // _u32(_BLOCK))[:, None] + jnp.arange(n_blocks, dtype=jnp.uint32)[None]
    place = jnp.arange(n_blocks * _BLOCK, dtype=jnp.int32)[None]
    begin = (first % _u32(_BLOCK)).astype(jnp.int32)[:, None]
    inside = (place >= begin) & (place < begin + n)
    source = block[:, :1] * _u32(_BLOCK) + place.astype(jnp.uint32)
    rate = jnp.broadcast_to(rate, (lead, n))
    own = jnp.take_along_axis(rate, jnp.clip(place - begin, 0, n - 1), axis=1)
    high, low, level = _units(jnp.where(inside, own, 0))
    active = (high > 0) | (low > 0)
    law = poisson_law.gap_tables(poisson)

    def one_level(k, found):
        of_level = (active & (level == k)).reshape(lead, n_blocks, _BLOCK)
        present = jnp.any(of_level, axis=-1)

        def draw():
            return _candidates(step, block, k, law, present) & of_level

        return found | jax.lax.cond(jnp.any(present), draw, lambda: jnp.zeros_like(of_level))

    found = jnp.zeros((lead, n_blocks, _BLOCK), bool)
    found = jax.lax.fori_loop(
        jnp.int32(0), jnp.int32(poisson_law.SPIKE_LEVELS), one_level, found
    ).reshape(lead, -1)

    # Kept with the probability rate * 2**level: a fraction whose first word is the highest.
    shift = level.astype(jnp.uint32) + _u32(16)
    always = (high == (_u32(1 << 16) >> level.astype(jnp.uint32))) & (low == 0)
    threshold = (high << shift) | (low >> (_u32(32) - shift)), low << shift

    def kept(words):
        return always | _below([words[0], words[1]], threshold)

    words = philox(*step, source, KEEP, SPIKES)
    total = (found & kept(words)).astype(jnp.int32)
    if poisson:
        more = jnp.asarray(poisson_law.more_table())[level]
        rest = philox(*step, source, OTHERS_FURTHER, SPIKES)
        fraction = [w[..., None] for w in (words[2], words[3], rest[0], rest[1])]
        others = jnp.sum(_below(fraction, [more[..., w] for w in range(4)]), -1, dtype=jnp.int32)
        others = jnp.where(found, others, 0)

        def one_more(k, total):
            again = philox(*step, source, _u32(KEEP_MORE) + k.astype(jnp.uint32), SPIKES)
            return total + ((k < others) & kept(again)).astype(jnp.int32)

        total = jax.lax.fori_loop(jnp.int32(0), jnp.max(others), one_more, total)
    out = jnp.take_along_axis(total, begin + jnp.arange(n, dtype=jnp.int32)[None], axis=1)
    return out if poisson else out > 0
