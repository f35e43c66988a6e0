"""Whole networks, in our own and in other simulators, each in a process of its own, and their table.

May import ``measure`` and what lies below.
Begin with ``jobs.py``; ``simulators/`` has a script for each.
"""
