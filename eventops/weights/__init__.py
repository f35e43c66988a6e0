"""Laws that weights are drawn from: the public name of :mod:`eventops.graphs.weights`, where they are written."""

from ..graphs.weights import Law, Normal, Quantile, Uniform

__all__ = ["Law", "Normal", "Quantile", "Uniform"]
