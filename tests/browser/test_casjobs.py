"""CasJobs' page: queries, what goes wrong with them, the history, MyDB, and what the databases contain."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from casjobs_service.contexts import Contexts
from tests.browser.visitor import PHONE, Visitor
from tests.casjobs.casjobs_platform import FIRST, STARS, make_context
from tests.support import Platform

pytestmark = [pytest.mark.browser, pytest.mark.docker]

CASJOBS = "/services/casjobs/"

# A worker starts in milliseconds; the first query of a deployment may meet an empty pool on a busy machine.
ANSWER = 30_000


@pytest.fixture(scope="module", autouse=True)
def sky(platform: Platform) -> None:
    make_context(
        Contexts.of(platform.deployment),
        "Sky",
        public=True,
        title="A small sky",
        description="Made for tests.",
        rights="CC0",
        cite="Nobody, 2026",
    )


@pytest.fixture(scope="module")
def query_writer(platform: Platform) -> str:
    platform.add_user("vera")
    return "vera"


@pytest.fixture
def page(query_writer: str, visit: Callable[..., Visitor]) -> Page:
    return open_casjobs(visit(query_writer))


def open_casjobs(visitor: Visitor) -> Page:
    """Through the sign-in to the page."""
    visitor.page.goto(CASJOBS)
    visitor.page.get_by_role("link", name="Sign in").first.click()
    visitor.enter_password()
    expect(visitor.page.locator("#context option", has_text="Sky")).to_be_attached(timeout=ANSWER)
    return visitor.page


def run(page: Page, text: str, context: str = "Sky") -> None:
    page.get_by_label("Database", exact=True).select_option(context)
    page.get_by_label("SQL", exact=True).fill(text)
    page.get_by_role("button", name="Run", exact=True).click()


def done(page: Page) -> None:
    expect(page.locator("#outcome")).to_contain_text("Done in", timeout=ANSWER)


def test_query_shows_exact_rows_also_by_the_keyboard(page: Page) -> None:
    page.get_by_label("Database", exact=True).select_option("Sky")
    page.get_by_label("SQL", exact=True).fill("select top 2 objID, class, visits from Stars order by objID")
    page.keyboard.press("Control+Enter")
    done(page)
    cells = page.locator("#results tbody td").all_inner_texts()
    # The second number is none that a double can hold.
    assert cells == [str(FIRST), "STAR", "NULL", str(FIRST + 1), "GALAXY", "1"]


def test_error_names_the_place_and_leads_there(page: Page) -> None:
    run(page, "select top 5 objID,\n  raa from Stars")
    alert = page.locator("#outcome .alert-danger")
    expect(alert).to_contain_text("raa", timeout=ANSWER)
    expect(alert).to_contain_text("ra")
    alert.get_by_role("button", name="Go to line 2").click()
    selected = page.evaluate(
        "() => { const t = document.getElementById('text'); return t.value.slice(t.selectionStart, t.selectionEnd); }"
    )
    assert selected == "raa"
    # The text is still there, and can be corrected.
    run(page, "select top 1 ra from Stars")
    done(page)


def test_check_runs_nothing(page: Page) -> None:
    page.get_by_label("Database", exact=True).select_option("Sky")
    page.get_by_label("SQL", exact=True).fill("select objID into MyDB.unmade from Stars")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#outcome")).to_contain_text("It was not run", timeout=ANSWER)
    expect(page.locator("#outcome")).to_contain_text("MyDB.unmade")
    page.get_by_role("tab", name="MyDB").click()
    expect(page.locator("#quota")).to_contain_text("used", timeout=ANSWER)
    expect(page.locator("[data-table=unmade]")).to_have_count(0)


def test_result_is_downloaded(page: Page) -> None:
    page.get_by_label("Database", exact=True).select_option("Sky")
    page.get_by_label("SQL", exact=True).fill("select objID, mag from Stars")
    page.get_by_label("Format", exact=True).select_option("csv")
    with page.expect_download(timeout=ANSWER) as download:
        page.get_by_role("button", name="Run and download").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "objID,mag"
    assert len(lines) == STARS + 1


def test_table_of_ones_own_is_made_renamed_downloaded_and_dropped(page: Page) -> None:
    run(page, "select top 7 objID, ra into MyDB.seven from Stars")
    done(page)
    page.get_by_role("tab", name="MyDB").click()
    row = page.locator("[data-table=seven]")
    expect(row).to_contain_text("7", timeout=ANSWER)
    row.get_by_role("button", name="seven", exact=True).click()
    # The unit came along.
    expect(page.locator("#mydb-detail")).to_contain_text("deg", timeout=ANSWER)

    row.get_by_role("button", name="Rename seven").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New name").fill("sieben")
    dialog.get_by_role("button", name="Rename").click()
    row = page.locator("[data-table=sieben]")
    expect(row).to_be_visible(timeout=ANSWER)
    with page.expect_download(timeout=ANSWER) as download:
        row.get_by_role("button", name="Download sieben").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 8

    row.get_by_role("button", name="Drop sieben").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Drop sieben").click()
    dialog.get_by_role("button", name="Drop").click()
    expect(page.locator("[data-table=sieben]")).to_have_count(0, timeout=ANSWER)


def test_file_is_uploaded_and_a_bad_one_is_refused_with_its_line(page: Page, tmp_path: Path) -> None:
    good, bad = tmp_path / "my targets.csv", tmp_path / "bad.csv"
    good.write_text("name,ra\nM 31,10.6847\nM 33,23.4621\n")
    bad.write_text("a,b\n1,2\n3,4,5\n")
    page.get_by_role("tab", name="MyDB").click()
    page.get_by_text("Upload a table").click()
    page.locator("#upload-file").set_input_files(good)
    expect(page.locator("#upload-name")).to_have_value("my_targets")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("[data-table=my_targets]")).to_contain_text("2", timeout=ANSWER)
    page.locator("#upload-file").set_input_files(bad)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#mydb .sciserver-problem")).to_contain_text(re.compile("line 3", re.I), timeout=ANSWER)
    expect(page.locator("[data-table=bad]")).to_have_count(0)


def test_long_query_is_found_in_the_history_with_its_result(page: Page) -> None:
    page.get_by_label("Database", exact=True).select_option("Sky")
    page.get_by_label("SQL", exact=True).fill("select count(*) as n from Stars -- counted")
    page.get_by_role("button", name="Run in the long queue").click()
    expect(page.locator("#outcome")).to_contain_text("is in the long queue", timeout=ANSWER)
    number = re.search(r"Job (\d+)", page.locator("#outcome").inner_text())
    assert number
    page.get_by_role("tab", name="History").click()
    job = page.locator(f"details[data-job='{number[1]}']")
    expect(job).to_contain_text("Finished", timeout=ANSWER)
    job.locator("summary").first.click()
    job.get_by_role("button", name=re.compile("^Show ")).click()
    expect(job.locator("tbody td")).to_have_text(str(STARS), timeout=ANSWER)
    job.get_by_role("button", name="Open in the editor").click()
    expect(page.get_by_label("SQL", exact=True)).to_have_value("select count(*) as n from Stars -- counted")

    page.get_by_role("tab", name="History").click()
    page.get_by_label("Text in the query or its name").fill("no query has this in it")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#jobs")).to_contain_text("No query matches", timeout=ANSWER)


def test_running_job_is_stopped_in_the_history(page: Page) -> None:
    page.get_by_label("Database", exact=True).select_option("Sky")
    endless = "select count(*) as n from Stars a, Stars b, Stars c, Stars d where a.ra + b.ra + c.ra < d.ra"
    page.get_by_label("SQL", exact=True).fill(endless)
    page.get_by_role("button", name="Run in the long queue").click()
    expect(page.locator("#outcome")).to_contain_text("is in the long queue", timeout=ANSWER)
    page.get_by_role("tab", name="History").click()
    job = page.locator("details[data-job]").first
    expect(job).to_contain_text("Running", timeout=ANSWER)
    job.locator("summary").first.click()
    job.get_by_role("button", name=re.compile("^Stop job")).click()
    expect(page.locator("details[data-job]").first).to_contain_text("Cancelled", timeout=ANSWER)


def test_databases_tell_of_themselves(page: Page) -> None:
    page.get_by_role("tab", name="Databases").click()
    page.locator("#tree summary", has_text="Sky").click()
    page.get_by_role("button", name="About this database").click()
    expect(page.locator("#detail")).to_contain_text("Nobody, 2026", timeout=ANSWER)
    page.get_by_role("button", name="Stars", exact=True).click()
    expect(page.locator("#detail")).to_contain_text("pos.eq.ra;meta.main", timeout=ANSWER)
    expect(page.locator("#detail")).to_contain_text("Some rows", timeout=ANSWER)
    page.get_by_role("button", name="Query Stars").click()
    expect(page.get_by_label("SQL", exact=True)).to_have_value("select top 100 * from Stars")
    page.get_by_role("button", name="Run", exact=True).click()
    done(page)
    expect(page.locator("#results tbody tr")).to_have_count(100)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_readable_and_fits_a_phone(theme: str, query_writer: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(query_writer, viewport=PHONE, color_scheme=theme)
    page = open_casjobs(visitor)
    run(page, "select top 3 objID, ra, [dec], mag, class, visits, 'a longer text in a column' as note from Stars")
    done(page)
    for section in ("Query", "History", "MyDB", "Databases"):
        page.get_by_role("tab", name=section).click()
        page.wait_for_load_state("networkidle")
        visitor.assert_fits()
        visitor.assert_readable()
        visitor.screenshot(f"{theme}-phone-casjobs-{section.lower()}")


def test_nobody_gets_in_without_signing_in(visit: Callable[..., Visitor]) -> None:
    page = visit("nobody").page
    page.goto(CASJOBS)
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
    assert page.request.get(f"{CASJOBS}RestApi/contexts").status == 401
