"""JupyterLab's panels of CasJobs and SciDrive, in a container that was started through the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, StorageState, expect

from casjobs_service.contexts import Contexts
from sciserver_common.scopes import CASJOBS_WRITE, FILES_SHARE, FILES_WRITE
from tests.browser.visitor import START_LIMIT, Visitor
from tests.casjobs.casjobs_platform import FIRST, STARS, make_context
from tests.support import Person, Platform, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.docker]

CONTEXT = "LabSky"
ENDLESS = "select count(*) as n from Stars a, Stars b, Stars c, Stars d where a.ra + b.ra + c.ra < d.ra"
FINISHED = 5


class Services:
    """What the panels show, by REST."""

    def __init__(self, platform: Platform, person: Person) -> None:
        self.casjobs = f"{platform.url}/services/casjobs/RestApi"
        self.scidrive = f"{platform.url}/services/scidrive"
        self.headers = {"X-Auth-Token": person.token(CASJOBS_WRITE, FILES_WRITE, FILES_SHARE)}

    def call(self, method: str, url: str, **options: Any) -> requests.Response:
        answer = requests.request(method, url, headers=self.headers, timeout=60, **options)
        answer.raise_for_status()
        return answer

    def query(self, sql: str) -> None:
        self.call("POST", f"{self.casjobs}/contexts/{CONTEXT}/query", json={"Query": sql})

    def submit(self, sql: str) -> int:
        return int(self.call("PUT", f"{self.casjobs}/contexts/{CONTEXT}/jobs", json={"Query": sql}).text)

    def status(self, job: int) -> int:
        return int(self.call("GET", f"{self.casjobs}/jobs/{job}").json()["Status"])

    def cancel_all(self) -> None:
        for job in self.call("GET", f"{self.casjobs}/jobs?status=0,1,2").json():
            self.call("DELETE", f"{self.casjobs}/jobs/{job['JobID']}")

    def drop_all(self) -> None:
        for table in self.call("GET", f"{self.casjobs}/contexts/MyDB/Tables").json():
            self.call("DELETE", f"{self.casjobs}/contexts/MyDB/Tables/{table['Name']}")

    def files(self) -> dict[str, Any]:
        """Name and entry of what is at the top of SciDrive."""
        found = self.call("GET", f"{self.scidrive}/vospace-2.0/1/metadata/sandbox/").json()
        return {entry["path"].strip("/"): entry for entry in found["contents"]}

    def content(self, path: str) -> bytes:
        return self.call("GET", f"{self.scidrive}/vospace-2.0/1/files/sandbox/{path}").content


@pytest.fixture(scope="module")
def services(platform: Platform) -> Iterator[Services]:
    """Of mira, whose server runs meanwhile."""
    make_context(Contexts.of(platform.deployment), CONTEXT, public=True, title="A small sky", description="For tests.")
    person = platform.add_user("mira")
    person.sign_in()
    person.start(image="base")
    yield Services(platform, person)
    person.stop()


@pytest.fixture(scope="module")
def signed_in(services: Services, platform: Platform, chromium: Browser) -> StorageState:
    """Cookies of mira's browser."""
    visitor = Visitor(chromium, platform.url, "mira")
    visitor.sign_in()
    visitor.wait_for_lab()
    state = visitor.context.storage_state()
    visitor.context.close()
    return state


@pytest.fixture
def visitor(services: Services, signed_in: StorageState, visit: Callable[..., Visitor]) -> Iterator[Visitor]:
    """Mira, in JupyterLab as after the first start."""
    services.drop_all()
    visitor = visit("mira", storage_state=signed_in)
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.page.goto("/user/mira/lab?reset")
    visitor.wait_for_lab()
    yield visitor
    services.cancel_all()


@pytest.fixture
def page(visitor: Visitor) -> Page:
    """With the panel of CasJobs, and the database of these tests open."""
    visitor.page.get_by_role("tab", name="CasJobs").click()
    line(visitor.page, CONTEXT).dblclick()
    expect(line(visitor.page, "Stars")).to_be_visible()
    return visitor.page


def line(page: Page, name: str) -> Locator:
    """In the tree of databases."""
    return page.locator(f"[role=treeitem][data-label='{name}']")


def cell(page: Page, number: int) -> Locator:
    return page.locator(".jp-Notebook .jp-CodeCell").nth(number)


def run(page: Page, number: int) -> None:
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=START_LIMIT)
    cell(page, number).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")


def choose(page: Page, line: Locator, command: str) -> None:
    """In the menu of a line."""
    line.click(button="right")
    page.get_by_role("menuitem", name=command).click()


def test_tree_is_walked_by_the_keyboard(page: Page) -> None:
    line(page, CONTEXT).focus()
    for key, reached in [
        ("ArrowDown", "Fields"),
        ("ArrowDown", "Stars"),
        ("ArrowRight", "Stars"),
        ("ArrowRight", "objID"),
    ]:
        page.keyboard.press(key)
        expect(line(page, reached)).to_be_focused()
        expect(line(page, "objID")).to_have_count(int(key == "ArrowRight"))
    page.keyboard.press("r")
    expect(line(page, "ra")).to_be_focused()
    expect(line(page, "ra")).to_contain_text("deg")
    expect(line(page, "ra")).to_have_attribute("title", re.compile("Right ascension"))
    page.keyboard.press("ArrowLeft")
    expect(line(page, "Stars")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(line(page, "ra")).to_have_count(0)
    expect(line(page, "Stars")).to_have_attribute("aria-expanded", "false")

    line(page, "Functions").focus()
    page.keyboard.press("Space")
    expect(line(page, "fDistanceArcMinEq")).to_have_attribute("title", re.compile(r"fDistanceArcMinEq\(.*ra1"))


def test_filter_looks_into_all_databases(page: Page, services: Services) -> None:
    services.query("select top 7 objID into MyDB.starlets from Stars")
    page.get_by_role("button", name="Read the databases again").click()
    page.get_by_role("searchbox").fill("STAR")
    expect(line(page, "starlets")).to_be_visible()
    # Other tests' databases may have one too.
    expect(line(page, "Stars").first).to_be_visible()
    expect(line(page, "Fields")).to_have_count(0)
    page.get_by_role("searchbox").fill("no table is called so")
    expect(page.get_by_role("tree")).to_have_text("No table has this in its name.")
    page.get_by_role("searchbox").fill("")
    expect(line(page, "Fields")).to_be_visible()


def test_query_is_inserted_and_run(page: Page, visitor: Visitor) -> None:
    line(page, "Stars").dblclick()
    expect(cell(page, 0)).to_contain_text(f"%%casjobs --context {CONTEXT}", timeout=START_LIMIT)
    run(page, 0)
    expect(cell(page, 0).locator(".jp-OutputArea-output td").first).to_have_text(str(FIRST), timeout=START_LIMIT)
    expect(cell(page, 0).locator(".jp-OutputArea-output")).to_contain_text("100 rows")
    # The next one comes below, also by the button, and the notebook stands with the user's files.
    line(page, "Fields").hover()
    page.get_by_role("button", name="Insert a query: Fields").click()
    expect(page.locator(".jp-Notebook")).to_contain_text("from Fields")
    expect(page.locator(".jp-Notebook .jp-CodeCell", has_text="from Stars")).to_have_count(1)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("Untitled")
    expect(page.locator("#jp-main-statusbar")).not_to_contain_text("SciDrive:")
    # The query is in the list.
    job = page.locator(".casjobs-Job").first
    expect(job).to_contain_text("Finished")
    expect(job).to_contain_text("100 rows")
    visitor.screenshot("lab-casjobs")


def test_rows_are_shown_exactly(page: Page, visitor: Visitor) -> None:
    choose(page, line(page, "Stars"), "Show Some Rows")
    shown = page.get_by_role("region", name="Some rows of Stars")
    expect(shown.locator("tbody tr")).to_have_count(100)
    # No double can hold it.
    expect(shown.locator("td").first).to_have_text(str(FIRST))
    expect(shown.locator("th", has_text="ra").first).to_contain_text("deg")
    expect(shown.locator("td", has_text="NULL").first).to_be_visible()
    visitor.screenshot("lab-casjobs-rows")
    # Once more is the same tab.
    choose(page, line(page, "Stars"), "Show Some Rows")
    expect(page.get_by_role("region", name="Some rows of Stars")).to_have_count(1)


def test_own_table_is_copied_by_name_renamed_and_dropped(page: Page, services: Services) -> None:
    services.query("select top 7 objID, ra into MyDB.seven from Stars; select 1 as n into MyDB.taken")
    line(page, "MyDB").dblclick()
    seven, eight = line(page, "seven"), line(page, "acht")
    page.get_by_role("button", name="Read the databases again").click()
    expect(seven).to_contain_text("B")
    expect(page.locator(".sciserver-Usage").first).to_contain_text("MyDB:")
    # Databases of others can be neither changed nor their tables dropped.
    line(page, "Stars").click(button="right")
    expect(page.get_by_role("menuitem", name="Copy the Name")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Drop…")).to_have_count(0)
    page.keyboard.press("Escape")

    choose(page, seven, "Copy the Name")
    wait_until(lambda: page.evaluate("navigator.clipboard.readText()") == "seven", what="the name is on the clipboard")
    choose(page, seven, "Rename…")
    page.get_by_role("dialog").get_by_role("textbox").fill("taken")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("seven was not renamed")
    page.get_by_role("button", name="Close", exact=True).click()
    choose(page, seven, "Rename…")
    page.get_by_role("dialog").get_by_role("textbox").fill("acht")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(eight).to_be_visible()
    expect(seven).to_have_count(0)

    choose(page, eight, "Drop…")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(eight).to_be_visible()
    choose(page, eight, "Drop…")
    page.get_by_role("button", name="Drop", exact=True).click()
    expect(eight).to_have_count(0)
    expect(line(page, "taken")).to_be_visible()


def test_running_query_is_cancelled_and_the_next_one_waits(page: Page, services: Services, visitor: Visitor) -> None:
    first, second = services.submit(ENDLESS), services.submit(f"{ENDLESS} -- once more")
    page.get_by_role("button", name="Read the queries again").click()
    running, waiting = (page.locator(f".casjobs-Job[data-job='{number}']") for number in (first, second))
    expect(running).to_contain_text("Running")
    expect(waiting).to_contain_text("Waiting, number 1 in the queue")
    visitor.screenshot("lab-casjobs-queries")
    page.get_by_role("button", name=f"Cancel query {first}").click()
    expect(running).to_contain_text("Cancelled")
    # Nobody has asked for the list again: it keeps up by itself.
    expect(waiting).to_contain_text("Running")


def test_result_of_a_long_query_is_read_by_code(page: Page, services: Services) -> None:
    number = services.submit("select count(*) as n from Stars")
    page.get_by_role("combobox", name="Show").select_option("the long queue")
    wait_until(lambda: services.status(number) == FINISHED, what="the query has finished")
    page.get_by_role("button", name=f"Insert code that reads the result of query {number}").click()
    expect(cell(page, 0)).to_contain_text(f"job_result({number})", timeout=START_LIMIT)
    run(page, 0)
    expect(cell(page, 0).locator(".jp-OutputArea-output td")).to_have_text(str(STARS), timeout=START_LIMIT)


def test_nothing_is_asked_while_nobody_looks(page: Page, services: Services) -> None:
    services.submit(ENDLESS)
    page.get_by_role("button", name="Read the queries again").click()
    expect(page.locator(".casjobs-Job[data-state=running]")).to_have_count(1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/sciserver/casjobs/" in request.url else None)
    wait_until(lambda: page.wait_for_timeout(200) or len(asked) > 2, what="the list is kept up to date")
    page.get_by_role("tab", name="File Browser").click()
    page.wait_for_timeout(1000)
    asked.clear()
    page.wait_for_timeout(8000)
    assert asked == []


def test_lost_connection_is_told_and_mended(page: Page) -> None:
    page.route("**/sciserver/casjobs/**", lambda route: route.abort())
    page.get_by_role("button", name="Read the databases again").click()
    expect(page.get_by_role("tree")).to_contain_text("Your server does not answer")
    page.unroute("**/sciserver/casjobs/**")
    page.get_by_role("tree").get_by_role("button", name="Try again").click()
    expect(line(page, "Stars")).to_be_visible()


@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_panel_is_readable_in_both_themes(page: Page, services: Services, visitor: Visitor, theme: str) -> None:
    services.submit("select raa from Stars")
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Theme")).hover()
    page.locator(".lm-Menu-item", has_text=re.compile(f"^JupyterLab {theme}$")).click()
    expect(page.locator(f"body[data-jp-theme-light='{json.dumps(theme == 'Light')}']")).to_be_attached()
    line(page, "Stars").focus()
    page.keyboard.press("ArrowRight")
    expect(line(page, "ra")).to_be_visible()
    page.get_by_role("button", name="Read the queries again").click()
    expect(page.locator(".casjobs-Job").first).to_contain_text("There is no column raa")
    visitor.screenshot(f"lab-casjobs-{theme.lower()}")
    visitor.assert_readable("#jupyter-casjobs")


def entry(page: Page, name: str) -> Locator:
    """In SciDrive's list of files."""
    return page.locator("#jupyter-scidrive .jp-DirListing-item").filter(has_text=name)


def open_scidrive(page: Page) -> None:
    page.get_by_role("tab", name="SciDrive").click()
    expect(page.locator("#jupyter-scidrive")).to_contain_text("used")


def upload(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#jupyter-scidrive").get_by_role("button", name=re.compile("Upload")).click()
    chooser.value.set_files(path)
    expect(entry(page, path.name)).to_be_visible()


def name_it(page: Page, name: str) -> None:
    """In the field that JupyterLab opens in the list."""
    field = page.locator("#jupyter-scidrive .jp-DirListing-editor")
    expect(field).to_be_focused()
    field.fill(name)
    field.press("Enter")


def test_file_of_scidrive_is_uploaded_edited_renamed_and_deleted(
    visitor: Visitor, services: Services, tmp_path: Path
) -> None:
    page = visitor.page
    open_scidrive(page)
    (tmp_path / "notes.txt").write_text("first line\n")
    upload(page, tmp_path / "notes.txt")
    assert services.content("notes.txt") == b"first line\n"

    entry(page, "notes.txt").dblclick()
    editor = page.locator(".jp-FileEditor .cm-content")
    expect(editor).to_contain_text("first line", timeout=START_LIMIT)
    editor.click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("Größe ")
    page.keyboard.press("Control+s")
    wait_until(lambda: services.content("notes.txt") == "Größe first line\n".encode(), what="the file was saved")

    entry(page, "notes.txt").click()
    page.keyboard.press("F2")
    name_it(page, "Notizen.txt")
    expect(entry(page, "Notizen.txt")).to_be_visible()
    wait_until(lambda: "Notizen.txt" in services.files() and "notes.txt" not in services.files(), what="it is renamed")
    entry(page, "Notizen.txt").click(button="right")
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download", exact=True).click()
    assert Path(download.value.path()).read_text() == "Größe first line\n"
    visitor.screenshot("lab-scidrive")

    entry(page, "Notizen.txt").click()
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Delete", exact=True).or_(page.get_by_role("button", name="Move to Trash")).click()
    expect(entry(page, "Notizen.txt")).to_have_count(0)
    assert "Notizen.txt" not in services.files()


def test_folder_of_scidrive_is_made_and_what_comes_from_elsewhere_is_seen(
    visitor: Visitor, services: Services
) -> None:
    page = visitor.page
    open_scidrive(page)
    page.locator("#jupyter-scidrive").get_by_role("button", name="New Folder").click()
    name_it(page, "pictures")
    wait_until(lambda: services.files().get("pictures", {}).get("is_dir"), what="the folder is there")
    url = f"{services.scidrive}/vospace-2.0/1/files_put/sandbox/pictures/sky.txt"
    services.call("PUT", url, data=b"blue")
    entry(page, "pictures").dblclick()
    expect(entry(page, "sky.txt")).to_be_visible()


def test_public_link_opens_for_somebody_without_an_account(
    visitor: Visitor, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    page = visitor.page
    open_scidrive(page)
    (tmp_path / "for all, 100 %.txt").write_text("open to all")
    upload(page, tmp_path / "for all, 100 %.txt")
    choose(page, entry(page, "for all, 100 %.txt"), "Copy Public Link…")
    page.get_by_role("dialog").get_by_role("combobox").select_option("1 week")
    page.get_by_role("button", name="Make and copy").click()
    address = page.get_by_role("textbox", name="Public link")
    expect(address).to_be_visible()
    url = address.input_value()
    assert url.startswith(f"{visitor.url}/services/scidrive/media/")
    assert page.evaluate("navigator.clipboard.readText()") == url
    visitor.screenshot("lab-scidrive-link")
    page.get_by_role("button", name="Close", exact=True).click()
    assert visit("stranger").page.request.get(url).text() == "open to all"


def test_scidrive_that_does_not_answer_is_told_without_a_dialog(visitor: Visitor) -> None:
    page = visitor.page
    page.route("**/sciserver/scidrive/**", lambda route: route.abort())
    page.get_by_role("tab", name="SciDrive").click()
    alert = page.locator("#jupyter-scidrive").get_by_role("alert")
    expect(alert).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.unroute("**/sciserver/scidrive/**")
    page.locator("#jupyter-scidrive").get_by_role("button", name="Read the Folder Again").click()
    expect(alert).to_have_count(0)
