"""Verify and time one job beyond single products."""

from eventops.bench.kernels import jobs as kernel_jobs
from eventops.bench.peers import apart
from eventops.bench.records import log, record, turns
from eventops.bench.records import machine as this_machine

with log.to_file(snakemake.log[0]):
    record.remove(snakemake.params.outdated)
    path = snakemake.input.machine
    this_machine.check_alike(record.load(path, "machine"), path)
    with turns.on_this_machine() as span:
        result = apart.run(lambda: kernel_jobs.run(snakemake.params.job))
        for case in result["cases"]:
            print(*(case[key] for key in ("what", "method", "status", "reason", "worst")))
        print(result["status"], result["reason"], f"{result['duration_s']:.1f} s")
        result |= {"code": snakemake.params.code, "ran": span()}
        result |= {"commit": this_machine.commit(), "versions": this_machine.versions()}
        record.write(snakemake.output[0], "kernel", result)
