"""The numbers of random drive one by one, in Python's integers: from docs/generator.md and nothing else."""

import functools
from fractions import Fraction

from eventops.graphs import poisson_law
from eventops.graphs.generator_reference import philox

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


SPIKES = 7


@functools.cache
def _table(kind):
    """Fractions of 2**128, as Python's integers: gaps of both laws, and further candidates."""
    words = (
        poisson_law.more_table() if kind == "more" else poisson_law.gap_tables(kind == "poisson")
    )
    return [[sum(int(w) << s for w, s in zip(t, (96, 64, 32, 0))) for t in row] for row in words]


def _whole(*four):
    return sum(w << s for w, s in zip(four, (96, 64, 32, 0)))


def _kept(seed, step, i, lane, fixed, level):
    w = words(seed, step, i, lane, SPIKES)
    return w, (w[0] << 32 | w[1]) < fixed << (16 + level)


def spikes(seed, step, rates, poisson):
    """Of all sources."""
    fixed = [int(Fraction(float(rate)) * 2**48) for rate in rates]
    level = [next((k for k in range(12) if f > 2 ** (47 - k)), 12) for f in fixed]
    found = [0] * len(fixed)
    gaps, more = _table("poisson" if poisson else "bernoulli"), _table("more")
    for block in range(-(-len(fixed) // 256)):
        for k in {level[i] for i in range(256 * block, min(256 * block + 256, len(fixed)))}:
            place, draw = 256 * block, 0
            own = words(seed, step, block // 4, k, SPIKES)[block % 4]
            while True:
                rest = words(seed, step, block | draw << 23, 32 + k, SPIKES)
                place += sum(_whole(own, *rest[1:]) < t for t in gaps[k])
                if place >= 256 * block + 256:
                    break
                if place < len(fixed) and fixed[place] and level[place] == k:
                    w, kept = _kept(seed, step, place, 48, fixed[place], k)
                    found[place] = int(kept)
                    rest = words(seed, step, place, 49, SPIKES)
                    others = sum(_whole(w[2], w[3], rest[0], rest[1]) < t for t in more[k])
                    for m in range(others if poisson else 0):
                        found[place] += _kept(seed, step, place, 64 + m, fixed[place], k)[1]
                place, draw = place + 1, draw + 1
                if place >= 256 * block + 256:
                    break
                own = words(seed, step, block | (draw - 1) // 4 << 23, 16 + k, SPIKES)[
                    (draw - 1) % 4
                ]
    return found
