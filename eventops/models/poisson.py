"""Poisson numbers by inversion of random bits: the number of tail probabilities above a uniform number."""

import numpy as np


def tail(mean: float) -> np.ndarray:
    """P(X > k) of a Poisson number X, for k = 0, 1, ... until it vanishes, as fractions of 2**32."""
    term, below, found = np.exp(-mean), 0.0, []
    for k in range(1, 1000):
        below += term
        if (1.0 - below) * 2**32 < 0.5:
            break
        found.append(min(round((1.0 - below) * 2**32), 2**32 - 1))
        term *= mean / k
    return np.array(found, np.uint32)
