"""The findings follow the table, and every figure is drawn whatever the table holds."""

from __future__ import annotations

import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
import support.bench_synthetic as made
from matplotlib.text import Text

from eventops.bench.figures import cost as figures_cost
from eventops.bench.figures import figures
from eventops.bench.figures.style import percent, si, times
from eventops.bench.tables import readings, scaling, verification

SMALL = made.JOBS[0], made.JOBS[3]


def view_of(table: pd.DataFrame) -> pd.DataFrame:
    return readings.headline(readings.prepare(table))


def odd_names() -> pd.DataFrame:
    table = made.points(jobs=SMALL[:1], modes=("call",), batches=(1,))
    table["job"] = "<script>alert(1)</script> $x^{"
    table["conn_kind"], table["conn"] = "num", "<b>$\\alpha"
    table["method"] = table["method"].replace("torch", "new & unknown $")
    return table


def both_storages() -> pd.DataFrame:
    table = made.points(jobs=made.JOBS[3:6])
    return pd.concat([table, made.procedural(table)], ignore_index=True)


TABLES = {
    "failures, absent and skipped": lambda: made.with_failures(made.points(jobs=SMALL)),
    "one rate": lambda: made.points(jobs=SMALL, rates=(0.01,)),
    "one job": lambda: made.points(jobs=SMALL[:1], modes=("call",), batches=(1,)),
    "no peers": lambda: made.points(jobs=SMALL, peers=()),
    "only scan": lambda: made.points(jobs=SMALL[:1], modes=("scan",)),
    "no spikes among the rates": lambda: made.points(jobs=SMALL[:1], rates=(0.0, 0.01)),
    "only silence": lambda: made.points(jobs=SMALL[:1], rates=(0.0,)),
    "nothing but failures": lambda: made.points(jobs=SMALL).assign(
        status="failed", t_median_s=np.nan, ratio=np.nan, bytes_stored=np.nan
    ),
    "no intervals": lambda: made.points(jobs=SMALL).assign(
        t_lo_s=np.nan, t_hi_s=np.nan, ratio_lo=np.nan, ratio_hi=np.nan, construct_s=np.nan
    ),
    "both storages": lambda: both_storages(),
    "only procedural": lambda: made.procedural(made.points(jobs=SMALL[1:])),
    "odd names": odd_names,
    "no row": lambda: made.points(jobs=()),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_figure_is_written_for_every_table(kind, tmp_path):
    table = TABLES[kind]()
    written = figures.draw_all(table, made.jobs(table), made.checks(table), made.MACHINE, tmp_path)
    expected = {
        f"{name}.{suffix}" for name in (*figures.NAMES, figures.HERO) for suffix in ("svg", "png")
    }
    assert {path.name for path in written} == expected
    assert {path.name for path in tmp_path.iterdir()} == expected
    for path in written:
        assert path.stat().st_size > 1000
        if path.suffix == ".svg":
            assert "<script" not in path.read_text().lower()


def test_a_figure_without_data_says_so(tmp_path):
    table = TABLES["no row"]()
    figures.draw_all(table, made.jobs(table), made.checks(table), {}, tmp_path)
    assert "no method can be called" in re.sub(r"<[^>]*>|\s+", " ", _text(tmp_path / "answer.svg"))
    assert "roofline" in _text(tmp_path / "roofline.svg")


def _text(path) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)", path.read_text()))


def test_the_same_table_gives_the_same_svg(tmp_path):
    table = TABLES["one job"]()
    for name in ("a", "b"):
        figures.draw_all(table, made.jobs(table), made.checks(table), made.MACHINE, tmp_path / name)
    for name in figures.NAMES:
        one, two = (tmp_path / d / f"{name}.svg" for d in ("a", "b"))
        assert one.read_bytes() == two.read_bytes(), name


def test_hero_has_units_and_one_panel_per_configuration():
    fig = figures.hero(made.points(), made.MACHINE, most=6)
    axes = fig.axes
    assert len(axes) == 6
    assert axes[0].get_ylabel() == "time per step"
    assert all("firing rate" in ax.get_xlabel() for ax in axes)
    ticks = axes[0].yaxis.get_major_formatter()
    assert ticks(1e-5, None) == "10 µs"
    assert "Made-up CPU" in fig.get_supxlabel()


def test_winner_lead_and_smallest():
    table = made.points()
    view = view_of(table[table["mode"] == "call"])
    cells = readings.fastest(view).set_index(["job", "rate"])
    assert cells.loc[("EventLinear-10000-full", 0.01), "winner"] == "eventops"
    lost = cells.loc[("EventFixedProb-1000-0p1", 0.001)]
    assert lost["winner"] == "scipy-csr" and lost["runner"] == "eventops"
    assert lost["lead"] == pytest.approx(1.24, rel=0.1) and lost["clear"]
    winners, least = readings.smallest(view)["EventFixedProb-1000-0p1"]
    assert winners[0] == "eventops" and least == pytest.approx(208_000 * 1.002)
    assert "jnp-dense" not in winners


def ratios(values, lo=0.9, hi=1.1, rates=(0.001, 0.01, 0.1)):
    """A job with the given ratios of the dense product to ours."""
    table = made.points(
        jobs=SMALL[:1], rates=rates, peers=("jnp-dense",), modes=("call",), batches=(1,)
    )
    dense = table["method"] == "jnp-dense"
    table.loc[dense, "ratio"] = values
    table.loc[dense, "ratio_lo"] = np.array(values) * lo
    table.loc[dense, "ratio_hi"] = np.array(values) * hi
    return readings.crossovers(view_of(table)).iloc[0]


def test_crossover_is_interpolated_in_log_log():
    row = ratios([100.0, 10.0, 0.1])
    assert row["kind"] == "at"
    assert row["rate"] == pytest.approx(10**-1.5)
    assert row["low"] < row["rate"] < row["high"]


@pytest.mark.parametrize(
    "values, kind, rate",
    [([9.0, 5.0, 2.0], "never", 0.1), ([0.8, 0.5, 0.2], "always", 0.001), ([4.0], "never", 0.01)],
)
def test_crossover_outside_the_measured_rates_is_not_invented(values, kind, rate):
    row = ratios(values, rates=(0.01,) if len(values) == 1 else (0.001, 0.01, 0.1))
    assert (row["kind"], row["last" if kind == "never" else "first"]) == (kind, rate)
    assert np.isnan(row["rate"]) if kind == "never" else row["rate"] == rate


def test_crossover_without_dense_gives_the_reason():
    row = readings.crossovers(view_of(made.points(jobs=made.JOBS[-1:]))).iloc[0]
    assert row["kind"] == "unknown" and "dense weights need" in row["reason"]


def test_slope_has_students_interval():
    x = np.array([1.0, 10.0, 100.0, 1000.0])
    fit = scaling.loglog(x, 3 * x**0.8 * np.array([1.1, 0.9, 0.95, 1.05]))
    assert fit["low"] < 0.8 < fit["high"] and fit["n"] == 4
    exact = scaling.loglog([1, 10], [2, 20])
    assert exact["slope"] == pytest.approx(1) and np.isnan(exact["low"])
    assert np.isnan(scaling.loglog([1, 1], [2, 3])["slope"])


def test_time_follows_events_and_not_the_population():
    view = view_of(made.points())
    slopes = scaling.slopes(view).set_index("job")
    assert slopes.loc["EventLinear-10000-full", "slope"] == pytest.approx(1, abs=0.05)
    assert slopes.loc["EventLinear-10000-full", "last"] == pytest.approx(1, abs=0.1)
    across = scaling.population_slopes(scaling.population(view)).set_index(["operator", "method"])
    assert abs(across.loc[("EventFixedNumConn", "eventops"), "slope"]) < 0.1
    assert across.loc[("EventLinear", "jnp-dense"), "slope"] == pytest.approx(2, abs=0.1)


def test_population_never_reads_a_curve_beyond_its_ends():
    view = view_of(made.points())
    table = scaling.population(view)
    for row in table.itertuples():
        curve = view[(view["job"] == row.job) & (view["method"] == row.method)]
        assert curve["synaptic_events"].min() <= row.level * 1.001
        assert curve["synaptic_events"].max() >= row.level * 0.999


def test_losses_are_counted_and_listed():
    table = readings.prepare(made.points())
    lost = scaling.losses(table)
    assert len(lost) == scaling.speedups(table, ("operator", "method"))["lost"].sum() > 0
    assert lost["ratio"].is_monotonic_increasing and lost["ratio"].max() < 1


def test_headline_leaves_the_reference_backend_out_where_there_is_another():
    table = made.points(jobs=SMALL)
    slow = table.assign(backend="reference", job=table["job"] + "-ref")
    assert set(view_of(pd.concat([table, slow]))["backend"]) == {"cpu"}
    assert set(view_of(slow)["backend"]) == {"reference"}


def test_a_table_read_back_from_csv_is_the_same():
    table = made.with_failures(made.points())
    read = pd.read_csv(StringIO(table.to_csv(index=False)))
    one, two = readings.prepare(table), readings.prepare(read)
    assert list(one["label"]) == list(two["label"])
    assert "4,000 → 4,000, 80 partners" in set(one["label"])
    pd.testing.assert_frame_equal(
        readings.fastest(readings.headline(one)), readings.fastest(readings.headline(two))
    )


def test_jobs_that_differ_have_different_labels():
    table = made.points(jobs=SMALL[:1], modes=("call",), batches=(1,))
    half = table.assign(dtype="bfloat16", job="b")
    again = table.assign(job="c")
    names = readings.labels(readings.prepare(pd.concat([table, half, again])))
    assert len(set(names.values())) == 3
    assert "bfloat16" in names["b"] and names["c"].endswith("#c")


def test_storages_have_labels_and_are_not_mixed():
    view = view_of(both_storages())
    assert set(view["label"][view["n_pre"] == 1000]) == {
        "1,000 → 1,000, p = 0.1, sparse",
        "1,000 → 1,000, p = 0.1, procedural",
    }
    # Also where no stored twin stands beside it.
    alone = readings.prepare(made.procedural(made.points(jobs=SMALL[1:])))
    assert set(alone["label"]) == {"1,000 → 1,000, p = 0.1, procedural"}
    across = scaling.population(view)
    assert set(across["variant"]) == {
        "cpu float32 sparse homogeneous",
        "cpu float32 procedural homogeneous",
    }
    stored = readings.memory(view)
    ours = stored[stored["method"] == "eventops"]
    assert set(ours["bytes_stored"][ours["storage"] == "procedural"]) == {4}
    assert ours["bytes_stored"][ours["storage"] == "sparse"].min() > 10_000
    rows = scaling.speedups(view, ("operator", "storage", "method"))
    assert list(rows["storage"][rows["method"] == "brainevent-jit"]) == ["procedural"]
    with figures.theme():
        (ax, *_) = figures_cost.memory(view).axes
    predicted = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert sorted(len(set(line.get_ydata())) for line in predicted) == [1, 3]


def test_what_is_drawn_is_not_under_the_roof():
    with figures.theme():
        view = view_of(made.procedural(made.points(jobs=SMALL[1:])))
        fig = figures_cost.roofline(view)
        assert "no such pair" in " ".join(text.get_text() for text in fig.findobj(Text))
        fig = figures_cost.roofline(view_of(both_storages()))
    points = sum(len(c.get_offsets()) for ax in fig.axes for c in ax.collections)
    assert points == 3 * len(made.RATES)


def test_fan_in_and_fan_out_have_their_names():
    table = made.points(jobs=made.JOBS[6:7], modes=("call",), batches=(1,))
    both = pd.concat([table, table.assign(job="in")])
    jobs = made.jobs(both)
    jobs.loc[jobs["job"] == "in", "efferent_target"] = "pre"
    assert set(readings.prepare(both, jobs)["label"]) == {
        "4,000 → 4,000, fan-out 80",
        "4,000 → 4,000, fan-in 80",
    }


def test_the_smallest_p_value_is_not_counted_twice():
    found = verification.p_values(made.jobs(made.points()))
    assert set(found["test"]) == {"p_out_degree", "p_in_degree"}
    assert len(found) == 12 and found["p"].is_monotonic_increasing


def test_trust_counts_and_never_calls_an_unchecked_run_good():
    table = made.points(jobs=SMALL)
    prepared = readings.prepare(table)
    good = verification.trust(prepared, made.jobs(table), made.checks(table))
    assert good["state"] == "good" and good["points"] == good["planned"] == 2 * 4 * 2 * 2
    none = verification.trust(prepared, made.jobs(table), made.checks(table).head(0))
    assert none["state"] == "none"
    checks = made.checks(table)
    checks.loc[0, ["passed", "value"]] = [False, 3.0]
    bad = verification.trust(prepared, made.jobs(table), checks)
    assert bad["state"] == "bad" and bad["failures"][0]["what"] == "check against oracle"
    failed = made.with_failures(table)
    bad = verification.trust(readings.prepare(failed), made.jobs(failed), made.checks(failed))
    assert "error/bound 37.2" in bad["failures"][0]["why"]
    assert bad["absent"][0]["method"] == "brainevent"
    assert any("machine has 8 GB" in g["reason"] for g in bad["skipped"])


@pytest.mark.parametrize(
    "value, text",
    [(1.23e-5, "12.3 µs"), (0.0009996, "1 ms"), (0, "0 s"), (np.nan, "–"), (2.5e-9, "2.5 ns")],
)
def test_seconds_are_readable(value, text):
    assert si(value, "s") == text


def test_rates_and_ratios_are_readable():
    assert (percent(0.001), percent(1.0)) == ("0.1 %", "100 %")
    assert (times(1.04), times(3.14159), times(12.34), times(18934.0)) == (
        "1.04×",
        "3.1×",
        "12.3×",
        "18,900×",
    )
