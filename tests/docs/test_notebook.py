"""``docs/tutorial.ipynb`` runs, and prints what is stored in it."""

import pathlib
import re

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("seaborn")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tutorial.ipynb"
NUMBER = re.compile(r"\d[\d,]*\.?\d*")


def printed(page) -> list[str]:
    """What each cell of code printed."""
    cells = [cell for cell in page.cells if cell.cell_type == "code"]
    return ["".join(o["text"] for o in cell.outputs if o.output_type == "stream") for cell in cells]


def pictures(page) -> list[bool]:
    cells = [cell for cell in page.cells if cell.cell_type == "code"]
    return [any("image/png" in o.get("data", {}) for o in cell.outputs) for cell in cells]


def numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in NUMBER.findall(text)]


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(PAGE, as_version=4)


def test_it_runs_and_prints_what_is_stored(stored):
    again = nbformat.from_dict(stored.copy())
    nbclient.NotebookClient(again, timeout=120, kernel_name="python3").execute(cwd=PAGE.parent)
    assert pictures(again) == pictures(stored)
    for new, old in zip(printed(again), printed(stored), strict=True):
        assert NUMBER.sub("#", new) == NUMBER.sub("#", old)
        # Another processor rounds exp differently, which a network of spikes does not forget.
        assert numbers(new) == pytest.approx(numbers(old), rel=0.1)


def test_outputs_are_stored_and_small(stored):
    assert PAGE.stat().st_size < 300_000
    assert all(cell.execution_count for cell in stored.cells if cell.cell_type == "code")
    assert sum(pictures(stored)) >= 3
    found = "".join(printed(stored))
    assert "Warning" not in found and "False" not in found and found.count("True") >= 5


def test_links_lead_to_pages(stored):
    text = "".join(cell.source for cell in stored.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all((PAGE.parent / link).is_file() for link in links)
