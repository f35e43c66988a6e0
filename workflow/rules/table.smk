rule table:
    input:
        machine=MACHINE_JSON,
        verify=expand(f"{RESULTS}/verify/{{job}}.json", job=JOBS),
        records=expand(f"{RESULTS}/records/{{job}}.json", job=JOBS),
    output:
        points=report(
            f"{RESULTS}/tables/points.csv",
            caption="../report/points.rst",
            category="Tables",
        ),
        jobs=report(
            f"{RESULTS}/tables/jobs.csv",
            caption="../report/jobs.rst",
            category="Tables",
        ),
        checks=report(
            f"{RESULTS}/tables/checks.csv",
            caption="../report/checks.rst",
            category="Tables",
        ),
    log:
        f"{LOGS}/table.log",
    conda:
        "../envs/eventops.yaml"
    params:
        code=PAGE_CODE,
    script:
        "../scripts/table.py"
