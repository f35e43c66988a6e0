"""The records of delays and of updates to a table and a figure."""

from pathlib import Path

from eventops.bench.figures import figures
from eventops.bench.figures import kernels as figures_kernels
from eventops.bench.kernels import table as kernels_table
from eventops.bench.records import kept, log, record
from eventops.bench.tables import table

with log.to_file(snakemake.log[0]):
    given, results = snakemake.params, Path(snakemake.output.table).parent.parent
    records = [record.load(path, "kernel") for path in snakemake.input.own]
    records += [one for (one,) in kept.valid(results, "kernel", given.others, given.today)]
    frame = kernels_table.frame(records)
    table.write(frame, snakemake.output.table)
    print(frame.to_string())
    folder = Path(snakemake.output.svg).parent
    figures.save(figures_kernels.draw(frame), "kernels", folder)
