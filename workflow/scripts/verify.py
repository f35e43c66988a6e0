"""Verify one job. A failed check is a result; only a broken program fails the rule."""

from eventops.bench.records import log, record, turns
from eventops.bench.verify import verify

with log.to_file(snakemake.log[0]):
    record.remove(snakemake.params.outdated)
    with turns.beside_others() as span:
        result = verify.run(snakemake.params.job)
        for check in result["checks"]:
            print(
                "ok    " if check["passed"] else "FAILED",
                check["check"],
                check["where"],
                check["value"],
            )
        result |= {"code": snakemake.params.code, "ran": span()}
        record.write(snakemake.output[0], "verify", result)
