"""What other configurations left in a machine's folder: what counts, and what stands apart with a reason."""

import pytest
from support.bench_jobs import jobs

from eventops.bench.measure import measure
from eventops.bench.records import kept, record
from eventops.bench.report import unfinished

TODAY = {"verify": "v", "record": "m", "kernel": "k", "network": "n", "versions": {"jax": "1"}}
GOOD = {"status": "ok", "reason": "", "duration_s": 1.0, "versions": {"jax": "1", "pandas": "2"}}
(FIRST, *_), JOBS = (
    list(found := jobs({"operator": "EventLinear", "sizes": [50, 60, 70], "peers": []})),
    found,
)


def write(folder, name, verified=None, measured=None):
    """Synthetic records of a job, verified and timed, with these changes."""
    job = JOBS[name]
    graph = {"n_synapses": 1, "mean_out_degree": 1.0, "graph_hash": None, "p_values": {}}
    one = GOOD | graph | {"job": job, "checks": [], "code": "v"} | (verified or {})
    record.write(folder / f"verify/{name}.json", "verify", one)
    points = [p | {"samples": [[0, 1e-3]]} for p in measure.refused(job, "ok", "")]
    two = GOOD | {"job": job, "points": points, "construct": {}, "code": "m"} | (measured or {})
    record.write(folder / f"records/{name}.json", "record", two)


def network(folder, name, **changes):
    one = {"status": "ok", "reason": "", "step_s": [1e-3] * 3, "rate_hz": 20.0}
    one |= {"cv": 1.0, "correlation": 0.0}
    content = {"job": {"id": name, "model": "coba", "n": 400}, "simulators": {"eventops": one}}
    content |= {"code": "n", "versions": {"jax": "1"}} | changes
    record.write(folder / f"networks/{name}.json", "network", content)


def test_others_are_those_that_are_finished(tmp_path):
    for name in JOBS:
        write(tmp_path, name)
    half = list(JOBS)[1]
    (tmp_path / f"verify/{half}.json").unlink()
    network(tmp_path, "coba")
    assert kept.others(tmp_path, "record", [FIRST]) == [list(JOBS)[2]]
    assert kept.others(tmp_path, "network", []) == ["coba"]
    assert kept.others(tmp_path, "kernel", []) == kept.others(tmp_path / "no", "record", []) == []


@pytest.mark.parametrize(
    "verified, measured, reason",
    [
        ({"code": "old"}, {}, "other code of eventops"),
        ({}, {"code": "old"}, "other code of eventops"),
        ({}, {"code": None}, "other code of eventops"),
        ({"versions": {"jax": "0"}}, {}, "jax 0 then, 1 now"),
        ({}, {"versions": {}}, "jax absent then, 1 now"),
        ({"status": "fine"}, {}, "is damaged: status is 'fine'"),
    ],
)
def test_what_is_of_other_code_or_versions_stands_apart(tmp_path, verified, measured, reason):
    good, bad, _ = JOBS
    write(tmp_path, good)
    write(tmp_path, bad, verified, measured)
    ((one, two),) = kept.valid(tmp_path, "record", [good, bad], TODAY)
    assert one["job"]["id"] == two["job"]["id"] == good
    path = tmp_path / "earlier.csv"
    kept.earlier(tmp_path, {"record": [good, bad]}, TODAY).to_csv(path, index=False)
    (row,) = kept.read(path).to_dict("records")
    assert row["job"] == bad and reason in row["reason"] and row["commit"] == ""
    assert row["timed"] == 2 and row["record"].endswith(f"records/{bad}.json")


def test_networks_and_damaged_files(tmp_path):
    network(tmp_path, "good")
    network(tmp_path, "old", code="older", commit="abc")
    (tmp_path / "networks/torn.json").write_text("{")
    names = kept.others(tmp_path, "network", [])
    assert [one["job"]["id"] for (one,) in kept.valid(tmp_path, "network", names, TODAY)] == [
        "good"
    ]
    apart = kept.earlier(tmp_path, {"network": names}, TODAY).set_index("job")
    assert apart.commit["old"] == "abc" and apart.timed["old"] == 1
    assert apart.status["torn"] == "damaged" and "not valid JSON" in apart.reason["torn"]


def test_an_empty_table_is_read(tmp_path):
    kept.earlier(tmp_path, {}, TODAY).to_csv(tmp_path / "a.csv", index=False)
    assert list(kept.read(tmp_path / "a.csv").columns) == kept.COLUMNS


def test_the_page_of_a_run_that_failed_has_them_too(tmp_path):
    """And a network and generators that died are said to have."""
    own, good, bad = JOBS
    write(tmp_path, good)
    write(tmp_path, bad, {"code": "old"})
    network(tmp_path, "coba")
    planned = {"record": {own: JOBS[own]}}
    planned["network"] = {"cuba": {"id": "cuba", "model": "cuba", "n": 400}}
    others = {"record": [good, bad], "network": ["coba"]}
    said = unfinished.explain(planned, tmp_path, "here", {}, others, TODAY)
    assert f"{own}: verify wrote no record" in said and "cuba: networks wrote no record" in said
    assert "generators: no record" in said and good not in said
    page = (tmp_path / "report.html").read_text()
    assert "1 of the 2 configurations on this page" in page
    assert "1 records of other code or versions" in page and f"{bad}</a>" in page
    assert "coba" in page and "cuba" in page
