"""Peers that are broken, in every stage: a reason in a row, and never a lost record."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventops.bench.measure import timing
from eventops.bench.networks import environments
from eventops.bench.networks import jobs as network_jobs
from eventops.bench.networks import table as networks_table
from eventops.bench.peers import foreign, newest
from eventops.bench.records import record
from eventops.bench.report import report

TESTS = Path(__file__).resolve().parents[2]
# What a package does when it is imported, and what is said of it.
BROKEN = {
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "interrupted": ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd"),
    "mute": ("class Mute(Exception):\n  def __str__(self): 1 / 0\nraise Mute", "(Mute)"),
    "home": ("open('/proc/nowhere/cache', 'w')", "FileNotFoundError"),
    "denied": ("raise PermissionError(13, 'Permission denied', '/root')", "PermissionError"),
    "needs": ("import nothing_of_this_name", "ModuleNotFoundError"),
    "generator": ("raise GeneratorExit", "(GeneratorExit)"),
}


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    monkeypatch.setattr(foreign, "_broken", {})
    monkeypatch.setattr(foreign, "_lost", {})


def fake(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)


@pytest.mark.parametrize("kind", BROKEN)
def test_an_import_that_breaks_is_a_reason(kind, tmp_path, monkeypatch):
    text, said = BROKEN[kind]
    fake(tmp_path, f"peer_that_{kind}", text)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):  # the second time it says the same, though half of a package may be there
        with pytest.raises(foreign.Unable, match="is installed and cannot be imported") as found:
            foreign.module(f"peer_that_{kind}", "peers")
        assert said in str(found.value)
        assert ("pip install 'eventops[peers]'" in str(found.value)) == (kind == "needs")


def test_a_package_that_is_not_there_is_absent():
    for name in ("nothing_of_this_name", "nothing_of_this_name.inside"):
        with pytest.raises(foreign.Absent, match="not installed.*pip install 'eventops"):
            foreign.module(name, "peers")


def test_an_interrupt_of_the_user_is_no_fact_about_a_peer():
    with pytest.raises(KeyboardInterrupt), foreign.at_work("peer"):
        raise KeyboardInterrupt
    assert foreign.busy() == ""


def test_who_is_at_work_is_known_and_not_begun_again_after_an_end():
    with foreign.at_work("outer"):
        with pytest.raises(foreign.Unable, match="^ValueError: no$"), foreign.at_work("inner"):
            assert foreign.busy() == "inner"
            raise ValueError("no\nmore")
        assert foreign.busy() == "outer"
    foreign.lose("outer", "it ended the process")
    with pytest.raises(foreign.Unable, match="it ended"), foreign.at_work("outer"):
        pytest.fail("begun again")


def test_a_peer_that_breaks_while_it_is_timed_has_no_samples():
    calls = []

    def breaks(_):
        calls.append(1)
        if len(calls) == 5:
            raise SystemExit

    good, bad = timing.Method("a", lambda _: None, [0]), timing.Method("b", breaks, [0], ours=False)
    settings = dict(rounds=6, min_sample_s=0, budget_s=1.0, give_up_s=1.0, warmup=1)
    timing.interleave([good, bad], settings)
    assert len(good.samples) == 6 and not bad.samples and bad.broken == "SystemExit"
    with pytest.raises(SystemExit):  # of ours it is a fault
        calls.clear()
        timing.interleave([timing.Method("b", breaks, [0])], settings)


# ---- every stage, in a process of its own


def run_stages(folder, *when, fakes=(), **environment):
    """What the stages wrote: status and reason by stage, the page and an answer of ``recommend``."""
    path = folder / "fakes"
    path.mkdir()
    for name, text in dict(fakes).items():
        fake(path, name, text)
    found = os.environ.get("PYTHONPATH")
    paths = os.pathsep.join(filter(None, [str(path), str(TESTS), found]))
    done = subprocess.run(
        [sys.executable, "-m", "support.peer_stages", folder, *when],
        env={**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.endswith('"done"\n'), done.stderr[-3000:]
    content = {
        kind: record.load(folder / f"{kind}.json", kind)
        for kind in ("verify", "record", "kernel", "generators")
    }
    points = content["record"]["points"]
    assert {p["status"] for p in points if p["method"] != "brainevent"} == {"ok"}
    assert content["verify"]["status"] == "ok"
    rows = [(p["status"], p["reason"]) for p in points if p["method"] == "brainevent"]
    assert len(rows) == 2
    kernel = content["kernel"]["status"], content["kernel"]["reason"]
    drawn = [(g["status"], g["reason"]) for g in content["generators"]["graphs"]]
    return {
        "points": rows,
        "kernel": kernel,
        "graphs": drawn,
        "page": (folder / "report.html").read_text().replace("&#39;", "'"),
        "answer": (folder / "recommend.txt").read_text(),
    }


DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
FAKES = {
    "raises": (
        {"brainevent": BROKEN["interrupted"][0], "brainstate": BROKEN["exits"][0]},
        "brainevent is installed and cannot be imported (Odd: odd)",
        "brainstate is installed and cannot be imported (SystemExit: 3)",
    ),
    "dies": (
        {"brainevent": DIES, "brainstate": DIES},
        "its code ended the process (SIGSEGV)",
        "its code ended the process (SIGSEGV)",
    ),
}


@pytest.mark.parametrize("kind", FAKES)
def test_a_broken_peer_is_a_fact_in_every_stage(kind, tmp_path):
    fakes, said, said_of_brainstate = FAKES[kind]
    found = run_stages(tmp_path, fakes=fakes)
    for status, reason in [*found["points"], found["kernel"]]:
        assert status == "skipped" and reason.startswith(said)
    reasons = [reason for status, reason in found["graphs"] if status == "unable"]
    assert len(reasons) == len(found["graphs"])
    for text in (said, said_of_brainstate):
        assert any(reason.startswith(text) for reason in reasons)
        assert text in found["page"]
    assert "scipy-csr" in found["answer"] and "brainevent" not in found["answer"]


def test_brainevent_without_numba_is_absent(tmp_path):
    no_numba = "raise ModuleNotFoundError(\"No module named 'numba'\", name='numba')"
    found = run_stages(
        tmp_path, fakes={"brainevent": "", "numba": no_numba, "brainstate": no_numba}
    )
    for status, reason in [*found["points"], found["kernel"]]:
        assert status == "absent" and "runs on numba here, and numba is not installed" in reason
        assert "pip install 'eventops[peers]'" in reason
    assert "numba is not installed" in found["page"]


@pytest.mark.skipif(
    not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write to"
)
def test_a_home_that_cannot_be_written_to_loses_no_record(tmp_path):
    """brainevent makes a folder for its cache there when it is imported."""
    if importlib.util.find_spec("brainevent") is None:
        pytest.skip("brainevent is not installed")
    kept = {
        "XDG_CACHE_HOME": str(tmp_path)
    }  # snakemake's own cache, which validates the configuration here
    found = run_stages(tmp_path, HOME="/proc/nowhere", **kept)
    for status, reason in [*found["points"], found["kernel"]]:
        assert status == "skipped" and "cannot be imported (FileNotFoundError" in reason, reason
    assert "FileNotFoundError" in found["page"]


@pytest.mark.parametrize(
    "when, said",
    [("raise:4", "SystemExit: enough"), ("end:4", "its code ended the process (exit code 9)")],
)
def test_a_peer_that_breaks_in_its_run_is_a_fact(when, said, tmp_path):
    text = BROKEN["exits"][0]
    found = run_stages(tmp_path, when, fakes={"brainevent": text, "brainstate": text})
    assert all(
        status == "skipped" and reason.startswith(said) for status, reason in found["points"]
    )


FAILS = """
import sys
from eventops.bench.peers import apart, foreign
def work():
    if sys.argv[1] == "raises": raise ValueError("ours")
    import os, signal; os.kill(os.getpid(), signal.SIGKILL)
apart.run(work)
"""


@pytest.mark.parametrize("how, code", [("raises", 1), ("dies", -9)])
def test_what_ends_in_our_own_code_ends_as_before(how, code):
    done = subprocess.run([sys.executable, "-c", FAILS, how], capture_output=True, text=True)
    assert done.returncode == code
    assert how == "dies" or done.stderr.strip().splitlines()[-1] == "ValueError: ours"


# ---- simulators, which are processes of their own


@pytest.mark.parametrize(
    "script, said",
    [
        (None, "FileNotFoundError"),
        ("import os, sys; os.write(2, b'\\xff no\\n'); sys.exit(1)", " no"),
        ("say('no json')", "its answer was 'no json'"),
        ("say('{}'); input(); say('{}')", "KeyError: 'seconds'"),
        ("say('{}')", "ended with 0"),
        (
            "say('{}')\nfor _ in range(2): input(); say('{\"seconds\": 1, \"spikes\": 0}')\n"
            "input(); say('{}')",
            "FileNotFoundError",
        ),
    ],
)
def test_a_simulator_that_breaks_is_a_row(script, said, tmp_path, monkeypatch):
    head = "import json, os, sys\n"
    head += "def say(t): os.write(json.loads(sys.argv[1])['answers'], (t + '\\n').encode())\n"
    (tmp_path / "simulate_nest.py").write_text(head + (script or ""))
    monkeypatch.setattr(network_jobs, "_FOLDER", tmp_path)
    job = {"model": "cuba", "n": 10, "simulators": ["nest"], "rounds": 2, "seed": 1}
    job |= {"warmup_ms": 1.0, "segment_ms": 1.0}
    found = network_jobs.run(job, {"nest": sys.executable if script else "/nowhere/python"})
    nest = found["simulators"]["nest"]
    assert nest["status"] == "failed" and said in nest["reason"]
    json.dumps(found)


# ---- the newest versions


def test_each_package_of_the_environments_is_in_the_table_of_the_newest():
    for simulator, names in environments.PACKAGES.items():
        assert set(names) <= set(newest.NEWEST)
        python, version = environments.interpreter(simulator)
        assert os.access(python, os.X_OK) and version >= sys.version_info[:2]
    assert environments.requirements("brian2", (3, 11)) == ["brian2", "numpy<2"]
    assert environments.requirements("brian2", (3, 13)) == ["brian2==2.11.0"]


def test_newer_is_by_number_and_not_by_letter():
    assert newest.behind("scipy", "1.9.0", "3.12.1").startswith("1.18.1")
    assert newest.behind("torch", "2.15.0+cpu", "3.12") == ""
    assert newest.behind("nothing", "1", None) == newest.behind("numba", None, None) == ""
    assert newest.behind("jax", "?", None) == "0.12.0.1 is newer"


def test_the_report_says_what_was_measured_and_what_is_newer():
    said = "brainevent 0.2.1 (0.3.0 is newer and needs Python 3.12, this was Python 3.11)"
    machine = {
        "python": "3.11.7",
        "versions": {"brainevent": "0.2.1", "pandas": "2.3", "torch": None},
    }
    assert report.measured(machine) == said
    assert dict(report.facts(machine))["Versions"] == f"{said}, pandas 2.3"
    one = {"status": "skipped", "reason": "", "versions": {"brian2": "2.9.0", "python": "3.11.7"}}
    found = networks_table.frame(
        [{"job": {"id": "coba-1", "model": "coba", "n": 1}, "simulators": {"brian2": one}}]
    )
    assert found["versions"][0].startswith("brian2 2.9.0 (2.11.0 is newer and needs Python 3.13")
