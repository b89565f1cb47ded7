"""Decimal numbers whose scale is only known when all have been seen.

PostgreSQL has ``numeric`` without a scale, e.g. every SUM of BIGINT and every AVG of integers. Rounding them, or
giving text, would both be another answer. So they are kept as text until the last row, and then become the type that
holds all of them exactly: BIGINT if none has a fraction, else DECIMAL(38, scale). Only NaN, infinity and numbers of
more than 38 digits make the column DOUBLE, which is what clients have for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.engines.base import UNSCALED

_MOST_DIGITS = 38
_SURE_IN_BIGINT = 18
_UNSEEN = pa.decimal128(38, 10)


@dataclass
class Scale:
    """What the values of one column need."""

    before: int = 0
    after: int = 0
    special: bool = False
    seen: bool = False

    def look(self, values: pa.Array) -> None:
        """Take these values, as text, into account."""
        if values.null_count == len(values):
            return
        self.seen = True
        if pc.any(pc.match_substring_regex(values, "[a-zA-Z]")).as_py():
            self.special = True
            return
        length = pc.utf8_length(values)
        point = pc.find_substring(values, ".")
        has_point = pc.greater_equal(point, 0)
        after = pc.if_else(has_point, pc.subtract(pc.subtract(length, point), 1), 0)
        sign = pc.cast(pc.starts_with(values, "-"), pa.int32())
        before = pc.subtract(pc.if_else(has_point, point, length), sign)
        self.after = max(self.after, pc.max(after).as_py())
        self.before = max(self.before, pc.max(before).as_py())

    def type(self, declared: str | None) -> pa.DataType:
        """The type for all values; `declared` is ``precision,scale`` if the engine has told it."""
        if self.special or self.before + self.after > _MOST_DIGITS:
            return pa.float64()
        if declared:
            precision, scale = declared.split(",")
            return pa.decimal128(int(precision), int(scale))
        if not self.seen:
            return _UNSEEN
        if self.after == 0 and self.before <= _SURE_IN_BIGINT:
            return pa.int64()
        return pa.decimal128(_MOST_DIGITS, self.after)


class Decimals:
    """The unscaled columns of a result."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._scales = {
            number: Scale() for number, field in enumerate(schema) if (field.metadata or {}).keys() >= UNSCALED.keys()
        }

    def __bool__(self) -> bool:
        return bool(self._scales)

    def look(self, batch: pa.RecordBatch) -> None:
        """Take a batch into account."""
        for number, scale in self._scales.items():
            scale.look(batch.column(number))

    def schema(self) -> pa.Schema:
        """With the types that hold all values, when all have been looked at."""
        fields = list(self._schema)
        for number, scale in self._scales.items():
            declared = (fields[number].metadata or {}).get(b"casjobs:type")
            fields[number] = pa.field(fields[number].name, scale.type(declared.decode() if declared else None))
        return pa.schema(fields)

    def cast(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """A batch with the columns as `schema` has them."""
        columns = list(batch.columns)
        for number in self._scales:
            columns[number] = columns[number].cast(schema.field(number).type)
        return pa.RecordBatch.from_arrays(columns, schema=schema)
