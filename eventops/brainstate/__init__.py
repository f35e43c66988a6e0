"""Operators as modules of BrainState: the public name of :mod:`eventops.interop.brainstate`, where they are written."""

from ..interop.brainstate import EventFixedNumConn, EventFixedProb, EventLinear, FixedNumConn

__all__ = ["EventFixedNumConn", "EventFixedProb", "EventLinear", "FixedNumConn"]
