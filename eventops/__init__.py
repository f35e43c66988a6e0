"""Event-driven operators for JAX: ``spikes @ matrix`` at the price of the spikes."""

from . import moved, profiles, weights
from .advice.recommend import recommend
from .interop.exported import export_checks
from .interop.trees import split
from .operators.delays import Delayed
from .operators.distance_prob import EventDistanceProb
from .operators.drive import PoissonInput
from .operators.drive_spikes import PoissonSpikes
from .operators.fixed_num import EventFixedNumConn, FixedNumConn
from .operators.fixed_prob import EventFixedProb
from .operators.fixed_total import EventFixedTotalNum
from .operators.linear import EventLinear, Linear
from .operators.neuron_step import NeuronState
from .operators.neurons import LIFCond, LIFDelta, LIFExp
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
