"""Whether arrays whose size the user may not expect can be had, asked before they are made."""

import os
from pathlib import Path

import jax

GROUPS = Path("/sys/fs/cgroup")
_ADDRESSABLE = 2**48  # bytes, by any process
_LARGE = 2**28  # below, nobody is asked: it takes longer than to make the array


def check_room(call: str, what: str, n_bytes: int, instead: str, beside=None) -> None:
    """Raise MemoryError where an array is larger than the memory that is left.

    The system would end the process, or XLA abort it where the array is first looked at. Nothing is allocated, and
    nothing asked, while a program is traced.

    Parameters
    ----------
    call, what, instead : str
        The call that needs it, what has the size, and what to do.
    n_bytes : int
    beside : array, optional
        Whose device is asked; by default the host.
    """
    if n_bytes < _LARGE or isinstance(jax.lax.full((), 0.0), jax.core.Tracer):
        return
    left = _left(beside)
    if n_bytes > left:
        raise MemoryError(
            f"{call}: {what} takes {n_bytes:,} bytes, and {max(0, left):,} are left; {instead}"
        )


def _left(beside) -> int:
    """Bytes that can still be allocated, as far as it is said anywhere."""
    concrete = isinstance(beside, jax.Array) and not isinstance(beside, jax.core.Tracer)
    stats = next(iter(beside.devices())).memory_stats() if concrete else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return min(_ADDRESSABLE, *_of_machine(), *_of_group(), *_of_process())


def _of_machine():
    try:
        found = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        yield sum(1024 * int(found[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        try:
            yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError):  # Windows
            pass


def _pages(place: int) -> int:
    """Bytes of this process: 0 is its address space, 1 what is resident."""
    return int(Path("/proc/self/statm").read_text().split()[place]) * os.sysconf("SC_PAGE_SIZE")


def _of_group():
    """Limits of the control groups of this process, as schedulers and containers set them."""
    try:
        resident = _pages(1)
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        root = GROUPS / kinds
        name = "memory.limit_in_bytes" if kinds else "memory.max"
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            try:
                yield int((folder / name).read_text()) - resident
            except (OSError, ValueError):  # not there, or "max"
                pass
            if folder == root:
                break


def _of_process():
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - _pages(0)
    except (ImportError, OSError, ValueError):  # not Linux
        pass
