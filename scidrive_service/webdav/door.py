"""The WebDAV door: a WSGI application over the same files as the REST interfaces.

What clients need beside transfers, namely locks, properties that they set themselves, and the header ``If``, is
wsgidav's. Transfers, listings and changes of files are ours: a file appears whole or not at all, listings of any
length need little memory, and the kernel sends what is read.
"""

from __future__ import annotations

import functools
import http
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from wsgidav.dav_error import DAVError

from scidrive_service.errors import FileError, Kind
from scidrive_service.webdav import changes, properties, transfers
from scidrive_service.webdav.access import CHALLENGE, Refused
from scidrive_service.webdav.bodies import FileBody, Torn
from scidrive_service.webdav.locks import Locks
from scidrive_service.webdav.places import Places
from scidrive_service.webdav.requests import Answer, Request, path_of
from scidrive_service.webdav.resources import Resources

if TYPE_CHECKING:
    from scidrive_service.files import Files, Person

METHODS = (
    "OPTIONS",
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
)

SAFE = [
    # What is sent is people's own, and must never run as a page of ours.
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "private, no-cache"),
]
"""Headers of every answer."""

_STATUS = {int(status): f"{int(status)} {status.phrase}" for status in http.HTTPStatus}

RETRY_AFTER = 2

log = logging.getLogger("scidrive.webdav")

PersonOf = Callable[[dict[str, Any]], "Person | None"]


class Door:
    """The application.

    Parameters
    ----------
    person_of
        Says whose request it is from WSGI's environment; None: nobody's. It may raise `Refused`.
    prefix
        Path of the door's address, e.g. ``/services/scidrive/dav``.
    hosts
        Host names, with ports, by which the door is known beside the one in the request: for the header Destination.
    per_person
        Requests of one person that may be under way at the same time.
    """

    def __init__(
        self, files: Files, person_of: PersonOf, prefix: str, *, hosts: Iterable[str] = (), per_person: int = 48
    ) -> None:
        self._files = files
        self._person_of = person_of
        self._prefix = "/" + prefix.strip("/")
        self._hosts = {host.lower() for host in hosts}
        self._places = Places(files, self._prefix)
        self._locks = Locks(self._places)
        self._resources = Resources(self._places, self._locks)
        self._per_person = per_person
        self._busy: Counter[str] = Counter()
        self._counting = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        end, started = _End(), time.monotonic()
        try:
            answer = self._answer(environ, end)
        except BaseException as error:
            end.close()
            answer = self._problem(error, environ)
        _note(environ, answer.status, time.monotonic() - started)
        status = _STATUS[answer.status]
        headers = [*answer.headers, *SAFE]
        if isinstance(answer.body, bytes) and not any(name == "Content-Length" for name, _ in headers):
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(status, headers)
        if environ["REQUEST_METHOD"] == "HEAD" or isinstance(answer.body, bytes):
            end.close()
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]  # type: ignore[list-item]
        if isinstance(answer.body, FileBody):
            answer.body.then(end.close)
            return answer.body
        return _Then(answer.body, end.close)

    def _answer(self, environ: dict[str, Any], end: _End) -> Answer:
        method = environ["REQUEST_METHOD"]
        if method not in METHODS:
            raise Refused(405, "WebDAV has no such method.", ("Allow", ", ".join(METHODS)))
        address = str(environ["REQUEST_URI"]).partition("?")[0]
        if not address.startswith("/"):
            address = str(environ["PATH_INFO"])
        person = self._person_of(environ)
        if person is None:
            text = "Sign in with your name and a token of yours as the password."
            raise Refused(401, text, ("WWW-Authenticate", CHALLENGE))
        self._begin(person.name)
        end.function = functools.partial(self._end, person.name)
        request = Request(environ, person, address, self._places.find(person, path_of(address, self._prefix)))
        return self._dispatch(request)

    def _dispatch(self, request: Request) -> Answer:
        match request.method:
            case "GET" | "HEAD":
                return transfers.get(request)
            case "PUT":
                return transfers.put(request, self._locks)
            case "PROPFIND":
                return properties.find(request, self._places, self._locks)
            case "MKCOL":
                return changes.make(request, self._locks)
            case "DELETE":
                return changes.delete(request, self._locks)
            case "COPY" | "MOVE":
                hosts = self._hosts | {(request.header("Host") or "").lower()}
                return changes.copy_or_move(request, self._locks, self._places, hosts)
            case "OPTIONS":
                headers = [("DAV", "1, 2"), ("MS-Author-Via", "DAV"), ("Allow", ", ".join(METHODS))]
                return Answer(200, headers=[*headers, ("Content-Length", "0")])
        return self._resources.answer(request)

    def _begin(self, name: str) -> None:
        """Nobody takes all threads."""
        with self._counting:
            if self._busy[name] >= self._per_person:
                text = f"You have {self._per_person} requests under way. Try again when some have ended."
                raise Refused(503, text, ("Retry-After", str(RETRY_AFTER)))
            self._busy[name] += 1

    def _end(self, name: str) -> None:
        with self._counting:
            self._busy[name] -= 1
            if not self._busy[name]:
                del self._busy[name]

    # -- errors

    def _problem(self, error: BaseException, environ: dict[str, Any]) -> Answer:
        match error:
            case Refused():
                return Answer.text(error.status, str(error), *error.headers)
            case FileError():
                headers = [("Retry-After", str(RETRY_AFTER))] if error.kind == Kind.UNAVAILABLE else []
                return Answer.text(error.status, error.message, *headers)
            case DAVError():
                return self._wsgidavs(error)
            case Torn():
                return Answer.text(400, "The body is not what was announced. Nothing was stored.")
            case TimeoutError():
                return Answer.text(408, "The body came too slowly. Nothing was stored.")
            case Exception():
                where = f"{environ.get('REQUEST_METHOD')} {environ.get('REQUEST_URI')!r}"
                log.error("%s failed", where, exc_info=error)
                return Answer.text(500, "Something is wrong here. The operators find more in the log.")
        raise error

    def _wsgidavs(self, error: DAVError) -> Answer:
        condition = error.err_condition
        if condition is not None:
            # Its addresses are those by which locks are kept.
            for number, key in enumerate(condition.hrefs):
                path = self._places.path_of(key)
                condition.hrefs[number] = self._places.href(path, is_folder=False)
            return Answer.xml(error.value, condition.as_string().encode())
        if error.value in {204, 304}:
            return Answer(error.value)
        if error.value == 500:
            log.error("wsgidav failed", exc_info=error.src_exception)
            return Answer.text(500, "Something is wrong here. The operators find more in the log.")
        text = error.context_info if isinstance(error.context_info, str) else ""
        return Answer.text(error.value, text or http.HTTPStatus(error.value).phrase)


def _note(environ: dict[str, Any], status: int, seconds: float) -> None:
    """A line in the log, as the REST interfaces have it; until an answer begins."""
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    if log.isEnabledFor(level):
        address = ascii(environ["REQUEST_URI"].partition("?")[0])[1:-1]
        where = f"{environ['REQUEST_METHOD']} {address} ({environ['REMOTE_ADDR']})"
        log.log(level, "%d %s %.2fms", status, where, seconds * 1000)


class _End:
    """What is to be done, once, when the request has ended."""

    function: Callable[[], None] | None = None

    def close(self) -> None:
        function, self.function = self.function, None
        if function is not None:
            function()


class _Then:
    """A body that is written while it is sent, and what is to be done at its end."""

    def __init__(self, body: Iterable[bytes], end: Callable[[], None]) -> None:
        self._body = body
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        self._end()
