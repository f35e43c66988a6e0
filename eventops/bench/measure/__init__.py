"""Times and bytes of a verified job, beside its peers, round by round.

May import ``peers`` and what lies below.
Begin with ``measure.py``, then ``timing.py``.
"""
