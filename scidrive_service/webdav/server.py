"""The HTTP server of the WebDAV door: cheroot in threads of the service's process."""

from __future__ import annotations

import contextlib
import functools
import logging
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cheroot.server import HTTPConnection
from cheroot.wsgi import Gateway_10
from cheroot.wsgi import Server as _Server

from scidrive_service.turns import Turns
from scidrive_service.webdav.bodies import SMALL, FileBody
from scidrive_service.webdav.exchange import Exchange
from scidrive_service.webdav.streams import make_file

LONGEST_HEADERS = 64 * 1024
"""Bytes of a request's line and headers."""

IDLE_SECONDS = 300
"""For which a connection on which nothing comes is kept; the proxy keeps some, and must not find them closed."""

STALLED_SECONDS = 60.0
"""After which a client that neither sends nor takes what it wanted is given up."""

HEADER_SECONDS = 30.0
"""For all headers of a request: until they are here nobody knows whose thread it is."""

LINGERING = 0.1
"""Seconds for which a thread waits for the next request of a client, if nobody else waits for the thread."""

CONNECTIONS = 1000
"""That are kept open while they do nothing."""

QUEUE = 1000
"""Requests that may wait for a thread; more are answered with 503."""

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger("scidrive.webdav")


class _Connection(HTTPConnection):
    RequestHandlerClass = Exchange

    def __init__(self, server: Any, client: socket.socket, makefile: Any = None) -> None:
        # The server's own time limit is the one for idle connections.
        client.settimeout(STALLED_SECONDS)
        super().__init__(server, client, make_file)
        self._ready = select.poll()
        self._ready.register(client, select.POLLIN)
        self._turn: threading.Lock | None = None
        server.open.add(self)

    def communicate(self) -> bool:
        """Answer a request, and those that follow at once: going by way of the server's loop costs more than they."""
        while self._answer():
            if not self.rfile.has_data() and (self.server.is_busy or not self._ready.poll(LINGERING * 1000)):
                return True
        return False

    def _answer(self) -> bool:
        """Answer the request that is coming; whether more may follow."""
        self.rfile.source.until = time.monotonic() + HEADER_SECONDS
        self._turn = self.server.turns.take()
        try:
            return bool(super().communicate())
        finally:
            self.end_turn()

    @contextlib.contextmanager
    def pausing(self) -> Iterator[None]:
        """Somebody else's turn, and then ours again."""
        self.end_turn()
        try:
            yield
        finally:
            self._turn = self.server.turns.take()

    def end_turn(self) -> None:
        """What follows may take long. May be called twice."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()

    def close(self) -> None:
        self.server.open.discard(self)
        super().close()


class _Gateway(Gateway_10):
    """Between the server and the application, for answers whose body is a `FileBody`."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """As cheroot's, but for what nobody asks for."""
        request, connection = self.req, self.req.conn
        environ = {
            "REMOTE_ADDR": connection.remote_addr or "",
            "REQUEST_METHOD": request.method.decode("latin-1"),
            "REQUEST_URI": request.uri.decode("latin-1"),
            "PATH_INFO": request.path.decode("latin-1"),
            "QUERY_STRING": request.qs.decode("latin-1"),
            "SCRIPT_NAME": "",
            "SERVER_NAME": request.server.server_name,
            "SERVER_PORT": str(request.server.bind_addr[1]),
            "SERVER_PROTOCOL": request.request_protocol.decode("latin-1"),
            "wsgi.errors": sys.stderr,
            "wsgi.input": request.rfile,
            "wsgi.url_scheme": "http",
        }
        for name, value in request.inheaders.items():
            environ[_variable(name)] = value.decode("latin-1")
        return environ

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """As the application is ours, it is believed that it does this once, and rightly."""
        self.req.status = status.encode("latin-1")
        self.req.outheaders = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]

    def respond(self) -> None:
        response = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            if isinstance(response, FileBody) and response.length > SMALL:
                self.req.conn.end_turn()
                self.req.ensure_headers_sent()
                response.send(self.req.conn.socket)
                return
            for chunk in response:
                if not chunk:
                    continue
                if self.req.sent_headers:
                    self.req.write(chunk)
                else:
                    self.req.send_headers(chunk)
        finally:
            if hasattr(response, "close"):
                response.close()
        self.req.ensure_headers_sent()


class Server:
    """Serves a WSGI application in threads of its own.

    Parameters
    ----------
    host, port
        Where it listens; port 0: a free one, see `port`.
    threads
        Requests that are worked on at the same time. A transfer takes a thread as long as it lasts.
    """

    def __init__(self, application: WSGIApplication, host: str, port: int, *, threads: int = 64) -> None:
        self._server = _HTTPServer(
            (host, port),
            application,
            numthreads=threads,
            max=threads,
            request_queue_size=128,
            timeout=IDLE_SECONDS,
            accepted_queue_size=QUEUE,
        )
        self._thread = threading.Thread(target=self._run, name="webdav", daemon=True)
        self._started = threading.Event()
        self._error: OSError | None = None

    def start(self) -> None:
        """Listen; returns when requests are answered.

        Raises
        ------
        OSError
            The address cannot be listened on.
        """
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.bind_addr[1])

    def stop(self, seconds: float = 5.0) -> None:
        """Take no more requests, and wait for those under way; what lasts longer is cut, and nothing of it appears.

        Blocks. May be called twice, and without `start`.
        """
        self._server.shutdown_timeout = seconds
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        # The threads made from here are daemons as this one is: a process that must end does not wait for them.
        try:
            self._server.prepare()
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        self._server.serve()


class _HTTPServer(_Server):
    ConnectionClass = _Connection
    max_request_header_size = LONGEST_HEADERS
    expiration_interval = 1.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gateway = _Gateway
        self.open: set[_Connection] = set()
        self.turns = Turns()

    @property
    def is_busy(self) -> bool:
        """Whether requests wait for a thread, or it is time to end."""
        return self.requests.qsize > 0 or not self.ready

    @property
    def can_add_keepalive_connection(self) -> bool:
        # cheroot's own counts below a lock that all threads want.
        return self.ready and len(self.open) <= CONNECTIONS

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        # cheroot writes to standard error, past our log and past what keeps tokens out of it.
        error = sys.exc_info()[1] if traceback else None
        if isinstance(error, OSError):
            log.debug("A connection ended: %s", error)
        else:
            log.log(level, "%s", msg, exc_info=error)


@functools.lru_cache(256)
def _variable(name: bytes) -> str:
    """Of WSGI's environment, for a header."""
    variable = name.decode("latin-1").upper().replace("-", "_")
    return variable if variable in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{variable}"
