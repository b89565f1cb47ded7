"""What all requests to the portal's server have in common: bodies with a limit, errors without internals, no log."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from types import TracebackType
from typing import Any

from tornado.web import HTTPError, RequestHandler, stream_request_body

log = logging.getLogger("portal")

# A client that sends on while we answer and close gets a reset connection instead of the answer. So what is too long
# is read and dropped, up to this many bytes.
DROPPED = 64 * 1024 * 1024


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
        tornado.web.HTTPError
            413: it is longer than `body_limit`.
        """
        if self._length > self.body_limit:
            raise self.too_long()
        return b"".join(self._chunks)

    def too_long(self) -> HTTPError:
        unit, name = (1024 * 1024, "MiB") if self.body_limit >= 1024 * 1024 else (1024, "KiB")
        return HTTPError(413, reason=f"The request is larger than {self.body_limit // unit} {name}.")

    def error_text(self, status: int) -> str:
        """One sentence for the client."""
        # `reason` of the HTTPError that was raised, or the standard phrase.
        return self._reason if self._reason.endswith(".") else f"{HTTPStatus(status).phrase}."

    def write_error(self, status_code: int, **keywords: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self.error_text(status_code) + "\n")

    def log_exception(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Log what is our fault only, and never the request: it holds tokens and passwords."""
        if not isinstance(value, HTTPError):
            log.error("%s of a request failed", type(self).__name__, exc_info=(kind, value, trace))  # type: ignore[arg-type]
