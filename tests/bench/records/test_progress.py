"""Whoever waits is told what runs, how much is done, and how long it takes yet."""

import json
import os

from eventops.bench.records import log, progress


def test_a_line_names_the_point_and_the_time_left(tmp_path):
    for i, seconds in enumerate((100.0, 140.0)):
        (tmp_path / f"{i}.json").write_text(json.dumps({"duration_s": seconds}))
    (tmp_path / "torn.json").write_text("{")
    lines = []
    at = progress.Progress(lines.append, "EventLinear-9", tmp_path, 12)
    at(0, 4, "rate 0.1, batch 1, call")
    assert lines == [
        "[measure] job 3 of 12, point 1 of 4: EventLinear-9, rate 0.1, batch 1, call; about 20 min left"
    ]
    # Two of four points took 60 s: as long again, and nine jobs more of 120 s each.
    assert at.left(2, 4, 60.0) == 60 + 9 * 120
    assert progress.Progress(lines.append, "x", tmp_path / "none", None).left(0, 4, 0.0) is None


def test_the_line_reaches_the_terminal_and_not_the_log(tmp_path, capfd):
    with log.to_file(tmp_path / "log.txt") as tell:
        os.write(1, b"to the log\n")
        tell("to the terminal")
    assert capfd.readouterr().err == "to the terminal\n"
    assert (tmp_path / "log.txt").read_text() == "to the log\n"
