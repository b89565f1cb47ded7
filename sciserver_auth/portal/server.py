"""The portal's HTTP server: our own routes on Tornado, and the identity provider's pages (WSGI) in threads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from tornado.escape import url_unescape
from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler
from tornado.wsgi import WSGIContainer

from sciserver_auth.portal import keystone, openapi
from sciserver_auth.portal.handlers import DROPPED, Handler, log
from sciserver_auth.portal.limits import LimitReachedError
from sciserver_common.deployment import Deployment
from sciserver_common.sciscript import sciscript
from sciserver_common.service_app import sockets

# Checking a password keeps a thread busy for a tenth of a second: a few in parallel, but not the whole machine.
THREADS = 8

# Seconds that running requests get to end when the portal is stopped.
GRACE = 2.0

# Seconds until a connection on which nothing comes is closed, and that a request's body may take.
IDLE_TIMEOUT = 300
BODY_TIMEOUT = 60

WSGIApp = Callable[..., Iterable[bytes]]
Answer = tuple[str, list[tuple[str, str]], bytes]

# Forms in which somebody may guess: sign-in, a forgotten password, and registration, which tells whose name is taken.
GUESSED = re.compile(rb"/+(login|auth|firstlogin|reset|reset-code|register|join)(/|$)")

TOO_MANY = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Too many attempts</title>
<h1>Too many attempts</h1>
<p>{text}</p>
<p>The limit holds for everybody at your network address. If it was not you, ask an administrator.</p>
</html>
"""


class Health(Handler):
    """Whether the portal answers; its database was opened before it listened."""

    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write({"status": "ok"})

    head = get


class ClientSettings(Handler):
    """``sciscript.json`` for the client libraries outside of containers (contract §0.1)."""

    def get(self) -> None:
        self.set_header("Cache-Control", "public, max-age=300")
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Disposition", 'inline; filename="sciscript.json"')
        self.finish(self.settings["client_settings"])

    head = get


class Description(Handler):
    """The routes, for programs."""

    def get(self) -> None:
        self.set_header("Cache-Control", "public, max-age=300")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(openapi.document(self.settings["public_url"]), indent=2))

    head = get


class NotFound(Handler):
    """Everything that is not there."""

    async def answer(self) -> None:
        # Not in `prepare`: Tornado closes a connection that is answered before the request was read, and the proxy
        # would send the next request into it.
        raise HTTPError(404)

    get = head = post = put = patch = delete = options = answer


class Pages(Handler):
    """The identity provider's pages.

    The whole call of the WSGI application, its answer read and closed, is one job of the thread pool: its database
    session belongs to the thread.
    """

    body_limit = 4 * 1024 * 1024

    async def answer(self) -> None:
        if not self.is_guess():
            await self.send(await self.ask())
            return
        try:
            async with self.settings["limits"].attempt(None, self.client_address) as attempt:
                answer = await self.ask()
                # Pages that refuse are shown with status 200.
                attempt.succeeded = answer[0].startswith("3")
        except LimitReachedError as error:
            self.set_status(429)
            self.set_header("Retry-After", str(error.seconds))
            self.set_header("Cache-Control", "no-store")
            self.set_header("Content-Security-Policy", "default-src 'none'")
            await self.finish(TOO_MANY.format(text=error))
        else:
            await self.send(answer)

    def is_guess(self) -> bool:
        """Whether the request may be an attempt to find a password, a code, or who has an account.

        Requests of htmx check one field while it is typed in; Canaille answers them before it looks at a password.
        """
        if self.request.method != "POST":
            return False
        # As the application will see it: a percent-encoded letter must not lead past the limits.
        path = url_unescape(self.request.path, encoding=None, plus=False).removeprefix(
            self.settings["prefix"].encode()
        )
        partial = self.request.headers.get("HX-Request") and not self.request.headers.get("HX-Boosted")
        return GUESSED.match(path) is not None and not partial

    async def ask(self) -> Answer:
        """The answer of the WSGI application."""
        container: WSGIContainer = self.settings["container"]
        body = self.body()
        # Any text can be in the client's header. `PrefixMiddleware` replaces it anyway.
        self.request.host = self.settings["public_host"]
        environ = container.environ(self.request)
        # A body in chunks has no length; applications read nothing then.
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["wsgi.input"] = BytesIO(body)
        environ["REMOTE_ADDR"] = self.client_address
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(container.executor, call, container.wsgi_application, environ)

    async def send(self, answer: Answer) -> None:
        status, headers, content = answer
        code, _, reason = status.partition(" ")
        self.set_status(int(code), reason)
        for name in ["Content-Type", "X-Content-Type-Options", *(name for name, _ in headers)]:
            self.clear_header(name)
        for name, value in headers:
            self.add_header(name, value)
        # Not b"": Tornado takes it for content, which 204 and 304 must not have.
        await self.finish(content or None)

    get = head = post = put = patch = delete = options = answer


def call(application: WSGIApp, environ: dict[str, Any]) -> Answer:
    """Status, headers and body that a WSGI application (PEP 3333) answers."""
    started: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        started[:] = [status, headers]
        return written.append

    chunks = application(environ, start_response)
    try:
        body = b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
    status, headers = started
    return status, headers, b"".join(written) + body


ROUTES: list[tuple[str, type[RequestHandler]]] = [
    ("/health", Health),
    ("/sciscript.json", ClientSettings),
    ("/openapi.json", Description),
    *keystone.ROUTES,
]
"""Paths below the portal's prefix and what answers there; everything else is the identity provider's."""


def make_application(
    deployment: Deployment, pages: WSGIApp | None, executor: Executor, **settings: Any
) -> Application:
    """The portal's routes.

    Parameters
    ----------
    pages
        WSGI application of the identity provider; None when the deployment uses another one.
    executor
        Threads for `pages`.
    settings
        For the handlers, in Tornado's way.
    """
    prefix = deployment.service_prefix("portal").rstrip("/")
    return Application(
        [
            *((_pattern(prefix + path), handler) for path, handler in ROUTES),
            (_pattern(prefix + "/keystone") + "(?:/.*)?", keystone.NoSuchRoute),
        ],
        default_handler_class=Pages if pages else NotFound,
        prefix=prefix,
        public_url=deployment.service_url("portal"),
        public_host=urlsplit(deployment.public_url).netloc,
        client_settings=json.dumps(sciscript(deployment.service_url), indent=2) + "\n",
        container=WSGIContainer(pages, executor) if pages else None,
        running=set(),
        log_function=lambda handler: None,
        **settings,
    )


def _pattern(path: str) -> str:
    """Regular expression for a path with ``{name}`` in it.

    Slashes may be doubled: clients put addresses together from pieces, and a redirect would lose the body (contract
    §0, "Double slashes").
    """
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)).replace("/", "/+") + "/*"


@contextlib.asynccontextmanager
async def serving(deployment: Deployment, pages: WSGIApp | None, **settings: Any) -> AsyncIterator[None]:
    """Answer requests while the context lasts; then let running ones end, for `GRACE` seconds at most.

    Raises
    ------
    ServiceError
        The port is taken.
    """
    listening = sockets(deployment, "portal")
    executor = ThreadPoolExecutor(THREADS, thread_name_prefix="portal")
    application = make_application(deployment, pages, executor, **settings)
    server = HTTPServer(
        application,
        max_body_size=DROPPED,
        body_timeout=BODY_TIMEOUT,
        idle_connection_timeout=IDLE_TIMEOUT,
    )
    server.add_sockets(listening)
    try:
        yield
    finally:
        server.stop()
        running = application.settings["running"]
        late = (await asyncio.wait(running, timeout=GRACE))[1] if running else ()
        await server.close_all_connections()
        executor.shutdown(wait=False, cancel_futures=True)
        if late:
            log.warning("Stopped before %d requests were answered", len(late))
            # The interpreter would wait for their threads, and one may wait for a mail server.
            os._exit(0)
