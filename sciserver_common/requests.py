"""What requests to our services have in common: the body, parameters, errors as JSON, the end of the client."""

from __future__ import annotations

import asyncio
import http
import json
import re
import uuid
from typing import Any, ClassVar

from tornado import web
from tornado.iostream import StreamClosedError
from tornado.log import app_log

from sciserver_common.handlers import RETRY_AFTER, Refused, ServiceHandler

MEBIBYTE = 1024 * 1024

DROPPED = 64 * MEBIBYTE
"""A client that is still sending when we answer and close gets a reset connection instead of the answer. So what
nobody wants is read and dropped, up to this many bytes and for `DROPPING_SECONDS`."""

DROPPING_SECONDS = 20.0

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off", ""}


class Problem(web.HTTPError):
    """Answers with a status and a text for the client; `hint` says what to do, where the text does not."""

    def __init__(self, status: int, text: str, *, hint: str = "") -> None:
        # `%` in it would be formatted.
        super().__init__(status, text.replace("%", "%%"))
        self.text = text
        self.hint = hint


def headers_of(error: BaseException | None, status: int) -> list[tuple[str, str]]:
    """Headers that belong to an error."""
    headers = list(error.headers) if isinstance(error, Refused) else []
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    return headers


@web.stream_request_body
class RequestHandler(ServiceHandler):
    """Base of handlers that get the body in pieces, and answer JSON.

    Attributes
    ----------
    body_limit
        Largest body in bytes.
    ends_with_client
        The work is for the answer only: it is given up when the client has gone.
    expected_errors
        Exceptions that say something to the client: `describe` makes the answer, and the log has no traceback.
    """

    body_limit: ClassVar[int] = 4 * MEBIBYTE
    ends_with_client: ClassVar[bool] = False
    expected_errors: ClassVar[tuple[type[Exception], ...]] = ()

    def initialize(self, **settings: Any) -> None:
        self._chunks: list[bytes] = []
        self._length = 0
        self._dropping = False
        self._gone = False
        self._work: asyncio.Task[Any] | None = None
        self._later: asyncio.Task[None] | None = None
        length = self.request.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > DROPPED:
            # Tornado would close the connection without a word; `prepared` refuses with one.
            self.request.connection.set_max_body_size(int(length))  # type: ignore[union-attr]

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")

    def compute_etag(self) -> str | None:
        """None: answers are of the moment."""
        return None

    async def prepared(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            running: set[asyncio.Task[Any]] = self.settings["running"]
            running.add(task)
            task.add_done_callback(running.discard)
        if self.ends_with_client:
            self._work = task
        if int(self.request.headers.get("Content-Length") or 0) > self.body_limit:
            raise self.too_long()

    # -- the body

    def data_received(self, chunk: bytes) -> Any:
        self._length += len(chunk)
        if self._dropping or self._length > self.body_limit:
            self._chunks.clear()
        else:
            self._chunks.append(chunk)

    def too_long(self) -> Problem:
        return Problem(413, f"The request is larger than {self.body_limit // MEBIBYTE} MiB.")

    def body(self) -> bytes:
        """The request's body.

        Raises
        ------
        Problem
            413: it is longer than `body_limit`.
        """
        if self._length > self.body_limit:
            raise self.too_long()
        return b"".join(self._chunks)

    # -- parameters

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """A part of the address as text."""
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise Problem(400, "The address is not UTF-8 text.") from error

    def parameter(self, name: str) -> str | None:
        """The last value of a parameter of the address, its name in any case; None if it is not there."""
        wanted = name.lower()
        found = [values[-1] for key, values in self.request.query_arguments.items() if key.lower() == wanted]
        if not found:
            return None
        try:
            return found[-1].decode()
        except UnicodeDecodeError as error:
            raise Problem(400, f"The parameter {name} is not UTF-8 text.") from error

    def number(self, name: str, default: int, *, lowest: int, highest: int) -> int:
        """A parameter that is a whole number; what is too large counts as `highest`.

        Raises
        ------
        Problem
            400: it is no such number.
        """
        text = (self.parameter(name) or "").strip()
        if not text:
            return default
        if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.0*)?", text) or (value := int(float(text))) < lowest:
            raise Problem(400, f"The parameter {name} is not a whole number from {lowest}.")
        return min(value, highest)

    @staticmethod
    def truth(name: str, value: Any) -> bool:
        """Yes or no, as JSON or as Python and others write it.

        Raises
        ------
        Problem
            400: it is neither.
        """
        if value is None or isinstance(value, bool):
            return bool(value)
        text = str(value).strip().lower()
        if text in _TRUE | _FALSE:
            return text in _TRUE
        raise Problem(400, f"{name} is neither true nor false.")

    # -- who asks

    @property
    def user(self) -> dict[str, Any]:
        """The hub's model of who is calling."""
        if self.current_user is None:
            raise web.HTTPError(401)
        return self.current_user

    @property
    def groups(self) -> list[str]:
        return list(self.user.get("groups") or ())

    def has_scope(self, scope: str) -> bool:
        """Whether the caller's token may do this."""
        return bool(self.hub_auth.check_scopes({scope}, self.user))

    # -- answers

    def answer(self, value: Any, status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        try:
            body = text.encode()
        except UnicodeEncodeError:
            # Names of files need not be text: JSON can say even that, escaped.
            body = json.dumps(value, separators=(",", ":")).encode()
        self.finish(body)

    def describe(self, error: BaseException | None, status: int) -> dict[str, Any]:
        """The error as JSON."""
        return {"status": "error", "error": error_text(error, status)}

    def status_of(self, error: Exception) -> int:
        """HTTP status of one of the `expected_errors`."""
        raise NotImplementedError

    def error_headers(self, error: BaseException | None, status: int) -> list[tuple[str, str]]:
        """Headers of the answer to an error."""
        return headers_of(error, status)

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Errors as JSON; see `describe`."""
        error = (keywords.get("exc_info") or (None, None, None))[1]
        for name, value in self.error_headers(error, status_code):
            self.add_header(name, value)
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.methods()))
            error = Problem(405, f"This address answers {', '.join(self.methods())} only.")
        if not self.request._body_future.done():
            # Tornado closes the connection then, without saying so; the proxy would send its next request into it.
            self.set_header("Connection", "close")
        self.answer(self.describe(error, status_code), status_code)

    @property
    def request_id(self) -> str:
        """By which an operator finds in the log what a user reports."""
        if not hasattr(self, "_request_id"):
            self._request_id = uuid.uuid4().hex[:16]
        return self._request_id

    def _handle_request_exception(self, error: BaseException) -> None:
        if isinstance(error, StreamClosedError):
            self._gone = True
            return
        if isinstance(error, self.expected_errors) and not self._headers_written:
            status = self.status_of(error)
            if status == 500:
                app_log.error("%s: %s [%s]", self._request_summary(), error, self.request_id)
            self.send_error(status, exc_info=(type(error), error, error.__traceback__))
            return
        super()._handle_request_exception(error)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, (web.HTTPError, *self.expected_errors)):
            app_log.error("%s failed [%s]", self._request_summary(), self.request_id, exc_info=(typ, value, tb))

    def send_error(self, status_code: int = 500, **keywords: Any) -> None:
        """Answer with an error once the client has stopped sending; break off if the answer has begun already."""
        if self._gone or self._finished:
            return
        if self._headers_written:
            self.break_off()
        elif self.request._body_future.done() or self.request.headers.get("Expect") == "100-continue":
            super().send_error(status_code, **keywords)
        else:
            self._dropping = True
            self._later = asyncio.create_task(self._send_error_later(status_code, keywords))

    async def _send_error_later(self, status_code: int, keywords: dict[str, Any]) -> None:
        before, deadline = self._length, asyncio.get_running_loop().time() + DROPPING_SECONDS
        while not self.request._body_future.done():
            if self._length - before > DROPPED or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.wait([self.request._body_future], timeout=0.2)
        if not self._gone and not self._finished:
            super().send_error(status_code, **keywords)

    def break_off(self) -> None:
        """Close the connection without the last chunk, so that the client notices that the answer is not whole."""
        app_log.warning("%s: the answer was broken off [%s]", self._request_summary(), self.request_id)
        self._auto_finish = False
        self._gone = True
        self.request.connection.close()  # type: ignore[union-attr]

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._gone = True
        if self._work is not None:
            self._work.cancel()

    @classmethod
    def methods(cls) -> list[str]:
        """HTTP methods that this handler answers."""
        return [
            method
            for method in cls.SUPPORTED_METHODS
            if getattr(cls, method.lower()) is not getattr(web.RequestHandler, method.lower())
        ]


def error_text(error: BaseException | None, status: int) -> str:
    """What an error says to the client."""
    if isinstance(error, Problem):
        return f"{error.text} {error.hint}".rstrip()
    if isinstance(error, web.HTTPError) and status != http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return error.get_message() or f"{http.HTTPStatus(status).phrase}."
    return f"{http.HTTPStatus(status).phrase}."
