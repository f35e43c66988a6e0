"""Records are whole or absent, and their errors say which file and what to do."""

import json
import math

import numpy as np
import pytest

from eventops.bench import record


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "a.json"
    content = {"x": np.float32(0.5), "y": [1, np.int64(2)], "bad": math.nan, "worse": math.inf}
    record.write(path, "verify", content)
    found = record.load(path, "verify")
    assert found["x"] == 0.5 and found["y"] == [1, 2]
    assert math.isnan(record.number(found["bad"])) and record.number(found["worse"]) == math.inf
    assert json.loads(path.read_text())["schema"] == record.SCHEMA_VERSION


def test_a_write_that_fails_leaves_the_old_record(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    record.write(path, "verify", {"x": 1})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(record.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        record.write(path, "verify", {"x": 2})
    assert record.load(path, "verify")["x"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not valid JSON"),
        ('{"kind": "record", "schema": 1}', "holds 'record'"),
        ("[]", "holds 'list'"),
        ('{"kind": "verify", "schema": 0}', "schema version 0"),
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
