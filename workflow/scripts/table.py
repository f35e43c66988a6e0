"""All records to four tables."""

from eventops.bench.records import log, record
from eventops.bench.tables import table

with log.to_file(snakemake.log[0]):
    machine = record.load(snakemake.input.machine, "machine")
    verified = [record.load(path, "verify") for path in snakemake.input.verify]
    measured = [record.load(path, "record") for path in snakemake.input.records]
    pairs = list(zip(verified, measured, strict=True))
    generators = record.load(snakemake.input.generators, "generators")
    frames = {
        "points": table.points(pairs, machine),
        "jobs": table.jobs(pairs, machine, snakemake.input.records),
        "checks": table.checks(verified),
        "degrees": table.degrees(verified, generators),
    }
    for name, frame in frames.items():
        table.write(frame, snakemake.output[name])
        print(f"{len(frame)} rows: {snakemake.output[name]}")
