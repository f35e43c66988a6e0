"""Operators as modules of BrainState: the public name of :mod:`eventops.interop.brainstate`, where they are written."""

from ..interop.brainstate import *  # noqa: F403 - its __all__
from ..interop.brainstate import __all__ as __all__
