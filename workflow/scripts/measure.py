"""Time one verified job."""

from eventops.bench import alone, log, measure, record

with log.to_file(snakemake.log[0]):
    record.remove(snakemake.params.outdated)
    job = snakemake.params.job
    verified = record.load(snakemake.input.verify, "verify")
    if verified["job"] != job:
        text = f"{snakemake.input.verify} holds another job than its name says; delete it and run again"
        raise ValueError(text)
    machine = record.load(snakemake.input.machine, "machine")
    # The record is written before another may start, which may be the same job of the run that resumes this one.
    with alone.on_this_machine() as span:
        result = measure.run(job, verified, machine.get("memory_bytes"))
        for point in result["points"]:
            print(*(point[key] for key in ("rate", "batch", "mode", "method", "status", "reason")))
        result |= {"machine": machine, "code": snakemake.params.code, "ran": span()}
        record.write(snakemake.output[0], "record", result)
