"""Binary tables of FITS, read through a memory map.

NULL is what the standard calls undefined: NaN in a floating-point column, TNULL in an integer one, a string that
begins with the character NUL. Integers without sign become the next wider type with one, scaled columns DOUBLE,
columns of arrays lists. Bits and complex numbers are refused: tables have no type for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.errors import Kind, QueryError
from casjobs_service.reading import BATCH_BYTES, BATCH_ROWS, MOST_COLUMNS, checked_names, damaged, field

BLOCK = 2880
_MOST_CARDS = 100_000
_MOST_HDUS = 1000
_MOST_HEAP = 1 << 30

_CODES = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "A": "S1"}
_ARROW = {
    "L": pa.bool_(),
    "B": pa.int16(),
    "I": pa.int16(),
    "J": pa.int32(),
    "K": pa.int64(),
    "E": pa.float32(),
    "D": pa.float64(),
}
# By code and TZERO, with TSCAL 1: the conventions for integers of the other kind of sign.
_OFFSETS = {
    ("B", -128): pa.int8(),
    ("I", 1 << 15): pa.int32(),
    ("J", 1 << 31): pa.int64(),
    ("K", 1 << 63): pa.uint64(),
}

Header = dict[str, str]


@dataclass
class _Column:
    name: str
    code: str
    repeat: int
    variable: str
    """``P`` or ``Q`` when the row has only length and place of the array in the heap."""
    arrow: pa.DataType
    scale: float
    zero: float
    null: int | None

    @property
    def dtype(self) -> tuple[object, ...]:
        if self.variable:
            return (">i4" if self.variable == "P" else ">i8", (2,))
        if self.code == "A":
            # Not S: numpy would cut blanks and NUL, which mean different things.
            return ("u1", (self.repeat,))
        return (_CODES[self.code], (self.repeat,))


def open_fits(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch], int]:
    """Schema, batches and number of rows of the first binary table in a FITS file.

    Raises
    ------
    QueryError
        There is none, or it has what cannot be read.
    """
    size = path.stat().st_size
    header, start = _find_table(path, size)
    width, rows, count = (_integer(header, key) for key in ("NAXIS1", "NAXIS2", "TFIELDS"))
    if not 1 <= count <= MOST_COLUMNS:
        raise damaged("FITS", f"it has {count} columns, and a table can have {MOST_COLUMNS}")
    columns = [_column(header, number) for number in range(1, count + 1)]
    # numpy takes no names that come twice, and none that are empty.
    try:
        dtype = np.dtype([(f"c{number}", *column.dtype) for number, column in enumerate(columns)])
    except ValueError as error:
        raise damaged("FITS", "its rows are too long") from error
    if dtype.itemsize != width or not width:
        raise damaged("FITS", f"its rows are said to be {width} bytes long, and its columns {dtype.itemsize}")
    if rows < 0 or start + rows * width > size:
        raise damaged("FITS", "it ends before its table does")
    heap_start = start + int(header.get("THEAP", rows * width))
    heap_size = min(max(_integer(header, "PCOUNT"), 0), max(size - heap_start, 0))
    schema = checked_names(
        pa.schema(
            [
                field(
                    column.name,
                    column.arrow,
                    unit=_text(header, f"TUNIT{number}"),
                    ucd=_text(header, f"TUCD{number}"),
                    description=_text(header, f"TCOMM{number}"),
                )
                for number, column in enumerate(columns, 1)
            ],
            {"name": _text(header, "EXTNAME")} if "EXTNAME" in header else None,
        )
    )

    def batches() -> Iterator[pa.RecordBatch]:
        if not rows:
            return
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // width))
        heap = (
            np.memmap(path, "u1", "r", heap_start, (heap_size,))
            if heap_size and any(column.variable for column in columns)
            else np.empty(0, "u1")
        )
        for first in range(0, rows, step):
            # A map for each batch: pages of one that are read stay in memory as long as it does.
            data = np.memmap(path, dtype, "r", start + first * width, (min(step, rows - first),))
            arrays = [_values(column, data[f"c{number}"], heap) for number, column in enumerate(columns)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return schema, batches(), rows


def _find_table(path: Path, size: int) -> tuple[Header, int]:
    place, other = 0, ""
    with path.open("rb") as file:
        if file.read(9) != b"SIMPLE  =":
            raise damaged("FITS", "it does not begin as FITS does")
        for _ in range(_MOST_HDUS):
            if place >= size:
                break
            file.seek(place)
            header, length = _header(file.read)
            place += length
            kind = _text(header, "XTENSION")
            if kind == "BINTABLE" and header.get("ZIMAGE", "").strip() != "T":
                if header.get("ZTABLE", "").strip() == "T":
                    raise damaged("FITS", "its table is compressed; write it without compression")
                return header, place
            other = other or kind
            place += _data_length(header)
    if other == "TABLE":
        raise damaged("FITS", "its table is an ASCII table; write it as a binary one")
    raise damaged("FITS", "it has no binary table")


def _header(read: Callable[[int], bytes]) -> tuple[Header, int]:
    header: Header = {}
    length = 0
    key = ""
    for _ in range(_MOST_CARDS * 80 // BLOCK):
        block = read(BLOCK)
        if len(block) < BLOCK:
            raise damaged("FITS", "it ends within a header")
        length += BLOCK
        for place in range(0, BLOCK, 80):
            card = block[place : place + 80].decode("latin-1")
            name = card[:8].rstrip()
            if name == "END":
                return header, length
            if card[8:10] == "= ":
                key = name
                header.setdefault(key, card[10:])
            elif name == "CONTINUE" and key in header:
                # A long string goes on: the part before ends with &.
                header[key] = f"{_unquoted(header[key]).removesuffix('&')}{_unquoted(card[10:])}"
                header[key] = "'" + header[key].replace("'", "''") + "'"
    raise damaged("FITS", "a header has no end")


def _unquoted(value: str) -> str:
    match = re.match(r"\s*'((?:[^']|'')*)'", value)
    return match[1].replace("''", "'").rstrip() if match else value.partition("/")[0].strip()


def _text(header: Header, key: str) -> str:
    return _unquoted(header[key]) if key in header else ""


def _integer(header: Header, key: str, default: int = 0) -> int:
    try:
        return int(_text(header, key) or default)
    except ValueError:
        raise damaged("FITS", f"{key} is not a whole number") from None


def _number(header: Header, key: str, default: float) -> float:
    text = _text(header, key)
    try:
        # Whole numbers up to 2**63 must stay exact.
        number = default if not text else int(text) if re.fullmatch(r"[+-]?\d{1,20}", text) else _float(text)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise damaged("FITS", f"{key} is not a number")
    return number


def _float(text: str) -> float:
    return float(text.replace("D", "E"))


def _data_length(header: Header) -> int:
    axes = [_integer(header, f"NAXIS{number}") for number in range(1, min(_integer(header, "NAXIS"), 999) + 1)]
    # Random groups have a first axis of no length.
    values = int(np.prod(axes, dtype=object)) if axes else 0
    bits = abs(_integer(header, "BITPIX")) * _integer(header, "GCOUNT", 1) * (_integer(header, "PCOUNT") + values)
    if bits < 0:
        raise damaged("FITS", "a header has a negative length")
    return -(-bits // 8 // BLOCK) * BLOCK


def _column(header: Header, number: int) -> _Column:
    name = _text(header, f"TTYPE{number}") or f"Column{number}"
    match = re.fullmatch(r"(\d*)([PQ]?)([A-Z])(?:\(\d*\))?.*", _text(header, f"TFORM{number}"), re.DOTALL)
    if match is None:
        raise damaged("FITS", f"the column {name} has no form")
    repeat, variable, code = int(match[1] or 1), match[2], match[3]
    if code not in _CODES:
        raise QueryError(
            f"The column {name} has {'bits' if code == 'X' else 'complex numbers'}, which tables cannot hold.",
            Kind.UNSUPPORTED,
            hint="Leave it out, or take it apart into several columns.",
        )
    if repeat > BATCH_BYTES:
        raise damaged("FITS", f"a value of the column {name} is too long")
    scale, zero = _number(header, f"TSCAL{number}", 1), _number(header, f"TZERO{number}", 0)
    arrow: pa.DataType = pa.string()
    if code != "A":
        arrow = _ARROW[code]
        if (scale, zero) != (1, 0) and code != "L":
            arrow = _OFFSETS.get((code, int(zero)), pa.float64()) if scale == 1 else pa.float64()
        if variable or repeat != 1:
            arrow = pa.list_(arrow)
    null = _integer(header, f"TNULL{number}") if f"TNULL{number}" in header and code in "BIJK" else None
    return _Column(name, code, repeat, variable, arrow, scale, zero, null)


def _values(column: _Column, data: npt.NDArray[np.generic], heap: npt.NDArray[np.uint8]) -> pa.Array:
    if column.variable:
        return _from_heap(column, data.astype("i8"), heap)
    if column.code == "A":
        return strings(np.ascontiguousarray(data).view("u1").reshape(len(data), column.repeat))
    values = _numbers(column, np.ascontiguousarray(data).reshape(-1))
    if pa.types.is_list(column.arrow):
        offsets = np.arange(0, (len(data) + 1) * column.repeat, column.repeat or 1, dtype="i4")
        return pa.ListArray.from_arrays(offsets if column.repeat else np.zeros(len(data) + 1, "i4"), values)
    return values


def _numbers(column: _Column, data: npt.NDArray[np.generic]) -> pa.Array:
    element = column.arrow.value_type if pa.types.is_list(column.arrow) else column.arrow
    if column.code == "L":
        # T, F, and NUL for undefined; some programs write 1 and 0.
        letters = data.view("u1")
        return pa.array(np.isin(letters, (ord("T"), 1)), mask=~np.isin(letters, (ord("T"), ord("F"), 1)))
    native = data.astype(data.dtype.newbyteorder("="), copy=False)
    mask = None
    if column.null is not None:
        mask = native == column.null
    elif column.code in "ED":
        mask = np.isnan(native)
    if pa.types.is_integer(element):
        wide = native.astype(np.dtype(element.to_pandas_dtype()))
        if column.zero:
            # Modulo 2**64, which is what adding 2**63 to the bits of a number with sign means.
            with np.errstate(over="ignore"):
                wide = wide + np.array(int(column.zero)).astype(wide.dtype)
        return pa.array(wide, element, mask=mask)
    if (column.scale, column.zero) != (1, 0):
        native = native.astype("f8") * column.scale + column.zero
    return pa.array(native, element, mask=mask)


def _from_heap(column: _Column, places: npt.NDArray[np.int64], heap: npt.NDArray[np.uint8]) -> pa.Array:
    size = np.dtype(_CODES[column.code]).itemsize
    lengths, offsets = places[:, 0], places[:, 1]
    if len(places) and (
        lengths.min() < 0
        or offsets.min() < 0
        or lengths.max() > len(heap)
        or offsets.max() > len(heap)
        or (offsets + lengths * size).max() > len(heap)
    ):
        raise damaged("FITS", f"the column {column.name} points outside of the file")
    if lengths.sum() * size > _MOST_HEAP:
        # Rows may share their arrays, so this can be more than there is in the file.
        raise damaged("FITS", f"the arrays of the column {column.name} are too long")
    parts = [heap[first : first + length * size] for first, length in zip(offsets, lengths, strict=True)]
    if column.code == "A":
        return pa.array([bytes(part).split(b"\0")[0].decode("utf-8", "replace") for part in parts], pa.string())
    joined = np.concatenate(parts) if parts else np.empty(0, "u1")
    return pa.ListArray.from_arrays(
        np.concatenate(([0], np.cumsum(lengths))).astype("i4"), _numbers(column, joined.view(_CODES[column.code]))
    )


def strings(letters: npt.NDArray[np.uint8]) -> pa.Array:
    """Strings from rows of bytes: up to the first NUL, without blanks at the end; NUL at the start is NULL."""
    rows, width = letters.shape
    if not rows or not width:
        return pa.array([""] * rows, pa.string())
    is_nul = letters == 0
    ends = np.where(is_nul.any(axis=1), is_nul.argmax(axis=1), width)
    place = np.arange(width)
    is_letter = (letters != 32) & (place < ends[:, None])
    lengths = np.where(is_letter.any(axis=1), width - is_letter[:, ::-1].argmax(axis=1), 0)
    content = letters[place < lengths[:, None]]
    if (content >= 128).any():
        # The standard has ASCII only. Programs write UTF-8, old ones Latin-1.
        texts = (bytes(row[:length]) for row, length in zip(letters, lengths, strict=True))
        return pa.array([_decoded(text) for text in texts], pa.string(), mask=ends == 0)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype("i4")
    valid = pa.array(ends > 0).buffers()[1]
    return pa.StringArray.from_buffers(
        rows, pa.py_buffer(offsets), pa.py_buffer(content), valid, int((ends == 0).sum())
    )


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
