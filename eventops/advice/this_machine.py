"""Which machine this is: what tells it apart from another one."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def alike(facts: dict) -> bool:
    """Whether recorded facts are of a machine like this one: CPU, vector instructions, cores and memory."""
    gib = round(memory_bytes() / 2**30)
    here = (cpu_name(), isa(), os.cpu_count(), gib)
    there = (facts.get(name) for name in ("cpu", "isa", "n_cores"))
    return here == (*there, round((facts.get("memory_bytes") or 0) / 2**30))


def memory_bytes() -> int:
    """Physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpuinfo(key: str) -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return None
    match = re.search(rf"^{key}\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return match.group(1).strip() if match else None


def cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def isa() -> str:
    """The widest vector instructions, which the native library chooses its kernels by."""
    flags = set((_cpuinfo("flags") or "").split())
    for name, needed in (
        ("avx512", {"avx512f", "avx512bw", "avx512vl"}),
        ("avx2", {"avx2", "fma"}),
    ):
        if needed <= flags:
            return name
    return "plain"
