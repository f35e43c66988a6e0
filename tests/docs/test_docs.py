"""The examples of the README and the docs run as they stand, and errors read as they are quoted."""

import pathlib
import re

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_examples_run(page, tmp_path, monkeypatch):
    """In one namespace, from the top of the page, with JAX's own settings as a user has them."""
    monkeypatch.chdir(tmp_path)  # where a page may write files
    namespace = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for kind, block in BLOCK.findall(page.read_text()):
            if kind == "python":
                exec(compile(block, str(page), "exec"), namespace)
            else:
                for code, message in statements(block):
                    check(compile(code, str(page), "exec"), message, namespace)


def statements(block: str) -> list[tuple[str, str]]:
    """(code, the message quoted below it) of each prompt."""
    found = []
    for line in block.splitlines():
        if line.startswith(">>> "):
            found.append(([line[4:]], []))
        elif line.startswith("... ") or line == "...":
            found[-1][0].append(line[4:])
        else:
            found[-1][1].append(line)
    return [("\n".join(code) + "\n", " ".join(message)) for code, message in found]


def check(code, message: str, namespace: dict) -> None:
    """No message: the code runs. Else it raises just that; JAX may say more after it."""
    if not message:
        exec(code, namespace)
        return
    with pytest.raises(Exception) as caught:
        exec(code, namespace)
    said = f"{type(caught.value).__name__}: {' '.join(str(caught.value).split())}"
    assert said.startswith(message), f"the page quotes\n{message}\nbut the error is\n{said}"


def test_a_wrong_quotation_is_found():
    """The check of quotations can fail."""
    ((code, message),) = statements(">>> 1 / 0\nZeroDivisionError: division by two\n")
    with pytest.raises(AssertionError, match="(?s)division by two.*division by zero"):
        check(compile(code, "page", "exec"), message, {})
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        check(compile("1 + 1", "page", "exec"), "TypeError: no", {})
