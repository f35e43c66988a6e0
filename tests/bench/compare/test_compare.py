"""Two runs are told apart where the code changed, and not where the machine did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import support.bench_synthetic as made

from eventops.bench.compare import compare
from eventops.bench.records import record
from eventops.bench.tables import table

ROOT = Path(__file__).resolve().parents[3]
TIMES = ["t_median_s", "t_q1_s", "t_q3_s", "t_lo_s", "t_hi_s"]
RATIOS = ["ratio", "ratio_lo", "ratio_hi"]
JOBS = made.JOBS[:7]


def points(seed: int, peers=made.PEERS) -> pd.DataFrame:
    """A run whose ratios hold the noise of both times, as those of a real one do."""
    frame = made.points(jobs=JOBS, batches=(1,), seed=seed, peers=peers)
    ours = frame[frame["method"] == "eventops"].set_index(["job", "rate", "mode"])["t_median_s"]
    base = [ours[row.job, row.rate, row.mode] for row in frame.itertuples()]
    for name, factor in zip(RATIOS, (1, 0.96, 1.04), strict=True):
        frame[name] = (
            frame["t_median_s"] / base * np.where(frame["method"] == "eventops", 1, factor)
        )
    return frame


def slower(frame: pd.DataFrame, factor: float, where=lambda f: f["operator"] == "EventLinear"):
    """The same run after a change that made ours slower at some points."""
    frame, rows = frame.copy(), where(frame)
    ours = frame["method"] == "eventops"
    frame.loc[rows & ours, TIMES] *= factor
    frame.loc[rows & ~ours, RATIOS] /= factor
    return frame


def one_point(frame):
    return (
        (frame["job"] == "EventLinear-4000-full")
        & (frame["rate"] == 0.01)
        & (frame["mode"] == "call")
    )


def results(folder: Path, frame: pd.DataFrame, **facts) -> Path:
    (folder / "tables").mkdir(parents=True)
    table.write(frame, folder / "tables/points.csv")
    record.write(folder / "machine.json", "machine", made.MACHINE | facts)
    return folder


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return compare.read(results(tmp_path_factory.mktemp("runs") / "old", points(1)))


def run_of(frame: pd.DataFrame, **facts) -> compare.Results:
    return compare.Results("new", frame, made.MACHINE | facts)


@pytest.mark.parametrize("seed", range(2, 6))
def test_the_same_code_is_no_regression(old, seed):
    found = compare.compare(old, run_of(points(seed)))
    assert not found.regressions
    assert (found.points["verdict"] == "same").mean() > 0.98
    whole = found.groups.iloc[0]
    assert whole["operator"] == "all" and whole["geomean"] == pytest.approx(1, abs=0.03)
    assert len(found.points) == len(JOBS) * 4 * 2


def test_a_slower_operator_is_found_and_the_others_are_not(old):
    found = compare.compare(old, run_of(slower(points(2), 1.5)))
    groups = found.groups.set_index("operator")
    assert groups.loc["EventLinear", "geomean"] == pytest.approx(1.5, rel=0.05)
    assert groups.loc["EventFixedProb", "geomean"] == pytest.approx(1.0, rel=0.05)
    assert groups.loc["EventLinear", "slower"] == groups.loc["EventLinear", "points"]
    assert groups.loc["EventFixedProb", "slower"] == 0
    assert any(line.startswith("EventLinear: 1.5") for line in found.regressions)
    assert not any("FixedProb" in line for line in found.regressions)
    back = compare.compare(run_of(slower(points(2), 1.5)), old)
    assert not back.regressions and (back.points["verdict"] == "faster").sum() >= 24


def test_one_slower_point_is_found(old):
    found = compare.compare(old, run_of(slower(points(2), 1.6, one_point)))
    assert [line.split(":")[0] for line in found.regressions] == [
        "EventLinear-4000-full, rate 0.01, batch 1, call"
    ]
    assert not compare.compare(
        old, run_of(slower(points(2), 1.6, one_point)), threshold=2
    ).regressions


def test_a_slower_machine_is_not_slower_code(old):
    frame = points(2)
    frame[TIMES] *= 2
    found = compare.compare(old, run_of(frame))
    assert not found.regressions and set(found.points["basis"]) == {"ratio"}
    assert any("2" in note and "the machine, not the code" in note for note in found.notes)
    by_time = compare.compare(old, run_of(frame), basis="time")
    assert by_time.regressions and set(by_time.points["basis"]) == {"time"}


def test_a_peer_that_changed_alone_is_not_our_change(old):
    frame = points(2)
    rows = frame["method"] == "jnp-dense"
    frame.loc[rows, TIMES + RATIOS] /= 5
    found = compare.compare(old, run_of(frame))
    assert not [line for line in found.regressions if ", rate" in line]
    newer = compare.compare(old, run_of(frame, versions=made.MACHINE["versions"] | {"jax": "0.11"}))
    assert not newer.regressions
    assert any("no control: bcoo, jnp-dense" in note for note in newer.notes)


def test_without_peers_times_are_compared(old):
    alone = compare.Results("old", points(1, peers=()), made.MACHINE)
    found = compare.compare(alone, run_of(slower(points(2, peers=()), 1.5)))
    assert set(found.points["basis"]) == {"time"} and found.regressions
    assert not compare.compare(alone, run_of(points(2, peers=()))).regressions
    left = compare.compare(alone, run_of(points(2, peers=())), basis="ratio")
    assert left.points["change"].isna().all() and any("left out" in note for note in left.notes)


def test_a_lost_point_and_grown_memory_are_regressions(old):
    frame = points(2)
    frame.loc[one_point(frame) & (frame["method"] == "eventops"), ["status", "reason", *TIMES]] = [
        "failed",
        "error/bound 37",
        *[np.nan] * len(TIMES),
    ]
    frame.loc[
        (frame["job"] == "EventFixedProb-4000-0p1") & (frame["method"] == "eventops"),
        "bytes_stored",
    ] *= 2
    lines = compare.compare(old, run_of(frame)).regressions
    assert len(lines) == 2
    assert "no longer timed: error/bound 37" in lines[0] and "stores 2 times the bytes" in lines[1]


def test_jobs_are_matched_by_what_they_measure(old):
    """The hash in a job's name covers the sweep: another set of rates is the same configuration."""
    hashed = [
        f.assign(job=f["job"] + end)
        for f, end in ((points(1), "-0123abcd"), (points(2), "-ffff0000"))
    ]
    found = compare.compare(compare.Results("old", hashed[0], made.MACHINE), run_of(hashed[1]))
    assert len(found.points) == len(JOBS) * 4 * 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"threshold": 1.0}, "threshold=1.0 must be above 1"),
        ({"basis": "luck"}, "basis='luck' must be one of"),
    ],
)
def test_bad_settings(old, change, message):
    with pytest.raises(ValueError, match=message):
        compare.compare(old, old, **change)


def test_other_machines_and_other_points(old):
    other = run_of(points(2), cpu="another")
    with pytest.raises(ValueError, match="differ in cpu"):
        compare.compare(old, other, basis="time")
    assert any("differ in cpu" in note for note in compare.compare(old, other).notes)
    with pytest.raises(ValueError, match="no point of eventops in common"):
        compare.compare(old, run_of(points(2).assign(batch=7)))


def test_exit_code_and_files(tmp_path, capsys):
    a = results(tmp_path / "a", points(1))
    b = results(tmp_path / "b", slower(points(2), 1.5).assign(operator="<b>"))
    out = tmp_path / "out"
    assert compare.main([str(a), str(a)]) == 0
    assert compare.main([str(a), str(b), "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert "No regression of 1.1 times or more." in said and "1.5" in said
    rows = pd.read_csv(out / "points.csv")
    assert {"slower", "same"} == set(rows["verdict"]) and len(pd.read_csv(out / "groups.csv")) == 2
    page = (out / "compare.html").read_text()
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert compare.main([str(tmp_path), str(a)]) == 2
    assert "has no tables/points.csv" in capsys.readouterr().err


@pytest.mark.slow
def test_snakemake_compare_fails_on_a_regression(tmp_path):
    """The plain command of the README, on finished results, with nothing measured."""
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Snakefile", tmp_path)
    a, b = results(tmp_path / "a", points(1)), results(tmp_path / "b", slower(points(2), 1.5))

    def snakemake(*pairs):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", "compare", "--config", *pairs],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            capture_output=True,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    code, said = snakemake(f"old={a}", f"new={b}")
    assert code == 1 and "EventLinear: 1.5" in said, said
    assert (tmp_path / "results/compare/compare.html").is_file()
    code, said = snakemake(f"old={a}", f"new={a}")
    assert code == 0 and "No regression" in said, said
    assert "rule measure" not in said and json.loads((a / "machine.json").read_text())
