"""The portal's server: Canaille behind Tornado, our own routes, its end and its restart."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
import requests
from auth_platform import PASSWORD, Browser, Platform, make_deployment
from bs4 import BeautifulSoup

from sciserver_auth.portal import accounts, openapi, server
from sciserver_auth.portal.server import ROUTES, THREADS, call
from sciserver_common.deployment import SERVICES, Deployment
from sciserver_common.sciscript import sciscript

LOGO = "/_theme/theme/logo.svg"


def raw(platform: Platform, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """The answer to a request that is sent as it is; `.body` has been read."""
    deployment = platform.deployment
    connection = http.client.HTTPConnection(deployment.internal_host, deployment.service_port("portal"), timeout=60)
    try:
        connection.request(method, f"/services/portal{path}", body, headers or {})
        answer: Any = connection.getresponse()
        answer.body = answer.read()
        return answer
    finally:
        connection.close()


# -- Canaille behind the bridge


@pytest.mark.parametrize("path", ["/login", LOGO, "/.well-known/openid-configuration", "/no-such-page"])
def test_head_is_get_without_a_body(portal_only: Platform, path: str) -> None:
    get, head = raw(portal_only, "GET", path), raw(portal_only, "HEAD", path)
    assert head.status == get.status
    assert head.body == b"" != get.body
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert int(get.headers["Content-Length"]) == len(get.body)
    if path != "/login":  # it has a token of random length in it
        assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert "Server" not in get.headers


def test_unchanged_file_is_not_sent_again(portal_only: Platform) -> None:
    first = raw(portal_only, "GET", LOGO)
    assert (first.status, first.headers["Content-Type"][:13]) == (200, "image/svg+xml")
    assert len(first.headers.get_all("Date")) == 1
    second = raw(portal_only, "GET", LOGO, headers={"If-None-Match": first.headers["ETag"]})
    assert (second.status, second.body) == (304, b"")
    assert "Content-Type" not in second.headers


def test_large_static_file_is_whole(portal_only: Platform) -> None:
    page = Browser(portal_only, internal=True).portal("/login").text
    prefix = "/services/portal"
    paths = {path.removeprefix(prefix) for path in re.findall(rf'(?:href|src)="({prefix}/[^"]*static[^"]*)"', page)}
    files = {path: raw(portal_only, "GET", path.replace("&amp;", "&")) for path in paths}
    assert max(len(answer.body) for answer in files.values()) > 300_000
    for path, answer in files.items():
        assert answer.status == 200, path
        assert int(answer.headers["Content-Length"]) == len(answer.body)
    part = raw(portal_only, "GET", LOGO, headers={"Range": "bytes=0-9"})
    assert part.status in {200, 206}
    assert len(part.body) == int(part.headers["Content-Length"])


def test_several_cookies_arrive_one_by_one(portal_only: Platform) -> None:
    accounts.add_user(portal_only.deployment, "cookies", PASSWORD)
    browser = Browser(portal_only, internal=True)
    page = browser.sign_in_at_portal("cookies")
    answers = [*page.history, page]
    assert any(len(answer.raw.headers.getlist("Set-Cookie")) > 1 for answer in answers)
    assert "/profile/cookies" in browser.portal("/").url


def test_chunked_body_arrives(portal_only: Platform) -> None:
    """Without a length: a WSGI application would read nothing."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = raw(portal_only, "POST", "/oauth/token", iter([b"grant_type=", b"authorization_code&code=x"]), form)
    assert answer.status == 401
    assert json.loads(answer.body)["error"] == "invalid_client"


@pytest.mark.parametrize("chunked", [False, True])
def test_too_long_body_is_refused_in_words(portal_only: Platform, chunked: bool) -> None:
    size = server.Pages.body_limit
    body = b"x" * (size + 1)
    answer = raw(portal_only, "POST", "/login", iter([body[:size], body[size:]]) if chunked else body)
    assert (answer.status, answer.body) == (413, b"The request is larger than 4 MiB.\n")
    fits = raw(portal_only, "POST", "/login", b"x" * size, {"Content-Type": "text/plain"})
    assert fits.status != 413


def test_body_that_is_far_too_long_is_refused_before_it_is_sent(portal_only: Platform) -> None:
    deployment = portal_only.deployment
    address = (deployment.internal_host, deployment.service_port("portal"))
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(
            b"POST /services/portal/login HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000000\r\n\r\nsome"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 4 MiB" in answer
    assert b"HTTP/1.1" not in answer[10:]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /services/portal/login HTTP/1.1\r\nHost: a:b:c\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /services/portal/login HTTP/1.1\r\nHost: x:notaport\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /services/portal/health HTTP/1.1\r\n\r\n", b"400"),
        (b"BREW /services/portal/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"405"),
        (b"GET /services/portal/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /services/portal/keystone/v3/tokens/%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_odd_requests_are_answered_and_end_nothing(portal_only: Platform, request_line: bytes, status: bytes) -> None:
    deployment = portal_only.deployment
    address = (deployment.internal_host, deployment.service_port("portal"))
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request_line)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] == status, answer
    assert b"Traceback" not in answer
    assert raw(portal_only, "GET", "/health").status == 200


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /services/portal/keystone/v3/tokens/%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW /services/portal/login HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_answer_before_the_whole_request_says_that_the_connection_ends(
    portal_only: Platform, request_line: bytes
) -> None:
    """Otherwise the proxy sends its next request into it, and that one is answered with 503."""
    deployment = portal_only.deployment
    address = (deployment.internal_host, deployment.service_port("portal"))
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request_line)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"\r\nConnection: close\r\n" in answer


def test_many_requests_at_once(portal_only: Platform) -> None:
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: raw(portal_only, "GET", "/login").status, range(200)))
    assert answers == [200] * 200


def test_slow_pages_do_not_hold_up_our_own_routes(portal_only: Platform) -> None:
    """More checks of passwords than threads, and in their midst somebody who asks for a token's owner."""
    accounts.add_user(portal_only.deployment, "busy", PASSWORD)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            Browser(portal_only, internal=True).sign_in_at_portal("busy")

    with ThreadPoolExecutor(2 * THREADS) as pool:
        for _ in range(2 * THREADS):
            pool.submit(work)
        try:
            answers = [raw(portal_only, "GET", "/health").status for _ in range(20)]
        finally:
            stop.set()
    assert answers == [200] * 20


def test_wsgi_call_reads_and_closes_in_one_go() -> None:
    threads = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            threads.append(threading.get_ident())
            yield b"and "
            yield b"read"

        def close(self) -> None:
            threads.append(threading.get_ident())

    def application(environ: dict[str, Any], start_response: Any) -> Body:
        threads.append(threading.get_ident())
        start_response("500 Oh", [("A", "b")])
        start_response("200 OK", [("C", "d")], (None, None, None))(b"written ")
        return Body()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(call, application, {}).result() == ("200 OK", [("C", "d")], b"written and read")
    assert len(threads) == 3
    assert len(set(threads)) == 1


# -- our own routes


def test_settings_for_laptops_are_those_of_containers_but_for_the_addresses(portal_only: Platform) -> None:
    deployment = portal_only.deployment
    answer = requests.get(f"{deployment.internal_url('portal')}/sciscript.json", timeout=20)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Content-Disposition"].startswith("inline")
    laptop, container = answer.json(), sciscript(deployment.container_url)
    assert laptop.keys() == container.keys()
    for name, value in container.items():
        for service in SERVICES:
            value = value.replace(deployment.internal_origin(service), deployment.public_url)
        assert laptop[name] == value, name
    assert laptop["AuthenticationURL"] == f"{deployment.public_url}/services/portal/keystone/v3/tokens"
    assert deployment.internal_host not in answer.text


def test_own_routes_bring_no_permission_for_other_origins(portal_only: Platform) -> None:
    for path in ("/health", "/sciscript.json", "/openapi.json", "/keystone/v3/tokens", "/keystone/v3/tokens/x"):
        answer = raw(portal_only, "GET", path, headers={"Origin": "https://evil.example"})
        assert not [name for name in answer.headers if name.lower().startswith("access-control")], path
        options = raw(portal_only, "OPTIONS", path, headers={"Origin": "https://evil.example"})
        assert options.status == 405


def test_description_names_every_route_and_method() -> None:
    document = openapi.document("https://example.org/services/portal")
    assert document["openapi"].startswith("3.1.")
    served = {(path, method.lower()) for path, handler in ROUTES for method in handler.methods()}
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    assert described == served


def test_description_holds_together(portal_only: Platform) -> None:
    document = requests.get(f"{portal_only.deployment.internal_url('portal')}/openapi.json", timeout=20).json()
    assert document == openapi.document(portal_only.deployment.service_url("portal"))
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}" in json.dumps(document)
    for reference in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]
    for path, item in document["paths"].items():
        for operation in item.values():
            named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))


# -- its end and its restart


def test_stop_lets_a_running_request_end(portal_only: Platform) -> None:
    accounts.add_user(portal_only.deployment, "ending", PASSWORD)
    browser = Browser(portal_only, internal=True)
    page = browser.submit(browser.portal("/login"), login="ending")
    field = BeautifulSoup(page.text, "html.parser").select_one("input[name=csrf_token]")
    request = browser.prepare_request(
        requests.Request("POST", page.url, data={"password": PASSWORD, "csrf_token": field["value"] if field else ""})
    )
    address = (portal_only.deployment.internal_host, portal_only.deployment.service_port("portal"))
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST {request.path_url} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()
    body = str(request.body).encode()
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head + body[:5])
        time.sleep(0.5)
        assert portal_only.portal.popen is not None
        portal_only.portal.popen.send_signal(signal.SIGTERM)
        connection.sendall(body[5:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 302 "), answer
    assert portal_only.portal.stop() == 0
    portal_only.start_portal()


def test_stop_does_not_wait_for_idle_or_hanging_connections(portal_only: Platform) -> None:
    deployment = portal_only.deployment
    address = (deployment.internal_host, deployment.service_port("portal"))
    idle = socket.create_connection(address)
    hanging = socket.create_connection(address)
    hanging.sendall(b"POST /services/portal/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
    kept = requests.Session()
    kept.get(f"{deployment.internal_url('portal')}/health", timeout=20)
    assert portal_only.portal.stop() == 0
    portal_only.start_portal()
    for connection in (idle, hanging):
        connection.close()
    assert kept.get(f"{deployment.internal_url('portal')}/health", timeout=20).json() == {"status": "ok"}


def test_taken_port_is_named(portal_only: Platform) -> None:
    second = Platform(portal_only.deployment)
    second.portal.log = portal_only.deployment.logs_dir / "taken.log"
    place = f"{portal_only.deployment.internal_host}:8082 cannot be listened on: Address already in use"
    with pytest.raises((RuntimeError, AssertionError), match=place):
        second.portal.start(f"{portal_only.health_url}/nothing-here")
    assert "Traceback" not in second.portal.log.read_text()


# -- without the identity provider


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(make_deployment(tmp_path_factory.mktemp("bare")), "c.Portal.identity_provider = False\n")
    try:
        platform.start_portal()
        yield platform
    finally:
        platform.stop()


def test_without_the_identity_provider_there_are_no_accounts(bare: Platform) -> None:
    assert raw(bare, "GET", "/health").status == 200
    assert json.loads(raw(bare, "GET", "/sciscript.json").body) == sciscript(bare.deployment.service_url)
    for method, path in [
        ("GET", "/login"),
        ("GET", "/"),
        ("GET", ""),
        ("POST", "/oauth/token"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", "/../../hub"),
    ]:
        answer = raw(bare, method, path)
        assert (answer.status, answer.body) == (404, b"Not Found.\n"), path
    assert not (bare.deployment.portal_dir / "portal.sqlite").exists()
    assert "Canaille" not in bare.portal.log.read_text()


def test_hub_that_is_away_is_told(bare: Platform) -> None:
    body = {"auth": {"identity": {"password": {"user": {"name": "ada", "password": "x"}}}}}
    answer = requests.post(f"{bare.deployment.internal_url('portal')}/keystone/v3/tokens", json=body, timeout=60)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"]["message"] == "The sign-in service is not answering. Try again in a minute."
    answer = requests.get(f"{bare.deployment.internal_url('portal')}/keystone/v3/tokens/{'a' * 32}", timeout=60)
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("c.Portal.trusted_proxies = ['proxy.example.org']", "trusted_proxies"),
        ("c.Portal.limit_per_address = (-1, 60)", "limit_per_address"),
        ("c.Portal.limit_per_account = 5", "limit_per_account"),
        ("c.Portal.api_token_lifetime = 0", "api_token_lifetime"),
    ],
)
def test_options_that_make_no_sense_are_refused(bare: Platform, setting: str, message: str) -> None:
    wrong = Platform(Deployment.load(bare.deployment.home), setting + "\n")
    wrong.portal.log = bare.deployment.logs_dir / "wrong.log"
    with pytest.raises((RuntimeError, AssertionError), match=message):
        wrong.portal.start(f"{bare.health_url}/nothing-here")


def test_killed_portal_comes_back_with_the_same_accounts(portal_only: Platform) -> None:
    accounts.add_user(portal_only.deployment, "killed", PASSWORD)
    browser = Browser(portal_only, internal=True)
    browser.sign_in_at_portal("killed")
    portal_only.portal.stop(signal.SIGKILL)
    portal_only.start_portal()
    assert "/profile/killed" in browser.portal("/").url
