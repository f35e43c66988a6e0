KERNELS = OWN["kernel"]
KERNEL_TABLE = f"{RESULTS}/tables/kernels.csv"
KERNEL_FIGURE = f"{RESULTS}/figures/kernels.svg"


wildcard_constraints:
    kernel="|".join(map(re.escape, KERNELS)) or "none",


# Delays or updates of weights at one size: verified, then timed alone beside the other way.
rule kernel:
    input:
        machine=ancient(MACHINE_JSON),
    output:
        f"{RESULTS}/kernels/{{kernel}}.json",
    log:
        f"{LOGS}/kernels/{{kernel}}.log",
    conda:
        "../envs/eventops.yaml"
    threads: all_cores
    resources:
        gpu=TIMING_GPUS,
    params:
        job=lookup(within=KERNELS, dpath="{kernel}"),
        code=CODES["kernel"],
        versions=VERSIONS,
        outdated=[KERNEL_TABLE],
    script:
        "../scripts/kernel.py"


rule kernels:
    input:
        own=expand(f"{RESULTS}/kernels/{{kernel}}.json", kernel=KERNELS),
        others=expand(f"{RESULTS}/kernels/{{kernel}}.json", kernel=OTHERS["kernel"]),
    output:
        table=report(KERNEL_TABLE, caption="../report/kernels.rst", category="Tables"),
        svg=report(KERNEL_FIGURE, caption="../report/kernels.rst", category="Figures"),
        png=f"{RESULTS}/figures/kernels.png",
    log:
        f"{LOGS}/kernels.log",
    conda:
        "../envs/eventops.yaml"
    params:
        others=OTHERS["kernel"],
        today=TODAY,
        code=PAGE_CODE,
    script:
        "../scripts/kernels.py"
