"""Ratios of single kernels: what is printed is kept, and an absent peer is stated."""

import time

import pytest

from eventops.bench import kernels


def test_every_comparison_is_a_row(monkeypatch, capsys):
    settings = {"rounds": 5, "warmup": 1, "min_sample_s": 1e-3, "budget_s": 1.0, "give_up_s": 5.0}
    monkeypatch.setattr(kernels, "SETTINGS", settings)

    def sleeps():
        wait = [(lambda x: time.sleep(x) or x, [t]) for t in (0.002, 0.006, 0.010)]
        kernels.compare("sleep", wait[0], {"three": wait[1], "five": wait[2]})

    def lacks():
        raise ImportError("no peer")

    monkeypatch.setattr(kernels, "SECTIONS", {"sleeps": sleeps, "lacks": lacks})
    found = kernels.run(["sleeps", "lacks"])
    assert [(r["section"], r["what"], r["method"]) for r in found["rows"]] == [
        ("sleeps", "sleep", "three"),
        ("sleeps", "sleep", "five"),
    ]
    three, five = found["rows"]
    assert three["ours_s"] == pytest.approx(0.002, rel=1) and 1.5 < three["ratio"] < five["ratio"]
    assert three["lo"] <= three["ratio"] <= three["hi"]
    assert "no peer" in found["absent"]["lacks"]
    assert "three x" in capsys.readouterr().out
