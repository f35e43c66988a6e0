rule report:
    input:
        **DECISION,
        machine=MACHINE_JSON,
        points=f"{RESULTS}/tables/points.csv",
        jobs=f"{RESULTS}/tables/jobs.csv",
        checks=f"{RESULTS}/tables/checks.csv",
        degrees=f"{RESULTS}/tables/degrees.csv",
        generators=GENERATORS_JSON,
        figures=expand(f"{RESULTS}/figures/{{name}}.svg", name=NAMES),
        networks=NETWORK_TABLE,
        network_figure=NETWORK_FIGURE,
        kernels=KERNEL_TABLE,
        kernel_figure=KERNEL_FIGURE,
        earlier=EARLIER,
    output:
        page=report(
            REPORT,
            caption="../report/report.rst",
            category="Report",
            labels={"page": "report.html", "shows": "all of it in one page"},
        ),
        config=f"{RESULTS}/config.yaml",
    log:
        f"{LOGS}/report.log",
    conda:
        "../envs/eventops.yaml"
    params:
        config=config,
        own=list(JOBS),
        code=PAGE_CODE,
    script:
        "../scripts/report.py"


# The last rule: fails the run when a point was not verified, after the report that shows it was written.
rule gate:
    input:
        report=REPORT,
        points=f"{RESULTS}/tables/points.csv",
        jobs=f"{RESULTS}/tables/jobs.csv",
        kernels=KERNEL_TABLE,
    output:
        VERDICT,
    log:
        f"{LOGS}/gate.log",
    conda:
        "../envs/eventops.yaml"
    script:
        "../scripts/gate.py"
