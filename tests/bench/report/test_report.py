"""The report is one file that needs nothing else, escapes everything, and hides nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
from html.parser import HTMLParser
from io import BytesIO

import pandas as pd
import pytest
import support.bench_synthetic as made

from eventops.bench.figures import figures
from eventops.bench.report import report
from eventops.bench.tables import predictions, readings

SMALL = made.JOBS[0], made.JOBS[3]
EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Tags, ids and links of a page, as a browser would see them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.ids, self.links, self.handlers = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "src", "xlink:href"):
                self.links.append(value)
            elif name.startswith("on"):
                self.handlers.append((tag, name))


def write(tmp_path, table, checks=None, machine=made.MACHINE, config=made.CONFIG, draw=True):
    jobs = made.jobs(table)
    checks = made.checks(table) if checks is None else checks
    folder = tmp_path / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    degrees = made.degrees(table) if len(table) else None
    if draw:
        figures.draw_all(table, jobs, checks, machine, folder, degrees)
    out = tmp_path / "report.html"
    more = {"degrees": degrees, "generators": made.generators() if len(table) else None}
    report.write(table, jobs, checks, machine, folder, config, out, **more)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("whole"), made.with_failures(made.points(jobs=made.JOBS[::2]))
    )


def test_page_needs_no_network_and_has_no_duplicate_id(text):
    page = Page(text)
    for link in page.links:
        assert link.startswith(("#", "data:", "./")), link
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    duplicates = {i for i in page.ids if page.ids.count(i) > 1}
    assert not duplicates
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link
    assert page.tags.count("svg") == len(figures.NAMES) - 1  # but for that of two devices
    assert len(text) < 5_000_000


def test_policy_allows_the_pages_own_script_only(text):
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and "default-src 'none'" in text
    assert not Page(text).handlers


def test_sections_come_in_order(text):
    ids = [i for i in Page(text).ids if i in dict(report.SECTIONS)]
    # This run has no networks, nothing beyond single products, one device, and no records of other code.
    absent = ("networks", "kernels", "devices", "earlier")
    assert ids == [name for name in dict(report.SECTIONS) if name not in absent]


def test_failures_skips_and_absences_are_in_plain_sight(text):
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))
    assert "✗ Failed" in plain and "error/bound 37.2 at output 5 is above 1" in plain
    assert "dense weights need 4 TB, the machine has 8 GB" in plain
    assert "brainevent is not installed" in plain
    assert "✓ Verified" not in plain


def test_a_clean_run_says_verified_and_counts_its_losses(tmp_path):
    table = made.points()
    table = table[table["mode"] == "call"]
    page = write(tmp_path, table, draw=False)
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))
    assert "✓ Verified: 72 of 72 points" in plain
    lost = ((table["method"] != "eventops") & (table["ratio"] < 1)).sum()
    compared = ((table["method"] != "eventops") & table["ratio"].gt(0)).sum()
    assert "<small>≈ 1.02× ahead</small>" in page and "<small>1.93× ahead</small>" in page
    assert f"The other method was faster in {lost} of {compared} comparisons" in plain


def test_one_mode_comes_first_and_every_number_says_its_own(tmp_path):
    """The answer, the map of measured points and the predicted one are of steps in a scan, where one was timed."""
    how = {"scan": "one step inside lax.scan, batch 1", "call": "one call from Python, batch 1"}
    for modes in (("call", "scan"), ("call",)):
        page = write(tmp_path / modes[-1], made.points(jobs=SMALL, modes=modes), draw=False)
        said, other = how[modes[-1]], how["call" if modes[-1] == "scan" else "scan"]
        # Both boxes that name winners, their tables, and the captions of figures.
        assert page.count(said) + page.count(said.capitalize()) >= 10
        assert other not in page and other.capitalize() not in page
        for mark in ("points (", 'caption class="note">O', "Time of the other over ours: "):
            after = page[page.index(mark) : page.index(mark) + 100]
            assert said[1:] in after, mark


def test_a_short_run_shows_no_red_mark_for_a_claim_that_it_cannot_test(tmp_path):
    few = made.points(
        jobs=(made.JOBS[3], made.JOBS[4]), rates=made.RATES[:3], modes=("scan",), batches=(1,)
    )
    slow = few.assign(
        t_median_s=1e-6 * (few["n_pre"] / 1000) ** 2, ratio=1.0, ratio_lo=1.0, ratio_hi=1.0
    )
    page = write(tmp_path, slow, draw=False)
    first = page[: page.index('id="answer"')]
    assert "– not enough points" in first and "✗ fails" not in first


def test_sentences_stand_apart(text, tmp_path):
    """Jinja removes the end of a line after a block: no full stop may meet the next word."""
    drawn = made.procedural(made.points(jobs=SMALL[1:]))
    reference = made.points(jobs=SMALL[:1]).assign(backend="reference", job="reference")
    both = pd.concat([made.points(jobs=SMALL), drawn, reference], ignore_index=True)
    thin = both.assign(bytes_stored=float("nan"), bytes_predicted=float("nan"))
    for i, page in enumerate(
        (text, *(write(tmp_path / str(i), t, draw=False) for i, t in enumerate((both, thin))))
    ):
        visible = re.sub(
            r"<(script|style|svg|pre|code|option|td)\b.*?</\1>", " ", page, flags=re.DOTALL
        )
        visible = re.sub(r"<[^>]*>", "", visible)
        assert not re.findall(r".{20}[a-z)%][.;:,!?][A-Z][a-z].{20}", visible), i
    assert (
        "another graph. The reference" in re.sub(r"<[^>]*>", "", re.sub(r"\s+", " ", page))
        or i == 2
    )


def test_a_small_run_says_that_it_is_one(tmp_path):
    few = made.CONFIG | {"measure": {"rounds": 5}}
    small = write(tmp_path, made.points(jobs=SMALL), config=few, draw=False)
    assert "networks of 1,000 neurons, in 5 rounds" in small
    assert "with the default configuration, measures more" in small
    many = made.CONFIG | {"measure": {"rounds": 15}}
    assert "A small run" not in write(tmp_path, made.points(), config=many, draw=False)
    assert "1,000 to 100,000 neurons, in 5 rounds" in write(
        tmp_path, made.points(), config=few, draw=False
    )


def crossovers_of(tmp_path, table) -> str:
    """What a page says about crossovers, as text with a bar between cells."""
    out, jobs = tmp_path / "report.html", made.jobs(table)
    decided = predictions.summary(predictions.tables(table, made.MACHINE))
    decided["score"] |= {"n": 1, "near": 1, "error": 1.0, "covered": 1.0}
    more = {"decision": decided}
    report.write(table, jobs, made.checks(table), made.MACHINE, tmp_path, made.CONFIG, out, **more)
    page = out.read_text(encoding="utf-8")
    part = page[page.index("Crossovers as numbers") :]
    part = re.sub(r"<t[dr][^>]*>", " | ", part[: part.index("</details>")])
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", part))


def test_crossovers_name_what_was_measured_and_hide_no_doubt(tmp_path):
    """A law at one size tells nothing of others, no operator stands for another, and what is extrapolated says so."""
    jobs = [job for job in made.JOBS if job[0] != "EventFixedProb"]
    told = crossovers_of(tmp_path, made.points(jobs=jobs, batches=(1,)))
    assert "measured: EventFixedNumConn" in told and "EventFixedProb" not in told
    assert "| never | never | never | extrapolated" in told
    single = [
        job for job in made.JOBS if job[0] == "EventLinear" or job[1:4] == (4_000, "num", "80")
    ]
    untold = crossovers_of(tmp_path, made.points(jobs=single, batches=(1,)))
    assert "Measured too little to tell, so left out: dense product at 1,000 neurons;" in untold
    assert re.findall(r"\| (\d+) \| (\d+) \| dense product", untold) == [("4000", "2")]


def test_unchecked_run_is_not_called_verified(tmp_path):
    table = made.points(jobs=SMALL)
    page = write(tmp_path, table, checks=made.checks(table).head(0), draw=False)
    assert "Not verified" in page and "✓ Verified" not in page


def test_every_row_is_there_and_downloads_are_the_tables(text):
    table = made.with_failures(made.points(jobs=made.JOBS[::2]))
    body = text[text.index('id="every-row"') :]
    body = body[: body.index("</table>")]
    assert body.count("<tr>") == len(table) + 1
    # Every row leads to its raw record.
    assert body.count(">JSON</a>") == len(table)
    links = dict(re.findall(r'href="data:[^,"]*;base64,([^"]*)" download="([^"]*)"', text))
    names = {name: base64.b64decode(data) for data, name in links.items()}
    assert len(names) == 5 and names["run.yaml"].startswith(b"name: default")
    (name,) = [n for n in names if n.startswith("points")]
    raw = gzip.decompress(names[name]) if name.endswith(".gz") else names[name]
    read = pd.read_csv(BytesIO(raw))
    assert list(read.columns) == list(made.POINT_COLUMNS) and len(read) == len(table)


def test_hostile_text_is_inert(tmp_path):
    table = made.points(jobs=SMALL[:1], modes=("call",), batches=(1,))
    for column in ("operator", "conn", "dtype", "reason", "method", "job", "storage"):
        table[column] = table[column].astype(object)
    table["conn_kind"] = "num"
    for column in ("operator", "conn", "dtype", "reason", "job", "storage"):
        table[column] = EVIL
    table.loc[table["method"] == "torch", "method"] = EVIL + "</style>"
    table.loc[table["method"] == "bcoo", ["status", "t_median_s"]] = ["skipped", float("nan")]
    checks = made.checks(table).assign(check=EVIL, where=EVIL, note=EVIL, passed=False)
    machine = {**made.MACHINE, "cpu": EVIL, "slug": '"><img src=x onerror=alert(1)>', "gpu": EVIL}
    machine["versions"] = {EVIL: EVIL}
    config = {"name": EVIL, "deep": {EVIL: [EVIL, "</pre>"]}}
    page = write(tmp_path, table, checks=checks, machine=machine, config=config)
    parsed = Page(page)
    assert parsed.tags.count("script") == 1 and parsed.tags.count("style") == 1 + len(figures.NAMES)
    assert "img" not in parsed.tags and not parsed.handlers
    assert EVIL not in page and "&lt;script&gt;" in page
    assert all(link.startswith(("#", "data:", "./")) for link in parsed.links)


@pytest.mark.parametrize(
    "make",
    [
        lambda: made.points(jobs=()),
        lambda: made.points(jobs=SMALL, peers=()),
        lambda: made.points(jobs=SMALL, rates=(0.01,)),
        lambda: made.points(jobs=SMALL, rates=(0.0,)),
        lambda: made.points(jobs=SMALL, modes=("scan",)),
        lambda: made.points(jobs=SMALL).assign(status="failed", t_median_s=float("nan")),
        lambda: made.points(jobs=SMALL).assign(
            bytes_stored=float("nan"), construct_s=float("nan"), bandwidth_share=float("nan")
        ),
    ],
    ids="empty, no peers, one rate, silence, scan, failed, unmeasured".split(", "),
)
def test_thin_tables_still_give_a_page_without_nonsense(make, tmp_path):
    page = write(tmp_path, make(), machine={}, config={}, draw=False)
    visible = re.sub(r"<(script|style)>.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\b(nan|None|inf|NaT)\b", visible.replace("float('nan')", ""))
    assert "was not drawn" in visible


@pytest.mark.nightly
def test_full_sweep_stays_under_five_megabytes(tmp_path):
    many = [(o, n + i, k, c, f) for i in range(3) for o, n, k, c, f in made.JOBS]
    table = made.points(jobs=many, rates=made.RATES[:2], batches=range(1, 10))
    assert len(table) > report.MOST_ROWS
    page = write(tmp_path, table)
    assert len(page.encode()) < 5_000_000
    assert f"shows the first {report.MOST_ROWS} of" in page


def test_a_foreign_figure_with_a_script_is_refused(tmp_path):
    table = made.points(jobs=SMALL[:1])
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "time.svg").write_text("<svg><script>alert(1)</script></svg>")
    with pytest.raises(ValueError, match=r"time\.svg holds a script"):
        write(tmp_path, table, draw=False)
    assert not (tmp_path / "report.html").exists()


def test_replaced_whole_and_nothing_left_behind(tmp_path):
    table = made.points(jobs=SMALL[:1], modes=("call",), batches=(1,))
    write(tmp_path, table, draw=False)
    first = (tmp_path / "report.html").stat().st_ino
    write(tmp_path, table, draw=False)
    assert (tmp_path / "report.html").stat().st_ino != first
    assert sorted(os.listdir(tmp_path)) == ["figures", "report.html"]


def test_links_to_records_are_relative_paths_only(tmp_path):
    out = tmp_path / "results" / "m" / "report.html"
    assert report.relative(str(tmp_path / "results/m/records/a b.json"), out) == (
        "./records/a%20b.json"
    )
    assert report.relative(float("nan"), out) == ""
    assert "javascript:" not in report.relative("javascript:alert(1)", out)


def test_a_peer_on_another_graph_is_named(tmp_path):
    table = made.points(jobs=SMALL[1:])
    assert "another graph" not in write(tmp_path / "sparse", table, draw=False)
    both = pd.concat([table, made.procedural(table)], ignore_index=True)
    text = write(tmp_path / "both", both, draw=False)
    assert "brainevent-jit does the same task on" in text
    assert "brainevent-jit draws another graph of the same rule" in text
    assert "0.098 of the pairs are connected" in text
    assert "p = 0.1, procedural" in text and "<td>procedural<td>brainevent-jit" in text


def test_jobs_that_differ_in_the_sweep_alone_are_told_apart_by_it():
    def job(name, rates, batches):
        row = {"operator": "EventLinear", "n_pre": 1000, "n_post": 1000, "conn_kind": "dense"}
        same = "conn efferent_target backend device dtype storage weight"
        row |= dict.fromkeys(same.split(), "")
        return [row | {"job": name, "rate": r, "batch": b} for r in rates for b in batches]

    points = [*job("a-1111", (0.001, 0.1), (1,)), *job("b-2222", (0.01,), (1,))]
    points += [*job("c-3333", (0.01,), (1, 32)), *job("d-4444", (0.001, 0.1), (1,))]
    assert readings.labels(pd.DataFrame(points)) == {
        "a-1111": "1,000 → 1,000, 0.1 to 10 %, batch 1, #1111",
        "b-2222": "1,000 → 1,000, 1 %, batch 1",
        "c-3333": "1,000 → 1,000, 1 %, batches 1 to 32",
        "d-4444": "1,000 → 1,000, 0.1 to 10 %, batch 1, #4444",
    }
