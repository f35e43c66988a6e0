"""Histograms count every neuron once and expect what the law says; generators are told apart by them."""

import numpy as np
import pytest
from scipy import stats
from support.bench_jobs import job

from eventops.bench.peers import generators
from eventops.bench.peers.peers import Absent, Unable
from eventops.bench.tables import table
from eventops.bench.verify import histograms


def drawn(case, seed=0):
    """A graph of one of the cases, drawn by NumPy."""
    rule = generators.rule(case)
    n, m = rule["n_pre"], rule["n_post"]
    rng = np.random.default_rng(seed)
    if rule["conn_kind"] == "prob":
        matrix = (rng.random((n, m)) < float(rule["conn"])).astype(int)
    elif rule["allow_multi_conn"]:
        matrix = rng.multinomial(80, np.full(m, 1 / m), size=n)
    else:
        lines, pool = (n, m) if rule["efferent_target"] == "post" else (m, n)
        chosen = np.argsort(rng.random((lines, pool)), axis=1)[:, :80]
        matrix = np.zeros((lines, pool), dtype=int)
        np.put_along_axis(matrix, chosen, 1, axis=1)
        matrix = matrix if lines == n else matrix.T
    indptr = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))])
    return indptr, np.repeat(np.tile(np.arange(m, dtype=np.int32), n), matrix.ravel())


@pytest.mark.parametrize("case", generators.CASES)
def test_a_histogram_holds_every_neuron_and_the_whole_law(case):
    rule = generators.rule(case)
    found = histograms.of_graph(*drawn(case), rule)
    free = {"prob": ["out", "in"], "num": ["out" if rule["efferent_target"] == "pre" else "in"]}
    assert [one["side"] for one in found] == free[rule["conn_kind"]]
    for one in found:
        size = rule["n_pre" if one["side"] == "out" else "n_post"]
        assert sum(one["observed"]) == size
        assert sum(one["expected"]) == pytest.approx(size, rel=1e-3)
        assert len(one["observed"]) == len(one["expected"]) <= histograms.MOST_BINS + 1
        # The degrees are those of the law: an honest chi-squared over the bins that expect enough.
        observed, expected = np.array(one["observed"]), np.array(one["expected"])
        enough = expected >= 5
        chi2 = np.sum((observed - expected)[enough] ** 2 / expected[enough])
        assert stats.chi2(enough.sum()).sf(chi2) > 1e-4


def test_expected_counts_are_the_binomial_ones():
    rule = job("EventFixedProb", n=50)
    (out, _) = histograms.of_graph(np.arange(51), np.zeros(50, dtype=np.int32), rule)
    degree = out["first"] + np.arange(len(out["expected"]))
    assert out["width"] == 1 and out["law"] == "binomial(50, 0.2)"
    np.testing.assert_allclose(out["expected"], 50 * stats.binom(50, 0.2).pmf(degree), rtol=1e-5)


def test_a_side_that_the_rule_fixes_has_no_histogram():
    for rule in (
        job("EventLinear"),
        job("EventFixedProb", conn=["1.0"]),
        job("FixedNumConn", conn=[60]),
    ):
        assert histograms.laws(rule) == {}


def test_generators_are_told_apart():
    def honest(rule):
        (case,) = [c for c in generators.CASES if generators.rule(c) == rule]
        return drawn(case)

    def even(rule):
        """Every degree the same on both sides, and every row the one before moved on."""
        k = (
            round(float(rule["conn"]) * rule["n_post"])
            if "." in rule["conn"]
            else int(rule["conn"])
        )
        rows = [np.sort((i * k + np.arange(k)) % rule["n_post"]) for i in range(rule["n_pre"])]
        return np.arange(rule["n_pre"] + 1) * k, np.concatenate(rows).astype(np.int32)

    def gone(rule):
        raise Absent("gone is not installed")

    def unable(rule):
        raise Unable("has no such rule")

    def broken(rule):
        raise RuntimeError("fell over")

    given = {"honest": honest, "even": even, "gone": gone, "unable": unable, "broken": broken}
    result = generators.run(given)
    found = {(g["rule"], g["generator"]): g for g in result["graphs"]}
    for case in generators.CASES:
        assert found[case, "honest"]["status"] == "ok", found[case, "honest"]["reason"]
        assert found[case, "even"]["status"] == "failed" and found[case, "even"]["reason"]
        assert found[case, "gone"]["status"] == "absent"
        assert "no such rule" in found[case, "unable"]["reason"]
        assert "fell over" in found[case, "broken"]["reason"]
    frame = table.degrees([], result)
    assert set(frame["generator"]) == {"honest", "even"} and (frame["job"] == "").all()
    bernoulli = frame[frame["rule"].str.startswith("independent") & (frame["generator"] == "even")]
    assert (bernoulli["p"] < 1e-6).all()


def test_what_ours_raises_is_no_result():
    def broken(rule):
        raise RuntimeError("fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        generators.run({"eventops": broken})


def test_ours_passes_every_case():
    result = generators.run({"eventops": generators.GENERATORS["eventops"]})
    assert [g["status"] for g in result["graphs"]] == ["ok"] * len(generators.CASES)
