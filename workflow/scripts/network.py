"""Time one network in every simulator that is installed."""

from eventops.bench import alone, log, machine, networks, record

with log.to_file(snakemake.log[0]):
    record.remove(snakemake.params.outdated)
    path = snakemake.input.machine
    machine.check_alike(record.load(path, "machine"), path)
    with alone.on_this_machine():
        result = networks.run(snakemake.params.job, snakemake.params.pythons)
    for name, one in result["simulators"].items():
        print(name, one["status"], one["reason"], one.get("rate_hz"), one["step_s"])
    if said := networks.broken(result):
        raise RuntimeError(f"{said} (in eventops' own simulation; the next run tries it again)")
    result |= {"code": snakemake.params.code, "versions": machine.versions()}
    result |= {"commit": machine.commit()}
    record.write(snakemake.output[0], "network", result)
