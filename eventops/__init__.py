"""Event-driven operators for JAX: ``spikes @ matrix`` at the price of the spikes."""

from . import moved, profiles, weights
from .advice.recommend import recommend
from .interop.trees import split
from .operators.delays import Delayed
from .operators.distance_prob import EventDistanceProb
from .operators.fixed_num import EventFixedNumConn, FixedNumConn
from .operators.fixed_prob import EventFixedProb
from .operators.fixed_total import EventFixedTotalNum
from .operators.linear import EventLinear, Linear
from .operators.sharded import sharded
from .operators.sparse import EventSparse

moved.register()

__version__ = "0.1.0"

__all__ = [
    "EventDistanceProb",
    "Delayed",
    "EventFixedNumConn",
    "EventFixedProb",
    "EventFixedTotalNum",
    "EventLinear",
    "EventSparse",
    "FixedNumConn",
    "Linear",
    "profiles",
    "recommend",
    "sharded",
    "split",
    "weights",
]
