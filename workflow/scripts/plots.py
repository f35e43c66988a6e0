"""The tables to figures."""

from pathlib import Path

from eventops.bench.figures import figures
from eventops.bench.records import log, record
from eventops.bench.tables import table

with log.to_file(snakemake.log[0]):
    names = ("points", "jobs", "checks")
    tables = [table.read(snakemake.input[name], name) for name in names]
    degrees = table.read(snakemake.input.degrees, "degrees")
    machine = record.load(snakemake.input.machine, "machine")
    folder = Path(snakemake.output.svg[0]).parent
    for path in figures.draw_all(*tables, machine, folder, degrees):
        print(path)
