"""Verify one job. A wrong number is a result; an exception is none, and fails the rule, so that it is tried again."""

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
        if said := verify.broken(result):
            raise RuntimeError(f"{said} (in the verification; the next run tries it again)")
        result |= {"code": snakemake.params.code, "ran": span()}
        record.write(snakemake.output[0], "verify", result)
