"""The logic of the benchmark workflow, one module per stage.

``sweep`` turns a configuration into jobs, ``verify`` checks a job against the float64 oracle, ``measure``
times it beside its ``peers``, ``table`` gathers the records, ``figures`` and ``report`` show them. The
scripts of the workflow only call these modules.
"""
