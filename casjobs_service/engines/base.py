"""What an engine that is reached by network must be able to do.

The interface is small on purpose: an adapter of one more engine is one class. Everything is blocking; `runner` gives
each statement a process of its own, so that a driver that hangs, or a server that does not answer, can be ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import pyarrow as pa

from casjobs_service.catalog import Catalog
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import Parameter

CONNECT_SECONDS = 10
"""How long to wait for a connection."""

BATCH_ROWS = 50_000
BATCH_BYTES = 8 << 20
"""Size of a record batch: what is reached first."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an engine would run a statement: its own text, and how many rows it expects (None: it does not say)."""

    text: str
    rows: int | None


class Engine(Protocol):
    """A connection to a database, on which nothing can be changed but temporary tables.

    Every method raises `QueryError`, whose text users may see; the driver's own error is its ``__cause__``.
    """

    def catalog(self, database: str) -> Catalog:
        """What the database contains, under the name `database`."""

    def upload(self, name: str, rows: pa.RecordBatchReader) -> None:
        """Make a temporary table, spelled exactly `name`, that goes with the connection."""

    def run(self, sql: str, parameters: Sequence[Parameter] = ()) -> pa.RecordBatchReader:
        """Run one statement that returns rows; they come as they are read.

        `parameters` are in the order of their places; they may repeat, and there may be more than places.

        Columns of decimal numbers whose scale the engine does not tell have the type text and the field metadata
        `UNSCALED`.
        """

    def explain(self, sql: str, parameters: Sequence[Parameter] = ()) -> Explanation:
        """Say how a statement would be run, without running it."""

    def cancel(self) -> None:
        """End what runs, from another thread; may wait for the server."""

    def close(self) -> None:
        """Give the connection back."""


UNSCALED = {b"casjobs:unscaled": b"1"}
"""Metadata of a column of decimal numbers that are still text."""


@dataclass(frozen=True, slots=True)
class Login:
    """An address with its password. Not for logs: ``repr`` leaves the password out."""

    url: str
    password: str

    def __repr__(self) -> str:
        return f"Login(url={self.url!r})"

    @property
    def parts(self) -> SplitResult:
        """Of the address."""
        return urlsplit(self.url)

    @property
    def user(self) -> str:
        """Account at the engine."""
        return unquote(self.parts.username or "")

    @property
    def path(self) -> list[str]:
        """Parts of the address's path, decoded."""
        return [unquote(part) for part in self.parts.path.split("/") if part]

    @property
    def options(self) -> dict[str, str]:
        """After the question mark."""
        return dict(parse_qsl(self.parts.query))


def unavailable() -> QueryError:
    """The engine does not answer."""
    return QueryError(
        "The database of this context does not answer.",
        Kind.UNAVAILABLE,
        hint="Try again in a few minutes; if it stays so, tell the operator.",
    )


def refused() -> QueryError:
    """The engine does not let the service in."""
    return QueryError(
        "The database of this context does not let this service in.",
        Kind.UNAVAILABLE,
        hint="Only the operator can mend this: please tell them.",
    )


def too_long(seconds: float) -> QueryError:
    """The time is over."""
    return QueryError(
        f"The query took longer than {seconds:g} seconds and was ended.",
        Kind.TIMEOUT,
        hint="Ask for less, or submit it as a job.",
    )
