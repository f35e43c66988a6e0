# A point is timed after it was verified, and alone: a measurement takes all cores. The times of its inputs
# say nothing (in a clone all are those of the checkout, in any order); what makes a verification outdated is a
# parameter here too.
rule measure:
    input:
        verify=ancient(f"{RESULTS}/verify/{{job}}.json"),
        machine=ancient(MACHINE_JSON),
    output:
        f"{RESULTS}/records/{{job}}.json",
    log:
        f"{LOGS}/measure/{{job}}.log",
    conda:
        "../envs/eventops.yaml"
    threads: all_cores
    resources:
        gpu=TIMING_GPUS,
    params:
        job=lookup(within=JOBS, dpath="{job}"),
        code=CODES["record"],
        verified_by=CODES["verify"],
        versions=VERSIONS,
        outdated=TABLES,
    script:
        "../scripts/measure.py"
