"""How far the resident memory of this process grows while something runs."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


class Growth:
    """Context manager; ``bytes`` is the growth of the peak over what was resident at the start.

    Linux lets a process reset its own peak. Where that is not possible the growth of the peak so far is
    used, which misses growth below an earlier peak: ``exact`` says which it was.
    """

    bytes: int = 0
    exact: bool = False

    def __enter__(self):
        self.exact = _reset_peak()
        self._start = _status("VmRSS") if self.exact else _peak()
        return self

    def __exit__(self, *_):
        self.bytes = max(0, _peak() - self._start)


def _reset_peak() -> bool:
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    if STATUS.exists():
        return _status("VmHWM")
    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _status(key: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"rss: {STATUS} has no {key}")
