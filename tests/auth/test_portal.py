"""The portal's pages and its process: who may do what, names, passwords, mail, storage, restarts."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest
import requests
from aiosmtpd.controller import Controller
from auth_platform import PASSWORD, Browser, Platform, make_deployment, messages
from bs4 import BeautifulSoup

from sciserver_auth.portal import accounts
from tests.support import free_port


def users_of(platform: Platform, *names: str) -> list[Browser]:
    """Signed-in browsers of new accounts; the name "boss…" makes an administrator."""
    browsers = []
    for name in names:
        accounts.add_user(
            platform.deployment, name, PASSWORD, admin=name.startswith("boss"), email=f"{name}@example.org"
        )
        browser = Browser(platform, internal=True)
        page = browser.sign_in_at_portal(name)
        assert f"/profile/{name}" in page.url, messages(page)
        browsers.append(browser)
    return browsers


@pytest.mark.parametrize("name", ["ada", "a", "ada.lovelace", "ada-1_b", "a" * 63])
def test_good_user_names(portal_only: Platform, name: str) -> None:
    page = Browser(portal_only, internal=True).register(name)
    assert f"/profile/{name}" in page.url, messages(page)


@pytest.mark.parametrize(
    "name",
    ["Ada", "1ada", "a/b", "a..b", "..", ".ada", "ada.", "ada@x.org", "a b", "ä", "a" * 64, "a\nb", "a%2fb", "-a"],
)
def test_bad_user_names_are_refused_with_the_rule(portal_only: Platform, name: str) -> None:
    page = Browser(portal_only, internal=True).register(name, **{"emails-0": "bad.name@example.org"})
    assert page.url.endswith("/register")
    assert "A user name starts with a lower-case letter" in page.text
    assert not accounts.user_exists(portal_only.deployment, name)


def test_short_password_and_taken_name(portal_only: Platform) -> None:
    browser = Browser(portal_only, internal=True)
    assert "at least 8 characters" in browser.register("short", "1234567").text
    assert not accounts.user_exists(portal_only.deployment, "short")
    accounts.add_user(portal_only.deployment, "taken", PASSWORD)
    assert "already exists" in browser.register("taken").text


def test_registering_as_admin_gives_no_rights(portal_only: Platform) -> None:
    browser = Browser(portal_only, internal=True)
    browser.register("admin", groups="admin")
    for path in ("/users", "/groups/", "/admin/client/", "/admin/mail", "/profile"):
        assert browser.portal(path).status_code == 403, path


def test_ordinary_user_cannot_reach_the_pages_of_administrators(portal_only: Platform) -> None:
    _victim, browser = users_of(portal_only, "victim", "ordinary")
    paths = ["/users", "/profile", "/groups/", "/groups/add", "/groups/admin", "/invite", "/admin/client/"]
    for path in [*paths, "/admin/token/", "/impersonate/victim"]:
        assert browser.portal(path).status_code in {403, 500 if path == "/invite" else 403}, path
    for path in ("/profile/victim", "/profile/victim/settings", "/profile/victim/auth/password"):
        assert browser.portal(path).status_code == 404, path


def test_ordinary_user_cannot_promote_or_rename_oneself(portal_only: Platform) -> None:
    (browser,) = users_of(portal_only, "climber")
    page = browser.portal("/profile/climber/settings")
    group = _admin_group_id(portal_only)
    browser.submit(page, action="edit-settings", groups=group, user_name="other", lock_date="")
    page = browser.portal("/profile/climber")
    browser.submit(page, action="edit-profile", groups=group, user_name="other")
    assert not accounts.user_exists(portal_only.deployment, "other")
    assert browser.portal("/users").status_code == 403
    page = browser.post(
        f"{browser.portal_url}/groups/add",
        data={"display_name": "admin"} | _token(browser, "/profile/climber"),
        timeout=20,
    )
    assert page.status_code == 403


def _token(browser: Browser, path: str) -> dict[str, str]:
    soup = BeautifulSoup(browser.portal(path).text, "html.parser")
    field = soup.select_one("input[name=csrf_token]")
    assert field is not None
    return {"csrf_token": str(field["value"])}


def _admin_group_id(platform: Platform) -> str:
    name = f"boss{len(list(platform.deployment.portal_dir.glob('*')))}.{id(platform) % 1000}"
    (boss,) = users_of(platform, name)
    soup = BeautifulSoup(boss.portal(f"/profile/{name}/settings").text, "html.parser")
    option = soup.select_one("select[name=groups] option")
    assert option is not None
    return str(option["value"])


def test_administrator_manages_users_groups_and_passwords(portal_only: Platform) -> None:
    boss, member = users_of(portal_only, "boss", "member")
    assert boss.portal("/users").status_code == 200
    page = boss.submit(boss.portal("/groups/add"), display_name="astronomers", description="Stars")
    assert page.url.endswith("/groups/astronomers"), messages(page)
    page = boss.submit(boss.portal("/groups/add"), display_name="a/b")
    assert "A group name has at most" in page.text
    page = boss.portal("/profile/member/settings")
    soup = BeautifulSoup(page.text, "html.parser")
    groups = {option.get_text(strip=True): option["value"] for option in soup.select("select[name=groups] option")}
    boss.submit(page, action="edit-settings", groups=[groups["astronomers"]])
    assert "astronomers" in member.portal("/profile/member/settings").text
    page = boss.portal("/profile/member/auth/password")
    boss.submit(page, action="edit-password", password1="a new password", password2="a new password")
    fresh = Browser(portal_only, internal=True)
    assert "/profile/member" in fresh.sign_in_at_portal("member", "a new password").url


def test_password_change(portal_only: Platform) -> None:
    (browser,) = users_of(portal_only, "changer")
    page = browser.portal("/profile/changer/auth/password")
    browser.submit(page, action="edit-password", password1="another password", password2="another password")
    fresh = Browser(portal_only, internal=True)
    assert "/profile/changer" in fresh.sign_in_at_portal("changer", "another password").url
    assert "Login failed" in messages(Browser(portal_only, internal=True).sign_in_at_portal("changer", PASSWORD))


def test_wrong_passwords_cost_time(portal_only: Platform) -> None:
    accounts.add_user(portal_only.deployment, "slowed", PASSWORD)
    for _ in range(2):
        Browser(portal_only, internal=True).sign_in_at_portal("slowed", "wrong password")
    page = Browser(portal_only, internal=True).sign_in_at_portal("slowed")
    assert "Please wait" in messages(page)
    # The operator's command lifts it.
    accounts.set_password(portal_only.deployment, "slowed", PASSWORD)
    assert "/profile/slowed" in Browser(portal_only, internal=True).sign_in_at_portal("slowed").url


def test_without_mail_the_page_says_who_helps(portal_only: Platform) -> None:
    browser = Browser(portal_only, internal=True)
    page = browser.submit(browser.portal("/login"), login="somebody")
    assert "Ask an administrator" in page.text
    assert "/reset" not in page.text


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "Forwarded"])
def test_forged_host_is_ignored(portal_only: Platform, header: str) -> None:
    value = "host=evil.example" if header == "Forwarded" else "evil.example"
    answer = requests.get(portal_only.discovery_url, headers={header: value}, timeout=20)
    assert answer.status_code == 200
    assert "evil" not in answer.text
    document = answer.json()
    public = portal_only.deployment.service_url("portal")
    assert document["issuer"] == public
    endpoints = [url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert endpoints
    assert all(url.startswith(f"{public}/") for url in endpoints)


def test_nothing_outside_the_prefix_and_no_request_objects(portal_only: Platform) -> None:
    base = portal_only.deployment.internal_url("portal")
    assert requests.get(base.removesuffix("/services/portal") + "/login", timeout=20).status_code == 404
    answer = requests.get(f"{base}/oauth/authorize?request_uri=http://127.0.0.1/", timeout=20)
    assert answer.status_code == 400
    assert requests.head(f"{base}/static/css/base.css", timeout=20).status_code == 200
    for asset in ("/_theme/theme/sciserver.css", "/_theme/theme/logo.svg", "/static/htmx/htmx.min.js"):
        assert requests.get(f"{base}{asset}", timeout=20).status_code == 200


def test_killed_portal_keeps_its_accounts_and_sessions(portal_only: Platform) -> None:
    browser = Browser(portal_only, internal=True)
    browser.register("survivor")
    portal_only.portal.stop(signal.SIGKILL)
    keys = (portal_only.deployment.secrets_dir / "portal-signing-key.pem").read_text()
    portal_only.start_portal()
    assert "/profile/survivor" in browser.portal("/").url
    assert (portal_only.deployment.secrets_dir / "portal-signing-key.pem").read_text() == keys
    assert (portal_only.deployment.secrets_dir / "portal-signing-key.pem").stat().st_mode & 0o077 == 0
    assert (portal_only.deployment.portal_dir / "portal.sqlite").stat().st_mode & 0o077 == 0


def test_graceful_end_and_a_taken_port(portal_only: Platform) -> None:
    second = Platform(portal_only.deployment)
    second.portal.log = portal_only.deployment.logs_dir / "second.log"
    with pytest.raises((RuntimeError, AssertionError), match="cannot be listened on"):
        # The first one answers at the address: wait for the second one's end instead.
        second.portal.start(f"{portal_only.health_url}/nothing-here")
    assert portal_only.portal.stop() == 0
    portal_only.start_portal()


def test_accounts_of_the_operator(portal_only: Platform) -> None:
    deployment = portal_only.deployment
    with pytest.raises(accounts.AccountError, match="lower-case letter"):
        accounts.add_user(deployment, "../etc", PASSWORD)
    with pytest.raises(accounts.AccountError, match="at least 8"):
        accounts.add_user(deployment, "fine", "short")
    accounts.add_user(deployment, "fine", PASSWORD, email="fine@example.org")
    with pytest.raises(accounts.AccountError, match="exists already"):
        accounts.add_user(deployment, "fine", PASSWORD)
    with pytest.raises(accounts.AccountError, match="belongs to another"):
        accounts.add_user(deployment, "other", PASSWORD, email="fine@example.org")
    with pytest.raises(accounts.AccountError, match="no user"):
        accounts.set_password(deployment, "missing", PASSWORD)
    with pytest.raises(accounts.AccountError, match="no such configuration"):
        accounts.user_exists(deployment, "fine", config_file="/nowhere.py")


class Mailbox:
    """A mail server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        self.mails.append(envelope.content)  # type: ignore[attr-defined]
        return "250 OK"

    def last_link(self) -> str:
        message = message_from_bytes(self.mails[-1], policy=policy.default)
        body = message.get_body(("plain",))
        assert body is not None
        found = re.search(r"https?://\S+/(?:reset|register)/\S+", body.get_content())
        assert found, body.get_content()
        return found.group()


@pytest.fixture(scope="module")
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield box, controller.port
    controller.stop()


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory, mailbox: tuple[Mailbox, int]) -> Iterator[Platform]:
    config = f"""
c.Portal.smtp_host = "127.0.0.1"
c.Portal.smtp_port = {mailbox[1]}
c.Portal.smtp_from = "noreply@example.org"
"""
    platform = Platform(make_deployment(tmp_path_factory.mktemp("mailing")), config)
    try:
        platform.start_portal()
        yield platform
    finally:
        platform.stop()


def _internal(platform: Platform, link: str) -> str:
    # There is no proxy before this portal; the link itself must name the public address.
    public = platform.deployment.service_url("portal")
    assert link.startswith(f"{public}/")
    return link.removeprefix(public)


def test_password_reset_by_mail(mailing: Platform, mailbox: tuple[Mailbox, int]) -> None:
    accounts.add_user(mailing.deployment, "forgetful", PASSWORD, email="forgetful@example.org")
    browser = Browser(mailing, internal=True)
    browser.headers["X-Forwarded-Host"] = "evil.example"
    browser.submit(browser.portal("/reset"), login="forgetful")
    link = _internal(mailing, mailbox[0].last_link())
    page = browser.submit(browser.portal(link), password="brand new password", confirmation="brand new password")
    assert "/profile/forgetful" in page.url, messages(page)
    # Good for one use.
    assert "invalid" in messages(Browser(mailing, internal=True).portal(link))
    fresh = Browser(mailing, internal=True)
    assert "/profile/forgetful" in fresh.sign_in_at_portal("forgetful", "brand new password").url


def test_registration_with_a_confirmed_address(mailing: Platform, mailbox: tuple[Mailbox, int]) -> None:
    browser = Browser(mailing, internal=True)
    assert browser.portal("/register").status_code == 403
    browser.submit(browser.portal("/join"), email="new@example.org")
    page = browser.portal(_internal(mailing, mailbox[0].last_link()))
    page = browser.submit(page, user_name="confirmed", family_name="New", password1=PASSWORD, password2=PASSWORD)
    assert "/profile/confirmed" in page.url, messages(page)


def test_registration_off_and_bad_options(tmp_path: Path) -> None:
    platform = Platform(make_deployment(tmp_path), "c.Portal.registration = False\n")
    try:
        platform.start_portal()
        browser = Browser(platform, internal=True)
        assert browser.portal("/register").status_code == 403
        assert browser.portal("/join").status_code == 404
        assert "Create an account" not in browser.portal("/login").text
    finally:
        platform.stop()
    platform.config_file.write_text("c = get_config()\nc.Portal.minimum_password_length = 2\n")
    with pytest.raises(RuntimeError, match="minimum_password_length"):
        platform.start_portal()
