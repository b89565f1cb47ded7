"""What is done with whole tables: look, read, rename, drop, upload, purge."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from casjobs_service import readers
from casjobs_service.catalog import MYSCRATCH, OWN, Table
from casjobs_service.duckdb_catalog import read_catalog
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Action, Statement, TableName
from casjobs_service.results import Stats, with_columns
from casjobs_service.worker.databases import READ, WRITE
from casjobs_service.worker.engine import quoted
from casjobs_service.worker.output import Formatted, measured, send
from casjobs_service.worker.writing import (
    APPEND,
    CREATE,
    REPLACE,
    STAGE,
    Writing,
    columns_of,
    created,
    exists,
    missing,
)

if TYPE_CHECKING:
    from casjobs_service.worker.main import Worker


def catalog(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """What is in MyDB or MyScratch, with the tables' sizes."""
    database = _own(request)
    with worker.databases.using({database: READ}):
        if not worker.databases.exists(database):
            return {"catalog": {"database": database, "engine": "duckdb", "tables": [], "functions": []}}
        return {"catalog": read_catalog(worker.engine.execute, database, sizes=True).to_json()}


def read(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Rows of a table: ``rows`` of them, or all; ``output`` as for a query."""
    name, table = find(worker, request["database"], request["table"])
    limit = f" LIMIT {int(request['rows'])}" if request.get("rows") is not None else ""
    sql = f"SELECT * FROM {_full(name)}{limit}"  # noqa: S608 - names in quotes, from a catalogue or of ours
    wish = request.get("output") or {}
    output = Formatted(wish, 1, worker.session)
    stats = Stats()

    def pieces() -> Iterator[bytes]:
        yield from output.begin()
        with worker.databases.using({name.database: READ}), worker.engine.stream(sql) as reader:
            schema = with_columns(reader.schema, table.columns, name.table, table.description)
            yield from output.result(1, schema, measured(reader, worker.limits, worker.link.check, stats))
        yield from output.end()

    send(worker.link, pieces(), output.media_type, wish.get("compression") or "")
    return {"rows": stats.rows}


def convert(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Kept results (``spools``: files of the session) as one file of a format."""
    spools = request["spools"]
    wish = request.get("output") or {}
    output = Formatted(wish, len(spools), worker.session)
    chosen = wish.get("result")

    def pieces() -> Iterator[bytes]:
        yield from output.begin()
        for number, spool in enumerate(spools, 1):
            if chosen in (None, number):
                yield from output.spooled(worker.session / spool)
        yield from output.end()

    send(worker.link, pieces(), output.media_type, wish.get("compression") or "")
    return {}


def upload(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Make a table of a file of the session: ``format``, and ``mode`` create, append or replace."""
    database = _own(request)
    target = TableName(database, request["table"])
    mode = request.get("mode") or CREATE
    if mode not in (CREATE, APPEND, REPLACE):
        raise QueryError(f"There is no mode {mode}.", Kind.UNSUPPORTED, hint="Use create, append or replace.")
    there = _known(worker, target)
    if there is not None and mode == CREATE:
        raise exists(TableName(database, there.name))
    if there is None and mode == APPEND:
        raise missing(target)
    if there is not None:
        target = TableName(database, there.name)
    with readers.open_table(worker.session / request["file"], request["format"]) as file:
        columns = columns_of(file.schema)
        worker.engine.execute(f"DROP TABLE IF EXISTS temp.main.{STAGE}")
        with worker.engine.arrow("sciserver_file", _plain(file.reader())):
            worker.engine.execute(f"CREATE TEMP TABLE {STAGE} AS FROM sciserver_file")
    names: list[str] = []
    if there is not None and mode == APPEND:
        names = _matched(there, [column.name for column in columns])
    rows = Writing(worker).write(0, target, f"temp.main.{STAGE}", mode, columns, names)
    return {"rows": rows, "table": target.table}


def drop(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Remove a table or view."""
    database = _own(request)
    name, table = find(worker, database, request["table"])
    what = "VIEW" if table.kind == "view" else "TABLE"
    _change(worker, name, f"DROP {what} {_full(name)}", frees=True)
    return {}


def rename(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Give a table or view another name, ``to``."""
    database = _own(request)
    name, table = find(worker, database, request["table"])
    to = request["to"]
    other = _known(worker, TableName(database, to))
    if other is not None and other.name != table.name:
        raise exists(TableName(database, other.name))
    what = "VIEW" if table.kind == "view" else "TABLE"
    _change(worker, name, f"ALTER {what} {_full(name)} RENAME TO {quoted(to)}", frees=True)
    return {}


def purge(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Drop tables of MyScratch that were made more than ``days`` ago."""
    limit = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=float(request["days"]))
    dropped = []
    if worker.databases.exists(MYSCRATCH):
        with worker.databases.using({MYSCRATCH: WRITE}):
            for name, comment in worker.engine.execute(
                "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = $1 AND schema_name = 'main'",
                [MYSCRATCH],
            ):
                made = created(comment)
                if made is not None and made < limit:
                    worker.engine.execute(f"DROP TABLE {_full(TableName(MYSCRATCH, name))}")
                    dropped.append(name)
        worker.databases.forget(MYSCRATCH)
    return {"tables": dropped}


def find(worker: Worker, database: str, name: str) -> tuple[TableName, Table]:
    """A table by name, in any case.

    Raises
    ------
    QueryError
        There is none.
    """
    catalog = worker.databases.catalog(database)
    table = catalog.table(name) if catalog is not None else None
    if catalog is None or table is None:
        raise missing(TableName(catalog.database if catalog else database, name))
    if catalog.engine != "duckdb":
        raise QueryError(f"{catalog.database} is not in this engine.", Kind.INTERNAL)
    return TableName(catalog.database, table.name), table


def _known(worker: Worker, target: TableName) -> Table | None:
    catalog = worker.databases.catalog(target.database)
    return catalog.table(target.table) if catalog else None


def _change(worker: Worker, target: TableName, sql: str, *, frees: bool) -> None:
    Writing(worker).change(0, Statement(Action.CHANGE, sql, target=target, frees=frees))


def _matched(table: Table, names: list[str]) -> list[str]:
    """The table's columns that the file's go to, by name."""
    found = []
    for name in names:
        column = table.column(name)
        if column is None:
            raise QueryError(
                f"The file has a column {name}, and the table {table.name} has none of that name.",
                Kind.DATA,
                hint="The table's columns are: " + ", ".join(column.name for column in table.columns) + ".",
            )
        found.append(column.name)
    return found


def _plain(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    # Metadata of Arrow's extension types in the file must not choose types of the engine.
    schema = pa.schema([field.remove_metadata() for field in reader.schema])
    return pa.RecordBatchReader.from_batches(
        schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    )


def _own(request: dict[str, Any]) -> str:
    for name in OWN:
        if name.lower() == str(request["database"]).lower():
            return name
    raise QueryError(f"{request['database']} cannot be written.", Kind.FORBIDDEN)


def _full(name: TableName) -> str:
    return ".".join(quoted(part) for part in (name.database, "main", name.table))
