"""What comes from other libraries or goes to them: operators as pytrees and in exports, and as modules of BrainState.

May import ``operators`` and what lies below.
Begin with ``trees.py``.
"""
