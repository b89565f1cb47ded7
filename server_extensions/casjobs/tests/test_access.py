"""Who may use the extension, and from where."""

from __future__ import annotations

import asyncio
import json
import warnings
from http.cookies import SimpleCookie
from typing import Any

import pytest
from jupyter_server.auth.authorizer import Authorizer

from tests.server_extensions.odd_service import OddService

REST = "sciserver/casjobs/rest/contexts"
READING, WRITING = ("GET", "HEAD"), ("POST", "PUT", "PATCH", "DELETE")


def body_of(method: str) -> bytes | None:
    return b"{}" if method in {"POST", "PUT", "PATCH"} else None


@pytest.mark.parametrize("method", [*READING, *WRITING])
@pytest.mark.parametrize("token", [None, "token wrong", "Bearer the-token-of-this-server"])
async def test_nobody_else_gets_in(call, odd: OddService, method: str, token: str | None) -> None:
    """Not without a token, not with any other one, not with the one that the service takes."""
    headers = {"Authorization": token} if token else {}
    answer = await call(method, REST, signed_in=False, headers=headers, body=body_of(method))
    assert answer.code == 403
    assert method == "HEAD" or json.loads(answer.body)["status"] == "error"
    assert "Location" not in answer.headers
    assert not odd.calls


@pytest.mark.parametrize("method", [*READING, *WRITING])
async def test_a_refusal_says_that_the_connection_ends(http_server, jp_serverapp, jp_http_port, method: str) -> None:
    """Else a proxy sends its next request into a connection that is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
    request = f"{method} /a%40b/{REST} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403")
    if b"\r\nConnection: close\r\n" not in head:
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]) * (method != "HEAD"))
        writer.write(request)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 403")
    writer.close()


async def test_a_strangers_upload_is_not_taken(call, odd: OddService) -> None:
    """The answer comes before the body, of which the service gets nothing."""
    answer = await call("PUT", REST, signed_in=False, headers={"Expect": "100-continue"}, body=bytes(1024))
    assert answer.code == 403
    assert not odd.calls


async def browser(call: Any, jp_auth_header: dict[str, str]) -> tuple[dict[str, str], str]:
    """Somebody who has signed in with a page: the headers that the browser sends, and the page's XSRF token."""
    token = jp_auth_header["Authorization"].split()[1]
    page = await call("GET", f"api/contents?token={token}", signed_in=False)
    found = SimpleCookie()
    for line in page.headers.get_list("Set-Cookie"):
        found.load(line)
    login = {name: item.value for name, item in found.items() if name.startswith("username-")}
    assert len(login) == 1
    page = await call("GET", "login", signed_in=False)
    for line in page.headers.get_list("Set-Cookie"):
        found.load(line)
    xsrf = found["_xsrf"].value
    [(name, value)] = login.items()
    return {"Cookie": f'{name}="{value}"; _xsrf={xsrf}'}, xsrf


@pytest.mark.parametrize("method", [*READING, *WRITING])
async def test_a_page_needs_the_xsrf_token(call, odd, jp_auth_header, method: str) -> None:
    headers, xsrf = await browser(call, jp_auth_header)
    options = {"signed_in": False, "body": body_of(method)}
    version, mask, masked, time = xsrf.split("|")
    other = "|".join([version, mask, masked[:-1] + ("0" if masked[-1] != "0" else "1"), time])
    for wrong in ({}, {"X-XSRFToken": "wrong"}, {"X-XSRFToken": other}):
        assert (await call(method, REST, headers=headers | wrong, **options)).code == 403
    assert (await call(method, f"{REST}?_xsrf=wrong", headers=headers, **options)).code == 403
    assert not odd.calls
    assert (await call(method, REST, headers=headers | {"X-XSRFToken": xsrf}, **options)).code == 200
    assert (await call(method, f"{REST}?_xsrf={xsrf}", headers=headers, **options)).code == 200
    assert [request.target for request in odd.calls] == ["/services/odd/contexts"] * 2


@pytest.mark.parametrize("method", READING)
async def test_a_link_on_another_page_reads_nothing(call, odd, jp_auth_header, http_server_client, method) -> None:
    """The browser sends the cookie along with an image or a script of another page, but no `Origin`."""
    headers, _ = await browser(call, jp_auth_header)
    own = http_server_client.get_url("/lab")
    for referer in ("https://evil.example.org/", own.replace("127.0.0.1", "127.0.0.1.evil.example.org")):
        answer = await call(method, REST, signed_in=False, headers=headers | {"Referer": referer})
        assert answer.code == 403
    assert not odd.calls
    assert (await call(method, REST, signed_in=False, headers=headers | {"Referer": own})).code == 200


@pytest.mark.parametrize("method", [*READING, *WRITING])
@pytest.mark.parametrize("origin", ["https://evil.example.org", "null", "http://127.0.0.1:1"])
async def test_another_pages_program_gets_nothing(call, odd, jp_auth_header, method: str, origin: str) -> None:
    headers, xsrf = await browser(call, jp_auth_header)
    headers |= {"X-XSRFToken": xsrf, "Origin": origin}
    answer = await call(method, REST, signed_in=False, headers=headers, body=body_of(method))
    assert answer.code in {403, 404}
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert not odd.calls


async def test_other_machines_names_are_refused(call, odd: OddService) -> None:
    """DNS rebinding: the browser takes another machine's name for this one."""
    assert (await call("GET", REST, headers={"Host": "evil.example.org"})).code == 403
    assert not odd.calls


async def test_a_preflight_tells_nothing(call, odd: OddService) -> None:
    """It is answered to everybody, by Jupyter alone."""
    headers = {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "PUT"}
    answer = await call("OPTIONS", REST, signed_in=False, headers=headers)
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert not odd.calls


class Curious(Authorizer):
    """Notes what it is asked, and forbids to write."""

    asked: list[tuple[str, str]] = []

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return action != "write"


@pytest.fixture
def curious(jp_server_config: dict[str, Any]) -> type[Curious]:
    Curious.asked.clear()
    jp_server_config["ServerApp"]["authorizer_class"] = Curious
    return Curious


async def test_authorizers_decide_by_method(curious: type[Curious], call, odd: OddService) -> None:
    for method in (*READING, *WRITING):
        answer = await call(method, REST, body=body_of(method))
        assert answer.code == (200 if method in READING else 403)
    assert set(curious.asked) == {("read", "casjobs"), ("write", "casjobs")}
    assert [request.method for request in odd.calls] == list(READING)


def test_every_method_has_a_rule(jp_configurable_serverapp) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jp_configurable_serverapp()
    told = "\n".join(str(warning.message) for warning in caught)
    # Jupyter names handlers with methods that have none; the terminals' are its own matter.
    assert "TermSocket" in told
    assert "casjobs" not in told.lower()


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example.org/a%40b/sciserver/casjobs/rest/contexts",
        "//evil.example.org/a%40b/sciserver/casjobs/rest/contexts",
        "/a%40b/sciserver/casjobs/rest/../../../evil",
        "/a%40b/sciserver/casjobs/rest/%2e%2e/evil",
        "/a%40b/sciserver/casjobs/rest/..%2fevil",
        "/a%40b/sciserver/casjobs/rest/..\\evil",
        "/a%40b/sciserver/casjobs/rest/http://evil.example.org/",
        "/a%40b/sciserver/casjobs/rest/@evil.example.org/",
        "/a%40b/sciserver/casjobs/rest//evil.example.org/",
        "/a%40b/sciserver/casjobs/rest@evil.example.org/",
        "/a%40b/sciserver/casjobs/rest:80@evil.example.org/",
        "/a%40b/sciserver/casjobs/rest.evil.example.org/",
    ],
)
async def test_no_address_leads_elsewhere(call, odd, http_server_client, jp_http_port, jp_auth_header, target) -> None:
    """Sent by hand, since clients tidy addresses up. What reaches a service reaches the configured one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", jp_http_port)
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", f"Authorization: {jp_auth_header['Authorization']}"]
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
    answer = await reader.read()
    writer.close()
    # 302: Jupyter's own, of an address that it does not know, to the same without the slash at the end.
    assert answer.split(b" ")[1] in {b"200", b"302", b"400", b"404"}
    assert b"Location: /a%40b/sciserver" in answer or b"Location" not in answer
    assert (answer.split(b" ")[1] == b"200") == bool(odd.calls)
    for request in odd.calls:
        assert request.target.startswith("/services/odd/")
        assert ".." not in request.target
        assert request.header("Host") == [f"127.0.0.1:{odd.port}"]
