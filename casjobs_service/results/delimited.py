r"""CSV and TSV: RFC 4180 with ``\n`` at the line ends, UTF-8, one header line, no comments.

NULL is an empty field and the empty string is ``""``: readers that tell them apart (DuckDB, PostgreSQL) can,
pandas takes both as missing. A table with one column is the exception: there NULL is ``""`` as well, because readers
(pandas among them) skip empty lines and would lose the row.

Booleans are ``true`` and ``false``, which pandas, polars and DuckDB read back as booleans; the ``1`` and ``0`` of
SQL Server's bit would come back as integers. Other values are written as `casjobs_service.results.text` says. TSV
is the same with tabs and the same quotes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa

from casjobs_service.results.base import Writer
from casjobs_service.results.kinds import Kind, kind_of, plain, slices
from casjobs_service.results.stats import Stats
from casjobs_service.results.text import text

NATIVE = (Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.TEXT)
"""Kinds whose text polars writes as we want it."""


def frame(columns: Iterable[pa.Array]) -> pl.DataFrame:
    """A frame of columns that are named by their position, so that names may repeat."""
    return pl.DataFrame({str(i): pl.from_arrow(column) for i, column in enumerate(columns)})


class Csv(Writer):
    """Comma-separated values."""

    name = "csv"
    media_type = "text/csv"
    extension = "csv"
    _separator: ClassVar[str] = ","

    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]:
        if not schema.names:
            return
        yield self._header(schema.names)
        for batch in batches:
            for part in slices(batch):
                yield self._rows(part)

    def _header(self, names: list[str]) -> bytes:
        header = pl.DataFrame({str(i): [name] for i, name in enumerate(names)})
        return self._write(header, null_value="")

    def _rows(self, batch: pa.RecordBatch) -> bytes:
        columns = [plain(column) if kind_of(column.type) in NATIVE else text(column) for column in batch.columns]
        return self._write(frame(columns), null_value='""' if len(columns) == 1 else "")

    def _write(self, rows: pl.DataFrame, **options: Any) -> bytes:
        target = io.BytesIO()
        rows.write_csv(target, include_header=False, separator=self._separator, **options)
        return target.getvalue()


class Tsv(Csv):
    """Tab-separated values."""

    name = "tsv"
    media_type = "text/tab-separated-values"
    extension = "tsv"
    _separator = "\t"
