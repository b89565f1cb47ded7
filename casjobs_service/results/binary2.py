"""Rows of VOTable's BINARY2 serialisation (VOTable 1.4, section 5.4), a batch at a time.

A row is: flags of its NULLs, then its values, big-endian; those of variable length have their length before them.
Columns of fixed width between two of variable width are filled into one numpy record array; Arrow's string join then
puts the pieces of each row together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.results.kinds import plain
from casjobs_service.results.text import byte_values, text
from casjobs_service.results.votable_fields import BYTES, UNICODE, VoField

_TYPES = {
    "boolean": "u1",
    "unsignedByte": "u1",
    "short": ">i2",
    "int": ">i4",
    "long": ">i8",
    "float": ">f4",
    "double": ">f8",
}
_LENGTH = ">u4"
_TRUE, _FALSE, _NEITHER = b"TF?"


class Rows:
    """Encodes batches of a table.

    Parameters
    ----------
    fields
        Of all columns.
    """

    def __init__(self, fields: list[VoField]) -> None:
        self._fields = fields
        flags = ("flags", "u1", ((len(fields) + 7) // 8,))
        parts: list[list[tuple[Any, ...]]] = [[flags]]
        for position, field in enumerate(fields):
            name = str(position)
            parts[-1].append((name, _LENGTH if field.variable else _TYPES[field.datatype]))
            if field.variable:
                parts.append([])
        self._parts = [np.dtype(part) for part in parts]

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """Bytes of all rows."""
        parts = [np.zeros(batch.num_rows, part) for part in self._parts]
        parts[0]["flags"] = self._flags(batch)
        variable: list[pa.Array] = []
        for position, (field, column) in enumerate(zip(self._fields, batch.columns, strict=True)):
            part, name = parts[len(variable)], str(position)
            if field.variable:
                values, lengths = _variable(field, column)
                part[name] = lengths
                variable.append(values)
            else:
                part[name] = _fixed(field, plain(column))
        if not variable:
            return parts[0].tobytes()
        pieces: list[pa.Array] = []
        for part, values in zip(parts, variable, strict=False):
            pieces += [_binary(part), values]
        if parts[-1].itemsize:
            pieces.append(_binary(parts[-1]))
        return byte_values(pc.binary_join_element_wise(*pieces, b"")).tobytes()

    def _flags(self, batch: pa.RecordBatch) -> Any:
        """Bits, the first column's the highest of the first byte."""
        if not any(column.null_count for column in map(_countable, batch.columns)):
            return 0
        bits = np.zeros((batch.num_rows, len(self._fields)), bool)
        for position, column in enumerate(batch.columns):
            bits[:, position] = _countable(column).is_null().to_numpy(zero_copy_only=False)
        return np.packbits(bits, axis=1)


def _countable(column: pa.Array) -> pa.Array:
    """A column that knows its NULLs: those of a dictionary may be in its values, unions have none of their own."""
    return plain(column)


def _fixed(field: VoField, column: pa.Array) -> np.ndarray[Any, Any]:
    if field.datatype == "boolean":
        codes = pc.if_else(column, pa.scalar(_TRUE, pa.uint8()), pa.scalar(_FALSE, pa.uint8()))
        return _numbers(pc.fill_null(codes, _NEITHER))
    if not column.null_count:
        return _numbers(column)
    missing = float("nan") if field.datatype in ("float", "double") else 0
    return _numbers(pc.fill_null(column, pa.scalar(missing, column.type)))


def _variable(field: VoField, column: pa.Array) -> tuple[pa.Array, np.ndarray[Any, Any]]:
    """Bytes of each value, and the number of its elements."""
    if field.datatype == BYTES:
        values = pc.fill_null(plain(column), b"")
    else:
        values = pc.fill_null(text(column), "")
        if field.datatype == UNICODE:
            values = _utf16(values)
            return values, _numbers(pc.binary_length(values)) // 2
        values = values.cast(pa.binary())
    return values, _numbers(pc.binary_length(values))


def _utf16(column: pa.StringArray) -> pa.BinaryArray:
    """Big-endian UTF-16, by which unicodeChar is understood."""
    values = byte_values(column)
    lengths = _numbers(pc.binary_length(column))
    if not (values & 0x80).any():
        encoded = np.zeros(2 * len(values), np.uint8)
        encoded[1::2] = values
        units = lengths
    else:
        encoded = np.frombuffer(values.tobytes().decode().encode("utf-16-be"), np.uint8)
        # One unit for each character, and a second one for those beyond the first 65,536, which have four bytes.
        counted = np.concatenate([[0], np.cumsum(((values & 0xC0) != 0x80).astype(np.int32) + (values >= 0xF0))])
        ends = np.concatenate([[0], np.cumsum(lengths)])
        units = np.diff(counted[ends])
    offsets = np.concatenate([[0], np.cumsum(2 * units.astype(np.int64))]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(column), [None, pa.py_buffer(offsets), pa.py_buffer(encoded)])


def _binary(rows: np.ndarray[Any, Any]) -> pa.BinaryArray:
    """Records as a binary column, without a copy."""
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.itemsize)
    return pa.Array.from_buffers(pa.binary(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(rows.view("u1"))])


def _numbers(column: pa.Array) -> np.ndarray[Any, Any]:
    return column.to_numpy(zero_copy_only=False)
