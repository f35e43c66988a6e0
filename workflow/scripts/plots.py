"""The tables to figures."""

from pathlib import Path

from eventops.bench import figures, log, record, table

with log.to_file(snakemake.log[0]):
    tables = [table.read(snakemake.input[name], name) for name in ("points", "jobs", "checks")]
    machine = record.load(snakemake.input.machine, "machine")
    for path in figures.draw_all(*tables, machine, Path(snakemake.output.svg[0]).parent):
        print(path)
