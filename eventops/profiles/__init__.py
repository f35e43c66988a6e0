"""Probabilities by distance: the public name of :mod:`eventops.graphs.profiles`, where they are written."""

from ..graphs.profiles import Box, Exponential, Gaussian

__all__ = ["Box", "Exponential", "Gaussian"]
