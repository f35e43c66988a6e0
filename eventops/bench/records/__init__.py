"""What is written of a job, and on which machine: records, logs, facts of the machine, whose turn it is.

May import ``eventops`` itself, and nothing else of ``bench``.
Begin with ``record.py``; ``fingerprint.py`` says when a record is outdated.
"""
