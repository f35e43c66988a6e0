# A job needs no file: it is a parameter, and its hash is in the name of the output.
rule verify:
    output:
        f"{RESULTS}/verify/{{job}}.json",
    log:
        f"{LOGS}/verify/{{job}}.log",
    conda:
        "../envs/eventops.yaml"
    threads: 1
    resources:
        gpu=gpus,
    params:
        job=lookup(within=JOBS, dpath="{job}"),
        code=CODES["verify"],
        versions=VERSIONS,
        outdated=TABLES,
    script:
        "../scripts/verify.py"
