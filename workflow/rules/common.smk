# The configuration, checked before anything else, and the names that all stages share.
import os
import sys
from pathlib import Path

import yaml
from snakemake.utils import validate

from eventops import backends
from eventops.bench.records import turns, fingerprint, kept, machine, progress, record
from eventops.bench.sweep import config_numbers, jobs as sweep
from eventops.bench.kernels import jobs as kernel_jobs
from eventops.bench.networks import jobs as network_jobs
from eventops.bench.report import unfinished
from snakemake.exceptions import WorkflowError

SCHEMA = Path(workflow.source_path("../schemas/config.schema.yaml"))
config_numbers.read(config, yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))
validate(config, schema=str(SCHEMA))

# Snakemake starts scripts by a line for the shell in which the interpreter stands as it is.
if set(" \t'\"\\$&;()") & set(sys.executable):
    raise WorkflowError(
        f"Snakemake cannot run scripts by {sys.executable}, whose path has a space or another sign that a shell reads; "
        "the checkout may stay where it is, but make the virtual environment elsewhere, for example python3 -m venv "
        "~/eventops-venv, install into that one and run its snakemake"
    )

# The jobs of a cluster run elsewhere, on what cannot be looked at from here. Snakemake tells the executor only later; with
# one that is not local a number of jobs is given and none of cores, and jobs know that they have been sent.
GIVEN = workflow.resource_settings
ELSEWHERE = (GIVEN.nodes is not None and GIVEN.cores is None) or workflow.remote_exec

try:
    DEVICES = machine.devices(config["devices"], config["machine"], ELSEWHERE)
    # Nor is it known which backends there are: a job that finds none there is a red row.
    MISSING = dict.fromkeys(backends.BACKENDS) if ELSEWHERE else backends.available()
    JOBS = sweep.jobs(config, DEVICES, MISSING)
except ValueError as error:
    raise WorkflowError(str(error))

# For workflow/envs/eventops.post-deploy.sh.
os.environ.update(EVENTOPS_SOURCE=str(workflow.basedir))
MACHINE = machine.slug() if config["machine"] == "auto" else config["machine"]
RESULTS = f"{config['results']}/{MACHINE}"
LOGS = f"{RESULTS}/logs"
REPORT = f"{RESULTS}/report.html"
VERDICT = f"{RESULTS}/verified.txt"
TABLES = [
    f"{RESULTS}/tables/{name}.csv" for name in ("points", "jobs", "checks", "degrees")
]
EARLIER = f"{RESULTS}/tables/earlier.csv"
MACHINE_JSON = f"{RESULTS}/machine.json"
GENERATORS_JSON = f"{RESULTS}/generators.json"

# Results depend on the code that made them and on the versions of what it calls: a change of either is a
# changed parameter of the rule, so that claims are proved again. Times of files say nothing (in a clone all
# are those of the checkout), but Snakemake looks at them whatever its triggers; so what measure takes is
# marked as ancient, and in a clone only tables, figures and page are made again, in seconds. Verify and measure
# remove the tables, so that no table is older than its records even if the run is killed there.
VERSIONS = {
    name: version
    for name, version in machine.versions().items()
    if name not in ("pandas", "seaborn", "snakemake")
}
CODES = {
    "verify": fingerprint.of("verify.verify"),
    "record": fingerprint.of("measure.measure"),
    "kernel": fingerprint.of("kernels.jobs"),
    "network": fingerprint.of(
        "networks.jobs", files=("networks/simulators/*", "../models/*")
    ),
}
GENERATORS_CODE = fingerprint.of("peers.generators")
PAGE_CODE = fingerprint.of(files=("**/*.py", "report/templates/*"))

# Results of a machine add up: the tables are also of what other configurations measured there, as long as it is of the
# same code and versions, which is looked at as the tables are made.
OWN = {
    "record": JOBS,
    "kernel": kernel_jobs.jobs(config),
    "network": network_jobs.jobs(config),
}
OTHERS = {kind: kept.others(RESULTS, kind, own) for kind, own in OWN.items()}
TODAY = CODES | {"versions": VERSIONS}
# For the line that says how far a measurement is.
os.environ[progress.TOTAL] = str(len(JOBS) + len(OTHERS["record"]))


wildcard_constraints:
    job="|".join(map(re.escape, JOBS)),


LOCK = []


def only_run():
    """Locks that keep a second run out of this folder and of its results, which several may share.

    (Snakemake's own would outlive a run that is killed.)
    """
    try:
        record.check_folder(RESULTS)
        return [turns.in_this_folder(folder) for folder in (".", RESULTS)]
    except (OSError, RuntimeError) as error:
        raise WorkflowError(str(error))


# By the number of GPUs that a job takes a cluster finds a node for it. All that is timed in a run is timed on one kind
# of node.
TIMING_GPUS = int("gpu" in DEVICES)


def gpus(wildcards):
    return int(JOBS[wildcards.job]["device"] == "gpu")


def all_cores(wildcards):
    """Timing runs alone. Without --cores (lint, or jobs sent to a cluster) it asks for this machine's."""
    try:
        return workflow.cores
    except WorkflowError:
        return os.cpu_count()
