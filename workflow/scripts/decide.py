"""The table of points to predictions, their test, and crossovers."""

from eventops.bench import decide, log, record, table

with log.to_file(snakemake.log[0]):
    points = table.read(snakemake.input.points, "points")
    machine = record.load(snakemake.input.machine, "machine")
    frames = decide.tables(points, machine)
    for name, frame in frames.items():
        table.write(frame, snakemake.output[name])
        print(f"{len(frame)} rows: {snakemake.output[name]}")
    print(decide.summary(frames)["score"])
