"""The wheel and the sdist: made by one command, and used where there is no compiler, at both ends of what is declared."""

import re
import shlex
import subprocess
import tarfile
import tomllib
import warnings
import zipfile

import pytest
import yaml
from support import ends


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([str(ends.ROOT / ".ci/package"), str(folder)], check=True)
    return folder


@pytest.mark.nightly
def test_the_wheel_serves_every_python(built):
    (wheel,) = built.glob("*.whl")
    assert re.fullmatch(r"eventops-[\d.]+-py3-none-manylinux_2_\d+_\w+\.whl", wheel.name), wheel
    names = zipfile.ZipFile(wheel).namelist()
    assert "eventops/_native.so" in names and "eventops/csrc/gpu/device/rows.cu" in names
    assert not [name for name in names if name.endswith((".cc", ".inc")) or "tests/" in name]


@pytest.mark.nightly
def test_the_sdist_has_the_workflow_and_the_tests(built):
    (sdist,) = built.glob("*.tar.gz")
    names = {name.split("/", 1)[-1] for name in tarfile.open(sdist).getnames()}
    for name in (
        "Snakefile",
        "config/smoke.yaml",
        "tests/support/cases.py",
        "eventops/csrc/cpu/dense.cc",
    ):
        assert name in names, name
    assert not [name for name in names if name.startswith("results/")]


@pytest.mark.nightly
@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_an_end_of_the_declared_range(built, tmp_path, end):
    if ends.interpreter(ends.PYTHON[end]) is None:
        pytest.skip(f"no Python {' or '.join(ends.PYTHON[end])} here")
    (wheel,) = built.glob("*.whl")
    ends.check(end, wheel, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["eventops", "eventops-cuda"])
def test_what_a_container_installs_can_be_had(built, name):
    """Its command for pip, but for the installing, with the Python of its base image; apptainer itself is not needed."""
    text = (ends.ROOT / f"containers/{name}.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == {"files", "post", "environment", "test"}
    assert sections["files"].split() == ["dist", "/opt/dist"]  # where .ci/package puts the wheel
    version = re.search(r"^From: python:([\d.]+)-slim-\w+$", text, re.MULTILINE).group(1)
    python = ends.interpreter([version])
    if python is None:
        pytest.skip(f"no Python {version} here")
    command = sections["post"].strip().replace("/opt/dist", shlex.quote(str(built)))
    assert command.startswith("pip install ") and "\n" not in command
    command = command.replace(
        "pip install", f"{python} -m pip install --dry-run --ignore-installed"
    )
    done = subprocess.run(["bash", "-euc", command], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    would = done.stdout.splitlines()[-1]
    assert would.startswith("Would install") and "eventops-" in would and "jax-" in would
    assert ("cuda13" in would) == (name == "eventops-cuda"), would


def test_what_is_declared_has_a_lower_and_an_upper_end():
    known = {
        re.match(r"[\w.-]+", r).group(): r for r in ends.declared() + ends.declared("workflow")
    }
    for name in ("jax", "numpy", "pandas", "snakemake"):
        assert re.fullmatch(rf"{name}>=[\d.]+,<[\d.]+", known[name]), known[name]


@pytest.mark.parametrize("kind", [DeprecationWarning, PendingDeprecationWarning, FutureWarning])
def test_what_our_code_calls_may_not_be_on_its_way_out(kind):
    """Seen from a module of ours; elsewhere it stays a warning."""
    call = compile("warnings.warn('old', kind)", "made up", "exec")
    with pytest.raises(kind):
        exec(call, {"__name__": "eventops.made_up", "warnings": warnings, "kind": kind})
    with pytest.warns(kind):
        exec(call, {"__name__": "other", "warnings": warnings, "kind": kind})


def test_the_environment_of_conda_has_the_declared_ranges():
    listed = yaml.safe_load((ends.ROOT / "workflow/envs/eventops.yaml").read_text())["dependencies"]
    conda = dict(requirement.partition(" ")[::2] for requirement in listed)
    conda["snakemake"] = conda.pop("snakemake-minimal")
    for requirement in ends.declared() + ends.declared("workflow"):
        name, versions = re.match(r"([\w.-]+)(.*)", requirement).groups()
        assert conda[name] == versions, f"{requirement}, but conda's file has {name} {conda[name]}"


def test_every_pattern_of_the_package_matches_a_file():
    """One that matches nothing would let through, or leave out, what it was written for."""
    settings = tomllib.loads((ends.ROOT / "pyproject.toml").read_text())["tool"]
    for pattern in settings["scikit-build"]["wheel"]["exclude"]:
        assert any(path.is_file() for path in ends.ROOT.glob(f"{pattern}/*")), pattern
    (ignored,) = (
        word.removeprefix("--ignore=")
        for word in settings["pytest"]["ini_options"]["addopts"].split()
        if word.startswith("--ignore=")
    )
    assert (ends.ROOT / ignored).is_dir(), ignored
