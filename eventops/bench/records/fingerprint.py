"""What a record depends on, as a short hash: a change of any of it makes the record outdated."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

BENCH = next(path for path in Path(__file__).resolve().parents if path.name == "bench")
PACKAGE = BENCH.parent
# The operators are all sources of the package, in whatever folder, but those of the suite and of whole networks.
SOURCES = (".py", ".cc", ".h", ".inc", ".cu", ".cuh")
APART = ("bench", "models")


def of(*modules: str, files: tuple[str, ...] = ()) -> str:
    """The hash of the operators' sources, of modules of the benchmark with all that they import of it, and of files.

    Parameters
    ----------
    *modules
        Names inside ``eventops.bench``, with dots.
    files
        Patterns of more files, relative to ``eventops/bench``.

    Raises
    ------
    ValueError
        If a module does not exist, or a pattern matches no file: its sources would drop out of the hash, and a record of
        other code would look fresh.

    Examples
    --------
    >>> of("measure.measure") == of("measure.measure", "measure.timing") != of("verify.verify")
    True
    """
    paths = set(operators())
    for pattern in files:
        found = {path for path in BENCH.glob(pattern) if path.is_file()}
        if not found:
            raise ValueError(f"fingerprint: files={pattern!r} matches nothing in {BENCH}")
        paths |= {path for path in found if "__pycache__" not in path.parts}
    paths |= {_path(name) for name in closure(*modules)}
    digest = hashlib.sha256()
    for path in sorted({path.resolve() for path in paths}):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def operators() -> list[Path]:
    """The sources of the operators: every record depends on them."""
    found = [path for path in PACKAGE.rglob("*") if path.suffix in SOURCES]
    return sorted(path for path in found if path.relative_to(PACKAGE).parts[0] not in APART)


def closure(*modules: str) -> set[str]:
    """These modules of ``eventops.bench`` and those that they import, directly or through each other."""
    found, waiting = set(), set(modules)
    while waiting:
        name = waiting.pop()
        if _path(name) is None:
            raise ValueError(f"fingerprint: there is no module eventops.bench.{name}")
        found.add(name)
        waiting |= _imports(name) - found
    return found


def _path(name: str) -> Path | None:
    """The file of a module of the benchmark, or of a package; None where there is neither."""
    place = BENCH.joinpath(*name.split("."))
    paths = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((path for path in paths if path.is_file()), None)


def _imports(name: str) -> set[str]:
    """The modules of the benchmark that one of them names in an import."""
    path = _path(name)
    package = ["eventops", "bench", *name.split(".")]
    package = package if path.name == "__init__.py" else package[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *([node.module] if node.module else [])]
            names |= {".".join([*base, alias.name]) for alias in node.names} | {".".join(base)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    inside = {n.removeprefix("eventops.bench.") for n in names if n.startswith("eventops.bench.")}
    return {n for n in inside if _path(n) is not None}
