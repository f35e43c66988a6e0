"""Which pairs are connected, and how strongly: rules, the generator and its reference, lattices, laws of weights.

May import ``core`` and ``rows``.
Begin with ``graph.py`` (what determines a graph), then ``drawing.py`` (how it is drawn).
"""
