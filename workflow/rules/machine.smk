rule machine:
    output:
        MACHINE_JSON,
    log:
        f"{LOGS}/machine.log",
    conda:
        "../envs/eventops.yaml"
    # The bandwidth of memory is measured here, so nothing else may run.
    threads: all_cores
    resources:
        gpu=TIMING_GPUS,
    params:
        slug=MACHINE,
        versions=VERSIONS,
    script:
        "../scripts/machine.py"
