"""What the memory can deliver: all cores read, each its own part of a buffer that no cache holds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from eventops.rows.building import threads

_LEAST = 2**27
_ROWS = 256  # a reduction of a few long rows is as fast as one of a single row, and its result is not optimised away


class Reader:
    """One pass over a buffer, by as many threads as the process may use cores.

    NumPy's reduction by "or" runs without Python's lock, starts no threads of its own, and is bound by memory alone.

    Parameters
    ----------
    last_cache_bytes : int
        Size of all caches of the last level together: a processor of many parts has one for each.
    memory_bytes : int
        Its physical memory.
    factor : int
        The buffer's size in such caches.

    Attributes
    ----------
    nbytes : int
        Read by one pass.
    """

    def __init__(self, last_cache_bytes: int, memory_bytes: int, factor: int = 4):
        cores = threads()
        total = min(max(factor * last_cache_bytes, _LEAST), memory_bytes // 16)
        rows = max(1, total // (8 * cores * _ROWS))
        self._parts = [np.ones((_ROWS, rows), dtype=np.int64) for _ in range(cores)]
        self._pool = ThreadPoolExecutor(cores)
        self.nbytes = sum(part.nbytes for part in self._parts)

    def run(self, _=None) -> None:
        """Read all of it."""
        list(self._pool.map(_read, self._parts))

    def best(self, seconds: float) -> float:
        """Bytes per second of the best pass within `seconds`."""
        self.run()
        best, stop = 0.0, time.perf_counter() + seconds
        while time.perf_counter() < stop:
            start = time.perf_counter()
            self.run()
            best = max(best, self.nbytes / (time.perf_counter() - start))
        return best


def _read(part: np.ndarray) -> np.ndarray:
    return np.bitwise_or.reduce(part, axis=1)
