"""The picture and the lists of docs/architecture.md, made from the code: ``python tests/support/architecture.py``."""

from __future__ import annotations

import ast
import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- made: {} -->", "<!-- end: {} -->"


def layers(container: str) -> list[str]:
    """The packages inside a container, from the top down, as the contract in pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (c for c in settings["contracts"] if c["containers"] == [container])
    names = [name.strip() for layer in contract["layers"] for name in layer.split("|")]
    return [name for name in names if (_folder(container) / name / "__init__.py").is_file()]


def _folder(package: str) -> pathlib.Path:
    return ROOT.joinpath(*package.split("."))


def says(package: str) -> str:
    """The first line of a package's docstring."""
    text = (_folder(package) / "__init__.py").read_text()
    return ast.get_docstring(ast.parse(text)).splitlines()[0]


def imports(package: str) -> set[str]:
    """All modules that the files of a package import, in absolute form."""
    found = set()
    for path in sorted(_folder(package).rglob("*.py")):
        here = path.relative_to(ROOT).with_suffix("").parts[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = here[: len(here) - node.level + 1] if node.level else ()
                base = [*above, *filter(None, [node.module])]
                found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def edges(container: str) -> dict[str, set[str]]:
    """Which package imports which others of the same container."""
    names = layers(container)
    result = {}
    for name in names:
        found = imports(f"{container}.{name}")
        inside = {m.removeprefix(f"{container}.") for m in found if m.startswith(f"{container}.")}
        result[name] = {m.partition(".")[0] for m in inside} & set(names) - {name}
    return result


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the edges that follow from others: what is reached by a longer way needs no arrow."""

    def reach(name):
        return graph[name].union(*map(reach, graph[name])) if graph[name] else set()

    return {
        name: {to for to in tos if not any(to in reach(other) for other in tos - {to})}
        for name, tos in graph.items()
    }


def picture() -> str:
    """The packages and stages as a Mermaid graph."""
    lines = ["```mermaid", "flowchart TD"]
    stages = reduced(edges("eventops.bench"))
    commands = {name for name in stages if says(f"eventops.bench.{name}").startswith("The command")}
    lines += ["  subgraph bench"]
    lines += [f"    bench_{name}[{name}]" for name in stages if name not in commands]
    lines += [
        f"    bench_{name} --> bench_{to}"
        for name, tos in stages.items()
        for to in sorted(tos)
        if name not in commands
    ]
    lines += ["  end"]
    packages = reduced(edges("eventops"))
    lines += [f"  {name}" for name in packages if name != "bench"]
    lines += [f"  {name} --> {to}" for name, tos in packages.items() for to in sorted(tos)]
    return "\n".join([*lines, "```"])


def rooms(container: str) -> str:
    """A line for each package, from the top down: its name and what its docstring says first."""
    prefix = container.replace("eventops", "").strip(".")
    return "\n".join(
        f"* `{prefix + '/' if prefix else ''}{name}/`: {says(f'{container}.{name}')}"
        for name in layers(container)
    )


def page() -> str:
    """The page with its made parts as they are today."""
    text = PAGE.read_text()
    made = {
        "picture": picture(),
        "packages": rooms("eventops"),
        "stages": rooms("eventops.bench"),
    }
    for name, new in made.items():
        begin, end = re.escape(BEGIN.format(name)), re.escape(END.format(name))
        text, n = re.subn(
            f"({begin}\n).*?({end})", lambda m, new=new: f"{m[1]}{new}\n{m[2]}", text, flags=re.S
        )
        assert n == 1, name
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
