"""REST of the account page at a real hub: what it does, and that nobody else can."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from auth_platform import PASSWORD, Browser, Platform, make_deployment

from sciserver_auth.portal import accounts
from sciserver_common.deployment import SOURCE
from sciserver_common.scopes import FILES_READ
from sciserver_common.secrets import secret

LONGEST = 1_000_000

CONFIG = f"""
c.JupyterHub.token_expires_in_max_seconds = {LONGEST}
c.JupyterHub.template_paths = [{str(SOURCE / "dashboard" / "templates")!r}]
c.JupyterHub.services.append({{"name": "clerk", "api_token": secret(deployment, "clerk")}})
c.JupyterHub.services.append(
    {{
        "name": "pages",
        "url": "http://127.0.0.1:9",
        "api_token": secret(deployment, "pages"),
        "oauth_no_confirm": True,
    }}
)
c.JupyterHub.extra_user_scopes |= {{"access:services!service=pages"}}
c.JupyterHub.load_roles.append({{"name": "clerk", "scopes": ["admin:users"], "services": ["clerk"]}})
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(make_deployment(tmp_path_factory.mktemp("account")), CONFIG)
    try:
        platform.start_portal()
        platform.start_hub()
        yield platform
    finally:
        platform.stop()


class Person(Browser):
    """Somebody with an account, in one browser."""

    def __init__(self, platform: Platform, name: str, *, admin: bool = False) -> None:
        super().__init__(platform)
        self.name = name
        self.hub = f"{platform.deployment.public_url}/hub"
        if not accounts.user_exists(platform.deployment, name):
            accounts.add_user(platform.deployment, name, PASSWORD, admin=admin)
        assert self.sign_in(name).url.endswith("/hub/home")

    @property
    def xsrf(self) -> str:
        return next(str(cookie.value) for cookie in self.cookies if cookie.name == "_xsrf" and cookie.path == "/hub/")

    def api(self, method: str, path: str, **options: object) -> requests.Response:
        """A request below the own name, with this browser's cookies."""
        headers = {"X-XSRFToken": self.xsrf}
        return self.request(method, f"{self.hub}/api/users/{self.name}{path}", headers=headers, timeout=30, **options)

    def token(self, *scopes: str, expires_in: int = 3600, note: str = "test") -> dict:
        body = {"scopes": list(scopes or ["inherit"]), "expires_in": expires_in, "note": note}
        response = self.api("POST", "/tokens", json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def activity(self) -> list[tuple[str, str]]:
        return [(line["kind"], line["detail"]) for line in self.api("GET", "/activity-log").json()["activity"]]

    def is_in(self) -> bool:
        return self.get(f"{self.hub}/account", timeout=20).url.endswith("/hub/account")


def ask(platform: Platform, method: str, path: str, token: str | None, **options: object) -> requests.Response:
    """A request to the hub's REST API with a token."""
    headers = {"Authorization": f"token {token}"} if token is not None else {}
    url = f"{platform.deployment.public_url}/hub/api{path}"
    return requests.request(method, url, headers=headers, timeout=30, **options)


def works(platform: Platform, token: str) -> bool:
    return ask(platform, "GET", "/user", token).status_code == 200


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def oauth_token(person: Person) -> str:
    """A token of a service's page: the hub's OAuth, as a browser and the service go through it."""
    redirect = "/services/pages/oauth_callback"
    query = {"client_id": "service-pages", "redirect_uri": redirect, "response_type": "code", "state": "s"}
    page = person.get(f"{person.hub}/api/oauth2/authorize", params=query, allow_redirects=False, timeout=20)
    assert page.status_code == 302, page.text
    (code,) = parse_qs(urlsplit(page.headers["Location"]).query)["code"]
    answer = requests.post(
        f"{person.hub}/api/oauth2/token",
        data={
            "client_id": "service-pages",
            "client_secret": secret(person.platform.deployment, "pages"),
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
        },
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


# -- who must not get in


@pytest.fixture(scope="module")
def ada(platform: Platform) -> Person:
    return Person(platform, "ada")


@pytest.fixture(scope="module")
def eve(platform: Platform) -> Person:
    return Person(platform, "eve")


@pytest.fixture(scope="module")
def boss(platform: Platform) -> Person:
    return Person(platform, "boss", admin=True)


@pytest.fixture(scope="module")
def credentials(platform: Platform, ada: Person, eve: Person) -> dict[str, str | None]:
    """Tokens that give no right to Ada's access."""
    expired = ada.token(expires_in=1)["token"]
    revoked = ada.token()
    assert ada.api("DELETE", f"/tokens/{revoked['id']}").status_code == 204
    time.sleep(1.1)
    return {
        "none": None,
        "invented": secrets.token_hex(16),
        "expired": expired,
        "revoked": revoked["token"],
        "wrong scope": ada.token(FILES_READ)["token"],
        "other user's": eve.token()["token"],
    }


ENDPOINTS = {
    "list sessions": ("GET", "/sessions", None),
    "end sessions": ("DELETE", "/sessions", None),
    "end a session": ("DELETE", "/sessions/{session}", None),
    "renew": ("POST", "/tokens/{token}/renew", {"expires_in": 600}),
    "activity": ("GET", "/activity-log", None),
    "revoke": ("POST", "/revoke", None),
    "list identities": ("GET", "/identities", None),
    "link": ("POST", "/identities", {"issuer": "https://evil.example.org", "subject": "1"}),
    "unlink": ("DELETE", "/identities/{identity}", None),
}
# What these need, no person has but administrators.
ADMINISTRATION = {"revoke", "link", "unlink"}


def parts(person: Person) -> dict[str, str]:
    """Names of things of a person that addresses contain."""
    tokens = person.api("GET", "/tokens").json()["api_tokens"]
    return {
        "session": next(item["key"] for item in person.api("GET", "/sessions").json()["sessions"] if item["current"]),
        "token": next((item["id"] for item in tokens if item["note"] == "kept"), "a1"),
        "identity": str(person.api("GET", "/identities").json()["identities"][0]["id"]),
    }


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("who", ["none", "invented", "expired", "revoked", "wrong scope", "other user's"])
def test_nobody_else_gets_in(
    platform: Platform, ada: Person, credentials: dict[str, str | None], endpoint: str, who: str
) -> None:
    kept = ada.token(FILES_READ, note="kept")
    before = ada.activity(), ada.api("GET", "/identities").json()
    method, path, body = ENDPOINTS[endpoint]
    names = parts(ada)
    answer = ask(platform, method, f"/users/ada{path.format(**names)}", credentials[who], json=body)
    expected = 404 if who == "other user's" and endpoint not in ADMINISTRATION else 403
    assert answer.status_code == expected, answer.text
    assert answer.json()["status"] == expected
    # The same answer for a user who does not exist.
    nobody = ask(platform, method, f"/users/nobody{path.format(**names)}", credentials[who], json=body)
    assert nobody.status_code == expected
    assert nobody.json()["message"] == answer.json()["message"]
    assert ada.is_in()
    assert works(platform, kept["token"])
    assert (ada.activity(), ada.api("GET", "/identities").json()) == before
    again = next(t for t in ada.api("GET", "/tokens").json()["api_tokens"] if t["id"] == kept["id"])
    assert again["expires_at"] == kept["expires_at"]
    ada.api("DELETE", f"/tokens/{kept['id']}")


@pytest.mark.parametrize("endpoint", sorted(set(ENDPOINTS) & ADMINISTRATION))
def test_people_do_not_administer_themselves(platform: Platform, ada: Person, endpoint: str) -> None:
    method, path, body = ENDPOINTS[endpoint]
    answer = ada.api(method, path.format(**parts(ada)), json=body)
    assert answer.status_code == 403
    assert ada.is_in()


@pytest.mark.parametrize("forged", ["missing", "invented", "other user's", "a form"])
@pytest.mark.parametrize("endpoint", [name for name, (method, _, _) in ENDPOINTS.items() if method != "GET"])
def test_cookies_alone_are_not_enough(
    platform: Platform, boss: Person, eve: Person, endpoint: str, forged: str
) -> None:
    """A page of somebody else's can make a browser send requests with its cookies, but not with the XSRF token."""
    method, path, body = ENDPOINTS[endpoint]
    url = f"{boss.hub}/api/users/boss{path.format(**parts(boss))}"
    before = boss.activity()
    headers = {
        "missing": {},
        "invented": {"X-XSRFToken": secrets.token_urlsafe(32)},
        "other user's": {"X-XSRFToken": eve.xsrf},
        "a form": {"Content-Type": "application/x-www-form-urlencoded"},
    }[forged]
    data = b"expires_in=600" if forged == "a form" else None
    sent = {"data": data} if data else {"json": body}
    answer = boss.request(method, url, headers=headers, timeout=20, **sent)
    assert answer.status_code == 403, answer.text
    assert boss.is_in()
    assert boss.activity() == before


def test_administrator_may_do_all_of_it(platform: Platform, boss: Person) -> None:
    victim = Person(platform, "victim")
    token = victim.token(FILES_READ, note="kept")
    names = parts(victim)
    admin = boss.token()["token"]
    results = {}
    for name, (method, path, body) in ENDPOINTS.items():
        if name in {"end sessions", "end a session", "revoke"}:
            continue
        answer = ask(platform, method, f"/users/victim{path.format(**names)}", admin, json=body)
        results[name] = answer.status_code
    assert results == {
        "list sessions": 200,
        "renew": 200,
        "activity": 200,
        "list identities": 200,
        "link": 201,
        "unlink": 204,
    }
    assert works(platform, token["token"])
    # The link that was removed is the one that the session came through.
    assert not victim.is_in()
    missing = ask(platform, "GET", "/users/nobody/sessions", admin)
    assert missing.status_code == 404


# -- sessions


def test_sessions_are_told_apart_and_end_one_by_one_or_all(platform: Platform) -> None:
    here, there = Person(platform, "grace"), Person(platform, "grace")
    there.get(f"{there.hub}/home", headers={"User-Agent": "irrelevant after the sign-in"}, timeout=20)
    sessions = here.api("GET", "/sessions").json()["sessions"]
    assert len(sessions) == 2
    assert [item["current"] for item in sessions].count(True) == 1
    for item in sessions:
        assert set(item) == {
            "key", "user", "browser", "user_agent", "address", "created", "last_seen", "expires", "current",
        }  # fmt: skip
        assert item["user"] == "grace"
        assert item["browser"] == "A Python program"
        assert item["address"] == "127.0.0.1"
        assert moment(item["created"]) <= moment(item["last_seen"]) < moment(item["expires"])
        assert item["created"].endswith("Z")
    # A token is part of no session.
    kept = here.token(note="kept")["token"]
    listed = ask(platform, "GET", "/users/grace/sessions", kept).json()["sessions"]
    assert not any(item["current"] for item in listed)

    (other,) = [item["key"] for item in sessions if not item["current"]]
    service = oauth_token(there)
    assert works(platform, service)
    assert here.api("DELETE", f"/sessions/{other}").status_code == 204
    assert not there.is_in()
    assert not works(platform, service), "the tokens that pages got in that session's name end with it"
    assert here.is_in()
    gone = here.api("DELETE", f"/sessions/{other}")
    assert gone.status_code == 404
    assert "has ended already" in gone.json()["message"]

    third = Person(platform, "grace")
    assert here.api("DELETE", "/sessions").status_code == 204
    assert not here.is_in()
    assert not third.is_in()
    assert works(platform, kept), "tokens that people made outlive browsers' sessions"
    kinds = [line["kind"] for line in ask(platform, "GET", "/users/grace/activity-log", kept).json()["activity"]]
    assert kinds[0] == "signed-out-everywhere"
    assert kinds.count("sign-in") == 3


def test_session_of_somebody_else_is_not_found_below_the_own_name(
    platform: Platform, ada: Person, eve: Person
) -> None:
    answer = eve.api("DELETE", f"/sessions/{parts(ada)['session']}")
    assert answer.status_code == 404
    assert ada.is_in()


# -- renewing tokens


def test_renewed_token_lives_on_until_the_new_date(platform: Platform, ada: Person) -> None:
    token = ada.token(FILES_READ, expires_in=60, note="laptop")
    answer = ada.api("POST", f"/tokens/{token['id']}/renew", json={"expires_in": 7200})
    assert answer.status_code == 200
    renewed = answer.json()
    assert "token" not in renewed
    assert renewed["scopes"] == token["scopes"]
    gained = moment(renewed["expires_at"]) - moment(token["expires_at"])
    assert timedelta(seconds=7140) <= gained < timedelta(seconds=7200)
    assert ask(platform, "GET", "/sign-on/token", token["token"]).json()["expires_at"] == renewed["expires_at"]
    # Also to an earlier date than before.
    again = ada.api("POST", f"/tokens/{token['id']}/renew", json={"expires_in": 60}).json()
    assert moment(again["expires_at"]) < moment(renewed["expires_at"])
    assert ada.activity()[0] == ("token-renewed", "laptop")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"expires_in": 59}, f"from 60 to {LONGEST}"),
        ({"expires_in": LONGEST + 1}, f"from 60 to {LONGEST}"),
        ({"expires_in": -600}, "from 60"),
        ({"expires_in": 10**30}, "from 60"),
        ({"expires_in": 600.5}, "number of seconds"),
        ({"expires_in": "600"}, "number of seconds"),
        ({"expires_in": True}, "number of seconds"),
        ({"expires_in": None}, "number of seconds"),
        ({}, "number of seconds"),
        ([600], "JSON object"),
        ("600", "JSON object"),
        (None, "JSON object"),
    ],
)
def test_renewal_says_what_is_wrong(ada: Person, body: object, words: str) -> None:
    token = ada.token(FILES_READ)
    answer = ada.api("POST", f"/tokens/{token['id']}/renew", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert ada.api("GET", f"/tokens/{token['id']}").json()["expires_at"] == token["expires_at"]


def test_renewal_refuses_what_is_not_json(ada: Person) -> None:
    token = ada.token(FILES_READ)
    answer = ada.api("POST", f"/tokens/{token['id']}/renew", data=b"{")
    assert answer.status_code == 400


def test_tokens_of_servers_and_applications_are_not_renewed(platform: Platform, ada: Person) -> None:
    # As the hub notes them; a real one is in tests/integration, where servers run.
    server = ada.token(FILES_READ, note="Server at /user/ada/")
    answer = ada.api("POST", f"/tokens/{server['id']}/renew", json={"expires_in": 600})
    assert answer.status_code == 400
    assert "belongs to a server" in answer.json()["message"]

    application = oauth_token(ada)
    listed = ada.api("GET", "/tokens").json()["api_tokens"]
    (of_service,) = [item["id"] for item in listed if item["session_id"]]
    answer = ada.api("POST", f"/tokens/{of_service}/renew", json={"expires_in": 600})
    assert answer.status_code == 400
    assert "belongs to an application" in answer.json()["message"]
    assert works(platform, application)
    for identifier in (server["id"], of_service):
        assert ada.api("DELETE", f"/tokens/{identifier}").status_code == 204


def test_dead_foreign_and_nonsense_tokens_are_not_found(ada: Person, eve: Person) -> None:
    dead = ada.token(FILES_READ, expires_in=1)
    revoked = ada.token(FILES_READ)
    ada.api("DELETE", f"/tokens/{revoked['id']}")
    foreign = eve.token(FILES_READ)
    time.sleep(1.1)
    for identifier in (dead["id"], revoked["id"], foreign["id"], "a999999", "a", "x1", "aa", "a1;", "%20"):
        answer = ada.api("POST", f"/tokens/{identifier}/renew", json={"expires_in": 600})
        assert answer.status_code == 404, identifier
    assert eve.api("GET", f"/tokens/{foreign['id']}").json()["expires_at"] == foreign["expires_at"]


# -- activity


def test_activity_tells_of_tokens_but_no_token(platform: Platform) -> None:
    person = Person(platform, "noether")
    token = person.token(FILES_READ, note="for <home>")
    refused = person.api("POST", "/tokens", json={"scopes": ["admin:users"], "note": "too much"})
    assert refused.status_code == 400
    short = person.token(FILES_READ, expires_in=1, note="short")
    application = oauth_token(person)
    person.api("POST", f"/tokens/{token['id']}/renew", json={"expires_in": 600})
    person.api("DELETE", f"/tokens/{token['id']}")
    time.sleep(1.1)
    # The hub's own list sweeps the expired one out: it was not revoked.
    listed = person.api("GET", "/tokens").json()["api_tokens"]
    assert short["id"] not in {model["id"] for model in listed}
    assert person.activity() == [
        ("token-revoked", "for <home>"),
        ("token-renewed", "for <home>"),
        ("token-made", "short"),
        ("token-made", "for <home>"),
        ("sign-in", ""),
    ]
    lines = person.api("GET", "/activity-log").json()["activity"]
    assert {line["address"] for line in lines} == {"127.0.0.1"}
    assert lines[0]["text"] == "Token revoked"
    assert all(line["at"].endswith("Z") for line in lines)
    log = (platform.deployment.logs_dir / "hub.log").read_text()
    with sqlite3.connect(platform.deployment.hub_dir / "sign-on.sqlite") as database:
        stored = "\n".join(database.iterdump())
    for value in (token["token"], short["token"], application):
        assert value not in log
        assert value not in stored


def test_activity_is_as_long_as_one_asks_for(ada: Person) -> None:
    for number in range(3):
        ada.token(FILES_READ, note=f"number {number}")
    answer = ada.api("GET", "/activity-log?limit=2")
    assert [line["detail"] for line in answer.json()["activity"]] == ["number 2", "number 1"]
    assert ada.api("GET", "/activity-log?limit=200").status_code == 200
    for limit in ("0", "201", "-1", "1.5", "many", "", "9" * 30):
        answer = ada.api("GET", f"/activity-log?limit={limit}")
        assert answer.status_code == 400, limit
        assert "from 1 to 200" in answer.json()["message"]


# -- revoking everything


def test_revoke_ends_sessions_and_tokens_at_once(platform: Platform, boss: Person) -> None:
    person = Person(platform, "meitner")
    token, service = person.token()["token"], oauth_token(person)
    admin = boss.token()["token"]
    assert ask(platform, "POST", "/users/meitner/revoke", admin).status_code == 204
    assert not person.is_in()
    assert not works(platform, token)
    assert not works(platform, service)
    kinds = [line["kind"] for line in ask(platform, "GET", "/users/meitner/activity-log", admin).json()["activity"]]
    assert kinds[:2] == ["access-revoked", "token-revoked"]
    assert ask(platform, "POST", "/users/nobody/revoke", admin).status_code == 404
    assert boss.is_in()
    # The account itself is not locked.
    assert Person(platform, "meitner").is_in()


# -- identities


def test_identities_are_linked_and_removed(platform: Platform, boss: Person, ada: Person) -> None:
    Person(platform, "hopper")
    admin = boss.token()["token"]
    (first,) = ask(platform, "GET", "/users/hopper/identities", admin).json()["identities"]
    assert first["issuer"] == platform.deployment.service_url("portal")
    new = {"issuer": "https://login.example.org", "subject": "0042", "email": "hopper@example.org"}
    made = ask(platform, "POST", "/users/hopper/identities", admin, json=new)
    assert made.status_code == 201
    assert made.json().items() >= new.items()
    # Once more changes nothing.
    assert ask(platform, "POST", "/users/hopper/identities", admin, json=new).status_code == 200
    assert len(ask(platform, "GET", "/users/hopper/identities", admin).json()["identities"]) == 2
    # One account is one user's.
    taken = ask(platform, "POST", "/users/ada/identities", admin, json=new)
    assert taken.status_code == 409
    assert "hopper" not in taken.text
    # Not below another name.
    identity = made.json()["id"]
    assert ask(platform, "DELETE", f"/users/ada/identities/{identity}", admin).status_code == 404
    assert ask(platform, "DELETE", f"/users/hopper/identities/{identity}", admin).status_code == 204
    assert ask(platform, "DELETE", f"/users/hopper/identities/{identity}", admin).status_code == 404
    assert ask(platform, "GET", "/users/hopper/identities", admin).json()["identities"] == [first]
    lines = ask(platform, "GET", "/users/hopper/activity-log", admin).json()["activity"]
    assert [(line["kind"], line["detail"]) for line in lines[:2]] == [
        ("identity-removed", "https://login.example.org (by boss)"),
        ("identity-linked", "https://login.example.org (by boss)"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"issuer": "https://login.example.org"},
        {"issuer": "https://login.example.org", "subject": ""},
        {"issuer": "https://login.example.org", "subject": "  "},
        {"issuer": "https://login.example.org", "subject": 42},
        {"issuer": "https://login.example.org", "subject": "x" * 256},
        {"issuer": "login.example.org", "subject": "42"},
        {"issuer": "javascript:alert(1)", "subject": "42"},
        {"issuer": "https://login.example.org", "subject": "42", "email": ["a@example.org"]},
        ["https://login.example.org", "42"],
    ],
)
def test_identity_says_what_is_wrong(platform: Platform, boss: Person, body: object) -> None:
    answer = ask(platform, "POST", "/users/boss/identities", boss.token()["token"], json=body)
    assert answer.status_code == 400
    assert len(answer.json()["message"]) > 20
    assert len(boss.api("GET", "/identities").json()["identities"]) == 1


def test_administration_of_users_alone_does_not_let_one_become_them(platform: Platform, ada: Person) -> None:
    """A link lets somebody sign in as the user, which the scope `admin:users` by itself does not."""
    clerk = (platform.deployment.secrets_dir / "clerk").read_text()
    link = {"issuer": "https://evil.example.org", "subject": "1"}
    answer = ask(platform, "POST", f"/users/{ada.name}/identities", clerk, json=link)
    assert answer.status_code == 403
    assert "tokens" in answer.json()["message"]
    assert len(ada.api("GET", "/identities").json()["identities"]) == 1
    assert ask(platform, "GET", f"/users/{ada.name}/identities", clerk).status_code == 200


# -- the page


def test_page_needs_a_sign_in_and_shows_others_to_administrators_only(
    platform: Platform, ada: Person, eve: Person, boss: Person
) -> None:
    stranger = Browser(platform)
    for path in ("/account", "/account/ada", "/token"):
        answer = stranger.get(f"{ada.hub}{path}", timeout=20)
        assert "/hub/login" in answer.url
        assert "tokens" not in answer.text
    # A token of a person opens no page.
    headers = {"Authorization": f"token {ada.token()['token']}"}
    assert "/hub/login" in requests.get(f"{ada.hub}/account", headers=headers, timeout=20).url

    own = ada.get(f"{ada.hub}/account/ada", timeout=20)
    assert own.url == f"{ada.hub}/account"
    assert own.headers["Cache-Control"] == "no-store"
    for name in ("ada", "nobody"):
        assert eve.get(f"{ada.hub}/account/{name}", timeout=20).status_code == 403
    assert boss.get(f"{ada.hub}/account/nobody", timeout=20).status_code == 404
    shown = boss.get(f"{ada.hub}/account/ada", timeout=20)
    assert shown.status_code == 200
    assert "Access of ada" in shown.text
    redirect = ada.get(f"{ada.hub}/token", allow_redirects=False, timeout=20)
    assert redirect.headers["Location"] == "/hub/account#tokens"


def test_page_escapes_what_people_and_browsers_send(platform: Platform, ada: Person) -> None:
    other = Browser(platform)
    other.headers["User-Agent"] = "<script>alert(1)</script> Firefox/1 Linux"
    assert other.sign_in("ada").url.endswith("/hub/home")
    token = ada.token(FILES_READ, note='"><script>alert(2)</script>')
    text = ada.get(f"{ada.hub}/account", timeout=20).text
    assert "Firefox on Linux" in text
    assert "&lt;script&gt;alert(2)" in text
    assert "<script>alert" not in text
    ada.api("DELETE", f"/tokens/{token['id']}")
