"""The handler that passes requests of the page in the browser on to a service, in the name of the server's owner."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web
from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError

from SciServer.server import headers
from SciServer.server.addresses import AddressError
from SciServer.server.problems import Problem, error_body, problem_of
from SciServer.server.service import Service
from SciServer.server.upstream import NO_LIMIT, Exchange

DROPPED = 64 * 1024 * 1024
"""Bytes of an upload that cannot go anywhere which are read and dropped before its client is told: one that is still
sending gets a reset connection instead of the answer."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


async def _allowed(handler: web.RequestHandler) -> None:
    """What remains to be decided when a request is authenticated and authorized: nothing."""


class ServiceHandler(ExtensionHandlerMixin, APIHandler):
    """Base of the extensions' handlers: who may call them, and errors that say what to do.

    Subclasses set `auth_resource`, as Jupyter's authorizers know them.
    """

    service: Service

    def initialize(self, name: str, service: Service) -> None:
        super().initialize(name)
        self.service = service

    @property
    def content_security_policy(self) -> str:
        return f"{super().content_security_policy}; {headers.SANDBOX}"

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse who may not call this, before the request's body is taken.

        Jupyter asks for no proof of origin of requests that only read. Here they read somebody's data in another
        place, so it is asked for, as with files.
        """
        await super().prepare()
        if self.request.method == "OPTIONS" or self._finished:
            return
        # Decorated anew each time, because `authorized` keeps to the method that it has seen first.
        allowed: Any = web.authenticated(authorized(_allowed))(self)
        await allowed
        self.check_xsrf_cookie()

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Errors as JSON, for Jupyter's pages (``message``) and for those of the services (``error``)."""
        error = (keywords.get("exc_info") or (None, None, None))[1]
        self.finish(json.dumps(error_body(error, status_code)))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, Problem | StreamClosedError):
            super().log_exception(typ, value, tb)


@web.stream_request_body
class ProxyHandler(ServiceHandler):
    """Passes on what is below one path to the service."""

    SUPPORTED_METHODS = (*METHODS, "OPTIONS")

    def initialize(self, name: str, service: Service, route: str) -> None:  # type: ignore[override]
        super().initialize(name, service)
        self._route = f"/{route}"
        self._exchange: Exchange | None = None
        self._failure: Problem | None = None
        self._has_body = False
        self._dropped = 0
        self._gone = False

    def compute_etag(self) -> str | None:
        """None: the service has its own."""
        return None

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """As the base's."""
        if not self.request._body_future.done():
            # Tornado closes the connection then without saying so: the hub's proxy would use it for its next request.
            self.set_header("Connection", "close")
        super().write_error(status_code, **keywords)

    # -- there

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        if self.request.method == "OPTIONS" or self._finished:
            return
        self.request.connection.set_max_body_size(NO_LIMIT)  # type: ignore[union-attr]
        try:
            self._exchange = await self._begin()
        except Problem as problem:
            self._failure = problem

    async def _begin(self) -> Exchange:
        request = self.request
        try:
            # Not tornado's decoded arguments: names of files need not be text.
            path = request.path.partition(self._route)[2]
            target = self.service.address.target(path, request.query)
        except AddressError as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error), "address") from error
        length = request.headers.get("Content-Length")
        if length is not None and not re.fullmatch("[0-9]{1,18}", length):
            raise Problem(HTTPStatus.BAD_REQUEST, "Content-Length is not a number.", "address")
        self._has_body = request.method not in {"GET", "HEAD"} and (length is not None or request.method != "DELETE")
        with problem_of(self.service.title):
            return await self.service.upstream.open(
                str(request.method),
                target,
                headers.to_service(request.headers),
                length=int(length) if length is not None and self._has_body else None,
                client=request.remote_ip or "",
            )

    async def data_received(self, chunk: bytes) -> None:
        """Pass on a piece of the body; the next one is read when the service has taken it."""
        if self._exchange is None:
            self._dropped += len(chunk)
            if self._dropped > DROPPED and not self._finished:
                self._handle_request_exception(self._failure or web.HTTPError(HTTPStatus.BAD_REQUEST))
        elif self._has_body:
            await self._exchange.write(chunk)

    # -- and back

    async def _relay(self) -> None:
        if self._exchange is None:
            raise self._failure or web.HTTPError(HTTPStatus.BAD_REQUEST)
        exchange = self._exchange
        exchange.end()
        try:
            with problem_of(self.service.title):
                status, received = await exchange.head()
                if status == HTTPStatus.UNAUTHORIZED:
                    raise self.service.refused()
                self._answer(status, received)
                await exchange.relay(self._send)
                if not self._headers_written:
                    await self.flush()
                await self.finish()
        except (Problem, StreamClosedError):
            # An error page would look like the rest of what has come so far.
            if self._headers_written and not self._finished:
                self._break_off()
            elif not self._gone:
                raise
        finally:
            exchange.close()

    def _answer(self, status: int, received: HTTPHeaders) -> None:
        self.set_status(status)
        chosen = headers.to_page(received)
        location = self.service.address.below(received.get("Location", ""))
        if location is not None and "Location" in received:
            base = self.request.path.partition(self._route)[0]
            chosen["Location"] = f"{base}{self._route}/{location}"
        elif status in {301, 302, 303, 307, 308}:
            raise Problem(HTTPStatus.BAD_GATEWAY, f"{self.service.title} leads to another place.", "redirect")
        # Jupyter's own for its answers; what protects stays.
        self.clear_header("Content-Type")
        for name, value in chosen.get_all():
            if name.lower() == "content-length" and status == HTTPStatus.NO_CONTENT:
                continue
            if name == "Vary":
                self.add_header(name, value)
            else:
                self.set_header(name, value)

    async def _send(self, piece: bytes) -> None:
        self.write(piece)
        await self.flush()

    def finish(self, *arguments: Any, **keywords: Any) -> Any:
        """As usual; the type of what the service has sent is its own."""
        if self._headers_written:
            return super().finish(*arguments, set_content_type="application/octet-stream", **keywords)
        return super().finish(*arguments, **keywords)

    def _break_off(self) -> None:
        self.log.warning("%s has broken off its answer; so has this server", self.service.title)
        self._auto_finish = False
        self.request.connection.close()  # type: ignore[union-attr]

    def on_connection_close(self) -> None:
        """The client has gone: so has its request to the service."""
        super().on_connection_close()
        self._gone = True
        if self._exchange is not None:
            self._exchange.close()

    def on_finish(self) -> None:
        if self._exchange is not None:
            self._exchange.close()

    # -- each with a decorator of its own, which remembers the method

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self._relay()

    @web.authenticated
    @authorized
    async def head(self) -> None:
        await self._relay()

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self._relay()

    @web.authenticated
    @authorized
    async def put(self) -> None:
        await self._relay()

    @web.authenticated
    @authorized
    async def patch(self) -> None:
        await self._relay()

    @web.authenticated
    @authorized
    async def delete(self) -> None:
        await self._relay()
