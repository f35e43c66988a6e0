"""Fail the run when a point was not verified; the report that shows it exists by now."""

import sys

from eventops.bench.kernels import table as kernels_table
from eventops.bench.records import log, record
from eventops.bench.tables import table

with log.to_file(snakemake.log[0]):
    points = table.read(snakemake.input.points, "points")
    jobs = table.read(snakemake.input.jobs, "jobs")
    kernels = kernels_table.read(snakemake.input.kernels)
    failures = table.failures(points, jobs) + kernels_table.failures(kernels)
    print("\n".join(failures) or "every measured point was verified")
    if not failures:
        text = f"{len(jobs)} jobs, {int(jobs.n_checks.sum())} checks, none failed\n"
        record.write_text(snakemake.output[0], text)
if failures:
    sys.exit(f"{len(failures)} failed; see {snakemake.input.report}:\n" + "\n".join(failures))
