"""FITS 4.0 binary tables: one extension for each table, after an empty primary part.

How values are stored is in `casjobs_service.results.fits_columns`. Names that repeat (in any case) get a number,
and long ones are cut, because astropy refuses names that need two lines; TCOMMn then begins with the whole name.
Units are in TUNITn, UCDs in TUCDn, descriptions in TCOMMn (as TOPCAT reads and writes them), the table's name in
EXTNAME, its description in COMMENT. There are no TDIM cards: each field is one value.

A header says how many rows follow and how wide a column is, so that the table is read first (`Stats`); columns that
are stored as text though they are none are read once more to find their width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.errors import Kind as ErrorKind
from casjobs_service.errors import QueryError
from casjobs_service.results import fits_columns
from casjobs_service.results.base import Writer
from casjobs_service.results.fits_cards import block, card, comments, header_text, padding, short_name
from casjobs_service.results.fits_columns import FitsColumn
from casjobs_service.results.kinds import slices
from casjobs_service.results.metadata import about, unique_names
from casjobs_service.results.stats import ColumnStats, Stats
from casjobs_service.results.text import byte_values, text

MOST_COLUMNS = 999


class Fits(Writer):
    """FITS with binary tables."""

    name = "fits"
    media_type = "application/fits"
    extension = "fits"
    needs_spool = True
    many = True

    def begin(self) -> bytes:
        return block(card("SIMPLE", True) + card("BITPIX", 8) + card("NAXIS", 0) + card("EXTEND", True))

    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]:
        if len(schema) > MOST_COLUMNS:
            raise QueryError(
                f"A FITS table has at most {MOST_COLUMNS} columns; this result has {len(schema)}.",
                ErrorKind.LIMIT,
                hint="Select fewer columns, or take another format, e.g. Parquet.",
            )
        counted = stats if stats is not None else _counted(schema, batches)
        columns = _columns(schema, batches, counted)
        row = np.dtype([(f"f{i}", column.dtype) for i, column in enumerate(columns)])
        yield self._header(name, schema, columns, counted, row, batches)
        written = heap = 0
        for batch in batches:
            for part in slices(batch, row.itemsize):
                rows = np.zeros(part.num_rows, row)
                for i, (column, values) in enumerate(zip(columns, part.columns, strict=True)):
                    if column.heap:
                        heap = _describe(rows[f"f{i}"], column.heap(values), heap)
                    else:
                        rows[f"f{i}"] = column.fill(values)
                written += part.num_rows
                yield rows.tobytes()
        if written != counted.rows:
            raise ValueError(f"{counted.rows} rows were announced, and {written} came")
        if heap:
            yield from _heap(columns, batches, row.itemsize)
        yield padding(written * row.itemsize + heap, b"\0")

    def _header(
        self,
        name: str,
        schema: pa.Schema,
        columns: list[FitsColumn],
        stats: Stats,
        row: np.dtype[Any],
        batches: Iterable[pa.RecordBatch],
    ) -> bytes:
        heap = sum(len(piece) for piece in _heap(columns, batches, row.itemsize))
        cards = [
            card("XTENSION", "BINTABLE"),
            card("BITPIX", 8),
            card("NAXIS", 2),
            card("NAXIS1", row.itemsize),
            card("NAXIS2", stats.rows),
            card("PCOUNT", heap),
            card("GCOUNT", 1),
            card("TFIELDS", len(columns)),
        ]
        names = unique_names([short_name(name) for name in schema.names], ignore_case=True)
        for number, (field, title, column) in enumerate(zip(schema, names, columns, strict=True), 1):
            known = about(field)
            cards += [card(f"TTYPE{number}", title), card(f"TFORM{number}", column.form)]
            cards += [card(f"{keyword}{number}", value) for keyword, value in column.cards.items()]
            whole = header_text(field.name)
            description = known.description if title in (whole, field.name) else f"{whole}: {known.description}"
            texts = (("TUNIT", known.unit), ("TUCD", known.ucd), ("TCOMM", description))
            cards += [card(f"{keyword}{number}", value) for keyword, value in texts if value]
        cards += [card("EXTNAME", name), comments(about(schema).description)]
        return block("".join(cards))


def _counted(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Stats:
    stats = Stats.of(schema)
    for batch in batches:
        stats.add(batch)
    return stats


def _columns(schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats) -> list[FitsColumn]:
    texts = {
        position: ColumnStats()
        for position, (field, column) in enumerate(zip(schema, stats.columns, strict=True))
        if fits_columns.needs_text(field.type, column)
    }
    for batch in batches if texts else ():
        for part in slices(batch):
            for position, counted in texts.items():
                counted.add(text(part.column(position)))
    return [
        fits_columns.text_column(texts[position], stats.rows)
        if position in texts
        else fits_columns.column(field.type, column, stats.rows)
        for position, (field, column) in enumerate(zip(schema, stats.columns, strict=True))
    ]


def _describe(descriptors: np.ndarray[Any, Any], values: pa.StringArray, heap: int) -> int:
    """Fill in length and place of each text, and return where the heap ends then."""
    lengths = pc.binary_length(values).to_numpy().astype(np.int64)
    ends = heap + np.cumsum(lengths)
    descriptors[:, 0] = lengths
    descriptors[:, 1] = np.where(lengths, ends - lengths, 0)
    return int(ends[-1])


def _heap(columns: list[FitsColumn], batches: Iterable[pa.RecordBatch], row_bytes: int) -> Iterator[bytes]:
    """Bytes of the columns of variable length, in the order in which `_describe` has counted them."""
    for batch in batches if any(column.heap for column in columns) else ():
        for part in slices(batch, row_bytes):
            for column, values in zip(columns, part.columns, strict=True):
                if column.heap:
                    yield byte_values(column.heap(values)).tobytes()
