"""Where measured times are found: of this machine, of a directory that was named, or those that ship with eventops."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import jax

from . import cost, this_machine

SHIPPED = Path(__file__).parent / "measured"
VARIABLE = "EVENTOPS_RESULTS"


def find(results: str | os.PathLike | None, device: str) -> tuple[Path, str]:
    """The directory of results to read, and a sentence that says which one it is and why."""
    named = results if results is not None else os.environ.get(VARIABLE)
    root = Path(named) if named else Path("results")
    by = "results" if results is not None else VARIABLE
    if named and (root / "tables/points.csv").is_file():
        here = "this machine" if _is_here(_facts(root), device) else "not this machine"
        return root, f"Measured on {_name(root)} ({here}): {root}"
    ours = [p.parent.parent for p in root.glob("*/tables/points.csv")] if root.is_dir() else []
    ours = [p for p in ours if _is_here(_facts(p), device)]
    if ours:
        newest = max(ours, key=lambda p: str(_facts(p).get("generated_at")))
        return newest, f"Measured on this machine ({_name(newest)}): {newest}"
    if named:
        raise FileNotFoundError(
            f"recommend: {by}={str(named)!r} has no tables/points.csv, and none of its directories is of this "
            "machine; name the directory of one machine, or run snakemake --cores all"
        )
    return reference(device)


def reference(device: str, because: str = "") -> tuple[Path, str]:
    """The table that ships with eventops, and a sentence that says so."""
    here = "this kind of machine" if _is_here(_facts(SHIPPED), device) else "not this machine"
    return SHIPPED, (
        f"From the reference that ships with eventops, {_name(SHIPPED)} ({here}){because}; "
        "to measure this machine: snakemake --cores all"
    )


def fitted(folder: Path, device: str) -> tuple[dict, dict]:
    """The curves of a directory of results, fitted once, and the facts of its machine."""
    stamp = (folder / "tables/points.csv").stat().st_mtime_ns
    return _fitted(folder.resolve(), device, stamp)


@functools.lru_cache(maxsize=8)
def _fitted(folder: Path, device: str, stamp: int) -> tuple[dict, dict]:
    rows, facts = cost.read(folder / "tables/points.csv"), _facts(folder)
    devices = sorted({row["device"] for row in rows})
    if device not in devices:
        raise ValueError(
            f"recommend: nothing was measured on device {device!r} in {folder}, only on {devices}; "
            "pass device=, or measure it with snakemake"
        )
    caches = facts.get("caches") or {}
    return cost.fit([row for row in rows if row["device"] == device], caches), facts


def _facts(folder: Path) -> dict:
    path = folder / "machine.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _name(folder: Path) -> str:
    facts = _facts(folder)
    cores = facts.get("n_cores")
    name = facts.get("cpu") or facts.get("slug") or "an unknown machine"
    return f"{name}, {cores} cores" if cores else name


def _is_here(facts: dict, device: str) -> bool:
    """Whether results are of a machine like this one."""
    if not facts or not this_machine.alike(facts):
        return False
    return device != "gpu" or facts.get("gpu") == jax.devices("gpu")[0].device_kind
