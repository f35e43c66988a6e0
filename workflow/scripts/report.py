"""The tables and figures to one page, and the configuration beside it."""

from pathlib import Path

import pandas as pd
from eventops.bench.kernels import table as kernels_table
from eventops.bench.networks import table as networks_table
from eventops.bench.records import kept, log, record
from eventops.bench.report import report
from eventops.bench.tables import predictions, table

with log.to_file(snakemake.log[0]):
    names = ("points", "jobs", "checks", "degrees")
    tables = {name: table.read(snakemake.input[name], name) for name in names}
    decided = ("holdout", "contests", "crossovers")
    report.write(
        **tables,
        generators=record.load(snakemake.input.generators, "generators"),
        decision=predictions.summary(
            {name: pd.read_csv(snakemake.input[name]) for name in decided}
        ),
        kernels=kernels_table.read(Path(snakemake.input.kernels)),
        networks=networks_table.read(Path(snakemake.input.networks)),
        earlier=kept.read(snakemake.input.earlier),
        own=snakemake.params.own,
        machine=record.load(snakemake.input.machine, "machine"),
        figures_dir=Path(snakemake.input.figures[0]).parent,
        config=snakemake.params.config,
        out=Path(snakemake.output.page),
    )
    record.write_text(snakemake.output.config, report.plain(snakemake.params.config))
    print(f"{snakemake.output.page}: {Path(snakemake.output.page).stat().st_size} bytes")
