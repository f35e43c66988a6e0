"""`.ci/run` on stand-ins for Python: which command runs where, with what, and that a failure ends it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / ".ci/run").exists() or shutil.which("git") is None,
    reason="needs a checkout and git",
)
README = """
```bash
python3 -m venv .venv && . .venv/bin/activate && pip install -e ".[workflow,peers]" && snakemake --cores all
```
```bash
python3 -m venv .venv && . .venv/bin/activate && pip install -e ".[workflow,test]" && python -m pytest --quick
```
"""
# Every tool writes down its folder, the environment that it comes from, and its arguments.
TOOL = """#!/bin/bash
echo "$(pwd) $(cd "$(dirname "$0")/../.." && pwd) $(basename "$0") ${*//$'\\n'/ }" >> "$CI_LOG"
case "$*" in
  "-m venv .venv")
    [ ! -e .venv ] || exit 9
    mkdir -p .venv/bin
    echo 'PATH="$PWD/.venv/bin:$PATH"' > .venv/bin/activate
    for tool in python pip snakemake ruff snakefmt lint-imports; do cp "$0" .venv/bin/$tool; done ;;
  *smoke.yaml) [ ! -e done ] || echo "Nothing to be done"; touch done ;;
  *"$CI_FAILS"*) exit 3 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A repository with `.ci/run` and a README, whose working tree has been built in."""
    folder, tools = tmp_path / "checkout", tmp_path / "tools/bin"
    (folder / ".ci").mkdir(parents=True)
    tools.mkdir(parents=True)
    (folder / ".ci/run").write_bytes((ROOT / ".ci/run").read_bytes())
    (folder / ".ci/run").chmod(0o755)
    (folder / "README.md").write_text(README)
    for tool, text in {"python3": TOOL, "chromium": "#!/bin/bash\n"}.items():
        (tools / tool).write_text(text)
        (tools / tool).chmod(0o755)
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for arguments in (("init", "-q"), ("add", "."), (*name, "commit", "-qm", "one")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    (folder / ".venv").mkdir()
    (folder / "done").touch()
    return folder


def run(checkout, fails="nothing at all"):
    """Exit code, output, and (folder, environment, command) of each call."""
    log = checkout.parent / "log"
    environment = {
        **{key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
        "PATH": f"{checkout.parent / 'tools/bin'}:{os.environ['PATH']}",
        **{"CI_LOG": str(log), "CI_FAILS": fails, "TMPDIR": str(checkout.parent)},
    }
    done = subprocess.run(
        [".ci/run"], cwd=checkout, env=environment, text=True, capture_output=True, timeout=60
    )
    calls = [line.split(" ", 2) for line in log.read_text().splitlines()] if log.exists() else []
    return done.returncode, done.stdout + done.stderr, calls


def test_each_command_has_a_clone_and_an_environment(checkout):
    code, output, calls = run(checkout)
    assert code == 0, output
    made = [folder for folder, _, command in calls if command == "python3 -m venv .venv"]
    assert len(made) == len(set(made)) == 2 and str(checkout) not in made
    installed = {folder: [] for folder in made}
    for folder, source, command in calls:
        own = str(checkout.parent) if command.startswith("python3") else folder
        assert folder in made and source == own
        if command.startswith("pip install"):
            installed[folder].append(command)
    first, second = installed.values()
    assert first == ["pip install -e .[workflow,peers]"]
    assert second[0] == "pip install -e .[workflow,test]" and "peers" not in "".join(second)
    commands = [command for *_, command in calls]
    assert commands.count("snakemake --cores all --configfile config/smoke.yaml") == 2
    assert sum("loader.unavailable()" in command for command in commands) == 2
    assert commands[-2:] == ["snakemake --lint", "lint-imports "]
    assert not any(map(os.path.exists, made)) and "done" in output


@pytest.mark.parametrize("fails", ["loader.unavailable", "--quick", "test_browser", "check ."])
def test_a_failure_ends_it(checkout, fails):
    code, _, calls = run(checkout, fails)
    assert code == 3 and fails in calls[-1][2]
    assert {path.name for path in checkout.parent.iterdir()} == {"checkout", "tools", "log"}


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("python3 -m venv .venv && . .venv/bin/activate && pip install -e", "pip install", "not 0"),
        ("snakemake --cores all", "snakemake --cores 2", "does not run 'snakemake --cores all'"),
    ],
)
def test_a_readme_that_changed_is_noticed(checkout, old, new, said):
    (checkout / "README.md").write_text(README.replace(old, new))
    code, output, calls = run(checkout)
    assert code == 1 and said in output and not calls
