"""Delays and updates of weights: verified, timed beside another way, and their table.

May import ``measure`` and what lies below.
Begin with ``jobs.py``; ``sections.py`` is ``python -m eventops.bench.kernels``.
"""
