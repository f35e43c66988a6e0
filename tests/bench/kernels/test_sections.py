"""Ratios of single kernels: what is printed is kept, and an absent peer is stated."""

import pytest

from eventops.bench.kernels import sections
from eventops.bench.measure import timing


def test_every_comparison_is_a_row(monkeypatch, capsys):
    settings = {"rounds": 5, "warmup": 1, "min_sample_s": 1e-3, "budget_s": 1.0, "give_up_s": 5.0}
    monkeypatch.setattr(sections, "SETTINGS", settings)

    now = [0.0]  # a clock of the test's own: on a busy machine a sleep takes any time
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def sleep(seconds):
        now[0] += seconds
        return seconds

    def sleeps():
        wait = [(sleep, [t]) for t in (0.002, 0.006, 0.010)]
        sections.compare("sleep", wait[0], {"three": wait[1], "five": wait[2]})

    def lacks():
        raise ImportError("no peer")

    monkeypatch.setattr(sections, "SECTIONS", {"sleeps": sleeps, "lacks": lacks})
    found = sections.run(["sleeps", "lacks"])
    assert [(r["section"], r["what"], r["method"]) for r in found["rows"]] == [
        ("sleeps", "sleep", "three"),
        ("sleeps", "sleep", "five"),
    ]
    three, five = found["rows"]
    assert three["ours_s"] == pytest.approx(0.002)
    assert three["ratio"] == pytest.approx(3) and five["ratio"] == pytest.approx(5)
    assert three["lo"] <= three["ratio"] <= three["hi"]
    assert "no peer" in found["absent"]["lacks"]
    assert "three x" in capsys.readouterr().out
