"""Records: one JSON file per job, written whole or not at all.

A record is written to a temporary file in the same directory and moved into place, so that a run that
is killed leaves either the old file, the new one or none, and never half of one.
"""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ADVICE = {
    errno.ENOSPC: "free some disk space",
    errno.EDQUOT: "free some of your disk quota",
    errno.EROFS: "make the file system writable, or choose another folder with --config results=FOLDER",
    errno.EACCES: "make the folder writable, or choose another with --config results=FOLDER",
}
SCHEMA_VERSION = 1
"""Raised when the meaning of a field changes; `load` refuses records of another version."""

_NUMBER = (int, float, str, type(None))  # what `number` takes
_JOB = {
    **dict.fromkeys(("id", "operator", "backend", "device", "conn_kind", "conn", "dtype"), str),
    **{"n_pre": int, "n_post": int, "rates": [str], "batches": [int], "modes": [str]},
}
_CHECK = {"check": str, "where": str, "note": str, "kind": str, "passed": bool, "value": _NUMBER}
_POINT = {
    **dict.fromkeys(("rate", "mode", "method", "reason"), str),
    **{"status": {"ok", "failed", "skipped", "absent"}, "batch": int, "samples": [list]},
}
_CASE = {
    **dict.fromkeys(("what", "method", "against", "reason"), str),
    **{"status": {"ok", "failed", "skipped"}, "worst": _NUMBER, "samples": dict},
}
_VERDICT = {"ok", "failed", "skipped"}
# What each kind must hold for the rest of the benchmark to read it; more is welcome.
_SHAPES = {
    "machine": {"slug": str},
    "verify": {
        **{"job": _JOB, "status": _VERDICT, "reason": str, "checks": [_CHECK], "p_values": dict},
        **dict.fromkeys(("n_synapses", "mean_out_degree", "duration_s"), _NUMBER),
    },
    "record": {"job": _JOB, "points": [_POINT], "construct": dict, "duration_s": _NUMBER},
    "network": {"job": {"id": str, "model": str, "n": int}, "simulators": dict},
    "kernel": {
        "job": {"id": str, "measure": str, "n": int, "conn": int, "weights": str, "rate": str},
        "status": {"ok", "failed", "skipped", "absent"},
        "reason": str,
        "cases": [_CASE],
    },
    "generators": {},
}
KINDS = tuple(_SHAPES)


def write(path: str | os.PathLike, kind: str, content: dict[str, Any]) -> Path:
    """Write `content` as a record of the given kind, atomically.

    Parameters
    ----------
    path
        The file. Its directory is made when it does not exist.
    kind
        One of `KINDS`; stored, and compared by `load`.
    content
        Anything that JSON can hold. Not-a-number and infinities become ``null`` and ``"inf"``, because
        strict JSON has neither.

    Returns
    -------
    Path
        The file that was written.
    """
    if kind not in KINDS:
        raise ValueError(f"record.write: kind={kind!r} is not one of {', '.join(KINDS)}")
    text = json.dumps(
        {"schema": SCHEMA_VERSION, "kind": kind, **_strict(content)}, indent=1, allow_nan=False
    )
    return write_text(path, text + "\n")


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write a file so that a run that is killed never leaves a part of it."""
    path = Path(path)
    try:
        _replace(path, text)
    except OSError as error:
        advice = ADVICE.get(error.errno, "make it possible to write there")
        raise OSError(
            error.errno,
            f"record: cannot write: {error.strerror}; {advice} and run again",
            str(path),
        ) from error
    return path


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a result is for everyone to read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike, kind: str) -> dict[str, Any]:
    """Read a record and check that it is one of the expected kind and version.

    Raises
    ------
    ValueError
        Where the file is not JSON, is another kind of record, has another schema version, or lacks what a
        record of its kind must hold. The message says which file and what to do.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(
            f"record.load: {path} is not valid JSON ({error}); delete it and run again"
        ) from error
    if not isinstance(content, dict) or content.get("kind") != kind:
        found = content.get("kind") if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"record.load: {path} holds {found!r}, expected a record of kind {kind!r}; delete it and run again"
        )
    version = content.get("schema")
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        advice = "update eventops, or " if newer else ""
        raise ValueError(
            f"record.load: {path} has schema version {version!r}, this version of "
            f"eventops reads {SCHEMA_VERSION}; {advice}delete it and run again"
        )
    wrong = _misfit(content, _SHAPES[kind], "")
    if wrong is not None:
        raise ValueError(f"record.load: {path} is damaged: {wrong}; delete it and run again")
    return content


def _misfit(value: Any, shape: Any, where: str) -> str | None:
    """The first thing in `value` that is not as `shape` says: a type or types, a set of texts, a list, a dict."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where or 'the record'} is {type(value).__name__}, not an object"
        for key, inner in shape.items():
            place = f"{where}.{key}".lstrip(".")
            if key not in value:
                return f"{place} is missing"
            if wrong := _misfit(value[key], inner, place):
                return wrong
        return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is {type(value).__name__}, not a list"
        found = (_misfit(item, shape[0], f"{where}[{i}]") for i, item in enumerate(value))
        return next(filter(None, found), None)
    if isinstance(shape, set):
        fits = isinstance(value, str) and value in shape
    else:
        fits = isinstance(value, shape) and (shape is not int or not isinstance(value, bool))
    return None if fits else f"{where} is {str(value)[:60]!r}"


def check_folder(folder: str | os.PathLike) -> None:
    """Raise the `OSError` that `write` would raise, before there is anything to write."""
    probe = Path(folder) / f".writable-{os.getpid()}"
    write_text(probe, "")
    probe.unlink()


def none_from_the_future(folder: str | os.PathLike) -> None:
    """Give files whose time is still to come the time of now.

    A clock that was set back leaves such files, and Snakemake takes every output for outdated that is older than an
    input, even as it is written.
    """
    now = time.time()
    for path in Path(folder).rglob("*"):
        if path.is_file() and path.stat().st_mtime > now:
            os.utime(path, (now, now))


def remove(paths: Iterable[str | os.PathLike]) -> None:
    """Remove files that are about to be outdated, whether they exist or not."""
    for path in paths:
        Path(path).unlink(missing_ok=True)


def number(value: Any) -> float:
    """Undo the replacement that `write` made: ``null`` is not-a-number, ``"inf"`` is infinity."""
    return math.nan if value is None else float(value)


def _strict(value: Any) -> Any:
    """Replace what strict JSON cannot hold (non-finite numbers, NumPy scalars and arrays)."""
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if hasattr(value, "tolist"):
        return _strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
