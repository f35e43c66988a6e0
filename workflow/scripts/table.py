"""All records to four tables."""

from pathlib import Path

from eventops.bench.records import kept, log, record
from eventops.bench.tables import table

with log.to_file(snakemake.log[0]):
    given, results = snakemake.params, Path(snakemake.input.machine).parent
    machine = record.load(snakemake.input.machine, "machine")
    pairs = [
        (record.load(verified, "verify"), record.load(measured, "record"))
        for verified, measured in zip(snakemake.input.verify, snakemake.input.records, strict=True)
    ]
    pairs += kept.valid(results, "record", given.others, given.today)
    verified = [one for one, _ in pairs]
    paths = [f"{results}/records/{one['job']['id']}.json" for one in verified]
    generators = record.load(snakemake.input.generators, "generators")
    frames = {
        "points": table.points(pairs, machine),
        "jobs": table.jobs(pairs, machine, paths),
        "checks": table.checks(verified),
        "degrees": table.degrees(verified, generators),
    }
    for name, frame in frames.items():
        table.write(frame, snakemake.output[name])
        print(f"{len(frame)} rows: {snakemake.output[name]}")
