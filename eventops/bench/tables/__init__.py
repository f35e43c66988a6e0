"""From records to tables, and from tables to what they say: claims, crossovers, predictions, verification.

May import ``kernels``, ``networks`` and what lies below.
Begin with ``table.py``, then ``readings.py``.
"""
