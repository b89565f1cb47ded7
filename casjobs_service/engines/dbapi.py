"""Trino and SQL Server, by drivers that give rows as Python objects.

Each is several times slower to read than ADBC, so a third engine of this kind should first be looked for there.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from casjobs_service.catalog import Catalog, Column, Function, Table
from casjobs_service.engines.base import (
    BATCH_ROWS,
    CONNECT_SECONDS,
    Explanation,
    Login,
    refused,
    too_long,
    unavailable,
)
from casjobs_service.engines.postgresql_catalog import described
from casjobs_service.errors import Kind, QueryError

_ARROW = {
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
}

_TRINO = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "varbinary": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
}

_SQL_SERVER = {
    "bit": "BOOLEAN",
    # Without sign there, and wider than ours with one.
    "tinyint": "SMALLINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "float": "DOUBLE",
    "money": "DECIMAL(19,4)",
    "smallmoney": "DECIMAL(10,4)",
    "binary": "BLOB",
    "varbinary": "BLOB",
    "image": "BLOB",
    "timestamp": "BLOB",
    "rowversion": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "datetime": "TIMESTAMP",
    "datetime2": "TIMESTAMP",
    "smalldatetime": "TIMESTAMP",
    "datetimeoffset": "TIMESTAMP WITH TIME ZONE",
}

_DECIMAL = re.compile(r"(?:decimal|numeric)\((\d+),\s*(\d+)\)")


def trino_type(name: str) -> str:
    """DuckDB's name of a Trino type; what it has no type for comes, and is shown, as text."""
    name = name.lower()
    if match := _DECIMAL.fullmatch(name):
        return f"DECIMAL({match[1]},{match[2]})"
    if match := re.fullmatch(r"array\((.*)\)", name):
        element = trino_type(match[1])
        return f"{element}[]" if element in _ARROW and (element != "VARCHAR" or "char" in match[1]) else "VARCHAR"
    return _TRINO.get(re.sub(r"\(\d+\)", "", name), "VARCHAR")


def sql_server_type(name: str) -> str:
    """DuckDB's name of a SQL Server type; what it has no type for comes, and is shown, as text."""
    name = name.lower()
    if match := _DECIMAL.fullmatch(name):
        return f"DECIMAL({match[1]},{match[2]})"
    return _SQL_SERVER.get(re.sub(r"\(.*\)", "", name), "VARCHAR")


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a type that `trino_type` or `sql_server_type` has given."""
    if name.endswith("[]"):
        return pa.list_(arrow_type(name[:-2]))
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", name):
        return pa.decimal128(int(match[1]), int(match[2]))
    return _ARROW[name]


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value)


def batches(
    schema: pa.Schema, fetch: Callable[[int], Sequence[Sequence[Any]]], explained: Callable[[Exception], QueryError]
) -> Iterator[pa.RecordBatch]:
    """Rows of Python objects as record batches.

    Parameters
    ----------
    fetch
        Gives at most so many of the next rows.
    explained
        Makes of the driver's error one for users.
    """
    while True:
        try:
            rows = fetch(BATCH_ROWS)
        except Exception as error:
            # Drivers raise their own errors, and those of the libraries below them.
            raise explained(error) from error
        if not rows:
            return
        columns = []
        for field, values in zip(schema, zip(*rows, strict=True), strict=True):
            try:
                as_text = pa.types.is_string(field.type)
                columns.append(pa.array(map(_as_text, values) if as_text else values, field.type))
            except (pa.ArrowException, OverflowError) as error:
                raise QueryError(
                    f"The column {field.name} has values that its type {field.type} cannot hold.", hint="Cast it."
                ) from error
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _driver(name: str, engine: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise QueryError(
            f"The driver for {engine} is not installed on the server.",
            Kind.UNAVAILABLE,
            hint=f"The operator installs it with the extra [{extra}].",
        ) from error


def _no_upload(engine: str) -> QueryError:
    return QueryError(
        f"Your own tables cannot be joined inside a database of {engine}.",
        Kind.UNSUPPORTED,
        hint="Bring the rows that you need with SELECT … INTO MyDB first, and join them there.",
    )


class Trino:
    """A Trino cluster, one catalog and schema of it; see `casjobs_service.engines.base.Engine`.

    Times come in microseconds, which is what the driver makes of finer ones.
    """

    def __init__(self, login: Login, seconds: float) -> None:
        self._seconds = seconds
        driver = _driver("trino.dbapi", "Trino", "trino")
        self._exceptions = importlib.import_module("trino.exceptions")
        options = login.options
        path = login.path
        if len(path) != 2:
            raise refused() from ValueError("The address must end in /CATALOG/SCHEMA.")
        self._catalog, self._schema = path
        secure = options.get("http_scheme", "https" if login.password or login.parts.port == 443 else "http")
        authentication = importlib.import_module("trino.auth").BasicAuthentication
        try:
            self._connection = driver.connect(
                host=login.parts.hostname,
                port=login.parts.port or (443 if secure == "https" else 8080),
                user=login.user or "casjobs",
                catalog=self._catalog,
                schema=self._schema,
                source="SciServer CasJobs",
                http_scheme=secure,
                auth=authentication(login.user, login.password) if login.password else None,
                request_timeout=CONNECT_SECONDS,
                session_properties={"query_max_run_time": f"{max(seconds, 0.001):.3f}s"},
            )
        except self._exceptions.TrinoAuthError as error:
            # A password without TLS.
            raise refused() from error
        self._cursor = self._connection.cursor()

    def catalog(self, database: str) -> Catalog:
        """Tables and views of the schema, with comments where the connector has them."""
        catalog = Catalog(database, "trino")
        where = f"= {_literal(self._catalog)}", f"= {_literal(self._schema)}"
        columns: dict[str, list[Column]] = {}
        for table, name, type, comment in self._rows(
            "SELECT table_name, column_name, type_name, remarks FROM system.jdbc.columns "  # noqa: S608
            f"WHERE table_cat {where[0]} AND table_schem {where[1]} ORDER BY table_name, ordinal_position"
        ):
            columns.setdefault(table, []).append(Column(name, trino_type(type), **described(comment)))
        comments = dict(
            self._rows(
                "SELECT table_name, comment FROM system.metadata.table_comments "  # noqa: S608
                f"WHERE catalog_name {where[0]} AND schema_name {where[1]}"
            )
        )
        for name, kind in self._rows(
            "SELECT table_name, table_type FROM system.jdbc.tables "  # noqa: S608
            f"WHERE table_cat {where[0]} AND table_schem {where[1]} ORDER BY table_name"
        ):
            if name in columns:
                text = described(comments.get(name)).get("description", "")
                catalog.tables.append(Table(name, columns[name], "view" if kind == "VIEW" else "table", text))
        return catalog

    def upload(self, name: str, rows: pa.RecordBatchReader) -> None:
        """Trino has no temporary tables."""
        raise _no_upload("Trino")

    def run(self, sql: str) -> pa.RecordBatchReader:
        """Run a statement that returns rows."""
        try:
            self._cursor.execute(sql)
            description = self._cursor.description or []
        except Exception as error:
            raise self._explained(error) from error
        schema = pa.schema([(column.name, arrow_type(trino_type(column.type_code))) for column in description])
        return pa.RecordBatchReader.from_batches(schema, batches(schema, self._cursor.fetchmany, self._explained))

    def explain(self, sql: str) -> Explanation:
        """The planner's text; the rows where statistics exist."""
        text = "\n".join(row[0] for row in self._rows(f"EXPLAIN {sql}"))
        # The first estimate is the root's: Estimates: {rows: 1000 (8.79kB), cpu: …}
        match = re.search(r"rows: (\d+)", text)
        return Explanation(text, int(match[1]) if match else None)

    def cancel(self) -> None:
        """Ask the coordinator to end what runs."""
        self._cursor.cancel()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rows(self, sql: str) -> list[Any]:
        try:
            self._cursor.execute(sql)
            return list(self._cursor.fetchall())
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> QueryError:
        exceptions = self._exceptions
        if isinstance(error, exceptions.TrinoQueryError):
            name = error.error_name or ""
            if name == "EXCEEDED_TIME_LIMIT":
                return too_long(self._seconds)
            if error.error_type == "EXTERNAL" or name in ("SERVER_SHUTTING_DOWN", "SERVER_STARTING_UP"):
                return unavailable()
            kind = _TRINO_KINDS.get(name, Kind.LIMIT if error.error_type == "INSUFFICIENT_RESOURCES" else Kind.DATA)
            return QueryError(re.sub(r"^line \d+:\d+: ", "", error.message), kind)
        if isinstance(error, exceptions.TrinoAuthError) or re.search(r"error 40[13]", str(error)):
            return refused()
        return unavailable()


_TRINO_KINDS = {
    "SYNTAX_ERROR": Kind.SYNTAX,
    "TABLE_NOT_FOUND": Kind.NAME,
    "COLUMN_NOT_FOUND": Kind.NAME,
    "FUNCTION_NOT_FOUND": Kind.NAME,
    "SCHEMA_NOT_FOUND": Kind.NAME,
    "CATALOG_NOT_FOUND": Kind.NAME,
    "AMBIGUOUS_NAME": Kind.NAME,
    "PERMISSION_DENIED": Kind.FORBIDDEN,
    "NOT_SUPPORTED": Kind.UNSUPPORTED,
    "USER_CANCELED": Kind.CANCELLED,
    "ADMINISTRATIVELY_KILLED": Kind.CANCELLED,
}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_SQL_SERVER_COLUMNS = """
SELECT s.name, o.name, o.type, c.name, t.name, c.precision, c.scale,
       CAST(cp.value AS nvarchar(4000)), CAST(tp.value AS nvarchar(4000))
FROM sys.objects o JOIN sys.schemas s ON s.schema_id = o.schema_id
JOIN sys.columns c ON c.object_id = o.object_id JOIN sys.types t ON t.user_type_id = c.system_type_id
LEFT JOIN sys.extended_properties cp ON cp.class = 1 AND cp.name = 'MS_Description'
     AND cp.major_id = o.object_id AND cp.minor_id = c.column_id
LEFT JOIN sys.extended_properties tp ON tp.class = 1 AND tp.name = 'MS_Description'
     AND tp.major_id = o.object_id AND tp.minor_id = 0
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0
ORDER BY CASE s.name WHEN 'dbo' THEN 0 ELSE 1 END, s.name, o.name, c.column_id
"""

_SQL_SERVER_FUNCTIONS = """
SELECT o.name, o.type, p.parameter_id, p.name, t.name, p.precision, p.scale
FROM sys.objects o LEFT JOIN sys.parameters p ON p.object_id = o.object_id
LEFT JOIN sys.types t ON t.user_type_id = p.system_type_id
WHERE o.type IN ('FN', 'FS', 'IF', 'TF', 'FT') AND o.is_ms_shipped = 0
ORDER BY o.name, p.parameter_id
"""


class SQLServer:
    """A SQL Server database; see `casjobs_service.engines.base.Engine`.

    The account must be one that may only read: SQL Server has no transactions that only read.
    """

    def __init__(self, login: Login, seconds: float) -> None:
        self._seconds = seconds
        self._driver = _driver("pymssql", "SQL Server", "sqlserver")
        path = login.path
        try:
            self._connection = self._driver.connect(
                server=login.parts.hostname,
                port=str(login.parts.port or 1433),
                user=login.user,
                password=login.password,
                database=path[0] if path else "",
                timeout=max(1, round(seconds)),
                login_timeout=CONNECT_SECONDS,
                appname="SciServer CasJobs",
                autocommit=True,
                read_only=True,
                encryption=login.options.get("encryption", "request"),
            )
        except self._driver.Error as error:
            raise (refused() if "Login failed" in str(error) else unavailable()) from error
        self._cursor = self._connection.cursor()

    def catalog(self, database: str) -> Catalog:
        """Tables, views and functions that the account may see."""
        return sql_server_catalog(database, self._rows(_SQL_SERVER_COLUMNS), self._rows(_SQL_SERVER_FUNCTIONS))

    def upload(self, name: str, rows: pa.RecordBatchReader) -> None:
        """Not done for SQL Server."""
        raise _no_upload("SQL Server")

    def run(self, sql: str) -> pa.RecordBatchReader:
        """Run a statement that returns rows."""
        try:
            # The driver itself only tells number, text, time.
            self._cursor.execute(
                "SELECT name, system_type_name FROM sys.dm_exec_describe_first_result_set(%s, NULL, 0) "
                "ORDER BY column_ordinal",
                (sql,),
            )
            columns = self._cursor.fetchall()
            self._cursor.execute(sql)
        except Exception as error:
            raise self._explained(error) from error
        schema = pa.schema([(name or "", arrow_type(sql_server_type(type or ""))) for name, type in columns])
        return pa.RecordBatchReader.from_batches(schema, batches(schema, self._cursor.fetchmany, self._explained))

    def explain(self, sql: str) -> Explanation:
        """The planner's text, and its estimate of the rows."""
        self._execute("SET SHOWPLAN_ALL ON")
        try:
            rows = self._rows(sql)
            names = [column[0] for column in self._cursor.description]
        finally:
            self._execute("SET SHOWPLAN_ALL OFF")
        text, estimate = names.index("StmtText"), names.index("EstimateRows")
        estimates = [row[estimate] for row in rows if row[estimate] is not None]
        return Explanation("\n".join(row[text] for row in rows), round(estimates[0]) if estimates else None)

    def cancel(self) -> None:
        """Nothing: the server ends the statement when it sees the connection closed, which the process's end does."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _execute(self, sql: str) -> None:
        try:
            self._cursor.execute(sql)
        except Exception as error:
            raise self._explained(error) from error

    def _rows(self, sql: str) -> list[Any]:
        self._execute(sql)
        return list(self._cursor.fetchall())

    def _explained(self, error: Exception) -> QueryError:
        number, text = sql_server_complaint(error)
        if "timed out" in text or number == 20003:
            return too_long(self._seconds)
        if number is None or number >= 20000:
            # DB-Library's own: the connection is dead, nobody answers.
            return unavailable()
        return QueryError(text, _SQL_SERVER_KINDS.get(number, Kind.DATA))


_SQL_SERVER_KINDS = {
    102: Kind.SYNTAX,
    105: Kind.SYNTAX,
    156: Kind.SYNTAX,
    207: Kind.NAME,
    208: Kind.NAME,
    209: Kind.NAME,
    4121: Kind.NAME,
    229: Kind.FORBIDDEN,
    230: Kind.FORBIDDEN,
    701: Kind.LIMIT,
    1105: Kind.LIMIT,
}


def sql_server_complaint(error: Exception) -> tuple[int | None, str]:
    """Number and text of SQL Server's message in a driver's error; no number if it is none."""
    arguments = error.args
    if arguments and isinstance(arguments[0], tuple):
        arguments = arguments[0]
    if len(arguments) < 2 or not isinstance(arguments[0], int):
        return None, str(error)
    text = arguments[1].decode(errors="replace") if isinstance(arguments[1], bytes) else str(arguments[1])
    # The driver's own addition, with the address of the server.
    return arguments[0], text.split("DB-Lib error message")[0].strip()


def sql_server_catalog(database: str, columns: list[Any], functions: list[Any]) -> Catalog:
    """A catalogue from the rows of SQL Server's own."""
    catalog = Catalog(database, "mssql")
    tables: dict[tuple[str, str], Table] = {}
    for schema, name, kind, column, type, precision, scale, comment, table_comment in columns:
        table = tables.get((schema, name))
        if table is None:
            if any(other == name for _, other in tables):
                # The same name in a second schema: that in dbo, which comes first, is meant.
                continue
            text = described(table_comment).get("description", "")
            table = Table(name, [], "view" if kind.strip() == "V" else "table", text)
            table.schema = "" if schema == "dbo" else schema
            tables[schema, name] = table
            catalog.tables.append(table)
        table.columns.append(Column(column, _full_type(type, precision, scale), **described(comment)))
    for name, kind, number, parameter, type, precision, scale in functions:
        function = catalog.function(name)
        if function is None:
            function = Function(name, "scalar" if kind.strip() in ("FN", "FS") else "table", [])
            catalog.functions.append(function)
        if number == 0:
            function.returns = _full_type(type, precision, scale)
        elif number is not None:
            function.parameters.append(Column(parameter.lstrip("@"), _full_type(type, precision, scale)))
    return catalog


def _full_type(type: str, precision: int, scale: int) -> str:
    return sql_server_type(f"{type}({precision},{scale})" if type in ("decimal", "numeric") else type)
