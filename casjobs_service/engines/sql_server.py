"""SQL Server, by pymssql."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from casjobs_service.catalog import Catalog, Column, Function, Table
from casjobs_service.engines.base import CONNECT_SECONDS, Explanation, Login, refused, too_long, unavailable
from casjobs_service.engines.dbapi import DECIMAL, arrow_type, batches, driver, no_upload
from casjobs_service.engines.postgresql_catalog import described
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import Parameter

_TYPES = {
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


def sql_server_type(name: str) -> str:
    """DuckDB's name of a SQL Server type; what it has no type for comes, and is shown, as text."""
    name = name.lower()
    if match := DECIMAL.fullmatch(name):
        return f"DECIMAL({match[1]},{match[2]})"
    return _TYPES.get(re.sub(r"\(.*\)", "", name), "VARCHAR")


_COLUMNS = """
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

_FUNCTIONS = """
SELECT o.name, o.type, p.parameter_id, p.name, t.name, p.precision, p.scale
FROM sys.objects o LEFT JOIN sys.parameters p ON p.object_id = o.object_id
LEFT JOIN sys.types t ON t.user_type_id = p.system_type_id
WHERE o.type IN ('FN', 'FS', 'IF', 'TF', 'FT') AND o.is_ms_shipped = 0
ORDER BY o.name, p.parameter_id
"""


def with_parameters(
    sql: str, parameters: Sequence[Parameter]
) -> tuple[str | None, tuple[str, tuple[Any, ...] | None]]:
    """Declarations of variables (None: there are none), and what the driver is told to run a statement with them."""
    typed = {parameter.name: parameter for parameter in parameters if parameter.type}
    if not typed:
        return None, (sql, None)
    declared = ", ".join(f"@{name} {parameter.type}" for name, parameter in typed.items())
    given = ", ".join(f"@{name} = %s" for name in typed)
    values = (str(item.value) if isinstance(item.value, uuid.UUID) else item.value for item in typed.values())
    return declared, (f"EXEC sp_executesql %s, %s, {given}", (sql, declared, *values))


class SQLServer:
    """A SQL Server database; see `casjobs_service.engines.base.Engine`.

    The account must be one that may only read: SQL Server has no transactions that only read.
    """

    def __init__(self, login: Login, seconds: float) -> None:
        self._seconds = seconds
        self._driver = driver("pymssql", "SQL Server", "sqlserver")
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
        return sql_server_catalog(database, self._rows(_COLUMNS), self._rows(_FUNCTIONS))

    def upload(self, name: str, rows: pa.RecordBatchReader) -> None:
        """Not done for SQL Server."""
        raise no_upload("SQL Server")

    def run(self, sql: str, parameters: Sequence[Parameter] = ()) -> pa.RecordBatchReader:
        """Run a statement that returns rows."""
        declared, call = with_parameters(sql, parameters)
        try:
            # The driver itself only tells number, text, time.
            self._cursor.execute(
                "SELECT name, system_type_name FROM sys.dm_exec_describe_first_result_set(%s, %s, 0) "
                "ORDER BY column_ordinal",
                (sql, declared),
            )
            columns = self._cursor.fetchall()
            self._cursor.execute(*call)
        except Exception as error:
            raise self._explained(error) from error
        schema = pa.schema([(name or "", arrow_type(sql_server_type(type or ""))) for name, type in columns])
        return pa.RecordBatchReader.from_batches(schema, batches(schema, self._cursor.fetchmany, self._explained))

    def explain(self, sql: str, parameters: Sequence[Parameter] = ()) -> Explanation:
        """The planner's text, and its estimate of the rows."""
        _, call = with_parameters(sql, parameters)
        self._execute("SET SHOWPLAN_ALL ON")
        try:
            rows = self._rows(*call)
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

    def _execute(self, sql: str, values: tuple[Any, ...] | None = None) -> None:
        try:
            self._cursor.execute(sql, values)
        except Exception as error:
            raise self._explained(error) from error

    def _rows(self, sql: str, values: tuple[Any, ...] | None = None) -> list[Any]:
        self._execute(sql, values)
        return list(self._cursor.fetchall())

    def _explained(self, error: Exception) -> QueryError:
        number, text = sql_server_complaint(error)
        if "timed out" in text or number == 20003:
            return too_long(self._seconds)
        if number is None or number >= 20000:
            # DB-Library's own: the connection is dead, nobody answers.
            return unavailable()
        return QueryError(text, _KINDS.get(number, Kind.DATA))


_KINDS = {
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
