"""Random drive in plain ``jax.numpy``: the specification of the native kernels, on any device.

Shapes: drives stand along a first axis of length B; each operand has B of its own there, or 1 for all. Counters and seeds
are ``(B, 2)`` of uint32, low word first; ``first`` is ``(B,)``, the number of the first neuron; means and weights are
``(B, n)`` or ``(B, 1)``. See docs/generator.md for the numbers.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..core.dtypes import accumulator
from ..graphs import poisson_law

INPUT, VERSION = 6, 1
# Lanes: first words of the four levels, their further digits, those of the candidates' number, and candidates.
FURTHER, REST_FURTHER, CANDIDATES = 4, 8, 16
_HALF = 0xFFFF


def _u32(x):
    return jnp.asarray(x, jnp.uint32)


def _times_constant(x, constant: int):
    """The 64-bit product of uint32 and a constant: (high, low), without 64-bit integers."""
    low, high = _u32(constant & _HALF), _u32(constant >> 16)
    x0, x1 = x & _u32(_HALF), x >> _u32(16)
    a, b, c = x0 * low, x1 * low, x0 * high
    middle = (a >> _u32(16)) + (b & _u32(_HALF)) + (c & _u32(_HALF))
    upper = x1 * high + (b >> _u32(16)) + (c >> _u32(16)) + (middle >> _u32(16))
    return upper, x * _u32(constant)


def philox(seed, counter, block, lane, rule=INPUT):
    """Four words of each block: uint32 of shape (4, B, n).

    Parameters
    ----------
    seed, counter : array of uint32, shape (B, 2)
    block : array of uint32, shape (B, n)
    lane : int or array of uint32, shape (B, n)
    rule : int
    """
    c0 = block
    c1, c2 = (jnp.broadcast_to(counter[:, w, None], block.shape) for w in (0, 1))
    lanes = jnp.broadcast_to(_u32(lane), block.shape)
    c3 = _u32(rule + (VERSION << 16)) + lanes * _u32(256)
    k0, k1 = seed[:, 0, None], seed[:, 1, None]

    def one(_, state):
        c0, c1, c2, c3, k0, k1 = state
        high0, low0 = _times_constant(c0, 0xD2511F53)
        high1, low1 = _times_constant(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        return c0, c1, c2, c3, k0 + _u32(0x9E3779B9), k1 + _u32(0xBB67AE85)

    shape = jnp.broadcast_shapes(block.shape, k0.shape)
    state = [jnp.broadcast_to(c, shape) for c in (c0, c1, c2, c3)]
    # Unrolled, the rounds take XLA half a minute to compile.
    *words, _, _ = jax.lax.fori_loop(0, 10, one, (*state, k0, k1))
    return jnp.stack(words)


def word(seed, counter, neuron, lane, rule=INPUT):
    """The word of each neuron in a lane that has one for each: uint32 of shape (B, n)."""
    words = philox(seed, counter, neuron >> _u32(2), lane, rule)
    which = (neuron & _u32(3))[None]
    return jnp.take_along_axis(words, jnp.broadcast_to(which, (1, *words.shape[1:])), axis=0)[0]


def fixed_point(mean):
    """The mean as two words, in units of 2**-16 and 2**-48, and whether it is one: at least 0 and below 4,096."""
    valid = (mean >= 0) & (mean < poisson_law.MOST)
    scaled = jnp.where(valid, mean, 0) * jnp.asarray(2.0**16, mean.dtype)
    high = jnp.floor(scaled)
    low = (scaled - high) * jnp.asarray(2.0**32, mean.dtype)
    return high.astype(jnp.uint32), jnp.floor(low).astype(jnp.uint32), valid


def _above(table, begin, end, digit):
    """How many words of a column from ``begin`` on, which fall, are above ``digit``; ``end`` bounds them."""

    def half(_, bounds):
        low, high = bounds
        middle = (low + high) // 2
        above = (table[jnp.minimum(middle, table.shape[0] - 1)] > digit) & (low < high)
        return jnp.where(above, middle + 1, low), jnp.where(above, high, middle)

    low, _ = jax.lax.fori_loop(0, 12, half, (begin, end))  # rows have fewer than 4,096 words
    return low - begin


def _invert(first, bits, further, row, wanted):
    """The number of survival probabilities in table ``row`` that are above a uniform fraction; 0 where not wanted.

    The fraction's first digit, of ``bits`` bits, is ``first``. Where that is also the first digit of a probability, ``further()`` has
    the other digits: 128 bits, of which those that ``first`` brings are replaced by it.
    """
    law = poisson_law.tables()
    column = [jnp.asarray(law.words[:, w]) for w in range(4)]
    begin, end = jnp.asarray(law.start)[row], jnp.asarray(law.start)[row + 1]
    digits = column[0] >> _u32(32 - bits)
    certain = _above(digits, begin, end, first)
    reach = jnp.where(first > 0, _above(digits, begin, end, first - _u32(1)), end - begin)
    unsure = wanted & (reach > certain)

    def look_further():
        words = further()
        top = first if bits == 32 else (first << _u32(16)) | (words[0] & _u32(_HALF))

        def one_more(k, found):
            at = jnp.minimum(begin + certain + k, law.words.shape[0] - 1)
            threshold = [c[at] for c in column]
            below = words[3] < threshold[3]
            for w in (2, 1):
                below = (words[w] < threshold[w]) | ((words[w] == threshold[w]) & below)
            below = (top < threshold[0]) | ((top == threshold[0]) & below)
            return found + (unsure & (certain + k < reach) & below).astype(jnp.int32)

        steps = jnp.max(jnp.where(unsure, reach - certain, 0))
        return jax.lax.fori_loop(jnp.int32(0), steps, one_more, jnp.zeros_like(certain))

    more = jax.lax.cond(jnp.any(unsure), look_further, lambda: jnp.zeros_like(certain))
    return jnp.where(wanted, certain + more + jnp.asarray(law.sure)[row], 0)


def numbers(counter, seed, first, mean, n):
    """The number of events of each neuron: int32 of shape (B, n); -1 where the mean is none."""
    lead = max(x.shape[0] for x in (counter, seed, first, mean))
    counter, seed = (jnp.broadcast_to(x, (lead, 2)) for x in (counter, seed))
    neuron = jnp.broadcast_to(first[:, None] + jnp.arange(n, dtype=jnp.uint32)[None, :], (lead, n))
    high, low, valid = fixed_point(jnp.broadcast_to(mean, (lead, n)))
    own = word(seed, counter, neuron, 0)

    def level(k, total):
        _, shift, size = (_u32(column)[k] for column in zip(*poisson_law.LEVELS))
        digit = ((high >> shift) & (size - _u32(1))).astype(jnp.int32)
        row = digit + jnp.asarray(poisson_law.FIRST_ROW, jnp.int32)[k]
        lane = k.astype(jnp.uint32)

        def draw():
            begin = word(seed, counter, neuron, lane)
            return _invert(
                begin, 32, lambda: philox(seed, counter, neuron, lane + FURTHER), row, digit > 0
            )

        return total + jax.lax.cond(jnp.any(digit > 0), draw, lambda: jnp.zeros_like(total))

    digit = ((high >> _u32(9)) & _u32(511)).astype(jnp.int32)
    total = _invert(
        own >> _u32(16),
        16,
        lambda: philox(seed, counter, neuron, FURTHER),
        digit,
        digit > 0,
    )
    total = jax.lax.fori_loop(jnp.int32(1), jnp.int32(4), level, total)
    return jnp.where(valid, total + _kept(seed, counter, neuron, own, high, low), -1)


def _kept(seed, counter, neuron, own, high, low):
    """Of candidates with a mean of 1/128 those that are kept, each with the probability that the rest of the mean has."""
    threshold = ((high & _u32(511)) << _u32(23)) | (low >> _u32(9)), low << _u32(23)
    wanted = (threshold[0] > 0) | (threshold[1] > 0)
    candidates = _invert(
        own & _u32(_HALF),
        16,
        lambda: philox(seed, counter, neuron, REST_FURTHER),
        jnp.ones(neuron.shape, jnp.int32),
        wanted,
    )

    def one_more(k, kept):
        words = philox(seed, counter, neuron, _u32(CANDIDATES) + k.astype(jnp.uint32))
        below = (words[0] == threshold[0]) & (words[1] < threshold[1])
        below |= words[0] < threshold[0]
        return kept + ((k < candidates) & below).astype(jnp.int32)

    most = jnp.max(candidates, initial=0)
    return jax.lax.fori_loop(jnp.int32(0), most, one_more, jnp.zeros_like(candidates))


def counts(counter, seed, first, mean, *, n):
    """The primitive ``counts``."""
    return numbers(counter, seed, first, mean, n)


def current(into, weight, counter, seed, first, mean, *, n, dtype):
    """The primitive ``current``: numbers times weights; added to ``into``, unless that has shape (0,)."""
    found = numbers(counter, seed, first, mean, n)
    sums = accumulator(dtype)
    events = jnp.where(found < 0, jnp.asarray(np.nan, sums), found.astype(sums))
    out = weight.astype(sums) * events
    if into.shape != (0,):
        out = into.astype(sums).reshape(-1, n) + out
        out = out.reshape(into.shape)
    return out.astype(dtype)
