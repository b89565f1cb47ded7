"""Runs a script: translate, then one statement after the other."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from casjobs_service.catalog import MYDB, OWN
from casjobs_service.dialect import translate
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import Parameter, read
from casjobs_service.plan import Action, Statement, TableName
from casjobs_service.results import Stats, cut, with_columns
from casjobs_service.worker import journal
from casjobs_service.worker.databases import READ
from casjobs_service.worker.engine import quoted
from casjobs_service.worker.failures import located
from casjobs_service.worker.output import Formatted, Output, Spooled, measured, send
from casjobs_service.worker.writing import Writing

if TYPE_CHECKING:
    from casjobs_service.worker.main import Worker

DIALECT = "tsql"
"""Of texts that say nothing else."""

AHEAD = 32_000_000
"""Bytes of a result that are read from the user's own database before the first is sent: a client that takes its time
does not keep others from the file."""

PROGRESS = 1.0
"""Seconds between two reports of progress."""


def plan(worker: Worker, request: dict[str, Any], guessed: Iterable[Parameter] = ()) -> list[Statement]:
    """Translate the text of a request, and open the engine for it.

    Parameters
    ----------
    guessed
        Parameters that the request should have had.

    Raises
    ------
    QueryError
        The text cannot be run.
    """
    text, parameters = request["text"], request.get("parameters") or {}
    if len(text.encode()) + (len(json.dumps(parameters)) if parameters else 0) > worker.text_bytes:
        raise QueryError(
            f"The query{' and its parameters are' if parameters else ' is'} longer than {worker.text_bytes:,} bytes.",
            Kind.LIMIT,
            hint="Upload long lists as a table, and join with it.",
        )
    dialect = request.get("dialect") or DIALECT
    worker.open(dialect)
    return translate(
        text,
        worker.databases,
        request["context"],
        dialect=dialect,
        may_write=bool(request.get("may_write")),
        parameters={**{parameter.name: parameter for parameter in guessed}, **read(parameters)},
    )


class Script:
    """One ``query``."""

    def __init__(self, worker: Worker, request: dict[str, Any]) -> None:
        self._worker = worker
        self._engine = worker.engine
        self._link = worker.link
        self._databases = worker.databases
        self._request = request
        self._job: int | None = request.get("job")
        self._done: dict[int, int | None] = {}
        self._skipped: set[int] = set()
        self._rows = 0
        self._at = 0

    def run(self) -> dict[str, Any]:
        """Do it; what the event ``done`` says."""
        statements = self._earlier() or self._collected(plan(self._worker, self._request))
        self._link.send({"event": "plan", "statements": [asdict(statement) for statement in statements]})
        self._engine.bind(read(self._request.get("parameters")))
        self._writing = Writing(self._worker, self._job, statements)
        results = sum(statement.action is Action.SELECT for statement in statements)
        wish = self._request.get("output") or {}
        stop = threading.Event()
        reporter = threading.Thread(target=self._report, args=(stop, len(statements)), daemon=True)
        reporter.start()
        try:
            if wish.get("spool"):
                for _ in self._pieces(statements, Spooled(self._worker.session)):
                    pass
            else:
                output = Formatted(wish, results, self._worker.session)
                pieces = self._pieces(statements, output)
                send(self._link, pieces, output.media_type, wish.get("compression") or "")
        finally:
            stop.set()
            # What it has to say belongs before the event ``done``.
            reporter.join()
            self._databases.release()
        return {"rows": self._rows}

    def _earlier(self) -> list[Statement] | None:
        """The plan of a run of this job that was killed, and what it has done."""
        if self._job is None:
            return None
        found = None
        self._worker.open(self._request.get("dialect") or DIALECT)
        wishes = {database: READ for database in OWN if self._databases.exists(database)}
        with self._databases.using(wishes, keep=True):
            for database in wishes:
                done, statements = journal.read(self._engine, database, self._job)
                self._done |= done
                found = found or statements
        if found is not None:
            self._skipped = journal.repeated(found, self._done)
        return found

    def _collected(self, statements: list[Statement]) -> list[Statement]:
        """With ``into``: the only result becomes a table of MyDB."""
        name = self._request.get("into")
        if not name:
            return statements
        selects = [statement for statement in statements if statement.action is Action.SELECT]
        if len(selects) != 1:
            raise QueryError(
                f"The script returns {len(selects)} results, and a table can be made of one.", Kind.UNSUPPORTED
            )
        selects[0].action = Action.INTO
        selects[0].target = TableName(MYDB, name)
        return statements

    def _pieces(self, statements: list[Statement], output: Output) -> Iterator[bytes]:
        """Run the statements; bytes for the client."""
        yield from output.begin()
        results = 0
        for index, statement in enumerate(statements):
            self._link.check()
            self._at = index
            begun = time.monotonic()
            rows: int | None
            try:
                if statement.action is Action.SELECT:
                    results += 1
                    returned = yield from self._select(statement, results, output)
                    self._rows += returned
                    rows = returned
                else:
                    rows = self._other(index, statement)
            except GeneratorExit:
                raise
            except Exception as error:
                raise located(error, statement, self._worker.limits) from error
            event = {
                "event": "statement",
                "index": index,
                "action": str(statement.action),
                "rows": rows,
                "table": str(statement.target) if statement.target else None,
                "seconds": round(time.monotonic() - begun, 4),
            }
            self._link.send(event)
        yield from output.end()

    def _select(self, statement: Statement, number: int, output: Output) -> Generator[bytes, None, int]:
        stats = Stats()
        own = [table.database for table in statement.reads if table.database in OWN]
        if statement.engine:
            yield from self._result(
                self._worker.remote(statement, self._request.get("limit") or 0), statement, number, output, stats
            )
        else:
            with self._databases.using({table.database: READ for table in statement.reads}):
                self._engine.prepare(statement.prelude)
                with self._engine.stream(statement.sql) as reader:
                    yield from self._result(reader, statement, number, output, stats, ahead=bool(own))
        return stats.rows

    def _result(
        self,
        reader: pa.RecordBatchReader,
        statement: Statement,
        number: int,
        output: Output,
        stats: Stats,
        *,
        ahead: bool = False,
    ) -> Iterator[bytes]:
        schema = reader.schema
        if len(statement.columns) == len(schema.names):
            # DuckDB makes the names of columns unique; the user's may repeat.
            schema = pa.schema(
                [field.with_name(column.name) for field, column in zip(schema, statement.columns, strict=True)],
                schema.metadata,
            )
        schema = with_columns(schema, statement.columns, name=f"Table{number}")
        most = self._request.get("limit")
        first = cut(reader, most) if most else reader
        batches: Iterable[pa.RecordBatch] = measured(first, self._worker.limits, self._link.check, stats)
        if ahead:
            batches = self._ahead(batches)
        columns = [{"name": field.name, "type": str(field.type)} for field in schema]
        self._link.send({"event": "result", "index": number, "name": f"Table{number}", "columns": columns})
        yield from output.result(number, schema, batches)

    def _ahead(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same; a small result gives the user's files back before its first row is sent."""
        batches = iter(batches)
        first, size = [], 0
        for batch in batches:
            first.append(batch)
            size += batch.nbytes
            if size > AHEAD:
                break
        else:
            self._databases.release()
        yield from first
        yield from batches

    def _other(self, index: int, statement: Statement) -> int | None:
        """A statement that returns nothing; its number of rows."""
        target = statement.target
        if index in self._done:
            return self._done[index]
        if index in self._skipped:
            return None
        match statement.action:
            case Action.INTO if _temporary(target):
                return self._temporary(statement, "CREATE TEMP TABLE {} AS FROM {}")
            case Action.INSERT if _temporary(target):
                return self._temporary(statement, "INSERT INTO {} FROM {}")
            case Action.INTO:
                return self._writing.into(index, statement)
            case Action.INSERT:
                return self._writing.insert(index, statement)
            case Action.CHANGE if not _temporary(target):
                return self._writing.change(index, statement)
            case Action.CHANGE | Action.SESSION:
                with self._databases.using({table.database: READ for table in statement.reads}):
                    self._engine.prepare(statement.prelude)
                    rows = self._engine.execute(statement.sql)
                return rows[0][0] if rows and isinstance(rows[0][0], int) else None
        return None

    def _temporary(self, statement: Statement, sql: str) -> int:
        """Rows into a temporary table."""
        target = statement.target
        name = f"temp.main.{quoted(target.table if target else '')}"
        if statement.target_columns:
            name += f" ({', '.join(quoted(column) for column in statement.target_columns)})"
        with self._writing.staged(statement) as stage:
            [(rows,)] = self._engine.execute(sql.format(name, stage))
        return int(rows)

    def _report(self, stop: threading.Event, total: int) -> None:
        while not stop.wait(PROGRESS):
            fraction = self._engine.progress()
            self._link.send({"event": "progress", "statement": self._at, "of": total, "fraction": fraction})


def _temporary(target: TableName | None) -> bool:
    return target is not None and target.database not in OWN
