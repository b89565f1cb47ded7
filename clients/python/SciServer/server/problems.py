"""What goes wrong between this server and a service, said to the person in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import responses
from typing import Any

from tornado import web

from SciServer.core.errors import NotSignedInError, ServiceUnavailableError, TransferError

_NOT_YOURS = (
    "Only the owner of this Jupyter server may do this, from a page of the server. Reload the page, and sign in if "
    "you are asked to."
)


class Problem(web.HTTPError):
    """An error with a sentence for the user.

    Parameters
    ----------
    code
        For programs: ``token``, ``settings``, ``unreachable``, ``broken-off``, ``redirect``, ``address``, ``service``.
    """

    def __init__(self, status: int, text: str, code: str) -> None:
        # `%` in it would be formatted.
        super().__init__(status, text.replace("%", "%%"))
        self.text = text
        self.code = code


@contextmanager
def problem_of(title: str) -> Iterator[None]:
    """Make a `Problem` of what a request to a service may raise.

    Parameters
    ----------
    title
        The service's name.
    """
    try:
        yield
    except NotSignedInError as error:
        raise Problem(HTTPStatus.UNAUTHORIZED, f"{title} cannot be used. {error}", "token") from error
    except ServiceUnavailableError as error:
        text = f"{title} does not answer. {error} Try again in a minute; if it stays so, tell the operator."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, "unreachable") from error
    except TransferError as error:
        text = f"{title} has broken off its answer. Try again."
        raise Problem(HTTPStatus.BAD_GATEWAY, text, "broken-off") from error


def error_body(error: BaseException | None, status: int) -> dict[str, Any]:
    """An error as JSON: ``message`` is what Jupyter's pages look for, ``error`` what those of the services do."""
    phrase = responses.get(status, "Unknown error")
    text, code = _NOT_YOURS if status == HTTPStatus.FORBIDDEN else f"{phrase}.", phrase
    if isinstance(error, Problem):
        text, code = error.text, error.code
    elif isinstance(error, web.HTTPError):
        text, code = error.get_message() or text, error.reason or code
    return {"status": "error", "error": text, "message": text, "reason": code}
