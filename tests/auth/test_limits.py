"""Limits on guessing: the windows, attempts at the same time, the client's address, and the portal's forms."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
from collections.abc import Iterator

import pytest
import requests
from auth_platform import PASSWORD, Browser, Platform, make_deployment
from bs4 import BeautifulSoup
from requests.adapters import HTTPAdapter

from sciserver_auth.portal import accounts, limits
from sciserver_auth.portal.limits import LimitReachedError, Limits, Window, client_address, group_of

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def fail(limits_: Limits, account: str | None, address: str = "192.0.2.1") -> None:
    async with limits_.attempt(account, address) as attempt:
        attempt.succeeded = False


async def test_failures_of_one_pair_stop_it_until_the_oldest_is_forgotten() -> None:
    clock = Clock()
    limited = Limits((3, 60), (100, 60), (100, 60), clock)
    for _ in range(3):
        await fail(limited, "ada")
        clock.now += 10
    with pytest.raises(LimitReachedError) as refused:
        await fail(limited, "ada")
    assert refused.value.seconds == 30
    # The same name, typed otherwise.
    with pytest.raises(LimitReachedError):
        await fail(limited, " ADA ")
    # Neither the same person elsewhere nor another person here is stopped.
    await fail(limited, "ada", "192.0.2.2")
    await fail(limited, "bob")
    clock.now += 30
    await fail(limited, "ada")
    with pytest.raises(LimitReachedError):
        await fail(limited, "ada")


async def test_success_forgets_the_pair_but_neither_account_nor_address() -> None:
    limited = Limits((3, 60), (5, 60), (100, 60))
    for _ in range(2):
        await fail(limited, "ada")
    async with limited.attempt("ada", "192.0.2.1") as attempt:
        attempt.succeeded = True
    for _ in range(3):
        await fail(limited, "ada")
    # Five failures of the account: now it is stopped everywhere.
    with pytest.raises(LimitReachedError):
        await fail(limited, "ada", "198.51.100.1")


async def test_address_is_stopped_for_all_accounts_and_for_forms() -> None:
    limited = Limits((5, 60), (5, 60), (4, 60))
    for name in "abcd":
        await fail(limited, name)
    for account in ("e", None):
        with pytest.raises(LimitReachedError):
            await fail(limited, account)
    await fail(limited, "e", "192.0.2.2")


async def test_attempts_that_nobody_decided_do_not_count() -> None:
    limited = Limits((1, 60), (1, 60), (1, 60))
    for _ in range(5):
        async with limited.attempt("ada", "192.0.2.1"):
            pass
    with pytest.raises(ZeroDivisionError):
        async with limited.attempt("ada", "192.0.2.1"):
            raise ZeroDivisionError
    await fail(limited, "ada")


async def test_zero_is_no_limit() -> None:
    limited = Limits((0, 60), (0, 60), (0, 60))
    for _ in range(20):
        await fail(limited, "ada")
    assert len(limited.pairs) == len(limited.addresses) == 0


async def test_guessing_in_parallel_gains_nothing() -> None:
    limited = Limits((5, 60), (100, 60), (100, 60))
    tried = 0

    async def guess() -> None:
        nonlocal tried
        async with limited.attempt("ada", "192.0.2.1") as attempt:
            tried += 1
            await asyncio.sleep(0.01)
            attempt.succeeded = False

    results = await asyncio.gather(*(guess() for _ in range(60)), return_exceptions=True)
    assert tried == 5
    assert sum(isinstance(result, LimitReachedError) for result in results) == 55


async def test_many_programs_of_one_person_get_in_at_once() -> None:
    limited = Limits((5, 60), (5, 60), (5, 60))

    async def sign_in() -> None:
        async with limited.attempt("ada", "192.0.2.1") as attempt:
            await asyncio.sleep(0.001)
            attempt.succeeded = True

    await asyncio.gather(*(sign_in() for _ in range(60)))


async def test_a_crowd_that_waits_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WAITING", 3)
    limited = Limits((1, 60), (1, 60), (1, 60))
    release = asyncio.Event()

    async def wait() -> None:
        async with limited.attempt("ada", "192.0.2.1") as attempt:
            await release.wait()
            attempt.succeeded = True

    tasks = [asyncio.create_task(wait()) for _ in range(5)]
    await asyncio.sleep(0.05)
    assert [task.done() for task in tasks].count(True) == 1
    release.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, LimitReachedError) for result in results].count(True) == 1


async def test_waiting_attempt_that_is_cancelled_leaves_nothing_behind() -> None:
    limited = Limits((1, 60), (1, 60), (1, 60))
    async with limited.attempt("ada", "192.0.2.1") as attempt:
        waiting = asyncio.create_task(fail(limited, "ada"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        attempt.succeeded = True
    await asyncio.wait_for(fail(limited, "ada"), 5)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEYS", 100)
    window = Window(5, 60)
    for number in range(1000):
        for _ in range(10):
            window.fail(str(number))
    assert len(window) == 100
    assert len(window._failures["999"]) == 5


def test_old_failures_leave_no_key() -> None:
    clock = Clock()
    window = Window(5, 60, clock)
    window.fail("ada")
    clock.now += 61
    assert window.wait("ada") == 0
    assert len(window) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", [], "192.0.2.9"),
        # Somebody who is no proxy cannot name another address.
        ("192.0.2.9", ["198.51.100.1"], "192.0.2.9"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # What the client itself wrote stands further left.
        ("127.0.0.1", ["203.0.113.66, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.66", "198.51.100.1"], "198.51.100.1"),
        # A web server on this machine before the proxy.
        ("127.0.0.1", ["203.0.113.66, 198.51.100.1, 127.0.0.1"], "198.51.100.1"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # Nobody else than this machine.
        ("127.0.0.1", ["127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1, unknown, 127.0.0.2"], "127.0.0.2"),
        ("127.0.0.1", [" , ,"], "127.0.0.1"),
    ],
)
def test_client_address(peer: str, forwarded: list[str], client: str) -> None:
    assert client_address(peer, forwarded, LOOPBACK) == client


def test_one_person_has_64_bits_of_ipv6() -> None:
    assert group_of("2001:db8::1") == group_of("2001:db8::ffff:1") != group_of("2001:db8:0:1::1")
    assert group_of("192.0.2.1") != group_of("192.0.2.2")


# -- the pages


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A portal that stops an address after four failures, and believes the proxy only."""
    config = "c.Portal.limit_per_address = (4, 600)\nc.Portal.trusted_proxies = []\nc.Portal.login_delay = False\n"
    platform = Platform(make_deployment(tmp_path_factory.mktemp("limited")), config)
    try:
        platform.start_portal()
        accounts.add_user(platform.deployment, "ada", PASSWORD, email="ada@example.org")
        yield platform
    finally:
        platform.stop()


class _From(HTTPAdapter):
    """Connects from a given address of this machine."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def init_poolmanager(self, *arguments: object, **keywords: object) -> None:
        super().init_poolmanager(*arguments, source_address=(self.address, 0), **keywords)


def browser_at(platform: Platform, address: str) -> Browser:
    browser = Browser(platform, internal=True)
    browser.mount("http://", _From(address))
    return browser


def attempt(browser: Browser, name: str, password: str = PASSWORD) -> requests.Response:
    """Sign in on the pages, as far as one is let."""
    page = browser.submit(browser.portal("/login"), login=name)
    return page if page.status_code == 429 else browser.submit(page, password=password)


def test_wrong_passwords_on_the_pages_stop_the_address(limited: Platform) -> None:
    for _ in range(4):
        assert attempt(browser_at(limited, "127.1.0.1"), "ada", "wrong").status_code == 200
    page = attempt(browser_at(limited, "127.1.0.1"), "ada")
    assert page.status_code == 429
    assert "Too many attempts have failed. Try again in 10 minutes." in page.text
    assert 500 < int(page.headers["Retry-After"]) <= 600
    assert "/profile/ada" in attempt(browser_at(limited, "127.1.0.2"), "ada").url
    # Reading is not limited, and the token API counts with the pages.
    assert browser_at(limited, "127.1.0.1").portal("/login").status_code == 200
    body = {"auth": {"identity": {"password": {"user": {"name": "ada", "password": "x"}}}}}
    api = f"{limited.deployment.internal_url('portal')}/keystone/v3/tokens"
    assert browser_at(limited, "127.1.0.1").post(api, json=body, timeout=20).status_code == 429


def test_password_step_itself_is_limited(limited: Platform) -> None:
    """Somebody has passed the name page while it was still allowed."""
    patient = browser_at(limited, "127.1.0.2")
    page = patient.submit(patient.portal("/login"), login="ada")
    for _ in range(4):
        attempt(browser_at(limited, "127.1.0.2"), "ada", "wrong")
    assert patient.submit(page, password=PASSWORD).status_code == 429


def test_registration_tells_only_so_many_names(limited: Platform) -> None:
    browser = browser_at(limited, "127.1.0.3")
    answers = [browser.register("ada").status_code for _ in range(4)]
    assert answers == [200] * 4
    page = browser.portal("/register")
    assert browser.submit(page, user_name="grace").status_code == 429


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("127.1.1.1", {"HX-Request": ""}),
        ("127.1.1.2", {"HX-Request": "true", "HX-Boosted": "true"}),
        ("127.1.1.3", {"X-Forwarded-For": "198.51.100.7"}),
        ("127.1.1.4", {"X-HTTP-Method-Override": "GET"}),
    ],
)
def test_headers_do_not_lead_past_the_limit(limited: Platform, address: str, headers: dict[str, str]) -> None:
    for number in range(5):
        browser = browser_at(limited, address)
        browser.headers.update({name: value.replace("7", str(number)) for name, value in headers.items()})
        page = attempt(browser, "ada", "wrong")
        assert page.status_code == (429 if number == 4 else 200)


@pytest.mark.parametrize("path", ["/%61uth/password", "//auth/password", "/auth%2Fpassword"])
def test_other_spellings_of_the_path_do_not_lead_past_the_limit(limited: Platform, path: str) -> None:
    address = "127.1.0.5"
    for _ in range(4):
        attempt(browser_at(limited, address), "ada", "wrong")
    deployment = limited.deployment
    # `requests` would spell the path in the usual way.
    connection = http.client.HTTPConnection(
        deployment.internal_host, deployment.service_port("portal"), timeout=20, source_address=(address, 0)
    )
    connection.request("POST", f"/services/portal{path}", "password=x")
    assert connection.getresponse().status == 429
    connection.close()


def test_fields_that_are_checked_while_typing_do_not_count(limited: Platform) -> None:
    browser = browser_at(limited, "127.1.0.6")
    page = browser.portal("/register")
    headers = {"HX-Request": "true", "HX-Trigger-Name": "user_name"}
    soup = BeautifulSoup(page.text, "html.parser")
    values = {"csrf_token": soup.select_one("input[name=csrf_token]")["value"], "user_name": "Bad Name"}
    for _ in range(8):
        answer = browser.post(page.url, data=values, headers=headers, timeout=20)
        assert answer.status_code == 200
        assert "lower-case letter" in answer.text
        assert "<form" not in answer.text
    assert "/profile/ada" in attempt(browser, "ada").url


def test_no_password_is_checked_for_a_field_that_is_typed_in(limited: Platform) -> None:
    """Such requests are not counted, so they must not tell whether a password is right."""
    texts = set()
    for password in (PASSWORD, "wrong"):
        browser = browser_at(limited, "127.1.0.8")
        page = browser.submit(browser.portal("/login"), login="ada")
        soup = BeautifulSoup(page.text, "html.parser")
        field = soup.select_one("input[name=csrf_token]")
        values = {"password": password} | ({"csrf_token": field["value"]} if field else {})
        headers = {"HX-Request": "true", "HX-Trigger-Name": "password"}
        answer = browser.post(page.url, data=values, headers=headers, timeout=20, allow_redirects=False)
        texts.add((answer.status_code, answer.text.replace(password, "")))
        assert "/profile/ada" not in browser.portal("/").url
    assert len(texts) == 1


def test_forwarded_address_of_the_own_proxy_is_believed(limited: Platform) -> None:
    own = limited.deployment.internal_host
    for number in range(6):
        browser = browser_at(limited, own)
        browser.headers["X-Forwarded-For"] = f"198.51.100.{number}"
        assert attempt(browser, "ada", "wrong").status_code == 200
