NETWORKS = OWN["network"]
NETWORK_TABLE = f"{RESULTS}/tables/networks.csv"
NETWORK_FIGURE = f"{RESULTS}/figures/networks.svg"


wildcard_constraints:
    network="|".join(map(re.escape, NETWORKS)) or "none",


# A whole network, timed alone beside other simulators. One that was installed since is a changed parameter.
rule network:
    input:
        machine=ancient(MACHINE_JSON),
    output:
        f"{RESULTS}/networks/{{network}}.json",
    log:
        f"{LOGS}/networks/{{network}}.log",
    conda:
        "../envs/eventops.yaml"
    threads: all_cores
    resources:
        gpu=TIMING_GPUS,
    params:
        job=lookup(within=NETWORKS, dpath="{network}"),
        pythons=lambda w: network_jobs.available(NETWORKS[w.network]),
        code=CODES["network"],
        versions=VERSIONS,
        outdated=[NETWORK_TABLE],
    script:
        "../scripts/network.py"


rule networks:
    input:
        own=expand(f"{RESULTS}/networks/{{network}}.json", network=NETWORKS),
        others=expand(f"{RESULTS}/networks/{{network}}.json", network=OTHERS["network"]),
    output:
        table=report(NETWORK_TABLE, caption="../report/networks.rst", category="Tables"),
        svg=report(NETWORK_FIGURE, caption="../report/networks.rst", category="Figures"),
        png=f"{RESULTS}/figures/networks.png",
    log:
        f"{LOGS}/networks.log",
    conda:
        "../envs/eventops.yaml"
    params:
        others=OTHERS["network"],
        today=TODAY,
        code=PAGE_CODE,
    script:
        "../scripts/networks.py"
