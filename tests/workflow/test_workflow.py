"""The workflow itself, run as a user runs it, on the smoke configuration."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from eventops.bench.sweep import jobs as sweep

ROOT = Path(__file__).resolve().parents[2]
# A folder of their own for the lock of this machine: what is timed here waits for no other run, and is no claim.
SCRATCH = tempfile.TemporaryDirectory(prefix="eventops-")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": SCRATCH.name}
SMOKE = yaml.safe_load((ROOT / "config/smoke.yaml").read_text())
ALONE = {"machine", "measure", "network", "kernel"}  # the rules that time
TINY = {
    "machine": "here",
    "measure": {"rounds": 3, "min_sample_s": 1e-5, "budget_s": 0.02, "scan_steps": 3},
    "verify": {"twin_size": 60},
    "peers": ["jnp-dense"],
    "sweep": [
        {
            "name": "a",
            "operator": "EventFixedNumConn",
            "sizes": [60],
            "conn": [6],
            "modes": ["call"],
        },
        {"name": "b", "operator": "EventLinear", "sizes": [50], "modes": ["call"]},
    ],
}

pytestmark = pytest.mark.slow


def copy_into(folder: Path) -> Path:
    """A copy of the workflow, so that nothing is written into the repository."""
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


@pytest.fixture
def project(tmp_path):
    return copy_into(tmp_path / "project")


def command(project, config, *arguments) -> list[str]:
    """The command line, with the configuration written for it."""
    (project / "test.yaml").write_text(yaml.safe_dump(config))
    start = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "test.yaml"]
    return [*start, *arguments]


def snakemake(project, config, *arguments):
    """Run snakemake there; returns its exit code and all that it printed."""
    done = subprocess.run(
        command(project, config, *arguments),
        cwd=project,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
    )
    return done.returncode, done.stdout


def planned(output) -> dict:
    """Rule to number of jobs, from the table of a dry run."""
    table = output.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]
    return {line.split()[0]: int(line.split()[1]) for line in table if line.strip()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose run has ended; for reading, and for copies."""
    folder = copy_into(tmp_path_factory.mktemp("finished") / "project")
    code, output = snakemake(folder, TINY)
    assert code == 0, output
    (folder / "output.txt").write_text(output)
    return folder


@pytest.fixture
def own_copy(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "own"))


def test_smoke_has_every_operator():
    """CI runs it from the README's command; a report without one of them would not show that it works."""
    swept = {entry["operator"] for entry in SMOKE["sweep"]}
    assert swept == set(sweep.CONN_KIND)


def test_a_run_ends_in_a_report(finished):
    results = finished / "results/here"
    assert f"The report: {results / 'report.html'}" in (finished / "output.txt").read_text()
    points = pd.read_csv(results / "tables/points.csv")
    assert set(points.operator) == {"EventFixedNumConn", "EventLinear"}
    ours = points[points.method == "eventops"]
    assert (ours.status == "ok").all() and (ours.t_median_s > 0).all()
    checks = pd.read_csv(results / "tables/checks.csv")
    assert checks.passed.all() and len(checks) > 30
    assert "<html" in (results / "report.html").read_text()
    logs = list((results / "logs").rglob("*.log"))
    assert len(logs) > 10 and all(log.stat().st_size > 0 for log in logs)


def test_what_was_measured_is_not_measured_again(own_copy):
    assert "Nothing to be done" in snakemake(own_copy, TINY)[1]
    # A clone has no memory of the run and all files are new, in an order that means nothing.
    shutil.rmtree(own_copy / ".snakemake")
    results = own_copy / "results/here"
    made = {p: p.read_bytes() for kind in ("verify", "records") for p in results.glob(f"{kind}/*")}
    start = time.time() - 10_000
    for i, path in enumerate(sorted(results.rglob("*"))):
        os.utime(path, (start + i, start + i))
    code, output = snakemake(own_copy, TINY)
    assert code == 0 and "rule measure" not in output and "rule verify" not in output
    assert len(made) == 4 and made == {p: p.read_bytes() for p in made}

    changed = json.loads(json.dumps(TINY))
    changed["sweep"][0]["rates"] = ["0.2"]
    plan = planned(snakemake(own_copy, changed, "--dry-run")[1])
    assert plan["verify"] == plan["measure"] == plan["table"] == 1


def test_what_was_lost_is_made_again(own_copy):
    """However new the files are that were made from it; and nothing is measured for a figure or a table."""
    results = own_copy / "results/here"
    lost = ["figures/time.svg", "figures/hero.png", "figures/networks.svg", "figures/kernels.png"]
    lost += [
        "tables/crossovers.csv",
        "tables/jobs.csv",
        "tables/earlier.csv",
        "tables/networks.csv",
    ]
    lost += ["config.yaml", "verified.txt"]
    for name in lost:
        (results / name).unlink()
    code, output = snakemake(own_copy, TINY)
    assert code == 0 and all((results / name).exists() for name in lost), output
    assert "rule measure" not in output and "rule verify" not in output
    assert "Nothing to be done" in snakemake(own_copy, TINY)[1]
    for kind in ("verify", "records"):
        victim = next((results / kind).glob("EventLinear*"))
        victim.unlink()
        plan = planned(snakemake(own_copy, TINY, "--dry-run")[1])
        assert plan["measure"] == 1 and plan.get("verify", 0) == (kind == "verify")
        victim.write_text("")


def test_results_of_two_configurations_add_up(own_copy):
    results = own_copy / "results/here"
    before = pd.read_csv(results / "tables/points.csv")
    other = {"name": "c", "operator": "Linear", "sizes": [40], "modes": ["call"], "peers": []}
    more = TINY | {"sweep": [other], "measure": TINY["measure"] | {"rounds": 4}}
    # One record of other code, and one that is damaged.
    old = next((results / "records").glob("EventLinear*"))
    content = json.loads(old.read_text())
    names = [f"{old.stem}{end}" for end in ("old", "torn")]
    for name in names:
        for kind in ("verify", "records"):
            shutil.copy(results / kind / old.name, results / kind / f"{name}.json")
    old.with_stem(names[0]).write_text(json.dumps(content | {"code": "another"}))
    old.with_stem(names[1]).write_text("{")

    code, output = snakemake(own_copy, more)
    assert code == 0, output
    both = pd.read_csv(results / "tables/points.csv")
    assert set(both.job) > set(before.job) and "Linear" in set(both.operator)
    kept = both[both.job.isin(before.job)].reset_index(drop=True)
    order = ["job", "rate", "batch", "mode", "method"]
    same = [frame.sort_values(order, ignore_index=True) for frame in (kept, before)]
    pd.testing.assert_frame_equal(*same)
    page = (results / "report.html").read_text()
    assert "2 of the 3 configurations on this page were asked for by runs with other" in page
    apart = pd.read_csv(results / "tables/earlier.csv").set_index("job")
    assert set(apart.index) == set(names) and not set(names) & set(both.job)
    assert apart.reason[names[0]] == "other code of eventops"
    assert "is not valid JSON" in apart.reason[names[1]]
    assert "2 records of other code or versions stand apart" in page and names[0] in page
    assert "Nothing to be done" in snakemake(own_copy, more)[1]

    for name in names:
        (results / f"records/{name}.json").unlink()
    code, output = snakemake(own_copy, TINY)
    assert code == 0 and "rule measure" not in output and "rule verify" not in output
    assert set(pd.read_csv(results / "tables/points.csv").job) == set(both.job)
    assert "1 of the 3 configurations" in (results / "report.html").read_text()


def test_a_failed_verification_fails_the_run_after_the_report(own_copy):
    results = own_copy / "results/here"
    victim = next((results / "verify").glob("EventLinear*"))
    content = json.loads(victim.read_text())
    content["checks"][0]["passed"] = False
    content |= {"status": "failed", "reason": "todense-is-rows: made to fail by this test"}
    victim.write_text(json.dumps(content))
    next((results / "records").glob("EventLinear*")).unlink()
    (results / "report.html").unlink()
    (results / "verified.txt").unlink()
    for _ in range(2):  # and it stays so: a second run does not turn it green
        code, output = snakemake(own_copy, TINY)
        assert code != 0
        assert "made to fail by this test" in output
        assert (results / "report.html").exists() and not (results / "verified.txt").exists()
        points = pd.read_csv(results / "tables/points.csv")
        assert set(points[points.operator == "EventLinear"].status) == {"failed"}
        assert set(points[points.operator == "EventFixedNumConn"].status) == {"ok"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rats": 1}, "'rats' was unexpected"),
        ({"measure": {"round": 3}}, "'round' was unexpected"),
        ({"verify": {"p": 3}}, "'p' was unexpected"),
        ({"sweep": [{**TINY["sweep"][1], "size": [3]}]}, "'size' was unexpected"),
        ({"sweep": [{**TINY["sweep"][1], "rates": ["often"]}]}, "'often' does not match"),
        ({"sweep": [{**TINY["sweep"][1], "conn": [3]}]}, "dense and has no conn"),
        ({"devices": ["gpu"]}, "devices asks for 'gpu'"),
    ],
)
def test_a_bad_configuration_stops_before_the_first_job(project, change, message):
    if change == {"devices": ["gpu"]} and _has_gpu():
        pytest.skip("there is a GPU")
    code, output = snakemake(project, TINY | change)
    assert code != 0 and message in output
    assert not (project / "results").exists()


def _has_gpu():
    from eventops.bench.records import machine

    return "gpu" in machine.devices("auto")


@pytest.mark.parametrize("name", ["config", "smoke", "targets", "full"])
def test_the_shipped_configurations_are_valid(project, name):
    config = yaml.safe_load((project / f"config/{name}.yaml").read_text())
    code, output = snakemake(project, config, "--dry-run")
    assert code == 0, output
    assert planned(output)["measure"] >= 8


def test_lint():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_that_times_is_alone_in_the_profile():
    """Those that take all cores of this machine take a whole node of a cluster; a new one is easily forgotten."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL))
    assert {name for name, body in rules.items() if "threads: all_cores" in body} == ALONE
    assert set(profile["set-threads"]) == set(profile["set-resources"]) == ALONE
    for resources in profile["set-resources"].values():
        assert "--exclusive" in resources["slurm_extra"]
