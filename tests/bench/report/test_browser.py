"""The page in a real browser: opened from the disk without a network, filtered, sorted, and checked by axe.

Skipped with a reason where there is no Chromium or no playwright; `.ci/run` installs both and sets
EVENTOPS_BROWSER=required, which turns the skip into a failure.
"""

from __future__ import annotations

import os
import shutil

import pytest
import support.bench_synthetic as made

from eventops.bench.figures import figures
from eventops.bench.report import report

REQUIRED = os.environ.get("EVENTOPS_BROWSER") == "required"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# The colour schemes and widths in which it has to work.
WIDE, NARROW = (1280, 800), (360, 740)


def _lacks(what: str):
    if REQUIRED:
        pytest.fail(f"EVENTOPS_BROWSER=required, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _lacks("playwright is not installed (pip install 'eventops[browser]')")
    if CHROMIUM is None:
        _lacks("there is no Chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs privileges that a container does not give; the page is ours.
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with good, skipped, absent and failed rows, opened as a file."""
    folder = tmp_path_factory.mktemp("page")
    table = made.with_failures(made.points(jobs=(made.JOBS[0], made.JOBS[3])))
    jobs, checks = made.jobs(table), made.checks(table)
    jobs["record"] = [str(folder / "records" / f"{job}.json") for job in jobs["job"]]
    graphs = made.generators()
    degrees = made.degrees(table)
    figures.draw_all(table, jobs, checks, made.MACHINE, folder / "figures", degrees)
    out = folder / "report.html"
    report.write(
        table,
        jobs,
        checks,
        made.MACHINE,
        folder / "figures",
        made.CONFIG,
        out,
        degrees=degrees,
        generators=graphs,
    )
    return out.as_uri()


@pytest.fixture
def visit(browser, address):
    """Opens the page without a network; whatever the console says, and every request, is an error."""
    contexts, said = [], []

    def open_page(size=WIDE, scheme="light"):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda r: None if r.url.startswith((address, "data:", "blob:")) else said.append(r.url),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not said


def shown(page) -> int:
    return page.locator("#every-row tbody tr:visible").count()


def test_it_filters_sorts_and_links(visit):
    page = visit()
    every = shown(page)
    assert page.locator("#count").inner_text() == f"{every} of {every} rows"
    page.select_option("select[name=status]", "failed")
    failed = shown(page)
    assert 0 < failed < every
    page.locator("input[name=text]").fill("eventops no-such-word")
    assert shown(page) == 0
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function(
        f"document.getElementById('count').textContent.startswith('{every} ')".replace(
            "startswith", "startsWith"
        )
    )

    heads = page.locator("#every-row thead th")
    at = heads.all_inner_texts().index(
        next(t for t in heads.all_inner_texts() if t.startswith("time, "))
    )
    for arrow, order in (("ascending", 1), ("descending", -1)):
        heads.nth(at).get_by_role("button").click()
        assert heads.nth(at).get_attribute("aria-sort") == arrow
        texts = page.evaluate(
            "i => [...document.querySelectorAll('#every-row tbody tr')].map(r => r.cells[i].textContent.trim())",
            at,
        )
        numbers = [float(t) * order for t in texts if t]
        assert len(numbers) > 10 and numbers == sorted(numbers)
        assert not any(texts[len(numbers) :])  # rows without a time come last, either way

    # A figure leads to the rows behind it, a row to its record.
    page.locator("#events").locator("xpath=..").get_by_role(
        "link", name="The rows behind it"
    ).click()
    assert page.locator("select[name=method]").input_value() == "eventops"
    assert 0 < shown(page) < every
    link = page.locator("#every-row tbody tr:visible").first.get_by_role("link")
    assert link.get_attribute("href").startswith("./records/")


def test_the_rows_shown_can_be_saved(visit):
    page = visit()
    page.select_option("select[name=status]", "failed")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download the rows shown").click()
    lines = saved.value.path().read_text(encoding="utf-8").splitlines()
    assert len(lines) == shown(page) + 1 and lines[0].startswith("operator,")
    assert all(",failed," in line for line in lines[1:])


def test_the_keyboard_is_enough(visit):
    page = visit()
    page.locator("#every-row thead button").first.focus()
    page.keyboard.press("Enter")
    head = page.locator("#every-row thead th").first
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    page.locator("input[name=text]").focus()
    page.keyboard.type("skipped")
    assert (
        0 < shown(page)
        and "skipped" in page.locator("#every-row tbody tr:visible").first.inner_text()
    )
    # From the search field, Tab visits every filter in turn.
    names = []
    for _ in range(3):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.name"))
    assert names == ["operator", "backend", "mode"]


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_first_screen_answers_both_questions(visit, size):
    page = visit(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for heading in ("Can I trust it?", "Which operator should I use?"):
        box = page.get_by_role("heading", name=heading).bounding_box()
        assert box["y"] + box["height"] < size[1], heading


@pytest.fixture(scope="module")
def many_rates(tmp_path_factory):
    """As many firing rates as the default sweep has, up to all inputs active, and long names of methods."""
    out = tmp_path_factory.mktemp("rates") / "report.html"
    rates = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 1.0)
    table = made.points(jobs=made.JOBS[3:6], rates=rates, modes=("scan",), batches=(1,))
    table.loc[table["method"] == "eventops", "t_median_s"] *= 40  # others win, with longer names
    report.write(
        table, made.jobs(table), made.checks(table), made.MACHINE, out.parent, made.CONFIG, out
    )
    return out.as_uri()


@pytest.mark.parametrize("width", [1280, 1400])
def test_the_map_of_all_rates_fits_an_ordinary_window(browser, many_rates, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(many_rates)
    assert "100 % active" in page.locator(".map thead").inner_text()
    seen = page.locator(".map").locator("xpath=..")
    assert seen.evaluate("e => e.scrollWidth <= e.clientWidth")
    page.close()


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_what_scrolls_says_so(browser, many_rates, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(many_rates)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    page.wait_for_timeout(200)
    boxes = page.evaluate(
        """[...document.querySelectorAll('.wide, .rows')].map((e) => [
            e.scrollWidth > e.clientWidth + 1,
            getComputedStyle(e, '::before').content.includes('goes on to the right')])"""
    )
    assert any(scrolls for scrolls, _ in boxes)
    assert all(scrolls == says for scrolls, says in boxes)
    page.set_viewport_size({"width": 5000, "height": 800})
    page.wait_for_timeout(200)
    assert page.locator(".map").locator("xpath=..").get_attribute("class") == "wide"
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    page = visit(scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    assert not [(v["id"], v["help"], [n["html"] for n in v["nodes"][:3]]) for v in found]
