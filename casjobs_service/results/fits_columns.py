r"""How each kind of value is stored in a FITS binary table, so that nothing is lost.

boolean
    ``L``. With NULLs ``B`` with the values 0, 1 and TNULL 255, because astropy reads a NULL of ``L`` as false.
integer
    ``B``, ``I``, ``J``, ``K``; int8, uint16, uint32 and uint64 by TZERO, as the standard has it (5.2.5). With NULLs a
    value that does not occur is TNULL: the smallest of the type, else the largest, else the next wider type is taken;
    unsigned types are then stored in the next wider signed one. A 64-bit column with NULLs in which both ends occur
    (or unsigned values beyond 2^63 - 2) is written as text.
float
    ``E``, ``D``. NULL is the NaN with all bits set, as CFITSIO writes it; a NaN of the data has other bits.
text
    ``A``. Its width is that of the longest value in bytes, filled with NUL. FITS has only printable ASCII: if a column
    has other characters, it is written with the escapes of Python's ``unicode_escape`` (``\n``, ``\xe9``, ``\u03b1``,
    ``\\`` for a backslash), and the keyword TESCn says so. NULL is an undefined string (its first byte is NUL); in a
    column with NULLs the empty string is one blank. Blanks at the end are stored, though many readers cut them. A
    column of more than 256 MB in which few values are long is a variable-length one (``QA``).
decimal, 128-bit integer, date, time, timestamp, interval, binary, list, struct, map
    Text, as `casjobs_service.results.text` has it, in an ``A`` column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.results.kinds import Kind, kind_of, plain, plain_type
from casjobs_service.results.stats import ColumnStats, escape
from casjobs_service.results.text import text

Values = np.ndarray[Any, Any]

ESCAPED = "unicode_escape"
"""Value of TESCn."""

_DESCRIPTOR = np.dtype(">i8")
_LETTERS = {1: "B", 2: "I", 4: "J", 8: "K"}
_HEAP_BYTES = 256_000_000
"""Columns that need no more are never of variable length: astropy reads those as arrays of letters, and slowly."""
_HEAP_GAIN = 4
"""How many times smaller a column of variable length must be."""


@dataclass(slots=True)
class FitsColumn:
    """One column of a table.

    Attributes
    ----------
    form
        Value of TFORMn.
    dtype
        Of its part of a row.
    fill
        Values of `dtype` from an Arrow column.
    cards
        Further keywords, without their number.
    heap
        Variable length: the texts of a batch, whose bytes go to the heap, without NULL. `fill` is not used then.
    """

    form: str
    dtype: np.dtype[Any]
    fill: Callable[[pa.Array], Values]
    cards: dict[str, str | int] = field(default_factory=dict)
    heap: Callable[[pa.Array], pa.StringArray] | None = None


def needs_text(data_type: pa.DataType, stats: ColumnStats) -> bool:
    """Whether values that are no text are stored as their text, whose width must then be counted."""
    kind = kind_of(data_type)
    if kind is Kind.INTEGER:
        return _integer(_plain_integer(data_type), stats) is None
    return kind not in (Kind.NOTHING, Kind.BOOLEAN, Kind.FLOAT, Kind.TEXT)


def column(data_type: pa.DataType, stats: ColumnStats, rows: int) -> FitsColumn:
    """How a column is stored that does not need text.

    Parameters
    ----------
    rows
        Of the whole table.
    """
    match kind_of(data_type):
        case Kind.BOOLEAN:
            return _boolean(stats)
        case Kind.FLOAT:
            return _float(4 if pa.types.is_float32(data_type) or pa.types.is_float16(data_type) else 8)
        case Kind.INTEGER:
            return _integer(_plain_integer(data_type), stats) or text_column(stats, rows)
        case _:
            return text_column(stats, rows)


def _plain_integer(data_type: pa.DataType) -> np.dtype[Any]:
    return np.dtype(plain_type(data_type).to_pandas_dtype())


def _boolean(stats: ColumnStats) -> FitsColumn:
    if stats.nulls:
        return FitsColumn("B", np.dtype("u1"), _integer_fill(np.dtype("u1"), 255), {"TNULL": 255})
    return FitsColumn("L", np.dtype("u1"), lambda array: np.where(_numbers(plain(array)), ord("T"), ord("F")))


def _float(size: int) -> FitsColumn:
    null = np.array(-1, f"i{size}").view(f"f{size}")

    def fill(array: pa.Array) -> Values:
        array = plain(array)
        values = _numbers(pc.fill_null(array, 0.0))
        if array.null_count:
            values = values.copy()
            values[_numbers(array.is_null())] = null
        return values

    return FitsColumn("E" if size == 4 else "D", np.dtype(f">f{size}"), fill)


def _integer(dtype: np.dtype[Any], stats: ColumnStats) -> FitsColumn | None:
    """None: no FITS type holds all values and a NULL beside them."""
    if not stats.nulls:
        return _offset_integer(dtype)
    sizes = [size for size in _LETTERS if size >= dtype.itemsize]
    for size in sizes:
        stored = np.dtype("u1" if size == 1 else f">i{size}")
        bounds = np.iinfo(stored)
        low = bounds.min if stats.low is None else stats.low
        high = bounds.min if stats.high is None else stats.high
        if low < bounds.min or high > bounds.max or (size == 1 and dtype.kind == "i"):
            continue
        ends = (int(bounds.min), int(bounds.max))
        null = next((end for end in ends if stats.low is None or not low <= end <= high), None)
        if null is not None:
            return FitsColumn(_LETTERS[size], stored, _integer_fill(stored, null), {"TNULL": null})
    return None


def _integer_fill(stored: np.dtype[Any], null: int) -> Callable[[pa.Array], Values]:
    arrow = pa.from_numpy_dtype(stored.newbyteorder("="))
    return lambda array: _filled(plain(array).cast(arrow), null)


def _offset_integer(dtype: np.dtype[Any]) -> FitsColumn:
    size = dtype.itemsize
    stored = np.dtype("u1") if size == 1 else np.dtype(f">i{size}")
    offset = 0
    if size == 1 and dtype.kind == "i":
        offset = -128
    elif size > 1 and dtype.kind == "u":
        offset = 1 << (8 * size - 1)
    if not offset:
        return FitsColumn(_LETTERS[size], stored, lambda array: _numbers(plain(array)))
    # To subtract the offset is to turn the highest bit.
    flip = np.array(1 << (8 * size - 1), f"u{size}")
    native = stored.newbyteorder("=")
    return FitsColumn(
        _LETTERS[size],
        stored,
        lambda array: (_numbers(plain(array)).view(f"u{size}") ^ flip).view(native),
        {"TSCAL": 1, "TZERO": offset},
    )


def text_column(stats: ColumnStats, rows: int) -> FitsColumn:
    """How a column is stored as the text of its values; `stats` are of that text."""
    width = max(1, stats.width if stats.printable else stats.escaped)
    cards: dict[str, str | int] = {} if stats.printable else {"TESC": ESCAPED}

    def values(array: pa.Array) -> pa.StringArray:
        found = text(array)
        if not stats.printable:
            found = pa.array([None if value is None else escape(value) for value in found.to_pylist()], pa.string())
        if stats.nulls:
            found = pc.if_else(pc.equal(found, ""), " ", found)
        return pc.fill_null(found, "")

    # The total is that of UTF-8: near enough to choose, also for an escaped column.
    fixed = width * rows
    variable = fixed > _HEAP_BYTES and fixed > _HEAP_GAIN * (stats.total + _DESCRIPTOR.itemsize * 2 * rows)
    if variable:
        return FitsColumn(f"QA({width})", np.dtype((_DESCRIPTOR, 2)), _numbers, cards, values)

    def fill(array: pa.Array) -> Values:
        filled = pc.ascii_rpad(values(array), width, "\0")
        return np.frombuffer(filled.buffers()[2], f"S{width}", len(filled), filled.offset * width)

    return FitsColumn(f"{width}A", np.dtype(f"S{width}"), fill, cards)


def _filled(array: pa.Array, null: int) -> Values:
    return _numbers(pc.fill_null(array, null) if array.null_count else array)


def _numbers(array: pa.Array) -> Values:
    return array.to_numpy(zero_copy_only=False)
