from eventops.bench.figures import HERO, NAMES


rule plots:
    input:
        machine=MACHINE_JSON,
        points=f"{RESULTS}/tables/points.csv",
        jobs=f"{RESULTS}/tables/jobs.csv",
        checks=f"{RESULTS}/tables/checks.csv",
    output:
        svg=report(
            expand(f"{RESULTS}/figures/{{name}}.svg", name=[*NAMES, HERO]),
            caption="../report/figure.rst",
            category="Figures",
        ),
        png=expand(f"{RESULTS}/figures/{{name}}.png", name=[*NAMES, HERO]),
    log:
        f"{LOGS}/plots.log",
    conda:
        "../envs/eventops.yaml"
    params:
        code=PAGE_CODE,
    script:
        "../scripts/plots.py"
