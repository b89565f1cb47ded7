"""When sessions and tokens of the portal end before their time; the endpoint with which the hub ends them."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import pytest
import requests
from auth_platform import PASSWORD, Browser, Platform, messages
from passlib.hash import pbkdf2_sha512

from sciserver_auth.portal import accounts
from sciserver_common.secrets import secret

NEW_PASSWORD = "a different passphrase"


class Account:
    """Somebody with an account, and what programs can do in their name."""

    def __init__(self, platform: Platform, name: str, *, admin: bool = False) -> None:
        self.platform, self.name = platform, name
        self.url = platform.deployment.internal_url("portal")
        self.client = ("jupyterhub", secret(platform.deployment, "hub-oauth-client"))
        accounts.add_user(platform.deployment, name, PASSWORD, admin=admin)

    def browser(self, password: str = PASSWORD) -> Browser:
        browser = Browser(self.platform, internal=True)
        page = browser.sign_in_at_portal(self.name, password)
        assert f"/profile/{self.name}" in page.url, messages(page)
        return browser

    def is_in(self, browser: Browser) -> bool:
        return browser.portal(f"/profile/{self.name}").status_code == 200

    def post(self, path: str, **form: str) -> requests.Response:
        return requests.post(f"{self.url}{path}", data=form, auth=self.client, timeout=20)

    def password_grant(self, password: str = PASSWORD) -> requests.Response:
        return self.post(
            "/oauth/token", grant_type="password", username=self.name, password=password, scope="openid profile"
        )

    def tokens(self, password: str = PASSWORD) -> dict[str, Any]:
        answer = self.password_grant(password)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def userinfo(self, tokens: dict[str, Any]) -> requests.Response:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return requests.get(f"{self.url}/oauth/userinfo", headers=headers, timeout=20)

    def refresh(self, tokens: dict[str, Any]) -> requests.Response:
        return self.post("/oauth/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    def is_active(self, tokens: dict[str, Any]) -> bool:
        return bool(self.post("/oauth/introspect", token=tokens["access_token"]).json()["active"])

    def subject(self) -> str:
        return str(self.userinfo(self.tokens()).json()["sub"])

    def change_password(self, browser: Browser, password: str = NEW_PASSWORD) -> requests.Response:
        page = browser.portal(f"/profile/{self.name}/auth/password")
        return browser.submit(page, action="edit-password", password1=password, password2=password)

    def sign_out(self, **form: str) -> requests.Response:
        return self.post("/api/sign-out", **form)


def refused(account: Account, tokens: dict[str, Any]) -> bool:
    """Whether tokens are worth nothing any more, at each endpoint."""
    answers = {
        "userinfo": account.userinfo(tokens).status_code == 401,
        "introspection": not account.is_active(tokens),
        # The last, because it uses them up.
        "refresh": account.refresh(tokens).status_code == 400,
    }
    assert len(set(answers.values())) == 1, answers
    return answers["refresh"]


def notices(platform: Platform) -> list[tuple[str, str]]:
    """Subject and kind of what waits for the hub, which is not running here."""
    with sqlite3.connect(platform.deployment.portal_dir / "portal.sqlite", timeout=20) as database:
        return list(database.execute("SELECT subject, kind FROM sciserver_notice ORDER BY id"))


def test_own_password_change_ends_the_other_browsers(portal_only: Platform) -> None:
    ada = Account(portal_only, "ada.p")
    here, elsewhere, tokens = ada.browser(), ada.browser(), ada.tokens()
    assert ada.is_in(here)
    assert ada.is_in(elsewhere)
    page = ada.change_password(here)
    assert page.status_code == 200
    assert "Password updated" in messages(page)
    assert ada.is_in(here)
    assert not ada.is_in(elsewhere)
    assert refused(ada, tokens)
    # Neither in the same second nor later does it concern what is new.
    assert ada.is_in(ada.browser(NEW_PASSWORD))
    assert not refused(ada, ada.tokens(NEW_PASSWORD))
    # The second time as well: the first change is no reason to stay.
    after = ada.browser(NEW_PASSWORD)
    ada.change_password(after, PASSWORD)
    assert ada.is_in(after)
    assert not ada.is_in(here)


def test_password_from_an_administrator_or_the_operator(portal_only: Platform) -> None:
    boss, user = Account(portal_only, "boss.p", admin=True), Account(portal_only, "user.p")
    boss_browser, browser, tokens = boss.browser(), user.browser(), user.tokens()
    user.change_password(boss_browser)
    assert boss.is_in(boss_browser)
    assert not user.is_in(browser)
    assert refused(user, tokens)
    browser, tokens = user.browser(NEW_PASSWORD), user.tokens(NEW_PASSWORD)
    accounts.set_password(portal_only.deployment, user.name, PASSWORD)
    assert not user.is_in(browser)
    assert refused(user, tokens)
    assert user.is_in(user.browser())


def test_copied_cookies_end_with_the_session(portal_only: Platform) -> None:
    user, second = Account(portal_only, "copied"), Account(portal_only, "copied.too")
    browser, elsewhere = user.browser(), user.browser()
    thief = Browser(portal_only, internal=True)
    thief.cookies.update(browser.cookies)
    assert user.is_in(thief)
    # A second account in the same browser, and back: still the session that was copied.
    browser.sign_in_at_portal(second.name)
    browser.portal(f"/login/{user.name}")
    assert user.is_in(browser)
    assert user.is_in(thief)
    later = Browser(portal_only, internal=True)
    later.cookies.update(browser.cookies)
    # The answer is a redirection to the public address, where nothing listens here.
    browser.portal("/logout", allow_redirects=False)
    for copy in (browser, thief, later):
        assert not user.is_in(copy)
        assert not second.is_in(copy)
    assert user.is_in(elsewhere)
    assert user.is_in(user.browser())


def test_new_accounts_start_with_a_session(portal_only: Platform) -> None:
    before = notices(portal_only)
    for number in range(5):
        browser = Browser(portal_only, internal=True)
        page = browser.register(f"newcomer{number}")
        assert f"/profile/newcomer{number}" in page.url, messages(page)
        assert browser.portal(f"/profile/newcomer{number}").status_code == 200
    # Nothing has ended for them, so the hub need not hear of it.
    assert notices(portal_only) == before


def test_a_stronger_hash_is_no_new_password(portal_only: Platform) -> None:
    user = Account(portal_only, "rehashed")
    browser, tokens = user.browser(), user.tokens()
    weak = pbkdf2_sha512.using(rounds=1000).hash(PASSWORD)
    with sqlite3.connect(portal_only.deployment.portal_dir / "portal.sqlite", timeout=20) as database:
        database.execute("UPDATE user SET password = ? WHERE user_name = 'rehashed'", (weak.encode(),))
    before = notices(portal_only)
    assert user.is_in(user.browser())
    with sqlite3.connect(portal_only.deployment.portal_dir / "portal.sqlite", timeout=20) as database:
        [(stored,)] = database.execute("SELECT password FROM user WHERE user_name = 'rehashed'")
    assert bytes(stored) != weak.encode()
    assert user.is_in(browser)
    assert not refused(user, tokens)
    assert notices(portal_only) == before


def test_locked_and_deleted_accounts(portal_only: Platform) -> None:
    boss, user = Account(portal_only, "boss.l", admin=True), Account(portal_only, "user.l")
    boss_browser, browser, tokens, subject = boss.browser(), user.browser(), user.tokens(), user.subject()
    settings = f"/profile/{user.name}/settings"
    boss_browser.submit(boss_browser.portal(settings), action="lock-execute")
    assert not user.is_in(browser)
    assert refused(user, tokens)
    assert user.password_grant().status_code == 400
    # Saved again, an account that is locked already is not locked a second time.
    boss_browser.submit(boss_browser.portal(settings), action="edit-settings")
    boss_browser.submit(boss_browser.portal(settings), action="unlock")
    tokens = user.tokens()
    assert not refused(user, tokens)
    tokens = user.tokens()
    boss_browser.submit(boss_browser.portal(settings), action="delete-execute")
    assert refused(user, tokens)
    assert user.password_grant().status_code == 400
    assert [kind for about, kind in notices(portal_only) if about == subject] == ["locked", "deleted"]


def test_password_grant_waits_after_wrong_passwords_as_the_page_does(portal_only: Platform) -> None:
    user = Account(portal_only, "hammered")
    for _ in range(2):
        assert user.password_grant("wrong").status_code == 400
    answer = user.password_grant()
    assert answer.status_code == 400
    # Without detail: neither whether the name exists nor whether it has to wait.
    unknown = user.post("/oauth/token", grant_type="password", username="nobody.here", password=PASSWORD)
    assert unknown.json() == answer.json()
    assert "Please wait" in messages(Browser(portal_only, internal=True).sign_in_at_portal(user.name))
    other_client = requests.post(
        f"{user.url}/oauth/token",
        data={"grant_type": "password", "username": user.name, "password": PASSWORD},
        auth=("jupyterhub", "wrong"),
        timeout=20,
    )
    assert other_client.status_code == 401


def test_tokens_of_a_password_live_for_moments_only(portal_only: Platform) -> None:
    # The hub needs them to learn who it is, then revokes them.
    assert Account(portal_only, "momentary").tokens()["expires_in"] <= 120


def test_tokens_of_a_password_can_be_revoked(portal_only: Platform) -> None:
    user = Account(portal_only, "revoking")
    tokens = user.tokens()
    assert user.post("/oauth/revoke", token=tokens["refresh_token"], token_type_hint="refresh_token").ok
    assert refused(user, tokens)


def test_sign_out_everywhere(portal_only: Platform) -> None:
    user, other = Account(portal_only, "everywhere"), Account(portal_only, "bystander")
    subject = user.subject()
    browsers, tokens = [user.browser(), user.browser()], user.tokens()
    bystander = other.browser()
    answer = user.sign_out(sub=subject)
    assert answer.status_code == 200
    assert answer.json() == {"signed_out": True}
    assert answer.headers["Cache-Control"] == "no-store"
    assert not any(user.is_in(browser) for browser in browsers)
    assert refused(user, tokens)
    assert other.is_in(bystander)
    assert (subject, "signed out") in notices(portal_only)
    # At once, and with the password.
    assert user.is_in(user.browser())
    assert user.sign_out(sub="nobody").json() == {"signed_out": False}


@pytest.mark.parametrize(
    "credentials", [None, ("jupyterhub", "wrong"), ("jupyterhub", ""), ("other", None), ("", ""), ("ä", "ö")]
)
def test_sign_out_is_for_the_hub_only(portal_only: Platform, credentials: tuple[str, str | None] | None) -> None:
    name = f"kept{time.time_ns()}"
    user = Account(portal_only, name)
    subject = user.subject()
    browser = user.browser()
    right = user.client[1]
    auth = None if credentials is None else tuple((right if part is None else part).encode() for part in credentials)
    url = f"{user.url}/api/sign-out"
    # A signed-in person, even for oneself, is not the hub.
    answer = browser.post(url, data={"sub": subject}, auth=auth, timeout=20)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert browser.post(url, data={"sub": subject, "client_secret": right}, timeout=20).status_code == 401
    assert user.is_in(browser)


def test_sign_out_needs_one_subject(portal_only: Platform) -> None:
    user = Account(portal_only, "one.subject")
    assert requests.get(f"{user.url}/api/sign-out", auth=user.client, timeout=20).status_code == 405
    for data in [{}, {"sub": ""}, [("sub", "a"), ("sub", "b")]]:
        answer = requests.post(f"{user.url}/api/sign-out", data=data, auth=user.client, timeout=20)
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"


def test_code_from_before_is_worth_nothing(portal_only: Platform) -> None:
    user = Account(portal_only, "coded")
    browser = user.browser()
    verifier = "v" * 43

    def code() -> str:
        answer = browser.portal(
            "/oauth/authorize",
            params={
                "response_type": "code",
                "client_id": "jupyterhub",
                "redirect_uri": f"{portal_only.deployment.public_url}/hub/oauth_callback",
                "scope": "openid",
                "nonce": str(time.time_ns()),
                "code_challenge": verifier,
                "code_challenge_method": "plain",
            },
            allow_redirects=False,
        )
        location = answer.headers["Location"]
        return str(requests.compat.urlparse(location).query.split("code=")[1].split("&")[0])

    def exchange(code: str) -> int:
        redirect = f"{portal_only.deployment.public_url}/hub/oauth_callback"
        return user.post(
            "/oauth/token",
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect,
            code_verifier=verifier,
        ).status_code

    assert exchange(code()) == 200
    before = code()
    user.change_password(browser)
    assert exchange(before) == 400
    # This browser has changed the password itself.
    assert exchange(code()) == 200


def test_discovery_document(portal_only: Platform) -> None:
    url = f"{portal_only.deployment.internal_url('portal')}/.well-known/openid-configuration"
    document = requests.get(url, timeout=20).json()
    assert document["backchannel_logout_supported"] is True
    assert document["backchannel_logout_session_supported"] is False
    public = portal_only.deployment.service_url("portal")
    assert document["sciserver_end_sessions_endpoint"] == f"{public}/api/sign-out"
