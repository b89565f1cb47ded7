"""The newcomer's path by clicking: register, choose an image, compute, stop, come back, leave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import START_LIMIT, Visitor
from tests.support import PASSWORD, Platform, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.docker]


def register(visitor: Visitor) -> None:
    """From the hub's sign-in page, as somebody without an account."""
    page = visitor.page
    page.goto("/")
    expect(page).to_have_title("Sign in · SciServer")
    visitor.screenshot("sign-in")
    page.get_by_role("link", name="Create an account").click()
    for field, value in {
        "user_name": visitor.name,
        "given_name": "Ada",
        "family_name": "Lovelace",
        "emails-0": f"{visitor.name}@example.org",
        "password1": PASSWORD,
        "password2": PASSWORD,
    }.items():
        page.locator(f"[name={field}]").fill(value)
    visitor.screenshot("register")
    page.get_by_role("button", name="Create an account").click()


def run_the_notebook(visitor: Visitor, platform: Platform) -> None:
    """Through JupyterLab's menu, until its last cell has written the table."""
    page = visitor.page
    visitor.entry("Getting started.ipynb").dblclick()
    # Before the kernel is there, Lab asks which one to take.
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=START_LIMIT)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    storage = platform.deployment.volumes_dir / "Storage" / visitor.name
    wait_until(lambda: list(storage.rglob("*.fits")), what="the notebook's last cell has run")
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=START_LIMIT)
    expect(page.locator(".jp-Notebook .jp-OutputArea-output[data-mime-type*=error]")).to_have_count(0)
    # Only the cells in view exist: up from the end, where Lab has gone, to the star diagram.
    page.locator(".jp-Notebook .jp-Cell").last.hover()
    plot = page.locator(".jp-Notebook .jp-OutputArea img")
    wait_until(lambda: page.mouse.wheel(0, -300) or plot.count(), what="a plot is shown")
    plot.first.scroll_into_view_if_needed()
    expect(plot.first).to_be_visible()
    assert plot.first.evaluate("(image) => image.naturalWidth") > 300
    # JupyterLab asks nothing about news, and looks for none.
    expect(page.get_by_text("Would you like to get notified")).to_have_count(0)
    visitor.screenshot("notebook")


def test_newcomer_registers_computes_stops_and_finds_the_files_again(
    platform: Platform, visit: Callable[..., Visitor]
) -> None:
    visitor = visit("ada")
    page = visitor.page
    register(visitor)

    expect(page).to_have_title("Start a server · SciServer")
    expect(page.locator("#login_widget")).to_contain_text("Ada Lovelace")
    expect(page.get_by_role("radio")).to_have_count(3)
    expect(page.get_by_role("radio").first).to_be_checked()
    visitor.screenshot("image-menu")
    visitor.choose("Python for astronomy")
    page.get_by_role("button", name="Start").click()
    visitor.wait_for_lab()
    for name in ("Temporary", "Getting started.ipynb"):
        expect(visitor.entry(name)).to_be_visible()
    run_the_notebook(visitor, platform)

    visitor.stop()
    visitor.screenshot("home-stopped")
    page.goto(f"/user/{visitor.name}/lab")
    expect(page.get_by_role("heading", name="Your server is not running")).to_be_visible()
    visitor.screenshot("stopped-server")
    page.get_by_role("link", name="Start my server").click()
    page.get_by_role("button", name="Start").click()
    visitor.wait_for_lab()
    visitor.open_folder("Storage", visitor.name, "persistent", "getting-started")
    expect(visitor.entry("hipparcos-near.fits")).to_be_visible()

    page.goto("/hub/home")
    page.get_by_role("link", name="Sign out").click()
    expect(page.locator("#sign-in")).to_be_visible()
    for protected in ("/hub/home", f"/user/{visitor.name}/lab"):
        page.goto(protected)
        expect(page).to_have_title("Sign in · SciServer")
    page.locator("#sign-in").click()
    expect(page.locator("[name=login]")).to_be_visible()


def test_more_servers_are_started_opened_stopped_and_deleted(
    platform: Platform, visit: Callable[..., Visitor]
) -> None:
    platform.add_user("grace")
    visitor = visit("grace")
    page = visitor.page
    visitor.sign_in()
    page.goto("/hub/home")
    page.get_by_label("Name of the new server").fill("Second try")
    page.get_by_role("button", name="New server").click()
    visitor.choose("JupyterLab")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/user/grace/second-try/lab**", timeout=START_LIMIT)

    page.goto("/hub/home")
    row = page.get_by_role("row", name="Second try")
    expect(row).to_contain_text("Running")
    visitor.screenshot("more-servers")
    row.get_by_role("button", name="Stop").click()
    expect(row).to_contain_text("Stopped", timeout=START_LIMIT)
    page.on("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
