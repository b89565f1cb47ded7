"""A client for benchmarks of files over HTTP that costs as little as a client in Python can.

Requests are written out before the clock starts, and answers are only counted, so that what is measured is the server.
"""

from __future__ import annotations

import hashlib
import os
import re
import selectors
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter

PIECE = 1024 * 1024


class ClientError(Exception):
    """A server did not do what it should; the text says what it answered."""


def head(method: str, path: str, headers: Mapping[str, str], length: int | None = None) -> bytes:
    """A request's line and headers."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Answer:
    """An answer as it comes in."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.status = 0
        self.closes = False
        self._end: int | None = None
        self._is_chunked = False

    def add(self, data: bytes) -> bool:
        """Whether it is complete."""
        self.data += data
        if not self.status:
            cut = self.data.find(b"\r\n\r\n")
            if cut < 0:
                return False
            headers = bytes(self.data[:cut]).lower()
            self.status = int(headers[9:12])
            length = re.search(rb"\r\ncontent-length: *([0-9]+)", headers)
            self._is_chunked = b"\r\ntransfer-encoding: chunked" in headers
            self.closes = b"\r\nconnection: close" in headers
            self._end = cut + 4 + (int(length.group(1)) if length and self.status not in {204, 304} else 0)
        if self._is_chunked and self.status not in {204, 304}:
            return self.data.endswith(b"0\r\n\r\n")
        assert self._end is not None
        return len(self.data) >= self._end


def many(address: tuple[str, int], requests: Sequence[bytes], *, connections: int, body: int | None = None) -> float:
    """Seconds that requests take, as many at a time as there are connections.

    Parameters
    ----------
    body
        Bytes that the body of each answer must have.

    Raises
    ------
    ClientError
        An answer is no success.
    """
    waiting: Iterator[bytes] = iter(requests)
    selector = selectors.EpollSelector()
    started = perf_counter()
    running = 0
    for _ in range(connections):
        running += _next(selector, _connected(address), waiting)
    while running:
        for key, _ in selector.select():
            client: socket.socket = key.fileobj  # type: ignore[assignment]
            answer: _Answer = key.data
            data = client.recv(PIECE)
            if not data:
                raise ClientError(f"The connection was closed after {bytes(answer.data[:300])!r}")
            if not answer.add(data):
                continue
            if not 200 <= answer.status < 300 or (body is not None and not answer.data.endswith(b"x" * min(body, 8))):
                raise ClientError(bytes(answer.data[:500]).decode(errors="replace"))
            selector.unregister(client)
            if answer.closes:
                client.close()
                client = _connected(address)
            running += _next(selector, client, waiting) - 1
    return perf_counter() - started


def _connected(address: tuple[str, int]) -> socket.socket:
    client = socket.create_connection(address, 60)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _next(selector: selectors.BaseSelector, client: socket.socket, waiting: Iterator[bytes]) -> int:
    request = next(waiting, None)
    if request is None:
        client.close()
        return 0
    client.sendall(request)
    selector.register(client, selectors.EVENT_READ, _Answer())
    return 1


def upload(address: tuple[str, int], start: bytes, file: Path) -> float:
    """Seconds that the upload of a large file takes."""
    with _connected(address) as client, file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        started = perf_counter()
        client.sendall(start)
        client.settimeout(None)
        offset = 0
        while offset < size:
            offset += os.sendfile(client.fileno(), source.fileno(), offset, size - offset)
        answer = _Answer()
        while not answer.add(data := client.recv(PIECE)):
            if not data:
                raise ClientError(f"The connection was closed after {bytes(answer.data[:300])!r}")
        if not 200 <= answer.status < 300:
            raise ClientError(bytes(answer.data[:500]).decode(errors="replace"))
        return perf_counter() - started


def download(address: tuple[str, int], start: bytes, size: int, *, digest: str = "") -> float:
    """Seconds that the download of a large file takes; with a SHA-256 it is compared, which takes time of its own."""
    buffer = memoryview(bytearray(PIECE))
    content = hashlib.sha256()
    with _connected(address) as client:
        started = perf_counter()
        client.sendall(start)
        first = bytearray()
        while b"\r\n\r\n" not in first:
            first += client.recv(4096)
        if not first.startswith(b"HTTP/1.1 200"):
            raise ClientError(bytes(first[:500]).decode(errors="replace"))
        rest = first[first.index(b"\r\n\r\n") + 4 :]
        content.update(rest)
        got = len(rest)
        while got < size:
            count = client.recv_into(buffer)
            if not count:
                raise ClientError(f"The connection was closed after {got} bytes")
            if digest:
                content.update(buffer[:count])
            got += count
        seconds = perf_counter() - started
    if digest and content.hexdigest() != digest:
        raise ClientError("What came back is not what was sent.")
    return seconds
