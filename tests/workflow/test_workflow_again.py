"""What a cause outside ended is tried again by the same command; what was found wrong is not."""

import re

import pytest
from workflow.test_workflow import ENVIRONMENT, TINY, copy_into, snakemake

pytestmark = pytest.mark.slow


def test_what_an_exception_ended_is_tried_again(tmp_path, monkeypatch):
    project = copy_into(tmp_path / "project")
    results = project / "results/here"
    config = TINY | {"peers": [], "sweep": [TINY["sweep"][1]]}
    plan = snakemake(project, config, "--dry-run")[1]
    (verified,) = set(re.findall(r"results/here/verify/\S+\.json", plan))
    targets = ("--", verified, "results/here/generators.json")

    monkeypatch.setitem(ENVIRONMENT, "JAX_TRANSFER_GUARD", "disallow")
    code, output = snakemake(project, config, *targets)
    assert code != 0 and "the next run tries it again" in output
    assert "generators: no record:" in output and "give the same command again" in output
    assert not (project / verified).exists() and not (results / "generators.json").exists()
    assert "isallowed" in (results / "report.html").read_text()

    monkeypatch.delitem(ENVIRONMENT, "JAX_TRANSFER_GUARD")
    code, output = snakemake(project, config, *targets)
    assert code == 0 and (project / verified).exists(), output
    assert "Nothing to be done" in snakemake(project, config, *targets)[1]
