"""The account page: tokens, sessions and activity, for oneself and for administrators."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.visitor import PHONE, Visitor
from tests.support import Platform

pytestmark = [pytest.mark.browser, pytest.mark.docker]

ACCOUNT = "/hub/account"


@pytest.fixture(scope="module")
def franklin(platform: Platform) -> str:
    platform.add_user("franklin")
    return "franklin"


@pytest.fixture(scope="module")
def boss(platform: Platform) -> str:
    platform.add_user("boss", admin=True)
    return "boss"


def open_account(visitor: Visitor) -> Page:
    visitor.sign_in()
    visitor.page.wait_for_url("**/hub/**")
    visitor.page.goto(ACCOUNT)
    expect(visitor.page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    return visitor.page


def make_token(page: Page, note: str, *scopes: str) -> str:
    """Fill in the form, and take the token that is shown."""
    if not page.get_by_label("What is it for?").is_visible():
        page.get_by_text("New token", exact=True).click()
    page.get_by_label("What is it for?").fill(note)
    for scope in scopes:
        page.get_by_label(scope).check()
    page.get_by_role("button", name="Make token").click()
    expect(page.get_by_role("heading", name="Your new token")).to_be_in_viewport()
    return page.get_by_label("New token", exact=True).input_value()


def answer(page: Page, button: str) -> None:
    """In the dialog that asks whether one is sure."""
    page.get_by_role("dialog").get_by_role("button", name=button).click()


def whoami(platform: Platform, token: str) -> requests.Response:
    return requests.get(f"{platform.url}/hub/api/user", headers={"Authorization": f"token {token}"}, timeout=20)


def is_signed_out(visitor: Visitor) -> bool:
    response = visitor.page.goto(ACCOUNT)
    assert response is not None
    return "/hub/login" in visitor.page.url


def test_token_is_made_used_renewed_and_revoked(
    platform: Platform, franklin: str, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(franklin)
    page = open_account(visitor)
    expect(page.get_by_text("You have no tokens.")).to_be_visible()
    visitor.screenshot("account-empty")
    checked = page.locator("#new-token input:checked")
    assert {box.get_attribute("value") for box in checked.all()} == {
        "custom:sciserver:casjobs:query",
        "custom:sciserver:files:read",
        "custom:sciserver:jobs:read",
    }
    token = make_token(page, "laptop <b>", "Read your name, groups and profile")
    visitor.screenshot("account-new-token")
    assert whoami(platform, token).json()["name"] == franklin
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_label("New token", exact=True)).to_be_hidden()
    assert token not in page.content()

    page.reload()
    assert token not in page.content()
    row = page.locator("#token-list").get_by_role("row", name="laptop <b>")
    expect(row).to_contain_text("List and read files that are yours or shared with you")
    expires = row.locator("td[data-label=Expires] time")
    before = expires.get_attribute("datetime")
    row.get_by_role("button", name="Renew").click()
    page.get_by_role("dialog").get_by_label("From now on, it works for").select_option("90 days")
    visitor.screenshot("account-renew")
    answer(page, "Renew")
    expect(page.get_by_text("“laptop <b>” is renewed.")).to_be_visible()
    assert (expires.get_attribute("datetime") or "") > (before or "")
    assert whoami(platform, token).status_code == 200

    row.get_by_role("button", name="Revoke").click()
    answer(page, "Cancel")
    assert whoami(platform, token).status_code == 200
    row.get_by_role("button", name="Revoke").click()
    visitor.screenshot("account-revoke")
    answer(page, "Revoke")
    expect(row).to_have_count(0)
    assert whoami(platform, token).status_code == 403
    activity = page.locator("#activity-list tbody tr")
    for number, text in enumerate(["Token revoked", "Token renewed", "Token made", "Signed in"]):
        expect(activity.nth(number)).to_contain_text(text)
    expect(activity.first).to_contain_text("127.0.0.1")
    visitor.screenshot("account-activity")


def test_form_says_what_is_missing_and_a_refusal_is_told_beside_the_button(
    platform: Platform, franklin: str, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(franklin)
    page = open_account(visitor)
    page.locator("#new-token-details").evaluate("details => details.open = true")
    for box in page.locator("#new-token input[type=checkbox]").all():
        box.uncheck()
    page.get_by_role("button", name="Make token").click()
    expect(page.get_by_text("Say what it is for")).to_be_visible()
    expect(page.get_by_text("Choose at least one.")).to_be_visible()
    expect(page.get_by_label("What is it for?")).to_be_focused()
    visitor.screenshot("account-missing")

    token = make_token(page, "gone meanwhile", "See your jobs and their results")
    page.get_by_role("button", name="I have copied it").click()
    # Somebody else was faster: the same person in another window.
    other = {"Authorization": f"token {make_token(page, 'other', 'Everything that you may do')}"}
    listed = requests.get(f"{platform.url}/hub/api/users/{franklin}/tokens", headers=other, timeout=20)
    (gone,) = [item["id"] for item in listed.json()["api_tokens"] if item["note"] == "gone meanwhile"]
    requests.delete(f"{platform.url}/hub/api/users/{franklin}/tokens/{gone}", headers=other, timeout=20)
    row = page.locator("#token-list").get_by_role("row", name="gone meanwhile")
    row.get_by_role("button", name="Renew").click()
    answer(page, "Renew")
    expect(row.get_by_role("alert")).to_contain_text("It is gone already.")
    expect(row.get_by_role("button", name="Renew")).to_be_enabled()
    visitor.screenshot("account-refused")
    assert whoami(platform, token).status_code == 403
    # Chromium reports the refused request, which is what this test is about.
    assert len(visitor.strange) == 1
    assert "404" in visitor.strange[0]
    visitor.strange.clear()


def test_another_browser_is_put_out_alone_then_all_are(franklin: str, visit: Callable[..., Visitor]) -> None:
    here, there = visit(franklin), visit(franklin)
    open_account(there)
    page = open_account(here)
    sessions = page.locator("#session-list tbody tr")
    this = sessions.filter(has_text="This one")
    expect(this).to_have_count(1)
    expect(this).to_contain_text("Chrome on Linux")
    expect(this.get_by_role("button")).to_have_count(0)
    expect(this.get_by_role("link", name="Sign out")).to_be_visible()
    here.screenshot("account-sessions")
    # Those of other tests in this browser's name are ended as well, one by one.
    others = sessions.filter(has_not_text="This one")
    for left in range(others.count(), 0, -1):
        others.first.get_by_role("button", name="End").click()
        answer(page, "End")
        expect(others).to_have_count(left - 1)
    assert is_signed_out(there)
    assert not is_signed_out(here)

    # The portal has forgotten that browser too.
    there.page.goto("/hub/oauth_login?next=/hub/account")
    there.enter_password()
    expect(there.page.get_by_role("heading", name="Account", exact=True)).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Sign out everywhere").click()
    here.screenshot("account-everywhere")
    answer(page, "Sign out everywhere")
    page.wait_for_url("**/hub/login**")
    expect(page.locator("#sign-in")).to_be_visible()
    assert is_signed_out(there)
    # Nor does the portal let either browser in again without the password.
    for visitor in (here, there):
        visitor.page.goto("/hub/oauth_login")
        expect(visitor.page.locator("[name=login], [name=password]").first).to_be_visible()


def test_signing_out_in_one_tab_leads_the_others_to_the_sign_in_page(
    franklin: str, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(franklin)
    first = open_account(visitor)
    second = visitor.context.new_page()
    second.goto(ACCOUNT + "#tokens")
    third = visitor.context.new_page()
    third.goto("/hub/home")
    # A page without a user is no proof that nobody is signed in.
    error = visitor.context.new_page()
    error.goto("/hub/error/503")
    error.close()
    expect(third).to_have_url(re.compile("/hub/home$"))
    first.get_by_role("link", name="Sign out").first.click()
    expect(first.locator("#sign-in")).to_be_visible()
    for page in (second, third):
        expect(page.locator("#sign-in")).to_be_visible()
        expect(page).to_have_url(re.compile("/hub/login"))
    assert "next=%2Fhub%2Faccount" in second.url


def test_servers_are_listed_and_revoked_apart_from_tokens(platform: Platform, visit: Callable[..., Visitor]) -> None:
    # Somebody else than in the other tests: whoever has a running server comes to it from the sign-in.
    platform.add_user("perutz")
    visitor = visit("perutz")
    visitor.sign_in()
    page = visitor.page
    page.wait_for_url("**/hub/**")
    visitor.start("JupyterLab")
    page.goto(ACCOUNT)
    applications = page.locator("#application-list tbody tr").filter(has_text="My server")
    inside = applications.filter(has_text="its notebooks")
    opened = applications.filter(has_text="in a browser")
    expect(inside).to_have_count(1)
    expect(inside).to_contain_text("Write, move and delete files that are yours or shared for writing")
    expect(opened).to_have_count(1)
    expect(page.locator("#token-list")).not_to_contain_text("Server at")
    expect(page.locator("#activity-list")).not_to_contain_text("Server at")
    visitor.page.locator("#applications").scroll_into_view_if_needed()
    visitor.screenshot("account-applications")
    opened.get_by_role("button", name="Revoke My server, in a browser").click()
    answer(page, "Revoke")
    expect(opened).to_have_count(0)
    expect(inside).to_have_count(1)
    inside.get_by_role("button", name="Revoke My server, inside").click()
    expect(page.get_by_role("dialog")).to_contain_text("until the server is started again")
    answer(page, "Revoke")
    expect(inside).to_have_count(0)
    visitor.stop()
    page.goto(ACCOUNT)
    expect(applications).to_have_count(0)


def test_back_after_signing_out_shows_nothing(franklin: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(franklin)
    page = open_account(visitor)
    page.locator("#logout").click()
    expect(page.locator("#sign-in")).to_be_visible()
    page.goto("/hub/login?again=1")
    page.evaluate("history.go(-3)")
    expect(page.get_by_text(franklin)).to_have_count(0)
    expect(page.locator("#sign-in").or_(page.locator("[name=login]"))).to_be_visible()


def test_profile_page_of_the_portal_is_linked(franklin: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(franklin)
    page = open_account(visitor)
    page.get_by_role("link", name="Change password or profile").click()
    expect(page).to_have_url(re.compile(f"/services/portal/profile/{franklin}$"))
    expect(page.locator("[name=family_name]")).to_be_visible()


def test_client_configuration_is_offered_for_download(franklin: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(franklin)
    page = open_account(visitor)
    make_token(page, "laptop")
    with page.expect_download() as download:
        page.get_by_role("link", name="sciscript.json").click()
    assert download.value.suggested_filename == "sciscript.json"
    assert "AuthenticationURL" in download.value.path().read_text()


def test_keyboard_alone_makes_and_revokes_a_token(
    platform: Platform, franklin: str, visit: Callable[..., Visitor]
) -> None:
    visitor = visit(franklin)
    page = open_account(visitor)
    if not page.locator("#token-note").is_visible():
        visitor.tab_to("#new-token-details > summary", limit=80)
        page.keyboard.press("Enter")
    visitor.tab_to("#token-note", limit=80)
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#new-token-shown")).to_be_focused()
    token = page.locator("#new-token-value").input_value()
    visitor.tab_to("#hide-token")
    page.keyboard.press("Enter")
    expect(page.locator("#tokens-title")).to_be_focused()
    button = page.get_by_role("button", name="Revoke the token by keyboard")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    assert whoami(platform, token).status_code == 200
    page.keyboard.press("Enter")
    visitor.tab_to("#confirm-yes")
    page.keyboard.press("Enter")
    expect(page.get_by_text("“by keyboard” is revoked.")).to_be_visible()
    expect(page.locator("#tokens-title")).to_be_focused()
    assert whoami(platform, token).status_code == 403


def test_phone_shows_everything_without_scrolling_sideways(franklin: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(franklin, viewport=PHONE, has_touch=True, is_mobile=True)
    page = open_account(visitor)
    make_token(page, "a-name-without-any-place-to-break-it-that-is-much-longer-than-a-phone-is-wide")
    visitor.assert_fits()
    visitor.screenshot("phone-account-token")
    page.get_by_role("button", name="I have copied it").click()
    visitor.assert_fits()
    visitor.page.screenshot(path="tests/screenshots/phone-account.png", full_page=True)
    page.get_by_role("button", name=re.compile("^Revoke the token a-name")).click()
    visitor.assert_fits()
    visitor.screenshot("phone-account-dialog")
    answer(page, "Revoke")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(franklin: str, visit: Callable[..., Visitor], scheme: str) -> None:
    visitor = visit(franklin, color_scheme=scheme)
    page = open_account(visitor)
    make_token(page, "readable")
    page.locator("#new-token-details").evaluate("details => details.open = true")
    page.get_by_role("button", name="Make token").click()
    visitor.assert_readable()
    page.screenshot(path=f"tests/screenshots/{scheme}-account-page.png", full_page=True)
    page.get_by_role("button", name="Revoke the token readable").first.click()
    visitor.assert_readable()
    visitor.screenshot(f"{scheme}-account-dialog")
    answer(page, "Revoke")


def test_administrator_sees_and_revokes_the_access_of_somebody_else(
    platform: Platform, boss: str, franklin: str, visit: Callable[..., Visitor]
) -> None:
    victim = visit(franklin)
    token = make_token(open_account(victim), "to be revoked")
    visitor = visit(boss)
    page = open_account(visitor)
    page.goto("/hub/admin")
    visitor.screenshot("administration")
    page.get_by_role("link", name="Somebody's sessions and tokens").click()
    page.get_by_label("User name", exact=True).fill(franklin)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name=f"Access of {franklin}")).to_be_visible()
    expect(page.locator("#token-list").get_by_role("row", name="to be revoked")).to_be_visible()
    expect(page.locator("#new-token, [data-do=renew]")).to_have_count(0)
    expect(page.get_by_text("Change password or profile")).to_have_count(0)
    visitor.assert_readable()
    page.screenshot(path="tests/screenshots/account-of-another.png", full_page=True)

    page.get_by_text("Link another account").click()
    page.get_by_role("button", name="Link", exact=True).click()
    expect(page.get_by_text("Both are needed.")).to_be_visible()
    page.get_by_label("Issuer").fill("https://login.example.org")
    page.get_by_label("Subject").fill("12345")
    page.get_by_role("button", name="Link", exact=True).click()
    link = page.locator("#identities").get_by_role("row", name="login.example.org")
    expect(link).to_contain_text("12345")
    link.get_by_role("button", name="Remove").click()
    answer(page, "Remove")
    expect(link).to_have_count(0)

    page.get_by_role("button", name="Revoke all access").click()
    visitor.screenshot("account-revoke-all")
    answer(page, "Revoke all access")
    expect(page.get_by_text(f"{franklin} has no access any more")).to_be_visible()
    expect(page.locator("#sessions")).to_contain_text("Nowhere.")
    assert whoami(platform, token).status_code == 403
    assert is_signed_out(victim)
    assert not is_signed_out(visitor)


def test_others_do_not_see_that_a_user_exists(boss: str, franklin: str, visit: Callable[..., Visitor]) -> None:
    visitor = visit(franklin)
    open_account(visitor)
    expect(visitor.page.locator("#others")).to_have_count(0)
    statuses = set()
    for name in (boss, "nobody-of-that-name"):
        response = visitor.page.goto(f"{ACCOUNT}/{name}")
        assert response is not None
        statuses.add(response.status)
        expect(visitor.page.locator("main")).not_to_contain_text(name)
    assert statuses in ({403}, {404})
