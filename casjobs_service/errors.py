"""Errors that users may see."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any


class Kind(enum.StrEnum):
    """What went wrong, for programs."""

    SYNTAX = "syntax"
    """The text is not SQL that we can read."""
    NAME = "name"
    """A table, column, function or context that does not exist, or may not be seen."""
    UNSUPPORTED = "unsupported"
    """Understood, and refused: it cannot be done faithfully, or not here."""
    FORBIDDEN = "forbidden"
    """It exists, and this person may not do it."""
    DATA = "data"
    """The engine refused while it ran: division by zero, a value that does not fit, a table that exists already."""
    LIMIT = "limit"
    """Memory, temporary space, result size, or another limit of the query."""
    TIMEOUT = "timeout"
    """The time of the queue is over."""
    QUOTA = "quota"
    """MyDB or MyScratch is full."""
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    """The engine of a context does not answer; trying again may help."""
    INTERNAL = "internal"
    """Our fault; details are in the service's log."""


@dataclass
class QueryError(Exception):
    """A query that cannot be run, or has failed; the text says what to do.

    Attributes
    ----------
    message
        One or two sentences, without paths, addresses or tracebacks.
    kind
        For programs.
    line, column
        Where in the *user's* text, both from 1; None where no place can be named.
    hint
        A suggestion, e.g. "Did you mean the column psfMag_r of PhotoObj?"; may be empty.
    """

    message: str
    kind: Kind = Kind.DATA
    line: int | None = None
    column: int | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = f"Line {self.line}, column {self.column}: " if self.line is not None else ""
        return place + self.message + (f" {self.hint}" if self.hint else "")

    def to_json(self) -> dict[str, Any]:
        """As it goes between processes and into the job's record."""
        return {**asdict(self), "kind": str(self.kind)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> QueryError:
        """The opposite of `to_json`."""
        return cls(**{**value, "kind": Kind(value["kind"])})

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own would drop all but the arguments of __init__.
        return (type(self), (self.message, self.kind, self.line, self.column, self.hint))
