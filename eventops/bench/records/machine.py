"""Facts of the machine: what it is, what is installed, how fast it reads memory, which devices it has."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from eventops.advice.this_machine import alike, cpu_name, isa, memory_bytes
from eventops.bench.records import bandwidth

PACKAGES = (
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "pandas",
    "seaborn",
    "snakemake",
    "brainevent",
    "numba",
    "torch",
)
THREAD_VARIABLES = (
    "XLA_FLAGS",
    "JAX_PLATFORMS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "EVENTOPS_THREADS",
)
CPUS = Path("/sys/devices/system/cpu")


def slug() -> str:
    """A name of the hardware that serves as a directory: CPU, cores, memory and the GPU if there is one."""
    cpu = re.sub(r"\(R\)|\(TM\)|CPU|Processor|@.*|\d+-Core", " ", cpu_name())
    gib = round(memory_bytes() / 2**30)
    names, gpu = _offered()
    text = f"{cpu}-{os.cpu_count()}c-{gib}g {gpu if 'gpu' in names else ''}".lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def check_alike(facts: dict, path: str) -> None:
    """Raise unless this is such a machine as the facts were recorded on: times of two kinds say nothing together.

    Raises
    ------
    RuntimeError
        The message says what differs, and what to do.
    """
    if alike(facts):
        return
    here = f"{cpu_name()} ({isa()}), {os.cpu_count()} cores, {round(memory_bytes() / 2**30)} GiB"
    gib = round((facts.get("memory_bytes") or 0) / 2**30)
    there = f"{facts.get('cpu')} ({facts.get('isa')}), {facts.get('n_cores')} cores, {gib} GiB"
    raise RuntimeError(
        f"machine: this is {here}, but {path} is of {there}; give each kind of machine a name of its own with --config "
        "machine=NAME, and on a cluster a constraint that keeps its jobs on it (docs/cluster.md)"
    )


def facts(version: str, native: dict) -> dict:
    """Everything that goes into ``machine.json`` except the slug's override.

    Parameters
    ----------
    version
        The version of eventops.
    native
        Backend to None where it runs, or the reason why not.
    """
    names, gpu_note = _offered()
    return {
        "slug": slug(),
        "cpu": cpu_name(),
        "isa": isa(),
        "n_cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "caches": caches(),
        "gpu": gpu_note,
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
        "eventops": version,
        "native": native.get("cpu", "unknown") is None,
        "backends": native,
        "threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "read_bandwidth_bytes_per_s": reader(8).best(1.5),
        "devices": names,
        "generated_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def devices(asked: str | list[str], name: str = "auto", elsewhere: bool = False) -> list[str]:
    """The devices to run on: what JAX offers, or those asked for by name.

    Parameters
    ----------
    asked, name
        ``devices`` and ``machine`` of the configuration.
    elsewhere
        Whether jobs run on other machines than this one, of which nothing can be read off here.

    Raises
    ------
    ValueError
        For a device that was asked for and is not there; and where jobs run elsewhere for ``auto``, which would name
        this machine and its devices.
    """
    if elsewhere:
        if asked == "auto" or name == "auto":
            raise ValueError(
                "config: on a cluster the kind of node and its devices have to be named, since those of this machine "
                "say nothing about them: --config machine=NAME devices=[cpu], or devices=[cpu,gpu]"
            )
        return list(asked)
    offered, note = _offered()
    if asked == "auto":
        return offered
    for device in asked:
        if device not in offered:
            raise ValueError(
                f"config: devices asks for {device!r}, but JAX offers only {', '.join(offered)} here"
                f" ({note}); remove it, or use devices: auto"
            )
    return list(asked)


@functools.cache
def _offered() -> tuple[list[str], str | None]:
    """Names of the devices, and what is to be said about the GPU.

    JAX is asked in a process of its own, because asking it here would reserve the GPU's memory. Without a
    plugin there is nothing to ask.
    """
    if importlib.util.find_spec("jax_plugins") is None and not importlib.metadata.entry_points(
        group="jax_plugins"
    ):
        return ["cpu"], "none: no GPU plugin of JAX is installed (pip install 'eventops[cuda13]')"
    code = (
        "import jax, json; print(json.dumps([[d.platform, d.device_kind] for d in jax.devices()]))"
    )
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    if answer.returncode != 0:
        reason = answer.stderr.strip().splitlines()[-1:] or ["no message"]
        return ["cpu"], f"none: JAX could not list devices ({reason[0]})"
    found = json.loads(answer.stdout.strip().splitlines()[-1])
    gpus = [kind for place, kind in found if place in ("gpu", "cuda")]
    return (["cpu", "gpu"], gpus[0]) if gpus else (["cpu"], "none: JAX offers no GPU here")


def reader(factor: int = 4) -> bandwidth.Reader:
    """Reads a buffer of `factor` times all of this machine's caches of the last level."""
    return bandwidth.Reader(last_cache_bytes(), memory_bytes(), factor)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Versions of what the numbers depend on; None for what is not installed, or does not say."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except Exception:  # noqa: BLE001 - half an installation raises anything
            found[name] = None
    return found


def commit() -> str | None:
    """The commit of the checkout that this code lies in, with ``-dirty`` after local changes.

    None where it lies in no checkout of its own, as an installed package does.
    """
    here = Path(__file__).resolve()

    def git(*arguments):
        return subprocess.run(
            ["git", "-C", str(here.parent), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def caches() -> dict[str, int]:
    """Bytes of each data cache of the first core, by name; empty where the system does not tell."""
    return {f"L{level}": size for level, size, _ in _caches(CPUS / "cpu0")}


def last_cache_bytes() -> int:
    """Bytes of the caches of the last level, of which a processor of many parts has several; 32 MiB where unknown."""
    found = {
        (level, cores): size
        for cpu in CPUS.glob("cpu[0-9]*")
        for level, size, cores in _caches(cpu)
    }
    last = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == last) or 2**25


def _caches(cpu: Path) -> list[tuple[int, int, str]]:
    """Level, bytes and sharing cores of each data cache of a core."""
    found = []
    for index in sorted((cpu / "cache").glob("index*")):
        try:
            if (index / "type").read_text().strip() == "Instruction":
                continue
            size = (index / "size").read_text().strip()
            level = int((index / "level").read_text())
            cores = (index / "shared_cpu_list").read_text().strip()
        except OSError:
            continue
        scale = {"K": 2**10, "M": 2**20, "G": 2**30}.get(size[-1:], 1)
        found.append((level, int(size.rstrip("KMG")) * scale, cores))
    return found
