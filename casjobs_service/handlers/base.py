"""What all requests have in common: who asks, the body, the context in the address, errors, the end of the client."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from typing import Any, ClassVar

from tornado import web
from tornado.iostream import StreamClosedError
from tornado.log import app_log

from casjobs_service import negotiate
from casjobs_service.catalog import MYDB, MYSCRATCH, OWN, Catalog
from casjobs_service.contexts import Context, ContextError
from casjobs_service.errors import Kind, QueryError
from casjobs_service.handlers.parts import Parts
from casjobs_service.handlers.problems import Problem, description, headers_of, status_of
from casjobs_service.models import User
from casjobs_service.results import FORMATS
from sciserver_common.handlers import ServiceHandler

MEBIBYTE = 1024 * 1024

DROPPED = 64 * MEBIBYTE
"""A client that is still sending when we answer and close gets a reset connection instead of the answer. So what
nobody wants is read and dropped, up to this many bytes and for `DROPPING_SECONDS`."""

DROPPING_SECONDS = 20.0

ADMIN = "admin:users"
"""Scope of the hub by which a token is an administrator's, also here."""

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off", ""}


@web.stream_request_body
class Handler(ServiceHandler):
    """Base of the service's handlers.

    Attributes
    ----------
    body_limit
        Largest body in bytes.
    ends_with_client
        The work is for the answer only: it is given up when the client has gone.
    """

    body_limit: ClassVar[int] = 4 * MEBIBYTE
    ends_with_client: ClassVar[bool] = False

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

    @property
    def parts(self) -> Parts:
        """The service's parts."""
        parts: Parts = self.settings["parts"]
        return parts

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

    def data_received(self, chunk: bytes) -> None:
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

    def json_body(self) -> dict[str, Any]:
        """The body, a JSON object whatever ``Content-Type`` says.

        Raises
        ------
        Problem
            400: it is something else.
        """
        try:
            value = json.loads(self.body())
            # A lone surrogate, written as \\udc00, can go nowhere from here.
            json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Problem(400, 'The body is not JSON. Send an object such as {"Query": "select 1"}.') from error
        if not isinstance(value, dict):
            raise Problem(400, 'The body is not a JSON object. Send one such as {"Query": "select 1"}.')
        return value

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

    def form(self, *, default: str | None = None) -> negotiate.Form:
        """How the client wants a result.

        Raises
        ------
        Problem
            406: there is no such form.
        """
        media_types = {name: writer.media_type for name, writer in FORMATS.items()}
        try:
            return negotiate.choose(media_types, self.request.headers.get("Accept"), self.parameter("format"))
        except negotiate.NotAcceptable as error:
            if default is not None and not self.parameter("format"):
                return negotiate.Form(default, media_types[default])
            raise Problem(406, str(error)) from error

    # -- who asks, and for what

    @property
    def user(self) -> dict[str, Any]:
        """The hub's model of who is calling."""
        if self.current_user is None:
            raise web.HTTPError(401)
        return self.current_user

    @property
    def groups(self) -> list[str]:
        return list(self.user.get("groups") or ())

    @property
    def is_admin(self) -> bool:
        """An administrator of the hub, with a token that says so."""
        return self.has_scope(ADMIN)

    def has_scope(self, scope: str) -> bool:
        """Whether the caller's token may do this."""
        return bool(self.hub_auth.check_scopes({scope}, self.user))

    async def space(self) -> User:
        """The caller's own place; made at first use."""
        return await self.parts.store.user(self.user["name"])

    def database(self, name: str) -> Context | str:
        """A context that the caller may see, or ``MyDB`` or ``MyScratch``.

        Raises
        ------
        Problem
            404: there is none of this name.
        """
        name = name.strip().removeprefix("[").removesuffix("]")
        own = {MYDB.lower(): MYDB, MYSCRATCH.lower(): MYSCRATCH, f"{MYSCRATCH.lower()}:default": MYSCRATCH}
        if name.lower() in own:
            return own[name.lower()]
        context = self.parts.contexts.get(name)
        if context is None or not context.visible_to(self.groups):
            names = [*OWN, *(context.name for context in self.parts.contexts.visible(self.groups))]
            raise Problem(404, f"There is no context {name[:80]!r}.", hint=f"There is: {', '.join(names)}.")
        return context

    def database_name(self, name: str) -> str:
        """`database`, its name only."""
        found = self.database(name)
        return found if isinstance(found, str) else found.name

    async def catalog(self, context: Context) -> Catalog:
        """What a context contains.

        Raises
        ------
        QueryError
            It cannot be read.
        """
        try:
            catalog = await asyncio.to_thread(self.parts.contexts.catalog, context.name)
        except ContextError as error:
            app_log.error("%s", error)
            raise QueryError(
                f"The catalogue of {context.name} cannot be read. Tell an administrator.", Kind.UNAVAILABLE
            ) from error
        if catalog is None:
            raise Problem(404, f"There is no context {context.name!r} any more.")
        return catalog

    # -- answers

    def answer(self, value: Any, status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        self.finish(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Errors as JSON; see `problems.description`."""
        error = (keywords.get("exc_info") or (None, None, None))[1]
        for name, value in headers_of(error, status_code):
            self.add_header(name, value)
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.methods()))
            error = Problem(405, f"This address answers {', '.join(self.methods())} only.")
        if not self.request._body_future.done():
            # Tornado closes the connection then, without saying so; the proxy would send its next request into it.
            self.set_header("Connection", "close")
        self.answer(description(error, status_code, self.request_id), status_code)

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
        if isinstance(error, QueryError) and not self._headers_written:
            status = status_of(error)
            if status == 500:
                app_log.error("%s: %s [%s]", self._request_summary(), error.message, self.request_id)
            self.send_error(status, exc_info=(type(error), error, error.__traceback__))
            return
        super()._handle_request_exception(error)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, web.HTTPError | QueryError):
            app_log.error("%s failed [%s]", self._request_summary(), self.request_id, exc_info=(typ, value, tb))

    def send_error(self, status_code: int = 500, **keywords: Any) -> None:
        """Answer with an error once the client has stopped sending; break off if the answer has begun already."""
        if self._gone:
            return
        if self._headers_written:
            self.break_off()
        elif self.request._body_future.done() or self.request.headers.get("Expect") == "100-continue":
            super().send_error(status_code, **keywords)
        else:
            self._dropping = True
            self._later = asyncio.create_task(self._send_error_later(status_code, keywords))

    async def _send_error_later(self, status_code: int, keywords: dict[str, Any]) -> None:
        deadline = asyncio.get_running_loop().time() + DROPPING_SECONDS
        while not self.request._body_future.done():
            if self._length > DROPPED or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.wait([self.request._body_future], timeout=0.2)
        if not self._gone:
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
