"""Trino, by its own client."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from casjobs_service.catalog import Catalog, Column, Table
from casjobs_service.engines.base import CONNECT_SECONDS, Explanation, Login, refused, too_long, unavailable
from casjobs_service.engines.dbapi import ARROW, DECIMAL, arrow_type, batches, driver, no_upload
from casjobs_service.engines.postgresql_catalog import described
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import Parameter

_TYPES = {
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


def trino_type(name: str) -> str:
    """DuckDB's name of a Trino type; what it has no type for comes, and is shown, as text."""
    name = name.lower()
    if match := DECIMAL.fullmatch(name):
        return f"DECIMAL({match[1]},{match[2]})"
    if match := re.fullmatch(r"array\((.*)\)", name):
        element = trino_type(match[1])
        return f"{element}[]" if element in ARROW and (element != "VARCHAR" or "char" in match[1]) else "VARCHAR"
    return _TYPES.get(re.sub(r"\(\d+\)", "", name), "VARCHAR")


class Trino:
    """A Trino cluster, one catalog and schema of it; see `casjobs_service.engines.base.Engine`.

    Times come in microseconds, which is what the driver makes of finer ones.
    """

    def __init__(self, login: Login, seconds: float) -> None:
        self._seconds = seconds
        database = driver("trino.dbapi", "Trino", "trino")
        self._exceptions = importlib.import_module("trino.exceptions")
        options = login.options
        path = login.path
        if len(path) != 2:
            raise refused() from ValueError("The address must end in /CATALOG/SCHEMA.")
        self._catalog, self._schema = path
        secure = options.get("http_scheme", "https" if login.password or login.parts.port == 443 else "http")
        authentication = importlib.import_module("trino.auth").BasicAuthentication
        try:
            self._connection = database.connect(
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
                "SELECT table_name, comment FROM system.metadata.table_comments "  # noqa: S608 - our own names
                f"WHERE catalog_name {where[0]} AND schema_name {where[1]}"
            )
        )
        for name, kind in self._rows(
            "SELECT table_name, table_type FROM system.jdbc.tables "  # noqa: S608 - our own names
            f"WHERE table_cat {where[0]} AND table_schem {where[1]} ORDER BY table_name"
        ):
            if name in columns:
                text = described(comments.get(name)).get("description", "")
                catalog.tables.append(Table(name, columns[name], "view" if kind == "VIEW" else "table", text))
        return catalog

    def upload(self, name: str, rows: pa.RecordBatchReader) -> None:
        """Trino has no temporary tables."""
        raise no_upload("Trino")

    def run(self, sql: str, parameters: Sequence[Parameter] = ()) -> pa.RecordBatchReader:
        """Run a statement that returns rows."""
        try:
            self._cursor.execute(sql, _values(parameters))
            description = self._cursor.description or []
        except Exception as error:
            raise self._explained(error) from error
        schema = pa.schema([(column.name, arrow_type(trino_type(column.type_code))) for column in description])
        return pa.RecordBatchReader.from_batches(schema, batches(schema, self._cursor.fetchmany, self._explained))

    def explain(self, sql: str, parameters: Sequence[Parameter] = ()) -> Explanation:
        """The planner's text; the rows where statistics exist."""
        text = "\n".join(row[0] for row in self._rows(f"EXPLAIN {sql}", parameters))
        # The first estimate is the root's: Estimates: {rows: 1000 (8.79kB), cpu: …}
        match = re.search(r"rows: (\d+)", text)
        return Explanation(text, int(match[1]) if match else None)

    def cancel(self) -> None:
        """Ask the coordinator to end what runs."""
        self._cursor.cancel()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rows(self, sql: str, parameters: Sequence[Parameter] = ()) -> list[Any]:
        try:
            self._cursor.execute(sql, _values(parameters))
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
            kind = _KINDS.get(name, Kind.LIMIT if error.error_type == "INSUFFICIENT_RESOURCES" else Kind.DATA)
            return QueryError(re.sub(r"^line \d+:\d+: ", "", error.message), kind)
        if isinstance(error, exceptions.TrinoAuthError) or re.search(r"error 40[13]", str(error)):
            return refused()
        return unavailable()


_KINDS = {
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


def _values(parameters: Sequence[Parameter]) -> list[Any] | None:
    """For the driver, which sends a statement with an empty list as one with places."""
    return [parameter.value for parameter in parameters] or None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
