"""The whole way with real processes: register, sign in, the hub's page, sign out."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from auth_platform import PASSWORD, REFRESH_INTERVAL, Browser, Platform, messages
from bs4 import BeautifulSoup

from sciserver_auth.portal import accounts


def cookies_named(browser: Browser, prefix: str) -> list:
    return [cookie for cookie in browser.cookies if cookie.name.startswith(prefix)]


def test_register_sign_in_and_sign_out(platform: Platform) -> None:
    hub = f"{platform.deployment.public_url}/hub"
    browser = Browser(platform)
    page = browser.get(f"{hub}/oauth_login", timeout=20)
    assert "Sign in at SciServer" in page.text
    # A newcomer registers on the way, and arrives at the hub without typing the password again.
    page = browser.register("ada")
    assert page.url == f"{hub}/home", messages(page)
    model = platform.hub_api("GET", "/users/ada").json()
    assert model["user_info"] == {"name": "ada", "display_name": "Given Family"}
    assert model["admin"] is False
    assert model["groups"] == []
    assert model["auth_state"]["refresh_token"]

    page = browser.get(f"{hub}/logout", timeout=20)
    assert page.url.startswith(f"{hub}/login"), page.url
    assert browser.get(f"{hub}/home", timeout=20).url.startswith(f"{hub}/login")
    # The provider has forgotten the session too: the next sign-in asks for the password.
    page = browser.get(f"{hub}/oauth_login", timeout=20)
    assert urlsplit(page.url).path == "/services/portal/login"
    page = browser.enter_password(page, "ada")
    assert page.url == f"{hub}/home"


def test_signing_out_at_the_portal_ends_the_hubs_session(platform: Platform) -> None:
    hub = f"{platform.deployment.public_url}/hub"
    browser = Browser(platform)
    browser.register("leaver")
    assert browser.get(f"{hub}/oauth_login", timeout=20).url == f"{hub}/home"
    page = browser.portal("/logout")
    assert page.url.startswith(f"{hub}/login")
    assert browser.get(f"{hub}/home", timeout=20).url.startswith(f"{hub}/login")


def test_wrong_password(platform: Platform) -> None:
    accounts.add_user(platform.deployment, "wrong", PASSWORD)
    browser = Browser(platform)
    page = browser.sign_in("wrong", "not the password")
    assert page.status_code == 200
    assert "Login failed" in messages(page)
    assert urlsplit(page.url).path.startswith("/services/portal/")
    # Nor does a name that does not exist answer any differently.
    page = Browser(platform).sign_in("nobody", "not the password")
    assert "Login failed" in messages(page)


def test_administrators_and_groups_reach_the_hub(platform: Platform) -> None:
    accounts.add_user(platform.deployment, "root.admin", PASSWORD, admin=True, display_name="O'Brien & <Co>")
    browser = Browser(platform)
    page = browser.sign_in("Root.Admin ")
    assert page.url.endswith("/hub/home"), messages(page)
    model = platform.hub_api("GET", "/users/root.admin").json()
    assert model["admin"] is True
    assert model["groups"] == ["admin"]
    assert model["user_info"]["display_name"] == "O'Brien & <Co>"


def test_other_host_name_leads_to_the_canonical_one(platform: Platform) -> None:
    deployment = platform.deployment
    accounts.add_user(deployment, "elsewhere", PASSWORD)
    browser = Browser(platform)
    page = browser.get(f"http://localhost:{deployment.port}/hub/oauth_login?next=/hub/account", timeout=20)
    page = browser.enter_password(page, "elsewhere")
    assert page.url == f"{deployment.public_url}/hub/account"
    # A proxy that changes the Host header must not send the browser round in circles.
    answer = requests.get(
        f"{deployment.public_url}/hub/oauth_login?canonical=1",
        headers={"Host": "other.example"},
        allow_redirects=False,
        timeout=20,
    )
    assert answer.headers["Location"].startswith(f"{deployment.service_url('portal')}/oauth/authorize?")


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example/",
        "http:///evil.example",
        "javascript:alert(1)",
        "////evil.example",
        "https:evil.example",
    ],
)
def test_open_redirects_are_refused(platform: Platform, target: str) -> None:
    deployment = platform.deployment
    if not accounts.user_exists(deployment, "redirected"):
        accounts.add_user(deployment, "redirected", PASSWORD)
    browser = Browser(platform)
    browser.sign_in("redirected")
    answer = browser.get(f"{deployment.public_url}/hub/oauth_login", params={"next": target}, timeout=20)
    for step in [*answer.history, answer]:
        location = step.headers.get("Location", "/")
        assert urlsplit(requests.compat.urljoin(step.url, location)).netloc == urlsplit(deployment.public_url).netloc
    assert answer.url.startswith(deployment.public_url)


def test_authorization_request(platform: Platform) -> None:
    answer = requests.get(f"{platform.deployment.public_url}/hub/oauth_login", allow_redirects=False, timeout=20)
    query = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    assert query["code_challenge_method"] == "S256"
    assert len(query["nonce"]) >= 32
    assert query["redirect_uri"] == f"{platform.deployment.public_url}/hub/oauth_callback"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("code=abc&state=abc", 400),
        ("state=abc", 400),
        ("code=abc", 400),
        ("error=access_denied&error_description=%3Cb%3ECall%20555%3C/b%3E", 403),
    ],
)
def test_forged_callback_is_a_page_and_repeats_nothing(platform: Platform, query: str, status: int) -> None:
    answer = requests.get(f"{platform.deployment.public_url}/hub/oauth_callback?{query}", timeout=20)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert "Call 555" not in answer.text


def test_callback_of_another_browser_is_refused(platform: Platform) -> None:
    """Login CSRF: the victim's browser must not be signed in as the attacker."""
    deployment = platform.deployment
    accounts.add_user(deployment, "attacker", PASSWORD)
    attacker = Browser(platform)
    attacker.sign_in("attacker")
    answer = attacker.get(f"{deployment.public_url}/hub/oauth_login", allow_redirects=False, timeout=20)
    answer = attacker.get(answer.headers["Location"], allow_redirects=False, timeout=20)
    callback = answer.headers["Location"]
    assert "/hub/oauth_callback?" in callback
    victim = Browser(platform)
    victim.get(f"{deployment.public_url}/hub/oauth_login", allow_redirects=False, timeout=20)
    assert victim.get(callback, timeout=20).status_code == 400
    assert victim.get(f"{deployment.public_url}/hub/home", timeout=20).url.startswith(
        f"{deployment.public_url}/hub/login"
    )


def test_second_person_with_the_same_name_is_refused(platform: Platform) -> None:
    deployment = platform.deployment
    accounts.add_user(deployment, "keeper", PASSWORD, admin=True)
    accounts.add_user(deployment, "reused", PASSWORD)
    assert Browser(platform).sign_in("reused").url.endswith("/hub/home")
    keeper = Browser(platform)
    keeper.sign_in_at_portal("keeper")
    page = keeper.portal("/profile/reused/settings")
    keeper.submit(page, action="delete-execute")
    accounts.add_user(deployment, "reused", PASSWORD)
    browser = Browser(platform)
    page = browser.sign_in("reused")
    assert page.status_code == 403
    assert "belongs to another account" in page.text
    assert browser.get(f"{deployment.public_url}/hub/home", timeout=20).url.startswith(
        f"{deployment.public_url}/hub/login"
    )


def test_portal_not_answering_is_a_page_and_it_comes_back(platform: Platform) -> None:
    platform.portal.stop()
    answer = requests.get(f"{platform.deployment.public_url}/hub/oauth_login", timeout=30)
    # The description is cached, so the browser is sent to a portal that the proxy cannot reach.
    assert answer.status_code == 503
    platform.start_portal()
    accounts.add_user(platform.deployment, "patient", PASSWORD)
    assert Browser(platform).sign_in("patient").url.endswith("/hub/home")


def test_cookies_are_the_portals_own(platform: Platform) -> None:
    browser = Browser(platform)
    accounts.add_user(platform.deployment, "cookie", PASSWORD)
    browser.sign_in("cookie")
    for name in ("sciserver-portal", "canaille_login_history"):
        [cookie] = cookies_named(browser, name)
        assert cookie.path == "/services/portal/"
        assert cookie.has_nonstandard_attr("HttpOnly")
    assert len({(cookie.name, cookie.path) for cookie in browser.cookies}) == len(browser.cookies)


def test_no_secret_in_any_log(platform: Platform) -> None:
    deployment = platform.deployment
    accounts.add_user(deployment, "quiet", "a password in no log")
    browser = Browser(platform)
    seen: set[str] = set()
    page = browser.get(f"{deployment.public_url}/hub/oauth_login", timeout=20)
    page = browser.enter_password(page, "quiet", "a password in no log")
    state = platform.hub_api("GET", "/users/quiet").json()["auth_state"]
    browser.get(f"{deployment.public_url}/hub/logout", timeout=20)
    for step in page.history:
        query = parse_qs(urlsplit(step.headers.get("Location", "")).query)
        seen |= {value for name in ("code", "state", "id_token_hint") for value in query.get(name, [])}
    seen |= {state["access_token"], state["refresh_token"], state["id_token"], "a password in no log"}
    seen |= {(deployment.secrets_dir / name).read_text() for name in ("hub-oauth-client", "portal-session")}
    assert len(seen) >= 6
    time.sleep(0.5)
    for log in deployment.logs_dir.glob("*.log"):
        text = log.read_text()
        assert not [secret for secret in seen if secret in text], log
        assert not re.search(r"eyJ[\w-]{20,}", text), log


def test_change_of_groups_and_a_locked_account_reach_the_hub(platform: Platform) -> None:
    deployment = platform.deployment
    hub = f"{deployment.public_url}/hub"
    accounts.add_user(deployment, "warden", PASSWORD, admin=True)
    accounts.add_user(deployment, "member", PASSWORD)
    member = Browser(platform)
    assert member.sign_in("member").url == f"{hub}/home"
    warden = Browser(platform)
    warden.sign_in_at_portal("warden")
    page = warden.submit(warden.portal("/groups/add"), display_name="astronomers")
    page = warden.portal("/profile/member/settings")
    soup = BeautifulSoup(page.text, "html.parser")
    groups = {option.get_text(strip=True): option["value"] for option in soup.select("select[name=groups] option")}
    warden.submit(page, action="edit-settings", groups=[groups["astronomers"]])
    time.sleep(REFRESH_INTERVAL)
    # Fifty requests at once when the renewal is due: the refresh token is good for one use, and nobody is thrown out.
    with ThreadPoolExecutor(50) as pool:
        cookies = member.cookies.get_dict()
        urls = list(pool.map(lambda _: requests.get(f"{hub}/home", cookies=cookies, timeout=60).url, range(50)))
    assert set(urls) == {f"{hub}/home"}
    assert platform.hub_api("GET", "/users/member").json()["groups"] == ["astronomers"]
    page = warden.portal("/profile/member/settings")
    warden.submit(page, action="lock-execute")
    time.sleep(REFRESH_INTERVAL)
    assert member.get(f"{hub}/home", timeout=20).url.startswith(f"{hub}/login")
