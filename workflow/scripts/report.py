"""The tables and figures to one page."""

from pathlib import Path

import pandas as pd
from eventops.bench import decide, log, record, report, table

with log.to_file(snakemake.log[0]):
    tables = [table.read(snakemake.input[name], name) for name in ("points", "jobs", "checks")]
    machine = record.load(snakemake.input.machine, "machine")
    figures = Path(snakemake.input.figures[0]).parent
    out = Path(snakemake.output[0])
    frames = {
        name: pd.read_csv(snakemake.input[name]) for name in ("holdout", "contests", "crossovers")
    }
    found = decide.summary(frames)
    report.write(*tables, machine, figures, snakemake.params.config, out, decision=found)
    print(f"{out}: {out.stat().st_size} bytes")
