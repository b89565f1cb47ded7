"""The configuration files of docs/how-to/identity-providers.md, each in a real hub, at a provider of that shape."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from auth_platform import REFRESH_INTERVAL, Browser, Platform
from provider_platform import EXAMPLES, is_in, model, sign_in, started
from provider_shapes import SHAPES, ShapedProvider, authorize_url

from sciserver_common.secrets import secret

Site = tuple[Platform, ShapedProvider]

SHAPE_OF = {
    "generic": "keycloak",
    "keycloak": "keycloak",
    "cilogon": "cilogon",
    "institution": "cilogon",
    "globus": "globus",
}
REFUSED = "not currently authorized"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    """Gives the running hub of an example, started at first use."""
    running: dict[str, Site] = {}

    def get(example: str) -> Site:
        if example not in running:
            running[example] = started(tmp_path_factory.mktemp(example), SHAPE_OF[example], example)
        return running[example]

    yield get
    for platform, provider in running.values():
        platform.stop()
        provider.close()


def test_every_example_is_tried() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHAPE_OF)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_refuse_what_the_providers_refuse(shape: str) -> None:
    """The stand-ins are worth something only if they are strict."""
    provider = ShapedProvider(shape, "http://127.0.0.1:1/hub/oauth_callback")
    try:
        for changes in ({"redirect_uri": "http://127.0.0.1:2/hub/oauth_callback"}, {"client_id": "another"}):
            answer = requests.get(authorize_url(provider, **changes), allow_redirects=False, timeout=20)
            assert answer.status_code == 400
        answer = requests.get(
            authorize_url(provider, code_challenge_method="plain"), allow_redirects=False, timeout=20
        )
        assert "error=invalid_request" in answer.headers["Location"]
        # The portal's default scopes: this is why the examples set others.
        answer = requests.get(authorize_url(provider, scope="openid groups"), allow_redirects=False, timeout=20)
        refuses = provider.shape.unknown_scopes == "refuse"
        assert ("error=invalid_scope" in answer.headers.get("Location", "")) is refuses
        form = {"grant_type": "authorization_code", "code": "x", "client_id": provider.client_id}
        answer = requests.post(provider.discovery["token_endpoint"], data=form, timeout=20)
        assert answer.json()["error"] == "invalid_client"
        form |= {"client_secret": provider.client_secret}
        answer = requests.post(provider.discovery["token_endpoint"], data=form, timeout=20)
        assert answer.json()["error"] == ("invalid_client" if shape == "globus" else "invalid_grant")
    finally:
        provider.close()


# -- any provider


def test_generic(site: Callable[[str], Site]) -> None:
    platform, provider = site("generic")
    provider.people["ada"] = {"sub": "1", "preferred_username": "ada", "name": "Ada L.", "groups": ["staff"]}
    provider.people["bob"] = {"sub": "2", "preferred_username": "Bob", "groups": ["astronomers"]}
    provider.people["eve"] = {"sub": "3", "preferred_username": "eve", "groups": ["admin", "Astronomers"]}
    assert is_in_after(platform, "ada")
    assert model(platform, "ada")["admin"] is True
    assert model(platform, "ada")["user_info"]["display_name"] == "Ada L."
    assert is_in_after(platform, "bob")
    assert model(platform, "bob")["groups"] == ["astronomers"]
    # A group "admin" there means nothing here, and groups differ by case.
    browser = Browser(platform)
    page = sign_in(browser, "eve")
    assert page.status_code == 403
    assert REFUSED in page.text
    assert not is_in(browser)
    assert model(platform, "eve") == {}


def is_in_after(platform: Platform, name: str) -> bool:
    browser = Browser(platform)
    page = sign_in(browser, name)
    return page.status_code == 200 and is_in(browser)


# -- Keycloak


def keycloak_person(name: str, *roles: str, groups: tuple[str, ...] = ()) -> dict:
    return {
        "sub": f"id of {name}",
        "preferred_username": name,
        "name": name.title(),
        "email": f"{name}@example.org",
        "email_verified": True,
        "realm_access": {"roles": ["offline_access", *roles]},
        "resource_access": {"account": {"roles": ["view-profile"]}},
        "groups": list(groups),
    }


def test_keycloak_groups_and_administrators(site: Callable[[str], Site]) -> None:
    platform, provider = site("keycloak")
    provider.people["ada"] = keycloak_person("ada", "sciserver", "sciserver-admin", groups=("/galaxies", "/a/b"))
    provider.people["bob"] = keycloak_person("bob", "sciserver", groups=("/sciserver-admin", "unlike a path"))
    provider.people["eve"] = keycloak_person("eve", "sciserver-admin", groups=("/galaxies",))
    assert is_in_after(platform, "ada")
    ada = model(platform, "ada")
    assert (ada["admin"], ada["groups"]) == (True, ["galaxies"])
    # A subgroup's path cannot be a name here; the operator finds one line about it.
    lines = [line for line in platform.hub.log.read_text().splitlines() if "cannot be used here" in line]
    assert len(lines) == 1
    assert "'/a/b'" in lines[0]
    assert is_in_after(platform, "bob")
    bob = model(platform, "bob")
    assert (bob["admin"], bob["groups"]) == (False, ["sciserver-admin"])
    page = sign_in(Browser(platform), "eve")
    assert (page.status_code, REFUSED in page.text) == (403, True)
    assert model(platform, "eve") == {}


def test_keycloak_logout(site: Callable[[str], Site]) -> None:
    platform, provider = site("keycloak")
    provider.people["leaver"] = keycloak_person("leaver", "sciserver")
    hub = f"{platform.deployment.public_url}/hub"
    browser = Browser(platform)
    sign_in(browser, "leaver")
    kept = model(platform, "leaver")["auth_state"]
    page = browser.get(f"{hub}/logout", timeout=20)
    assert page.url == f"{hub}/login"
    assert provider.logged_out[-1] == f"{hub}/login"
    assert "leaver" not in provider.sessions.values()
    # The tokens are given back as well, and the next sign-in asks for the password.
    assert {kept["refresh_token"], kept["access_token"]} <= set(provider.revoked)
    assert 'name="login"' in browser.get(f"{hub}/oauth_login", timeout=20).text


def test_keycloak_renewal_brings_changes(site: Callable[[str], Site]) -> None:
    platform, provider = site("keycloak")
    provider.people["member"] = keycloak_person("member", "sciserver", groups=("/galaxies",))
    browser = Browser(platform)
    sign_in(browser, "member")
    provider.people["member"] |= keycloak_person("member", "sciserver", "sciserver-admin", groups=("/stars",))
    time.sleep(REFRESH_INTERVAL)
    assert is_in(browser)
    assert (model(platform, "member")["admin"], model(platform, "member")["groups"]) == (True, ["stars"])
    # Without the administrator's role, and without any group.
    provider.people["member"] = keycloak_person("member", "sciserver")
    del provider.people["member"]["groups"]
    time.sleep(REFRESH_INTERVAL)
    assert is_in(browser)
    assert (model(platform, "member")["admin"], model(platform, "member")["groups"]) == (False, [])
    # Without the role that lets people in: out, and not in again.
    provider.people["member"]["realm_access"] = {"roles": ["offline_access"]}
    time.sleep(REFRESH_INTERVAL)
    assert not is_in(browser)
    assert sign_in(browser, "member").status_code == 403


def test_keycloak_backchannel_logout(site: Callable[[str], Site]) -> None:
    platform, provider = site("keycloak")
    provider.people["remote"] = keycloak_person("remote", "sciserver")
    office, home = Browser(platform), Browser(platform)
    sign_in(office, "remote")
    [session] = [key for key, name in provider.sessions.items() if name == "remote"]
    sign_in(home, "remote")
    now = int(time.time())
    # As Keycloak's "Backchannel logout session required" has it.
    token = {
        "iss": provider.issuer,
        "aud": provider.client_id,
        "sub": "id of remote",
        "sid": session,
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_hex(8),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }
    headers = {"kid": "first", "typ": "logout+jwt"}
    answer = requests.post(
        f"{platform.deployment.public_url}/hub/backchannel-logout",
        data={"logout_token": jwt.encode(token, provider.key, "RS256", headers=headers)},
        timeout=20,
    )
    assert answer.status_code in {200, 204}, answer.text
    assert not is_in(office)
    assert is_in(home)


def password_token(platform: Platform, name: str, password: str) -> requests.Response:
    """What the portal asks of the hub for the client libraries."""
    return requests.post(
        f"{platform.deployment.public_url}/hub/api/sign-on/password",
        json={"name": name, "password": password},
        headers={"Authorization": f"token {secret(platform.deployment, 'portal-service')}"},
        timeout=20,
    )


def test_keycloak_passwords_where_the_client_allows_them(site: Callable[[str], Site]) -> None:
    platform, provider = site("keycloak")
    provider.people["script"] = keycloak_person("script", "sciserver")
    provider.people["barred"] = keycloak_person("barred")
    answer = password_token(platform, "script", "tpircs")
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"] == "script"
    assert password_token(platform, "script", "wrong").status_code == 401
    # The lists hold for passwords too.
    assert password_token(platform, "barred", "derrab").status_code == 403
    # "Direct access grants" off: published all the same, but not for this client.
    provider.refuse_passwords = True
    answer = password_token(platform, "script", "tpircs")
    provider.refuse_passwords = False
    assert answer.status_code == 403
    assert "make a token on your account page" in answer.json()["message"]


# -- CILogon


def cilogon_person(name: str, domain: str = "example.edu", **changes: object) -> dict:
    person = {
        "sub": f"http://cilogon.org/serverE/users/{name}",
        "eppn": f"{name}@{domain}",
        "email": f"{name.lower()}@{domain}",
        "given_name": name,
        "family_name": "Example",
        "idp": "https://idp.example.edu/idp/shibboleth",
        "idp_name": "Example University",
        "affiliation": f"member@{domain};staff@{domain}",
        **changes,
    }
    return {key: value for key, value in person.items() if value is not None}


def test_cilogon(site: Callable[[str], Site]) -> None:
    platform, provider = site("cilogon")
    partner = "https://login.partner.example.org/idp"
    provider.people |= {
        "ada": cilogon_person("Ada"),
        "ada2": cilogon_person("ada", "partner.example.org", idp=partner, sub="another"),
        "google": cilogon_person("g", eppn=None, email="g@gmail.com", idp="http://google.com/accounts/o8/id"),
        "noname": cilogon_person("noname", eppn=None),
        "foreign": cilogon_person("foreign", "evil.example"),
        "impostor": cilogon_person("ada", sub="yet another", idp="https://idp.evil.example/idp"),
    }
    assert is_in_after(platform, "ada")
    assert is_in_after(platform, "ada2")
    assert model(platform, "ada@example.edu")["admin"] is True
    assert model(platform, "ada@partner.example.org")["admin"] is False
    for person, says in {
        "google": "no user name",
        "noname": "no user name",
        "foreign": "People of your institution cannot sign in here",
        "impostor": REFUSED,
    }.items():
        browser = Browser(platform)
        page = sign_in(browser, person)
        assert (page.status_code, says in page.text) == (403, True), person
        assert "evil" not in page.text
        assert not is_in(browser)
    names = {user["name"] for user in platform.hub_api("GET", "/users").json()}
    assert names == {"ada@example.edu", "ada@partner.example.org"}


def test_cilogon_logout_is_a_page_of_its_own(site: Callable[[str], Site]) -> None:
    platform, provider = site("cilogon")
    provider.people["leaver"] = cilogon_person("leaver")
    hub = f"{platform.deployment.public_url}/hub"
    browser = Browser(platform)
    sign_in(browser, "leaver")
    assert browser.get(f"{hub}/logout", timeout=20).url == f"{provider.origin}/logout"
    assert not is_in(browser)
    assert 'name="login"' in browser.get(f"{hub}/oauth_login", timeout=20).text


def test_cilogon_takes_no_passwords(site: Callable[[str], Site]) -> None:
    platform, provider = site("cilogon")
    provider.people["bob"] = cilogon_person("bob")
    assert is_in_after(platform, "bob")
    asked = provider.requests["token"]
    answer = password_token(platform, "bob@example.edu", "bob")
    assert answer.status_code == 403
    assert "does not take passwords" in answer.json()["message"]
    # The password has not left this machine.
    assert provider.requests["token"] == asked


def test_cilogon_refresh_tokens_are_used_once(site: Callable[[str], Site]) -> None:
    platform, provider = site("cilogon")
    provider.people["carol"] = cilogon_person("carol")
    browser = Browser(platform)
    sign_in(browser, "carol")
    for _ in range(2):
        before = model(platform, "carol@example.edu")["auth_state"]["refresh_token"]
        time.sleep(REFRESH_INTERVAL)
        assert is_in(browser)
        assert model(platform, "carol@example.edu")["auth_state"]["refresh_token"] != before
        assert before not in provider.refresh_tokens


# -- one institution


def test_institution(site: Callable[[str], Site]) -> None:
    platform, provider = site("institution")
    provider.people |= {
        "ada": cilogon_person("ada"),
        "student": cilogon_person("student", affiliation="member@example.edu;student@example.edu"),
        "fake": cilogon_person("fake", affiliation="staff@evil.example;xstaff@example.edu"),
        "other": cilogon_person("other", "partner.example.org", idp="https://login.partner.example.org/idp"),
        "double": cilogon_person("ada@partner.example.org"),
    }
    answer = requests.get(f"{platform.deployment.public_url}/hub/oauth_login", allow_redirects=False, timeout=20)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["selected_idp"] == ["https://idp.example.edu/idp/shibboleth"]
    assert is_in_after(platform, "ada")
    assert (model(platform, "ada")["admin"], model(platform, "ada")["groups"]) == (True, ["staff"])
    for person in ("student", "fake", "other", "double"):
        browser = Browser(platform)
        assert sign_in(browser, person).status_code == 403
        assert not is_in(browser)
    assert {user["name"] for user in platform.hub_api("GET", "/users").json()} == {"ada"}


# -- Globus


def globus_person(name: str, **changes: object) -> dict:
    return {
        "sub": f"2982f207-04c0-11e5-ac60-{name}",
        "preferred_username": name,
        "name": name.partition("@")[0].title(),
        "email": name,
        "identity_provider": "41143743-f3c8-4d60-bbdb-eeecaba85bd9",
        "identity_provider_display_name": "Example University",
        "organization": "Example University",
        "last_authentication": 1700000000,
        **changes,
    }


def test_globus(site: Callable[[str], Site]) -> None:
    platform, provider = site("globus")
    provider.people["ada"] = globus_person("ada@example.edu")
    provider.people["eve"] = globus_person("eve@globusid.org")
    browser = Browser(platform)
    assert sign_in(browser, "ada").status_code == 200
    ada = model(platform, "ada")
    assert (ada["admin"], ada["groups"], ada["user_info"]["display_name"]) == (True, [], "Ada")
    # Renewed with the refresh token that `access_type` brings; no new identity token comes with it.
    before = ada["auth_state"]
    time.sleep(REFRESH_INTERVAL)
    assert is_in(browser)
    after = model(platform, "ada")["auth_state"]
    assert after["access_token"] != before["access_token"]
    assert (after["id_token"], after["id_claims"]) == (before["id_token"], before["id_claims"])
    page = sign_in(Browser(platform), "eve")
    assert (page.status_code, "People of your institution" in page.text) == (403, True)


def test_globus_logout_is_a_page_of_its_own(site: Callable[[str], Site]) -> None:
    platform, provider = site("globus")
    provider.people["bob"] = globus_person("bob@example.edu")
    hub = f"{platform.deployment.public_url}/hub"
    browser = Browser(platform)
    sign_in(browser, "bob")
    page = browser.get(f"{hub}/logout", timeout=20)
    assert page.url.startswith(f"{provider.origin}/v2/web/logout?")
    assert f"{hub}/login" in page.text
    assert not is_in(browser)
    assert 'name="login"' in browser.get(f"{hub}/oauth_login", timeout=20).text
