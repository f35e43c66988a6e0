"""The plan of the house: docs/architecture.md is current, and every package says what it is."""

import ast
import importlib
import re

import pytest
from support import architecture

import eventops as nn

CONTAINERS = ("eventops", "eventops.bench")
PACKAGES = [f"{c}.{name}" for c in CONTAINERS for name in architecture.layers(c)]


def test_the_page_is_current():
    assert architecture.PAGE.read_text() == architecture.page(), (
        "run python tests/support/architecture.py"
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_lives_in_it(package):
    text = ast.get_docstring(ast.parse((architecture._folder(package) / "__init__.py").read_text()))
    assert text and text.splitlines()[0].endswith((".", ":", "]"))
    if "public name of" not in text and not text.startswith("The command"):
        assert re.search(r"[Bb]egin (reading )?with ``", text), "where does a reader begin?"


def test_files_are_short():
    """One idea a file; tables and pages that are made are apart."""
    long = {}
    for path in (architecture.ROOT / "eventops").rglob("*.py"):
        n = len(path.read_text().splitlines())
        if n > 412:
            long[path.name] = n
    assert not long


def test_every_public_name_has_one_place_and_a_docstring():
    pages = [architecture.ROOT / "README.md", *(architecture.ROOT / "docs").glob("*.md")]
    documents = "".join(path.read_text() for path in pages)
    for name in nn.__all__:
        value = getattr(nn, name)
        assert value.__doc__, name
        assert re.search(rf"\b{name}\b", documents), f"{name} is in no document"
        module = getattr(value, "__module__", None)
        if module is not None:
            assert getattr(importlib.import_module(module), name) is value


def test_documents_name_files_that_exist():
    """Paths of sources in documents, docstrings and comments."""
    root = architecture.ROOT
    named = [root / "README.md", *root.glob("docs/*.md"), *root.glob("eventops/**/*.py")]
    named += [path for path in root.glob("eventops/csrc/**/*") if path.is_file()]
    missing = set()
    for path in named:
        for found in re.findall(
            r"\b(?:eventops|tests|workflow|csrc)/[\w/.]*\w\.\w+", path.read_text()
        ):
            places = (root / found, root / "eventops" / found)
            if not any(place.exists() for place in places):
                missing.add((path.relative_to(root).as_posix(), found))
    assert not missing
