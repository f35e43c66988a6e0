"""Time one verified job."""

import os
from pathlib import Path

from eventops.bench import alone, log, measure, progress, record
from eventops.bench import machine as this_machine

with log.to_file(snakemake.log[0]) as tell:
    record.remove(snakemake.params.outdated)
    verified = record.load(snakemake.input.verify, "verify")
    machine = record.load(snakemake.input.machine, "machine")
    total = os.environ.get(progress.TOTAL)
    folder = Path(snakemake.output[0]).parent
    at = progress.Progress(tell, verified["job"]["id"], folder, int(total) if total else None)
    with alone.on_this_machine():
        result = measure.run(verified["job"], verified, machine["memory_bytes"], at)
    for point in result["points"]:
        print(*(point[key] for key in ("rate", "batch", "mode", "method", "status", "reason")))
    result |= {"machine": machine, "code": snakemake.params.code, "commit": this_machine.commit()}
    record.write(snakemake.output[0], "record", result)
