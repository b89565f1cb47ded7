"""What people read when something does not work, and how they go on from there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.relay import EngineRelay
from tests.browser.visitor import START_LIMIT, Visitor
from tests.support import Platform

pytestmark = [pytest.mark.browser, pytest.mark.docker]


@pytest.fixture(scope="module")
def noether(platform: Platform) -> str:
    platform.add_user("noether")
    return "noether"


def test_start_shows_its_steps_then_why_it_failed_and_another_image_starts(
    noether: str, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(noether)
    page = visitor.page
    visitor.sign_in()
    visitor.choose("Broken")
    page.get_by_role("button", name="Start").click()
    steps = page.get_by_role("listitem")
    expect(steps.filter(has_text="Preparing your storage")).to_be_visible(timeout=START_LIMIT)
    expect(steps.last).to_have_text("Starting JupyterLab")
    expect(page.get_by_role("progressbar")).not_to_have_attribute("aria-valuenow", "0")
    visitor.screenshot("starting")
    expect(page.get_by_role("heading", name="Your server did not start")).to_be_visible(timeout=START_LIMIT)
    expect(page.locator(".sciserver-message")).to_contain_text("exit code 3")
    expect(page.locator("pre.sciserver-log")).to_have_text("license file missing <here>")
    expect(page.locator("body")).not_to_contain_text("SpawnException")
    visitor.screenshot("failed-start")

    # The same page, for who comes back later by the address of the server.
    page.goto(f"/user/{noether}/lab")
    expect(page.locator("pre.sciserver-log")).to_have_text("license file missing <here>")
    page.get_by_role("link", name="Try again or choose another image").click()
    visitor.choose("JupyterLab")
    page.get_by_role("button", name="Start").click()
    visitor.wait_for_lab()
    visitor.stop()


def test_start_is_cancelled(platform: Platform, visit: Callable[..., Visitor]) -> None:
    # With this name the image takes a minute until it fails.
    platform.add_user("galois")
    visitor = visit("galois")
    page = visitor.page
    visitor.sign_in()
    visitor.choose("Broken")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page).to_have_title("Home · SciServer", timeout=START_LIMIT)
    expect(page.locator("#my-server-state")).to_have_text("Stopped", timeout=START_LIMIT)


def test_missing_docker_engine_is_told_and_when_it_is_back_the_start_works(
    noether: str, visit: Callable[..., Visitor], engine_relay: EngineRelay
) -> None:
    visitor = visit(noether)
    page = visitor.page
    visitor.sign_in()
    page.goto("/hub/spawn")
    engine_relay.stop()
    try:
        visitor.choose("JupyterLab")
        page.get_by_role("button", name="Start").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The Docker Engine that runs the notebooks does not answer", timeout=START_LIMIT)
        expect(alert).to_contain_text("Your files are safe")
        expect(alert).not_to_contain_text("SpawnException")
        visitor.screenshot("docker-missing")
    finally:
        engine_relay.start()
    visitor.start("JupyterLab")
    visitor.stop()


def test_error_pages_say_what_to_do(noether: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(noether)
    page = visitor.page
    visitor.sign_in()
    for path, status, heading in (
        ("/hub/no-such-page", 404, "This page does not exist"),
        ("/user/somebody-else/lab", 404, "This page does not exist"),
        ("/hub/admin", 403, "You may not do this"),
        # How the proxy shows a server or service that it cannot reach.
        ("/hub/error/503", 200, "This does not answer now"),
    ):
        response = page.goto(path)
        assert response is not None
        assert response.status == status, path
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        expect(page.locator("main").get_by_role("link", name="Home")).to_have_attribute("href", "/hub/home")
        expect(page.locator("main")).not_to_contain_text("None")
