"""The values of a VOTable: cells of TABLEDATA, rows of BINARY and BINARY2, as record batches."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.reading import BATCH_BYTES, BATCH_ROWS, damaged

LONGEST_ROW = 64 << 20

NUMBERS = {
    "boolean": (">S1", pa.bool_()),
    "bit": (">S1", pa.bool_()),
    "unsignedByte": ("u1", pa.int16()),
    "short": (">i2", pa.int16()),
    "int": (">i4", pa.int32()),
    "long": (">i8", pa.int64()),
    "float": (">f4", pa.float32()),
    "double": (">f8", pa.float64()),
}
LETTERS = {"char": 1, "unicodeChar": 2}


@dataclass
class Field:
    """A FIELD, as far as it says how values are stored."""

    name: str
    datatype: str
    count: int
    """Number of values, or the longest where `variable`."""
    variable: bool
    is_array: bool
    unit: str = ""
    ucd: str = ""
    description: str = ""
    null: str = ""
    is_time: bool = False

    @property
    def is_text(self) -> bool:
        """Its values are letters."""
        return self.datatype in LETTERS

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return LETTERS.get(self.datatype) or np.dtype(NUMBERS[self.datatype][0]).itemsize

    @property
    def element(self) -> pa.DataType:
        """Arrow's type of one number."""
        return NUMBERS[self.datatype][1]

    @property
    def arrow(self) -> pa.DataType:
        """Arrow's type of the column."""
        if self.is_text:
            return pa.timestamp("us") if self.is_time else pa.string()
        return pa.list_(self.element) if self.is_array else self.element


def _time_or_text(one: Field, values: pa.Array) -> pa.Array:
    if not one.is_time:
        return values
    # DALI: ISO 8601 in UTC, with or without the letter that says so.
    trimmed = pc.utf8_rtrim(values, "Z")
    try:
        return trimmed.cast(pa.timestamp("us"))
    except pa.ArrowInvalid as error:
        raise damaged("VOTable", f"the column {one.name} has values that are no times") from error


class Cells:
    """Rows of TABLEDATA."""

    def __init__(self, fields: list[Field], schema: pa.Schema | None) -> None:
        self._fields, self._schema = fields, schema
        self._rows: list[list[str]] = []
        self._row: list[str] = []
        self._size = 0

    def cell(self, text: str) -> None:
        """The next cell of the row."""
        self._row.append(text)
        self._size += len(text) + 50

    def row_end(self) -> list[pa.RecordBatch]:
        """The row is complete; gives a batch when there is enough for one."""
        if len(self._row) > len(self._fields):
            raise damaged("VOTable", f"a row has {len(self._row)} cells, and the table {len(self._fields)} columns")
        # Cells may be left out at the end.
        self._row += [""] * (len(self._fields) - len(self._row))
        self._rows.append(self._row)
        self._row = []
        return self.finish() if len(self._rows) >= BATCH_ROWS or self._size > BATCH_BYTES else []

    def finish(self) -> list[pa.RecordBatch]:
        """The rows that are left."""
        if not self._rows:
            return []
        columns = [
            self._column(one, cells) for one, cells in zip(self._fields, zip(*self._rows, strict=True), strict=True)
        ]
        self._rows, self._size = [], 0
        return [pa.RecordBatch.from_arrays(columns, schema=self._schema)]

    def _column(self, one: Field, cells: tuple[str, ...]) -> pa.Array:
        if one.is_text:
            return _time_or_text(one, pa.array([cell or None for cell in cells], pa.string()))
        try:
            if not one.is_array:
                return self._numbers(one, [cell.strip() or None for cell in cells])
            parts = [cell.replace(",", " ").split() for cell in cells]
            values = self._numbers(one, [part for row in parts for part in row])
            ends = np.cumsum([0, *map(len, parts)]).astype("i4")
            is_null = pa.array([not row for row in parts])
            return pa.ListArray.from_arrays(pa.array(ends), values, mask=is_null)
        except (pa.ArrowInvalid, ValueError, OverflowError) as error:
            raise damaged("VOTable", f"the column {one.name} has values that are not {one.datatype}") from error

    def _numbers(self, one: Field, cells: list[str | None]) -> pa.Array:
        if one.datatype in ("boolean", "bit"):
            return pa.array([None if cell is None else _BOOLEANS[cell.lower()] for cell in cells], pa.bool_())
        if pa.types.is_floating(one.element):
            words = {"+inf": "inf", "nan": None}
            values = pa.array([cell and words.get(cell.lower(), cell) for cell in cells], pa.string())
        else:
            cells = [None if cell == one.null else str(int(cell, 16)) if cell[:2] == "0x" else cell.lstrip("+")
                     if cell else None for cell in map(_or_empty, cells)]  # fmt: skip
            values = pa.array(cells, pa.string())
        return values.cast(one.element)


_BOOLEANS = {"t": True, "1": True, "true": True, "f": False, "0": False, "false": False, "?": None, " ": None}


def _or_empty(cell: str | None) -> str:
    return cell or ""


class Rows:
    """Rows of BINARY and BINARY2."""

    def __init__(self, fields: list[Field], schema: pa.Schema | None, *, flags: bool) -> None:
        self._fields, self._schema, self._flags = fields, schema, (len(fields) + 7) // 8 if flags else 0
        self._letters = ""
        self._bytes = bytearray()
        self._fixed: np.dtype[Any] | None = None
        if not any(one.variable for one in fields):
            parts: list[Any] = [("flags", "u1", (self._flags,))]
            parts += [(f"c{number}", "u1", (one.count * one.size,)) for number, one in enumerate(fields)]
            self._fixed = np.dtype(parts)
            if not self._fixed.itemsize:
                raise damaged("VOTable", "its rows have no length")

    def feed(self, text: str) -> list[pa.RecordBatch]:
        """The next letters of the stream; gives a batch when there is enough for one."""
        letters = self._letters + "".join(text.split())
        whole = len(letters) - len(letters) % 4
        try:
            self._bytes += base64.b64decode(letters[:whole], validate=True)
        except (binascii.Error, ValueError) as error:
            raise damaged("VOTable", "its data is not base64") from error
        self._letters = letters[whole:]
        return self._batches() if len(self._bytes) >= BATCH_BYTES else []

    def finish(self) -> list[pa.RecordBatch]:
        """The rows that are left."""
        batches = self._batches()
        if self._bytes or self._letters:
            raise damaged("VOTable", "its data ends within a row")
        return batches

    def _batches(self) -> list[pa.RecordBatch]:
        content = bytes(self._bytes)
        place, batches = 0, []
        while rows := self._rows(content, place):
            batch, place = rows
            batches.append(batch)
        del self._bytes[:place]
        if len(self._bytes) > LONGEST_ROW:
            raise damaged("VOTable", "a row is too long")
        return batches

    def _rows(self, content: bytes, place: int) -> tuple[pa.RecordBatch, int] | None:
        """The next whole rows, and where they end."""
        if self._fixed is not None:
            count = min((len(content) - place) // self._fixed.itemsize, BATCH_ROWS)
            starts = place + self._fixed.itemsize * np.arange(count)
            ends = np.empty((count, 0), "i8")
            place += count * self._fixed.itemsize
        else:
            starts, ends, place = self._variable(content, place)
        if not len(starts):
            return None
        letters = np.frombuffer(content, "u1")
        columns = []
        # Place of the next field in each row.
        at = starts + self._flags
        variable = 0
        for number, one in enumerate(self._fields):
            if one.variable:
                first, at = at + 4, ends[:, variable]
                counts = (at - first) // one.size
                raw = b"".join([content[a:b] for a, b in zip(first.tolist(), at.tolist(), strict=True)])
                variable += 1
            else:
                width = one.count * one.size
                raw = letters[at[:, None] + np.arange(width)].tobytes()
                counts, at = np.full(len(starts), one.count), at + width
            null = None
            if self._flags:
                null = (letters[starts + number // 8] >> (7 - number % 8) & 1).astype(bool)
            columns.append(_binary_column(one, raw, counts, null))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema), place

    def _variable(self, content: bytes, place: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
        """Starts of the next whole rows, ends of their fields of variable length, and the end of the last row."""
        # Bytes before each field of variable length, and its values' size.
        steps: list[tuple[int, int]] = []
        before = self._flags
        for one in self._fields:
            if one.variable:
                steps.append((before, one.size))
                before = 0
            else:
                before += one.count * one.size
        starts: list[int] = []
        ends: list[int] = []
        used, end = place, len(content)
        number = int.from_bytes
        while used < end and len(starts) < BATCH_ROWS:
            row = []
            for skip, size in steps:
                place += skip + 4
                if place > end:
                    break
                place += number(content[place - 4 : place], "big") * size
                row.append(place)
            place += before
            if place > end or len(row) < len(steps):
                break
            starts.append(used)
            ends += row
            used = place
        return np.array(starts, "i8"), np.array(ends, "i8").reshape(-1, len(steps)), used


def _binary_column(
    one: Field, raw: bytes, counts: npt.NDArray[np.int64], null: npt.NDArray[np.bool_] | None
) -> pa.Array:
    ends = np.concatenate(([0], np.cumsum(counts)))
    if one.is_text:
        return _time_or_text(one, _texts(one, raw, ends, null))
    data = np.frombuffer(raw, NUMBERS[one.datatype][0])
    mask = None
    if one.datatype == "boolean":
        letters = data.view("u1")
        mask = ~np.isin(letters, bytearray(b"tTfF10"))
        values = np.isin(letters, bytearray(b"tT1"))
    elif one.datatype == "bit":
        # The standard has it in the highest place of the byte, astropy in another.
        values = data.view("u1") != 0
    else:
        values = data.astype(data.dtype.newbyteorder("="))
        if pa.types.is_floating(one.element):
            # With flags, NaN is a value as any other.
            mask = np.isnan(values) if null is None else None
        elif one.null:
            try:
                mask = values == int(one.null, 0)
            except ValueError:
                raise damaged("VOTable", f"the value for NULL of the column {one.name} is no number") from None
    if not one.is_array:
        if null is not None:
            mask = null if mask is None else mask | null
        return pa.array(values, one.element, mask=mask)
    return pa.ListArray.from_arrays(
        pa.array(ends.astype("i4")),
        pa.array(values, one.element, mask=mask),
        mask=None if null is None else pa.array(null),
    )


def _texts(one: Field, raw: bytes, ends: npt.NDArray[np.int64], null: npt.NDArray[np.bool_] | None) -> pa.StringArray:
    if one.size == 1 and b"\0" not in raw:
        valid = None if null is None else pa.array(~null).buffers()[1]
        offsets = pa.py_buffer(ends.astype("i4"))
        texts = pa.StringArray.from_buffers(len(ends) - 1, offsets, pa.py_buffer(raw), valid)
        with suppress(pa.ArrowInvalid):
            texts.validate(full=True)
            return texts
    coding = "utf-16-be" if one.size == 2 else "utf-8"
    decoded = [
        # A shorter text ends with NUL.
        raw[first * one.size : last * one.size].decode(coding, "replace").split("\0", 1)[0]
        for first, last in pairwise(ends.tolist())
    ]
    return pa.array(decoded, pa.string(), mask=null)
