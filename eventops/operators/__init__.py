"""What users make: one family a file, and what can be done with all of them (convert, shard, delay, make plastic).

May import ``primitives`` and what lies below.
Begin with ``operator.py``, the base of all; then ``fixed_prob.py``, the shortest of a drawn graph.
"""
