"""Event-driven operators for JAX: ``spikes @ matrix`` at the price of the spikes."""

from . import profiles, weights
from .delays import Delayed
from .distance_prob import EventDistanceProb
from .drive import PoissonInput
from .drive_spikes import PoissonSpikes
from .exported import export_checks
from .fixed_num import EventFixedNumConn, FixedNumConn
from .fixed_prob import EventFixedProb
from .fixed_total import EventFixedTotalNum
from .linear import EventLinear, Linear
from .neurons import LIFCond, LIFDelta, LIFExp, NeuronState
from .recommend import recommend
from .sharded import sharded
from .sparse import EventSparse
from .trees import split

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
    "LIFCond",
    "LIFDelta",
    "LIFExp",
    "Linear",
    "export_checks",
    "NeuronState",
    "PoissonInput",
    "PoissonSpikes",
    "profiles",
    "recommend",
    "sharded",
    "split",
    "weights",
]
