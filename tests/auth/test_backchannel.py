"""Back-channel logout at a real hub, from a provider that can misbehave."""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import jwt
import pytest
import requests
from auth_platform import Browser, Platform, make_deployment
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.utils import base64url_encode
from oidc_server import CLIENT_ID, LOGOUT_EVENT, RISC, OIDCServer

from sciserver_auth import oidc
from sciserver_auth.oidc import InvalidToken, Provider

NUMBERS = count(1)


@pytest.fixture(scope="module")
def provider() -> Iterator[OIDCServer]:
    """The provider, in a thread of its own: the tests wait for the hub while the hub asks it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> OIDCServer:
        return OIDCServer()

    server = asyncio.run_coroutine_threadsafe(make(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, provider: OIDCServer) -> Iterator[Platform]:
    config = f"""
import sciserver_auth.oidc
c.SciServerAuthenticator.issuer = {provider.issuer!r}
c.SciServerAuthenticator.backchannel_url = ""
c.SciServerAuthenticator.allow_all = True
# There is no portal here, which the hub would wait for.
del c.JupyterHub.services[0]["url"]
# The provider knows one refresh token at a time, and these tests have several people.
c.SciServerAuthenticator.refresh_interval = 0
# So that the keys can change in a test.
sciserver_auth.oidc.KEYS_MIN_INTERVAL = 0.0
"""
    platform = Platform(make_deployment(tmp_path_factory.mktemp("hub")), config)
    try:
        platform.start_hub()
        yield platform
    finally:
        platform.stop()


@pytest.fixture(autouse=True)
def well_again(provider: OIDCServer) -> Iterator[None]:
    yield
    provider.down = provider.keys_down = False


def post(hub: Platform, token: str | None, **options: object) -> requests.Response:
    form = {} if token is None else {"logout_token": token}
    url = f"{hub.deployment.internal_origin('hub')}/hub/backchannel-logout"
    answer = requests.post(url, data=form, timeout=30, **options)
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.status_code != 200:
        assert set(answer.json()) == {"error", "error_description"}
        assert not token or token not in answer.text
    return answer


class Person:
    """Somebody who has signed in at the hub, in any number of browsers."""

    def __init__(self, hub: Platform, provider: OIDCServer) -> None:
        self.hub, self.provider = hub, provider
        self.name = f"person{next(NUMBERS)}"
        self.subject = f"subject of {self.name}"

    def sign_in(self, **claims: str) -> Browser:
        self.provider.claims = {"sub": self.subject, "preferred_username": self.name, **claims}
        browser = Browser(self.hub)
        page = browser.get(f"{self.hub.deployment.public_url}/hub/oauth_login", timeout=20)
        assert page.url.endswith("/hub/home"), page.text
        return browser

    def logout_token(self, **changes: object) -> str:
        return self.provider.logout_token(**({"sub": self.subject} | changes))


def is_signed_in(browser: Browser) -> bool:
    url = f"{browser.platform.deployment.public_url}/hub/home"
    return browser.get(url, timeout=20, allow_redirects=False).status_code == 200


@pytest.fixture
def person(hub: Platform, provider: OIDCServer) -> Person:
    return Person(hub, provider)


def test_subject_ends_all_sessions_of_one_person(hub: Platform, provider: OIDCServer, person: Person) -> None:
    first, second = person.sign_in(), person.sign_in()
    other = Person(hub, provider).sign_in()
    token = person.logout_token()
    answer = post(hub, token)
    assert answer.status_code == 200
    assert answer.content == b""
    assert not is_signed_in(first)
    assert not is_signed_in(second)
    assert is_signed_in(other)
    log = (hub.deployment.logs_dir / "hub.log").read_text()
    assert token not in log
    assert person.name in log


@pytest.mark.parametrize("with_subject", [True, False])
def test_session_id_ends_one_session(hub: Platform, person: Person, with_subject: bool) -> None:
    sid = f"first of {person.name}"
    first, second = person.sign_in(sid=sid), person.sign_in(sid="second")
    subject = person.subject if with_subject else None
    assert post(hub, person.logout_token(sub="somebody else", sid=sid)).status_code == 200
    assert post(hub, person.logout_token(sub=subject, sid="unknown")).status_code == 200
    assert is_signed_in(first)
    assert post(hub, person.logout_token(sub=subject, sid=sid)).status_code == 200
    assert not is_signed_in(first)
    assert is_signed_in(second)


def test_unknown_and_forgotten_people_are_nothing_to_do(hub: Platform, person: Person) -> None:
    assert post(hub, person.logout_token(events={LOGOUT_EVENT: {}, f"{RISC}account-purged": {}})).status_code == 200
    browser = person.sign_in()
    assert hub.hub_api("DELETE", f"/users/{person.name}").status_code == 204
    assert post(hub, person.logout_token(events={LOGOUT_EVENT: {}, f"{RISC}account-purged": {}})).status_code == 200
    assert not is_signed_in(browser)


def _now(seconds: float) -> int:
    return int(time.time() + seconds)


def _signed_with_public_key(server: OIDCServer) -> str:
    # By hand, since the library would not do it.
    public = server.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    payload = server.logout_token().split(".")[1]
    header = base64url_encode(json.dumps({"alg": "HS256", "typ": "logout+jwt", "kid": server.kid}).encode()).decode()
    signed = f"{header}.{payload}"
    return f"{signed}.{base64url_encode(hmac.digest(public, signed.encode(), 'sha256')).decode()}"


def _unsigned(server: OIDCServer) -> str:
    claims = jwt.decode(server.logout_token(), options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none", headers={"typ": "logout+jwt"})


BAD_TOKENS: dict[str, Callable[[OIDCServer], str]] = {
    "wrong audience": lambda s: s.logout_token(aud="other"),
    "wrong issuer": lambda s: s.logout_token(iss="http://evil.example"),
    "expired": lambda s: s.logout_token(exp=_now(-120)),
    "without expiry": lambda s: s.logout_token(exp=None),
    "from the future": lambda s: s.logout_token(iat=_now(120)),
    "without a time": lambda s: s.logout_token(iat=None),
    "without an id": lambda s: s.logout_token(jti=None),
    "nonce": lambda s: s.logout_token(nonce="n"),
    "empty nonce": lambda s: s.logout_token(nonce=""),
    "without events": lambda s: s.logout_token(events=None),
    "another event": lambda s: s.logout_token(events={f"{RISC}account-disabled": {}}),
    "events in a list": lambda s: s.logout_token(events=[LOGOUT_EVENT]),
    "event without object": lambda s: s.logout_token(events={LOGOUT_EVENT: True}),
    "names nobody": lambda s: s.logout_token(sub=None),
    "empty subject": lambda s: s.logout_token(sub=""),
    "subject of another type": lambda s: s.logout_token(sub=None, sid=["x"]),
    "identity token": lambda s: s.id_token(jti="an identity token"),
    "identity token of another kind": lambda s: s.logout_token(typ="at+jwt"),
    "unsigned": _unsigned,
    "public key as secret": _signed_with_public_key,
    "wrong key": lambda s: s.logout_token(key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "unknown key": lambda s: s.logout_token(kid="made up"),
    "tampered": lambda s: s.logout_token()[:-10] + "AAAAAAAAAA",
    "garbage": lambda s: "not.a.token",
    "binary": lambda s: "\x00\xff",
    "empty": lambda s: "",
    "endless": lambda s: "a" * 30_000,
}


def test_bad_tokens_end_nothing(hub: Platform, provider: OIDCServer, person: Person) -> None:
    browser = person.sign_in()
    for kind, make in BAD_TOKENS.items():
        answer = post(hub, make(provider))
        assert answer.status_code == 400, kind
        assert answer.json()["error"] == "invalid_request", kind
        assert is_signed_in(browser), kind
    # The same person, and nothing wrong with it.
    assert post(hub, person.logout_token()).status_code == 200
    assert not is_signed_in(browser)


@pytest.mark.parametrize(
    "changes",
    [{"iat": 30}, {"exp": -30}, {"typ": "application/logout+jwt"}, {"typ": "JWT"}, {"typ": None}, {"aud": ["a", "b"]}],
    ids=str,
)
def test_what_a_provider_may_do_differently(hub: Platform, person: Person, changes: dict[str, object]) -> None:
    browser = person.sign_in()
    for name, value in changes.items():
        if isinstance(value, int):
            changes = {name: _now(value)}
        elif isinstance(value, list):
            changes = {name: [CLIENT_ID, "another client"]}
    assert post(hub, person.logout_token(**changes)).status_code == 200
    assert not is_signed_in(browser)


def test_no_second_time(hub: Platform, person: Person) -> None:
    person.sign_in()
    token = person.logout_token()
    assert post(hub, token).status_code == 200
    browser = person.sign_in()
    assert post(hub, token).status_code == 400
    assert is_signed_in(browser)
    with ThreadPoolExecutor(8) as pool:
        again = person.logout_token()
        codes = sorted(pool.map(lambda _: post(hub, again).status_code, range(8)))
    assert codes == [200] + [400] * 7


def test_who_signed_in_after_the_event_stays(hub: Platform, person: Person) -> None:
    before = person.sign_in()
    time.sleep(0.1)
    event = time.time()
    after = person.sign_in()
    # The hub was away, for instance, and is told late.
    assert post(hub, person.logout_token(toe=event)).status_code == 200
    assert not is_signed_in(before)
    assert is_signed_in(after)
    for odd in ("yesterday", True, 1e300, float("nan")):
        browser = person.sign_in()
        assert post(hub, person.logout_token(toe=odd)).status_code == 200
        assert not is_signed_in(browser)


@pytest.mark.parametrize("event", ["account-disabled", "account-purged"])
def test_closed_account_loses_everything(hub: Platform, person: Person, event: str) -> None:
    browser = person.sign_in()
    made = hub.hub_api("POST", f"/users/{person.name}/tokens").json()["token"]

    def token_works() -> bool:
        url = f"{hub.deployment.public_url}/hub/api/user"
        return requests.get(url, headers={"Authorization": f"token {made}"}, timeout=20).status_code == 200

    assert token_works()
    assert post(hub, person.logout_token()).status_code == 200
    assert not is_signed_in(browser)
    # A token that somebody made outlives the browser's session, as signing out does.
    assert token_works()
    assert post(hub, person.logout_token(events={LOGOUT_EVENT: {}, RISC + event: {}})).status_code == 200
    assert not token_works()


def test_changed_keys_and_keys_that_cannot_be_had(hub: Platform, provider: OIDCServer, person: Person) -> None:
    browser = person.sign_in()
    provider.rotate_key()
    provider.keys_down = True
    token = person.logout_token()
    answer = post(hub, token)
    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"
    assert answer.headers["Retry-After"]
    assert is_signed_in(browser)
    provider.keys_down = False
    # The same one, once more: it was not taken.
    assert post(hub, token).status_code == 200
    assert not is_signed_in(browser)


def test_no_cookie_and_no_other_method(hub: Platform, person: Person) -> None:
    browser = person.sign_in()
    assert post(hub, None).status_code == 400
    # Signed in or not, from whatever page: only the token counts.
    evil = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert post(hub, "no token", cookies=browser.cookies.get_dict(), headers=evil).status_code == 400
    assert is_signed_in(browser)
    url = f"{hub.deployment.public_url}/hub/backchannel-logout"
    assert browser.get(url, params={"logout_token": person.logout_token()}, timeout=20).status_code == 405
    assert browser.post(url, json={"logout_token": person.logout_token()}, timeout=20).status_code == 400
    two = [("logout_token", person.logout_token()), ("logout_token", person.logout_token())]
    assert browser.post(url, data=two, timeout=20).status_code == 400
    assert is_signed_in(browser)
    assert post(hub, person.logout_token(), cookies=browser.cookies.get_dict(), headers=evil).status_code == 200
    assert not is_signed_in(browser)


async def test_memory_for_used_tokens_is_bounded(server: OIDCServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "LOGOUTS_KEPT", 5)
    provider = Provider(issuer=server.issuer, client_id=CLIENT_ID, leeway=0)
    await provider.metadata()
    end = _now(3)
    short = [server.logout_token(exp=end) for _ in range(3)]
    long = [server.logout_token() for _ in range(2)]
    for token in [*short, *long]:
        await provider.verify_logout(token)
    await asyncio.sleep(end + 0.1 - time.time())
    # Expired ones make room first.
    await provider.verify_logout(server.logout_token())
    for token in long:
        with pytest.raises(InvalidToken, match="used before"):
            await provider.verify_logout(token)
    for _ in range(20):
        await provider.verify_logout(server.logout_token())
    assert len(provider._seen_logouts) == 5


async def test_a_token_without_effect_may_come_again(server: OIDCServer) -> None:
    provider = Provider(issuer=server.issuer, client_id=CLIENT_ID)
    await provider.metadata()
    token = server.logout_token()
    provider.forget_logout(await provider.verify_logout(token))
    await provider.verify_logout(token)
