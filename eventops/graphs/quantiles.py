"""The law of a generated weight: a quantile function as a table that every device reads in the same way.

A weight takes 32 random bits. They are read as a probability, ``p`` from the lower end of the law or from the upper
one, and the quantile function is a table of parabolas over ``p``: 64 for each octave, so that tails are as fine as the
middle. The table is float32, and reading it takes one conversion, two multiplications and two additions, all of them
rounded to nearest and none fused; so a law gives the same bits in C++, in NumPy and on any processor.
``docs/generator.md`` is the definition.
"""

import dataclasses
import functools
import hashlib
import statistics

import numpy as np

# Parabolas per octave are 2**_STEPS; p = (t + 1/2) / 2**32 for integers t < 2**31 spans 32 octaves.
_STEPS = 6
_OCTAVES = 32
N_PIECES = (_OCTAVES << _STEPS) + 1
# The float32 number 1/2 starts the first piece.
_FIRST = 126 << _STEPS
_FRACTION_BITS = 23 - _STEPS
# What a table may be off by: this part of the quantile itself, and of the distance of the quartiles.
TOLERANCE = 2.0**-18


@dataclasses.dataclass(frozen=True)
class Quantiles:
    """A tabulated quantile function; equal if the numbers are.

    Attributes
    ----------
    name : str
        For the repr.
    packed : bytes
        Coefficients as float32, lowest byte first, shape (2, N_PIECES, 4): of 1, x and x**2, and a zero; first those
        of the lower half, then of the upper one.
    """

    name: str = dataclasses.field(compare=False)
    packed: bytes = dataclasses.field(repr=False)

    @functools.cached_property
    def table(self) -> np.ndarray:
        """The coefficients: float32, shape (2, N_PIECES, 4)."""
        return np.frombuffer(self.packed, "<f4").reshape(2, N_PIECES, 4)

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self.packed)

    def __hash__(self):
        return self._hash

    def digest(self) -> str:
        """SHA-256 of the coefficients."""
        return hashlib.sha256(self.packed).hexdigest()

    def __call__(self, words) -> np.ndarray:
        """The quantiles that belong to random words: float32, of the same shape.

        Parameters
        ----------
        words : array of uint32
        """
        words = np.asarray(words, np.uint32)
        upper = words >> np.uint32(31)
        t = np.where(upper == 1, ~words, words)
        place = (t.astype(np.float32) + np.float32(0.5)).view(np.uint32)
        piece = (place >> np.uint32(_FRACTION_BITS)).astype(np.int64) - _FIRST
        fraction = (place & np.uint32((1 << _FRACTION_BITS) - 1)).astype(np.float32)
        x = fraction * np.float32(2.0**-_FRACTION_BITS)
        a, b, c, _ = np.moveaxis(self.table[upper.astype(np.int64), piece], -1, 0)
        return a + x * (b + x * c)


def tabulate(call: str, name: str, icdf) -> Quantiles:
    """The table of a quantile function.

    Parameters
    ----------
    call : str
        Named in errors.
    name : str
    icdf : callable
        From an array of probabilities in (0, 1), float64, to an array of numbers of the same shape.

    Raises
    ------
    TypeError
        If it returns something else.
    ValueError
        If a number is not finite as float32, or parabolas do not follow the function: because it jumps, as that
        of a discrete law does.
    """
    ends = np.concatenate([_starts(), [2.0**-1]])
    lower = _pieces(call, name, icdf, ends)
    upper = _pieces(call, name, lambda p: icdf(1.0 - p), ends)
    spread = abs(float(upper[1][-1] - lower[1][-1]))
    for coefficients, _, check, at, side in ((*lower, "p"), (*upper, "1 - p")):
        x = np.array([0.25, 0.75])
        a, b, c = (coefficients[:-1, k : k + 1].astype(np.float64) for k in range(3))
        error = np.abs(a + x * (b + x * c) - check)
        bound = TOLERANCE * (np.abs(check) + spread)
        if np.any(error > bound):
            worst = np.unravel_index(np.argmax(error / np.maximum(bound, 1e-300)), error.shape)
            raise ValueError(
                f"{call}: {name} is not smooth enough at probability {side} = {at[worst]:.6g}: between its "
                f"neighbours it should be about {float((a + x * (b + x * c))[worst]):.6g}, not {check[worst]:.6g}. "
                "Generated weights need a continuous law; for a discrete one draw the weights yourself and use "
                "storage='sparse'"
            )
    table = np.stack([lower[0], upper[0]])
    return Quantiles(name, table.astype("<f4").tobytes())


def _starts() -> np.ndarray:
    """The probabilities at which the pieces of one side start, but for the last, a half."""
    step = np.arange(1 << _STEPS) / (1 << _STEPS)
    return np.ravel(np.ldexp(0.5 * (1 + step), np.arange(_OCTAVES)[:, None] - 32))


def _pieces(call, name, quantile, ends):
    """Coefficients; quartile and median; the function at a quarter and three quarters of each piece, and where."""
    first, last = ends[:-1, None], ends[1:, None]
    at = first + (last - first) * np.arange(5) / 4
    try:
        values = np.asarray(quantile(at.ravel()), np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{call}: {name} must take an array of probabilities and return an array of numbers of the same shape; "
            f"it raised {type(error).__name__}: {error}"
        ) from error
    if values.shape != (at.size,):
        raise TypeError(
            f"{call}: {name} must return an array of the shape of its argument, ({at.size},), not {values.shape}"
        )
    wrong = ~(np.abs(values) <= np.finfo(np.float32).max)
    if wrong.any():
        raise ValueError(
            f"{call}: {name} gives {values[wrong.argmax()]} at {at.ravel()[wrong.argmax()]:.6g} from one end, which "
            "is not a finite float32 number"
        )
    values = values.reshape(at.shape)
    start, middle, end = values[:, 0], values[:, 2], values[:, 4]
    curve = 2 * (start - 2 * middle + end)
    coefficients = np.zeros((N_PIECES, 4), np.float32)
    coefficients[:-1] = np.stack([start, end - start - curve, curve, 0 * start], axis=1)
    coefficients[-1, 0] = end[-1]
    quarter = values[-(1 << _STEPS), 0]  # the last octave starts at a quarter
    return coefficients, np.array([end[-1], quarter]), values[:, [1, 3]], at[:, [1, 3]]


@functools.cache
def standard_normal() -> Quantiles:
    """Of mean 0 and standard deviation 1."""
    inverse = statistics.NormalDist().inv_cdf

    def lower(p):
        return np.array([inverse(x) for x in p])

    ends = np.concatenate([_starts(), [0.5]])
    one, *_ = _pieces("normal", "normal", lower, ends)
    return Quantiles("normal", np.stack([one, -one]).astype("<f4").tobytes())


@functools.cache
def standard_uniform() -> Quantiles:
    """On the interval from 0 to 1."""
    return tabulate("uniform", "uniform", lambda p: p)
