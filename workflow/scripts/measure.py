"""Time one verified job."""

import os
from pathlib import Path

from eventops.bench.measure import measure
from eventops.bench.peers import apart
from eventops.bench.records import log, progress, record, turns
from eventops.bench.records import machine as this_machine

with log.to_file(snakemake.log[0]) as tell:
    record.remove(snakemake.params.outdated)
    job = snakemake.params.job
    verified = record.load(snakemake.input.verify, "verify")
    if verified["job"] != job:
        text = f"{snakemake.input.verify} holds another job than its name says; delete it and run again"
        raise ValueError(text)
    machine = record.load(snakemake.input.machine, "machine")
    this_machine.check_alike(machine, snakemake.input.machine)
    total = os.environ.get(progress.TOTAL)
    folder = Path(snakemake.output[0]).parent
    at = progress.Progress(tell, job["id"], folder, int(total) if total else None)
    # The record is written before another may start, which may be the same job of the run that resumes this one.
    with turns.on_this_machine() as span:
        result = apart.run(lambda: measure.run(job, verified, machine.get("memory_bytes"), at))
        for point in result["points"]:
            print(*(point[key] for key in ("rate", "batch", "mode", "method", "status", "reason")))
        result |= {"machine": machine, "code": snakemake.params.code, "ran": span()}
        result |= {"commit": this_machine.commit()}
        record.write(snakemake.output[0], "record", result)
