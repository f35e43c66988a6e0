"""Test the generators of the peers. One that fails is a result; ours is verified job by job."""

from eventops.bench.peers import apart, generators
from eventops.bench.records import log, record

with log.to_file(snakemake.log[0]):
    record.remove(snakemake.params.outdated)
    result = apart.run(lambda: generators.run())
    for graph in result["graphs"]:
        print(*(graph[key] for key in ("rule", "generator", "status", "reason")), sep=" | ")
    record.write(snakemake.output[0], "generators", result)
