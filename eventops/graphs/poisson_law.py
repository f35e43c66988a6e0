"""The Poisson law as integers: P(X > k) as 128-bit fractions, rounded down, for the digits of a mean.

A mean is a sum of four digits and a rest: multiples of 1/128 below 4, of 4 below 64, of 64 below 1,024, of 1,024
below 4,096, and less than 1/128. The number of events is the sum of independent Poisson numbers, one for each digit, so
548 tables serve every mean; docs/generator.md has the rest. ``csrc/cpu/poisson_law.cc`` computes the same integers.
"""

import functools
from typing import NamedTuple

import numpy as np

# Each level: its unit as a multiple of 1 / UNITS, how far the fixed-point mean is shifted for its digit, and its digits.
UNITS = 128
LEVELS = ((1, 9, 512), (4 * UNITS, 18, 16), (64 * UNITS, 22, 16), (1024 * UNITS, 26, 4))
FIRST_ROW = (0, 512, 528, 544)
MOST = 4096  # means are below
BITS = 128


class Tables(NamedTuple):
    """All rows behind each other: row ``r`` has ``words[start[r] : start[r + 1]]``, after ``sure[r]`` that are 1.

    ``words`` is uint32 of shape (total, 4), highest word first, falling within a row.
    """

    words: np.ndarray
    start: np.ndarray
    sure: np.ndarray


def survival(mean: int) -> tuple[int, list[int]]:
    """P(X > k) of a Poisson number with the mean ``mean / 128``.

    Returns
    -------
    sure : int
        For how many k, from 0 on, it is above 1 - 2**-128.
    thresholds : list of int
        For the next k, in units of 2**-128, rounded down, to the last that is not 0.
    """
    if mean == 0:
        return 0, []
    # The series of exp(-m) alternates: its terms are as large as exp(m), and as many places are lost.
    places = BITS + 128 + 3 * (mean // UNITS + 1)
    one = 1 << places
    term = probability = one
    k = 0
    while term:
        k += 1
        term = term * mean // (UNITS * k)
        probability += -term if k % 2 else term
    left, sure, thresholds, k = one, 0, [], 0
    full = (1 << BITS) - 1
    while True:
        left -= probability
        threshold = left >> (places - BITS)
        if threshold == 0:
            return sure, thresholds
        if threshold == full and not thresholds:
            sure += 1
        else:
            thresholds.append(threshold)
        k += 1
        probability = probability * mean // (UNITS * k)


@functools.cache
def tables() -> Tables:
    """Of all digits of all levels, in this order."""
    rows = [survival(unit * digit) for unit, _, n in LEVELS for digit in range(n)]
    words = [[t >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0)] for _, row in rows for t in row]
    start = np.cumsum([0, *(len(row) for _, row in rows)])
    sure = np.array([sure for sure, _ in rows])
    return Tables(np.array(words, np.uint32), start.astype(np.int32), sure.astype(np.int32))


# Spikes of sources: candidates of level l have the probability, or the mean, 2**-l.
SPIKE_LEVELS = 13
BLOCK = 256
_PLACES = 400


def _words(fractions) -> list[list[int]]:
    """Of numbers with ``_PLACES`` binary places, below 1 but for rounding, as 128-bit fractions."""
    cut = [min(x >> (_PLACES - BITS), (1 << BITS) - 1) for x in fractions]
    return [[x >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0)] for x in cut]


def _silent(level: int) -> int:
    """exp(-2**-level)."""
    one = 1 << _PLACES
    term, total, k = one, one, 0
    while term:
        k += 1
        term = (term >> level) // k
        total += -term if k % 2 else term
    return total


@functools.cache
def gap_tables(poisson: bool) -> np.ndarray:
    """P(gap >= g) for g from 1 to 256: uint32, shape (levels, 256, 4), highest word first.

    A gap is the number of sources that are no candidates, where one is with probability 2**-level, or
    1 - exp(-2**-level) if ``poisson``.
    """
    rows = []
    for level in range(SPIKE_LEVELS):
        one = 1 << _PLACES
        silent = _silent(level) if poisson else one - (one >> level)
        powers = [silent]
        while len(powers) < BLOCK:
            powers.append(powers[-1] * silent >> _PLACES)
        rows.append(_words(powers))
    return np.array(rows, np.uint32)


@functools.cache
def more_table() -> np.ndarray:
    """P(N > k | N > 0) for k from 1 to 32 of a Poisson number with mean 2**-level: uint32, shape (levels, 32, 4)."""
    rows = []
    for level in range(SPIKE_LEVELS):
        one, term = 1 << _PLACES, _silent(level)
        some = left = one - term
        found = []
        for k in range(1, 33):
            term = (term >> level) // k
            left -= term
            found.append((max(left, 0) << _PLACES) // some)
        rows.append(_words(found))
    return np.array(rows, np.uint32)
