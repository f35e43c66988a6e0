"""From the configuration to jobs, and from a job to its operator and its spikes.

May import ``records`` and the operators.
Begin with ``jobs.py``, then ``setup.py``.
"""
