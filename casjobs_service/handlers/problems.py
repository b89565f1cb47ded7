"""Errors as clients get them."""

from __future__ import annotations

from typing import Any

from casjobs_service.errors import Kind, QueryError
from casjobs_service.places import Busy
from sciserver_common import requests
from sciserver_common.requests import Problem

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


def status_of(error: QueryError) -> int:
    """HTTP status."""
    return error.status if isinstance(error, Busy) else STATUS[error.kind]


def headers_of(error: BaseException | None, status: int) -> list[tuple[str, str]]:
    """Headers that belong to an error."""
    if isinstance(error, Busy):
        return [("Retry-After", str(error.retry_after))]
    return requests.headers_of(error, status)


def description(error: BaseException | None, status: int, request_id: str) -> dict[str, Any]:
    """The error as JSON: with our keys, and with those of the service that the clients were written for.

    Parameters
    ----------
    request_id
        By which an operator finds it in the log.
    """
    text, kind = requests.error_text(error, status), f"http {status}"
    details: dict[str, Any] = {}
    if isinstance(error, QueryError):
        text, kind = str(error), str(error.kind)
        details = {"line": error.line, "column": error.column, "hint": error.hint or None}
    elif isinstance(error, Problem):
        details = {"hint": error.hint or None}
    return {
        "status": "error",
        "error": text,
        "Error Code": status,
        "Error Type": kind,
        "Error Message": text,
        "LogMessageID": request_id,
        **{name: value for name, value in details.items() if value is not None},
    }
