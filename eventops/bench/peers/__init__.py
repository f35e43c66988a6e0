"""What is measured beside ours, and the generators of the peers under the tests of ours.

May import ``verify`` and what lies below.
Begin with ``peers.py``: to add one is a class there.
"""
