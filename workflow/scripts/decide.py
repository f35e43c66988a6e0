"""The table of points to predictions, their test, and crossovers."""

from eventops.bench.records import log, record
from eventops.bench.tables import predictions, table

with log.to_file(snakemake.log[0]):
    points = table.read(snakemake.input.points, "points")
    machine = record.load(snakemake.input.machine, "machine")
    frames = predictions.tables(points, machine)
    for name, frame in frames.items():
        table.write(frame, snakemake.output[name])
        print(f"{len(frame)} rows: {snakemake.output[name]}")
    print(predictions.summary(frames)["score"])
