"""Is a job right: its results against an oracle, its graph against the law of its rule.

May import ``sweep`` and what lies below.
Begin with ``verify.py``; ``checks.py`` has a check each.
"""
