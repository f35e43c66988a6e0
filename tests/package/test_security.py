"""What comes from elsewhere (configurations, records, tables) is data: nothing of it is ever run."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("eventops/**/*.py"), *ROOT.glob("workflow/**/*.py")])
RULES = [ROOT / "Snakefile", *sorted(ROOT.glob("workflow/**/*.smk"))]
MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code", "codeop"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
}
CALLS |= {
    "pd.read_pickle",
    "pandas.read_pickle",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "tempfile.mktemp",
}


def dangers(source: str) -> list[str]:
    """What in a module could run text, or load objects, from elsewhere."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        found += [f"{line}: import {name}" for name in names if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name in CALLS or name.startswith("os.exec") or name.startswith("os.spawn"):
            found.append(f"{line}: {name}")
        if options.get("shell", "False") != "False":
            found.append(f"{line}: {name} through a shell")
        if options.get("allow_pickle", "False") != "False":
            found.append(f"{line}: {name} with pickles")
        if (
            name.endswith("Environment")
            and "loader" in options
            and options.get("autoescape") != "True"
        ):
            found.append(f"{line}: a template engine that does not escape")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_evaluated(path):
    assert dangers(path.read_text()) == []


@pytest.mark.parametrize("path", RULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_rule_builds_a_command(path):
    """Every rule calls a script with its parameters as data; Snakemake passes nothing through a shell."""
    assert not re.search(
        r"^\s*(shell|run)\s*:|\b(eval|exec|shell)\(", path.read_text(), re.MULTILINE
    )


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "os.system('ls ' + name)",
        "subprocess.run(f'ls {name}', shell=True)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "jinja2.Environment(loader=x)",
    ],
)
def test_each_danger_is_seen(source):
    assert len(dangers(source)) == 1
