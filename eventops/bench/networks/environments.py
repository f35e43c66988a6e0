"""Environments of the other simulators: ``python -m eventops.bench.environments [simulator ...]``.

Each is a virtual environment of its own under ``.environments/``, made with pip, since their requirements exclude each
other (Brian2 needs an older numpy). All are optional: a simulator without one is a row that says so.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(".environments")
PACKAGES = {
    "brainstate": ("brainstate==0.5.4", "brainevent==0.2.1", "numba>=0.60", "jax>=0.10"),
    "brian2": ("brian2==2.9.0", "numpy<2"),  # its classes use what numpy 2 removed
    "nest": ("nest-simulator==3.10.0",),
}


def python_of(simulator: str, root: Path = ROOT) -> str | None:
    """The interpreter of the simulator's environment, or None where it was not made."""
    if simulator not in PACKAGES:
        return sys.executable
    done = root / simulator / "complete"
    return str((root / simulator / "bin" / "python").absolute()) if done.is_file() else None


def absent(simulator: str) -> str:
    """What to do where there is no environment."""
    return f"not installed; python -m eventops.bench.environments {simulator}"


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
    folder = root / simulator
    (folder / "complete").unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[simulator]], check=True
    )
    (folder / "complete").touch()  # only now: an install that was killed is no environment


def main(names: list[str]) -> None:
    """The command line."""
    for name in names or PACKAGES:
        print(f"{name}: {', '.join(PACKAGES.get(name, ()))}", flush=True)
        make(name)
