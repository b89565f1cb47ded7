"""What both drivers do alike: which headers a request gets, when it is sent again, what an answer's error is."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from SciServer import __version__
from SciServer.core import tokens
from SciServer.core.errors import (
    Failure,
    FolderError,
    NotSignedInError,
    QueryError,
    QueryTimeout,
    ServiceError,
    ServiceUnavailableError,
    SettingsError,
    TransferError,
)
from SciServer.core.settings import Settings, origin
from SciServer.core.tokens import Token
from SciServer.core.wire import Request

TOKEN_HEADER = "X-Auth-Token"  # noqa: S105 - a name
CONNECT_SECONDS = 10.0
LONGEST_PAUSE = 60.0
"""Seconds. A service that wants a longer one is told of as an error."""

SIGN_IN = (
    "Inside a container the platform signs you in: if its token is gone, stop and start your server. Elsewhere call "
    "SciServer.Authentication.login(), or make a token on your account page and give it to "
    "SciServer.Authentication.setToken() or in the environment variable SCISERVER_TOKEN."
)
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=3.0)
"""Connections are not kept for as long as proxies keep them (5 s and more), lest one closes just as it is used."""

BUSY = frozenset({429, 503})


@dataclass(frozen=True)
class Policy:
    """How requests are sent.

    Attributes
    ----------
    timeout
        Seconds that may pass without a byte, where the request does not say otherwise.
    retries
        How often a request is sent again.
    """

    settings: Settings
    token: Token | None
    timeout: float
    retries: int

    def headers(self, request: Request) -> dict[str, str]:
        """The request's headers.

        Raises
        ------
        NotSignedInError
            It needs a token, and there is none.
        SettingsError
            The token must not go there.
        """
        headers = {"User-Agent": f"sciserver-client/{__version__}", "Accept-Encoding": "identity", **request.headers}
        if request.length is not None:
            headers["Content-Length"] = str(request.length)
        if request.auth == "none":
            return headers
        token = request.token or tokens.find(self.settings.token_path, self.token)
        if token is None:
            if request.auth == "needed":
                raise NotSignedInError(f"User token is not defined: nobody is signed in. {SIGN_IN}")
            return headers
        if not token.is_possible:
            # The HTTP library would say so too, and show it.
            raise NotSignedInError(f"The token has characters that no token has: copy it again. {SIGN_IN}")
        if origin(request.url) not in self.settings.origins:
            raise SettingsError(
                f"Your token is not sent to {origin(request.url)}: no service in your settings is there. If it is a "
                "part of your deployment, name it under TrustedOrigins in sciscript.json."
            )
        return {**headers, TOKEN_HEADER: token.reveal()}

    def timeouts(self, request: Request) -> httpx.Timeout:
        """For httpx."""
        return httpx.Timeout(request.patience or self.timeout, connect=min(CONNECT_SECONDS, self.timeout))

    def pause(self, request: Request, attempt: int, failure: httpx.RequestError | httpx.Response) -> float | None:
        """Seconds to wait before the request is sent again; None: it is not.

        What was refused with Retry-After has not been done, so it is asked for again whatever it is. What may have
        been done is asked for again only if that does no harm.
        """
        if attempt >= self.retries:
            return None
        backoff = 2.0 ** (attempt - 2) * random.uniform(0.75, 1.25)  # noqa: S311 - so that clients do not come together
        if isinstance(failure, httpx.Response):
            if failure.status_code in BUSY and "Retry-After" in failure.headers:
                wanted = failure.headers["Retry-After"]
                seconds = float(wanted) if wanted.isdecimal() else backoff
                return seconds if seconds <= LONGEST_PAUSE else None
            return backoff if failure.status_code in {502, 503} and request.is_repeatable else None
        if isinstance(failure, httpx.ConnectError):
            return backoff
        return backoff if request.is_repeatable and not isinstance(failure, httpx.TimeoutException) else None


def unreachable(url: str, error: Exception, timeout: float) -> ServiceUnavailableError:
    """A connection that could not be made, or broke, in plain words."""
    where = origin(url)
    if isinstance(error, httpx.ConnectTimeout):
        text = f"{where} does not answer: no connection within {min(CONNECT_SECONDS, timeout):g} s."
    elif isinstance(error, httpx.ConnectError) and "certificate" in str(error).lower():
        text = f"{where} has no certificate that this machine trusts ({error})."
    elif isinstance(error, httpx.ConnectError):
        text = f"{where} cannot be reached: {error or 'no connection'}."
    elif isinstance(error, httpx.TimeoutException):
        text = f"{where} has sent nothing for {timeout:g} s."
    else:
        text = f"The connection to {where} broke before the answer came."
    return ServiceUnavailableError(f"{text} Is the address in sciscript.json right, and the service running?")


def torn(url: str) -> TransferError:
    """An answer that ended too early."""
    return TransferError(
        f"The answer of {origin(url)} broke off before its end: the service or the query has ended, or the network."
    )


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    """The error that an answer with this status is."""
    if status < 400:
        return ServiceError(
            f"The service answers with a redirect ({status}), which is not followed with your token. Use the address "
            "of the service itself in sciscript.json.",
            status=status,
        )
    value = _parsed(body)
    text, request_id = _text(value, body, status), str(value.get("LogMessageID") or headers.get("X-Request-Id") or "")
    kind = str(value.get("Error Type") or "")
    if kind and not kind.startswith("http ") and kind != "unavailable":
        return query_error({**value, "message": text, "kind": kind}, status=status, request_id=request_id)
    if {"failed", "files", "isComplete"} <= value.keys():
        failures = [Failure(str(each["path"]), str(each["error"]), each["status"]) for each in value["failed"]]
        if value["isComplete"]:
            return FolderError.of(value["files"], failures)
        return FolderError.ended(text, status, request_id, value["files"], failures)
    if status == 401:
        return NotSignedInError(
            f"The service does not accept your token: {text} {SIGN_IN}", status=status, request_id=request_id
        )
    kinds = ServiceUnavailableError if status in {502, 503, 504} else ServiceError
    return kinds(text, status=status, request_id=request_id)


def query_error(value: Mapping[str, Any], *, status: int | None = None, request_id: str = "") -> QueryError:
    """A query's error, of an answer or of a job's record."""
    line, column, hint = value.get("line"), value.get("column"), str(value.get("hint") or "")
    message = str(value.get("message") or "")
    # Answers have the place and the hint in the text too.
    message = message.removeprefix(f"Line {line}, column {column}: ").removesuffix(hint).rstrip()
    kind = str(value.get("kind") or "")
    kinds = QueryTimeout if kind == "timeout" else QueryError
    return kinds(message, status=status, request_id=request_id, line=line, column=column, hint=hint, kind=kind)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Mapping[str, Any], body: bytes, status: int) -> str:
    error = value.get("error") or value.get("Error Message")
    if isinstance(error, dict):  # Keystone's form, contract §2.1
        error = error.get("message")
    text = str(error or "").strip()
    if not text and not value and b"<" not in body[:200]:
        text = body[:1000].decode("utf-8", "replace").strip()
    if not text:
        text = f"The service answers with status {status}."
    return text
