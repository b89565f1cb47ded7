"""The doors of a service: what a token, a cookie or nothing opens, and how soon a change at the hub is felt.

Hub, proxy and service are real processes; the service is `tests.common.service`.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from sciserver_common.hub_auth import ServiceAuth
from sciserver_common.scopes import CASJOBS_QUERY, CASJOBS_WRITE, FILES_READ, FILES_WRITE
from sciserver_common.secrets import secret
from tests.common.hub_platform import HubPlatform, Visitor
from tests.common.slow_hub import SlowHub
from tests.support import wait_until

# Generous: what is meant is "at once", and the machine has other work.
WITHIN = 20.0

DOORS = ["cookie", "x-auth-token", "bearer", "token", "basic", "basic-token"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubPlatform]:
    # 300 s is the default: only the hub's changes can end an answer sooner.
    platform = HubPlatform(tmp_path_factory.mktemp("doors"), {"refusal_age": 1.0})
    try:
        platform.start()
        wait_until(lambda: platform.state()["watching"], what="the feed")
        yield platform
    finally:
        platform.stop()


def carry(platform: HubPlatform, door: str, token: str, user: str = "ada") -> dict[str, Any]:
    """Options of a request that carries `token` through `door`."""
    if door == "cookie":
        return {"cookies": platform.cookie(token)}
    if door == "x-auth-token":
        return {"headers": {"X-Auth-Token": token}}
    if door in {"bearer", "token"}:
        return {"headers": {"Authorization": f"{door.title() if door == 'bearer' else door} {token}"}}
    name = user if door == "basic" else "token"
    return {"headers": {"Authorization": f"Basic {base64.b64encode(f'{name}:{token}'.encode()).decode()}"}}


def ask(platform: HubPlatform, path: str, method: str = "GET", **options: Any) -> requests.Response:
    """A script's request to the service, through the proxy."""
    return requests.request(method, f"{platform.url}/{path}", timeout=60, allow_redirects=False, **options)


def refusal(response: requests.Response, status: int) -> str:
    """The text of a refusal, which is JSON in the platform's form."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].startswith("application/json")
    body = response.json()
    assert body.keys() == {"status", "error"}
    assert body["status"] == "error"
    return str(body["error"])


# -- who gets in


@pytest.mark.parametrize("door", DOORS)
def test_a_token_with_the_scope_gets_in(platform: HubPlatform, door: str) -> None:
    token = platform.new_token("ada", CASJOBS_WRITE)["token"]
    answer = ask(platform, "users/ada/tables", **carry(platform, door, token))
    assert answer.json() == {"owner": "ada"}


@pytest.mark.parametrize("door", [door for door in DOORS if door != "cookie"])
def test_a_token_in_a_header_may_write_without_xsrf(platform: HubPlatform, door: str) -> None:
    token = platform.new_token("ada", CASJOBS_WRITE)["token"]
    answer = ask(platform, "users/ada/tables", "POST", **carry(platform, door, token))
    assert answer.json() == {"owner": "ada"}


def test_nothing_is_not_enough(platform: HubPlatform) -> None:
    answer = ask(platform, "users/ada/tables")
    assert "Sign in" in refusal(answer, 401)
    # Both challenges: one for programs, one for clients that know passwords only.
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="SciServer", Basic realm="SciServer"'


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "token", ["short", "with,comma-in-it", "x" * 65, "unknown0unknown0unknown0unknown0", "schlüssel-mit-umlaut"]
)
def test_a_token_that_is_none_is_refused(platform: HubPlatform, door: str, token: str) -> None:
    if door in {"x-auth-token", "bearer", "token"} and not token.isascii():
        token = token.encode().decode("latin-1")
    answer = ask(platform, "users/ada/tables", **carry(platform, door, token))
    refusal(answer, 401)
    if door != "cookie":
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "header",
    ["Digest username=ada", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"no colon").decode(), "Bearer"],
)
def test_a_header_that_makes_no_sense_is_refused_even_beside_a_cookie(platform: HubPlatform, header: str) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    answer = ask(platform, "users/ada/tables", headers={"Authorization": header}, cookies=platform.cookie(token))
    refusal(answer, 401)


@pytest.mark.parametrize("door", DOORS)
def test_an_expired_token_is_refused_although_it_was_accepted(platform: HubPlatform, door: str) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY, expires_in=3)["token"]
    options = carry(platform, door, token)
    assert ask(platform, "users/ada/tables", **options).status_code == 200
    wait_until(lambda: ask(platform, "users/ada/tables", **options).status_code == 401, limit=3 + WITHIN)


@pytest.mark.parametrize("door", DOORS)
def test_a_revoked_token_is_refused_at_once(platform: HubPlatform, door: str) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)
    options = carry(platform, door, token["token"])
    assert ask(platform, "users/ada/tables", **options).status_code == 200
    platform.revoke("ada", token["id"])
    wait_until(lambda: ask(platform, "users/ada/tables", **options).status_code == 401, limit=WITHIN)


@pytest.mark.parametrize("door", DOORS)
def test_a_token_without_the_scope_is_refused(platform: HubPlatform, door: str) -> None:
    token = platform.new_token("ada", FILES_WRITE)["token"]
    answer = ask(platform, "users/ada/tables", **carry(platform, door, token))
    assert CASJOBS_QUERY in refusal(answer, 403)
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="SciServer", error="insufficient_scope", scope="{CASJOBS_QUERY}"'
    )


@pytest.mark.parametrize("door", [door for door in DOORS if door != "cookie"])
def test_a_token_that_may_read_may_not_write(platform: HubPlatform, door: str) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    assert CASJOBS_WRITE in refusal(ask(platform, "users/ada/tables", "POST", **carry(platform, door, token)), 403)


@pytest.mark.parametrize("door", DOORS)
def test_anothers_resource_is_refused(platform: HubPlatform, door: str) -> None:
    token = platform.new_token("bob", CASJOBS_WRITE)["token"]
    answer = ask(platform, "users/ada/tables", **carry(platform, door, token, user="bob"))
    assert "not yours" in refusal(answer, 403)


@pytest.mark.parametrize("door", DOORS)
def test_a_service_is_not_the_person_whose_name_it_has(platform: HubPlatform, door: str) -> None:
    platform.add_user("ada")
    token = secret(platform.deployment, "ada-service")
    assert len(token) == 64
    answer = ask(platform, "users/ada/tables", **carry(platform, door, token))
    assert "person" in refusal(answer, 403)
    # It is one where services are expected, and nobody where anybody may come.
    assert ask(platform, "robots", **carry(platform, door, token)).json() == {"kind": "service", "name": "ada"}
    assert ask(platform, "public", **carry(platform, door, token)).json() == {"name": None}


def test_a_password_must_come_with_its_owners_name(platform: HubPlatform) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    for name, status in (("ada", 200), ("", 200), ("token", 200), ("bob", 401), ("Ada", 401)):
        assert ask(platform, "users/ada/tables", auth=(name, token)).status_code == status, name


def test_two_different_tokens_are_refused(platform: HubPlatform) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    other = platform.new_token("bob", CASJOBS_QUERY)["token"]
    both = {"X-Auth-Token": token, "Authorization": f"Bearer {other}"}
    assert "two different tokens" in refusal(ask(platform, "users/ada/tables", headers=both), 400)
    same = {"X-Auth-Token": token, "Authorization": f"Bearer {token}"}
    assert ask(platform, "users/ada/tables", headers=same).status_code == 200


def test_the_token_of_a_header_decides_over_the_cookie(platform: HubPlatform) -> None:
    ada = platform.new_token("ada", CASJOBS_QUERY)["token"]
    bob = platform.new_token("bob", CASJOBS_QUERY)["token"]
    options = {"headers": {"X-Auth-Token": bob}, "cookies": platform.cookie(ada)}
    assert ask(platform, "me", **options).json()["name"] == "bob"
    # An invalid one does not fall back to the cookie either.
    options["headers"] = {"X-Auth-Token": "unknown0unknown0"}
    refusal(ask(platform, "me", **options), 401)


def test_a_token_in_the_address_opens_nothing(platform: HubPlatform) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    refusal(ask(platform, f"me?token={token}"), 401)
    refusal(ask(platform, f"me?token={token}", headers={"Sec-Fetch-Mode": "websocket"}), 401)


@pytest.mark.parametrize(("path", "method"), [("without/ada", "GET"), ("users/ada/tables", "DELETE")])
def test_a_method_without_a_rule_is_closed_to_everybody(platform: HubPlatform, path: str, method: str) -> None:
    token = platform.new_token("ada", "inherit")["token"]
    refusal(ask(platform, path, method), 403)
    refusal(ask(platform, path, method, headers={"X-Auth-Token": token}), 403)
    assert "has no access rule" in platform.service.log.read_text()


def test_a_method_that_does_not_exist(platform: HubPlatform) -> None:
    refusal(ask(platform, "users/ada/tables", "PUT"), 405)


def test_anonymous_methods_know_who_is_there(platform: HubPlatform) -> None:
    token = platform.new_token("ada")["token"]
    assert ask(platform, "public").json() == {"name": None}
    assert ask(platform, "public", "POST").json() == {"name": None}
    assert ask(platform, "public", headers={"X-Auth-Token": token}).json() == {"name": "ada"}
    assert ask(platform, "public", cookies=platform.cookie("unknown0unknown0")).json() == {"name": None}
    # Who believes to be signed in should not be taken for a stranger.
    refusal(ask(platform, "public", headers={"X-Auth-Token": "unknown0unknown0"}), 401)


def test_the_model_says_what_the_hub_says_about_the_token(platform: HubPlatform) -> None:
    token = platform.new_token("ada", FILES_READ, expires_in=600, note="laptop")
    model = ask(platform, "me", headers={"X-Auth-Token": token["token"]}).json()
    assert (model["kind"], model["name"], model["token_id"]) == ("user", "ada", token["id"])
    assert (model["note"], model["expires_at"], model["created"]) == ("laptop", token["expires_at"], token["created"])
    assert FILES_READ in model["scopes"]
    # The browser's session is a credential of the hub.
    assert "session_id" not in model


def test_an_error_of_the_service_shows_nothing_of_it(platform: HubPlatform) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    answer = ask(platform, "broken", headers={"X-Auth-Token": token})
    assert refusal(answer, 500) == "Internal Server Error"
    assert "nobody's business" in platform.service.log.read_text()


# -- browsers


def test_a_browser_signs_in_through_the_hub_and_is_out_when_its_session_ends(platform: HubPlatform) -> None:
    browser = Visitor(platform)
    stopped = browser.visit("/services/casjobs/page", allow_redirects=False)
    assert stopped.status_code == 302
    assert stopped.headers["Location"].startswith("/hub/api/oauth2/authorize?")
    assert "code_challenge_method=S256" in stopped.headers["Location"]

    browser.sign_in("carol")
    page = browser.visit("/services/casjobs/page")
    assert page.url == f"{platform.url}/page"
    assert "<p id=name>carol</p>" in page.text
    assert any(cookie.path == "/services/casjobs/" for cookie in browser.cookies if cookie.name == "service-casjobs")
    kept = browser.cookies.copy()

    browser.visit("/hub/logout")
    browser.cookies = kept
    wait_until(lambda: browser.visit("/services/casjobs/page", allow_redirects=False).status_code == 302, limit=WITHIN)
    # A cookie of an ended session opens no API either.
    refusal(browser.get(f"{platform.url}/me", timeout=20), 401)


def test_only_pages_send_browsers_to_sign_in(platform: HubPlatform) -> None:
    navigation = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    assert ask(platform, "page", headers=navigation).status_code == 302
    refusal(ask(platform, "me", headers=navigation), 401)
    refusal(ask(platform, "page"), 401)
    refusal(ask(platform, "page", headers={"Accept": "text/html", "Sec-Fetch-Mode": "cors"}), 401)
    # A token that was sent on purpose is not answered with a sign-in page.
    answer = ask(platform, "page", headers=navigation | {"X-Auth-Token": "unknown0unknown0"})
    assert answer.status_code == 401
    assert "not valid" in answer.text


def test_a_browser_without_the_scope_sees_a_page_and_no_loop(platform: HubPlatform) -> None:
    token = platform.new_token("ada", FILES_READ)["token"]
    navigation = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    answer = ask(platform, "page", headers=navigation, cookies=platform.cookie(token))
    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "forgery",
    [
        {},
        {"headers": {"X-Xsrftoken": "guess"}},
        {"data": {"_xsrf": "guess"}},
        {"headers": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}},
        {"headers": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "cross-site"}},
    ],
)
def test_a_forged_request_of_another_site_does_nothing(platform: HubPlatform, forgery: dict[str, Any]) -> None:
    browser = Visitor(platform)
    browser.sign_in("carol")
    assert browser.visit("/services/casjobs/page").status_code == 200
    address = f"{platform.url}/users/carol/tables"
    answer = browser.post(address, timeout=20, **forgery)
    assert "_xsrf" in refusal(answer, 403) or "XSRF" in refusal(answer, 403)
    # Where anybody may come, it comes from nobody.
    assert browser.post(f"{platform.url}/public", timeout=20, **forgery).json() == {"name": None}


def test_the_pages_own_script_may_write(platform: HubPlatform) -> None:
    browser = Visitor(platform)
    browser.sign_in("carol")
    page = browser.visit("/services/casjobs/page")
    token = page.text.split("<form>")[1].split("</form>")[0]
    address = f"{platform.url}/users/carol/tables"
    same_origin = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    answer = browser.post(address, headers=same_origin | {"X-Xsrftoken": token}, timeout=20)
    assert answer.json() == {"owner": "carol"}
    # The token is good for that browser's session only.
    other = Visitor(platform)
    other.sign_in("dora")
    other.visit("/services/casjobs/page")
    answer = other.post(f"{platform.url}/users/dora/tables", headers=same_origin | {"X-Xsrftoken": token}, timeout=20)
    refusal(answer, 403)


@pytest.mark.parametrize("query", ["", "?code=guess", "?code=guess&state=guess", "?error=x&error_description=y"])
def test_a_callback_that_nobody_asked_for_signs_nobody_in(platform: HubPlatform, query: str) -> None:
    browser = Visitor(platform)
    answer = browser.visit(f"/services/casjobs/oauth_callback{query}", allow_redirects=False)
    assert answer.status_code in {400, 403}
    assert "service-casjobs" not in browser.cookies


def test_a_cookie_that_the_service_did_not_sign_is_nothing(platform: HubPlatform) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    cookie = platform.cookie(token)["service-casjobs"]
    for value in (token, cookie[:-1] + ("1" if cookie[-1] == "0" else "0")):
        refusal(ask(platform, "me", cookies={"service-casjobs": value}), 401)


# -- what changes at the hub is felt


def changes_of_rights(platform: HubPlatform) -> dict[str, Callable[[str], object]]:
    api = platform.hub_api
    return {
        "leaves a group": lambda name: api("DELETE", "/groups/curated/users", json={"users": [name]}),
        "the group is removed": lambda name: api("DELETE", "/groups/curated"),
        "the person is removed": lambda name: api("DELETE", f"/users/{name}"),
        "the person is renamed": lambda name: api("PATCH", f"/users/{name}", json={"name": f"{name}-2"}),
    }


@pytest.mark.parametrize(
    "change", ["leaves a group", "the group is removed", "the person is removed", "the person is renamed"]
)
def test_rights_that_are_taken_away_are_gone_at_once(platform: HubPlatform, change: str) -> None:
    name = f"member-{secrets.token_hex(3)}"
    platform.add_user(name)
    platform.hub_api("POST", "/groups/curated")
    platform.hub_api("POST", "/groups/curated/users", json={"users": [name]})
    token = platform.new_token(name, "inherit")["token"]

    def seen() -> tuple[object, ...] | None:
        answer = ask(platform, "me", headers={"X-Auth-Token": token})
        return (answer.json()["name"], *answer.json()["groups"]) if answer.ok else None

    assert seen() == (name, "curated")
    changes_of_rights(platform)[change](name)
    wait_until(lambda: seen() != (name, "curated"), limit=WITHIN, what=change)


def test_who_is_made_an_administrator_is_one_and_then_no_more(platform: HubPlatform) -> None:
    token = platform.new_token("eve", CASJOBS_QUERY)["token"]

    def is_admin() -> bool:
        return bool(ask(platform, "me", headers={"X-Auth-Token": token}).json()["admin"])

    assert not is_admin()
    for admin in (True, False):
        assert platform.hub_api("PATCH", "/users/eve", json={"admin": admin}).ok
        wait_until(lambda admin=admin: is_admin() is admin, limit=WITHIN)


def test_others_stay_known_when_one_changes(platform: HubPlatform) -> None:
    kept = platform.new_token("ada", CASJOBS_QUERY)["token"]
    gone = platform.new_token("bob", CASJOBS_QUERY)
    for token in (kept, gone["token"]):
        assert ask(platform, "me", headers={"X-Auth-Token": token}).status_code == 200
    platform.revoke("bob", gone["id"])
    wait_until(lambda: ask(platform, "me", headers={"X-Auth-Token": gone["token"]}).status_code == 401, limit=WITHIN)
    before = platform.questions()
    assert ask(platform, "me", headers={"X-Auth-Token": kept}).status_code == 200
    assert platform.questions() == before


# -- how often the hub is asked


def test_many_requests_with_one_unknown_token_are_one_question(platform: HubPlatform) -> None:
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    before = platform.questions()
    options = {"headers": {"X-Auth-Token": token}}
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: ask(platform, "users/ada/tables", **options), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert platform.questions() == before + 1


@pytest.fixture
async def relay(platform: HubPlatform) -> AsyncIterator[SlowHub]:
    relay = SlowHub(platform.deployment.internal_origin("hub"))
    yield relay
    await relay.close()


@pytest.fixture
async def auth(platform: HubPlatform, relay: SlowHub) -> AsyncIterator[ServiceAuth]:
    """The library in this process, behind a relay that can hold back the hub's answers."""
    auth = ServiceAuth.for_service(platform.deployment, "casjobs", api_url=f"{relay.url}/hub/api", hub_timeout=30.0)
    auth.start()
    while not auth.watching:
        await asyncio.sleep(0.01)
    yield auth
    await auth.stop()


async def test_an_answer_that_a_change_has_overtaken_is_not_kept(
    platform: HubPlatform, relay: SlowHub, auth: ServiceAuth
) -> None:
    """The hub says that a token is valid; before that arrives, it is revoked and the change is reported."""
    token = await asyncio.to_thread(platform.new_token, "ada", CASJOBS_QUERY)
    relay.release.clear()
    asked = asyncio.create_task(auth.model(token["token"]))
    await relay.held.wait()
    await asyncio.to_thread(platform.revoke, "ada", token["id"])
    # Another change after it has arrived, so this one has.
    other = await asyncio.to_thread(platform.new_token, "bob", CASJOBS_QUERY)
    reported = auth._confirmed
    await asyncio.to_thread(platform.revoke, "bob", other["id"])
    while auth._confirmed == reported:
        await asyncio.sleep(0.01)
    relay.release.set()
    assert (await asked) is not None
    assert await auth.model(token["token"]) is None


async def test_who_goes_away_does_not_take_the_answer_from_the_others(
    platform: HubPlatform, relay: SlowHub, auth: ServiceAuth
) -> None:
    token = (await asyncio.to_thread(platform.new_token, "ada", CASJOBS_QUERY))["token"]
    relay.release.clear()
    first = asyncio.create_task(auth.model(token))
    await relay.held.wait()
    others = [asyncio.create_task(auth.model(token)) for _ in range(49)]
    await asyncio.sleep(0)
    first.cancel()
    relay.release.set()
    models = await asyncio.gather(*others)
    assert all(model is not None and model["name"] == "ada" for model in models)
    assert relay.questions == 1
    # Each caller has a model of its own to change.
    models[0]["name"] = "somebody else"
    assert ((await auth.model(token)) or {})["name"] == "ada"


async def test_what_is_forgotten_is_asked_again(platform: HubPlatform, relay: SlowHub, auth: ServiceAuth) -> None:
    """The answer that is on its way meanwhile is not kept either."""
    token = (await asyncio.to_thread(platform.new_token, "ada", CASJOBS_QUERY))["token"]
    assert await auth.model(token)
    assert await auth.model(token)
    assert relay.questions == 1
    auth.forget(token)
    relay.held.clear()
    relay.release.clear()
    asked = asyncio.create_task(auth.model(token))
    await relay.held.wait()
    auth.forget(token)
    relay.release.set()
    assert await asked
    assert await auth.model(token)
    assert relay.questions == 3
    auth.forget("a token that nobody has seen")


async def test_only_digests_of_tokens_are_kept(platform: HubPlatform, auth: ServiceAuth) -> None:
    token = (await asyncio.to_thread(platform.new_token, "ada", CASJOBS_QUERY))["token"]
    unknown = secrets.token_hex(16)
    assert await auth.model(token)
    assert await auth.model(unknown) is None
    kept = repr((auth._answers, auth._refusals, auth._checks))
    assert "ada" in kept
    assert token not in kept
    assert unknown not in kept
    assert {len(key) for key in (*auth._answers, *auth._refusals)} == {32}


def test_a_refused_token_is_not_asked_about_again_and_again(platform: HubPlatform) -> None:
    token = secrets.token_hex(16)
    before = platform.questions()
    for _ in range(10):
        refusal(ask(platform, "me", headers={"X-Auth-Token": token}), 401)
    # The service's refusal_age is one second here; ten requests may take longer on a busy machine.
    assert before < platform.questions() < before + 10


def test_what_cannot_be_a_token_is_no_question(platform: HubPlatform) -> None:
    before = platform.questions()
    for token in ("short", "x" * 65, "a b c d e f g h"):
        refusal(ask(platform, "me", headers={"X-Auth-Token": token}), 401)
    assert platform.questions() == before


# -- logs


def test_no_token_is_in_the_services_log(platform: HubPlatform) -> None:
    """The service logs at the level DEBUG. Everything that it has seen so far counts, and one more sign-in."""
    platform.add_user("ada")
    token = platform.new_token("ada", CASJOBS_QUERY)["token"]
    unknown = secrets.token_hex(16)
    for door in DOORS:
        ask(platform, "me", **carry(platform, door, token))
        ask(platform, "me", **carry(platform, door, unknown))
        ask(platform, "broken", **carry(platform, door, token))
    browser = Visitor(platform)
    browser.sign_in("carol")
    page = browser.visit("/services/casjobs/page")
    sign_in = next(step for step in page.history if "/oauth_callback?" in step.url)
    code = sign_in.url.split("code=")[1].split("&")[0]
    log = platform.service.log.read_text()
    assert "GET /services/casjobs/oauth_callback" in log
    forbidden = {
        "token": token,
        "unknown token": unknown,
        "code": code,
        "cookie": browser.cookies.get("service-casjobs"),
        "session": browser.cookies.get("jupyterhub-session-id", path="/"),
        "service's own token": secret(platform.deployment, "casjobs-service"),
        "basic": base64.b64encode(f"ada:{token}".encode()).decode()[8:],
    }
    for what, text in forbidden.items():
        assert text, what
        assert text not in log, f"{what} is in the log"


# -- without the feed, and without the hub


@pytest.fixture
def fragile(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[HubPlatform]:
    """A platform whose hub may be killed; its limits are short enough to wait for."""
    options = {"outage_age": 8.0, "degraded_age": 1.0, "hub_timeout": 2.0, "watch_wait": 2.0, "refusal_age": 0.5}
    platform = HubPlatform(tmp_path, options | getattr(request, "param", {}))
    try:
        platform.start()
        wait_until(lambda: platform.state()["watching"], what="the feed")
        yield platform
    finally:
        platform.stop()


def test_while_the_hub_is_away_known_tokens_serve_for_a_while(fragile: HubPlatform) -> None:
    known = {"headers": {"X-Auth-Token": fragile.new_token("ada", CASJOBS_QUERY)["token"]}}
    unseen = {"headers": {"X-Auth-Token": fragile.new_token("bob", CASJOBS_QUERY)["token"]}}
    # The last, and asked with at once: four seconds are not long on a busy machine.
    short = {"headers": {"X-Auth-Token": fragile.new_token("ada", CASJOBS_QUERY, expires_in=4)["token"]}}
    assert ask(fragile, "me", **short).status_code == 200
    assert ask(fragile, "me", **known).status_code == 200
    fragile.hub.stop(signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: not fragile.state()["watching"], limit=WITHIN)
    assert ask(fragile, "me", **known).status_code == 200
    answer = ask(fragile, "me", **unseen)
    assert "not answering" in refusal(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert ask(fragile, "public").json() == {"name": None}
    # Its own end counts even while nobody can be asked.
    wait_until(lambda: ask(fragile, "me", **short).status_code == 503, limit=4 + WITHIN)
    wait_until(lambda: ask(fragile, "me", **known).status_code == 503, limit=8 + WITHIN)
    assert time.monotonic() - killed > 4
    fragile.start_hub()
    wait_until(lambda: ask(fragile, "me", **known).status_code == 200, limit=WITHIN)
    wait_until(lambda: ask(fragile, "me", **unseen).status_code == 200, limit=WITHIN)


def test_a_hub_that_hangs_is_noticed(fragile: HubPlatform) -> None:
    known = {"headers": {"X-Auth-Token": fragile.new_token("ada", CASJOBS_QUERY)["token"]}}
    assert ask(fragile, "me", **known).status_code == 200
    assert fragile.hub.popen
    fragile.hub.popen.send_signal(signal.SIGSTOP)
    try:
        refusal(ask(fragile, "me", headers={"X-Auth-Token": secrets.token_hex(16)}), 503)
        assert ask(fragile, "me", **known).status_code == 200
        wait_until(lambda: not fragile.state()["watching"], limit=4 + WITHIN)
        wait_until(lambda: ask(fragile, "me", **known).status_code == 503, limit=8 + 4 + WITHIN)
    finally:
        fragile.hub.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: ask(fragile, "me", **known).status_code == 200, limit=WITHIN)


# Answers that are not asked again by themselves within the test.
@pytest.mark.parametrize("fragile", [{"degraded_age": 300.0, "outage_age": 300.0}], indirect=True)
def test_what_was_revoked_while_nobody_could_tell_is_refused_after_a_restart(fragile: HubPlatform) -> None:
    """The new hub knows nothing of the old one's changes: its first answer ends everything that was known."""
    token = fragile.new_token("ada", CASJOBS_QUERY)
    options = {"headers": {"X-Auth-Token": token["token"]}}
    assert ask(fragile, "me", **options).status_code == 200
    fragile.hub.stop(signal.SIGKILL)
    with sqlite3.connect(fragile.deployment.hub_dir / "hub.sqlite") as database:
        database.execute("DELETE FROM api_tokens WHERE id = ?", (int(token["id"][1:]),))
    database.close()
    fragile.start_hub()
    wait_until(lambda: ask(fragile, "me", **options).status_code == 401, limit=WITHIN)
    wait_until(lambda: fragile.state()["watching"], limit=WITHIN)
    # And the feed works again.
    token = fragile.new_token("ada", CASJOBS_QUERY)
    options = {"headers": {"X-Auth-Token": token["token"]}}
    assert ask(fragile, "me", **options).status_code == 200
    fragile.revoke("ada", token["id"])
    wait_until(lambda: ask(fragile, "me", **options).status_code == 401, limit=WITHIN)


def test_without_the_feed_answers_are_kept_for_seconds_only(tmp_path: Any) -> None:
    """A service that may not watch: what it knows is asked again."""
    platform = HubPlatform(tmp_path, {"degraded_age": 1.0, "cache_size": 3})
    platform.forbid_watching()
    try:
        platform.start()
        token = platform.new_token("ada", CASJOBS_QUERY)
        options = {"headers": {"X-Auth-Token": token["token"]}}
        assert ask(platform, "me", **options).status_code == 200
        assert not platform.state()["watching"]
        platform.revoke("ada", token["id"])
        wait_until(lambda: ask(platform, "me", **options).status_code == 401, limit=WITHIN)
        assert "does not report changes" in platform.service.log.read_text()
        # What is remembered has a limit.
        for _ in range(6):
            ask(platform, "me", headers={"X-Auth-Token": secrets.token_hex(16)})
            ask(platform, "me", headers={"X-Auth-Token": platform.new_token("ada", CASJOBS_QUERY)["token"]})
        state = platform.state()
        assert (state["answers"], state["refusals"]) == (3, 3)
    finally:
        platform.stop()
