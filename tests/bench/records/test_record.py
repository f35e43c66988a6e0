"""Records are whole or absent, and their errors say which file and what to do."""

import errno
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
from support.bench_jobs import job

from eventops.bench.records import record
from eventops.bench.verify import checks

MACHINE = {"slug": "here"}


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "a.json"
    content = MACHINE | {
        "x": np.float32(0.5),
        "y": [1, np.int64(2)],
        "bad": math.nan,
        "worse": math.inf,
    }
    record.write(path, "machine", content)
    found = record.load(path, "machine")
    assert found["x"] == 0.5 and found["y"] == [1, 2]
    assert math.isnan(record.number(found["bad"])) and record.number(found["worse"]) == math.inf
    assert json.loads(path.read_text())["schema"] == record.SCHEMA_VERSION


def test_a_write_that_fails_leaves_the_old_record(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    record.write(path, "machine", MACHINE | {"x": 1})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(record.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        record.write(path, "machine", MACHINE | {"x": 2})
    assert record.load(path, "machine")["x"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not valid JSON"),
        ('{"kind": "record", "schema": 1}', "holds 'record'"),
        ("[]", "holds 'list'"),
        ('{"kind": "verify", "schema": 1', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"kind": "verify", "schema": 1}', "damaged: job is missing"),
        ('{"kind": "verify", "schema": 1, "job": 3}', "damaged: job is int, not an object"),
        ('{"kind": "verify", "schema": 0}', "schema version 0, this .* reads 1; delete it and run"),
        ('{"kind": "verify", "schema": 2}', "schema version 2, this .* reads 1; update eventops"),
    ],
)
def test_bad_records_are_named(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        record.load(path, "verify")
    assert str(path) in str(error.value)


def test_unknown_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="kind='other'"):
        record.write(tmp_path / "a.json", "other", {})


def test_a_verify_record_of_a_wrong_shape_is_named(tmp_path):
    """Each field is looked at: a record from elsewhere is data and may be anything."""
    path = tmp_path / "a.json"
    good = {
        "job": job("EventLinear"),
        **{"status": "ok", "reason": "", "p_values": {}, "n_synapses": 3, "mean_out_degree": 1.5},
        "checks": [checks.ratio("product", "here", math.inf).as_dict()],
        "duration_s": 1,
    }
    record.write(path, "verify", good)
    assert record.load(path, "verify")["checks"][0]["value"] == "inf"
    for change, message in (
        ({"status": "fine"}, "status is 'fine'"),
        ({"status": ["ok"]}, "status is"),
        ({"checks": {}}, "checks is dict, not a list"),
        ({"checks": [{}]}, r"checks\[0\].check is missing"),
        ({"checks": [good["checks"][0] | {"passed": "yes"}]}, r"checks\[0\].passed is 'yes'"),
        ({"job": good["job"] | {"rates": [0.1]}}, r"job.rates\[0\] is '0.1'"),
        ({"job": good["job"] | {"n_pre": True}}, "job.n_pre is 'True'"),
    ):
        record.write(path, "verify", good | change)
        with pytest.raises(ValueError, match=message) as error:
            record.load(path, "verify")
        assert str(path) in str(error.value) and "delete it and run again" in str(error.value)


@pytest.mark.parametrize("code, advice", [("ENOSPC", "disk space"), ("EROFS", "--config results")])
def test_a_disk_that_takes_nothing_says_what_to_do(tmp_path, monkeypatch, code, advice):
    path = tmp_path / "a.json"
    number = getattr(errno, code)

    def fails(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(record.os, "fsync", fails)
    with pytest.raises(OSError, match=advice) as error:
        record.write(path, "machine", MACHINE)
    assert error.value.errno == number and str(path) in str(error.value)
    assert not list(tmp_path.iterdir())


COMMITTED = Path(__file__).parents[3] / "results"


@pytest.mark.parametrize("kind, where", [("verify", "verify"), ("record", "records")])
def test_older_records_load(kind, where):
    """Those that are committed were made by earlier versions of the code."""
    paths = sorted(COMMITTED.glob(f"reference-*/{where}/*.json"))
    assert paths and all(record.load(path, kind)["job"]["id"] == path.stem for path in paths)


def test_files_from_the_future_are_of_now(tmp_path):
    for name, ago in (("old", 1000.0), ("ahead", -1000.0)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - ago,) * 2)
    record.none_from_the_future(tmp_path)
    assert (tmp_path / "old").stat().st_mtime < time.time() - 900
    assert (tmp_path / "ahead").stat().st_mtime <= time.time()
