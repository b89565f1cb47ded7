"""The text of every value, which is the same in CSV, JSON, and wherever a format has no type of its own for it.

====================  =========================================================================================
boolean               ``true``, ``false``
integer, decimal      all digits, never an exponent
float32, float64      the shortest text that reads back as the same number; ``NaN``, ``inf``, ``-inf``
date                  ``2026-01-31``
time                  ``12:34:56.123456``
timestamp             ``2026-01-31T12:34:56.123456``; the number of digits is that of the type (0, 3, 6, 9) and
                      the same in each row, because readers such as pandas infer the form from the first one
timestamp with zone   the same in UTC with a ``Z`` after it
binary                ``0x`` and two upper-case hexadecimal digits per byte, as SQL Server shows it
interval              ISO 8601: ``P1M2DT3.000000000S``; each of the three parts has its own sign
list, struct, map     JSON: arrays; objects; objects with the keys' text; a union is an object with its tag
====================  =========================================================================================

Years before 1 are written as ISO 8601 has it (0000 is 1 BC), those after 9999 with more digits, DuckDB's infinite
dates and timestamps as ``infinity`` and ``-infinity``. Inside JSON, NaN is ``null``, because JSON has none, and
infinity is ``1e999``, which is a valid number and which Python and JavaScript read as infinity.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from casjobs_service.results.kinds import Kind, kind_of, plain

JSON_INFINITY = "1e999"

_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_ORDINARY_YEARS = (-62_135_596_800, 253_402_300_799)
"""First and last second, counted from 1970, of the years 1 to 9999: pyarrow's text has four digits for them."""

_JSON_SPECIAL = np.zeros(256, bool)
_JSON_SPECIAL[:32] = True
_JSON_SPECIAL[[ord('"'), ord("\\")]] = True


def text(array: pa.Array) -> pa.StringArray:
    """Text of each value; NULL stays NULL."""
    array = plain(array)
    kind = kind_of(array.type)
    match kind:
        case Kind.TEXT:
            return array
        case Kind.FLOAT:
            return _floats(array)
        case Kind.DECIMAL:
            return _decimals(array)
        case Kind.BINARY:
            return pa.array(
                [None if value is None else "0x" + value.hex().upper() for value in array.to_pylist()], pa.string()
            )
        case Kind.DATE:
            return _dates(array)
        case Kind.TIME:
            return _times(array)
        case Kind.TIMESTAMP:
            return _timestamps(array)
        case Kind.INTERVAL:
            return _intervals(array)
        case Kind.NESTED:
            return pc.if_else(array.is_valid(), json_text(array), pa.scalar(None, pa.string()))
        case _:
            return array.cast(pa.string())


def json_text(array: pa.Array) -> pa.StringArray:
    """Each value as JSON; NULL as ``null``, so that the result has no NULL."""
    array = plain(array)
    kind = kind_of(array.type)
    match kind:
        case Kind.NOTHING:
            return pa.repeat(pa.scalar("null"), len(array))
        case Kind.BOOLEAN | Kind.INTEGER | Kind.DECIMAL:
            found = text(array)
        case Kind.FLOAT:
            found = _json_floats(array)
        case Kind.NESTED:
            found = _json_nested(array)
        case _:
            found = json_quoted(text(array))
    return pc.fill_null(found, "null")


def json_quoted(array: pa.StringArray) -> pa.StringArray:
    """Strings as JSON strings; NULL stays NULL."""
    if not _any_byte(array, _JSON_SPECIAL):
        return pc.binary_join_element_wise('"', array, '"', "")
    values = array.to_pylist()
    return pa.array([None if value is None else orjson.dumps(value).decode() for value in values], pa.string())


def byte_values(array: pa.StringArray | pa.BinaryArray) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """All bytes of a string or binary column, one value after the other. NULLs may have bytes, too."""
    _, offsets, values = array.buffers()
    if values is None or offsets is None or not len(array):
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4)
    return np.frombuffer(values, np.uint8)[bounds[0] : bounds[-1]]


def _any_byte(array: pa.StringArray, table: np.ndarray[Any, np.dtype[np.bool_]]) -> bool:
    return bool(table[byte_values(array)].any())


def _floats(array: pa.Array) -> pa.StringArray:
    # polars writes the shortest form for each width, and 1.0 where pyarrow writes 1.
    return pl.Series(pl.from_arrow(array)).cast(pl.String).to_arrow().cast(pa.string())


def _json_floats(array: pa.Array) -> pa.StringArray:
    array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    found = _floats(array)
    infinite = pc.is_inf(array)
    if not pc.any(infinite).as_py():
        return found
    signed = pc.if_else(pc.greater(array, 0), JSON_INFINITY, "-" + JSON_INFINITY)
    return pc.if_else(infinite, signed, found)


def _decimals(array: pa.Array) -> pa.StringArray:
    found = array.cast(pa.string())
    # Arrow writes small numbers as 1E-10.
    if not pc.any(pc.match_substring(found, "E")).as_py():
        return found
    return pa.array([None if value is None else f"{value:f}" for value in array.to_pylist()], pa.string())


def _dates(array: pa.Array) -> pa.StringArray:
    days = array.cast(pa.int32())
    low, high = (value // 86_400 for value in _ORDINARY_YEARS)
    if _within(days, low, high):
        return array.cast(pa.string())
    return _numpy_dates(days.cast(pa.int64()), "D", 2**31 - 1)


def _times(array: pa.Array) -> pa.StringArray:
    unit = array.type.unit
    midnight = 86_400 * 10 ** _DIGITS[unit]
    count = array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64())
    late = pc.equal(count, midnight)
    if not pc.any(late).as_py():
        return array.cast(pa.string())
    # SQL has 24:00:00, pyarrow has no text for it.
    zeros = pc.if_else(late, pa.scalar(0, count.type), count).cast(array.type).cast(pa.string())
    return pc.if_else(late, pc.binary_replace_slice(zeros, 0, 2, "24"), zeros)


def _timestamps(array: pa.Array) -> pa.StringArray:
    unit, zone = array.type.unit, array.type.tz
    count = array.cast(pa.int64())
    per_second = 10 ** _DIGITS[unit]
    low, high = (value * per_second for value in _ORDINARY_YEARS)
    if _within(count, low, high):
        # Without its zone the value is in UTC, and no database of time zones is needed, which a jail has not.
        found = pc.binary_replace_slice(count.cast(pa.timestamp(unit)).cast(pa.string()), 10, 11, "T")
    else:
        found = _numpy_dates(count, unit, 2**63 - 1)
    if zone is None:
        return found
    finite = pc.binary_join_element_wise(found, "Z", "")
    return pc.if_else(pc.ends_with(found, "y"), found, finite)


def _within(count: pa.Array, low: int, high: int) -> bool:
    bounds = pc.min_max(count)
    if not bounds["min"].is_valid:
        return True
    return bool(bounds["min"].as_py() >= low and bounds["max"].as_py() <= high)


def _numpy_dates(count: pa.Array, unit: str, infinity: int) -> pa.StringArray:
    """For years that pyarrow cannot write, or writes with another number of digits."""
    valid = count.is_valid()
    numbers = pc.fill_null(count, 0).to_numpy()
    endless = np.abs(numbers) == infinity
    moments: Any = np.where(endless, 0, numbers).astype(f"datetime64[{unit}]")
    written = np.datetime_as_string(moments)
    found = np.where(endless, np.where(numbers > 0, "infinity", "-infinity"), written)
    # numpy writes the year -43 with three digits.
    padded = [re.sub(r"^-(\d{3})-", r"-0\1-", value) for value in found]
    return pc.if_else(valid, pa.array(padded, pa.string()), pa.scalar(None, pa.string()))


def _intervals(array: pa.Array) -> pa.StringArray:
    if pa.types.is_duration(array.type):
        digits = _DIGITS[array.type.unit]
        parts = [(0, 0, value, digits) for value in pc.fill_null(array.cast(pa.int64()), 0).to_pylist()]
    else:
        empty = pa.MonthDayNano([0, 0, 0])
        parts = [(*(value or empty), 9) for value in array.to_pylist()]
    found = []
    for months, days, ticks, digits in parts:
        whole, rest = divmod(abs(ticks), 10**digits)
        seconds = f"{'-' if ticks < 0 else ''}{whole}" + (f".{rest:0{digits}}" if digits else "")
        found.append(f"P{months}M{days}DT{seconds}S")
    return pc.if_else(array.is_valid(), pa.array(found, pa.string()), pa.scalar(None, pa.string()))


def _json_nested(array: pa.Array) -> pa.StringArray:
    """NULL stays NULL."""
    types = pa.types
    if types.is_map(array.type):
        lists = array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))
        keys, items = lists.flatten().flatten()
        entries = pc.binary_join_element_wise(json_quoted(text(keys)), ":", json_text(items), "")
        return _json_list(lists, entries, "{}")
    if types.is_struct(array.type):
        return _json_struct(array)
    if types.is_union(array.type):
        return pc.choose(_union_index(array), *(_json_member(array, i) for i in range(array.type.num_fields)))
    return _json_list(array, json_text(array.flatten()), "[]")


def _json_list(array: pa.Array, values: pa.StringArray, brackets: str) -> pa.StringArray:
    """Join the texts of all inner values of a list or map column, list by list."""
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))]).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), values), ",")
    found = pc.binary_join_element_wise(brackets[0], joined, brackets[1], "")
    return pc.if_else(array.is_valid(), found, pa.scalar(None, pa.string()))


def _json_struct(array: pa.Array) -> pa.StringArray:
    parts: list[Any] = ["{"]
    for position, (field, child) in enumerate(zip(array.type, array.flatten(), strict=True)):
        name = orjson.dumps(field.name).decode()
        parts += [f"{',' if position else ''}{name}:", json_text(child)]
    if len(parts) == 1:
        parts.append(pa.repeat(pa.scalar(""), len(array)))
    found = pc.binary_join_element_wise(*parts, "}", "")
    return pc.if_else(array.is_valid(), found, pa.scalar(None, pa.string()))


def _json_member(array: pa.Array, position: int) -> pa.StringArray:
    """Values of one member of a union, as DuckDB writes them: ``{"name": value}``, and ``null`` for NULL."""
    child = array.field(position)
    key = orjson.dumps(array.type.field(position).name).decode()
    found = pc.binary_join_element_wise("{" + key + ":", json_text(child), "}", "")
    return pc.if_else(child.is_valid(), found, "null")


def _union_index(array: pa.Array) -> pa.Array:
    codes = {code: position for position, code in enumerate(array.type.type_codes)}
    return pa.array([codes[code] for code in array.type_codes.to_pylist()], pa.int8())
