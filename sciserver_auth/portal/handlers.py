"""What all requests to the portal's server have in common: bodies with a limit, errors without internals, no log."""

from __future__ import annotations

import asyncio
import logging
from functools import cached_property
from http import HTTPStatus
from types import TracebackType
from typing import Any

from tornado.web import HTTPError, RequestHandler, stream_request_body

from sciserver_auth.portal.limits import client_address

log = logging.getLogger("Portal")
"""The log of the application `Portal`."""

# A client that sends on while we answer and close gets a reset connection instead of the answer. So what is too long
# is read and dropped, up to this many bytes.
DROPPED = 64 * 1024 * 1024


class Problem(HTTPError):
    """Answers with a status and a sentence for the client.

    Parameters
    ----------
    status
        HTTP status.
    text
        What happened and what to do; never a secret.
    headers
        To be sent with it.
    """

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.text = text
        self.headers = headers or {}


@stream_request_body
class Handler(RequestHandler):
    """Base of the portal's handlers.

    Attributes
    ----------
    body_limit
        Largest body in bytes; `body` raises 413 for a larger one.
    """

    body_limit = 64 * 1024

    def initialize(self) -> None:
        self._length = 0
        self._chunks: list[bytes] = []

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> str | None:
        """None: an answer has an entity tag when its handler gives it one."""
        return None

    async def prepare(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            running: set[asyncio.Task[Any]] = self.settings["running"]
            running.add(task)
            task.add_done_callback(running.discard)
        length = self.request.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > DROPPED:
            # Tornado would close the connection without a word.
            self.request.connection.set_max_body_size(int(length))  # type: ignore[union-attr]
            raise self.too_long()

    def data_received(self, chunk: bytes) -> None:
        self._length += len(chunk)
        if self._length <= self.body_limit:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

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

    def too_long(self) -> Problem:
        unit, name = (1024 * 1024, "MiB") if self.body_limit >= 1024 * 1024 else (1024, "KiB")
        return Problem(413, f"The request is larger than {self.body_limit // unit} {name}.")

    @cached_property
    def client_address(self) -> str:
        """IP address of the client, behind proxies too."""
        forwarded = self.request.headers.get_list("X-Forwarded-For")
        return client_address(self.request.remote_ip or "", forwarded, self.settings["trusted_proxies"])

    @classmethod
    def methods(cls) -> list[str]:
        """HTTP methods that this handler answers."""
        return [
            method
            for method in cls.SUPPORTED_METHODS
            if getattr(cls, method.lower()) is not getattr(RequestHandler, method.lower())
        ]

    def error_text(self, status: int, exc_info: Any = None) -> str:
        """One sentence for the client; sets the headers that belong to the error."""
        if not self.request._body_future.done():
            # Tornado closes the connection after an answer that comes before the whole request, without saying so.
            # The proxy would send its next request into it.
            self.set_header("Connection", "close")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.methods()))
            return f"This address answers {', '.join(self.methods())} only."
        problem = exc_info[1] if exc_info else None
        if isinstance(problem, Problem):
            for name, value in problem.headers.items():
                self.set_header(name, value)
            return problem.text
        return f"{HTTPStatus(status).phrase}."

    def write_error(self, status_code: int, **keywords: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self.error_text(status_code, keywords.get("exc_info")) + "\n")

    def log_exception(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Log what is our fault only, and never the request: it holds tokens and passwords."""
        if not isinstance(value, HTTPError):
            log.error("%s of a request failed", type(self).__name__, exc_info=(kind, value, trace))  # type: ignore[arg-type]
