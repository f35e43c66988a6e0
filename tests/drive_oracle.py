"""The numbers of random drive one by one, in Python's integers: from docs/generator.md and nothing else."""

import functools
from fractions import Fraction

from eventops import poisson_law
from eventops.random_reference import philox

INPUT = 6
survival = functools.cache(poisson_law.survival)


def words(seed, step, block, lane, rule=INPUT):
    """Of one block: the step's low word stands where graphs have the line, its high word where they have the lane."""
    low, high = step & 0xFFFFFFFF, step >> 32
    return [int(w) for w in philox(seed, block, low, high, rule + 256 * lane + 65536)]


def invert(digit, bits, further, mean):
    """How many survival probabilities are above the fraction that starts with ``digit``; ``mean`` in 1/128."""
    w = further()
    top = digit if bits == 32 else digit << 16 | w[0] & 0xFFFF
    fraction = top << 96 | w[1] << 64 | w[2] << 32 | w[3]
    sure, thresholds = survival(mean)
    return sure + sum(fraction < t for t in thresholds)


def number(seed, step, i, mean):
    """Of neuron ``i``; the mean is a float that is rounded down to a multiple of 2**-48."""
    fixed = int(Fraction(mean) * 2**48)
    own = words(seed, step, i // 4, 0)[i % 4]
    total = 0
    for level, (unit, shift, size) in enumerate(
        ((1, 41, 512), (512, 50, 16), (8192, 54, 16), (131072, 58, 4))
    ):
        digit = (fixed >> shift) % size
        if digit:
            first = own >> 16 if level == 0 else words(seed, step, i // 4, level)[i % 4]
            total += invert(
                first,
                32 if level else 16,
                lambda lane=4 + level: words(seed, step, i, lane),
                unit * digit,
            )
    rest = fixed % 2**41
    if rest:
        for j in range(invert(own & 0xFFFF, 16, lambda: words(seed, step, i, 8), 1)):
            w = words(seed, step, i, 16 + j)
            total += (w[0] << 32 | w[1]) < rest << 23
    return total
