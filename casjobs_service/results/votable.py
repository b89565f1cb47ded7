"""VOTable 1.4, with BINARY2 and with TABLEDATA.

All tables are in one RESOURCE of type ``results``. How values are stored is in
`casjobs_service.results.votable_fields`; units, UCDs and descriptions are where the standard has them.

BINARY2 has a flag for NULL, so that NULL, NaN and the empty string differ. In TABLEDATA NULL is an empty cell, as is
the empty string. XML has no control characters: a text with one of them is refused with TABLEDATA, and is right in
BINARY2.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.errors import Kind as ErrorKind
from casjobs_service.errors import QueryError
from casjobs_service.results.base import Writer
from casjobs_service.results.binary2 import Rows
from casjobs_service.results.delimited import frame
from casjobs_service.results.kinds import Kind, kind_of, plain, slices
from casjobs_service.results.stats import Stats
from casjobs_service.results.text import byte_values, text
from casjobs_service.results.votable_fields import BYTES, VoField, table_start, vo_field

_HEAD = b"""<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<RESOURCE type="results">
<INFO name="QUERY_STATUS" value="OK"/>
"""
_END = b"</RESOURCE>\n</VOTABLE>\n"

_XML_SPECIAL = np.zeros(256, bool)
_XML_SPECIAL[[*range(9), 11, 12, *range(13, 32), *b"&<>", 0xEF]] = True
"""Bytes of characters that must be written as entities, or that XML has not (with U+FFFE, U+FFFF: EF BF BE, BF)."""

_NOT_XML = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x{fffe}\\x{ffff}]"


class VoTable(Writer):
    """VOTable with BINARY2."""

    name = "votable"
    media_type = "application/x-votable+xml"
    extension = "vot"
    many = True

    def begin(self) -> bytes:
        return _HEAD

    def _table(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], stats: Stats | None
    ) -> Iterator[bytes]:
        known = stats.columns if stats else [None] * len(schema)
        fields = [vo_field(field.type, column) for field, column in zip(schema, known, strict=True)]
        yield table_start(name, schema, fields, stats).encode()
        if fields:
            yield from self._data(fields, batches)
        yield b"</TABLE>\n"
        if self.cut:
            # DALI 1.1, section 4.4.1
            yield b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n'

    def _data(self, fields: list[VoField], batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
        yield b'<DATA><BINARY2><STREAM encoding="base64">\n'
        rows = Rows(fields)
        rest = b""
        for batch in batches:
            for part in slices(batch):
                # base64 has four letters for three bytes: what is left over waits for the next piece.
                content = rest + rows.encode(part)
                whole = len(content) - len(content) % 3
                rest = content[whole:]
                yield binascii.b2a_base64(memoryview(content)[:whole])
        yield binascii.b2a_base64(rest) + b"</STREAM></BINARY2></DATA>\n"

    def _tail(self) -> bytes:
        return _END


class VoTableText(VoTable):
    """VOTable with TABLEDATA: text that people and every parser of XML can read."""

    name = "votable-td"
    media_type = "text/xml"

    def _data(self, fields: list[VoField], batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
        yield b"<DATA><TABLEDATA>\n"
        for batch in batches:
            for part in slices(batch):
                yield self._rows(fields, part)
        yield b"</TABLEDATA></DATA>\n"

    def _rows(self, fields: list[VoField], batch: pa.RecordBatch) -> bytes:
        names = batch.schema.names
        cells = frame(
            _cells(field, column, name) for field, column, name in zip(fields, batch.columns, names, strict=True)
        )
        parts: list[pl.Expr] = []
        for position, column in enumerate(cells.columns):
            parts.append(pl.lit("</TD><TD>" if position else "<TR><TD>"))
            parts.append(pl.col(column).cast(pl.String).fill_null(""))
        lines = cells.select(pl.concat_str([*parts, pl.lit("</TD></TR>\n")])).to_series()
        return bytes(byte_values(lines.to_arrow().cast(pa.string())))


def _cells(field: VoField, column: pa.Array, name: str) -> pa.Array:
    kind = kind_of(column.type)
    if kind in (Kind.INTEGER, Kind.BOOLEAN):
        return plain(column)
    if kind is Kind.FLOAT:
        return _float_cells(plain(column))
    if field.datatype == BYTES:
        values = plain(column).to_pylist()
        return pa.array([None if value is None else " ".join(map(str, value)) for value in values], pa.string())
    return _escaped(text(column), name)


def _float_cells(column: pa.Array) -> pa.Array:
    infinite = pc.is_inf(column)
    if not pc.any(infinite).as_py():
        return column
    signed = pc.if_else(pc.greater(column, 0), "+Inf", "-Inf")
    return pc.if_else(infinite, signed, text(column))


def _escaped(column: pa.StringArray, name: str) -> pa.StringArray:
    if not _XML_SPECIAL[byte_values(column)].any():
        return column
    if pc.any(pc.match_substring_regex(column, _NOT_XML)).as_py():
        raise QueryError(
            f"Column {name} has a control character, which XML cannot carry.",
            ErrorKind.DATA,
            hint='Take the format "votable" (BINARY2), or another one.',
        )
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        column = pc.replace_substring(column, letter, entity)
    return column
