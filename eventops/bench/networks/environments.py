"""Environments of the other simulators: ``python -m eventops.bench.environments [simulator ...]``.

Each is a virtual environment of its own under ``.environments/``, made with pip, since their requirements exclude each
other, and the newest of each needs a Python of its own. That Python is looked for; without it pip offers an older
simulator, and the report says so. All are optional: a simulator without an environment is a row that says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from eventops.bench.peers import newest

ROOT = Path(".environments")
PACKAGES = {"brainstate": ("brainstate", "brainevent"), "brian2": ("brian2",), "nest": ("nest",)}
# What pip does not bring with them.
BESIDE = {"brainstate": ("numba>=0.60", "jax>=0.10"), "brian2": (), "nest": ()}


def python_of(simulator: str, root: Path = ROOT) -> str | None:
    """The interpreter of the simulator's environment, or None where it was not made."""
    if simulator not in PACKAGES:
        return sys.executable
    done = root / simulator / "complete"
    return str((root / simulator / "bin" / "python").absolute()) if done.is_file() else None


def absent(simulator: str) -> str:
    """What to do where there is no environment."""
    return f"not installed; python -m eventops.bench.environments {simulator}"


def interpreter(simulator: str) -> tuple[str, tuple[int, int]]:
    """A Python for which the newest version of the simulator is made, or this one; and its version.

    Looked for are this one, then ``python3.N`` on the path and among those of pyenv.
    """
    here = sys.version_info[:2]
    needed = max(newest.NEWEST[name].python for name in PACKAGES[simulator])
    if here >= needed:
        return sys.executable, here
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in range(needed[1], needed[1] + 3):
        version = f"3.{minor}"
        found = [shutil.which(f"python{version}"), *sorted(home.glob(f"{version}.*/bin/python"))]
        for python in filter(None, found):
            if _version(python) == (3, minor):
                return str(python), (3, minor)
    return sys.executable, here


def _version(python) -> tuple[int, int] | None:
    """The version that an interpreter says it is; None where it does not run."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        major, minor = map(int, said.stdout.split())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return major, minor


def requirements(simulator: str, python: tuple[int, int]) -> list[str]:
    """What pip is asked for.

    >>> requirements("brainstate", (3, 12))
    ['brainstate==0.6.0', 'brainevent==0.3.0', 'numba>=0.60', 'jax>=0.10']
    """
    asked = [newest.requirement(name, python) for name in PACKAGES[simulator]]
    if simulator == "brian2" and python < (3, 12):
        asked.append(
            "numpy<2"
        )  # classes of Brian2 2.9, the last for Python 3.11, use what numpy 2 removed
    return asked + list(BESIDE[simulator])


def make(simulator: str, root: Path = ROOT) -> None:
    """Make the environment; raises subprocess.CalledProcessError where pip cannot.

    Parameters
    ----------
    simulator : str
        One of ``PACKAGES``.
    root : pathlib.Path
    """
    if simulator not in PACKAGES:
        raise ValueError(
            f"environments.make: simulator={simulator!r} is not one of {', '.join(PACKAGES)}"
        )
    base, version = interpreter(simulator)
    asked = requirements(simulator, version)
    print(f"{simulator}: {', '.join(asked)}, Python {version[0]}.{version[1]}", flush=True)
    for name in PACKAGES[simulator]:
        known = newest.NEWEST[name]
        if version < known.python:
            print(
                f"  {name} {known.version} is newer and needs Python {known.python[0]}.{known.python[1]}"
            )
    folder = root / simulator
    (folder / "complete").unlink(missing_ok=True)
    subprocess.run([base, "-m", "venv", "--clear", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *asked], check=True)
    (folder / "complete").touch()  # only now: an install that was killed is no environment


def main(names: list[str]) -> None:
    """The command line."""
    for name in names or PACKAGES:
        make(name)
