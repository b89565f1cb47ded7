"""What happens to an account at the portal ends its access at the hub, whoever is down meanwhile."""

from __future__ import annotations

import datetime
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qs

import jwt
import pytest
import requests
from auth_platform import PASSWORD, Browser, Platform, make_deployment, messages
from canaille.app import models
from canaille.backends import Backend
from canaille.backends.sql.backend import SQLBackend
from oidc_server import LOGOUT_EVENT, RISC

from sciserver_auth.portal import accounts
from tests.support import wait_until

NEW_PASSWORD = "a different passphrase"
NUMBERS = count(1)

# What is delivered "within seconds"; the rest is for a busy machine.
LIMIT = 30.0


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    # No renewal in these tests: whatever ends, a notice has ended it.
    config = "c.SciServerAuthenticator.refresh_interval = 0\n"
    platform = Platform(make_deployment(tmp_path_factory.mktemp("platform")), config)
    try:
        platform.start_portal()
        platform.start_hub()
        accounts.add_user(platform.deployment, "warden", PASSWORD, admin=True)
        yield platform
    finally:
        platform.stop()


@pytest.fixture
def running(platform: Platform) -> Iterator[Platform]:
    """The platform, whose processes a test may have stopped before it failed."""
    yield platform
    for process, start in ((platform.portal, platform.start_portal), (platform.hub, platform.start_hub)):
        if process.popen is not None and process.popen.poll() is not None:
            platform.proxy.stop() if process is platform.hub else None
            start()


class Person:
    """Somebody who is signed in in two browsers and has a token for a script."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.name = f"person{next(NUMBERS)}"
        self.hub = f"{platform.deployment.public_url}/hub"
        accounts.add_user(platform.deployment, self.name, PASSWORD)
        self.first, self.second = self.sign_in(), self.sign_in()
        self.token = platform.hub_api("POST", f"/users/{self.name}/tokens").json()["token"]
        assert self.token_works()

    def sign_in(self, password: str = PASSWORD) -> Browser:
        browser = Browser(self.platform)
        page = browser.sign_in(self.name, password)
        assert page.url == f"{self.hub}/home", messages(page)
        return browser

    def is_in(self, browser: Browser) -> bool:
        return browser.get(f"{self.hub}/home", timeout=20, allow_redirects=False).status_code == 200

    def is_out(self) -> bool:
        return not self.is_in(self.first) and not self.is_in(self.second)

    def token_works(self) -> bool:
        headers = {"Authorization": f"token {self.token}"}
        return requests.get(f"{self.hub}/api/user", headers=headers, timeout=20).status_code == 200

    def settings(self, **action: Any) -> None:
        """What an administrator does on the portal's page about this account."""
        warden = Browser(self.platform, internal=True)
        warden.sign_in_at_portal("warden")
        page = warden.submit(warden.portal(f"/profile/{self.name}/settings"), **action)
        assert page.status_code == 200, page.text


@contextmanager
def database(platform: Platform) -> Iterator[None]:
    """The portal's accounts, in this process, as the operator's command has them."""
    with accounts._database(platform.deployment, str(platform.config_file)):
        yield


def waiting(platform: Platform) -> list[str]:
    """Kinds of notices that the hub has not taken yet."""
    with sqlite3.connect(platform.deployment.portal_dir / "portal.sqlite", timeout=20) as connection:
        return [kind for (kind,) in connection.execute("SELECT kind FROM sciserver_notice ORDER BY id")]


@pytest.mark.parametrize("action", ["lock-execute", "delete-execute"])
def test_closed_account_loses_everything(platform: Platform, action: str) -> None:
    person, other = Person(platform), Person(platform)
    person.settings(action=action)
    wait_until(lambda: person.is_out() and not person.token_works(), limit=LIMIT, what="everything has ended")
    page = person.first.get(f"{person.hub}/oauth_login", timeout=20)
    assert page.url.startswith(f"{platform.deployment.service_url('portal')}/login")
    assert other.is_in(other.first)
    assert other.token_works()
    wait_until(lambda: not waiting(platform), limit=LIMIT, what="the outbox is empty")


def test_unlocked_account_comes_back(platform: Platform) -> None:
    person = Person(platform)
    person.settings(action="lock-execute")
    wait_until(person.is_out, limit=LIMIT)
    person.settings(action="unlock")
    browser = person.sign_in()
    time.sleep(3)
    assert person.is_in(browser)


def test_password_from_the_page(platform: Platform) -> None:
    person = Person(platform)
    page = person.first.portal(f"/profile/{person.name}/auth/password")
    person.first.submit(page, action="edit-password", password1=NEW_PASSWORD, password2=NEW_PASSWORD)
    wait_until(person.is_out, limit=LIMIT, what="both browsers are out")
    # The one that has the new password comes back without typing it; the other one does not come back.
    assert person.first.get(f"{person.hub}/oauth_login", timeout=20).url == f"{person.hub}/home"
    assert "/services/portal/login" in person.second.get(f"{person.hub}/oauth_login", timeout=20).url
    # Scripts go on: their token is no password.
    assert person.token_works()
    time.sleep(3)
    assert person.is_in(person.first)


def test_password_from_the_operators_command(platform: Platform) -> None:
    person = Person(platform)
    accounts.set_password(platform.deployment, person.name, NEW_PASSWORD)
    browser = person.sign_in(NEW_PASSWORD)
    wait_until(person.is_out, limit=LIMIT, what="both browsers are out")
    wait_until(lambda: not waiting(platform), limit=LIMIT)
    # Signed in after the change, even though the hub may have learned of it later.
    assert person.is_in(browser)


def test_lock_on_a_day_in_the_future(platform: Platform) -> None:
    person, spared = Person(platform), Person(platform)
    with database(platform):
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=6)
        for somebody in (person, spared):
            user = Backend.instance.get(models.User, user_name=somebody.name)
            user.lock_date = soon
            Backend.instance.save(user)
        # Somebody has thought better of it.
        user.lock_date = soon + datetime.timedelta(days=7)
        Backend.instance.save(user)
    assert person.is_in(person.first)
    wait_until(lambda: person.is_out() and not person.token_works(), limit=LIMIT)
    assert datetime.datetime.now(datetime.UTC) >= soon
    assert spared.is_in(spared.first)
    # A later notice about the same person does not wait for that day.
    accounts.set_password(platform.deployment, spared.name, NEW_PASSWORD)
    wait_until(spared.is_out, limit=LIMIT)
    with database(platform):
        Backend.instance.delete(Backend.instance.get(models.User, user_name=spared.name))
    wait_until(lambda: not waiting(platform), limit=LIMIT, what="no lock is left over of a deleted account")


def test_hub_is_down_meanwhile(running: Platform) -> None:
    locked, changed = Person(running), Person(running)
    running.hub.stop(signal.SIGKILL)
    running.proxy.stop()
    locked.settings(action="lock-execute")
    accounts.set_password(running.deployment, changed.name, NEW_PASSWORD)
    time.sleep(3)
    assert sorted(waiting(running)) == ["locked", "password"]
    running.start_hub()
    wait_until(lambda: locked.is_out() and not locked.token_works(), limit=LIMIT)
    wait_until(changed.is_out, limit=LIMIT)
    assert changed.token_works()
    log = running.portal.log.read_text()
    assert "does not take notices" in log
    assert "eyJ" not in log


def test_portal_is_killed_meanwhile(running: Platform) -> None:
    on_page, by_command = Person(running), Person(running)
    # First the hub, so that the notice is still there when the portal is killed.
    running.hub.stop()
    running.proxy.stop()
    on_page.settings(action="lock-execute")
    running.portal.stop(signal.SIGKILL)
    # While no portal runs at all, from another process.
    accounts.set_locked(running.deployment, by_command.name, True)
    assert waiting(running) == ["locked", "locked"]
    # The portal first: the hub waits for it.
    running.start_portal()
    running.start_hub()
    for person in (on_page, by_command):
        wait_until(lambda person=person: person.is_out() and not person.token_works(), limit=LIMIT)
    wait_until(lambda: not waiting(running), limit=LIMIT)


def test_no_notice_of_what_did_not_happen(platform: Platform) -> None:
    person = Person(platform)
    platform.portal.stop()
    try:
        with database(platform):
            user = Backend.instance.get(models.User, user_name=person.name)
            user.password = NEW_PASSWORD
            user.lock_date = datetime.datetime.now(datetime.UTC)
            SQLBackend.db_session.flush()
            SQLBackend.db_session.rollback()
            user.display_name = "Somebody else"
            Backend.instance.save(user)
        assert waiting(platform) == []
    finally:
        platform.start_portal()
    assert person.is_in(person.first)


def test_sign_out_everywhere_asks_for_the_password_again(platform: Platform) -> None:
    person, other = Person(platform), Person(platform)
    answer = platform.hub_api("DELETE", f"/users/{person.name}/sessions")
    assert answer.ok, answer.text
    assert person.is_out()
    for browser in (person.first, person.second):
        page = browser.get(f"{person.hub}/oauth_login", timeout=20)
        assert "/services/portal/login" in page.url
    page = person.second.enter_password(page, person.name)
    assert page.url == f"{person.hub}/home", messages(page)
    time.sleep(3)
    # The notice that this has caused was about sessions before it.
    assert person.is_in(person.second)
    assert other.is_in(other.first)


def test_signing_out_ends_copied_cookies_of_the_portal_too(platform: Platform) -> None:
    person = Person(platform)
    thief = Browser(platform)
    thief.cookies.update(person.first.cookies)
    assert person.is_in(thief)
    person.first.get(f"{person.hub}/logout", timeout=20)
    assert not person.is_in(thief)
    assert "/services/portal/login" in thief.get(f"{person.hub}/oauth_login", timeout=20).url
    assert person.is_in(person.second)


def test_delivery_can_be_read_in_the_log_without_a_token(platform: Platform) -> None:
    person = Person(platform)
    person.settings(action="lock-execute")
    wait_until(person.is_out, limit=LIMIT)
    wait_until(lambda: not waiting(platform), limit=LIMIT)
    for process in (platform.portal, platform.hub):
        log = process.log.read_text()
        assert "eyJ" not in log
    wait_until(lambda: "was told about account" in platform.portal.log.read_text(), limit=10)


class Hub(BaseHTTPRequestHandler):
    """A hub that answers with the next of some statuses, and keeps what it was sent."""

    statuses: ClassVar[list[int]] = []
    never: ClassVar[set[str]] = set()
    tokens: ClassVar[list[tuple[float, str]]] = []

    def do_POST(self) -> None:
        assert self.path == "/hub/backchannel-logout"
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        [token] = form["logout_token"]
        self.tokens.append((time.monotonic(), token))
        subject = jwt.decode(token, options={"verify_signature": False})["sub"]
        self.send_response(503 if subject in self.never else self.statuses.pop(0) if self.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def answering(portal_only: Platform) -> Iterator[type[Hub]]:
    Hub.statuses, Hub.never, Hub.tokens = [], set(), []
    server = ThreadingHTTPServer((portal_only.deployment.internal_host, 8081), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Hub
    server.shutdown()
    thread.join()
    server.server_close()


def claims_of(platform: Platform, token: str) -> dict[str, Any]:
    keys = jwt.PyJWKClient(f"{platform.deployment.internal_url('portal')}/oauth/jwks.json")
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "logout+jwt"
    issuer = platform.deployment.service_url("portal")
    key = keys.get_signing_key(header["kid"]).key
    return jwt.decode(token, key, algorithms=["RS256"], audience="jupyterhub", issuer=issuer)


def test_sent_again_until_it_is_taken(portal_only: Platform, answering: type[Hub]) -> None:
    accounts.add_user(portal_only.deployment, "stubborn", PASSWORD)
    with database(portal_only):
        subject = Backend.instance.get(models.User, user_name="stubborn").id
    answering.statuses[:] = [500, 302, 404, 503, 204]
    before = time.time()
    accounts.set_locked(portal_only.deployment, "stubborn", True)
    wait_until(lambda: not waiting(portal_only), limit=60)
    sent = [claims_of(portal_only, token) for _, token in answering.tokens]
    assert len({claims["jti"] for claims in sent}) == len(sent) == 5
    for claims in sent:
        assert claims["sub"] == subject
        assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti", "toe", "events"}
        assert claims["exp"] - claims["iat"] <= 120
        assert claims["toe"] == sent[0]["toe"]
        assert before <= claims["toe"] <= time.time()
        assert claims["events"][LOGOUT_EVENT] == {}
        about = claims["events"][f"{RISC}account-disabled"]["subject"]
        assert about == {"format": "iss_sub", "iss": claims["iss"], "sub": subject}
    # Half a second after the first failure, then longer.
    times = [at for at, _ in answering.tokens]
    assert times[4] - times[3] > times[1] - times[0]


def test_others_do_not_wait_behind_it(portal_only: Platform, answering: type[Hub]) -> None:
    for name in ("waiting", "passing"):
        accounts.add_user(portal_only.deployment, name, PASSWORD)
    with database(portal_only):
        answering.never.add(Backend.instance.get(models.User, user_name="waiting").id)
    accounts.set_locked(portal_only.deployment, "waiting", True)
    wait_until(lambda: len(answering.tokens) >= 3, limit=30)
    accounts.set_password(portal_only.deployment, "passing", NEW_PASSWORD)
    wait_until(lambda: waiting(portal_only) == ["locked"], limit=30)
    answering.never.clear()
    wait_until(lambda: not waiting(portal_only), limit=30)


def test_refusal_may_pass(portal_only: Platform, answering: type[Hub]) -> None:
    """A hub that has the provider's old keys refuses the first tokens after a change of the key."""
    accounts.add_user(portal_only.deployment, "rotated", PASSWORD)
    answering.statuses[:] = [400, 400]
    accounts.set_locked(portal_only.deployment, "rotated", True)
    wait_until(lambda: not waiting(portal_only), limit=30)
    assert len(answering.tokens) == 3


def test_lasting_refusal_is_given_up_and_said(portal_only: Platform, answering: type[Hub]) -> None:
    accounts.add_user(portal_only.deployment, "refused", PASSWORD)
    answering.statuses[:] = [400] * 20
    accounts.set_password(portal_only.deployment, "refused", NEW_PASSWORD)
    wait_until(lambda: answering.tokens, limit=30)
    with sqlite3.connect(portal_only.deployment.portal_dir / "portal.sqlite", timeout=20) as connection:
        # As after a minute.
        connection.execute("UPDATE sciserver_notice SET attempts = 10")
    wait_until(lambda: not waiting(portal_only), limit=30)
    assert set(claims_of(portal_only, answering.tokens[-1][1])["events"]) == {LOGOUT_EVENT}
    wait_until(lambda: "refuses the notice" in portal_only.portal.log.read_text(), limit=10)


def test_order_is_kept_for_one_account(portal_only: Platform, answering: type[Hub]) -> None:
    accounts.add_user(portal_only.deployment, "ordered", PASSWORD)
    answering.statuses[:] = [503]
    accounts.set_password(portal_only.deployment, "ordered", NEW_PASSWORD)
    accounts.set_locked(portal_only.deployment, "ordered", True)
    with database(portal_only):
        Backend.instance.delete(Backend.instance.get(models.User, user_name="ordered"))
    wait_until(lambda: not waiting(portal_only), limit=60)
    moments = [claims_of(portal_only, token) for _, token in answering.tokens]
    assert len(moments) == 4
    assert [claims["toe"] for claims in moments] == sorted(claims["toe"] for claims in moments)
    assert f"{RISC}account-purged" in moments[-1]["events"]
