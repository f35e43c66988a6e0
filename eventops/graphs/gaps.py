"""The law of the gaps between independent trials, as integers: generator version 1 (docs/generator.md)."""

import functools

import numpy as np

# One digit of a gap takes 256 values; four digits exceed every admissible size.
_MAX_DIGITS = 4
# A double has at most 1,074 binary places, so 1 - p is exact with this many; its powers are rounded far
# below the 128 bits that are kept.
_PLACES = 1200


@functools.lru_cache(maxsize=256)
def gap_table(prob: float) -> np.ndarray:
    """Survival functions of the base-256 digits of a geometric gap.

    Between independent trials of probability p the number of failures G has P(G >= g) = x**g, x = 1 - p.
    Written in base 256, its digits are independent: digit d takes the value j with a weight proportional
    to (x**(256**d))**j. So a gap is one small table look-up per digit, for any p. In the last digit the
    value 256 stands for "256 or more": the law has no memory, so another digit is drawn and added.

    Returns
    -------
    array of uint32, shape (n_digits, 256, 4)
        ``[d, j - 1]`` is P(digit d >= j) as a 128-bit fraction, rounded down, lowest word first.
    """
    numerator, denominator = float(prob).as_integer_ratio()
    one = 1 << _PLACES
    x = one - (numerator << _PLACES) // denominator
    digits = []
    for d in range(_MAX_DIGITS):
        powers = [one]
        for _ in range(256):
            powers.append(powers[-1] * x >> _PLACES)
        last = powers[256] <= one // 2 or d == _MAX_DIGITS - 1
        if last:
            survival = [(p << 128) >> _PLACES for p in powers[1:]]
        else:
            survival = [((p - powers[256]) << 128) // (one - powers[256]) for p in powers[1:]]
        # 1 itself does not fit 128 bits; it is the survival of p = 0, for which no table is made.
        survival = [min(s, (1 << 128) - 1) for s in survival]
        digits.append([[s >> (32 * w) & 0xFFFFFFFF for w in range(4)] for s in survival])
        if last:
            break
        x = powers[256]
    return np.array(digits, np.uint32)
