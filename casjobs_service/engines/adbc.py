"""PostgreSQL, by its ADBC driver: results are Arrow from the socket on.

The driver is used at the level below its DB-API, whose module brings pandas and polars into the process if they are
installed: a second and a half before the first query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlunsplit

import adbc_driver_manager
import adbc_driver_postgresql
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.catalog import Catalog
from casjobs_service.engines import postgresql_catalog
from casjobs_service.engines.base import (
    BATCH_BYTES,
    BATCH_ROWS,
    CONNECT_SECONDS,
    UNSCALED,
    Explanation,
    Login,
    refused,
    too_long,
    unavailable,
)
from casjobs_service.errors import Kind, QueryError
from casjobs_service.parameters import SETTING, Parameter

# Types that the driver gives as they are. Others come in PostgreSQL's binary form, or as a number that is not theirs
# (oid has no sign, money has a scale): the server makes text of them.
_AS_IS = frozenset(
    [
        "bool",
        "int2",
        "int4",
        "int8",
        "float4",
        "float8",
        "numeric",
        "text",
        "varchar",
        "bpchar",
        "char",
        "name",
        "bytea",
        "date",
        "time",
        "timestamp",
        "timestamptz",
    ]
)

_DAY = 24 * 3600 * 1_000_000
# Years 1 to 9999, days and microseconds from 1970-01-01: what every format of results can say.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896


class PostgreSQL:
    """A connection whose transactions only read; see `casjobs_service.engines.base.Engine`.

    Parameters
    ----------
    seconds
        After which the server ends a statement by itself.
    """

    def __init__(self, login: Login, seconds: float) -> None:
        self._seconds = seconds
        self._running: adbc_driver_manager.AdbcStatement | None = None
        try:
            self._database = adbc_driver_postgresql.connect(_uri(login))
            self._connection = adbc_driver_manager.AdbcConnection(self._database)
        except adbc_driver_manager.Error as error:
            raise _explained(error, seconds, connecting=True) from error
        milliseconds = max(1, int(seconds * 1000))
        self._do(f"SET statement_timeout = {milliseconds}")
        self._do("SET idle_in_transaction_session_timeout = '60s'")
        self._do("SET TIME ZONE 'UTC'")
        # The server looks whether we are still there while it computes. Servers before 14 cannot.
        if int(self._rows("SHOW server_version_num")[0]["server_version_num"]) >= 140000:
            self._do("SET client_connection_check_interval = '2s'")

    def catalog(self, database: str) -> Catalog:
        """Tables, views, columns, comments, functions of the schemas that the account may use."""
        return postgresql_catalog.read(self._rows, database)

    def upload(self, name: str, rows: pa.RecordBatchReader) -> None:
        """Make a temporary table, spelled exactly `name`, and let the planner know how large it is."""
        table = rows.read_all()
        # Not safe: times may lose their nanoseconds, which PostgreSQL has no place for.
        reader = table.cast(uploadable(table.schema), safe=False).to_reader(BATCH_ROWS)

        def ingest(statement: adbc_driver_manager.AdbcStatement) -> None:
            statement.set_options(
                **{
                    adbc_driver_manager.INGEST_OPTION_TARGET_TABLE: name,
                    adbc_driver_manager.INGEST_OPTION_MODE: adbc_driver_manager.INGEST_OPTION_MODE_CREATE,
                    adbc_driver_manager.StatementOptions.INGEST_TEMPORARY.value: "true",
                }
            )
            handle = adbc_driver_manager.ArrowArrayStreamHandle()
            reader._export_to_c(handle.address)
            statement.bind_stream(handle)
            statement.execute_update()

        self._with_statement(ingest)
        self._do(f"ANALYZE pg_temp.{quoted(name)}")

    def run(self, sql: str, parameters: Sequence[Parameter] = ()) -> pa.RecordBatchReader:
        """Run a statement that returns rows."""
        self._bind(parameters)
        self._do("SET default_transaction_read_only = on")
        # The driver puts it in parentheses, which a comment at its end would swallow.
        sql += "\n"
        statement = adbc_driver_manager.AdbcStatement(self._connection)
        self._running = statement
        try:
            statement.set_sql_query(sql)
            # What is imported from a handle is gone with it: it needs a name.
            description = statement.execute_schema()
            schema = pa.Schema._import_from_c(description.address)
            rewritten = _with_text_columns(sql, schema)
            if rewritten != sql:
                statement.set_sql_query(rewritten)
            statement.set_options(
                **{adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)}
            )
            handle, _ = statement.execute_query()
            reader = pa.RecordBatchReader._import_from_c(handle.address)
        except adbc_driver_manager.Error as error:
            raise _explained(error, self._seconds) from error
        target = pa.schema([_field(field) for field in reader.schema])
        return pa.RecordBatchReader.from_batches(target, self._batches(reader, target))

    def _batches(self, reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                columns = [_converted(column, field) for column, field in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            raise _explained(error, self._seconds) from error

    def explain(self, sql: str, parameters: Sequence[Parameter] = ()) -> Explanation:
        """The planner's text, and its estimate of the rows."""
        self._bind(parameters)
        self._do("SET default_transaction_read_only = on")
        lines = self._rows(f"EXPLAIN {sql}")
        plan = self._rows(f"EXPLAIN (FORMAT JSON) {sql}")[0]["QUERY PLAN"]
        rows = json.loads(plan)[0]["Plan"].get("Plan Rows")
        return Explanation("\n".join(line["QUERY PLAN"] for line in lines), rows)

    def cancel(self) -> None:
        """Ask the server, by a connection of its own, to end what runs."""
        if self._running is not None:
            self._running.cancel()

    def close(self) -> None:
        """Close the connection; what it made temporarily is gone."""
        for part in (self._running, self._connection, self._database):
            if part is not None:
                part.close()

    def _bind(self, parameters: Sequence[Parameter]) -> None:
        """Make values settings of the connection; the statement takes one that is not there for NULL."""
        values = {parameter.name: parameter.text for parameter in parameters if parameter.value is not None}
        if not values:
            return
        for name, value in values.items():
            if value is not None and "\0" in value:
                raise QueryError(f"The parameter {name} has a character 0, which PostgreSQL does not know.")
        rows = pa.record_batch(
            {"name": [SETTING.format(name) for name in values], "value": list(values.values())},
            pa.schema([("name", pa.string()), ("value", pa.string())]),
        )

        def execute(statement: adbc_driver_manager.AdbcStatement) -> None:
            statement.set_sql_query("SELECT set_config($1, $2, false)")
            array, schema = adbc_driver_manager.ArrowArrayHandle(), adbc_driver_manager.ArrowSchemaHandle()
            rows._export_to_c(array.address, schema.address)
            statement.bind(array, schema)
            statement.execute_update()

        self._with_statement(execute)

    def _do(self, sql: str) -> None:
        def execute(statement: adbc_driver_manager.AdbcStatement) -> None:
            statement.set_sql_query(sql)
            statement.execute_update()

        self._with_statement(execute)

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        def execute(statement: adbc_driver_manager.AdbcStatement) -> list[dict[str, Any]]:
            # SHOW and EXPLAIN cannot be copied.
            statement.set_options(**{adbc_driver_postgresql.StatementOptions.USE_COPY.value: "false"})
            statement.set_sql_query(sql)
            handle, _ = statement.execute_query()
            return list(pa.RecordBatchReader._import_from_c(handle.address).read_all().to_pylist())

        return list(self._with_statement(execute))

    def _with_statement(self, use: Callable[[adbc_driver_manager.AdbcStatement], Any]) -> Any:
        statement = adbc_driver_manager.AdbcStatement(self._connection)
        self._running = statement
        try:
            return use(statement)
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            raise _explained(error, self._seconds) from error
        finally:
            self._running = None
            statement.close()


def quoted(name: str) -> str:
    """A name as PostgreSQL reads it in exactly this spelling."""
    return '"' + name.replace('"', '""') + '"'


def uploadable(schema: pa.Schema) -> pa.Schema:
    """The types as which the driver can store columns: those that it does not know become the next wider, or text."""
    return pa.schema([pa.field(field.name, _uploadable(field.type)) for field in schema])


def _uploadable(type: pa.DataType) -> pa.DataType:
    if pa.types.is_uint64(type):
        return pa.decimal128(20, 0)
    if pa.types.is_unsigned_integer(type) or pa.types.is_int8(type):
        return {8: pa.int16(), 16: pa.int32(), 32: pa.int64()}[type.bit_width]
    if pa.types.is_dictionary(type):
        return _uploadable(type.value_type)
    if pa.types.is_timestamp(type):
        return pa.timestamp("us", type.tz)
    if pa.types.is_time(type):
        return pa.time64("us")
    if pa.types.is_large_string(type) or pa.types.is_string_view(type) or pa.types.is_null(type):
        return pa.string()
    if pa.types.is_large_binary(type) or pa.types.is_binary_view(type) or pa.types.is_fixed_size_binary(type):
        return pa.binary()
    return type


def _uri(login: Login) -> str:
    parts = login.parts
    name = quote(login.user, safe="")
    account = f"{name}:{quote(login.password, safe='')}@" if login.password else f"{name}@" if name else ""
    host = parts.netloc.rpartition("@")[2]
    options = {
        "connect_timeout": str(CONNECT_SECONDS),
        "application_name": "SciServer CasJobs",
        # A server that vanishes (no reset, no answer) is noticed within half a minute, not after hours.
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
        **login.options,
    }
    return urlunsplit(("postgresql", account + host, parts.path, urlencode(options, quote_via=quote), ""))


def _type_name(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()


def _with_text_columns(sql: str, schema: pa.Schema) -> str:
    """The statement, with columns cast to text whose types the driver or the formats of results cannot say."""
    if all(_is_known(field) for field in schema):
        return sql
    # Names may be missing or come twice, so the columns are numbered inside.
    inside = [f"c{number}" for number in range(len(schema))]
    wanted = [f"{_as_known(name, field)} AS {quoted(field.name)}" for name, field in zip(inside, schema, strict=True)]
    return f"SELECT {', '.join(wanted)} FROM (\n{sql}) AS statement({', '.join(inside)})"  # noqa: S608 - our own names


def _as_known(name: str, field: pa.Field) -> str:
    if _is_list(field):
        # The driver would make one list of all elements. The server refuses this cast, with these words.
        type = _type_name(field)
        return f"CASE WHEN array_ndims({name}) > 1 THEN (array_ndims({name}) || '{_MANY}')::{type} ELSE {name} END"
    return name if _is_known(field) else f"{name}::text"


_MANY = " dimensions in an array"


def _is_list(field: pa.Field) -> bool:
    # Lists of decimal numbers cannot be kept exact, other elements are known or not as single values are.
    name = _type_name(field)
    return name.startswith("_") and name[1:] in _AS_IS - {"numeric"} and bool(pa.types.is_list(field.type))


def _is_known(field: pa.Field) -> bool:
    # What the driver gives as text by itself is an enumeration.
    return _type_name(field) in _AS_IS or bool(pa.types.is_string(field.type))


def _field(field: pa.Field) -> pa.Field:
    if _type_name(field) != "numeric":
        return pa.field(field.name, _without_metadata(field.type))
    typmod = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1"))
    if typmod < 0:
        return pa.field(field.name, pa.string(), metadata=UNSCALED)
    precision, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
    # PostgreSQL 15 has negative scales, and more digits than 38: then as if it had told nothing.
    if precision > 38 or scale > precision:
        return pa.field(field.name, pa.string(), metadata=UNSCALED)
    return pa.field(field.name, pa.string(), metadata={**UNSCALED, b"casjobs:type": f"{precision},{scale}".encode()})


def _without_metadata(type: pa.DataType) -> pa.DataType:
    return pa.list_(type.value_type) if pa.types.is_list(type) else type


def _converted(column: pa.Array, field: pa.Field) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_date(column.type):
        _within(column.cast(pa.int32()), _FIRST_DAY, _LAST_DAY, field.name)
    elif pa.types.is_timestamp(column.type):
        _within(column.cast(pa.int64()), _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1, field.name)
    return column if column.type == field.type else column.cast(field.type)


def _within(values: pa.Array, first: int, last: int, name: str) -> None:
    bounds = pc.min_max(values)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and not first <= low <= high <= last:
        raise QueryError(
            f"The column {name} has dates that are infinite or outside the years 1 to 9999, which no result can hold.",
            Kind.DATA,
            hint="Select them as text, or leave them out.",
        )


_TEXT = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(.*?)(?:\n|\.? SQLSTATE|$)", re.DOTALL)
_HINT = re.compile(r"HINT:\s+(.*?)(?:\n|$)")
_KINDS = {
    "42601": Kind.SYNTAX,
    "42P01": Kind.NAME,
    "42703": Kind.NAME,
    "42883": Kind.NAME,
    "42702": Kind.NAME,
    "3F000": Kind.NAME,
    "42501": Kind.FORBIDDEN,
    "25006": Kind.FORBIDDEN,
    "0A000": Kind.UNSUPPORTED,
}


def _explained(error: BaseException, seconds: float, *, connecting: bool = False) -> QueryError:
    if isinstance(error, QueryError):
        return error
    text = str(error)
    state = getattr(error, "sqlstate", None) or ""
    if not state and (match := re.search(r"SQLSTATE: ?(\w{5})", text)):
        state = match[1]
    if connecting and ("authentication failed" in text or state.startswith("28") or "no pg_hba.conf" in text):
        return refused()
    match = _TEXT.search(text)
    # While rows are read, the driver gives the server's words without their code.
    is_answer = match is not None and match[0].startswith("ERROR")
    if connecting or not is_answer or state[:2] in ("08", "58") or state in ("57P01", "57P02", "57P03", "53300"):
        return unavailable()
    message = match[1].strip() if match else ""
    if message == "canceling statement due to statement timeout":
        return too_long(seconds)
    if state == "57014" or message.startswith("canceling statement"):
        return QueryError("The query was cancelled.", Kind.CANCELLED)
    if _MANY in message:
        return QueryError("Arrays of several dimensions cannot be in a result.", hint="Cast the column to text.")
    hint = _HINT.search(text)
    kind = _KINDS.get(state, Kind.LIMIT if state.startswith("53") else Kind.DATA)
    message = message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")
    return QueryError(message, kind, hint=hint[1].strip() if hint else "")
