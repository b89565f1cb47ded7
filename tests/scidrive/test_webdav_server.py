"""The WebDAV door's HTTP server and bodies of requests, with applications of the tests' own."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from scidrive_service.webdav import Server, bodies
from scidrive_service.webdav.bodies import Body, Torn
from tests.support import wait_until


def _echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    data = b""
    while piece := environ["wsgi.input"].read():
        data += piece
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
    return [data]


@contextmanager
def _serving(application: Any = _echo, **options: Any) -> Iterator[Server]:
    server = Server(application, "127.0.0.1", 0, **({"threads": 4} | options))
    server.start()
    try:
        yield server
    finally:
        server.stop(1)


def _connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def test_many_requests_on_one_connection() -> None:
    with _serving() as server, requests.Session() as session:
        for number in range(50):
            answer = session.put(f"http://127.0.0.1:{server.port}/", data=b"x" * number, timeout=20)
            assert answer.content == b"x" * number


def test_requests_that_come_at_once_are_answered_in_turn() -> None:
    with _serving() as server, _connect(server) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\na" * 3)
        got = b""
        while got.count(b"HTTP/1.1 200") < 3 or not got.endswith(b"a"):
            got += client.recv(4096)


def test_old_clients() -> None:
    with _serving() as server, _connect(server) as client:
        client.sendall(b"PUT / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
        got = b""
        while data := client.recv(4096):
            got += data
    assert got.endswith(b"\r\n\r\nhi")


def test_what_breaks_in_an_answer_breaks_it_off() -> None:
    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"begin"
        raise Torn("gone")

    with _serving(application) as server, pytest.raises(requests.RequestException):
        requests.get(f"http://127.0.0.1:{server.port}/", timeout=20)


def test_more_clients_than_threads() -> None:
    with _serving(threads=2) as server:
        slow = [_connect(server) for _ in range(2)]
        for client in slow:
            client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
        answers: list[int] = []
        url = f"http://127.0.0.1:{server.port}/"
        others = [
            threading.Thread(target=lambda: answers.append(requests.put(url, timeout=20).status_code))
            for _ in range(5)
        ]
        for other in others:
            other.start()
        time.sleep(0.3)
        assert not answers
        for client in slow:
            client.sendall(b"b")
        for other in others:
            other.join(20)
        assert answers == [200] * 5
        for client in slow:
            client.close()


def test_the_end_waits_for_requests_and_not_for_ever() -> None:
    began = threading.Event()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began.set()
        time.sleep(0.5)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    server = Server(application, "127.0.0.1", 0, threads=2)
    server.start()
    answers: list[int] = []
    url = f"http://127.0.0.1:{server.port}/"
    asking = threading.Thread(target=lambda: answers.append(requests.get(url, timeout=20).status_code))
    asking.start()
    began.wait(10)
    server.stop(5)
    asking.join(10)
    assert answers == [200]
    server.stop()

    server = Server(_echo, "127.0.0.1", 0, threads=2)
    server.start()
    with _connect(server) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
        time.sleep(0.2)
        started = time.monotonic()
        server.stop(0.5)
        assert time.monotonic() - started < 5


def test_an_address_that_is_taken() -> None:
    with _serving() as server, pytest.raises(OSError, match="in use"):
        Server(_echo, "127.0.0.1", server.port).start()


def test_long_headers() -> None:
    with _serving() as server:
        answer = requests.get(f"http://127.0.0.1:{server.port}/", headers={"X": "y" * 100_000}, timeout=20)
        assert answer.status_code == 413


def test_who_sends_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scidrive_service.webdav.server.STALLED_SECONDS", 0.3)
    with _serving() as server, _connect(server) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
        assert b" 408 " in client.recv(4096)
        assert client.recv(4096) == b""


def test_who_sends_headers_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scidrive_service.webdav.server.HEADER_SECONDS", 0.3)
    with _serving() as server, _connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 20:
                client.sendall(b"X: y\r\n")
                time.sleep(0.05)
        assert time.monotonic() - started < 10


def test_who_sends_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "WINDOW", 0.3)
    with _serving() as server, _connect(server) as client:
        client.sendall(b"PUT / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 20:
                client.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() - started < 10


def test_connections_that_do_nothing_cost_no_thread() -> None:
    with _serving(threads=2) as server:
        idle = [_connect(server) for _ in range(50)]
        for client in idle:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
        wait_until(lambda: requests.get(f"http://127.0.0.1:{server.port}/", timeout=20).ok)
        for client in idle:
            client.close()


def _body(data: bytes, length: int | None) -> Body:
    return Body(io.BufferedReader(io.BytesIO(data)), length)  # type: ignore[arg-type]


def test_chunks() -> None:
    body = _body(b"3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext", None)
    assert body.read() == b"abc0123456789"
    assert body.is_complete
    assert body.read() == b""


@pytest.mark.parametrize(
    "data", [b"3\r\nab", b"3\r\nabcd\r\n0\r\n\r\n", b"", b"zz\r\n", b"-1\r\n", b"1" * 16 + b"\r\n"]
)
def test_torn_chunks(data: bytes) -> None:
    body = _body(data, None)
    with pytest.raises(Torn):
        list(iter(body.read, b""))


def test_torn_bodies() -> None:
    with pytest.raises(Torn):
        _body(b"abc", 4).read()
    body = _body(b"abc", 4)
    body.drop()
    assert not body.is_complete


def test_bodies_in_pieces() -> None:
    data = bytes(1_000_000)
    body = _body(data + b"next", len(data))
    sizes = []
    while piece := body.read():
        sizes.append(len(piece))
    assert sum(sizes) == len(data)
    assert max(sizes) <= bodies.BUFFER
