# The table of contents: what is made, and in which order.
from snakemake.utils import min_version

min_version("9.12.0")


if "sweep" not in config:

    # Beside this file, wherever it is run from; results go under the working directory.
    configfile: workflow.source_path("config/config.yaml")


report: "workflow/report/workflow.rst"


# config -> jobs
include: "workflow/rules/common.smk"
include: "workflow/rules/machine.smk"
# the peers' generators -> their statistics
include: "workflow/rules/generators.smk"
# jobs -> verified jobs
include: "workflow/rules/verify.smk"
# verified jobs -> timed records
include: "workflow/rules/measure.smk"
# records -> tables
include: "workflow/rules/table.smk"
# tables -> predictions put to the test, and crossovers
include: "workflow/rules/decide.smk"
# tables -> figures
include: "workflow/rules/plots.smk"
# delays and updates of weights -> table and figure
include: "workflow/rules/kernels.smk"
# whole networks -> table and figure
include: "workflow/rules/networks.smk"
# tables and figures -> report, and the verdict
include: "workflow/rules/report.smk"
# two sets of results -> what became faster or slower
include: "workflow/rules/compare.smk"


# Seconds each: not worth a place in a cluster's queue.
localrules:
    all,
    table,
    earlier,
    decide,
    plots,
    networks,
    kernels,
    report,
    gate,
    compare,


# All that a run makes, so that each file that was lost is made again, however new those are that were made from it.
rule all:
    default_target: True
    input:
        rules.table.input,
        rules.kernels.input,
        rules.networks.input,
        rules.table.output,
        rules.earlier.output,
        rules.decide.output,
        rules.plots.output,
        rules.kernels.output,
        rules.networks.output,
        rules.report.output,
        rules.gate.output,


onstart:
    # Kept until this process ends, which lets go of it however it ends.
    LOCK.extend(only_run())
    record.none_from_the_future(RESULTS)


onsuccess:
    print(f"\nThe report: {Path(REPORT).resolve()}\n")


onerror:
    # What there is, and a red row for each job that died without a record.
    print(
        f"\n{unfinished.explain(OWN, Path(RESULTS), MACHINE, config, OTHERS, TODAY)}\n"
    )
