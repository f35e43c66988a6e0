"""The records of networks to a table and a figure."""

from pathlib import Path

from eventops.bench.figures import figures
from eventops.bench.figures import networks as figures_networks
from eventops.bench.networks import table as networks_table
from eventops.bench.records import kept, log, record
from eventops.bench.tables import table

with log.to_file(snakemake.log[0]):
    given, results = snakemake.params, Path(snakemake.output.table).parent.parent
    records = [record.load(path, "network") for path in snakemake.input.own]
    records += [one for (one,) in kept.valid(results, "network", given.others, given.today)]
    frame = networks_table.frame(records)
    table.write(frame, snakemake.output.table)
    print(frame.to_string())
    figures.save(
        figures_networks.draw(frame, records), "networks", Path(snakemake.output.svg).parent
    )
