"""What an operation wants of the network, without the network.

An operation is a generator. It yields steps, gets their outcome, and returns its result; it never waits and never
opens anything. Two drivers carry it out, `SciServer.core.blocking` and `SciServer.core.asynchronous`, so that the
synchronous and the asynchronous client ask and read in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import quote

from SciServer.core.errors import ServiceError
from SciServer.core.settings import Settings
from SciServer.core.tokens import Token

T = TypeVar("T")


class Api(Protocol):
    """What an operation knows of the client that it is for."""

    @property
    def settings(self) -> Settings: ...


Auth = Literal["needed", "if known", "none"]
"""Whether a request carries the token: always, if there is one, or never."""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes
    ----------
    body
        Bytes, or something that gives the pieces anew each time it is called: a request may be sent again.
    length
        Of a body in pieces, bytes.
    patience
        Seconds that may pass without a byte; None: the client's own.
    is_repeatable
        Whether it may be sent again when it is not known what became of it.
    follows
        Whether redirects are followed; never with a token.
    token
        Another one than the client's own.
    """

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Iterator[bytes]] | None = field(default=None, repr=False)
    length: int | None = None
    auth: Auth = "needed"
    patience: float | None = None
    is_repeatable: bool = False
    follows: bool = False
    token: Token | None = None


@dataclass(frozen=True)
class Answer:
    """What came back, whole. Its status is below 400."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body; services say UTF-8, whatever the header says (contract §0)."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises
        ------
        ServiceError
            It is none: something else than the service has answered.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise ServiceError(
                "The answer is not what this service sends. Check the addresses in sciscript.json.", status=self.status
            ) from None


class Stream(Protocol):
    """An answer whose body comes in pieces; the driver's."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Open:
    """Step: send the request, and give a `Stream` when the head of the answer is there."""

    request: Request


@dataclass(frozen=True)
class Pull:
    """Step: the next piece of a stream, bytes; None when it has ended."""

    stream: Stream


@dataclass(frozen=True)
class Close:
    """Step: close a stream, read or not."""

    stream: Stream


@dataclass(frozen=True)
class Sleep:
    """Step: wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Call:
    """Step: call something that may take long, such as reading a file; gives what it returns."""

    function: Callable[[], Any]


Step = Request | Open | Pull | Close | Sleep | Call
Operation = Generator[Step, Any, T]


def path(*names: str) -> str:
    """Names as parts of an address, each percent-encoded: a slash in a name stays in the name.

    Names of files that are no text, as `os.fsdecode` makes them, become the same bytes again.
    """
    return "".join("/" + quote(name, safe="", errors="surrogateescape") for name in names)


def json_body(value: Any) -> dict[str, Any]:
    """Keywords of a `Request` that carries JSON."""
    return {"body": json.dumps(value).encode(), "headers": {"Content-Type": "application/json"}}


def once(request: Request) -> Request:
    """The same, which must not be sent again when it is not known what became of it."""
    return replace(request, is_repeatable=False)
