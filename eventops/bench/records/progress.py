"""One line on the terminal for each point that is timed: which, how many are done, and how long it takes yet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

TOTAL = "EVENTOPS_JOBS"
"""Environment variable with the number of jobs of the run; a local run sets it, a cluster may not."""


class Progress:
    """Tells where a measurement is.

    Parameters
    ----------
    tell
        Prints one line for a person.
    name
        The job's name.
    records
        Where finished records lie: their number says how many jobs are done, their durations how long one
        takes.
    total
        Jobs of the whole run; None where that is not known.
    """

    def __init__(self, tell: Callable[[str], None], name: str, records: Path, total: int | None):
        self.tell, self.name, self.total = tell, name, total
        self.durations = _durations(records)
        self.start = time.monotonic()

    def __call__(self, done: int, points: int, what: str) -> None:
        """``done`` of ``points`` are finished and the one called ``what`` is next."""
        of = f" of {self.total}" if self.total else ""
        text = f"[measure] job {len(self.durations) + 1}{of}, point {done + 1} of {points}: "
        text += f"{self.name}, {what}"
        left = self.left(done, points, time.monotonic() - self.start)
        self.tell(text if left is None else f"{text}; about {minutes(left)} left")

    def left(self, done: int, points: int, spent: float) -> float | None:
        """Seconds until the last job ends, from what the finished points and jobs took; None at first."""
        usual = sum(self.durations) / len(self.durations) if self.durations else None
        if done:
            here = spent * (points - done) / done
        elif usual is not None:
            here = usual
        else:
            return None
        others = max(0, (self.total or 0) - len(self.durations) - 1)
        return here + others * (usual if usual is not None else spent + here)


def minutes(seconds: float) -> str:
    """``40 s``, ``3 min``: as precise as an estimate is.

    >>> minutes(38), minutes(200), minutes(8000)
    ('40 s', '3 min', '2.2 h')
    """
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _durations(records: Path) -> list[float]:
    """Seconds of the measurements that are finished; a record that cannot be read is not counted."""
    found = []
    for path in records.glob("*.json"):
        try:
            found.append(float(json.loads(path.read_text(encoding="utf-8"))["duration_s"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
