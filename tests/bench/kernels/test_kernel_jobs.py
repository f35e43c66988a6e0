"""Beyond single products: jobs, verification before timing, rows of what failed or is absent, and the figure."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from support import bench_jobs

from eventops.bench.figures import kernels as figures_kernels
from eventops.bench.kernels import cases as kernel_cases
from eventops.bench.kernels import jobs as kernel_jobs
from eventops.bench.kernels import table as kernels_table
from eventops.bench.peers import foreign
from eventops.bench.records import record
from eventops.bench.report import unfinished
from eventops.bench.verify import checks_delays

SETTINGS = {"rounds": 4, "warmup": 1, "min_sample_s": 1e-5, "budget_s": 0.05, "give_up_s": 5.0}
BLOCK = {"sizes": [[60, 6]], "rates": ["0.05"], "delays": [1, 4], "weights": ["per-synapse"]}
CONFIG = {"seed": 1, "measure": SETTINGS, "kernels": [{"measure": "delays", **BLOCK}]}


def job(**changes):
    (found,) = kernel_jobs.jobs(
        CONFIG | {"kernels": [{"measure": "delays", **BLOCK} | changes]}
    ).values()
    return found


def test_jobs_follow_the_configuration():
    both = {"measure": "delays", **BLOCK, "weights": ["homogeneous", "per-synapse"]}
    updates = {"measure": "plasticity", **BLOCK, "rates": ["0.01", "0.1"]}
    found = kernel_jobs.jobs(CONFIG | {"kernels": [both, updates, updates]})
    assert [j["measure"] for j in found.values()] == ["delays"] * 2 + ["plasticity"] * 2
    assert kernel_jobs.jobs({"seed": 1, "measure": SETTINGS}) == {}
    assert set(kernel_jobs.jobs(CONFIG)) != set(kernel_jobs.jobs(CONFIG | {"seed": 2}))


@pytest.fixture(scope="module")
def delays(tmp_path_factory):
    path = tmp_path_factory.mktemp("kernels") / "record.json"
    record.write(path, "kernel", kernel_jobs.run(job()))
    return record.load(path, "kernel")


def test_delays_are_verified_and_timed(delays):
    table = kernels_table.frame([delays])
    assert list(table["case"]) == ["one delay", "4 delays"] and set(table["status"]) == {"ok"}
    assert (
        (table["worst_ratio"] <= 1).all()
        and (table["t_s"] > 0).all()
        and (table["ratio"] > 0).all()
    )
    assert (table["ratio_lo"] <= table["ratio_hi"]).all() and not kernels_table.failures(table)
    assert len(figures_kernels.draw(table).axes) == 1
    assert figures_kernels.draw(table[:0]).texts


def test_what_is_not_equal_is_failed_and_not_timed(monkeypatch):
    exact = checks_delays.exact_currents
    monkeypatch.setattr(
        checks_delays, "exact_currents", lambda op, d, s: exact(op, np.minimum(d, 2), s)
    )
    monkeypatch.setattr(kernel_jobs, "interleave", lambda *_: pytest.fail("timed"))
    found = kernel_jobs.run(job(delays=[4]))
    assert found["status"] == "failed" and "times its bound" in found["reason"]
    table = kernels_table.frame([found])
    assert table["ratio"].isna().all() and "4 delays" in kernels_table.failures(table)[0]


def test_an_update_that_is_not_equal_is_failed():
    op = kernel_cases.operator(job()).with_columns()
    trace = jnp.ones(60)

    def ours(weight, spikes):
        return op.update_on_post(weight, spikes, trace, high=1.0)

    methods = {"eventops": ours, "other": lambda w, s: ours(w, s).at[0].add(0.5)}
    subject = kernel_cases.Update(op, "post", trace, (None, 1.0), {"eventops": ours})
    assert kernel_jobs.VERIFY["plasticity"](job(), subject)[1] == ""
    subject = kernel_cases.Update(op, "post", trace, (None, 1.0), methods)
    assert kernel_jobs.VERIFY["plasticity"](job(), subject)[1].startswith("other: error")


def test_an_absent_peer_is_a_row(monkeypatch):
    monkeypatch.setitem(sys.modules, "brainevent", None)
    found = kernel_jobs.run(job(measure="plasticity"))
    assert found["status"] == "absent" and "eventops[peers]" in found["reason"]
    table = kernels_table.frame([found])
    assert list(table["status"]) == ["absent"] and not kernels_table.failures(table)


@pytest.mark.nightly  # brainevent takes long to compile
def test_updates_beside_brainevent():
    try:
        foreign.brainevent()
    except (foreign.Absent, foreign.Unable) as error:
        pytest.skip(str(error))
    one = next(kernel_cases.plasticity(job(measure="plasticity")))
    worst, wrong = kernel_jobs.VERIFY["plasticity"](job(measure="plasticity"), one.subject)
    assert not wrong and worst <= 1 and set(one.calls) == {one.method, one.against}


def test_a_job_that_died_is_a_red_row(tmp_path, delays):
    jobs = {delays["job"]["id"]: delays["job"], "dead": delays["job"] | {"id": "dead"}}
    record.write(tmp_path / f"kernels/{delays['job']['id']}.json", "kernel", delays)
    sweep = bench_jobs.jobs({"operator": "EventLinear", "sizes": [50]})
    said = unfinished.explain({"record": sweep, "kernel": jobs}, tmp_path, "here", {})
    page = (tmp_path / "report.html").read_text()
    assert "dead: kernels wrote no record" in said and 'class="failed"' in page
    assert "4 delays" in page and "kernels wrote no record" in page
