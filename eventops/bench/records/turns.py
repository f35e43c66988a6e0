"""Who may run beside whom: timing runs alone on its machine, and one run of the workflow in its folder.

All are advisory locks on files, which the system drops when the process ends, however it ends: nothing stays locked
after a kill. They also hold between the jobs of a run that was killed and those of the run that resumes it, since a
job may outlive the Snakemake that started it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import stat
import sys
import tempfile
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # no advisory locks on this system: the workflow's own order must do
    fcntl = None

LOCK = "eventops-timing.lock"
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
"""What `flock` says on a file system without locks, as some networks' are."""
FALLBACKS = (Path("/dev/shm"), Path("/var/tmp"))
"""Folders of this machine alone, for a temporary folder without locks."""


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
    with contextlib.ExitStack() as held:
        if fcntl is not None:
            _lock(name, shared, held)
        yield _span()


def _lock(name: str, shared: bool, held: contextlib.ExitStack) -> None:
    """Lock the file in the first folder that has locks: which one that is, all processes find alike."""
    first = Path(tempfile.gettempdir())
    for folder in (first, *filter(Path.is_dir, FALLBACKS)):
        file = _shared_file(folder / name)
        held.callback(os.close, file)
        try:
            fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            return
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise _unusable(folder / name, error) from error
    print(
        f"eventops: neither {first} nor {' nor '.join(map(str, FALLBACKS))} has locks, so runs in other folders are not held "
        "off while this is timed; set TMPDIR to a folder that has",
        file=sys.stderr,
    )


def _shared_file(path: Path) -> int:
    """Open a file that everybody on this machine may lock; it is made where it does not exist.

    Its folder is shared, so under its name may be anything: no link is followed, and a pipe does not hold this process
    up. Who finds the file does not ask to make it, since systems refuse that in folders such as /tmp.
    """
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with contextlib.suppress(OSError):  # it exists; or it cannot be made, and opening it says why
        mask = os.umask(0)
        try:
            return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        finally:
            os.umask(mask)
    try:
        try:
            return os.open(path, flags | os.O_RDWR)
        except PermissionError:  # on most file systems one that others may only read will do
            return os.open(path, flags | os.O_RDONLY)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> RuntimeError:
    return RuntimeError(
        f"{path}, the lock that keeps measurements apart, cannot be used ({error.strerror}{_owner(path)}); let its owner remove "
        "it, or set TMPDIR to a folder that all who measure on this machine share"
    )


def _owner(path: Path) -> str:
    try:
        facts = path.lstat()
    except OSError:
        return ""
    return f"; it belongs to user {facts.st_uid} and has mode {stat.S_IMODE(facts.st_mode):04o}"


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    except OSError as error:
        raise RuntimeError(
            f"{path.absolute()}, the lock of this folder, cannot be written ({error.strerror}{_owner(path)}); run in a folder "
            "of your own with --directory FOLDER"
        ) from error
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
    except OSError as error:
        print(
            f"eventops: {path.absolute()} cannot be locked ({error.strerror}), so a second run in this folder is not refused; "
            "take care that there is none",
            file=sys.stderr,
        )
        return file
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file
