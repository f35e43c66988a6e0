"""Probabilities by distance: the public name of :mod:`eventops.graphs.profiles`, where they are written."""

from ..graphs.profiles import Box, Exponential, Gaussian

__all__ = ["Box", "Exponential", "Gaussian"]

# What users read, in messages and in pickles, is the public name.
for _name in __all__:
    globals()[_name].__module__ = __name__
