"""The page of files: upload, look, share, link, move and delete, and what a container sees of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from sciserver_spawner.naming import container_name
from tests.browser.visitor import PHONE, Visitor
from tests.integration.scidrive_support import Doors, Inside
from tests.support import Person, Platform

pytestmark = [pytest.mark.browser, pytest.mark.docker]

FILES = "/services/scidrive/"
PERSISTENT = "Storage / persistent"

# A picture of one pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)

HTML = b"<!doctype html><title>x</title><script>document.title = 'it ran'; window.ran = true</script><p>hello"


def payload(name: str, data: bytes = b"hello") -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


@pytest.fixture(scope="module")
def olga(platform: Platform) -> Person:
    person = platform.add_user("olga")
    person.sign_in()
    return person


@pytest.fixture(scope="module")
def paul(platform: Platform) -> Person:
    person = platform.add_user("paul")
    person.sign_in()
    return person


@pytest.fixture
def doors(platform: Platform, olga: Person) -> Doors:
    """What the page does, by REST; olga's storage is empty."""
    doors = Doors(platform, olga)
    for name in doors.names("Storage/olga/persistent"):
        assert doors.rest("DELETE", f"data/Storage/olga/persistent/{name}").ok
    return doors


@pytest.fixture
def page(olga: Person, doors: Doors, visit: Callable[..., Visitor]) -> Page:
    return open_files(visit(olga.name))


def open_files(visitor: Visitor, volume: str = PERSISTENT) -> Page:
    """Through the sign-in to a volume."""
    visitor.page.goto(FILES)
    visitor.page.get_by_role("link", name="Sign in").first.click()
    visitor.enter_password()
    open_volume(visitor.page, volume)
    return visitor.page


def open_volume(page: Page, title: str) -> None:
    page.get_by_role("navigation", name="Volumes").get_by_role("link", name=title).click()
    expect(page.locator("#path [aria-current]")).to_have_text(title)


def upload(page: Page, *files: FilePayload | str | Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload", exact=True).click()
    chooser.value.set_files(list(files))


def row(page: Page, name: str) -> Locator:
    return page.locator("#entries tbody tr").filter(has=page.get_by_text(name, exact=True))


def act(page: Page, name: str, action: str) -> None:
    """An entry of the menu of a file or folder."""
    row(page, name).get_by_role("button", name=f"Actions for {name}").click()
    page.locator(".dropdown-menu.show").get_by_text(action, exact=True).click()


def told(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("#told")).to_contain_text(text, timeout=30_000)


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


# -- the first hour


def test_first_hour(
    platform: Platform,
    olga: Person,
    paul: Person,
    doors: Doors,
    engine: docker.DockerClient,
    visit: Callable[..., Visitor],
) -> None:
    visitor = visit("olga")
    page = open_files(visitor)
    expect(page.locator("#entries")).to_contain_text("Nothing is here yet")
    visitor.screenshot("files-empty")

    upload(page, payload("stars.csv", b"ra,dec\n10.68,41.27\n"), payload("m31.png", PNG))
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("Uploads are done")
    expect(row(page, "stars.csv")).to_contain_text("19 bytes")
    expect(page.get_by_role("navigation", name="Volumes")).to_contain_text("88 bytes of 10 GB used")

    # It is in a container, and what a container writes is here.
    olga.start(image="base")
    inside = Inside(platform, engine, "olga")
    assert inside.run("cat", "Storage/olga/persistent/stars.csv") == "ra,dec\n10.68,41.27\n"
    inside.sh("mkdir Storage/olga/persistent/plots && echo made within > Storage/olga/persistent/plots/note.txt")
    page.reload()
    expect(row(page, "plots")).to_be_visible()

    act(page, "stars.csv", "Rename")
    field = dialog(page).get_by_label("New name")
    # The ending of the name is not marked: who types gives it another stem.
    page.keyboard.type("bright")
    expect(field).to_have_value("bright.csv")
    page.keyboard.press("Enter")
    told(page, "stars.csv is now bright.csv")
    assert "bright.csv" in inside.sh("ls Storage/olga/persistent")
    visitor.screenshot("files-first-hour")

    page.get_by_role("button", name=f"Share {PERSISTENT}").click()
    dialog(page).get_by_label("Name of the user or group").fill("paul")
    dialog(page).get_by_role("button", name="Share", exact=True).click()
    expect(dialog(page).get_by_role("button", name="Stop sharing with paul")).to_be_visible()
    visitor.screenshot("files-share")
    dialog(page).get_by_role("button", name="Close").click()

    others = open_files(visit("paul"), f"{PERSISTENT} of olga")
    expect(row(others, "bright.csv")).to_be_visible()
    expect(others.locator("#tools")).to_contain_text("change nothing")
    expect(others.get_by_role("button", name="Upload", exact=True)).to_have_count(0)
    others.get_by_role("link", name="plots").click()
    expect(row(others, "note.txt")).to_be_visible()

    act(page, "bright.csv", "Public link")
    dialog(page).get_by_role("button", name="Make a link").click()
    url = dialog(page).get_by_label("The link", exact=True).input_value()
    visitor.screenshot("files-link")
    somebody = visit("somebody")
    with somebody.page.expect_download() as download:
        somebody.page.evaluate("url => { location.href = url }", url)
    assert Path(download.value.path()).read_bytes() == b"ra,dec\n10.68,41.27\n"
    assert download.value.suggested_filename == "bright.csv"
    dialog(page).get_by_role("button", name=re.compile("^Revoke")).click()
    expect(dialog(page).get_by_role("button", name=re.compile("^Revoke"))).to_have_count(0)
    assert somebody.page.request.get(url).status == 404
    dialog(page).get_by_role("button", name="Close").click()

    act(page, "bright.csv", "Delete")
    dialog(page).get_by_role("button", name="Cancel").click()
    expect(row(page, "bright.csv")).to_be_visible()
    act(page, "bright.csv", "Delete")
    dialog(page).get_by_role("button", name="Delete").click()
    told(page, "bright.csv was deleted")
    expect(row(page, "bright.csv")).to_have_count(0)
    assert "bright.csv" not in inside.sh("ls Storage/olga/persistent")

    page.get_by_role("button", name=f"Share {PERSISTENT}").click()
    dialog(page).get_by_role("button", name="Stop sharing with paul").click()
    expect(dialog(page)).to_contain_text("shared with nobody")
    others.reload()
    expect(others.locator("#problem")).to_contain_text("not shared with you any more")
    olga.stop()
    engine.close()
    assert container_name(platform.deployment.id, "olga", "")


# -- what is uploaded never runs


def test_uploaded_html_does_not_run(page: Page, doors: Doors, visit: Callable[..., Visitor]) -> None:
    names = ["page.html", "picture.svg", "page.xhtml", "looks.txt", "script.js", "page.html.png"]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>document.title="it ran";window.ran=true</script></svg>'
    upload(page, *(payload(name, svg if name.endswith("svg") else HTML) for name in names))
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("Uploads are done")
    for name in names:
        link = doors.ask("POST", "/api/links", json={"path": f"Storage/olga/persistent/{name}", "seconds": 600}).json()
        for address in (f"{FILES}fileservice/api/file/Storage/olga/persistent/{name}", link["url"]):
            tab = page.context.new_page()
            # What is not shown is kept as a file, and then there is no page.
            tab.goto("about:blank")
            tab.evaluate(
                "url => { location.href = url }",
                doors.url.replace(FILES.rstrip("/"), "") + address if address.startswith("/") else address,
            )
            tab.wait_for_timeout(300)
            assert tab.title() != "it ran", (name, address)
            assert tab.evaluate("window.ran") is None, (name, address)
            tab.close()
        answer = doors.rest("GET", f"file/Storage/olga/persistent/{name}")
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "html" not in answer.headers["Content-Type"]
        assert "svg" not in answer.headers["Content-Type"]
        assert "script" not in answer.headers["Content-Type"]


def test_preview_shows_text_as_text_and_pictures_as_pictures(page: Page) -> None:
    upload(
        page, payload("page.html", HTML), payload("m31.png", PNG), payload("fake.png", HTML), payload("empty.txt", b"")
    )
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("Uploads are done")
    row(page, "page.html").get_by_role("button", name="page.html", exact=True).click()
    expect(dialog(page).locator("pre")).to_have_text(HTML.decode())
    dialog(page).get_by_role("button", name="Close").click()
    row(page, "m31.png").get_by_role("button", name="m31.png", exact=True).click()
    picture = dialog(page).get_by_role("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 1
    page.keyboard.press("Escape")
    row(page, "fake.png").get_by_role("button", name="fake.png", exact=True).click()
    expect(dialog(page)).to_contain_text("not a picture")
    page.keyboard.press("Escape")
    row(page, "empty.txt").get_by_role("button", name="empty.txt", exact=True).click()
    expect(dialog(page)).to_contain_text("The file is empty")
    page.keyboard.press("Escape")
    assert page.title() != "it ran"


ODD = [
    "<img src=x onerror=window.ran=1>.txt",
    "quote \" and ' & < > ;.txt",
    "100% sure? #1 + more.txt",
    "два слова 日本語 🔭.txt",
    "e\u0301 decomposed.txt",
    "right \u202egnp.exe",
    "a" * 251 + ".txt",
    "%2e%2e%2f.txt",
    "..hidden",
    "-rf",
]


def test_odd_names_are_shown_opened_and_removed(page: Page, doors: Doors) -> None:
    upload(page, *(payload(name, str(number).encode()) for number, name in enumerate(ODD)))
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("Uploads are done")
    assert doors.names("Storage/olga/persistent") == set(ODD)
    expect(page.locator("#entries tbody tr")).to_have_count(len(ODD))
    assert page.evaluate("window.ran") is None
    for number, name in enumerate(ODD):
        entry = page.locator(f"#entries tbody tr[data-name={css_text(name)}]")
        entry.get_by_role("button", name=re.compile("^Actions for")).click()
        with page.expect_download() as download:
            page.locator(".dropdown-menu.show").get_by_text("Download", exact=True).click()
        assert Path(download.value.path()).read_bytes() == str(number).encode(), name
    page.get_by_label("Choose all").check()
    page.get_by_role("button", name="Delete the chosen ones").click()
    dialog(page).get_by_role("button", name="Delete").click()
    told(page, f"{len(ODD)} files and folders were deleted")
    assert doors.names("Storage/olga/persistent") == set()


def css_text(text: str) -> str:
    return '"' + "".join(f"\\{ord(each):x} " for each in text) + '"'


# -- folders, moving, finding


def test_files_are_moved_copied_and_found(page: Page, doors: Doors) -> None:
    upload(page, payload("a.fits", b"A"), payload("b.txt", b"B"))
    expect(row(page, "b.txt")).to_be_visible()
    page.get_by_role("button", name="New folder").click()
    dialog(page).get_by_label("Name").fill("deep down")
    page.keyboard.press("Enter")
    told(page, "The folder deep down was made")
    act(page, "a.fits", "Move")
    dialog(page).get_by_role("button", name="deep down").click()
    expect(dialog(page)).to_contain_text("In: Storage / persistent / deep down")
    dialog(page).get_by_role("button", name="Move here").click()
    told(page, f"a.fits moved to {PERSISTENT} / deep down")
    assert doors.names("Storage/olga/persistent/deep down") == {"a.fits"}
    act(page, "b.txt", "Copy")
    dialog(page).get_by_label("Volume").select_option("SciDrive")
    dialog(page).get_by_role("button", name="Copy here").click()
    told(page, "b.txt copied to SciDrive")
    assert doors.rest("GET", "file/SciDrive/olga/b.txt").content == b"B"

    page.get_by_role("searchbox").fill("*.FITS")
    page.keyboard.press("Enter")
    told(page, "Found 1")
    expect(row(page, "a.fits")).to_contain_text("in deep down")
    act(page, "a.fits", "Delete")
    dialog(page).get_by_role("button", name="Delete").click()
    told(page, "a.fits was deleted")
    assert doors.names("Storage/olga/persistent/deep down") == set()

    row(page, "deep down").get_by_role("link", name="deep down").click()
    expect(page.locator("#entries")).to_contain_text("This folder is empty")
    page.go_back()
    expect(row(page, "b.txt")).to_be_visible()
    # What is there is not replaced without a question.
    act(page, "b.txt", "Copy")
    dialog(page).get_by_label("Volume").select_option("SciDrive")
    dialog(page).get_by_role("button", name="Copy here").click()
    expect(dialog(page)).to_contain_text("Replace b.txt?")
    dialog(page).get_by_role("button", name="Replace").click()
    told(page, "b.txt copied to SciDrive")


def test_folder_is_downloaded_as_an_archive(page: Page, doors: Doors) -> None:
    doors.rest("PUT", "file/Storage/olga/persistent/run/1.txt", data=b"one")
    page.reload()
    row(page, "run").get_by_role("button", name="Actions for run").click()
    with page.expect_download() as download:
        page.locator(".dropdown-menu.show").get_by_text("Download as ZIP").click()
    assert download.value.suggested_filename == "run.zip"
    assert b"1.txt" in Path(download.value.path()).read_bytes()


def test_volume_is_made_renamed_and_deleted(page: Page, doors: Doors) -> None:
    doors.rest("DELETE", "volume/Storage/olga/papers?quiet=True")
    page.get_by_role("button", name="New volume").click()
    dialog(page).get_by_label("Name").fill("papers")
    dialog(page).get_by_role("button", name="Make").click()
    told(page, "The volume papers was made")
    expect(page.locator("#path [aria-current]")).to_have_text("Storage / papers")
    page.get_by_role("button", name="Rename volume").click()
    page.keyboard.press("Control+a")
    page.keyboard.type("articles")
    page.keyboard.press("Enter")
    expect(page.locator("#path [aria-current]")).to_have_text("Storage / articles")
    page.get_by_role("button", name="Delete volume").click()
    dialog(page).get_by_role("button", name="Delete the volume").click()
    told(page, "The volume articles was deleted")
    expect(page.get_by_role("navigation", name="Volumes")).not_to_contain_text("articles")


# -- uploads


def test_large_file_goes_on_after_the_connection_broke(page: Page, doors: Doors, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(range(256)) * 4096 * 50)  # 52 MB
    broken = []

    def break_once(route, request):  # type: ignore[no-untyped-def]
        if request.method == "PATCH" and int(request.headers["upload-offset"]) > 0 and not broken:
            broken.append(request.headers["upload-offset"])
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/uploads/*", break_once)
    upload(page, file)
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("Uploads are done", timeout=60_000)
    assert broken
    assert doors.rest("GET", "file/Storage/olga/persistent/large.bin").content == file.read_bytes()


def test_upload_is_cancelled_and_leaves_nothing(page: Page, doors: Doors, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(60_000_000))
    page.route("**/api/uploads/*", lambda route: None if route.request.method == "PATCH" else route.continue_())
    upload(page, file)
    page.get_by_role("button", name="Cancel large.bin").click()
    region = page.get_by_role("region", name="Uploads")
    expect(region).to_contain_text("Cancelled")
    expect(region.get_by_role("button", name="Try large.bin again")).to_be_visible()
    assert doors.ask("GET", "/api/uploads").json() == []
    page.unroute("**/api/uploads/*")
    region.get_by_role("button", name="Try large.bin again").click()
    expect(row(page, "large.bin")).to_contain_text("60 MB", timeout=60_000)


def test_files_that_are_there_are_left_or_replaced(page: Page, doors: Doors) -> None:
    doors.rest("PUT", "file/Storage/olga/persistent/a.txt", data=b"old")
    page.reload()
    expect(row(page, "a.txt")).to_be_visible()
    for choice, content in (("Leave the files that are there", b"old"), ("Replace them", b"new")):
        upload(page, payload("a.txt", b"new"), payload("b.txt", b"more"))
        dialog(page).get_by_label("What to do with them").select_option(choice)
        dialog(page).get_by_role("button", name="Upload").click()
        expect(row(page, "b.txt")).to_be_visible()
        expect(page.get_by_role("region", name="Uploads")).to_contain_text("Uploads are done")
        assert doors.rest("GET", "file/Storage/olga/persistent/a.txt").content == content
        doors.rest("DELETE", "data/Storage/olga/persistent/b.txt")
        page.reload()
        expect(row(page, "a.txt")).to_be_visible()


def test_files_and_folders_are_dropped(page: Page, doors: Doors) -> None:
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["dropped"], "dropped.txt"));
          const zone = document.getElementById("folder");
          for (const type of ["dragenter", "dragover", "drop"]) {
            zone.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
          }
        }"""
    )
    expect(row(page, "dropped.txt")).to_be_visible()
    assert doors.rest("GET", "file/Storage/olga/persistent/dropped.txt").content == b"dropped"


def test_what_the_service_refuses_is_said(page: Page) -> None:
    text = "Your storage in Storage may hold 10 bytes. 8 are taken, and 5 more do not fit."
    page.route(
        "**/fileservice/api/file/**",
        lambda route: route.fulfill(status=507, json={"status": "error", "error": text}),
    )
    upload(page, payload("a.txt"))
    region = page.get_by_role("region", name="Uploads")
    expect(region.get_by_role("alert")).to_have_text(text)
    expect(region).to_contain_text("1 failed")
    page.unroute("**/fileservice/api/file/**")
    region.get_by_role("button", name="Try a.txt again").click()
    expect(row(page, "a.txt")).to_be_visible()


# -- the page itself


def test_keyboard_is_enough(olga: Person, doors: Doors, visit: Callable[..., Visitor]) -> None:
    doors.rest("PUT", "file/Storage/olga/persistent/a.txt", data=b"x")
    visitor = visit("olga")
    page = open_files(visitor)
    expect(row(page, "a.txt")).to_be_visible()
    visitor.tab_to("[aria-label='Actions for a.txt']")
    page.keyboard.press("Enter")
    expect(page.locator(".dropdown-menu.show")).to_be_visible()
    for _ in range(7):
        page.keyboard.press("ArrowDown")
        if page.evaluate("document.activeElement.textContent") == "Delete":
            break
    page.keyboard.press("Enter")
    expect(dialog(page)).to_contain_text("Delete a.txt?")
    page.keyboard.press("Escape")
    expect(row(page, "a.txt")).to_be_visible()


def test_warning_of_files_that_will_go(page: Page) -> None:
    page.route(
        "**/api/expiring",
        lambda route: route.fulfill(
            json=[
                {
                    "path": "Temporary/olga/scratch/old/a b.txt",
                    "href": "Temporary/olga/scratch/old/a%20b.txt",
                    "size": 1,
                    "created": "2026-01-01T00:00:00Z",
                    "expires": "2026-02-01T00:00:00Z",
                }
            ]
        ),
    )
    page.reload()
    notice = page.locator("#expiring")
    expect(notice).to_contain_text("1 file will be removed soon")
    notice.locator("summary").click()
    expect(notice.get_by_role("link", name="Temporary / olga / scratch / old / a b.txt")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_readable_and_fits_a_phone(
    theme: str, olga: Person, doors: Doors, visit: Callable[..., Visitor]
) -> None:
    for number, name in enumerate(["a" * 200 + ".txt", "short.fits", "folder with a longer name/x.txt"]):
        doors.rest("PUT", f"file/Storage/olga/persistent/{name}", data=b"x" * number)
    visitor = visit("olga", viewport=PHONE, color_scheme=theme)
    page = open_files(visitor)
    expect(row(page, "short.fits")).to_be_visible()

    def look(name: str) -> None:
        visitor.assert_fits()
        visitor.assert_readable()
        visitor.screenshot(f"{theme}-phone-files-{name}")

    look("list")
    act(page, "short.fits", "Public link")
    dialog(page).get_by_role("button", name="Make a link").click()
    expect(dialog(page).get_by_label("The link", exact=True)).to_be_visible()
    look("link")
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"Share {PERSISTENT}").click()
    look("share")
    page.keyboard.press("Escape")
    act(page, "short.fits", "Move")
    expect(dialog(page)).to_contain_text("In: ")
    look("move")
    page.keyboard.press("Escape")
    page.get_by_label("Choose short.fits").check()
    look("chosen")


def test_the_hubs_pages_lead_here(olga: Person, visit: Callable[..., Visitor]) -> None:
    visitor = visit("olga")
    visitor.sign_in()
    visitor.page.goto("/hub/home")
    visitor.page.get_by_role("button", name="Services").click()
    visitor.page.get_by_role("link", name="Files").click()
    expect(visitor.page.get_by_role("heading", name="Files")).to_be_visible()
    # The address names a folder, and keeps it.
    visitor.page.goto(f"{FILES}#/SciDrive/olga")
    expect(visitor.page.locator("#path [aria-current]")).to_have_text("SciDrive")
    visitor.page.goto(f"{FILES}#/Storage/nobody/persistent")
    expect(visitor.page.locator("#problem")).to_contain_text("no such volume")


def test_nobody_gets_in_without_signing_in(visit: Callable[..., Visitor]) -> None:
    page = visit("nobody").page
    page.goto(FILES)
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
    assert page.request.get(f"{FILES}fileservice/api/volumes/").status == 401
