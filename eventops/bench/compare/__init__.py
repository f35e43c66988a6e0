"""Two sets of results, or those of several machines, side by side.

May import ``report`` and what lies below.
Begin with ``compare.py``.
"""
