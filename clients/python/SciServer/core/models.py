"""What CasJobs tells of databases, tables and jobs (docs/reference/casjobs.md)."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from SciServer.core import policy
from SciServer.core.errors import QueryError

KILOBYTE = 1000


@dataclass(frozen=True)
class Column:
    """A column of a table, or a parameter of a function."""

    name: str
    type: str = ""
    unit: str = ""
    ucd: str = ""
    description: str = ""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Column:
        """As the service sends it."""
        return cls(*(str(value.get(key) or "") for key in ("Name", "Type", "Unit", "UCD", "Description")))


@dataclass(frozen=True)
class Context:
    """A database that can be queried.

    Attributes
    ----------
    rights, cite, source
        Licence, how to cite it, and where it came from; may be empty.
    quick_seconds, long_seconds
        How long a quick query and a job may run.
    """

    name: str
    title: str = ""
    description: str = ""
    engine: str = ""
    writable: bool = False
    public: bool = False
    rights: str = ""
    cite: str = ""
    source: str = ""
    quick_seconds: float | None = None
    long_seconds: float | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Context:
        """As the service sends it."""
        texts = ("Name", "Title", "Description", "Engine", "Rights", "Cite", "Source")
        name, title, description, engine, rights, cite, source = (str(value.get(key) or "") for key in texts)
        return cls(
            name=name,
            title=title,
            description=description,
            engine=engine,
            writable=bool(value.get("Writable")),
            public=bool(value.get("Public")),
            rights=rights,
            cite=cite,
            source=source,
            quick_seconds=value.get("QuickSeconds"),
            long_seconds=value.get("LongSeconds"),
        )


@dataclass(frozen=True)
class Table:
    """A table or view.

    Attributes
    ----------
    type
        ``table`` or ``view``.
    rows, size_bytes
        None where the service does not know.
    """

    name: str
    type: str = ""
    rows: int | None = None
    size_bytes: int | None = None
    description: str = ""


@dataclass(frozen=True)
class TableDetails(Table):
    """A table with its columns."""

    columns: list[Column] = field(default_factory=list)


def table(value: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a `Table`, as the service sends it."""
    size = value.get("Size")
    return {
        "name": str(value["Name"]),
        "type": str(value.get("Type") or ""),
        "rows": value.get("Rows"),
        "size_bytes": None if size is None else int(size * KILOBYTE),
        "description": str(value.get("Description") or ""),
    }


@dataclass(frozen=True)
class Function:
    """A function of a database.

    Attributes
    ----------
    kind
        ``scalar`` or ``table``.
    returns
        Type of its value; empty if it returns a table, which has `columns`.
    """

    name: str
    kind: str = ""
    parameters: list[Column] = field(default_factory=list)
    returns: str = ""
    columns: list[Column] = field(default_factory=list)
    description: str = ""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Function:
        """As the service sends it."""
        return cls(
            name=str(value["Name"]),
            kind=str(value.get("Kind") or ""),
            parameters=[Column.of(each) for each in value.get("Parameters") or ()],
            returns=str(value.get("Returns") or ""),
            columns=[Column.of(each) for each in value.get("Columns") or ()],
            description=str(value.get("Description") or ""),
        )


class JobStatus(enum.IntEnum):
    """CasJobs' numbers (contract §3)."""

    READY = 0
    STARTED = 1
    CANCELING = 2
    CANCELED = 3
    FAILED = 4
    FINISHED = 5

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self >= JobStatus.CANCELED


@dataclass(frozen=True)
class Job:
    """A query, as the service has recorded it.

    Attributes
    ----------
    kind
        ``long``, ``quick`` or ``upload``.
    context
        Where names in the query resolve.
    target
        Tables that it has made, with commas; may be empty.
    message
        One line for people: why it failed, or that it is done.
    position
        Place in the queue, from 1; None if it does not wait.
    fraction
        How much of the running statement is done, from 0 to 1; None if unknown.
    statement, statements
        Which statement runs, from 1, of how many; 0 if unknown.
    results
        Numbers of the results that the service keeps.
    error
        Why it failed or was cancelled.
    """

    id: int
    status: JobStatus
    query: str = ""
    context: str = ""
    rows: int = 0
    message: str = ""
    position: int | None = None
    submitted: datetime.datetime | None = None
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    target: str = ""
    kind: str = ""
    fraction: float | None = None
    statement: int = 0
    statements: int = 0
    results: tuple[int, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    error: QueryError | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Job:
        """As the service sends it."""
        error = value.get("Error")
        return cls(
            id=int(value["JobID"]),
            status=JobStatus(int(value["Status"])),
            query=str(value.get("Query") or ""),
            context=str(value.get("Target") or ""),
            rows=int(value.get("Rows") or 0),
            message=str(value.get("Message") or ""),
            position=value.get("Position"),
            submitted=moment(value.get("TimeSubmit")),
            started=moment(value.get("TimeStart")),
            ended=moment(value.get("TimeEnd")),
            target=str(value.get("Created_Table") or ""),
            kind=str(value.get("Kind") or ""),
            fraction=value.get("Fraction"),
            statement=int(value.get("Statement") or 0),
            statements=int(value.get("Statements") or 0),
            results=tuple(int(each["index"]) for each in value.get("Results") or ()),
            parameters=value.get("Parameters") or {},
            error=policy.query_error(error) if isinstance(error, Mapping) else None,
        )


def moment(text: Any) -> datetime.datetime | None:
    """A time of the service, with its zone; None if there is none, or it cannot be read."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Progress:
    """How far something has come; given to the function under ``progress``.

    Attributes
    ----------
    state
        ``waiting`` in the queue, ``running`` on the server, ``receiving``, ``sending``, or ``done``.
    seconds
        Since it began.
    rows, bytes
        Transferred so far, or of a job, rows made so far.
    total_bytes
        How many there will be; None if unknown.
    fraction
        How much is done, from 0 to 1; None if unknown.
    position
        Place in the queue, from 1; None if it does not wait.
    message
        What it is about: a file's name, or a job's message.
    """

    state: str
    seconds: float = 0.0
    rows: int = 0
    bytes: int = 0
    total_bytes: int | None = None
    fraction: float | None = None
    position: int | None = None
    message: str = ""
