"""Errors as clients get them."""

from __future__ import annotations

import http
from typing import Any

from tornado import web

from casjobs_service.errors import Kind, QueryError
from casjobs_service.places import Busy
from sciserver_common.handlers import RETRY_AFTER, Refused

STATUS = {
    Kind.SYNTAX: 400,
    Kind.NAME: 400,
    Kind.UNSUPPORTED: 400,
    Kind.DATA: 400,
    Kind.LIMIT: 400,
    Kind.QUOTA: 400,
    Kind.CANCELLED: 400,
    Kind.FORBIDDEN: 403,
    Kind.INTERNAL: 500,
    Kind.UNAVAILABLE: 503,
    Kind.TIMEOUT: 504,
}
"""HTTP status by what went wrong. Clients send a request again after 408 or 429, which would not help here."""


class Problem(web.HTTPError):
    """Answers with a status and a text for the client; `hint` says what to do, where the text does not."""

    def __init__(self, status: int, text: str, *, hint: str = "") -> None:
        # `%` in it would be formatted.
        super().__init__(status, text.replace("%", "%%"))
        self.text = text
        self.hint = hint


def status_of(error: QueryError) -> int:
    """HTTP status."""
    return error.status if isinstance(error, Busy) else STATUS[error.kind]


def headers_of(error: BaseException | None, status: int) -> list[tuple[str, str]]:
    """Headers that belong to an error."""
    headers = list(error.headers) if isinstance(error, Refused) else []
    if isinstance(error, Busy):
        headers.append(("Retry-After", str(error.retry_after)))
    elif status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(RETRY_AFTER)))
    return headers


def description(error: BaseException | None, status: int, request_id: str) -> dict[str, Any]:
    """The error as JSON: with our keys, and with those of the service that the clients were written for.

    Parameters
    ----------
    request_id
        By which an operator finds it in the log.
    """
    text, kind = f"{http.HTTPStatus(status).phrase}.", f"http {status}"
    details: dict[str, Any] = {}
    if isinstance(error, QueryError):
        text, kind = str(error), str(error.kind)
        details = {"line": error.line, "column": error.column, "hint": error.hint or None}
    elif isinstance(error, Problem):
        text = f"{error.text} {error.hint}".rstrip()
        details = {"hint": error.hint or None}
    elif isinstance(error, web.HTTPError) and status != http.HTTPStatus.INTERNAL_SERVER_ERROR:
        text = error.get_message() or text
    return {
        "status": "error",
        "error": text,
        "Error Code": status,
        "Error Type": kind,
        "Error Message": text,
        "LogMessageID": request_id,
        **{name: value for name, value in details.items() if value is not None},
    }
