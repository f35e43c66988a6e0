"""A point that was measured is found again, is quoted as it was measured, and is not out-ranked by a prediction."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

import eventops
from eventops.advice import cost, ranking
from eventops.advice.measured_tables import SHIPPED
from eventops.bench.tables import reference_table, table

# Seconds of one block of a sweep: 500 neurons, p = 0.02, rates 0.02 and 0.2, a weight for each synapse.
TIMES = {
    ("eventops", "scan"): (0.675e-6, 2.4e-6),
    ("eventops", "call"): (7e-6, 9e-6),
    ("jnp-dense", "scan"): (10.8e-6, 10.9e-6),
    ("jnp-dense", "call"): (15e-6, 15e-6),
    ("scipy-csr", "call"): (20e-6, 21e-6),
}
ASKED = {"n_pre": 500, "n_post": 500, "rate": 0.02, "weight": "per-synapse", "device": "cpu"}


def block(realised=4_904, conn="0.02", operator="EventFixedProb", kind="prob", n=500, **more):
    rows = []
    for (method, mode), seconds in TIMES.items():
        for rate, t in zip((0.02, 0.2), seconds, strict=True):
            row = dict.fromkeys(reference_table.COLUMNS, "") | {
                "operator": operator,
                "conn_kind": kind,
            }
            row |= {"n_pre": n, "n_post": n, "conn": conn, "n_synapses": realised}
            row |= {"backend": "cpu", "device": "cpu", "dtype": "float32", "storage": "sparse"}
            row |= {"weight": "per-synapse", "rate": rate, "batch": 1, "mode": mode}
            row |= {"method": method, "events": rate * n, "status": "ok", "job": f"{kind}{conn}"}
            rows.append(row | {"t_median_s": t, "t_lo_s": 0.98 * t, "t_hi_s": 1.02 * t} | more)
    return rows


@pytest.fixture
def results(tmp_path):
    def write(rows):
        (tmp_path / "tables").mkdir(exist_ok=True)
        table.write(pd.DataFrame(rows), tmp_path / "tables/points.csv")
        facts = json.loads((SHIPPED / "machine.json").read_text())
        (tmp_path / "machine.json").write_text(json.dumps(facts))
        return tmp_path

    return write


@pytest.mark.parametrize("realised", [4_700, 4_904, 5_000, 5_012, 5_300])
@pytest.mark.parametrize(
    "law", [{"prob": 0.02}, {"prob": 0.02004}, {"conn_num": 10}, {"conn_num": 0.02}]
)
def test_a_tiny_sweep_is_answered_by_what_it_measured(results, realised, law):
    answer = eventops.recommend(**ASKED, **law, results=results(block(realised)))
    best = answer.best
    assert (best.method, best.basis) == ("eventops", "measured")
    assert best.seconds == pytest.approx(0.675e-6, rel=1e-6)
    assert {c.basis for c in answer.choices} == {"measured"} and not answer.left_out
    assert best.high / best.low == pytest.approx(
        math.exp(2 * cost.Z95 * cost.HOURS * 2**0.5), rel=0.02
    )


def test_methods_that_look_at_different_axes_are_measured_alike(results):
    """Peers that read everything have no active inputs, and a dense matrix no out-degree."""
    more = block() + [r | {"method": "bcoo"} for r in block() if r["method"] == "eventops"]
    for mode in ("scan", "call"):
        answer = eventops.recommend(**ASKED, prob=0.02, mode=mode, results=results(more))
        assert {c.method for c in answer.choices} >= {"eventops", "jnp-dense", "bcoo"}
        assert {c.basis for c in answer.choices} == {"measured"}


def test_no_prediction_comes_before_what_was_measured(results):
    """Full matrices of other sizes promise 10 ns; at the point itself another was measured."""
    rows = block()
    for n in (400, 600, 1_000):
        fast = {"t_median_s": 1e-8, "t_lo_s": 1e-8, "t_hi_s": 1e-8}
        full = block(n * n, "", "EventLinear", "dense", n, storage="dense", **fast)
        rows += [r for r in full if r["method"] == "eventops"]
    answer = eventops.recommend(**ASKED, prob=0.02, results=results(rows))
    assert [c.basis for c in answer.choices] == ["measured", "measured", "interpolated"]
    assert answer.best.operator == "EventFixedProb" and answer.choices[2].seconds < 1e-7
    assert answer.choices[2] in answer.close
    # A full matrix that was measured is no measurement of stored synapses at another probability.
    rows += block(25_000, "0.1") + block(n * n, "", "EventLinear", "dense", 500, storage="dense")
    other = eventops.recommend(**ASKED, prob=0.05, results=results(rows))
    order = [c.seconds for c in other.choices]
    assert order == sorted(order) and {"measured", "interpolated"} <= {
        c.basis for c in other.choices
    }


def test_every_point_of_the_reference_is_quoted(results):
    """Each row, asked for again, gives back what was measured; by every method, form, law and dtype that `recommend` knows."""
    rows = [r for r in cost.usable(cost.read(SHIPPED / "tables/points.csv")) if r["mode"] == "scan"]
    facts = json.loads((SHIPPED / "machine.json").read_text())
    curves = cost.fit(cost.usable(cost.read(SHIPPED / "tables/points.csv")), facts["caches"])
    asked = [r for r in rows if r["conn_kind"] in ("prob", "num", "dense") and r["batch"] == "1"]
    for row in asked:
        n_pre, n_post, kind = int(row["n_pre"]), int(row["n_post"]), row["conn_kind"]
        synapses = int(row["n_synapses"])
        if kind == "prob":
            synapses = round(float(row["conn"]) * n_pre * n_post)
        job = {"n_pre": n_pre, "n_post": n_post, "conn_kind": kind, "conn": row["conn"]}
        job |= {"dtype": row["dtype"], "weight": row["weight"], "efferent_target": "post"}
        job |= {"n_synapses": synapses, "rate": float(row["rate"]), "batch": 1}
        found, _ = ranking.choices(job | {"allow_self_conn": True}, "scan", curves, facts)
        names = {c.method for c in found if c.basis == "measured"}
        assert row["method"] in names, row
    assert len(asked) > 150


@pytest.mark.parametrize("mode", ["scan", "call"])
def test_what_was_measured_at_one_batch_alone_says_so(results, mode):
    folder = results(block())
    with pytest.raises(ValueError, match=r"every method in .* was measured at one batch \(1\)"):
        eventops.recommend(**ASKED, prob=0.02, batch=2, mode=mode, results=folder)
    if mode == "scan":  # the README's own table
        with pytest.raises(ValueError, match=r"in mode 'scan'.* one batch \(1\).*ask for that"):
            eventops.recommend(
                1000, 1000, rate=0.01, prob=0.1, batch=2, device="cpu", results=SHIPPED
            )
    with pytest.raises(ValueError, match=r"one n_pre \(500\), one n_post \(500\)"):
        eventops.recommend(1000, 1000, rate=0.02, prob=0.02, device="cpu", results=folder)
    with pytest.raises(ValueError, match="no method was measured on 'cpu' in mode"):
        only = [r for r in block() if r["mode"] != mode]
        eventops.recommend(**ASKED, prob=0.02, mode=mode, results=results(only))


def test_a_rate_in_hertz_is_told_how_it_becomes_a_fraction():
    with pytest.raises(ValueError, match=r"rate=5.0 .*Hz times the time step.*rate=0.0005"):
        eventops.recommend(1000, 1000, rate=5.0, prob=0.1, device="cpu")
    with pytest.raises(ValueError, match=r"rate=-1 must be in \[0, 1\]$"):
        eventops.recommend(1000, 1000, rate=-1, prob=0.1, device="cpu")


@pytest.mark.parametrize("law", [{"prob": 0.1}, {"conn_num": 1000}])
def test_random_weights_can_be_generated(law):
    """Their graph is drawn as with one weight, and each weight beside it."""
    asked = {"n_pre": 10_000, "n_post": 10_000, "rate": 0.01, "device": "cpu"} | law
    one, each, random = (
        {c.operator: c for c in eventops.recommend(**asked, weight=weight).choices}
        for weight in ("homogeneous", "per-synapse", "random")
    )
    (drawn,) = (name for name in random if "procedural" in name)
    assert drawn in one and drawn not in each
    assert one[drawn].seconds < random[drawn].seconds < 2 * one[drawn].seconds
    assert random[drawn].nbytes == 8 and "weights" in random[drawn].basis
    stored = drawn.split("(")[0]
    assert random[stored] == each[stored]
    fan_in = eventops.recommend(**asked, weight="random", efferent_target="pre")
    assert ("conn_num" in law) != any("procedural" in c.operator for c in fan_in.choices)
