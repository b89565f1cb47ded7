"""What the modules with SciScript-Python's functions share: a request as the contract has it, and its errors."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from SciServer import Config
from SciServer.core import Client, Settings
from SciServer.core.casjobs import QUERY_SECONDS
from SciServer.core.tokens import Token
from SciServer.core.uploads import of_file
from SciServer.core.wire import Answer, Operation, Request


def task(name: str) -> str:
    """How a function announces itself, e.g. ``SciScript-Python.CasJobs.getTables`` (contract §0)."""
    prefix = "Compute." if Config.isSciServerComputeEnvironment() else ""
    return f"{prefix}SciScript-Python.{name}"


def settings() -> Settings:
    """The addresses of `Config`, as they are now."""
    return Settings.of(vars(Config))


@lru_cache(maxsize=4)
def _client(settings: Settings) -> Client:
    return Client(settings)


def client() -> Client:
    """The client for them; it looks for the token each time."""
    return _client(settings())


def run(operation: Operation[Any]) -> Any:
    """Carry out an operation of the core."""
    return client().driver.run(operation)


def given(token: str | None) -> Token | None:
    """A token that a call was given; None: look for it."""
    return Token(token) if token else None


def request(
    method: str,
    url: str,
    name: str,
    *,
    params: Mapping[str, str] | None = None,
    token: str | None = None,
    repeatable: bool = False,
    **options: Any,
) -> Request:
    """A request as the contract has it.

    Parameters
    ----------
    name
        Of the calling function, for ``TaskName``, which comes last in the address.
    token
        Another one than what `Authentication.getToken` finds.
    """
    return Request(
        method,
        url,
        params={**(params or {}), "TaskName": task(name)},
        token=given(token),
        is_repeatable=repeatable or method == "GET",
        patience=QUERY_SECONDS,
        **options,
    )


def public(url: str) -> Request:
    """The request for what is behind a public link: no token, and it may lead elsewhere."""
    return Request("GET", url, auth="none", is_repeatable=True, follows=True)


def answered(request: Request) -> Operation[Answer]:
    """The answer to a request."""
    answer: Answer = yield request
    return answer


def call(method: str, url: str, name: str, **options: Any) -> Answer:
    """Make one request; parameters are those of `request`.

    Raises
    ------
    NotSignedInError
        It needs a token, and there is none; nothing was sent.
    ServiceError
        The service refuses or does not answer.
    """
    answer: Answer = run(answered(request(method, url, name, **options)))
    return answer


def spelled(path: str) -> str:
    """A path in an address, as the client of 2.2 has sent it: slashes stay where they are, also doubled ones.

    What is percent-encoded already stays as it is. ``?``, ``#`` and the like are encoded: there they broke the
    address.
    """
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", path), safe="/%", errors="surrogateescape")


def body_of(data: str | bytes, local: str | None) -> dict[str, Any]:
    """Keywords of a `Request` with the content of a local file, or with `data`."""
    if local:
        body = of_file(Path(local))
        pieces: Callable[[], Iterator[bytes]] = body.pieces
        return {"body": pieces, "length": body.length}
    return {"body": data.encode() if isinstance(data, str) else data}


def converted(answer: Answer, format: str) -> Any:
    """A downloaded file as text, as something to read from, or as httpx's response."""
    if format == "response":
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)
    if format == "BytesIO":
        return io.BytesIO(answer.body)
    return io.StringIO(answer.text) if format == "StringIO" else answer.text
