"""What kind of values an Arrow column holds, as the writers see it.

Arrow has several layouts for the same values (dictionaries, views, run ends, extension types). `plain` gives the one
layout per kind that the writers know, without changing a value.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

SLICE_ROWS = 65_536
SLICE_BYTES = 64 * 1024 * 1024


class Kind(enum.Enum):
    """How a column's values are written."""

    NOTHING = "nothing"
    """Arrow's null type: ``SELECT NULL``."""
    BOOLEAN = "boolean"
    INTEGER = "integer"
    """8 to 64 bits, signed or not."""
    FLOAT = "float"
    """float32 or float64."""
    DECIMAL = "decimal"
    """Also DuckDB's HUGEINT, which is decimal128(38, 0) here."""
    TEXT = "text"
    BINARY = "binary"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    INTERVAL = "interval"
    """Months, days, nanoseconds; also Arrow's duration."""
    NESTED = "nested"
    """Lists, structs, maps and unions."""


def kind_of(data_type: pa.DataType) -> Kind:
    """Kind of a column of this type, in any layout.

    Raises
    ------
    TypeError
        A type that no engine of ours returns.
    """
    data_type = plain_type(data_type)
    types = pa.types
    for kind, check in (
        (Kind.NOTHING, types.is_null),
        (Kind.BOOLEAN, types.is_boolean),
        (Kind.INTEGER, types.is_integer),
        (Kind.FLOAT, types.is_floating),
        (Kind.DECIMAL, types.is_decimal),
        (Kind.TEXT, types.is_string),
        (Kind.BINARY, types.is_binary),
        (Kind.DATE, types.is_date),
        (Kind.TIME, types.is_time),
        (Kind.TIMESTAMP, types.is_timestamp),
        (Kind.INTERVAL, types.is_interval),
        (Kind.INTERVAL, types.is_duration),
        (Kind.NESTED, types.is_nested),
    ):
        if check(data_type):
            return kind
    raise TypeError(f"no way to write values of type {data_type}")


def plain_type(data_type: pa.DataType) -> pa.DataType:
    """Type that `plain` gives to a column of this type."""
    types = pa.types
    if _is_uuid(data_type):
        return pa.string()
    if isinstance(data_type, pa.BaseExtensionType):
        return plain_type(data_type.storage_type)
    if types.is_dictionary(data_type) or types.is_run_end_encoded(data_type):
        return plain_type(data_type.value_type)
    if types.is_large_string(data_type) or types.is_string_view(data_type):
        return pa.string()
    if types.is_large_binary(data_type) or types.is_binary_view(data_type) or types.is_fixed_size_binary(data_type):
        # A decimal is a fixed_size_binary for pyarrow.
        return data_type if types.is_decimal(data_type) else pa.binary()
    if types.is_float16(data_type):
        return pa.float32()
    if types.is_date64(data_type):
        return pa.date32()
    return data_type


def plain(array: pa.Array) -> pa.Array:
    """The same values in the layout that the writers know. The inner values of nested columns stay as they are."""
    types = pa.types
    if _is_uuid(array.type):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    if isinstance(array.type, pa.BaseExtensionType):
        return plain(array.storage)
    if types.is_dictionary(array.type):
        return plain(array.dictionary_decode())
    if types.is_run_end_encoded(array.type):
        return plain(pc.run_end_decode(array))
    wanted = plain_type(array.type)
    return array if wanted == array.type else array.cast(wanted)


def _is_uuid(data_type: pa.DataType) -> bool:
    return isinstance(data_type, pa.BaseExtensionType) and getattr(data_type, "extension_name", "") == "arrow.uuid"


def slices(batch: pa.RecordBatch, row_bytes: int = 0) -> Iterator[pa.RecordBatch]:
    """Parts of a batch that are small enough for one step of a writer.

    Parameters
    ----------
    row_bytes
        Size of a row in the writer's form, where it is known and may be larger than in Arrow.
    """
    rows = SLICE_ROWS
    if batch.num_rows:
        size = max(1, batch.nbytes, row_bytes * batch.num_rows)
        rows = max(1, min(rows, SLICE_BYTES * batch.num_rows // size))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)
