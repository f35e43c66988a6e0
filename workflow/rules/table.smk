rule table:
    input:
        machine=MACHINE_JSON,
        generators=GENERATORS_JSON,
        verify=expand(f"{RESULTS}/verify/{{job}}.json", job=JOBS),
        records=expand(f"{RESULTS}/records/{{job}}.json", job=JOBS),
        others=expand(
            f"{RESULTS}/{{kind}}/{{job}}.json",
            kind=("verify", "records"),
            job=OTHERS["record"],
        ),
    output:
        points=report(
            f"{RESULTS}/tables/points.csv",
            caption="../report/points.rst",
            category="Tables",
            labels={"table": "points", "rows": "one per point and method"},
        ),
        jobs=report(
            f"{RESULTS}/tables/jobs.csv",
            caption="../report/jobs.rst",
            category="Tables",
            labels={"table": "jobs", "rows": "one per configuration"},
        ),
        checks=report(
            f"{RESULTS}/tables/checks.csv",
            caption="../report/checks.rst",
            category="Tables",
            labels={"table": "checks", "rows": "one per check of a job"},
        ),
        degrees=report(
            f"{RESULTS}/tables/degrees.csv",
            caption="../report/degrees.rst",
            category="Tables",
            labels={"table": "degrees", "rows": "one per bin of a degree histogram"},
        ),
    log:
        f"{LOGS}/table.log",
    conda:
        "../envs/eventops.yaml"
    params:
        others=OTHERS["record"],
        today=TODAY,
        code=PAGE_CODE,
    script:
        "../scripts/table.py"


# What other code or versions measured in this folder: on the page with the reason, and in no other table.
rule earlier:
    input:
        [
            f"{RESULTS}/{kept.FOLDERS[kind]}/{name}.json"
            for kind, names in OTHERS.items()
            for name in names
        ],
    output:
        report(
            EARLIER,
            caption="../report/earlier.rst",
            category="Tables",
            labels={"table": "earlier", "rows": "one per record of other code"},
        ),
    log:
        f"{LOGS}/earlier.log",
    conda:
        "../envs/eventops.yaml"
    params:
        others=OTHERS,
        today=TODAY,
        code=PAGE_CODE,
    script:
        "../scripts/earlier.py"
