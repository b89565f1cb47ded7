"""JSON: CasJobs' own form with the rows as arrays, and lines of objects (NDJSON).

Numbers are JSON numbers with all their digits, also integers beyond 2^53 and decimals: Python reads integers exactly,
and decimals with ``json.loads(…, parse_float=Decimal)``. JSON has no NaN: it is ``null``, like NULL; infinity is
``1e999``, which Python and JavaScript read as infinity. Lists, structs and maps are JSON themselves. All else is a
string, as `casjobs_service.results.text` says.

A value that is written is a text, and no more is left to do than to put commas and brackets between them: polars'
CSV writer does that three times as fast as a JSON library that looks at each value.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.results.base import Writer
from casjobs_service.results.delimited import frame
from casjobs_service.results.kinds import Kind, kind_of, plain, slices
from casjobs_service.results.metadata import unique_names
from casjobs_service.results.stats import Stats
from casjobs_service.results.text import byte_values, json_text


def _values(column: pa.Array) -> pa.Array:
    """A column that polars' CSV writer writes as JSON: numbers and booleans as they are, the others as JSON text."""
    kind = kind_of(column.type)
    if kind in (Kind.BOOLEAN, Kind.INTEGER):
        return plain(column)
    if kind is Kind.FLOAT:
        column = plain(column)
        if pc.all(pc.is_finite(column)).as_py() is not False:
            return column
    return json_text(column)


class JsonArrays(Writer):
    """``{"Result":[{"TableName":"Table1","Columns":["a"],"Data":[[1],[2]]}]}``, as CasJobs' clients read it."""

    name = "json-array"
    media_type = "application/json+array"
    extension = "json"
    many = True

    def begin(self) -> bytes:
        return b'{"Result":['

    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]:
        comma = b"," if self.tables > 1 else b""
        head = orjson.dumps({"TableName": name, "Columns": schema.names})
        yield comma + head[:-1] + b',"Data":['
        started = False
        for batch in batches:
            for part in slices(batch):
                yield (b",[" if started else b"[") + self._rows(part)
                started = True
        yield b'],"Cut":true}' if self.cut else b"]}"

    def _rows(self, batch: pa.RecordBatch) -> bytes:
        target = io.BytesIO()
        frame(map(_values, batch.columns)).write_csv(
            target, include_header=False, quote_style="never", null_value="null", line_terminator="],["
        )
        # Without the comma and bracket after the last row.
        return bytes(target.getbuffer()[:-2])

    def _tail(self) -> bytes:
        return b"]}"


class Ndjson(Writer):
    """One object per row and line. A name that repeats gets a number: ``a``, ``a_1``."""

    name = "ndjson"
    media_type = "application/x-ndjson"
    extension = "ndjson"

    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]:
        keys = [
            ("," if position else "{") + orjson.dumps(key).decode() + ":"
            for position, key in enumerate(unique_names(schema.names))
        ]
        for batch in batches:
            for part in slices(batch):
                yield self._rows(keys, part)

    def _rows(self, keys: list[str], batch: pa.RecordBatch) -> bytes:
        rows = frame(map(_values, batch.columns))
        parts: list[pl.Expr] = []
        for key, column in zip(keys, rows.columns, strict=True):
            parts += [pl.lit(key), pl.col(column).cast(pl.String).fill_null("null")]
        lines = rows.select(pl.concat_str([*parts, pl.lit("}\n")])).to_series().to_arrow().cast(pa.string())
        return bytes(byte_values(lines))
