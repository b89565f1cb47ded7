"""Services that fail in the middle of things, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from tornado.simple_httpclient import HTTPStreamClosedError

from tests.server_extensions.odd_service import Call, OddService

REST = "sciserver/casjobs/rest/"
MEBIBYTE = 1024 * 1024


async def raw(port: int, header: dict[str, str], text: str, *lines: str) -> tuple[Any, Any]:
    """A connection to the Jupyter server with a request's head sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65536)
    fields = [f"{name}: {value}" for name, value in header.items()]
    writer.write("\r\n".join([f"{text} HTTP/1.1", f"Host: 127.0.0.1:{port}", *fields, *lines, "", ""]).encode())
    await writer.drain()
    return reader, writer


async def until(condition: Any) -> None:
    """Wait for what comes eventually."""
    for _ in range(1200):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it has not come within a minute")


async def test_a_service_that_is_down(call, odd: OddService) -> None:
    await odd.stop()
    answer = await call("GET", f"{REST}contexts")
    value = json.loads(answer.body)
    assert (answer.code, value["reason"]) == (503, "unreachable")
    assert "CasJobs does not answer" in value["message"]
    assert "Try again" in value["error"]


async def test_an_upload_to_a_service_that_is_down(call, odd: OddService) -> None:
    await odd.stop()
    answer = await call("PUT", f"{REST}x", body=bytes(4 * MEBIBYTE))
    assert (answer.code, json.loads(answer.body)["reason"]) == (503, "unreachable")


async def test_an_upload_that_goes_nowhere_is_not_taken_to_its_end(
    jp_serverapp, http_server, jp_auth_header, jp_http_port, odd
) -> None:
    await odd.stop()
    head = (f"PUT /a%40b/{REST}x", f"Content-Length: {1024 * MEBIBYTE}")
    _, writer = await raw(jp_http_port, jp_auth_header, *head)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 1024:
            writer.write(bytes(MEBIBYTE))
            await writer.drain()
            sent += 1
    assert sent < 256
    writer.close()


async def test_a_service_that_dies_before_it_answers(call, odd: OddService) -> None:
    async def script(request: Call) -> None:
        await request.body()
        request.kill()

    odd.script = script
    answer = await call("POST", f"{REST}contexts/Sky/query", body=b"{}")
    assert (answer.code, json.loads(answer.body)["reason"]) == (503, "unreachable")


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 banana\r\n\r\n", b"SSH-2.0-OpenSSH\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 200"]
)
async def test_a_service_that_speaks_another_language(call, odd: OddService, head: bytes) -> None:
    async def script(request: Call) -> None:
        await request.send(head)

    odd.script = script
    answer = await call("GET", f"{REST}contexts")
    assert (answer.code, json.loads(answer.body)["reason"]) == (503, "unreachable")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n",
    ],
)
async def test_a_service_that_dies_in_the_middle_of_its_answer(call, odd: OddService, head: bytes) -> None:
    """The client must notice: what has come looks like a result."""

    async def script(request: Call) -> None:
        await request.send(head + (b"a,b\n" if b"Length" in head else b""))
        await asyncio.sleep(0.2)
        request.kill()

    odd.script = script
    with pytest.raises(HTTPStreamClosedError):
        await call("GET", f"{REST}contexts")


async def test_a_service_that_dies_after_the_head_of_its_answer(call, odd: OddService) -> None:
    async def script(request: Call) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nContent-Type: text/csv\r\n\r\n")
        request.writer.close()

    odd.script = script
    answer = await call("GET", f"{REST}contexts")
    assert (answer.code, json.loads(answer.body)["reason"]) == (502, "broken-off")


async def test_a_service_that_refuses_an_upload_early(call, odd: OddService) -> None:
    """It answers and closes while the client still sends: the client learns why."""

    async def script(request: Call) -> None:
        await request.reader.readexactly(65536)
        await request.answer(b'{"error": "Full."}', "507 Insufficient Storage", content_type="application/json")

    odd.script = script
    answer = await call("PUT", f"{REST}x", body=bytes(32 * MEBIBYTE))
    assert (answer.code, json.loads(answer.body)) == (507, {"error": "Full."})


async def test_a_service_that_answers_early_and_reads_no_more(call, odd: OddService) -> None:
    async def script(request: Call) -> None:
        await request.answer(b'{"error": "Full."}', "507 Insufficient Storage", content_type="application/json")
        await request.gone.wait()

    odd.script = script
    answer = await call("PUT", f"{REST}x", body=bytes(32 * MEBIBYTE))
    assert (answer.code, json.loads(answer.body)) == (507, {"error": "Full."})
    odd.calls[0].gone.set()


@pytest.mark.parametrize("size", [1, 16 * MEBIBYTE])
async def test_a_service_that_dies_during_an_upload(call, odd: OddService, size: int) -> None:
    async def script(request: Call) -> None:
        await request.reader.readexactly(min(size, 65536))
        request.kill()

    odd.script = script
    answer = await call("PUT", f"{REST}x", body=bytes(size))
    assert (answer.code, json.loads(answer.body)["reason"]) == (503, "unreachable")


async def test_who_leaves_takes_the_request_along(
    jp_serverapp, http_server, jp_auth_header, jp_http_port, odd
) -> None:
    """Before there is an answer: a query that runs."""

    async def script(request: Call) -> None:
        await request.leave()

    odd.script = script
    _, writer = await raw(jp_http_port, jp_auth_header, f"GET /a%40b/{REST}contexts")
    await until(lambda: odd.calls)
    writer.close()
    await asyncio.wait_for(odd.calls[0].gone.wait(), 60)


async def test_who_leaves_during_the_answer_takes_the_rest_along(
    jp_serverapp, http_server, jp_auth_header, jp_http_port, odd
) -> None:
    async def script(request: Call) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n\r\n")
        while True:
            await request.send(b"a,b\n" * 4096)

    odd.script = script
    reader, writer = await raw(jp_http_port, jp_auth_header, f"GET /a%40b/{REST}contexts")
    await reader.readuntil(b"a,b")
    writer.close()
    await asyncio.wait_for(odd.calls[0].gone.wait(), 60)


async def test_who_leaves_during_an_upload_leaves_no_whole_one(
    jp_serverapp, http_server, jp_auth_header, jp_http_port, odd
) -> None:
    received = 0

    async def script(request: Call) -> None:
        nonlocal received
        while data := await request.reader.read(65536):
            received += len(data)
        request.gone.set()

    odd.script = script
    _, writer = await raw(jp_http_port, jp_auth_header, f"PUT /a%40b/{REST}x", "Content-Length: 1000000")
    writer.write(bytes(500_000))
    await until(lambda: received >= 500_000)
    writer.close()
    await asyncio.wait_for(odd.calls[0].gone.wait(), 60)
    assert received == 500_000


async def test_a_slow_reader_is_waited_for(jp_serverapp, http_server, jp_auth_header, jp_http_port, odd) -> None:
    """The service cannot send more than the client takes, and a few buffers on the way."""
    sent = 0

    async def script(request: Call) -> None:
        nonlocal sent
        await request.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 268435456\r\n\r\n")
        for _ in range(256):
            await request.send(bytes(MEBIBYTE))
            sent += MEBIBYTE

    odd.script = script
    reader, writer = await raw(jp_http_port, jp_auth_header, f"GET /a%40b/{REST}contexts")
    await reader.readuntil(b"\r\n\r\n")
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(1)
    assert sent < 64 * MEBIBYTE
    length = 0
    while length < 256 * MEBIBYTE:
        length += len(await reader.read(MEBIBYTE))
    assert length == 256 * MEBIBYTE
    writer.close()


async def test_a_slow_service_is_waited_for(jp_serverapp, http_server, jp_auth_header, jp_http_port, odd) -> None:
    """And so for an upload."""
    go_on = asyncio.Event()

    async def script(request: Call) -> None:
        await go_on.wait()
        await request.body()
        await request.answer(b"taken", content_type="text/plain")

    odd.script = script
    size = 256 * MEBIBYTE
    reader, writer = await raw(jp_http_port, jp_auth_header, f"PUT /a%40b/{REST}x", f"Content-Length: {size}")
    sent = 0

    async def send() -> None:
        nonlocal sent
        while sent < size:
            writer.write(bytes(MEBIBYTE))
            await writer.drain()
            sent += MEBIBYTE

    sending = asyncio.create_task(send())
    before = -1
    while sent != before:
        before = sent
        await asyncio.sleep(1)
    assert sent < 64 * MEBIBYTE
    go_on.set()
    await sending
    assert (await reader.readuntil(b"taken")).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize("upstream", [""])
async def test_a_service_whose_address_is_not_known(call, upstream: str) -> None:
    answer = await call("GET", f"{REST}contexts")
    value = json.loads(answer.body)
    assert (answer.code, value["reason"]) == (503, "settings")
    assert "c.CasJobsExtension.upstream" in value["message"]
    assert "CasJobsRESTUri" in value["message"]


@pytest.mark.parametrize("upstream", ["http://user:password@127.0.0.1/"])
async def test_an_address_that_cannot_be_used(call, upstream: str, caplog) -> None:
    answer = await call("GET", f"{REST}contexts")
    value = json.loads(answer.body)
    assert (answer.code, value["reason"]) == (503, "settings")
    assert "no user name" in value["message"]
    assert "password" not in answer.body.decode() + caplog.text.replace(upstream, "")


@pytest.fixture
def settings(tmp_path: Path, odd: OddService, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own `sciscript.json`, which names the odd service."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "sciserver" / "sciscript.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"CasJobsRESTUri": odd.url}))
    return path


@pytest.mark.parametrize("upstream", [""])
async def test_the_address_is_that_of_the_settings(settings: Path, call, odd: OddService, upstream: str) -> None:
    assert (await call("GET", f"{REST}contexts")).code == 200
    assert odd.calls[0].target == "/services/odd/contexts"


@pytest.fixture
def broken_settings(settings: Path) -> None:
    settings.write_text("{")


@pytest.mark.parametrize("upstream", [""])
async def test_settings_that_cannot_be_read(broken_settings: None, call, upstream: str) -> None:
    answer = await call("GET", f"{REST}contexts")
    value = json.loads(answer.body)
    assert (answer.code, value["reason"]) == (503, "settings")
    assert "sciscript.json" in value["message"]
