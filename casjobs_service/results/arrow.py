"""Arrow IPC streams and Parquet: both carry Arrow's own types, values and metadata.

Names that repeat get a number (``a``, ``a_1``), because polars and DuckDB refuse them.

Arrow: everything as it is, also the layout (dictionaries stay dictionaries).

Parquet (zstd, format 2.6): types that Parquet has not are written as their text
(`casjobs_service.results.text`): intervals, durations and unions; also inside lists and structs, whose whole column is
then JSON text. Timestamps in seconds become milliseconds. DuckDB's infinite dates and timestamps are the largest and
smallest number, as in Arrow itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from casjobs_service.results.base import Writer
from casjobs_service.results.cut import CUT
from casjobs_service.results.kinds import slices
from casjobs_service.results.metadata import with_unique_names
from casjobs_service.results.stats import Stats
from casjobs_service.results.text import text

GROUP_ROWS = 131_072
"""Rows of a row group of Parquet: with DuckDB's number, readers can skip and read in parallel."""

GROUP_BYTES = 64 * 1024 * 1024
"""A row group is ended when its rows need as much memory."""


class _Pieces(io.RawIOBase):
    """Takes what a writer of pyarrow writes, until it is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def fetch(self) -> bytes:
        """What was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class ArrowStream(Writer):
    """Arrow IPC stream, not compressed: the connection's own compression is for that.

    If rows were left out, a last batch without rows has the metadata `CUT`.
    """

    name = "arrow"
    media_type = "application/vnd.apache.arrow.stream"
    extension = "arrows"

    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]:
        schema = with_unique_names(schema)
        target = _Pieces()
        with pa.ipc.new_stream(target, schema) as stream:
            yield target.fetch()
            for batch in batches:
                stream.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
                yield target.fetch()
            if self.cut:
                stream.write_batch(pa.RecordBatch.from_pylist([], schema), {CUT: b"true"})
        yield target.fetch()


class Parquet(Writer):
    """Parquet with zstd."""

    name = "parquet"
    media_type = "application/vnd.apache.parquet"
    extension = "parquet"

    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]:
        schema = with_unique_names(schema)
        stored = pa.schema([field.with_type(_stored(field.type)) for field in schema], schema.metadata)
        target = _Pieces()
        with pq.ParquetWriter(target, stored, compression="zstd", version="2.6", **_encodings(stored)) as file:
            for group in _groups(batches):
                columns = [
                    column if field.type == kept.type else text(column)
                    for column, field, kept in zip(group.columns, schema, stored, strict=True)
                ]
                file.write_batch(pa.RecordBatch.from_arrays(columns, schema=stored))
                yield target.fetch()
        yield target.fetch()


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """How columns are encoded before zstd.

    Dictionaries, which are the default for all, are for text: of numbers that hardly repeat they make the file larger
    and take most of the time. Sorted integers (ids, times) become differences; bytes of floats are put together by
    their place, since those with the exponent repeat.
    """
    types = pa.types
    encodings, dictionaries = {}, []
    for field in schema:
        kind = field.type
        if types.is_float32(kind) or types.is_float64(kind):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif types.is_temporal(kind) or (types.is_integer(kind) and kind.bit_width >= 32):
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif not types.is_boolean(kind) and not types.is_nested(kind):
            dictionaries.append(field.name)
    return {"use_dictionary": dictionaries or False, "column_encoding": encodings or None}


def _stored(data_type: pa.DataType) -> pa.DataType:
    return data_type if _storable(data_type) else pa.string()


def _storable(data_type: pa.DataType) -> bool:
    types = pa.types
    if isinstance(data_type, pa.BaseExtensionType):
        return _storable(data_type.storage_type)
    if types.is_interval(data_type) or types.is_duration(data_type) or types.is_union(data_type):
        return False
    if types.is_struct(data_type) and not data_type.num_fields:
        return False
    if types.is_dictionary(data_type):
        return _storable(data_type.value_type)
    return all(_storable(data_type.field(i).type) for i in range(data_type.num_fields))


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that make good row groups."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for part in slices(batch):
            if waiting and (rows + part.num_rows > GROUP_ROWS or size + part.nbytes > GROUP_BYTES):
                yield _joined(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(part)
            rows += part.num_rows
            size += part.nbytes
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
