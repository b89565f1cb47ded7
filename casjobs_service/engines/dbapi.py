"""What adapters share whose drivers give rows as Python objects.

Such a driver is several times slower to read than ADBC, so for one more engine that should be looked for first.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from casjobs_service.engines.base import BATCH_ROWS
from casjobs_service.errors import Kind, QueryError

ARROW = {
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

DECIMAL = re.compile(r"(?:decimal|numeric)\((\d+),\s*(\d+)\)")


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a type that `trino_type` or `sql_server_type` has given."""
    if name.endswith("[]"):
        return pa.list_(arrow_type(name[:-2]))
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", name):
        return pa.decimal128(int(match[1]), int(match[2]))
    return ARROW[name]


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


def driver(name: str, engine: str, extra: str) -> Any:
    """A driver that need not be installed; `extra` is the name under which it is asked for."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise QueryError(
            f"The driver for {engine} is not installed on the server.",
            Kind.UNAVAILABLE,
            hint=f"The operator installs it with the extra [{extra}].",
        ) from error


def no_upload(engine: str) -> QueryError:
    """The engine has no place for the user's own tables."""
    return QueryError(
        f"Your own tables cannot be joined inside a database of {engine}.",
        Kind.UNSUPPORTED,
        hint="Bring the rows that you need with SELECT … INTO MyDB first, and join them there.",
    )
