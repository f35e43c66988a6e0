"""The workflow under faults: nothing is lost, torn or quietly wrong, and what to do is said.

Faults are real where they can be (signals, limits of the system, damaged files), and put into the project's own
copy of the scripts where the real one would take a broken machine.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from snakemake.utils import validate
from support.bench_jobs import SCHEMA
from workflow.test_workflow import ENVIRONMENT, ROOT, TINY, command, snakemake

from eventops import backends
from eventops.bench.records import record, turns
from eventops.bench.report import unfinished
from eventops.bench.sweep import jobs as sweep

pytestmark = pytest.mark.slow
ONLY_TABLES = ("--keep-going", "results/here/tables/points.csv")  # figures and page take longest


@pytest.fixture
def project(tmp_path):
    """A copy of the workflow, in a folder whose name has spaces and letters beyond ASCII."""
    folder = tmp_path / "Läufe, zweite Hälfte"
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def planned(config) -> dict:
    """The jobs of a configuration, as the workflow makes them."""
    config = json.loads(json.dumps(config))
    validate(config, schema=str(SCHEMA))
    return sweep.jobs(config, ["cpu"], backends.available())


def block(name, **more) -> dict:
    return {
        "name": name,
        "operator": "Linear",
        "sizes": [40],
        "modes": ["call"],
        "peers": [],
    } | more


# ---- killed


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.nightly)])
def test_killed_at_random_moments(project, kills):
    """SIGKILL to Snakemake alone, whose jobs then live on, or to all of them; and the clock is set wrong between.

    A moment is a number of lines that Snakemake has printed and a part of a second, so that it falls anywhere in a
    run, however fast the machine.
    """
    config = TINY | {"peers": [], "sweep": [block("a", sizes=[20 + i for i in range(kills // 2)])]}
    jobs, results = planned(config), project / "results/here"
    chosen = random.Random(kills)
    killed = 0
    while killed < kills:
        running = subprocess.Popen(
            command(project, config, *ONLY_TABLES),
            cwd=project,
            env=ENVIRONMENT,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(chosen.randint(1, 60)):
            if not running.stdout.readline():
                break
        time.sleep(chosen.random())
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL) if killed % 2 else running.kill()
            killed += 1
        else:  # it had ended: give the next one something to do
            chosen.choice(sorted(results.glob("records/*.json"))).unlink()
        running.wait()
        running.stdout.close()
        for path in results.glob("*/*.json"):
            record.load(path, {"verify": "verify", "records": "record"}[path.parent.name])
        # In the end they are a day ahead, as after a clock that was set back.
        ago = chosen.choice([-86_400, 0, 86_400]) if killed < kills else -86_400
        for path in results.rglob("*"):
            if path.is_file():
                os.utime(path, (time.time() - ago,) * 2)
    code, output = snakemake(project, config, *ONLY_TABLES)
    assert code == 0, output
    for kind in ("verify", "records"):
        assert {path.stem for path in results.glob(f"{kind}/*.json")} == set(jobs)
    verified = [record.load(path, "verify")["ran"] for path in results.glob("verify/*.json")]
    measured = [record.load(path, "record")["ran"] for path in results.glob("records/*.json")]
    for i, (start, end) in enumerate(measured):
        for begun, ended in verified + measured[:i]:
            assert end <= begun or ended <= start, "measured beside another job"
    made = {path: path.read_bytes() for path in results.glob("*/*.json")}
    code, output = snakemake(project, config, *ONLY_TABLES)
    assert code == 0 and made == {path: path.read_bytes() for path in made}


HOLD = """
import sys
from eventops.bench.records import turns
with getattr(turns, sys.argv[1])() as span:
    print("held", flush=True)
    sys.stdin.readline()
    print(span(), flush=True)
"""


@pytest.mark.parametrize(
    "first, second, apart",
    [
        ("on_this_machine", "on_this_machine", True),
        ("on_this_machine", "beside_others", True),
        ("beside_others", "on_this_machine", True),
        ("beside_others", "beside_others", False),
    ],
)
def test_nothing_runs_beside_a_measurement(tmp_path, first, second, apart):
    """Also between runs that know nothing of each other."""
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, kind],
            env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in (first, second)
    ]
    # Whichever comes first; the other one joins it, or waits until it is let go.
    ready, _, _ = select.select([job.stdout for job in jobs], [], [], 120)
    jobs.sort(key=lambda job: job.stdout is not ready[0])
    if not apart:
        assert [job.stdout.readline() for job in jobs] == ["held\n", "held\n"]
    spans = [json.loads(job.communicate("go\n", timeout=120)[0].splitlines()[-1]) for job in jobs]
    (_, ended), (begun, _) = spans
    assert (begun >= ended) == apart, spans


# ---- every other way to go wrong, in one run

KILL = "import os, signal; os.kill(os.getpid(), signal.{})\n"
NO_MEMORY = """
import resource
limit = 4096 * int(open("/proc/self/statm").read().split()[0]) + 2**24
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
big = b"x" * 2**26
"""
DISK_FULL = """
import errno
def full(_): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.fsync = full
"""
NO_DEVICE = "snakemake.params.job['device'] = 'gpu'\n"
# job: the stage it is broken in, how, and what the report must say of it.
FAULTS = {
    "crashes": ("verify", KILL.format("SIGSEGV"), "Segmentation fault (native code crashed"),
    "killed": ("measure", KILL.format("SIGKILL"), "killed without a word, perhaps by the system"),
    "memory": ("verify", NO_MEMORY, "MemoryError (it needs more memory than there was: lower"),
    "disk": ("measure", DISK_FULL, "free some disk space and run again"),
    "device": ("verify", NO_DEVICE, "JAX offers 'cpu' here: the device is gone"),
}


def test_each_fault_is_a_red_row_and_the_rest_goes_on(project):
    names = ["well", *FAULTS, "torn", "foreign"]
    config = TINY | {
        "peers": [],
        "sweep": [block(name, sizes=[20 + i]) for i, name in enumerate(names)],
    }
    ids = dict(zip(names, planned(config), strict=True))
    results = project / "results/here"
    for stage in ("verify", "measure"):
        script = project / f"workflow/scripts/{stage}.py"
        source = script.read_text()
        assert source.count("    record.remove(") == 1
        for name, (where, fault, _) in FAULTS.items():
            if where == stage:
                lines = "".join(f"        {line}\n" for line in fault.strip().splitlines())
                fault = f"    if {ids[name]!r} in snakemake.output[0]:\n        import os\n{lines}"
                source = source.replace("    record.remove(", fault + "    record.remove(")
        script.write_text(source)
    # Two jobs look finished, and are not: a file cut short, and one that is no record.
    for kind in ("verify", "records"):
        (results / kind).mkdir(parents=True)
        (results / kind / f"{ids['torn']}.json").write_text('{"schema": 1, "ki')
    (results / "verify" / f"{ids['foreign']}.json").write_text('{"schema": 1, "kind": "verify"}')

    code, output = snakemake(project, config)
    assert code != 0
    page = (results / "report.html").read_text(encoding="utf-8")
    plain = page.replace("&#39;", "'").replace("&gt;", ">")
    said = {name: text for name, (*_, text) in FAULTS.items()}
    said |= {"torn": "is not valid JSON", "foreign": "is damaged: job is missing"}
    for name, text in said.items():
        assert text in plain, f"{name}: {text!r} is not in the report\n{output}"
        assert text in output, f"{name}: {text!r} is not in the output\n{output}"
    assert "✗ Failed" in page and "✓ Verified" not in page
    assert [path.stem for path in (results / "records").glob("*.json")] == [ids["well"]]
    assert f"{results / 'report.html'}" in output and "give the same command again" in output
    # Nothing that the next run could take for complete. (The others are not of these records.)
    complete = {"networks.csv", "kernels.csv", "earlier.csv"}
    assert {path.name for path in (results / "tables").glob("*")} <= complete
    # Nothing is taken for finished that is not, once the faults are mended and the damaged files deleted.
    shutil.copytree(ROOT / "workflow", project / "workflow", dirs_exist_ok=True)
    for name in ("torn", "foreign"):
        for kind in ("verify", "records"):
            (results / kind / f"{ids[name]}.json").unlink(missing_ok=True)
    code, output = snakemake(project, config, "--dry-run")
    assert code == 0 and ids["well"] not in output.split("Job stats")[0]
    for name in names[1:]:
        assert f"records/{ids[name]}.json" in output


@pytest.mark.parametrize("folder", [".", "results/here"])
def test_two_runs_in_one_folder(project, folder):
    """The second says so, and does nothing; a lock of a run that was killed does not last."""
    held = turns.in_this_folder(project / folder)
    code, output = snakemake(project, TINY, *ONLY_TABLES)
    assert code != 0 and "another run of the workflow is under way" in output
    assert f"process {os.getpid()}" in output and "wait until it has ended or stop it" in output
    assert not list((project / "results").rglob("*.json"))
    held.close()
    turns.in_this_folder(project / folder).close()


@pytest.mark.skipif(
    not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write to"
)
def test_results_that_cannot_be_written(project):
    target = "/proc/self/results/here/machine.json"
    code, output = snakemake(
        project, TINY | {"results": "/proc/self/results"}, "--keep-going", target
    )
    assert code != 0 and "record: cannot write" in output and "/proc/self/results" in output
    assert "rule machine" not in output


# ---- what a log says


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "did not begin"),
        ("", "killed without a word"),
        ("ok    product\nok   product-bool\n", "killed without a word"),
        ("Traceback (most recent call last):\nValueError: no\n", "ValueError: no (see"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate\n", "lower measure.memory"),
        (
            "jaxlib._jax.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory\n",
            "lower measure.memory",
        ),
        ("OSError: [Errno 28] No space left on device: 'x'\n", "free some disk space"),
        ("Fatal Python error: Segmentation fault\n\nThread 1\nError: x\n", "native code crashed"),
    ],
)
def test_the_cause_is_read_from_the_log(tmp_path, text, said):
    path = tmp_path / "a.log"
    if text is not None:
        path.write_text(text)
    assert said in unfinished.cause(path)


def test_a_crash_in_native_code_is_in_the_log(tmp_path):
    code = (
        "import sys, os, signal; from eventops.bench.records import log\n"
        "with log.to_file(sys.argv[1]): os.kill(os.getpid(), signal.SIGSEGV)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.log"], env=ENVIRONMENT)
    assert done.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in unfinished.cause(tmp_path / "a.log")


def test_the_configurations_used_here_are_valid():
    assert len(planned(TINY)) == 2 and yaml.safe_dump(TINY)
