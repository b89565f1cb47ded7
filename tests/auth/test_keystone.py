"""The token API, as SciServer's client libraries and other pieces of the platform use it (contract §2)."""

from __future__ import annotations

import itertools
import json
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
import requests
from auth_platform import PASSWORD, Platform, make_deployment

from sciserver_auth.portal import accounts, openapi
from sciserver_auth.portal.keystone import REFUSAL_TIME
from sciserver_common.scopes import TOKEN_API_SCOPES

# A client library's request has one (contract §0, "TaskName").
TASK = {"TaskName": "SciScript-Python.Authentication.Login"}

_addresses = (f"203.0.113.{number}" for number in itertools.count(1))


class Client:
    """A client library at an address of its own: what one test does wrong does not limit the next."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.url = f"{platform.deployment.service_url('portal')}/keystone/v3/tokens"
        self.session = requests.Session()
        # The proxy closes idle connections after 5 seconds, maybe just as the next request comes.
        self.session.headers["Connection"] = "close"
        # The tests' connections come from this machine, whose proxies are believed.
        self.session.headers["X-Forwarded-For"] = next(_addresses)

    def post(self, name: Any, password: Any, url: str = "") -> requests.Response:
        body = {"auth": {"identity": {"password": {"user": {"name": name, "password": password}}}}}
        return self.session.post(url or self.url, json=body, params=TASK, timeout=60)

    def login(self, name: str, password: str = PASSWORD) -> str:
        answer = self.post(name, password)
        assert answer.status_code == 200, answer.text
        return answer.headers["X-Subject-Token"]

    def request(self, method: str, path: str, **headers: str) -> requests.Response:
        """`path` below ``/keystone``."""
        url = self.url.removesuffix("/v3/tokens") + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(method, url, headers=named, timeout=60, allow_redirects=False)


@pytest.fixture(scope="module")
def people(platform: Platform) -> Platform:
    for name in ("ada", "bob"):
        accounts.add_user(platform.deployment, name, PASSWORD, email=f"{name}@example.org")
        Client(platform).login(name)
    return platform


@pytest.fixture
def client(people: Platform) -> Client:
    return Client(people)


def hub_user(platform: Platform, token: str) -> requests.Response:
    url = f"{platform.deployment.public_url}/hub/api/user"
    return requests.get(url, headers={"Authorization": f"token {token}"}, timeout=20)


def check(answer: requests.Response, path: str) -> None:
    """The answer is one that the description of the routes knows."""
    document = openapi.document("https://example.org")
    described = document["paths"][path][answer.request.method.lower()]["responses"]
    assert str(answer.status_code) in described, answer.text
    expected = described[str(answer.status_code)]
    for name in expected.get("headers", {}):
        assert name in answer.headers
    content = expected.get("content", {})
    if not content:
        assert answer.content == b""
        return
    ((kind, media),) = content.items()
    assert answer.headers["Content-Type"].startswith(kind)
    if kind == "application/json":
        jsonschema.validate(answer.json(), media["schema"] | {"components": document["components"]})


# -- sign-in


def test_sign_in_as_the_client_library_does(client: Client) -> None:
    answer = client.post("ada", PASSWORD)
    assert answer.status_code == 200
    token = answer.headers["x-subject-token"]
    assert answer.text == token
    assert re.fullmatch(r"[0-9a-zA-Z_-]+", token)
    assert answer.headers["Cache-Control"] == "no-store"
    check(answer, "/keystone/v3/tokens")
    model = hub_user(client.platform, token).json()
    assert model["name"] == "ada"
    assert set(TOKEN_API_SCOPES) <= set(model["scopes"])
    assert not [scope for scope in model["scopes"] if scope.startswith(("admin:", "servers", "access:", "tokens"))]


def test_each_sign_in_gives_another_token(client: Client) -> None:
    assert client.login("ada") != client.login("ada")


@pytest.mark.parametrize("tail", ["", "/", "//", "/?TaskName=x"])
def test_configured_address_may_end_in_a_slash(client: Client, tail: str) -> None:
    assert client.post("ada", PASSWORD, client.url + tail).status_code == 200


def test_slashes_in_the_midst_are_no_redirect(client: Client) -> None:
    url = client.url.replace("/keystone/v3/", "//keystone///v3//")
    answer = client.post("ada", PASSWORD, url)
    assert (answer.status_code, answer.history) == (200, [])


def test_requests_of_true_keystone_clients_are_understood(client: Client) -> None:
    user = {"name": "ada", "password": PASSWORD, "domain": {"id": "default"}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": "unscoped"}}
    assert client.session.post(client.url, json=body, timeout=60).status_code == 200
    # The content type is not looked at.
    answer = client.session.post(client.url, data=json.dumps(body), headers={"Content-Type": "x/y"}, timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "[]",
        '"auth"',
        "{}",
        '{"auth": {}}',
        '{"auth": {"identity": []}}',
        '{"auth": {"identity": {"password": {}}}}',
        '{"auth": {"identity": {"password": {"user": "ada"}}}}',
        '{"auth": {"identity": {"password": {"user": {"name": "ada"}}}}}',
        '{"auth": {"identity": {"password": {"user": {"name": 7, "password": "x"}}}}}',
        '{"auth": {"identity": {"password": {"user": {"name": "ada", "password": null}}}}}',
        "[" * 30000,
        "\xff\xfe",
    ],
)
def test_body_of_another_form_is_told_the_right_one(client: Client, body: str) -> None:
    answer = client.session.post(client.url, data=body.encode("latin1"), timeout=60)
    assert answer.status_code == 400
    assert '{"user": {"name": "<user name>", "password": "<password>"}}' in answer.json()["error"]["message"]
    check(answer, "/keystone/v3/tokens")


@pytest.mark.parametrize(
    "identity", [{"methods": ["token"], "token": {"id": "x"}}, {"methods": ["totp"], "password": {}}, {"token": {}}]
)
def test_other_methods_are_told_the_one_that_is_there(client: Client, identity: dict[str, Any]) -> None:
    answer = client.session.post(client.url, json={"auth": {"identity": identity}}, timeout=60)
    assert answer.status_code == 400
    assert "Only the method 'password'" in answer.json()["error"]["message"]


def test_body_may_have_64_kib(client: Client) -> None:
    answer = client.post("ada", "x" * 65536)
    assert answer.status_code == 413
    assert "64 KiB" in answer.json()["error"]["message"]
    check(answer, "/keystone/v3/tokens")


def test_refusals_are_all_the_same(client: Client) -> None:
    """Wrong password, unknown name, locked account, and what cannot be a name: no telling which."""
    accounts.add_user(client.platform.deployment, "locked", PASSWORD)
    accounts.set_locked(client.platform.deployment, "locked", True)
    tries = [
        ("ada", "wrong"),
        ("nobody", PASSWORD),
        ("locked", PASSWORD),
        ("", PASSWORD),
        ("ada", ""),
        ("ada\x00", PASSWORD),
        ("ada\n", PASSWORD),
        ("äöü", PASSWORD),
        ("用户" * 100, "密码"),
        ("x" * 5000, PASSWORD),
        ("ada", "x" * 5000),
        ("\ud800", "\udfff"),
        ("*", "*"),
        ("ada' OR '1'='1", "x"),
        ("../admin", "x"),
        ("{{7*7}}", "x"),
    ]

    def refused(attempt: tuple[str, str]) -> requests.Response:
        started = time.monotonic()
        answer = Client(client.platform).post(*attempt)
        assert time.monotonic() - started >= REFUSAL_TIME
        return answer

    # A few at a time, since each takes so long.
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(refused, tries))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(name for name in answer.headers)) for answer in answers}) == 1
    answer = answers[0]
    assert "X-Subject-Token" not in answer.headers
    assert answer.json()["error"]["message"] == "The user name or the password is wrong."
    assert answer.headers["WWW-Authenticate"].startswith("Keystone ")
    check(answer, "/keystone/v3/tokens")


def test_name_is_taken_as_people_type_it(client: Client) -> None:
    token = client.login(" ADA ")
    assert client.request("GET", f"/v3/tokens/{token}").json()["token"]["user"]["name"] == "ada"


def test_address_of_mail_is_a_name_as_well(client: Client) -> None:
    token = client.login("ada@example.org")
    assert client.request("GET", f"/v3/tokens/{token}").json()["token"]["user"]["name"] == "ada"


def test_own_token_takes_the_password_s_place(client: Client) -> None:
    token = client.platform.token("ada", note="laptop", scopes=["custom:sciserver:files:read"])
    answer = client.post("ada", token)
    assert (answer.status_code, answer.headers["X-Subject-Token"]) == (200, token)
    assert hub_user(client.platform, token).json()["scopes"] != []
    # Neither somebody else's nor a service's, nor one that has ended.
    service = (client.platform.deployment.secrets_dir / "tests").read_text()
    revoked = client.platform.token("ada")
    assert client.request("DELETE", f"/v3/tokens/{revoked}").status_code == 204
    for name, password in [("bob", token), ("tests", service), ("ada", service), ("ada", revoked), ("ada", "a" * 32)]:
        assert Client(client.platform).post(name, password).status_code == 401


def test_password_that_looks_like_a_token_is_a_password(client: Client) -> None:
    password = "0123456789abcdef" * 2
    accounts.add_user(client.platform.deployment, "hexadecimal", password)
    assert client.login("hexadecimal", password) != password


def test_changed_and_locked_accounts(client: Client) -> None:
    deployment = client.platform.deployment
    accounts.add_user(deployment, "changing", PASSWORD)
    client.login("changing")
    accounts.set_password(deployment, "changing", "another password")
    client.login("changing", "another password")
    assert Client(client.platform).post("changing", PASSWORD).status_code == 401
    accounts.set_locked(deployment, "changing", True)
    assert Client(client.platform).post("changing", "another password").status_code == 401
    accounts.set_locked(deployment, "changing", False)
    # The command also ends the wait after a wrong password.
    accounts.set_password(deployment, "changing", PASSWORD)
    client.login("changing")


# -- what a token is


def test_token_is_described_in_both_forms(client: Client) -> None:
    before = datetime.now(UTC)
    token = client.login("ada")
    answer = client.request("GET", f"/v3/tokens/{token}?TaskName=SciScript-Python.x")
    check(answer, "/keystone/v3/tokens/{token}")
    described = answer.json()["token"]
    assert described["user"] == {"id": "ada", "name": "ada", "domain": {"id": "default", "name": "Default"}}
    assert described["methods"] == ["password"]
    issued, expires = (datetime.fromisoformat(described[key]) for key in ("issued_at", "expires_at"))
    assert issued.tzinfo is not None
    assert abs((issued - before).total_seconds()) < 60
    assert 23.9 < (expires - issued).total_seconds() / 3600 < 24.1
    older = client.request("GET", f"/v2.0/tokens/{token}")
    check(older, "/keystone/v2.0/tokens/{token}")
    assert older.json()["access"]["token"] == {
        "id": token,
        "issued_at": described["issued_at"],
        "expires": described["expires_at"],
    }
    assert older.json()["access"]["user"]["name"] == "ada"


def test_client_library_asks_without_headers_and_with_two_slashes(client: Client) -> None:
    """`getKeystoneUserWithToken` always appends a slash (contract §2.2)."""
    token = client.login("bob")
    for tail in (f"/{token}", f"//{token}", f"//{token}/", f"/{token}?TaskName=x"):
        answer = requests.get(client.url + tail, timeout=20, allow_redirects=False)
        assert answer.status_code == 200, tail
        assert isinstance(answer.json()["token"]["user"]["id"], str)


def test_token_without_end_and_of_an_administrator(client: Client) -> None:
    accounts.add_user(client.platform.deployment, "boss", PASSWORD, admin=True)
    client.login("boss")
    token = client.platform.token("boss", scopes=["inherit"])
    described = client.request("GET", f"/v3/tokens/{token}").json()["token"]
    assert described["roles"][-1]["name"] == "admin"
    jsonschema.validate({"token": described}, openapi.SCHEMAS["TokenV3"])
    # One for the client libraries has no such rights, whoever it belongs to.
    described = client.request("GET", f"/v3/tokens/{client.login('boss')}").json()["token"]
    assert [role["name"] for role in described["roles"]] == ["user"]


ROUTES = ["/v3/tokens/{token}", "/v2.0/tokens/{token}", "/v3/tokens", "/v3/users/ada"]


def ask(client: Client, method: str, route: str, token: str | None, header: str = "X_Auth_Token") -> requests.Response:
    if "{token}" in route:
        return client.request(method, route.replace("{token}", token or ""))
    return client.request(method, route, **({header: token} if token else {}))


def methods(route: str) -> list[str]:
    return ["GET", "HEAD"] if "users" in route or "v2.0" in route else ["GET", "HEAD", "DELETE"]


CASES = [(route, method) for route in ROUTES for method in methods(route)]


def documented(route: str) -> str:
    return "/keystone" + route.replace("users/ada", "users/{user_id}")


@pytest.mark.parametrize(("route", "method"), CASES)
def test_valid_token(client: Client, route: str, method: str) -> None:
    token = client.login("ada")
    answer = ask(client, method, route, token)
    assert answer.status_code == (204 if method == "DELETE" else 200)
    assert answer.headers["Cache-Control"] == "no-store"
    check(answer, documented(route))
    # Revoked or not: what the answer said is so.
    assert hub_user(client.platform, token).status_code == (403 if method == "DELETE" else 200)


@pytest.mark.parametrize(("route", "method"), CASES)
def test_no_token(client: Client, route: str, method: str) -> None:
    answer = ask(client, method, route, None)
    # Without the token at its end, the path is that of the sign-in.
    if route == "/v2.0/tokens/{token}":
        assert answer.status_code == 404
        return
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Keystone ")
    check(answer, documented(route.removesuffix("/{token}")))


def bad_tokens(platform: Platform) -> dict[str, str]:
    expired = platform.token("ada", expires_in=1)
    revoked = platform.token("ada")
    assert Client(platform).request("DELETE", f"/v3/tokens/{revoked}").status_code == 204
    secrets = platform.deployment.secrets_dir
    while hub_user(platform, expired).status_code != 403:
        time.sleep(0.1)
    return {
        "expired": expired,
        "revoked": revoked,
        "a service's": (secrets / "tests").read_text(),
        "the portal's own": (secrets / "portal-service").read_text(),
        "unknown": "0" * 32,
        "a user's name": "ada",
        "very long": "a" * 3000,
        "odd characters": "a%20b%2Fc%00d",
        "a number of a token": "a1",
    }


@pytest.fixture(scope="module")
def bad(people: Platform) -> dict[str, str]:
    return bad_tokens(people)


@pytest.mark.parametrize(("route", "method"), CASES)
def test_token_that_is_not_valid(client: Client, bad: dict[str, str], route: str, method: str) -> None:
    expected = 401 if "users" in route else 404
    bodies = set()
    for kind, token in bad.items():
        answer = ask(client, method, route, token)
        assert answer.status_code == expected, kind
        assert token not in answer.text or len(token) < 5
        bodies.add(answer.content)
        check(answer, documented(route))
    assert len(bodies) == 1


def test_services_keep_their_tokens(client: Client, bad: dict[str, str]) -> None:
    """After the test above has tried to revoke them."""
    for kind in ("a service's", "the portal's own"):
        assert client.request("DELETE", f"/v3/tokens/{bad[kind]}").status_code == 404
        assert hub_user(client.platform, bad[kind]).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_people_s_data(client: Client, method: str) -> None:
    token = client.login("bob")
    for name in ("ada", "nobody", "BOB", "bob%00"):
        answer = client.request(method, f"/v3/users/{name}", X_Auth_Token=token)
        assert answer.status_code == 403, name
        check(answer, "/keystone/v3/users/{user_id}")
    # A token describes its owner, whoever asks.
    assert client.request("GET", f"/v3/tokens/{token}").json()["token"]["user"]["name"] == "bob"


def test_two_different_tokens_in_one_request(client: Client) -> None:
    mine, other = client.login("ada"), client.login("bob")
    answer = client.request("GET", "/v3/users/ada", X_Auth_Token=mine, Authorization=f"Bearer {other}")
    assert answer.status_code == 400
    check(answer, "/keystone/v3/users/{user_id}")


@pytest.mark.parametrize("header", ["X_Subject_Token", "X_Auth_Token"])
def test_token_in_a_header_stays_out_of_addresses(client: Client, header: str) -> None:
    token = client.login("ada")
    assert ask(client, "GET", "/v3/tokens", token, header).json()["token"]["user"]["name"] == "ada"
    assert ask(client, "DELETE", "/v3/tokens", token, header).status_code == 204
    assert ask(client, "GET", "/v3/tokens", token, header).status_code == 404


def test_subject_is_told_apart_from_who_asks(client: Client) -> None:
    mine, other = client.login("ada"), client.login("bob")
    answer = client.request("GET", "/v3/tokens", X_Auth_Token=mine, X_Subject_Token=other)
    assert answer.json()["token"]["user"]["name"] == "bob"


def test_revoking_one_token_leaves_the_others(client: Client) -> None:
    first, second = client.login("ada"), client.login("ada")
    assert client.request("DELETE", f"/v3/tokens/{first}").status_code == 204
    assert client.request("DELETE", f"/v3/tokens/{first}").status_code == 404
    assert client.request("GET", f"/v3/tokens/{second}").status_code == 200


def test_token_that_the_hub_revokes_is_refused_within_seconds(client: Client) -> None:
    token = client.login("ada")
    assert client.request("GET", f"/v3/tokens/{token}").status_code == 200
    number = requests.get(
        f"{client.platform.deployment.public_url}/hub/api/sign-on/token",
        headers={"Authorization": f"token {token}"},
        timeout=20,
    ).json()["token_id"]
    assert client.platform.hub_api("DELETE", f"/users/ada/tokens/{number}").status_code == 204
    deadline = time.monotonic() + 30
    while client.request("GET", f"/v3/tokens/{token}").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("path", ["/v3", "/v3/auth/tokens", "/v2.0/tokens", "/v3/tokens/a/b", "/v3/users", "/", ""])
def test_rest_of_keystone_is_not_there(client: Client, path: str) -> None:
    for method in ("GET", "POST"):
        answer = client.request(method, path)
        assert answer.status_code == 404
        assert "openapi.json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "method"), [("/v3/tokens", "PUT"), ("/v3/tokens/x", "POST"), ("/v3/users/ada", "DELETE")]
)
def test_other_methods_are_named(client: Client, path: str, method: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert method not in answer.headers["Allow"]


# -- guessing


def password_questions(platform: Platform) -> int:
    """How often the portal has asked the hub whether a password is right."""
    # It writes the line when the answer is on its way.
    time.sleep(0.2)
    return len(re.findall(r"\d{3} POST /hub/api/sign-on/password \(portal@", platform.hub.log.read_text()))


def test_guessing_is_stopped_also_in_parallel(client: Client) -> None:
    accounts.add_user(client.platform.deployment, "guessed", PASSWORD)
    before = password_questions(client.platform)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda number: client.post("guessed", f"guess {number}"), range(50)))
    codes = [answer.status_code for answer in answers]
    assert sorted(set(codes)) == [401, 429]
    assert codes.count(401) == 5
    assert password_questions(client.platform) - before == 5
    limited = next(answer for answer in answers if answer.status_code == 429)
    check(limited, "/keystone/v3/tokens")
    assert 0 < int(limited.headers["Retry-After"]) <= 300
    assert "Try again in" in limited.json()["error"]["message"]
    # The right password is not tried either.
    assert client.post("guessed", PASSWORD).status_code == 429
    assert password_questions(client.platform) - before == 5
    # Other people at this address can still sign in.
    client.login("ada")


def test_success_starts_the_count_again(client: Client) -> None:
    accounts.add_user(client.platform.deployment, "forgetful", PASSWORD)
    deployment = client.platform.deployment
    for _ in range(2):
        for _ in range(2):
            assert client.post("forgetful", "wrong").status_code == 401
        # The provider's own delay, which is not the point here.
        accounts.set_password(deployment, "forgetful", PASSWORD)
        client.login("forgetful")
    for _ in range(5):
        assert client.post("forgetful", "wrong").status_code == 401
    assert client.post("forgetful", "wrong").status_code == 429


# -- when parts fail


def test_killed_portal_comes_back_and_the_same_tokens_are_valid(people: Platform) -> None:
    client = Client(people)
    token = client.login("ada")
    people.portal.stop(signal.SIGKILL)
    people.start_portal()
    assert client.request("GET", f"/v3/tokens/{token}").json()["token"]["user"]["name"] == "ada"
    client.login("ada")


def test_hub_that_is_away_is_told_and_its_restart_ends_no_token(people: Platform) -> None:
    client = Client(people)
    direct = people.deployment.internal_url("portal") + "/keystone/v3/tokens"
    token = client.login("ada")
    people.hub.stop()
    try:
        answer = client.post("ada", PASSWORD, direct)
        assert answer.status_code == 503
        check(answer, "/keystone/v3/tokens")
        answer = requests.get(f"{direct}/{token}", timeout=60)
        assert answer.status_code == 503
        check(answer, "/keystone/v3/tokens/{token}")
        assert requests.delete(f"{direct}/{token}", timeout=60).status_code == 503
        # A body that makes no sense is told so without the hub.
        assert requests.post(direct, data="{", timeout=60).status_code == 400
    finally:
        people.hub.start(f"{people.deployment.public_url}/hub/health")
    deadline = time.monotonic() + 30
    while client.request("GET", f"/v3/tokens/{token}").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    client.login("ada")


# -- people who may not sign in, and short tokens


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    config = "c.SciServerAuthenticator.blocked_users = {'mallory'}\nc.Portal.api_token_lifetime = 3600\n"
    platform = Platform(make_deployment(tmp_path_factory.mktemp("strict")), config)
    try:
        platform.start_portal()
        platform.start_hub()
        for name in ("ada", "mallory"):
            accounts.add_user(platform.deployment, name, PASSWORD)
        yield platform
    finally:
        platform.stop()


def test_who_may_not_sign_in_is_told_after_the_password_only(strict: Platform) -> None:
    assert Client(strict).post("mallory", "wrong").status_code == 401
    answer = Client(strict).post("mallory", PASSWORD)
    assert answer.status_code in {401, 403}
    assert "X-Subject-Token" not in answer.headers
    check(answer, "/keystone/v3/tokens")


def test_lifetime_is_an_option(strict: Platform) -> None:
    client = Client(strict)
    described = client.request("GET", f"/v3/tokens/{client.login('ada')}").json()["token"]
    issued, expires = (datetime.fromisoformat(described[key]) for key in ("issued_at", "expires_at"))
    assert 3500 < (expires - issued).total_seconds() < 3700
