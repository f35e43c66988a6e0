"""From tables to figures, one subject a file.

May import ``tables`` and what lies below.
Begin with ``figures.py``, which draws them all; ``style.py`` is what they share.
"""
