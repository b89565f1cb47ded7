"""A service that misbehaves as it is told, for faults that the real ones do not have on demand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Script = Callable[["Call"], Awaitable[None]]


@dataclass
class Call:
    """A request, and the connection that it came on."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def header(self, name: str) -> list[str]:
        """Values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    async def body(self) -> bytes:
        """All of it; its length must be known."""
        [length] = self.header("Content-Length") or ["0"]
        return await self.reader.readexactly(int(length))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
        """A whole answer. Names of headers have ``_`` for ``-``."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + (b"" if self.method == "HEAD" else body))

    async def leave(self) -> None:
        """Wait until the other side has closed the connection."""
        while await self.reader.read(65536):
            pass
        self.gone.set()

    def kill(self) -> None:
        """Reset the connection, as when the process is killed."""
        self.writer.transport.abort()


async def plain(call: Call) -> None:
    """Answers with nothing."""
    await call.answer()


class OddService:
    """Listens on a port of the loopback.

    Attributes
    ----------
    script
        What it does with a request.
    calls
        The requests so far.
    """

    def __init__(self) -> None:
        self.script: Script = plain
        self.calls: list[Call] = []
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/odd"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen; with TLS, if there is a certificate for it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=65536, ssl=tls)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for call in self.calls:
            call.kill()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        call = Call(method, target, headers, reader, writer)
        self.calls.append(call)
        try:
            await self.script(call)
        except (ConnectionError, asyncio.IncompleteReadError):
            call.gone.set()
        finally:
            writer.close()
