"""What stands beneath each figure, on the page and in Snakemake's own report."""

from __future__ import annotations

import pandas as pd

from ..tables import readings

CAPTIONS = {
    "map": "Fastest operator by firing rate, connection probability and population, and the smallest; hatched where "
    "no measured point is on all sides",
    "answer": "Fastest method at each firing rate, fewest bytes and crossover, by configuration",
    "time": "Time per call against firing rate, eventops and the other methods",
    "events": "Time of eventops against active inputs, log-log, with fitted slopes",
    "population": "Time at a fixed number of synaptic events against population",
    "memory": "Bytes stored against synapses, with the predicted line",
    "speedup": "Time of each other method over that of eventops, with 95 % intervals",
    "roofline": "Bytes moved per second over those of a plain read of memory in the same rounds",
    "build": "Time to construct, to lower and compile, and of the first call",
    "devices": "Time on the CPU and on the GPU against firing rate, and where the GPU stays faster",
    "degrees": "Degrees of the graphs of this run beside the exact law of their rule",
    "generators": "Degrees drawn by eventops and by other generators beside the exact law",
}
# Those with times of one way of calling, which their caption names.
MODAL = ("answer", "time", "events", "population", "roofline", "devices")


def captions(view: pd.DataFrame) -> dict[str, str]:
    """What stands beneath each figure."""
    how = readings.how(view)
    return {
        name: text + (f" ({how})" if how and name in MODAL else "")
        for name, text in CAPTIONS.items()
    }


# Where a figure stands in Snakemake's own report.
SUBJECTS = {
    **dict.fromkeys(("answer", "time", "map", "smallest", "hero"), "Answer"),
    **dict.fromkeys(("events", "population", "memory"), "Claims"),
    **dict.fromkeys(("speedup", "roofline", "build", "devices"), "Cost"),
    **dict.fromkeys(("degrees", "generators"), "Graphs"),
}
