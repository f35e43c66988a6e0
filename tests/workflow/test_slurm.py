"""The workflow on a cluster: a real Slurm of one node, which is killed in the middle; see `slurm_node`."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from support import slurm_node
from workflow.test_workflow import ALONE, ENVIRONMENT, ROOT, TINY

from eventops.bench.records import record

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
pytest.importorskip(
    "snakemake_executor_plugin_slurm", reason="pip install -e '.[cluster]' brings the executor"
)
# Besides the points one job of each other rule that times.
CONFIG = {key: value for key, value in TINY.items() if key != "machine"} | {
    "peers": [],
    "networks": [
        {"model": "coba", "sizes": [100], "simulators": ["eventops"], "segment_ms": 20, "rounds": 3}
    ],
    "kernels": [
        {"measure": "delays", "sizes": [[60, 6]], "delays": [1], "weights": ["homogeneous"]}
    ],
}
SECONDS = 600
PER = ("Job", "Node", "Socket", "Task")  # what a job may ask GPUs for, as Slurm calls it


@pytest.fixture(scope="module")
def cluster():
    if reason := slurm_node.why_not():
        pytest.skip(reason)
    cluster = slurm_node.Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def project(tmp_path):
    """A copy of the workflow whose profile knows the node's size and waits less."""
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Snakefile", tmp_path)
    path = tmp_path / "profiles/slurm/config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-threads"] = dict.fromkeys(profile["set-threads"], os.cpu_count())
    profile["default-resources"]["mem_mb"] = 900
    for rule in profile["set-resources"].values():
        rule["mem_mb"] = 2000
    profile |= {"latency-wait": 10, "seconds-between-status-checks": 1}
    profile |= {"slurm-init-seconds-before-status-checks": 1, "slurm-status-command": "squeue"}
    path.write_text(yaml.safe_dump(profile))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def command(*settings) -> list[str]:
    start = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm"]
    return [*start, "--configfile", "test.yaml", *settings]


def run(cluster, project, *settings) -> tuple[int, str]:
    done = subprocess.run(
        command(*settings),
        cwd=project,
        env=ENVIRONMENT | cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout


def of_rule(cluster, rule: str) -> list[dict]:
    """Slurm's own account of the jobs of a rule; the executor puts the rule's name into the comment."""
    return [job for job in cluster.jobs() if re.match(f"rule_{rule}(_|$)", job.get("Comment", ""))]


def wait_for_a_running(cluster, rule: str) -> dict:
    for _ in range(SECONDS * 2):
        running = [job for job in of_rule(cluster, rule) if job["JobState"] == "RUNNING"]
        if running:
            return running[0]
        time.sleep(0.5)
    raise AssertionError(f"no job of rule {rule} ran; jobs: {cluster.jobs()}")


def test_the_machine_must_be_named(cluster, project):
    """Neither the name nor the devices of the machine that submits are those of the nodes."""
    for settings in ((), ("--config", "machine=node"), ("--config", "devices=[cpu]")):
        code, output = run(cluster, project, *settings)
        assert code != 0 and "the kind of node and its devices have to be named" in output
    assert cluster.jobs() == []


def test_a_sweep_survives_a_requeued_job_and_a_lost_node(cluster, project):
    output = project / "output.txt"
    with open(output, "w") as file:
        running = subprocess.Popen(
            command("--config", "machine=node", "devices=[cpu]"),
            cwd=project,
            env=ENVIRONMENT | cluster.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        requeued = wait_for_a_running(cluster, "verify")["JobId"]
        cluster("scontrol", "requeue", requeued)
        lost = wait_for_a_running(cluster, "measure")["JobId"]
        cluster.kill_node()
        while not cluster("sinfo", "-h", "-o", "%t").startswith("down"):
            assert running.poll() is None, output.read_text()
            time.sleep(0.5)
        cluster.start_node()
        code = running.wait(timeout=SECONDS)
    finally:
        running.kill()
    assert code == 0, output.read_text()

    jobs = {job["JobId"]: job for job in cluster.jobs()}
    assert int(jobs[requeued]["Restarts"]) >= 1 and int(jobs[lost]["Restarts"]) >= 1
    assert {job["JobState"] for job in jobs.values()} == {"COMPLETED"}
    for rule in {"verify", *ALONE}:
        found = of_rule(cluster, rule)
        assert found, f"no job of rule {rule} in {jobs}"
        for job in found:
            assert job["Partition"] == "cpu"
            assert (job["OverSubscribe"] == "NO") == (rule in ALONE), f"{rule}: {job}"
            assert int(job["CPUs/Task"]) == (os.cpu_count() if rule in ALONE else 1)

    results = project / "results/node"
    assert (results / "report.html").is_file() and (results / "verified.txt").is_file()
    verified = [record.load(path, "verify") for path in results.glob("verify/*.json")]
    measured = [record.load(path, "record") for path in results.glob("records/*.json")]
    assert len(verified) == len(measured) == len(CONFIG["sweep"])
    assert {r["job"]["id"] for r in verified} == {r["job"]["id"] for r in measured}
    for one, other in itertools.combinations([r["ran"] for r in verified + measured], 2):
        apart = one[1] <= other[0] or other[1] <= one[0]
        assert apart or not {tuple(one), tuple(other)} & {tuple(r["ran"]) for r in measured}
    code, again = run(cluster, project, "--config", "machine=node", "devices=[cpu]", "--dry-run")
    assert code == 0 and "Nothing to be done" in again, again


def test_a_job_of_a_gpu_goes_to_its_partition(cluster, project):
    """This one has none, so that its jobs end as red rows that say so."""
    before = {job["JobId"] for job in cluster.jobs()}
    code, output = run(cluster, project, "--config", "machine=other", "devices=[gpu]")
    jobs = [job for job in cluster.jobs() if job["JobId"] not in before]
    asked = [job for job in jobs if any("gpu" in job.get(f"TresPer{of}", "") for of in PER)]
    rules = {re.match("rule_([a-z]+)", job["Comment"]).group(1) for job in asked}
    assert {"verify", *ALONE} - {"measure"} <= rules, f"of {rules} asked for a GPU, of\n{jobs}"
    assert {job["Partition"] for job in asked} == {"gpu"}
    assert {job["Partition"] for job in jobs if job not in asked} <= {"cpu"}
    assert code != 0
    page = (project / "results/other/report.html").read_text(encoding="utf-8")
    assert "the device is gone" in page and "✗ Failed" in page, output
