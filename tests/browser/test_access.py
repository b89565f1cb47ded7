"""Signing in, with the keyboard alone and on a phone, and what pages look like to people who see less."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import PHONE, Visitor
from tests.support import PASSWORD, Platform

pytestmark = [pytest.mark.browser, pytest.mark.docker]


@pytest.fixture(scope="module")
def hopper(platform: Platform) -> str:
    platform.add_user("hopper")
    return "hopper"


def test_wrong_password_is_told_and_does_not_sign_in(platform: Platform, visit: Callable[..., Visitor]) -> None:
    # An account of its own: the portal makes the next attempt on it wait.
    platform.add_user("curie")
    visitor = visit("curie")
    visitor.sign_in("not the passphrase")
    expect(visitor.page.locator(".ui.error.message")).to_be_visible()
    expect(visitor.page.locator("[name=password]")).to_be_visible()
    visitor.screenshot("wrong-password")
    visitor.page.goto("/hub/home")
    expect(visitor.page.locator("#sign-in")).to_be_visible()


def test_keyboard_alone_leads_to_jupyterlab_and_back_out(hopper: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(hopper)
    page = visitor.page
    page.goto("/hub/login")
    visitor.tab_to("#sign-in")
    page.keyboard.press("Enter")
    for field, value in (("login", hopper), ("password", PASSWORD)):
        page.locator(f"[name={field}]").wait_for()
        visitor.tab_to(f"[name={field}]")
        page.keyboard.type(value)
        page.keyboard.press("Enter")
    # The proposed image has the focus; the arrow keys choose another.
    expect(page.locator("input[value=python-astro]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[value=base]")).to_be_checked()
    visitor.tab_to("#spawn_form button")
    visitor.screenshot("keyboard")
    page.keyboard.press("Enter")
    visitor.wait_for_lab()

    page.goto("/hub/home")
    visitor.tab_to("#stop-server")
    page.keyboard.press("Enter")
    expect(page.locator("#my-server-state")).to_have_text("Stopped", timeout=60_000)
    visitor.tab_to("#logout")
    page.keyboard.press("Enter")
    expect(page.locator("#sign-in")).to_be_visible()


def test_phone_shows_every_page_without_scrolling_sideways(hopper: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(hopper, viewport=PHONE, has_touch=True, is_mobile=True)
    page = visitor.page
    page.goto("/hub/login")
    visitor.assert_fits()
    visitor.screenshot("phone-sign-in")
    page.goto("/services/portal/register")
    expect(page.locator("[name=user_name]")).to_be_visible()
    visitor.assert_fits()
    visitor.screenshot("phone-register")
    visitor.sign_in()
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    visitor.assert_fits()
    visitor.screenshot("phone-image-menu")
    for path in ("/hub/account", "/hub/no-such-page", f"/user/{hopper}/lab", "/hub/home"):
        page.goto(path)
        visitor.assert_fits()
    page.get_by_role("button", name="Toggle navigation").click()
    expect(page.locator("#thenavbar")).to_have_class("navbar-collapse collapse show")
    expect(page.locator("#logout")).to_be_in_viewport()
    visitor.assert_fits()
    visitor.screenshot("phone-home")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(hopper: str, visit: Callable[..., Visitor], scheme: str) -> None:
    visitor = visit(hopper, color_scheme=scheme)
    visitor.page.goto("/hub/login")
    visitor.assert_readable()
    visitor.sign_in()
    expect(visitor.page.get_by_role("button", name="Start")).to_be_visible()
    for path in ("/hub/spawn", "/hub/home", "/hub/account", f"/user/{hopper}/lab", "/hub/no-such-page"):
        visitor.page.goto(path)
        visitor.assert_readable()
        visitor.screenshot(f"{scheme}-{path.rpartition('/')[2]}")


def test_sign_in_page_offers_an_account_and_shows_the_logo(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    page.goto("/hub/login")
    assert page.request.get("/hub/logo").headers["content-type"] == "image/svg+xml"
    page.get_by_role("link", name="Create an account").click()
    expect(page.locator("[name=user_name]")).to_be_visible()
