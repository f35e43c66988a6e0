"""Laws that weights are drawn from: the public name of :mod:`eventops.graphs.weights`, where they are written."""

from ..graphs.weights import Law, Normal, Quantile, Uniform

__all__ = ["Law", "Normal", "Quantile", "Uniform"]

# What users read, in messages and in pickles, is the public name.
for _name in __all__:
    globals()[_name].__module__ = __name__
