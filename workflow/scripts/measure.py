"""Time one verified job."""

from eventops.bench import alone, log, measure, record

with log.to_file(snakemake.log[0]):
    record.remove(snakemake.params.outdated)
    verified = record.load(snakemake.input.verify, "verify")
    machine = record.load(snakemake.input.machine, "machine")
    with alone.on_this_machine():
        result = measure.run(verified["job"], verified, machine["memory_bytes"])
    for point in result["points"]:
        print(*(point[key] for key in ("rate", "batch", "mode", "method", "status", "reason")))
    result |= {"machine": machine, "code": snakemake.params.code}
    record.write(snakemake.output[0], "record", result)
