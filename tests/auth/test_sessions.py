"""A browser's session at the hub, from sign-in to its end, with real processes and copied cookies."""

from __future__ import annotations

import re
import signal
import sqlite3
from collections.abc import Iterator

import pytest
import requests
from auth_platform import PASSWORD, Browser, Platform, make_deployment

from sciserver_auth.portal import accounts
from sciserver_common.secrets import secret

SESSION = "jupyterhub-session-id"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Without renewals: tokens are the same ones as long as a session lasts, however slow the machine is."""
    config = "c.SciServerAuthenticator.refresh_interval = 0\n"
    platform = Platform(make_deployment(tmp_path_factory.mktemp("sessions")), config)
    try:
        platform.start_portal()
        platform.start_hub()
        yield platform
    finally:
        platform.stop()


def signed_in(platform: Platform, name: str) -> Browser:
    if not accounts.user_exists(platform.deployment, name):
        accounts.add_user(platform.deployment, name, PASSWORD)
    browser = Browser(platform)
    assert browser.sign_in(name).url.endswith("/hub/home")
    return browser


def is_in(browser: requests.Session, platform: Platform) -> bool:
    return browser.get(f"{platform.deployment.public_url}/hub/home", timeout=20).url.endswith("/hub/home")


def copy_of(browser: Browser, platform: Platform) -> Browser:
    """What a thief of all cookies has."""
    thief = Browser(platform)
    thief.cookies.update(browser.cookies)
    return thief


def session_id(browser: requests.Session) -> str:
    [cookie] = [cookie for cookie in browser.cookies if cookie.name == SESSION]
    return str(cookie.value)


def auth_state(platform: Platform, name: str) -> dict:
    return platform.hub_api("GET", f"/users/{name}").json()["auth_state"]


def test_copied_cookies_die_with_the_session(platform: Platform) -> None:
    browser = signed_in(platform, "robbed")
    thief = copy_of(browser, platform)
    assert is_in(thief, platform)
    browser.get(f"{platform.deployment.public_url}/hub/logout", timeout=20)
    assert not is_in(thief, platform)
    # Nor do they serve for the REST API, or to get a token of a server or service.
    hub = f"{platform.deployment.public_url}/hub"
    assert thief.get(f"{hub}/api/user", timeout=20).status_code == 403
    page = thief.get(f"{hub}/api/oauth2/authorize", params={"client_id": "x", "response_type": "code"}, timeout=20)
    assert "/hub/login" in page.url


def test_signing_out_here_leaves_the_other_browser(platform: Platform) -> None:
    office = signed_in(platform, "two.places")
    home = signed_in(platform, "two.places")
    hub = f"{platform.deployment.public_url}/hub"
    tokens = auth_state(platform, "two.places")
    home.get(f"{hub}/logout", timeout=20)
    assert not is_in(home, platform)
    assert is_in(office, platform)
    assert auth_state(platform, "two.places")["refresh_token"] == tokens["refresh_token"]
    # After the last one, the hub keeps no token of the provider's, and the provider takes none of them.
    office.get(f"{hub}/logout", timeout=20)
    assert set(auth_state(platform, "two.places")) == {"id_claims", "user_claims"}
    answer = requests.post(
        f"{platform.deployment.internal_url('portal')}/oauth/token",
        data={"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]},
        auth=("jupyterhub", secret(platform.deployment, "hub-oauth-client")),
        timeout=20,
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"


def test_ending_one_browser_from_another_ends_it_at_the_portal_too(platform: Platform) -> None:
    here = signed_in(platform, "left.open")
    there = signed_in(platform, "left.open")
    hub = f"{platform.deployment.public_url}/hub"
    listed = here.get(f"{hub}/api/users/left.open/sessions", timeout=20).json()
    keys = {row["key"]: row["current"] for row in listed["sessions"]}
    [other] = [key for key, current in keys.items() if not current]
    xsrf = {"X-XSRFToken": next(cookie.value for cookie in here.cookies if cookie.name == "_xsrf")}
    assert here.delete(f"{hub}/api/users/left.open/sessions/{other}", headers=xsrf, timeout=20).status_code == 204
    assert not is_in(there, platform)
    assert "/services/portal/login" in there.get(f"{hub}/oauth_login", timeout=20).url
    assert is_in(here, platform)
    assert here.get(f"{hub}/oauth_login", timeout=20).url.endswith("/hub/home")


def test_planted_session_id_is_not_taken_over(platform: Platform) -> None:
    """Session fixation: what is in the browser before the sign-in may come from somebody else."""
    accounts.add_user(platform.deployment, "victim", PASSWORD)
    victim = Browser(platform)
    victim.cookies.set(SESSION, "planted", domain="127.0.0.1", path="/")
    assert victim.sign_in("victim").url.endswith("/hub/home")
    assert "planted" not in {cookie.value for cookie in victim.cookies}
    assert re.fullmatch(r"[0-9a-f]{32}", session_id(victim))


def test_second_sign_in_goes_on_with_the_session(platform: Platform) -> None:
    browser = signed_in(platform, "again")
    before = session_id(browser)
    browser.get(f"{platform.deployment.public_url}/hub/oauth_login", timeout=20)
    assert session_id(browser) == before
    assert is_in(browser, platform)


def test_somebody_else_at_the_same_browser_ends_the_first_session(platform: Platform) -> None:
    browser = signed_in(platform, "first.one")
    left = copy_of(browser, platform)
    before = session_id(browser)
    # Out of the portal only, as after its session has expired there.
    browser.cookies.clear(domain="127.0.0.1", path="/services/portal/", name="sciserver-portal")
    accounts.add_user(platform.deployment, "second.one", PASSWORD)
    browser.sign_in("second.one")
    assert session_id(browser) != before
    page = browser.get(f"{platform.deployment.public_url}/hub/home", timeout=20)
    assert "second.one" in page.text
    assert not is_in(left, platform)


def test_cookies_of_two_sessions_cannot_be_mixed(platform: Platform) -> None:
    """The hub's cookie of one person with the session of another is nobody's."""
    ada = signed_in(platform, "mixed.ada")
    eve = signed_in(platform, "mixed.eve")
    eve.cookies.set(SESSION, session_id(ada), domain="127.0.0.1", path="/")
    assert not is_in(eve, platform)
    assert is_in(ada, platform)


def test_sessions_survive_a_killed_hub(platform: Platform) -> None:
    browser = signed_in(platform, "patient.one")
    gone = signed_in(platform, "gone.one")
    thief = copy_of(gone, platform)
    gone.get(f"{platform.deployment.public_url}/hub/logout", timeout=20)
    platform.hub.stop(signal.SIGKILL)
    platform.start_hub()
    assert is_in(browser, platform)
    assert not is_in(thief, platform)


def test_session_cookie_is_kept_like_the_login_cookie(platform: Platform) -> None:
    browser = signed_in(platform, "cookie.jar")
    expiring = {cookie.name: cookie.expires for cookie in browser.cookies if cookie.name.startswith("jupyterhub-")}
    assert all(expiring.values()), expiring


def test_a_lost_link_gives_the_files_to_nobody_else(platform: Platform) -> None:
    browser = signed_in(platform, "unlinked")
    links = platform.hub_api("GET", "/users/unlinked/identities").json()["identities"]
    assert len(links) == 1
    assert platform.hub_api("DELETE", f"/users/unlinked/identities/{links[0]['id']}").status_code == 204
    # Whoever was last signed in under the name is still told apart from a second account of the name.
    assert not is_in(browser, platform)
    assert signed_in(platform, "unlinked")
    links = platform.hub_api("GET", "/users/unlinked/identities").json()["identities"]
    platform.hub_api("DELETE", f"/users/unlinked/identities/{links[0]['id']}")
    if not accounts.user_exists(platform.deployment, "keeper.two"):
        accounts.add_user(platform.deployment, "keeper.two", PASSWORD, admin=True)
    keeper = Browser(platform)
    keeper.sign_in_at_portal("keeper.two")
    page = keeper.portal("/profile/unlinked/settings")
    keeper.submit(page, action="delete-execute")
    platform.hub_api("DELETE", "/users/unlinked/sessions")
    accounts.add_user(platform.deployment, "unlinked", PASSWORD)
    page = Browser(platform).sign_in("unlinked")
    assert page.status_code == 403
    assert "belongs to another account" in page.text


def test_the_store_holds_no_credential(platform: Platform) -> None:
    browser = signed_in(platform, "hashed")
    id_token = auth_state(platform, "hashed")["id_token"]
    database = sqlite3.connect(platform.deployment.hub_dir / "sign-on.sqlite")
    dump = "\n".join(database.iterdump())
    database.close()
    assert "hashed" in dump
    assert session_id(browser) not in dump
    assert id_token.encode().hex() not in dump.lower()
    assert id_token not in dump


@pytest.mark.parametrize("headers", [{}, {"Authorization": "token nonsense"}])
def test_the_hubs_own_interface_is_no_oracle_for_passwords(platform: Platform, headers: dict[str, str]) -> None:
    """JupyterHub hands credentials in the body of this request to the authenticator, without any limit."""
    accounts.user_exists(platform.deployment, "oracle") or accounts.add_user(platform.deployment, "oracle", PASSWORD)
    signed_in(platform, "oracle")
    hub = f"{platform.deployment.public_url}/hub/api"
    answers = {
        requests.post(
            f"{hub}/users/oracle/tokens",
            json={"auth": {"username": "oracle", "name": "oracle", "password": password}},
            headers=headers,
            timeout=20,
        ).status_code
        for password in (PASSWORD, "wrong")
    }
    assert answers == {403}


def test_passwords_are_taken_from_the_portal_only(platform: Platform) -> None:
    browser = signed_in(platform, "plain")
    hub = f"{platform.deployment.public_url}/hub/api"
    xsrf = {"X-XSRFToken": next(cookie.value for cookie in browser.cookies if cookie.name == "_xsrf")}
    body = {"name": "plain", "password": PASSWORD}
    assert browser.post(f"{hub}/sign-on/password", json=body, headers=xsrf, timeout=20).status_code == 403
    assert requests.post(f"{hub}/sign-on/password", json=body, timeout=20).status_code == 403
    for service, expected in (("tests", 403), ("portal-service", 200)):
        headers = {"Authorization": f"token {secret(platform.deployment, service)}"}
        answer = requests.post(f"{hub}/sign-on/password", json=body, headers=headers, timeout=20)
        assert answer.status_code == expected, answer.text
    assert set(answer.json()) == {"token", "user", "created", "expires_at"}
    # The browser's session is as it was: a script that signs in does not take its tokens away.
    assert is_in(browser, platform)
    assert auth_state(platform, "plain")["refresh_token"]
    for wrong, status in (
        ({"name": "plain", "password": "wrong"}, 401),
        ({"name": "nobody", "password": "wrong"}, 401),
        ({"name": "plain"}, 400),
        ({"name": "plain", "password": 1}, 400),
        (["plain"], 400),
        ({**body, "expires_in": 0}, 400),
        ({**body, "expires_in": "1 day"}, 400),
    ):
        answer = requests.post(f"{hub}/sign-on/password", json=wrong, headers=headers, timeout=20)
        assert answer.status_code == status, (wrong, answer.text)
        assert PASSWORD not in answer.text


def test_password_alone_makes_a_user_who_can_use_services_and_nothing_else(platform: Platform) -> None:
    accounts.add_user(platform.deployment, "scripted", PASSWORD, admin=True)
    hub = f"{platform.deployment.public_url}/hub/api"
    headers = {"Authorization": f"token {secret(platform.deployment, 'portal-service')}"}
    body = {"name": "scripted", "password": PASSWORD, "expires_in": 60}
    answer = requests.post(f"{hub}/sign-on/password", json=body, headers=headers, timeout=20).json()
    mine = {"Authorization": f"token {answer['token']}"}
    model = requests.get(f"{hub}/user", headers=mine, timeout=20).json()
    assert model["name"] == "scripted"
    hub_scopes = {scope for scope in model["scopes"] if not scope.startswith("custom:sciserver:")}
    assert hub_scopes < set(model["scopes"])
    # What every token may: to say whose it is.
    assert all(scope.endswith("!user=scripted") and scope.startswith("read:users:") for scope in hub_scopes)
    # An administrator's as well: what is not needed is not in the token.
    for path in ("/users", "/users/scripted/tokens", "/proxy"):
        assert requests.get(hub + path, headers=mine, timeout=20).status_code in {403, 404}, path
    made = requests.post(f"{hub}/users/scripted/tokens", headers=mine, json={}, timeout=20)
    assert made.status_code in {403, 404}
    assert platform.hub_api("GET", "/users/scripted").json()["admin"] is True
    # Nothing of the provider's is kept, and no browser can come in on it.
    assert set(auth_state(platform, "scripted")) == {"id_claims", "user_claims"}
