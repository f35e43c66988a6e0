from eventops.bench.figures.figures import HERO, NAMES
from eventops.bench.figures.captions import CAPTIONS, SUBJECTS


rule plots:
    input:
        machine=MACHINE_JSON,
        points=f"{RESULTS}/tables/points.csv",
        jobs=f"{RESULTS}/tables/jobs.csv",
        checks=f"{RESULTS}/tables/checks.csv",
        degrees=f"{RESULTS}/tables/degrees.csv",
    output:
        svg=[
            report(
                f"{RESULTS}/figures/{name}.svg",
                caption="../report/figure.rst",
                category="Figures",
                subcategory=SUBJECTS.get(name, "Cost"),
                labels={"figure": name, "shows": CAPTIONS.get(name, "")},
            )
            for name in [*NAMES, HERO]
        ],
        png=expand(f"{RESULTS}/figures/{{name}}.png", name=[*NAMES, HERO]),
    log:
        f"{LOGS}/plots.log",
    conda:
        "../envs/eventops.yaml"
    params:
        code=PAGE_CODE,
    script:
        "../scripts/plots.py"
