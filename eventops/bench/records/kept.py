"""Records that other configurations left in a machine's folder: what of them still counts, and what does not.

The tables and the page are of all that was measured on a machine by the code and versions of today, whichever configuration asked
for it. What other code or other versions measured stands apart, in a table of its own with the reason: its times say
nothing about today, but nobody should wonder where they went.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from eventops.bench.records import record

FOLDERS = {"record": "records", "kernel": "kernels", "network": "networks"}
"""Kind of record to its folder; a ``record`` has its verification in ``verify``."""
COLUMNS = ["kind", "job", "status", "timed", "reason", "commit", "record"]


def others(results: Path, kind: str, own: Iterable[str]) -> list[str]:
    """The names of finished jobs that the present configuration does not have, sorted."""
    results, own = Path(results), set(own)
    found = (path.stem for path in (results / FOLDERS[kind]).glob("*.json"))
    done = [name for name in found if kind != "record" or _verification(results, name).is_file()]
    return sorted(name for name in done if name not in own)


def load(results: Path, kind: str, name: str, today: dict[str, Any]) -> tuple[dict, ...]:
    """A record, after its verification where it has one.

    Parameters
    ----------
    results
        ``results/<machine>``.
    kind
        Of `FOLDERS`.
    name
        The job's.
    today
        The fingerprint of the code behind each kind of record, ``verify`` among them, and under ``versions`` those of
        what it calls.

    Raises
    ------
    ValueError
        Where the record is damaged, or of other code or versions. The message says which.
    """
    results = Path(results)
    paths = {kind: results / FOLDERS[kind] / f"{name}.json"}
    if kind == "record":
        paths = {"verify": _verification(results, name), **paths}
    found = tuple(record.load(path, of) for of, path in paths.items())
    for of, content in zip(paths, found):
        if content.get("code") != today[of]:
            raise ValueError("other code of eventops")
        if changed := _changed(content.get("versions") or {}, today["versions"]):
            raise ValueError(changed)
    return found


def valid(results: Path, kind: str, names: Iterable[str], today: dict[str, Any]) -> list[tuple]:
    """The records of these that belong to the code and versions of today."""
    found = []
    for name in names:
        try:
            found.append(load(results, kind, name, today))
        except ValueError:
            continue
    return found


def earlier(results: Path, names: dict[str, Iterable[str]], today: dict[str, Any]) -> pd.DataFrame:
    """One row for each record that `valid` leaves out: what it is of, and why.

    Parameters
    ----------
    results, today
        As for `load`.
    names
        Kind to names.
    """
    rows = []
    for kind, of_kind in names.items():
        for name in of_kind:
            try:
                load(results, kind, name, today)
            except ValueError as error:
                path = Path(results) / FOLDERS[kind] / f"{name}.json"
                row = {"kind": kind, "job": name, "reason": str(error), "record": str(path)}
                rows.append(row | _facts(path, kind))
    return pd.DataFrame(rows, columns=COLUMNS)


def read(path: str | Path) -> pd.DataFrame:
    """Read the table of `earlier`, with texts kept as text."""
    text = dict.fromkeys((name for name in COLUMNS if name != "timed"), "string")
    frame = pd.read_csv(path, dtype=text)
    return frame.fillna(dict.fromkeys(text, ""))


def _verification(results: Path, name: str) -> Path:
    return results / "verify" / f"{name}.json"


def _changed(then: dict, now: dict) -> str:
    """What is of another version, in words."""
    return ", ".join(
        f"{name} {then.get(name) or 'absent'} then, {version or 'absent'} now"
        for name, version in now.items()
        if then.get(name) != version
    )


def _facts(path: Path, kind: str) -> dict[str, Any]:
    """How many rows of times the record has, and its commit; nothing of a damaged one."""
    try:
        content = record.load(path, kind)
    except ValueError:
        return {"status": "damaged"}
    rows = {
        "record": lambda: content["points"],
        "kernel": lambda: content["cases"],
        "network": lambda: content["simulators"].values(),
    }[kind]()
    timed = sum(row.get("status") == "ok" for row in rows)
    status = content.get("status", "ok" if timed else "failed")
    return {"status": status, "timed": timed, "commit": content.get("commit") or ""}
