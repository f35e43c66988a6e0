"""Networks that people run, in plain JAX: one file a model, each with ``network``, ``initial`` and ``step``.

A model is three functions. ``network(...)`` makes the operators and the parameters (a pytree, to be passed to
``jit`` as an argument), ``initial(net, seed)`` makes the state, and ``step(net, state)`` moves it on by one time
step and gives the spikes. :func:`run` does so many times inside ``lax.scan``.

May import ``operators`` and what lies below. Begin with ``cuba.py``, the shortest; ``running.py`` runs them all.
"""

from . import brunel, coba, cuba, microcircuit
from .running import run

__all__ = ["brunel", "coba", "cuba", "microcircuit", "run"]
