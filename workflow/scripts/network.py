"""Time one network in every simulator that is installed."""

from eventops.bench.networks import jobs as network_jobs
from eventops.bench.records import log, machine, record, turns

with log.to_file(snakemake.log[0]):
    record.remove(snakemake.params.outdated)
    path = snakemake.input.machine
    machine.check_alike(record.load(path, "machine"), path)
    with turns.on_this_machine():
        result = network_jobs.run(snakemake.params.job, snakemake.params.pythons)
    for name, one in result["simulators"].items():
        print(name, one["status"], one["reason"], one.get("rate_hz"), one["step_s"])
    if said := network_jobs.broken(result):
        raise RuntimeError(f"{said} (in eventops' own simulation; the next run tries it again)")
    result |= {"code": snakemake.params.code, "versions": machine.versions()}
    result |= {"commit": machine.commit()}
    record.write(snakemake.output[0], "network", result)
