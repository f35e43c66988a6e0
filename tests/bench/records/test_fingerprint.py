"""A hash of sources sees every source: none drops out by standing in another folder."""

import ast
import shutil

import pytest

from eventops.bench.records import fingerprint

KINDS = ("verify.verify", "measure.measure", "peers.generators", "kernels.jobs", "networks.jobs")


def _as_it_imports(names):
    """What Python itself would load of the benchmark, found by another way than `fingerprint` finds it: by names."""
    sources = {
        path.relative_to(fingerprint.BENCH).with_suffix("").as_posix().replace("/", "."): path
        for path in fingerprint.BENCH.rglob("*.py")
    }
    found, waiting = set(), set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        package = name.rpartition(".")[0]
        for node in ast.walk(ast.parse(sources[name].read_text())):
            if isinstance(node, ast.ImportFrom):
                parts = ["eventops", "bench", *filter(None, package.split("."))]
                parts = parts[: len(parts) - node.level + 1] if node.level else []
                base = ".".join([*parts, *filter(None, [node.module])])
                for alias in node.names:
                    for whole in (base, f"{base}.{alias.name}"):
                        short = whole.removeprefix("eventops.bench.")
                        if short != whole and short in sources and short not in found:
                            waiting.add(short)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_a_record_depends_on_all_that_its_stage_imports(name):
    found = fingerprint.closure(name)
    assert found >= _as_it_imports([name])
    assert len(found) > 2


def test_every_source_of_the_operators_counts():
    found = {path.relative_to(fingerprint.PACKAGE).as_posix() for path in fingerprint.operators()}
    everything = {
        path.relative_to(fingerprint.PACKAGE).as_posix()
        for kind in ("*.py", "*.cc", "*.h", "*.inc", "*.cu", "*.cuh")
        for path in fingerprint.PACKAGE.rglob(kind)
    }
    left = {path for path in everything - found if not path.startswith(("bench/", "models/"))}
    assert not left
    assert sum(path.endswith((".cc", ".cu")) for path in found) > 20
    assert any(path.endswith("rows.cu") for path in found)


def test_what_matches_nothing_is_an_error():
    with pytest.raises(ValueError, match="matches nothing"):
        fingerprint.of(files=("no_such_folder/*",))
    with pytest.raises(ValueError, match="no module eventops.bench.no_such"):
        fingerprint.of("no_such")


def test_a_changed_source_is_another_hash(tmp_path, monkeypatch):
    copy = tmp_path / "eventops"
    shutil.copytree(
        fingerprint.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so", "measured")
    )
    monkeypatch.setattr(fingerprint, "PACKAGE", copy)
    monkeypatch.setattr(fingerprint, "BENCH", copy / "bench")
    seen = {fingerprint.of("verify.verify")}
    sources = {path.parent: path for path in fingerprint.operators()}.values()  # one of each folder
    for path in sources:
        path.write_bytes(path.read_bytes() + b" ")
        seen.add(fingerprint.of("verify.verify"))
    assert len(seen) == len(sources) + 1
