# snakemake compare --config old=results/<this> new=results/<that>: reads finished results, and makes none. It has no output,
# so that it says what it finds every time that it is asked.
rule compare:
    log:
        f"{config['results']}/compare/compare.log",
    conda:
        "../envs/eventops.yaml"
    params:
        old=config.get("old"),
        new=config.get("new"),
        threshold=config["compare"]["threshold"],
        basis=config["compare"]["basis"],
        folder=f"{config['results']}/compare",
    script:
        "../scripts/compare.py"
