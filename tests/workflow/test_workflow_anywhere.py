"""The workflow runs from any folder, with numbers as a command line gives them; results go under the working directory."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from workflow.test_workflow import ENVIRONMENT, TINY, copy_into, planned

pytestmark = pytest.mark.slow
ONE = TINY | {"peers": [], "sweep": [TINY["sweep"][1]]}


@pytest.fixture
def clone(tmp_path):
    return copy_into(tmp_path / "clone")


def run(folder, *arguments) -> str:
    """What snakemake prints when it runs in this folder."""
    line = [sys.executable, "-m", "snakemake", "--cores", "1", *map(str, arguments)]
    done = subprocess.run(
        line,
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_default_configuration_is_found(clone, tmp_path):
    """Also under a configuration without a sweep, which adds its keys to the default's."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for place in (("-s", clone / "Snakefile"), ("-s", clone / "Snakefile", "--directory", there)):
        for more in ((), ("--config", "seed=2")):
            assert planned(run(here, *place, "--dry-run", *more))["measure"] > 30
    assert not (here / "results").exists() and not (clone / ".snakemake").exists()


@pytest.mark.parametrize("how", ["-s", "--directory"])
def test_results_are_where_it_runs(clone, tmp_path, how):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "mine.yaml").write_text(yaml.safe_dump(ONE))
    shutil.copy(here / "mine.yaml", clone)
    if how == "-s":
        place, folder, results = ("-s", clone / "Snakefile"), here, here
    else:
        place, folder, results = ("--directory", there), clone, there
    start = (*place, "--configfile", "mine.yaml")
    (name,) = set(re.findall(r"\S+/records/\S+\.json", run(folder, *start, "--dry-run")))
    run(folder, *start, "--", name)
    assert (results / name).exists() and not (clone / "results").exists()
    assert "Nothing to be done" in run(folder, *start, "--", name)


def test_numbers_of_a_command_line(clone):
    """Snakemake gives those in braces as text."""
    (clone / "test.yaml").write_text(yaml.safe_dump(ONE))
    start = ("--configfile", "test.yaml", "--dry-run", "--config", "seed=1")
    plain = run(clone, *start, "machine=there")
    text = run(clone, *start, "machine=there", "measure={rounds: 3, min_sample_s: 1e-5}")
    names = [set(re.findall(r"records/(\S+)\.json", output)) for output in (plain, text)]
    assert len(names[0]) == 1 and names[0] == names[1]
