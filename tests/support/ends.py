"""The wheel in a fresh environment with the oldest or the newest versions that are declared: ``python tests/support/ends.py oldest``.

Builds nothing there and has no compiler on the PATH: the wheel comes from ``.ci/package``. The oldest versions are read from
pyproject.toml, so that what is tested is what is declared; the newest are what the index has within the declared range. Runs
the tests of the operators, of the tables and of the workflow, whose smoke run is among them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The range of Python's versions follows from those of JAX, whose releases since 0.11 need 3.12.
PYTHON = {"oldest": ["3.11"], "newest": ["3.13", "3.12"]}
TESTS = (
    *(
        "operators",
        "transforms",
        "sparse",
        "delays",
        "plasticity",
        "procedural",
        "random",
        "native",
    ),
    *("lattice", "csr", "staging", "errors", "closure", "threads"),
    *("bench_record", "bench_join", "bench_report", "bench_figures", "bench_verify", "recommend"),
    "workflow",
)
TOOLS = ("bash", "sh", "env", "uname", "git")  # what Snakemake and the tests call; no compiler


def declared(extra: str | None = None) -> list[str]:
    """The requirements of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"][extra] if extra else project["dependencies"]


def oldest() -> list[str]:
    """The lowest version of each requirement of the operators and of the workflow."""
    pinned = []
    for requirement in [*declared(), *declared("workflow")]:
        name, low = re.match(r"([\w.-]+)>=([\d.]+)", requirement).groups()
        pinned.append(f"{name}=={low}")
    return pinned


def interpreter(versions: list[str]) -> str | None:
    """The first of these versions of Python that is here and runs."""
    for version in versions:
        homes = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
        for program in [shutil.which(f"python{version}"), *homes]:
            if program and subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
                return str(program)
    return None


def environment(end: str, wheel: Path, folder: Path, python: str) -> Path:
    """A virtual environment with the wheel; its Python."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    own = folder / "bin/python"
    pip = [str(own), "-m", "pip", "install", "--quiet", "--prefer-binary"]
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(oldest() if end == "oldest" else []))
    test = ["pytest", "hypothesis", "flatbuffers"]
    subprocess.run([*pip, "-c", str(constraints), f"{wheel}[workflow]", *test], check=True)
    return own


def tree(folder: Path) -> Path:
    """What a clone has but for the package itself, which would be imported in place of the installed one."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, names)):
        if not name.startswith(("eventops/", ".ci/")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def check(end: str, wheel: Path, folder: Path, tests=TESTS) -> None:
    """Raise unless the wheel passes its tests in an environment of one end."""
    python = interpreter(PYTHON[end])
    if python is None:
        raise RuntimeError(f"ends: there is no Python {' or '.join(PYTHON[end])} here")
    own = environment(end, wheel, folder / "environment", python)
    tools = folder / "tools"
    tools.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    variables = {"PATH": f"{own.parent}:{tools}", "HOME": str(folder), "JAX_PLATFORMS": "cpu"}
    where = tree(folder / "tree")

    def run(*command: str) -> None:
        print("$", *command, flush=True)
        subprocess.run([str(own), *command], cwd=where, env=variables, check=True)

    run("-c", REPORT)
    files = [f"tests/test_{name}.py" for name in tests]
    run("-m", "pytest", "--quick", "-q", "-p", "no:cacheprovider", *files)
    run("-m", "snakemake", "--cores", "2", "--configfile", "config/smoke.yaml")


REPORT = """
import importlib.metadata as m, platform, shutil, eventops
from eventops.core import loader
assert loader.unavailable() is None, loader.unavailable()
assert not any(map(shutil.which, ("cc", "c++", "gcc", "g++", "clang", "cmake"))), "a compiler is on the PATH"
print("Python", platform.python_version(), *(f"{n} {m.version(n)}" for n in ("jax", "numpy", "pandas", "snakemake")))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("end", choices=sorted(PYTHON))
    parser.add_argument(
        "--wheel", type=Path, help="built by .ci/package; it is run where none is given"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel = given.wheel
        if wheel is None:
            subprocess.run([str(ROOT / ".ci/package"), str(folder / "dist")], check=True)
            (wheel,) = (folder / "dist").glob("*.whl")
        check(given.end, wheel.resolve(), folder)
    print(f"{given.end}: passed")


if __name__ == "__main__":
    sys.exit(main())
