"""Connection probabilities as functions of distance, for :class:`eventops.EventDistanceProb`.

Any function from an array of distances to an array of probabilities will do. Those below compute with nothing
but correctly rounded operations (+, -, *, / and rounding), so that they give the same numbers, and hence the
same graphs, on every machine and with every version of NumPy; ``numpy.exp`` does not promise that.
"""

import dataclasses
import math
import numbers

import numpy as np

from ..core.messages import shown

# ln 2 in two parts: the first ends in 32 zero bits, so that a small multiple of it is exact.
_LN2_HIGH = float.fromhex("0x1.62e42p-1")
_LN2_LOW = float.fromhex("0x1.fdf473de6af28p-22")


def _exp(x: np.ndarray) -> np.ndarray:
    """The exponential function for x <= 0, to about one unit in the last place."""
    x = np.maximum(x, -740.0)
    n = np.rint(x / math.log(2))
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    # The Taylor polynomial of degree 14 on |r| <= 0.347: its remainder is below 2**-62.
    total = np.full_like(r, 1.0)
    for k in range(14, 0, -1):
        total = total * (r / k) + 1.0
    return np.ldexp(total, n.astype(np.int32))


def _check(profile, **lengths) -> None:
    call = f"profiles.{type(profile).__name__}"
    p = profile.p_max
    if isinstance(p, bool) or not isinstance(p, numbers.Real):
        raise TypeError(f"{call}: p_max={shown(p)} must be a probability, a float in [0, 1]")
    if not 0 <= p <= 1:
        raise ValueError(f"{call}: p_max={p} must be a probability in [0, 1]")
    for name, value in lengths.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{call}: {name}={shown(value)} must be a number")
        if not 0 < value < math.inf:
            raise ValueError(f"{call}: {name}={value} must be positive and finite")


# Below 2**-64 a probability is no longer told from 0.
_NEGLIGIBLE = 64.5 * math.log(2)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """``p_max * exp(-d**2 / (2 * sigma**2))``.

    Parameters
    ----------
    p_max : float
        The probability at distance 0, in [0, 1].
    sigma : float
        The standard deviation, in the unit of the distances.

    Examples
    --------
    >>> from eventops import profiles
    >>> profiles.Gaussian(0.5, 2.0)([0.0, 2.0]).round(4).tolist()
    [0.5, 0.3033]
    """

    p_max: float
    sigma: float

    def __post_init__(self):
        _check(self, sigma=self.sigma)

    def __call__(self, distance):
        """Probabilities at these distances."""
        z = np.asarray(distance, np.float64) / float(self.sigma)
        return float(self.p_max) * _exp(-0.5 * (z * z))

    @property
    def reach(self) -> float:
        """The distance from which on the probability counts as 0."""
        return 1.001 * math.sqrt(2 * _NEGLIGIBLE) * self.sigma


@dataclasses.dataclass(frozen=True)
class Exponential:
    """``p_max * exp(-d / length)``.

    Parameters
    ----------
    p_max : float
        The probability at distance 0, in [0, 1].
    length : float
        The distance over which it falls by a factor of e, in the unit of the distances.

    Examples
    --------
    >>> from eventops import profiles
    >>> profiles.Exponential(0.5, 2.0)([0.0, 2.0]).round(4).tolist()
    [0.5, 0.1839]
    """

    p_max: float
    length: float

    def __post_init__(self):
        _check(self, length=self.length)

    def __call__(self, distance):
        """Probabilities at these distances."""
        return float(self.p_max) * _exp(-(np.asarray(distance, np.float64) / float(self.length)))

    @property
    def reach(self) -> float:
        """The distance from which on the probability counts as 0."""
        return 1.001 * _NEGLIGIBLE * self.length


@dataclasses.dataclass(frozen=True)
class Box:
    """``p_max`` up to a radius, the radius included, and 0 beyond: a disc on a grid.

    Parameters
    ----------
    p_max : float
        The probability within the radius, in [0, 1].
    radius : float
        In the unit of the distances.

    Examples
    --------
    >>> from eventops import profiles
    >>> profiles.Box(0.5, 2.0)([0.0, 2.0, 2.1]).tolist()
    [0.5, 0.5, 0.0]
    """

    p_max: float
    radius: float

    def __post_init__(self):
        _check(self, radius=self.radius)

    def __call__(self, distance):
        """Probabilities at these distances."""
        return np.where(np.asarray(distance, np.float64) <= self.radius, float(self.p_max), 0.0)

    @property
    def reach(self) -> float:
        """The distance from which on the probability counts as 0."""
        return 1.001 * self.radius
