# A point is timed after it was verified, and alone: a measurement takes all cores.
rule measure:
    input:
        verify=f"{RESULTS}/verify/{{job}}.json",
        machine=MACHINE_JSON,
    output:
        f"{RESULTS}/records/{{job}}.json",
    log:
        f"{LOGS}/measure/{{job}}.log",
    conda:
        "../envs/eventops.yaml"
    threads: all_cores
    params:
        code=MEASURE_CODE,
        verified_by=VERIFY_CODE,
        versions=VERSIONS,
        outdated=TABLES,
    script:
        "../scripts/measure.py"
