"""List the records that other code or versions made."""

from pathlib import Path

from eventops.bench.records import kept, log
from eventops.bench.tables import table

with log.to_file(snakemake.log[0]):
    results = Path(snakemake.output[0]).parent.parent
    frame = kept.earlier(results, snakemake.params.others, snakemake.params.today)
    table.write(frame, snakemake.output[0])
    print(frame.to_string())
