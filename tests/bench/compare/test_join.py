"""Results of several kinds of machines, kept apart and put side by side."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from eventops.bench.compare import join
from eventops.bench.records import machine, record

COMMITTED = next(
    path.parent
    for path in sorted(Path(__file__).parents[3].glob("results/reference-*/machine.json"))
)


@pytest.fixture
def other(tmp_path):
    """The committed results under another name, with text in it that is no HTML."""
    folder = tmp_path / "b"
    shutil.copytree(COMMITTED / "tables", folder / "tables")
    facts = record.load(COMMITTED / "machine.json", "machine")
    record.write(folder / "machine.json", "machine", facts | {"slug": "b", "cpu": "<script>x"})
    return folder


def test_machines_stand_side_by_side(other, tmp_path):
    page = join.join([COMMITTED, other], tmp_path / "joined").read_text()
    assert COMMITTED.name in page and "&lt;script&gt;x" in page and "<script>" not in page
    assert page.count("✓ Verified") == 2 and "EventFixedNumConn" in page
    one = pd.read_csv(COMMITTED / "tables/points.csv")
    both = pd.read_csv(tmp_path / "joined/tables/points.csv")
    assert len(both) == 2 * len(one) and set(both["machine"]) == {COMMITTED.name, "b"}
    checks = pd.read_csv(tmp_path / "joined/tables/checks.csv")
    assert checks.columns[0] == "machine" and set(checks["machine"]) == {COMMITTED.name, "b"}


def test_a_failure_on_one_machine_is_its_own(other, tmp_path):
    path = other / "tables/jobs.csv"
    jobs = pd.read_csv(path)
    jobs.loc[0, "status"] = "failed"
    jobs.to_csv(path, index=False)
    page = join.join([COMMITTED, other], tmp_path / "joined").read_text()
    assert page.count("✓ Verified") == 1 and page.count("✗ Failed: 1 rows") == 1


def test_what_cannot_be_joined(other, tmp_path):
    with pytest.raises(ValueError, match="name two or more"):
        join.join([other], tmp_path)
    with pytest.raises(ValueError, match="both of machine 'b'"):
        join.join([other, other], tmp_path)
    (other / "tables/jobs.csv").unlink()
    with pytest.raises(FileNotFoundError, match="lacks tables/jobs.csv"):
        join.join([COMMITTED, other], tmp_path)
    with pytest.raises(SystemExit):
        join.main([str(other)])


def test_one_name_is_one_kind_of_machine():
    facts = machine.facts("0", {"cpu": None})
    machine.check_alike(facts, "machine.json")
    for name, value in {
        "cpu": "Another",
        "isa": "other",
        "n_cores": 1000,
        "memory_bytes": 1,
    }.items():
        with pytest.raises(RuntimeError, match="a name of its own with --config machine=NAME"):
            machine.check_alike(facts | {name: value}, "machine.json")


def test_devices_of_a_cluster_are_named():
    assert machine.devices(["gpu"], "node", elsewhere=True) == ["gpu"]
    for asked, name in (("auto", "node"), (["cpu"], "auto")):
        with pytest.raises(ValueError, match=r"machine=NAME devices=\[cpu\]"):
            machine.devices(asked, name, elsewhere=True)
