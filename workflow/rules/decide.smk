DECISION = {
    name: f"{RESULTS}/tables/{name}.csv"
    for name in ("holdout", "contests", "crossovers")
}


# How often the predictions behind eventops.recommend are right, and where one operator overtakes another.
rule decide:
    input:
        machine=MACHINE_JSON,
        points=f"{RESULTS}/tables/points.csv",
    output:
        **{
            name: report(
                path,
                caption="../report/decide.rst",
                category="Tables",
                labels={"table": name, "rows": "predictions and their test"},
            )
            for name, path in DECISION.items()
        },
    log:
        f"{LOGS}/decide.log",
    conda:
        "../envs/eventops.yaml"
    params:
        code=PAGE_CODE,
    script:
        "../scripts/decide.py"
