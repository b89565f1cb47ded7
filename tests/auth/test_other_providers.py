"""Other providers than the portal: a second real one, ones that lack something, and a deployment that changes over."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import pytest
import requests
from auth_platform import PASSWORD, REFRESH_INTERVAL, Browser, Platform, make_deployment, messages
from provider_platform import MockProvider, is_in, model, reconfigure, shaped, sign_in, use_example
from provider_shapes import SHAPES, ShapedProvider
from test_provider_recipes import keycloak_person

from sciserver_auth.portal import accounts
from sciserver_common.deployment import SOURCE

Site = tuple[Platform, ShapedProvider]


# -- oidc-provider-mock


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, MockProvider]]:
    """A hub with the first recipe at `oidc-provider-mock`, and the portal for the token API only."""
    deployment = make_deployment(tmp_path_factory.mktemp("mocked"))
    provider = MockProvider(deployment.logs_dir / "provider.log")
    pages = f"c.JupyterHub.template_paths = [{str(SOURCE / 'dashboard' / 'templates')!r}]\n"
    platform = Platform(deployment, use_example(provider, "generic", deployment) + pages)
    try:
        platform.start_portal()
        platform.start_hub()
        yield platform, provider
    finally:
        platform.stop()
        provider.close()


def test_sign_in_groups_and_administrators(mocked: tuple[Platform, MockProvider]) -> None:
    platform, provider = mocked
    provider.person("id-1", preferred_username="Ada", name="Ada L.", groups=[], email="ada@example.org")
    provider.person("id-2", preferred_username="bob", groups=["astronomers", "/x/", 7, "library"])
    provider.person("id-3", preferred_username="eve", groups=["admin"])
    provider.person("id-4", preferred_username="../etc/passwd", groups=["astronomers"])
    provider.person("id-5", name="Nameless", groups=["astronomers"])
    hub = f"{platform.deployment.public_url}/hub"
    assert provider.sign_in(Browser(platform), "id-1").url == f"{hub}/home"
    ada = model(platform, "ada")
    assert (ada["admin"], ada["groups"], ada["user_info"]["display_name"]) == (True, [], "Ada L.")
    assert provider.sign_in(Browser(platform), "id-2").url == f"{hub}/home"
    bob = model(platform, "bob")
    assert (bob["admin"], sorted(bob["groups"])) == (False, ["astronomers", "library"])
    for subject, says in {
        "id-3": "not currently authorized",
        "id-4": "cannot be used",
        "id-5": "no user name",
    }.items():
        browser = Browser(platform)
        page = provider.sign_in(browser, subject)
        assert (page.status_code, says in page.text) == (403, True), page.text
        assert "Traceback" not in page.text
        assert not is_in(browser)
    assert {user["name"] for user in platform.hub_api("GET", "/users").json()} == {"ada", "bob"}


def test_the_button_names_the_provider(mocked: tuple[Platform, MockProvider]) -> None:
    platform, _ = mocked
    page = requests.get(f"{platform.deployment.public_url}/hub/login", timeout=20)
    assert "Sign in with the observatory" in page.text
    assert "Create an account" not in page.text


def test_somebody_who_declines_there(mocked: tuple[Platform, MockProvider]) -> None:
    platform, _ = mocked
    browser = Browser(platform)
    page = browser.get(f"{platform.deployment.public_url}/hub/oauth_login", timeout=20)
    page = browser.submit(page, action="deny")
    # The provider leaves out the state, so the hub cannot know that it was asked for; nobody is signed in either way.
    assert page.status_code in {400, 403}
    assert not is_in(browser)


def test_logout_reaches_that_provider(mocked: tuple[Platform, MockProvider]) -> None:
    platform, provider = mocked
    provider.person("id-6", preferred_username="leaver", groups=["astronomers"])
    hub = f"{platform.deployment.public_url}/hub"
    browser = Browser(platform)
    provider.sign_in(browser, "id-6")
    page = browser.get(f"{hub}/logout", timeout=20)
    assert page.url.startswith(f"{provider.issuer}/oauth2/end_session?id_token_hint=")
    assert not is_in(browser)
    # This one asks back; then it sends the browser to the hub again.
    assert browser.submit(page).url == f"{hub}/login"


def test_renewal_and_revocation_there(mocked: tuple[Platform, MockProvider]) -> None:
    platform, provider = mocked
    provider.person("id-7", preferred_username="member", groups=["astronomers"])
    browser = Browser(platform)
    provider.sign_in(browser, "id-7")
    first = model(platform, "member")["auth_state"]["access_token"]
    provider.person("id-7", preferred_username="member", groups=["astronomers", "stars"])
    time.sleep(REFRESH_INTERVAL)
    assert is_in(browser)
    now = model(platform, "member")
    assert sorted(now["groups"]) == ["astronomers", "stars"]
    assert now["auth_state"]["access_token"] != first
    # Out of the group that lets people in.
    provider.person("id-7", preferred_username="member", groups=["stars"])
    time.sleep(REFRESH_INTERVAL)
    assert not is_in(browser)
    provider.person("id-7", preferred_username="member", groups=["astronomers"])
    provider.sign_in(browser, "id-7")
    assert is_in(browser)
    provider.revoke("id-7")
    time.sleep(REFRESH_INTERVAL)
    assert not is_in(browser)


def test_portal_without_accounts(mocked: tuple[Platform, MockProvider]) -> None:
    """`c.Portal.identity_provider = False`: the token API says what to do instead of sending a password."""
    platform, provider = mocked
    provider.person("id-8", preferred_username="script", groups=["astronomers"])
    portal = platform.deployment.service_url("portal")
    body = {"auth": {"identity": {"password": {"user": {"name": "script", "password": "whatever"}}}}}
    answer = requests.post(f"{portal}/keystone/v3/tokens", json=body, timeout=20)
    assert answer.status_code == 403
    assert "make a token on your account page" in answer.json()["error"]["message"]
    # A token made on that page is as good as one for a password.
    browser = Browser(platform)
    provider.sign_in(browser, "id-8")
    xsrf = next(cookie.value for cookie in browser.cookies if (cookie.name, cookie.path) == ("_xsrf", "/hub/"))
    made = browser.post(
        f"{platform.deployment.public_url}/hub/api/users/script/tokens",
        json={"note": "laptop", "expires_in": 3600},
        headers={"X-XSRFToken": xsrf},
        timeout=20,
    ).json()["token"]
    answer = requests.get(f"{portal}/keystone/v3/tokens/{made}", timeout=20)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token"]["user"]["name"] == "script"
    assert requests.get(f"{portal}/sciscript.json", timeout=20).json()["AuthenticationURL"].startswith(portal)
    # Nobody has an account here, so nobody can make one or sign in.
    for path in ("/login", "/.well-known/openid-configuration", "/oauth/token", "/keystone/v3/projects"):
        # Several times: the proxy keeps its connections, which a refusal must not break.
        for _ in range(20):
            assert requests.get(f"{portal}{path}", timeout=20).status_code == 404, path


# -- what a provider may lack, or do wrong


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A provider with the least that OpenID Connect Discovery 1.0 §3 asks for."""
    deployment = make_deployment(tmp_path_factory.mktemp("bare"))
    provider = shaped(deployment, "keycloak")
    provider.shape = dataclasses.replace(SHAPES["keycloak"], refresh=("never", "given"))
    needed = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"}
    provider.discovery = {name: value for name, value in provider.discovery.items() if name in needed}
    allow = "c.SciServerAuthenticator.allow_all = True\nc.SciServerAuthenticator.admin_claims = {'role': ['chief']}\n"
    platform = Platform(deployment, use_example(provider, "generic", deployment) + allow)
    try:
        platform.start_portal()
        platform.start_hub()
        yield platform, provider
    finally:
        platform.stop()
        provider.close()


def test_without_userinfo_groups_refresh_tokens_and_logout(bare: Site) -> None:
    platform, provider = bare
    hub = f"{platform.deployment.public_url}/hub"
    provider.people["ada"] = {"sub": "1", "preferred_username": "ada", "name": "Ada L.", "role": "chief"}
    provider.lifetime = 10
    browser = Browser(platform)
    assert sign_in(browser, "ada").url == f"{hub}/home"
    ada = model(platform, "ada")
    assert (ada["admin"], ada["groups"], ada["auth_state"]["refresh_token"]) == (True, [], None)
    time.sleep(REFRESH_INTERVAL)
    assert is_in(browser)
    time.sleep(ada["auth_state"]["expires_at"] + 0.5 - time.time())
    # Without a refresh token, the access token's end is the session's. The provider still knows the browser.
    assert not is_in(browser)
    assert browser.get(f"{hub}/oauth_login", timeout=20).url == f"{hub}/home"
    assert set(provider.requests) == {"discovery", "authorize", "token", "keys"}
    # Nothing ends the provider's session; the hub's ends all the same.
    page = browser.get(f"{hub}/logout", timeout=20)
    assert page.url.startswith(f"{hub}/log")
    assert not is_in(browser)


def test_refused_scope_is_a_page(bare: Site) -> None:
    platform, provider = bare
    allowed = provider.shape
    provider.shape = dataclasses.replace(allowed, scopes={"openid": set()})
    page = requests.get(f"{platform.deployment.public_url}/hub/oauth_login", timeout=20)
    provider.shape = allowed
    assert (page.status_code, "refused the sign-in" in page.text) == (403, True)
    assert "invalid_scope" in platform.hub.log.read_text()


def test_discovery_that_lies_about_the_issuer(bare: Site) -> None:
    platform, provider = bare
    honest = dict(provider.discovery)
    # Another party's document, at an address that somebody took over: its endpoints must not be used.
    provider.discovery["issuer"] = "https://evil.example"
    provider.requests.clear()
    reconfigure(platform, platform.config)
    for attempt in ("oauth_login", "oauth_login?next=/hub/admin"):
        page = requests.get(f"{platform.deployment.public_url}/hub/{attempt}", timeout=30)
        assert page.status_code == 503
        assert "evil.example" not in page.text
    assert set(provider.requests) == {"discovery"}
    assert "describes another issuer" in platform.hub.log.read_text()
    # As soon as it is right again, people can sign in; nobody has to restart the hub.
    provider.discovery = honest
    provider.people["late"] = {"sub": "2", "preferred_username": "late"}
    assert sign_in(Browser(platform), "late").status_code == 200


# -- from the portal to another provider


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, ShapedProvider, dict[str, Browser]]]:
    """A deployment with people of the portal's, signed in, that is about to change over to Keycloak."""
    deployment = make_deployment(tmp_path_factory.mktemp("moved"))
    platform = Platform(deployment)
    provider = shaped(deployment, "keycloak")
    browsers = {}
    try:
        platform.start_portal()
        platform.start_hub()
        for name in ("ada", "bob", "carl", "dora"):
            accounts.add_user(deployment, name, PASSWORD, email=f"{name}@example.org", admin=name == "ada")
            browsers[name] = Browser(platform)
            page = browsers[name].sign_in(name)
            assert page.url.endswith("/hub/home"), messages(page)
        yield platform, provider, browsers
    finally:
        platform.stop()
        provider.close()


def change_over(platform: Platform, provider: ShapedProvider, policy: str) -> None:
    provider.sessions.clear()
    config = use_example(provider, "keycloak", platform.deployment)
    reconfigure(platform, f"{config}\nc.SciServerAuthenticator.link_existing_users = {policy!r}\n")


def identities(platform: Platform, name: str) -> list[dict[str, str]]:
    return platform.hub_api("GET", f"/users/{name}/identities").json()["identities"]


def test_never_is_never(moved: tuple[Platform, ShapedProvider, dict[str, Browser]]) -> None:
    platform, provider, browsers = moved
    before = model(platform, "ada")
    change_over(platform, provider, "never")
    # Who is signed in signs in again, and the portal's tokens are not shown to the new provider.
    assert not is_in(browsers["ada"])
    assert "token" not in provider.requests
    browsers["bob"].get(f"{platform.deployment.public_url}/hub/logout", timeout=20)
    assert not {"token", "revoke", "endsession"} & set(provider.requests)

    # Somebody who has taken the name there, with the address and everything.
    provider.people["ada"] = keycloak_person("ada", "sciserver", "sciserver-admin")
    attacker = Browser(platform)
    page = sign_in(attacker, "ada")
    assert (page.status_code, "belongs to another account" in page.text) == (403, True)
    assert not is_in(attacker)
    api = attacker.get(f"{platform.deployment.public_url}/hub/api/user", timeout=20)
    assert api.status_code in {401, 403}
    after = model(platform, "ada")
    assert [after[key] for key in ("admin", "groups", "auth_state")] == [
        before[key] for key in ("admin", "groups", "auth_state")
    ]
    # The administrator finds what it takes to link the account, if it is hers after all.
    log = platform.hub_api("GET", "/users/ada/activity-log").json()
    assert f"id of ada of {provider.issuer}" in str(log)
    [identity] = identities(platform, "ada")
    assert identity["issuer"] == platform.deployment.service_url("portal")
    # Newcomers are not in anybody's way.
    provider.people["newcomer"] = keycloak_person("newcomer", "sciserver")
    assert sign_in(Browser(platform), "newcomer").status_code == 200


def test_an_administrator_links_by_hand(moved: tuple[Platform, ShapedProvider, dict[str, Browser]]) -> None:
    platform, provider, _ = moved
    # The same person has another name there, so the link is what counts.
    provider.people["lovelace"] = keycloak_person("lovelace", "sciserver")
    url = f"{platform.deployment.public_url}/hub/api/users/ada/identities"
    token = (platform.deployment.secrets_dir / "tests").read_text()
    body = {"issuer": provider.issuer, "subject": "id of lovelace"}
    answer = requests.post(url, json=body, headers={"Authorization": f"token {token}"}, timeout=20)
    assert answer.status_code == 201, answer.text
    browser = Browser(platform)
    assert sign_in(browser, "lovelace").status_code == 200
    api = browser.get(f"{platform.deployment.public_url}/hub/api/user", timeout=20)
    assert (api.json()["name"], api.json()["admin"]) == ("ada", False)
    assert model(platform, "lovelace") == {}
    # The renewal keeps to the link too.
    time.sleep(REFRESH_INTERVAL)
    assert is_in(browser)
    # The one who has only the name stays out.
    assert sign_in(Browser(platform), "ada").status_code == 403
    # Taken away again, the browser is out at once.
    link = next(row for row in identities(platform, "ada") if row["issuer"] == provider.issuer)
    assert platform.hub_api("DELETE", f"/users/ada/identities/{link['id']}").status_code == 204
    assert not is_in(browser)


def test_verified_email_links_the_same_address_only(
    moved: tuple[Platform, ShapedProvider, dict[str, Browser]],
) -> None:
    platform, provider, _ = moved
    change_over(platform, provider, "verified_email")
    provider.people |= {
        "bob": keycloak_person("bob", "sciserver") | {"email": "BOB@example.org"},
        "carl": keycloak_person("carl", "sciserver") | {"email": "carl@evil.example"},
        "dora": keycloak_person("dora", "sciserver") | {"email_verified": False},
    }
    assert sign_in(Browser(platform), "bob").status_code == 200
    assert len(identities(platform, "bob")) == 2
    for name in ("carl", "dora"):
        page = sign_in(Browser(platform), name)
        assert (page.status_code, "belongs to another account" in page.text) == (403, True)
        assert len(identities(platform, name)) == 1


def test_name_trusts_the_new_provider(moved: tuple[Platform, ShapedProvider, dict[str, Browser]]) -> None:
    platform, provider, _ = moved
    change_over(platform, provider, "name")
    browser = Browser(platform)
    assert sign_in(browser, "dora").status_code == 200
    assert is_in(browser)
    # The second account of that name at the same provider is somebody else, whom nobody has vouched for.
    provider.sessions.clear()
    provider.people["dora"]["sub"] = "the name was given again"
    assert sign_in(Browser(platform), "dora").status_code == 403


def test_two_domains_on_one_name_are_refused(moved: tuple[Platform, ShapedProvider, dict[str, Browser]]) -> None:
    platform, provider, _ = moved
    config = use_example(provider, "keycloak", platform.deployment)
    domains = 'c.SciServerAuthenticator.strip_domains = ["one.edu", "two.edu"]\n'
    reconfigure(platform, f"{config}\n{domains}")
    provider.sessions.clear()
    provider.people["first"] = keycloak_person("first", "sciserver") | {"preferred_username": "eva@one.edu"}
    provider.people["second"] = keycloak_person("second", "sciserver") | {"preferred_username": "eva@two.edu"}
    assert sign_in(Browser(platform), "first").status_code == 200
    page = sign_in(Browser(platform), "second")
    assert (page.status_code, "belongs to another account" in page.text) == (403, True)
    # With names trusted, they would be one user: the hub does not start with that.
    with pytest.raises(RuntimeError, match="names of one origin"):
        reconfigure(platform, f"{config}\n{domains}c.SciServerAuthenticator.link_existing_users = 'name'\n")
