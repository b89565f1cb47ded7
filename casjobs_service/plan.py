"""A script after translation: what runs where, what it reads and what it writes."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from casjobs_service.catalog import Column


class Action(enum.StrEnum):
    """What a statement does, which decides how the worker runs it."""

    SELECT = "select"
    """Returns rows."""
    INTO = "into"
    """Makes the table `target` from the rows of `sql` (``SELECT … INTO``, ``CREATE TABLE … AS``)."""
    INSERT = "insert"
    """Adds the rows of `sql` to `target`."""
    CHANGE = "change"
    """``UPDATE``, ``DELETE``, ``CREATE``, ``ALTER``, ``DROP``, ``TRUNCATE`` on `target`; `sql` is all of it."""
    SESSION = "session"
    """Runs in the session only: variables, temporary tables and what is done to them."""
    NOTHING = "nothing"
    """Understood, and without effect here: ``GO``, ``SET NOCOUNT ON``, ``PRINT``; `sql` is empty."""


@dataclass(frozen=True, slots=True)
class TableName:
    """A table of a database. `database` is the catalog's own spelling, or ``temp`` for ``#t`` and ``##t``."""

    database: str
    table: str

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A small local table that a statement for a remote engine needs there, as a temporary table named `name`."""

    name: str
    sql: str
    """DuckDB's SELECT for its rows."""


@dataclass(slots=True)
class Statement:
    """One statement, translated.

    Attributes
    ----------
    action
        See `Action`.
    sql
        In the SQL of `engine`. For INTO and INSERT: the SELECT only; the worker writes its rows to `target`.
    engine
        ``""``: the session's own DuckDB, with MyDB, MyScratch and the contexts of that engine. Otherwise the name of
        the context whose database runs `sql`.
    line, column
        Start in the user's text, both from 1.
    source
        The user's text of it.
    prelude
        Statements for the session's DuckDB that must have run before (macros); the same text may come with several
        statements, and needs to run once.
    reads
        Tables that it reads, without temporary ones.
    target
        What it writes; None if it writes nothing.
    target_columns
        INSERT: names of the columns that the rows go to; empty for all.
    frees
        It only removes: allowed when the quota is used up.
    columns
        SELECT and INTO: what is known of the output columns, in order; types may be empty, the engine knows them.
        Empty if nothing is known.
    uploads
        Only with `engine`.
    parameters
        Only with `engine`: names, in small letters, of the request's parameters that go with `sql`, in the order of
        their places.
    positions
        Places in the user's text by which an engine's complaint can be located: (identifier in lower case, line,
        column).
    note
        For people: what the statement would have done elsewhere, and does not do here.
    """

    action: Action
    sql: str
    engine: str = ""
    line: int = 1
    column: int = 1
    source: str = ""
    prelude: list[str] = field(default_factory=list)
    reads: list[TableName] = field(default_factory=list)
    target: TableName | None = None
    target_columns: list[str] = field(default_factory=list)
    frees: bool = False
    columns: list[Column] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    positions: list[tuple[str, int, int]] = field(default_factory=list)
    note: str = ""
