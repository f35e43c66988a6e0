"""Random weights that are generated from the graph's counter: one for each synapse, and none need be stored.

Pass one of these as ``conn_weight`` to an operator that draws its graph. With ``storage='sparse'`` the weights are
stored; with ``storage='procedural'`` they are generated again on every call: the same weights, bit for bit. The weight of
a synapse is ``location + scale * z``, where ``z`` depends on the operator's seed, on the two neurons (and, where a pair
is connected repeatedly, on which of its synapses it is) and on nothing else.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from ..core.byte_order import native
from ..core.dtypes import default_float
from ..core.messages import shown
from . import quantiles


class Law:
    """Base of the laws: a location, a scale, and the quantiles of the standard law."""

    name: str
    quantiles: quantiles.Quantiles

    def __init__(self, call, location, scale, names):
        self.location, self.scale = (
            _number(f"weights.{call}", *each) for each in zip(names, (location, scale))
        )

    def parameters(self) -> jax.Array:
        """Location and scale: shape (2,)."""
        pair = [float(x) if isinstance(x, int) else x for x in (self.location, self.scale)]
        pair = [jnp.asarray(x) for x in pair]
        if any(jnp.issubdtype(x.dtype, jnp.complexfloating) for x in pair):
            raise TypeError(f"{self!r}: weights must be real")
        floating = [x for x in pair if jnp.issubdtype(x.dtype, jnp.floating) and not x.weak_type]
        dtype = jnp.result_type(*floating) if floating else default_float()
        return jnp.stack([x.astype(dtype) for x in pair])


def _number(call: str, name: str, value):
    """A parameter: finite where its value is known. Integers become Python's, which do not wrap."""
    if np.ndim(value) != 0 or isinstance(value, (str, bool)) or value is None:
        raise TypeError(f"{call}: {name}={shown(value)} must be one number")
    if not _known(value):
        return value
    try:
        finite = math.isfinite(value)
    except TypeError:
        raise TypeError(f"{call}: {name}={shown(value)} must be one real number") from None
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"{call}: {name}={shown(value)} must be finite")
    if isinstance(value, int) or np.asarray(value).dtype.kind in "iu":
        return int(value)
    return native(value) if isinstance(value, np.ndarray) else value


def _known(*values) -> bool:
    return not any(isinstance(value, jax.core.Tracer) for value in values)


class Normal(Law):
    """Normally distributed weights.

    Parameters
    ----------
    mean, std : number
        Finite, ``std`` not negative. May be traced, and differentiated with respect to.

    Examples
    --------
    >>> import jax.numpy as jnp, eventops as nn
    >>> op = nn.EventFixedProb(1000, 1000, 0.1, nn.weights.Normal(0.5, 0.1), seed=1, storage='procedural')
    >>> op.nbytes
    8
    >>> stored = nn.EventFixedProb(1000, 1000, 0.1, nn.weights.Normal(0.5, 0.1), seed=1)
    >>> bool(jnp.all(op.todense() == stored.todense()))
    True
    """

    def __init__(self, mean, std):
        super().__init__("Normal", mean, std, ("mean", "std"))
        if _known(std) and std < 0:
            raise ValueError(f"weights.Normal: std={shown(std)} must not be negative")

    @property
    def quantiles(self):
        """Of the standard law."""
        return quantiles.standard_normal()

    def __repr__(self):
        return f"weights.Normal({self.location}, {self.scale})"


class Uniform(Law):
    """Weights that are uniform on an interval.

    Parameters
    ----------
    low, high : number
        Finite, in this order. May be traced, and differentiated with respect to. The location is ``low``, the scale ``high - low``.

    Examples
    --------
    >>> import eventops as nn
    >>> op = nn.EventFixedNumConn(100, 100, 10, nn.weights.Uniform(0.2, 0.4), storage='procedural')
    >>> w = op.todense()
    >>> bool(w[w != 0].min() >= 0.2), bool(w.max() <= 0.4)
    (True, True)
    """

    def __init__(self, low, high):
        super().__init__("Uniform", low, high, ("low", "high"))
        low, self.high = self.location, self.scale
        if _known(low, self.high) and self.high < low:
            raise ValueError(f"weights.Uniform: high={self.high} must not be below low={low}")
        self.scale = self.high - low

    @property
    def quantiles(self):
        """Of the standard law."""
        return quantiles.standard_uniform()

    def __repr__(self):
        return f"weights.Uniform({self.location}, {self.high})"


class Quantile(Law):
    """Weights of any continuous law, given by its quantile function.

    Parameters
    ----------
    icdf : callable
        The inverse of the distribution function: from an array of probabilities in (0, 1), float64, to numbers, such
        as ``scipy.stats.lognorm(0.5).ppf``. It is tabulated once, by parabolas; it need not ascend.
    location, scale : number
        A weight is ``location + scale * icdf(p)``, mirrored where the scale is negative. They may be traced, and differentiated with respect to.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not finite, or the function does not return finite numbers, or jumps.

    Examples
    --------
    An exponential law with mean 0.5:

    >>> import numpy as np, eventops as nn
    >>> weight = nn.weights.Quantile(lambda p: -np.log1p(-p), scale=0.5)
    >>> op = nn.EventFixedNumConn(1000, 1000, 100, weight, storage='procedural')
    >>> round(float(op.todense().sum()) / op.n_synapses, 2)
    0.5
    """

    def __init__(self, icdf, location=0.0, scale=1.0):
        super().__init__("Quantile", location, scale, ("location", "scale"))
        if not callable(icdf):
            raise TypeError(
                f"weights.Quantile: icdf={shown(icdf)} must be a function of probabilities"
            )
        self.icdf = icdf

    @functools.cached_property
    def quantiles(self):
        """Of ``icdf`` itself."""
        name = getattr(self.icdf, "__name__", type(self.icdf).__name__)
        return quantiles.tabulate("weights.Quantile", f"icdf {name}", self.icdf)

    def __repr__(self):
        return f"weights.Quantile({self.icdf!r}, {self.location}, {self.scale})"
