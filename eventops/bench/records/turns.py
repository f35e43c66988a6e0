"""Who may run beside whom: timing runs alone on its machine, and one run of the workflow in its folder.

All are advisory locks on files, which the system drops when the process ends, however it ends: nothing stays locked
after a kill. They also hold between the jobs of a run that was killed and those of the run that resumes it, since a
job may outlive the Snakemake that started it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # no advisory locks on this system: the workflow's own order must do
    fcntl = None

LOCK = "eventops-timing.lock"


def on_this_machine(name: str = LOCK):
    """Context: wait until no other job of the workflow runs here, and hold them all off meanwhile.

    Its value is a function that gives when it began and the time now, on the clock that all processes share and
    that nobody sets: records keep both, as the proof that nothing ran beside them.
    """
    return _machine(name, shared=False)


def beside_others(name: str = LOCK):
    """Context: wait until nothing is timed here, and let nothing be timed meanwhile; others may run as well."""
    return _machine(name, shared=True)


@contextlib.contextmanager
def _machine(name: str, shared: bool):
    if fcntl is None:
        yield _span()
        return
    path = Path(tempfile.gettempdir()) / name
    with contextlib.suppress(OSError):
        path.touch(mode=0o666)
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield _span()


def _span():
    """``span()`` gives the seconds of the system's steady clock from now on until it is called."""
    start = time.monotonic()
    return lambda: [start, time.monotonic()]


def in_this_folder(folder: str | os.PathLike):
    """Let no other run of the workflow work in a folder until this process ends.

    Parameters
    ----------
    folder
        The working directory of the run.

    Returns
    -------
    object
        What holds the lock, to be kept.

    Raises
    ------
    RuntimeError
        If another run has the folder. The message says which, and what to do.
    """
    path = Path(folder) / ".snakemake" / "eventops.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read(200).strip() or "unknown process"
        file.close()
        raise RuntimeError(
            f"another run of the workflow is under way in {Path(folder).resolve()} ({holder}); "
            "wait until it has ended or stop it, then give the same command again, or use a copy of this folder"
        ) from None
    except OSError:  # a file system without locks
        return file
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file
