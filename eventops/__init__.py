"""Event-driven operators for JAX: ``spikes @ matrix`` at the price of the spikes."""

from .fixed_num import EventFixedNumConn, FixedNumConn
from .fixed_prob import EventFixedProb
from .linear import EventLinear, Linear
from .recommend import recommend
from .sharded import sharded
from .trees import split

__version__ = "0.1.0"

__all__ = [
    "EventFixedNumConn",
    "EventFixedProb",
    "EventLinear",
    "FixedNumConn",
    "Linear",
    "recommend",
    "sharded",
    "split",
]
