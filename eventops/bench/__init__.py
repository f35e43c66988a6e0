"""The logic of the benchmark workflow, one package a stage, in the order in which a record goes through them.

``sweep`` turns a configuration into jobs, ``verify`` checks a job against the float64 oracle, ``measure`` times it beside its
``peers``, ``tables`` gathers the ``records``, ``figures`` and ``report`` show them, ``compare`` sets two results side by side;
``kernels`` and ``networks`` are jobs beyond single products. Each may import those before it, and all of ``eventops``. The
scripts of the workflow only call these modules. Begin reading with ``sweep/jobs.py``.

``gpu``, ``join``, ``rebuild``, ``ship`` and ``environments`` are nothing but commands, ``python -m eventops.bench.<name>``.
"""
