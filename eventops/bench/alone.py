"""Timing runs alone, also when two runs of the workflow are started on one machine."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # no advisory locks on this system: the workflow's own order must do
    fcntl = None


@contextlib.contextmanager
def on_this_machine(name: str = "eventops-timing.lock"):
    """Wait until no other timing job runs here, and hold them off meanwhile.

    The system drops the lock when the process ends, however it ends, so that nothing stays locked.
    """
    path = Path(tempfile.gettempdir()) / name
    if fcntl is None:
        yield
        return
    with contextlib.suppress(OSError):
        path.touch(mode=0o666)
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
