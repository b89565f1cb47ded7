"""What passes between page and service, and what stays behind."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import pytest

from tests.server_extensions.odd_service import Call, OddService

REST = "sciserver/casjobs/rest/"
TOKEN = "the-token-of-this-server"


def answering(body: bytes = b"", status: str = "200 OK", **headers: str):
    async def script(request: Call) -> None:
        await request.body()
        await request.answer(body, status, **headers)

    return script


async def test_the_service_gets_path_query_and_body(call, odd: OddService) -> None:
    async def script(request: Call) -> None:
        await request.answer(await request.body(), content_type="text/plain")

    odd.script = script
    path = f"{REST}contexts/My%20DB/Tables/a%3Fb//c;d=1?x=a%20b&y=%2B+&x=|[]"
    answer = await call("POST", path, body=b"some \x00 bytes")
    assert answer.body == b"some \x00 bytes"
    [request] = odd.calls
    assert request.method == "POST"
    assert request.target == "/services/odd/contexts/My%20DB/Tables/a%3Fb//c;d=1?x=a%20b&y=%2B+&x=%7C%5B%5D"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_each_method_passes(call, odd: OddService, method: str) -> None:
    odd.script = answering(b"x", content_type="text/plain")
    body = b"y" if method in {"POST", "PUT", "PATCH"} else None
    answer = await call(method, f"{REST}contexts", body=body)
    assert (answer.code, answer.body) == (200, b"" if method == "HEAD" else b"x")
    assert answer.headers["Content-Length"] == "1"
    assert [request.method for request in odd.calls] == [method]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "MOVE"])
async def test_no_other_method_passes(call, odd: OddService, method: str) -> None:
    assert (await call(method, f"{REST}contexts")).code == 405
    assert not odd.calls


async def test_who_the_client_is_stays_behind(call, odd: OddService, jp_auth_header) -> None:
    odd.script = answering(b"{}", content_type="application/json")
    secret = {
        "Cookie": "sign-in=secret",
        "X-Auth-Token": "somebody-else",
        "Proxy-Authorization": "Basic secret",
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "Referer": "http://127.0.0.1/?token=secret",
        "Origin": "http://127.0.0.1",
        "X-XSRFToken": "secret",
        "Connection": "keep-alive, Accept",
        "Upgrade": "h2c",
        "X-Anything": "secret",
    }
    kept = {"Accept": "text/csv", "Accept-Language": "de", "Range": "bytes=0-1", "If-None-Match": '"a"'}
    own = jp_auth_header["Authorization"].split()[1]
    query = f"token={own}&_xsrf=secret&%74oken={own}&no_track_activity=1"
    answer = await call("GET", f"{REST}contexts?{query}", headers=secret | kept)
    assert answer.code == 200, answer.body
    [request] = odd.calls
    names = {name.lower() for name, _ in request.headers}
    # `Accept` was named as one of this connection only.
    assert names <= {
        "accept-encoding", "accept-language", "connection", "host", "if-none-match", "range", "user-agent",
        "x-auth-token", "x-forwarded-for",
    }  # fmt: skip
    assert request.header("X-Auth-Token") == [TOKEN]
    assert request.header("X-Forwarded-For") == ["127.0.0.1"]
    assert request.header("Range") == ["bytes=0-1"]
    assert request.header("Host") == [f"127.0.0.1:{odd.port}"]
    assert request.target == "/services/odd/contexts"
    assert own not in str(request.headers)


async def test_the_token_is_read_again_each_time(call, odd: OddService, token_path: Path) -> None:
    for token in ("first", "second"):
        token_path.write_text(token)
        await call("GET", f"{REST}contexts")
    assert [request.header("X-Auth-Token") for request in odd.calls] == [["first"], ["second"]]


async def test_without_a_file_the_token_is_that_of_the_environment(call, odd, token_path, monkeypatch) -> None:
    token_path.unlink()
    monkeypatch.setenv("SCISERVER_TOKEN", "from-outside")
    await call("GET", f"{REST}contexts")
    assert odd.calls[0].header("X-Auth-Token") == ["from-outside"]


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "größer", "x" * 5000])
async def test_without_a_token_the_user_is_told_how_to_get_one(call, odd, token_path, content, monkeypatch) -> None:
    monkeypatch.delenv("SCISERVER_TOKEN", raising=False)
    token_path.write_text(content)
    answer = await call("GET", f"{REST}contexts")
    value = json.loads(answer.body)
    assert answer.code == 401
    assert value["reason"] == "token"
    assert "token" in value["message"]
    assert not content or content not in answer.body.decode()
    assert not odd.calls


async def test_rights_in_the_notebooks_origin_stay_behind(call, odd: OddService) -> None:
    odd.script = answering(
        b"x",
        content_type="text/plain",
        set_cookie="a=b",
        www_authenticate="Basic",
        access_control_allow_origin="*",
        clear_site_data='"*"',
        service_worker_allowed="/",
        refresh="0; url=https://example.org",
        content_security_policy="default-src *",
        x_anything="y",
        connection="close, etag",
        keep_alive="timeout=5",
        etag='"a"',
        last_modified="Sat, 01 Jan 2022 00:00:00 GMT",
        retry_after="5",
        server="odd",
    )
    answer = await call("GET", f"{REST}contexts")
    assert answer.headers["Last-Modified"] == "Sat, 01 Jan 2022 00:00:00 GMT"
    assert answer.headers["Retry-After"] == "5"
    for name in (
        "WWW-Authenticate",
        "Clear-Site-Data",
        "Service-Worker-Allowed",
        "Refresh",
        "X-Anything",
        "Keep-Alive",
    ):
        assert name not in answer.headers
    # Named as one of the other connection only.
    assert "Etag" not in answer.headers
    assert "a=b" not in str(answer.headers.get_list("Set-Cookie"))
    assert answer.headers["Access-Control-Allow-Origin"] != "*"
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy.split("; ")
    assert "default-src *" not in policy


@pytest.mark.parametrize(
    ("kind", "is_kept"),
    [
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8", True),
        ("application/xhtml+xml", True),
        ("image/svg+xml", True),
        ("text/xml", True),
        ("application/pdf", True),
        ("text/javascript", True),
        ("multipart/x-mixed-replace", True),
        ("application/json", False),
        ("text/csv; charset=utf-8", False),
        ("image/png", False),
    ],
)
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error"])
async def test_nothing_runs_in_the_notebooks_origin(call, odd, kind: str, is_kept: bool, status: str) -> None:
    odd.script = answering(b"<script>alert(1)</script>", status, content_type=kind, content_disposition="inline")
    answer = await call("GET", f"{REST}contexts")
    assert answer.code == int(status[:3])
    assert "sandbox" in answer.headers["Content-Security-Policy"].split("; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers.get_list("Content-Disposition") == (["attachment"] if is_kept else ["inline"])


async def test_what_has_no_type_is_no_page(call, odd: OddService) -> None:
    odd.script = answering(b"<html>")
    answer = await call("GET", f"{REST}contexts")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_name_for_the_file_is_kept(call, odd: OddService) -> None:
    name = "attachment; filename=\"a.html\"; filename*=UTF-8''%C3%A4.html"
    odd.script = answering(b"<html>", content_type="text/html", content_disposition=name)
    assert (await call("GET", f"{REST}contexts")).headers["Content-Disposition"] == name


async def test_errors_pass_as_they_are(call, odd: OddService) -> None:
    error = {"status": "error", "error": "Line 1, column 8: There is no column raa. 100% sure.", "line": 1}
    odd.script = answering(json.dumps(error).encode(), "400 Bad Request", content_type="application/json")
    answer = await call("POST", f"{REST}contexts/Sky/query", body=b"{}")
    assert (answer.code, json.loads(answer.body)) == (400, error)


async def test_a_refused_token_is_told_as_such(call, odd: OddService) -> None:
    odd.script = answering(b'{"error": "Who?"}', "401 Unauthorized", www_authenticate="Bearer")
    answer = await call("GET", f"{REST}contexts")
    value = json.loads(answer.body)
    assert answer.code == 401
    assert value["reason"] == "token"
    assert "Stop the server" in value["message"]
    assert "WWW-Authenticate" not in answer.headers
    assert "Location" not in answer.headers


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answers_without_a_body(call, odd: OddService, status: str) -> None:
    async def script(request: Call) -> None:
        await request.send(f'HTTP/1.1 {status}\r\nETag: "a"\r\n\r\n'.encode())

    odd.script = script
    answer = await call("GET", f"{REST}contexts", headers={"If-None-Match": '"a"'})
    assert (answer.code, answer.body, answer.headers["Etag"]) == (int(status[:3]), b"", '"a"')


async def test_compressed_answers_pass_as_they_are(call, odd: OddService) -> None:
    packed = gzip.compress(b"a,b\n" * 1000)
    odd.script = answering(packed, content_type="text/csv", content_encoding="gzip")
    answer = await call("GET", f"{REST}contexts", headers={"Accept-Encoding": "gzip"}, decompress_response=False)
    assert answer.body == packed
    assert answer.headers["Content-Encoding"] == "gzip"
    assert odd.calls[0].header("Accept-Encoding") == ["gzip"]


async def test_uploads_of_unknown_length_pass(call, odd: OddService) -> None:
    received = b""

    async def script(request: Call) -> None:
        nonlocal received
        assert request.header("Transfer-Encoding") == ["chunked"]
        received = await request.reader.readuntil(b"0\r\n\r\n")
        await request.answer()

    async def pieces(write) -> None:
        for piece in (b"abc", b"defg"):
            await write(piece)

    odd.script = script
    assert (await call("PUT", f"{REST}contexts", body_producer=pieces)).code == 200
    assert b"abc" in received
    assert b"defg" in received


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("/services/odd/jobs/1?x=2", "/a%40b/sciserver/casjobs/rest/jobs/1?x=2"),
        ("https://sciserver.example.org/services/odd/jobs/1", "/a%40b/sciserver/casjobs/rest/jobs/1"),
        ("/services/oddity/jobs/1", None),
        ("/elsewhere", None),
        ("/services/odd/../elsewhere", None),
        ("/services/odd/%2e%2e/elsewhere", None),
        ("javascript:alert(1)", None),
        ("//[", None),
    ],
)
async def test_addresses_in_answers_are_those_below_the_server(call, odd, location: str, wanted: str | None) -> None:
    odd.script = answering(b"{}", "201 Created", content_type="application/json", location=location)
    answer = await call("POST", f"{REST}jobs", body=b"")
    assert (answer.code, answer.headers.get("Location")) == (201, wanted)
    odd.script = answering(b"", "302 Found", location=location)
    answer = await call("GET", f"{REST}jobs")
    assert (answer.code, answer.headers.get("Location")) == ((302, wanted) if wanted else (502, None))


async def test_no_token_comes_into_a_log(call, odd: OddService, caplog, token_path: Path, jp_auth_header) -> None:
    caplog.set_level(logging.DEBUG)
    own = jp_auth_header["Authorization"].split()[1]

    async def killed(request: Call) -> None:
        request.kill()

    async def strange(request: Call) -> None:
        await request.send(b"SSH-2.0\r\n\r\n")

    for script in (answering(b"{}"), answering(b"", "401 Unauthorized"), answering(b"", "500 No"), killed, strange):
        odd.script = script
        await call("GET", f"{REST}contexts?token={own}")
    token_path.write_text("broken token\nwith two lines")
    await call("GET", f"{REST}contexts?token={own}")
    await odd.stop()
    token_path.write_text(TOKEN)
    await call("GET", f"{REST}contexts?token={own}")
    assert "sciserver/casjobs/rest" in caplog.text
    for secret in (TOKEN, own, "broken token"):
        assert secret not in caplog.text
