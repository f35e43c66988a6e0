"""What a record depends on, as a short hash: a change of any of it makes the record outdated."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

BENCH = Path(__file__).resolve().parent
PACKAGE = BENCH.parent
OPERATORS = ("*.py", "backends/*.py", "csrc/*", "csrc/cuda/*")


def of(*modules: str, files: tuple[str, ...] = ()) -> str:
    """The hash of the operators' sources, of modules of the benchmark with all that they import of it, and of files.

    Parameters
    ----------
    *modules
        Names inside ``eventops.bench``.
    files
        Patterns of more files, relative to ``eventops/bench``.

    Examples
    --------
    >>> of("measure") == of("measure", "timing") != of("verify")
    True
    """
    paths = {path for pattern in OPERATORS for path in PACKAGE.glob(pattern)}
    paths |= {path for pattern in files for path in BENCH.glob(pattern)}
    paths |= {BENCH / f"{name}.py" for name in closure(*modules)}
    digest = hashlib.sha256()
    for path in sorted({path.resolve() for path in paths if path.is_file()}):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def closure(*modules: str) -> set[str]:
    """These modules of ``eventops.bench`` and those that they import, directly or through each other."""
    found, waiting = set(), set(modules)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= _imports(BENCH / f"{name}.py") - found
    return found


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module.startswith(("eventops.bench", ".")):
                names |= {module.rpartition(".")[2], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.rpartition(".")[2]
                for alias in node.names
                if alias.name.startswith("eventops.bench.")
            }
    return {name for name in names if (BENCH / f"{name}.py").is_file()}
