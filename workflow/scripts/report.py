"""The tables and figures to one page."""

from pathlib import Path

from eventops.bench import log, record, report, table

with log.to_file(snakemake.log[0]):
    tables = [table.read(snakemake.input[name], name) for name in ("points", "jobs", "checks")]
    machine = record.load(snakemake.input.machine, "machine")
    figures = Path(snakemake.input.figures[0]).parent
    out = Path(snakemake.output[0])
    report.write(*tables, machine, figures, snakemake.params.config, out)
    print(f"{out}: {out.stat().st_size} bytes")
