"""Signing out in one tab is signing out in all: no open notebook runs code for somebody who has left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, expect

from tests.browser.visitor import START_LIMIT, Visitor
from tests.support import Platform, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.docker]

# How often it has run is the kernel's own memory, and is written where the test can read it.
CELL = """import pathlib
count = globals().get("count", 0) + 1
pathlib.Path("count.txt").write_text(str(count))"""

NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "id": "a", "execution_count": None, "metadata": {}, "outputs": [], "source": CELL}
    ],
    "metadata": {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}

# JupyterLab asks the server every ten seconds and slower, at the latest each half minute; while the tab is hidden,
# when it is seen again.
POLL_LIMIT = 60_000


@pytest.fixture(scope="module")
def turing(platform: Platform) -> str:
    person = platform.add_user("turing")
    person.sign_in()
    person.start(image="base")
    return "turing"


@pytest.fixture
def folder(platform: Platform, turing: str) -> Path:
    """Turing's directory with the notebook, on the host."""
    folder = platform.deployment.volumes_dir / "Storage" / turing / "persistent"
    (folder / "count.ipynb").write_text(json.dumps(NOTEBOOK))
    os.chown(folder / "count.ipynb", 1000, 1000)
    (folder / "count.txt").unlink(missing_ok=True)
    return folder


def sign_in(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.page.wait_for_url("**/user/**", timeout=START_LIMIT)


def open_notebook(page: Page, name: str) -> None:
    page.goto(f"/user/{name}/lab/tree/Storage/{name}/persistent/count.ipynb")
    wait_for_kernel(page)


def wait_for_kernel(page: Page) -> None:
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=START_LIMIT)
    expect(page.locator(".jp-Notebook .cm-content").first).to_contain_text("count")


def run_cell(page: Page) -> None:
    """Press Control and Enter in the notebook's cell, whatever dialogs come between."""
    # A tab in the background draws nothing, and nothing in it can be clicked.
    page.bring_to_front()
    dismiss = page.get_by_role("dialog").get_by_role("button", name="Dismiss")
    for _ in range(20):
        if dismiss.count():
            dismiss.first.click()
        try:
            page.locator(".jp-Notebook .cm-content").first.click(timeout=1000)
            page.keyboard.press("Control+Enter")
            return
        except TimeoutError:
            continue
    raise AssertionError("the cell cannot be reached")


def count_in(folder: Path) -> int:
    """How often the kernel has run the cell, which may have been there before this test."""
    # Read once: it is empty for a moment while it is written again.
    return int(wait_until(lambda: (folder / "count.txt").exists() and (folder / "count.txt").read_text()))


def assert_out(page: Page, folder: Path, number: int) -> None:
    """JupyterLab offers a way to the hub, and what is run now does not reach the kernel."""
    page.bring_to_front()
    expect(page.get_by_role("dialog")).to_contain_text("Server unavailable or unreachable", timeout=POLL_LIMIT)
    run_cell(page)
    # The cell waits for a kernel.
    expect(page.locator(".jp-Notebook .jp-InputPrompt").first).to_have_text("[*]:")
    page.wait_for_timeout(5000)
    assert count_in(folder) == number


def reload_to_sign_in(page: Page) -> None:
    # JupyterLab asks whether to leave the page: the notebook is not saved.
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page).to_have_title("Sign in · SciServer")
    expect(page.locator("#sign-in")).to_be_visible()


def test_signing_out_in_one_tab_signs_all_out_and_the_kernel_lives_on(
    turing: str, folder: Path, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(turing)
    lab = visitor.page
    sign_in(visitor)
    open_notebook(lab, turing)
    run_cell(lab)
    number = count_in(folder)
    home, account = visitor.context.new_page(), visitor.context.new_page()
    home.goto("/hub/home")
    account.goto("/hub/account")
    expect(account.get_by_role("heading", name="Account", exact=True)).to_be_visible()

    home.get_by_role("link", name="Sign out").click()
    expect(home.locator("#sign-in")).to_be_visible()
    expect(account.locator("#sign-in")).to_be_visible()
    expect(lab.get_by_role("dialog")).to_be_visible(timeout=POLL_LIMIT)
    visitor.screenshot("signed-out-lab")
    assert_out(lab, folder, number)
    visitor.screenshot("signed-out-lab-run")

    # The dialog's button leads to the sign-in.
    expect(lab.get_by_role("dialog")).to_be_visible(timeout=POLL_LIMIT)
    with visitor.context.expect_page() as opened:
        lab.get_by_role("dialog").get_by_role("button", name="Restart").click()
    expect(opened.value).to_have_title("Sign in · SciServer")
    opened.value.screenshot(path="tests/screenshots/signed-out-restart.png")
    opened.value.close()

    reload_to_sign_in(lab)
    visitor.screenshot("signed-out-reloaded")
    lab.locator("#sign-in").click()
    visitor.enter_password()
    lab.wait_for_url(f"**/user/{turing}/lab**", timeout=START_LIMIT)
    wait_for_kernel(lab)
    run_cell(lab)
    # The same kernel, and nothing ran in between.
    wait_until(lambda: count_in(folder) == number + 1)


def test_signing_in_again_elsewhere_lets_an_open_notebook_go_on(
    turing: str, folder: Path, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(turing)
    lab = visitor.page
    sign_in(visitor)
    open_notebook(lab, turing)
    run_cell(lab)
    number = count_in(folder)
    other = visitor.context.new_page()
    other.goto("/hub/home")
    other.get_by_role("link", name="Sign out").click()
    expect(lab.get_by_role("dialog")).to_contain_text("Server unavailable", timeout=POLL_LIMIT)
    with visitor.context.expect_page() as opened:
        lab.get_by_role("dialog").get_by_role("button", name="Restart").click()
    visitor.page = opened.value
    visitor.page.locator("#sign-in").click()
    visitor.enter_password()
    # The server was never gone: the hub leads straight to it.
    visitor.page.wait_for_url(f"**/user/{turing}/lab**", timeout=START_LIMIT)
    visitor.page.close()
    visitor.page = lab
    # What is run now waits until JupyterLab tries the next time.
    run_cell(lab)
    wait_until(lambda: count_in(folder) == number + 1, limit=90)
    visitor.screenshot("signed-in-again-lab")


def test_another_browser_stays_in_until_signing_out_everywhere(
    platform: Platform, turing: str, folder: Path, visit: Callable[..., Visitor]
) -> None:
    first, second = visit(turing), visit(turing)
    sign_in(first)
    sign_in(second)
    open_notebook(second.page, turing)
    run_cell(second.page)
    number = count_in(folder)

    first.page.goto("/hub/home")
    first.page.get_by_role("link", name="Sign out").click()
    expect(first.page.locator("#sign-in")).to_be_visible()
    second.page.wait_for_timeout(3000)
    run_cell(second.page)
    wait_until(lambda: count_in(folder) == number + 1)
    expect(second.page.get_by_role("dialog")).to_have_count(0)

    sign_in(first)
    first.page.goto("/hub/home")
    xsrf = next(
        cookie["value"]
        for cookie in first.context.cookies()
        if cookie["name"] == "_xsrf" and cookie["path"] == "/hub/"
    )
    answer = first.context.request.delete(
        f"{platform.url}/hub/api/users/{turing}/sessions",
        headers={"X-XSRFToken": xsrf, "Referer": f"{platform.url}/hub/home"},
    )
    assert answer.ok, answer.text()
    expect(second.page.get_by_role("dialog")).to_be_visible(timeout=POLL_LIMIT)
    second.screenshot("signed-out-everywhere-lab")
    assert_out(second.page, folder, number + 1)
    reload_to_sign_in(second.page)
    first.page.reload()
    expect(first.page.locator("#sign-in")).to_be_visible()
