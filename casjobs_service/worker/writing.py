"""Statements that write to the user's databases."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from casjobs_service.catalog import OWN, Column
from casjobs_service.duckdb_catalog import comment_statements, read_comment
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Statement, TableName
from casjobs_service.worker import journal
from casjobs_service.worker.databases import READ, WRITE
from casjobs_service.worker.engine import quoted
from casjobs_service.worker.space import Space

if TYPE_CHECKING:
    from casjobs_service.worker.main import Worker

STAGE = "sciserver_stage"
"""Temporary table with the rows that are to be written."""

CREATE, APPEND, REPLACE = "create", "append", "replace"


class Writing:
    """Writes for one script, or one upload.

    Rows are computed first, into a temporary table: the user's file, which only one process can have open for writing,
    is taken for no longer than it takes to copy them.

    Parameters
    ----------
    job
        Number under which what is done is noted, so that it is done once; None: it is not.
    plan
        The script that is noted with it.
    """

    def __init__(self, worker: Worker, job: int | None = None, plan: list[Statement] | None = None) -> None:
        self._worker = worker
        self._engine = worker.engine
        self._databases = worker.databases
        self._job = job
        self.plan = plan or []

    def into(self, index: int, statement: Statement) -> int:
        """``SELECT … INTO``; number of rows."""
        target = _target(statement)
        if target.database in OWN:
            # Before hours of computing.
            self._databases.forget(target.database)
            catalog = self._databases.catalog(target.database)
            if catalog is not None and catalog.table(target.table) is not None:
                raise exists(target)
        with self.staged(statement) as stage:
            return self.write(index, target, stage, CREATE, statement.columns)

    def insert(self, index: int, statement: Statement) -> int:
        """``INSERT``; number of rows."""
        target = _target(statement)
        with self.staged(statement) as stage:
            return self.write(index, target, stage, APPEND, (), statement.target_columns)

    def change(self, index: int, statement: Statement) -> int | None:
        """``UPDATE``, ``DELETE``, ``CREATE``, ``ALTER`` …; number of rows where that means something."""
        target = _target(statement)
        wishes = {table.database: READ for table in statement.reads} | {target.database: WRITE}
        with self._databases.using(wishes):
            self._engine.prepare(statement.prelude)
            with self._transaction(target.database, frees=statement.frees):
                before = self._exists(target)
                rows = self._engine.execute(statement.sql)
                if not before and self._exists(target):
                    self._describe(target, [])
                count = rows[0][0] if rows and isinstance(rows[0][0], int) else None
                self._note(target.database, index, count)
        self._databases.forget(target.database)
        return count

    @contextlib.contextmanager
    def staged(self, statement: Statement) -> Iterator[str]:
        """The rows of a statement's SELECT, computed; the table's name."""
        if statement.engine:
            with self._engine.arrow(STAGE, self._worker.remote(statement)):
                yield STAGE
            return
        with self._databases.using({table.database: READ for table in statement.reads}):
            self._engine.prepare(statement.prelude)
            self._engine.execute(f"CREATE OR REPLACE TEMP TABLE {STAGE} AS {statement.sql}")
        try:
            yield f"temp.main.{STAGE}"
        finally:
            self._engine.execute(f"DROP TABLE IF EXISTS temp.main.{STAGE}")

    def write(
        self,
        index: int,
        target: TableName,
        stage: str,
        mode: str,
        columns: Sequence[Column],
        target_columns: Sequence[str] = (),
    ) -> int:
        """Copy rows to a table of the user; their number.

        Parameters
        ----------
        stage
            Name of the table or view with the rows.
        mode
            `CREATE` (it must not exist), `APPEND`, or `REPLACE`.
        columns
            What is known of them, in order.
        target_columns
            Names of the columns that the rows go to; empty for all.
        """
        name = ".".join(quoted(part) for part in (target.database, "main", target.table))
        with self._databases.using({target.database: WRITE}), self._transaction(target.database, frees=False):
            there = self._exists(target)
            if there and mode == CREATE:
                raise exists(target)
            if mode == APPEND:
                if not there:
                    raise missing(target)
                into = f" ({', '.join(quoted(column) for column in target_columns)})" if target_columns else ""
                [(rows,)] = self._engine.execute(f"INSERT INTO {name}{into} SELECT * FROM {stage}")  # noqa: S608
            else:
                if there:
                    self._engine.execute(f"DROP TABLE {name}")
                [(rows,)] = self._engine.execute(f"CREATE TABLE {name} AS SELECT * FROM {stage}")  # noqa: S608
                self._describe(target, columns)
            self._note(target.database, index, rows)
        self._databases.forget(target.database)
        return int(rows)

    @contextlib.contextmanager
    def _transaction(self, database: str, *, frees: bool) -> Iterator[None]:
        space = Space(self._engine, self._worker.limits, database, self._databases.file(database))
        with space.transaction(frees=frees):
            yield
            self._worker.link.check()

    def _exists(self, target: TableName) -> bool:
        return bool(
            self._engine.execute(
                "SELECT 1 FROM (SELECT database_name, schema_name, table_name FROM duckdb_tables() UNION ALL "
                "SELECT database_name, schema_name, view_name FROM duckdb_views()) "
                "WHERE database_name = $1 AND schema_name = 'main' AND lower(table_name) = lower($2)",
                [target.database, target.table],
            )
        )

    def _describe(self, target: TableName, columns: Sequence[Column]) -> None:
        """Write down when a table was made, and what is known of its columns."""
        names = [
            name
            for (name,) in self._engine.execute(
                "SELECT column_name FROM duckdb_columns() WHERE database_name = $1 AND schema_name = 'main' "
                "AND lower(table_name) = lower($2) ORDER BY column_index",
                [target.database, target.table],
            )
        ]
        known = []
        if len(columns) == len(names):
            known = [
                Column(name, column.type, column.unit, column.ucd, column.description)
                for name, column in zip(names, columns, strict=True)
            ]
        for text in comment_statements(target.database, target.table, known, created=now()):
            self._engine.execute(text)

    def _note(self, database: str, index: int, rows: int | None) -> None:
        if self._job is not None:
            journal.note(self._engine, database, self._job, index, rows, self.plan)


def columns_of(schema: pa.Schema) -> list[Column]:
    """What an Arrow schema's metadata says of its columns."""
    found = []
    for field in schema:
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        found.append(Column(field.name, "", about.get("unit", ""), about.get("ucd", ""), about.get("description", "")))
    return found


def now() -> str:
    """In UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def created(comment: str | None) -> datetime.datetime | None:
    """When a table with this comment was made; None if that is not known."""
    text = read_comment(comment).get("created")
    try:
        return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def exists(target: TableName) -> QueryError:
    """The table is there already."""
    return QueryError(
        f"There is a table {target} already.",
        Kind.DATA,
        hint=f"Drop it first (DROP TABLE {target}), add to it (INSERT INTO {target} SELECT …), or take another name.",
    )


def missing(target: TableName) -> QueryError:
    """The table is not there."""
    return QueryError(f"There is no table {target}.", Kind.NAME)


def _target(statement: Statement) -> TableName:
    if statement.target is None:
        raise QueryError("The statement names no table to write to.", Kind.INTERNAL)
    return statement.target
