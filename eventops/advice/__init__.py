"""Which operator to use: prices fitted to measured times, sizes in bytes, and the tables that ship with the package.

May import ``core``, ``rows`` and what lies between them and ``operators``; nothing of ``bench``.
Begin with ``recommend.py``.
"""
