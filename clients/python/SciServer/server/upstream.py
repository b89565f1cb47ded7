"""Requests to one service, with bodies that pass through piece by piece.

Tornado's own HTTP client cannot be stopped once a request is under way, and does not wait for who takes the body. So
this is the layer below it, which Tornado's server and client are made of.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tornado import httputil, iostream
from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.netutil import DefaultLoopResolver
from tornado.tcpclient import TCPClient

from SciServer.core import tokens
from SciServer.core.errors import NotSignedInError, ServiceUnavailableError, TransferError
from SciServer.server.addresses import Address

NO_LIMIT = 2**62

PIECE = 256 * 1024
"""Bytes of a body in memory at a time, at most; of either direction."""

EARLY = 1024 * 1024
"""Bytes of an answer that comes before the request's body is at its end. They are kept, since a service that refuses
an upload may close the connection, and what was not read then is lost."""

_TOKEN = re.compile(r"[!-~]{1,4096}")

_HAS_BODY = frozenset({"POST", "PUT", "PATCH"})

Sink = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """A whole answer, in memory."""

    status: int
    headers: httputil.HTTPHeaders
    body: bytes


class Upstream:
    """A service.

    Parameters
    ----------
    address
        Where it is.
    token_path
        File with the token, for `SciServer.core.tokens.find`.
    connect_timeout
        Seconds until a connection must be there.
    """

    def __init__(self, address: Address, token_path: str, connect_timeout: float) -> None:
        self.address = address
        self._token_path = token_path
        self._connect_timeout = connect_timeout
        self._tcp = TCPClient(_Resolver())
        self._tls: ssl.SSLContext | None = None

    async def open(
        self,
        method: str,
        target: str,
        headers: httputil.HTTPHeaders | None = None,
        *,
        length: int | None = None,
        client: str = "",
    ) -> Exchange:
        """Begin a request.

        Parameters
        ----------
        target
            Of `Address.target`.
        length
            Bytes of the body; None: not known, or there is none.
        client
            Network address for which this is done.

        Raises
        ------
        NotSignedInError
            There is no token.
        ServiceUnavailableError
            Nothing listens there, or it takes too long.
        """
        sent = headers.copy() if headers is not None else httputil.HTTPHeaders()
        sent["Host"] = self.address.netloc
        sent["Connection"] = "close"
        sent["X-Auth-Token"] = self._token()
        if client:
            # Services name their public addresses in answers to browsers, and internal ones to containers.
            sent["X-Forwarded-For"] = client
        if length is not None:
            sent["Content-Length"] = str(length)
        stream = await self._connect()
        return Exchange(stream, httputil.RequestStartLine(method, target, "HTTP/1.1"), sent)

    async def fetch(
        self, method: str, target: str, headers: httputil.HTTPHeaders | None = None, body: bytes | None = None
    ) -> Answer:
        """A whole request. Errors are answers, too.

        Raises
        ------
        NotSignedInError, ServiceUnavailableError, TransferError
        """
        length = len(body or b"") if method in _HAS_BODY else None
        exchange = await self.open(method, target, headers, length=length)
        try:
            if body:
                await exchange.write(body)
            exchange.end()
            status, answered = await exchange.head()
            pieces: list[bytes] = []

            async def keep(piece: bytes) -> None:
                pieces.append(piece)

            await exchange.relay(keep)
            return Answer(status, answered, b"".join(pieces))
        finally:
            exchange.close()

    def _token(self) -> str:
        """The token, read again each time: a few bytes of the local disk, for which a thread would take longer."""
        token = tokens.find(self._token_path)
        if token is None:
            raise NotSignedInError(
                f"There is no token: neither {self._token_path} nor ${tokens.ENVIRONMENT} has one. Make one at the "
                "hub's page Token and give it to this server."
            )
        if not _TOKEN.fullmatch(token.reveal()):
            raise NotSignedInError(f"What is in {self._token_path} or ${tokens.ENVIRONMENT} is not a token.")
        return token.reveal()

    async def _connect(self) -> iostream.IOStream:
        address = self.address
        if address.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            stream = await self._tcp.connect(
                address.host, address.port, ssl_options=self._tls, timeout=self._connect_timeout
            )
        except ssl.SSLError as error:
            text = f"The certificate of {address.netloc} is not trusted: {error.reason}."
            raise ServiceUnavailableError(text) from error
        except (OSError, TimeoutError, iostream.StreamClosedError) as error:
            raise ServiceUnavailableError(f"{address.netloc} cannot be reached: {error or 'no answer'}.") from error
        stream.set_nodelay(True)
        # Tornado reads 64 KiB at a time: a third more processor time for a large answer.
        stream.read_chunk_size = PIECE
        _keep_alive(stream.socket)
        return stream


class Exchange(httputil.HTTPMessageDelegate):
    """One request and its answer. `close` cancels it, and the service notices.

    Use it in this order: `write`, as often as need be, and `end`; `head`; `relay`; `close`.
    """

    def __init__(
        self, stream: iostream.IOStream, line: httputil.RequestStartLine, headers: httputil.HTTPHeaders
    ) -> None:
        loop = asyncio.get_running_loop()
        self._head: asyncio.Future[tuple[int, httputil.HTTPHeaders]] = loop.create_future()
        self._whole: asyncio.Future[None] = loop.create_future()
        self._early: deque[bytes] = deque()
        self._early_bytes = 0
        self._wanted = asyncio.Event()
        self._sink: Sink | None = None
        self._takes_more = True
        parameters = HTTP1ConnectionParameters(no_keep_alive=True, chunk_size=PIECE, max_body_size=NO_LIMIT)
        self._connection = HTTP1Connection(stream, True, parameters)
        self._connection.write_headers(line, headers)
        self._reading = asyncio.create_task(self._read())

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body; waits as long as the service is slower than the client.

        A service that has answered already, or has gone, gets no more: `head` tells.
        """
        if not self._takes_more or self._head.done():
            self._takes_more = False
            return
        writing = self._connection.write(piece)
        if not writing.done():
            either: list[asyncio.Future[Any]] = [writing, self._head]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        self._takes_more = writing.done() and writing.exception() is None

    def end(self) -> None:
        """The body is at its end."""
        if self._takes_more:
            self._connection.finish()

    async def head(self) -> tuple[int, httputil.HTTPHeaders]:
        """Status and headers of the answer.

        Raises
        ------
        ServiceUnavailableError
            The service has gone without one.
        """
        return await asyncio.shield(self._head)

    async def relay(self, sink: Sink) -> None:
        """Give the body of the answer to `sink`, piece by piece; the next one is read when it is done with one.

        Raises
        ------
        TransferError
            The service has gone in the middle of it.
        """
        while self._early:
            await sink(self._early.popleft())
        self._sink = sink
        self._wanted.set()
        await asyncio.shield(self._whole)

    def close(self) -> None:
        """End it, whatever state it is in."""
        self._wanted.set()
        self._connection.close()

    async def _read(self) -> None:
        try:
            with contextlib.suppress(iostream.StreamClosedError):
                await self._connection.read_response(self)
        finally:
            self.on_connection_close()

    # -- what Tornado tells

    def headers_received(self, start_line: Any, headers: httputil.HTTPHeaders) -> None:
        if start_line.code >= 200 and not self._head.done():
            self._head.set_result((start_line.code, headers))

    async def data_received(self, chunk: bytes) -> None:
        if self._sink is None and self._early_bytes < EARLY:
            self._early_bytes += len(chunk)
            self._early.append(chunk)
            return
        await self._wanted.wait()
        if self._sink is not None:
            try:
                await self._sink(chunk)
            except iostream.StreamClosedError:
                # The client has gone.
                self.close()

    def finish(self) -> None:
        if not self._whole.done():
            self._whole.set_result(None)

    def on_connection_close(self) -> None:
        _fail(self._head, ServiceUnavailableError("The service has closed the connection without an answer."))
        _fail(self._whole, TransferError("The service's answer has ended before its time."))


class _Resolver(DefaultLoopResolver):
    """As the base; but for an address, which is what containers have, there is nothing to ask in a thread."""

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            return await super().resolve(host, port, family)
        return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # It may be that nobody asks.
        future.exception()


def _keep_alive(connection: socket.socket) -> None:
    """Have the system find out, within two minutes, that the other machine has gone; answers may take any time."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
