"""From tables and figures to the page; also of a run that did not end, and again from records alone.

May import ``figures`` and what lies below.
Begin with ``report.py``; ``templates/`` has the page.
"""
