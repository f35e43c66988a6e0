from eventops.bench.peers import generators


# The generators of the peers, under the tests that ours must pass; a peer that fails them is a finding.
rule generators:
    output:
        GENERATORS_JSON,
    log:
        f"{LOGS}/generators.log",
    conda:
        "../envs/eventops.yaml"
    threads: 1
    params:
        code=GENERATORS_CODE,
        versions=machine.versions(generators.VERSIONS),
        outdated=TABLES,
    script:
        "../scripts/generators.py"
