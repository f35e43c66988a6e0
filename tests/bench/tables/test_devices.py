"""Where the GPU overtakes the CPU: against a law that is known, in the figure, and on the page."""

import re

import numpy as np
import pytest
import support.bench_synthetic as made
from bench.report.test_report import Page, write

from eventops.bench.figures import devices as figures_devices
from eventops.bench.figures import figures
from eventops.bench.figures.style import theme
from eventops.bench.tables import devices, readings

TABLE = made.points(peers=("jnp-dense",))


def compared(table):
    return devices.compared(readings.prepare(table))


def test_times_stand_side_by_side():
    both = compared(made.both_devices(TABLE))
    ours = TABLE[TABLE["method"].eq("eventops") & TABLE["status"].eq("ok")]
    assert len(both) == len(ours)
    np.testing.assert_allclose(both["t_gpu"], 2e-5 + both["t_cpu"] / 10)
    assert (both["ratio_lo"] < both["ratio"]).all() and (both["ratio"] < both["ratio_hi"]).all()
    assert not both["label"].str.contains("gpu|cpu").any()


def test_the_crossover_is_where_the_law_says():
    """t = 20 µs + t / 10 where t is 22.2 µs: at one rate for each configuration, up to a few per cent of noise."""
    turns = devices.crossovers(compared(made.both_devices(TABLE)))
    assert set(turns["kind"]) == {"at", "never", "always"}
    for turn in turns.to_dict("records"):
        fan = {n: f for _, n, _, c, f in made.JOBS if (n, c) == (turn["n_pre"], turn["conn"])}
        n, fixed = int(turn["n_pre"]), 5e-6 if turn["mode"] == "call" else 1e-6
        exact = (2e-5 / 0.9 - fixed) / (4e-10 * n * fan[n] * turn["batch"])
        if turn["kind"] == "at":
            measured = np.array(made.RATES)
            assert measured[measured > exact][0] >= turn["rate"] >= measured[measured < exact][-1]
            assert turn["low"] <= turn["rate"] <= turn["high"]
        elif turn["kind"] == "always":
            assert exact < made.RATES[0] * 1.1 and turn["won"] == turn["n"]
        else:
            assert exact > made.RATES[-1] * 0.9 and turn["won"] == 0


def test_other_backends_are_not_compared():
    table = made.both_devices(TABLE)
    gpu = table["device"] == "gpu"
    for backend in ("gpu-atomics", "reference"):
        more = table[gpu].assign(backend=backend, job=table["job"] + "-" + backend, t_median_s=1.0)
        both = compared(made.pd.concat([table, more], ignore_index=True))
        assert len(both) == len(compared(table)) and both["t_gpu"].max() < 1


@pytest.mark.parametrize("on_both", [True, False])
def test_the_page_has_the_section_for_two_devices(tmp_path, on_both):
    table = made.points(jobs=made.JOBS[:1], peers=("jnp-dense",), modes=("call",), batches=(1,))
    table = made.both_devices(table) if on_both else table
    folder = tmp_path / "figures"
    folder.mkdir()
    with theme():
        view = readings.headline(readings.prepare(table))
        figures.save(figures_devices.both_devices(view), "devices", folder)
    text = write(tmp_path, table, draw=False)
    page = Page(text)
    assert ("devices" in page.ids) == on_both
    assert ('href="#devices"' in text) == on_both
    assert ("GPU stays faster from:" in text) == on_both
    drawn = (folder / "devices.svg").read_text()
    assert (
        "No configuration was timed on a CPU and on a GPU"
        in " ".join(re.findall(r">([^<]+)<", drawn))
    ) != on_both
