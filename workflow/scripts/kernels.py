"""The records of delays and of updates to a table and a figure."""

from pathlib import Path

from eventops.bench import figures, figures_kernels, kept, kernels_table, log, record, table

with log.to_file(snakemake.log[0]):
    given, results = snakemake.params, Path(snakemake.output.table).parent.parent
    records = [record.load(path, "kernel") for path in snakemake.input.own]
    records += [one for (one,) in kept.valid(results, "kernel", given.others, given.today)]
    frame = kernels_table.frame(records)
    table.write(frame, snakemake.output.table)
    print(frame.to_string())
    folder = Path(snakemake.output.svg).parent
    figures.save(figures_kernels.draw(frame), "kernels", folder)
