"""Tables of every kind, and readers of every format that know nothing of the writers.

A value is compared as what `values` makes of an Arrow column with pyarrow itself: dates and times as the integers
that Arrow counts with, so that years beyond Python's are no exception, floats as their bits' value.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from hypothesis import strategies as st

from casjobs_service.results import SpoolWriter, Stats, open_spool, writer

NAN = "NaN"
"""What stands for a float that is no number, so that lists can be compared."""

TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


# -- writing


def spooled(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], limit: int = 0
) -> tuple[pa.Schema, Any, Stats]:
    """The rows in a spool, opened again."""
    with SpoolWriter(path, schema, limit) as spool:
        for batch in batches:
            spool.write(batch)
    return open_spool(path)


def write(format: str, *tables: tuple[str, pa.Schema, Any, Stats | None]) -> bytes:
    """A whole file."""
    target = writer(format)
    pieces = [target.begin()]
    for table in tables:
        pieces += list(target.table(*table))
    return b"".join([*pieces, target.end()])


# -- values


def values(column: pa.Array) -> list[Any]:
    """Values of an Arrow column, by pyarrow."""
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        return values(column.dictionary_decode())
    if types.is_date(kind) or types.is_time32(kind):
        return list(column.cast(pa.int32()).to_pylist())
    if types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind):
        return list(column.cast(pa.int64()).to_pylist())
    return [normal(value) for value in column.to_pylist()]


def normal(value: Any) -> Any:
    """NaN as something that equals itself."""
    if isinstance(value, float) and math.isnan(value):
        return NAN
    if isinstance(value, tuple) and type(value) is not tuple:
        return tuple(value)
    if isinstance(value, list):
        return [normal(inner) for inner in value]
    if isinstance(value, dict):
        return {key: normal(inner) for key, inner in value.items()}
    return value


def rows(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> list[tuple[Any, ...]]:
    """All rows."""
    found: list[tuple[Any, ...]] = []
    for batch in batches:
        found += zip(*map(values, batch.columns), strict=True)
    return found


# -- texts


def days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the Gregorian calendar, for any year (H. Hinnant's algorithm)."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


_MOMENT = re.compile(r"(-?\d{4,})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(Z?)")


def from_text(kind: pa.DataType, text: str) -> Any:
    """A value of a column of this type from the text that `casjobs_service.results.text` describes."""
    types = pa.types
    if types.is_dictionary(kind):
        return from_text(kind.value_type, text)
    if types.is_boolean(kind):
        return {"true": True, "false": False}[text]
    if types.is_integer(kind):
        return int(text)
    if types.is_floating(kind):
        value = float(np.float32(text)) if types.is_float32(kind) else float(text)
        return normal(value)
    if types.is_decimal(kind):
        assert re.fullmatch(r"-?\d+(\.\d+)?", text), text
        return Decimal(text)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        assert text.startswith("0x")
        assert text[2:] == text[2:].upper()
        return bytes.fromhex(text[2:])
    if types.is_date(kind):
        return _count(text, "D", 32)
    if types.is_timestamp(kind):
        if text[-1] != "y":
            assert text.endswith("Z") == (kind.tz is not None)
        return _count(text, kind.unit, 64)
    if types.is_time(kind):
        return _clock(*re.fullmatch(r"(\d\d):(\d\d):(\d\d)(?:\.(\d+))?", text).groups(), kind.unit)  # type: ignore[union-attr]
    if types.is_interval(kind):
        months, of_month, seconds, nanoseconds = re.fullmatch(  # type: ignore[union-attr]
            r"P(-?\d+)M(-?\d+)DT(-?\d+)\.(\d{9})S", text
        ).groups()
        sign = -1 if seconds.startswith("-") else 1
        return int(months), int(of_month), int(seconds) * 10**9 + sign * int(nanoseconds)
    if types.is_nested(kind):
        return json.loads(text)
    return text


def _count(text: str, unit: str, bits: int) -> int:
    if text in ("infinity", "-infinity"):
        return (2 ** (bits - 1) - 1) * (-1 if text[0] == "-" else 1)
    found = _MOMENT.fullmatch(text)
    assert found, text
    day = days(int(found[1]), int(found[2]), int(found[3]))
    return day if unit == "D" else day * 86_400 * TICKS[unit] + _clock(*found.group(4, 5, 6, 7), unit)


def _clock(hours: str, minutes: str, seconds: str, fraction: str | None, unit: str) -> int:
    assert len(fraction or "") == len(str(TICKS[unit])) - 1
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * TICKS[unit] + int(fraction or 0)


# -- readers: rows of the first table, as `rows` has them


def read_csv(content: bytes, schema: pa.Schema, separator: str = ",") -> list[tuple[Any, ...]]:
    """By the rules of RFC 4180, telling ``""`` and nothing apart."""
    table = _fields(content.decode(), separator)
    assert [value for value, _ in table[0]] == schema.names
    return [
        tuple(
            None if not value and (not quoted or len(schema) == 1) else from_text(kind, value)
            for kind, (value, quoted) in zip(schema.types, row, strict=True)
        )
        for row in table[1:]
    ]


def _fields(text: str, separator: str) -> list[list[tuple[str, bool]]]:
    """Fields of each line, and whether they have quotes; Python's own reader must see the same fields."""
    found: list[list[tuple[str, bool]]] = []
    position, row = 0, []
    pattern = re.compile(rf'(?:"((?:[^"]|"")*)"|([^"{separator}\n]*))([{separator}\n])')
    while position < len(text):
        match = pattern.match(text, position)
        assert match, text[position : position + 50]
        quoted = match[1] is not None
        row.append((match[1].replace('""', '"') if quoted else match[2], quoted))
        if match[3] == "\n":
            found.append(row)
            row = []
        position = match.end()
    python = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    assert python == [[value for value, _ in line] for line in found]
    return found


def read_tsv(content: bytes, schema: pa.Schema) -> list[tuple[Any, ...]]:
    """CSV with tabs."""
    return read_csv(content, schema, "\t")


def _json_value(kind: pa.DataType, value: Any) -> Any:
    if pa.types.is_nested(kind):
        return _with_floats(value)
    if value is None:
        return None
    if pa.types.is_null(kind):
        raise AssertionError(value)
    if pa.types.is_floating(kind):
        assert isinstance(value, Decimal), value
        # JSON's 1e999.
        number = float(value)
        return float(np.float32(number)) if pa.types.is_float32(kind) and not math.isinf(number) else number
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        assert type(value) is (bool if pa.types.is_boolean(kind) else int)
        return value
    assert isinstance(value, str)
    return from_text(kind, value)


def _with_floats(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_with_floats(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _with_floats(inner) for key, inner in value.items()}
    return value


def _loads(text: str | bytes) -> Any:
    # Floats come as their text, since a float32 in its shortest form is no double.
    return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def read_json(content: bytes, schema: pa.Schema) -> list[tuple[Any, ...]]:
    """The rows as arrays."""
    (table,) = _loads(content)["Result"]
    assert table["Columns"] == schema.names
    return [
        tuple(_json_value(kind, value) for kind, value in zip(schema.types, row, strict=True)) for row in table["Data"]
    ]


def read_ndjson(content: bytes, schema: pa.Schema) -> list[tuple[Any, ...]]:
    """Lines of objects."""
    found = []
    for line in content.split(b"\n")[:-1]:
        value = _loads(line)
        assert list(value) == schema.names
        found.append(
            tuple(_json_value(kind, value[name]) for kind, name in zip(schema.types, schema.names, strict=True))
        )
    return found


def read_arrow(content: bytes, schema: pa.Schema) -> list[tuple[Any, ...]]:
    """By pyarrow."""
    table = pa.ipc.open_stream(content).read_all()
    assert table.schema.equals(schema)
    return rows(table.schema, table.to_batches())


def read_parquet(content: bytes, schema: pa.Schema) -> list[tuple[Any, ...]]:
    """By pyarrow; columns that are text there are read as such."""
    table = pq.read_table(io.BytesIO(content))
    found = []
    for kind, column in zip(schema.types, table.columns, strict=True):
        column = column.combine_chunks() if column.num_chunks else pa.array([], column.type)
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_timestamp(kind):
            assert column.type.unit == ("ms" if kind.unit == "s" else kind.unit)
            factor = TICKS[column.type.unit] // TICKS[kind.unit]
            found.append([None if value is None else value // factor for value in values(column)])
        elif pa.types.is_string(column.type) and not pa.types.is_dictionary(kind):
            found.append([None if value is None else from_text(kind, value) for value in column.to_pylist()])
        else:
            found.append(values(column))
    return list(zip(*found, strict=True))


def read_fits(content: bytes, schema: pa.Schema) -> list[tuple[Any, ...]]:
    """From the bytes as the standard describes them; only the header is read by astropy."""
    assert len(content) % 2880 == 0
    with fits.open(io.BytesIO(content)) as file:
        file.verify("exception")
        header, start = file[1].header, file[1].fileinfo()["datLoc"]
    assert header["NAXIS1"] == sum(_width(header[f"TFORM{i}"])[0] for i in range(1, header["TFIELDS"] + 1))
    size = header["NAXIS1"] * header["NAXIS2"]
    data, heap = content[start : start + size], content[start + size : start + size + header["PCOUNT"]]
    columns, place = [], 0
    for number, kind in enumerate(schema.types, 1):
        width, letter = _width(header[f"TFORM{number}"])
        cells = [data[row * header["NAXIS1"] + place :][:width] for row in range(header["NAXIS2"])]
        columns.append([_fits_value(cell, letter, kind, header, number, heap) for cell in cells])
        place += width
    return list(zip(*columns, strict=True))


def _width(form: str) -> tuple[int, str]:
    count, letter = re.fullmatch(r"(\d*)([LBIJKEDAQ])(?:A\(\d+\))?", form).groups()  # type: ignore[union-attr]
    return int(count or 1) * {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "A": 1, "Q": 16}[letter], letter


def _fits_value(cell: bytes, letter: str, kind: pa.DataType, header: Any, number: int, heap: bytes) -> Any:
    if letter == "L":
        return {b"T": True, b"F": False}[cell]
    if letter in "BIJK":
        value = int.from_bytes(cell, "big", signed=letter != "B")
        if value == header.get(f"TNULL{number}"):
            return None
        value += header.get(f"TZERO{number}", 0)
        return bool(value) if pa.types.is_boolean(kind) else value
    if letter in "ED":
        if cell == b"\xff" * len(cell):
            return None
        return normal(struct.unpack(">f" if letter == "E" else ">d", cell)[0])
    if letter == "Q":
        length, place = struct.unpack(">qq", cell)
        cell = heap[place : place + length]
    content = cell.rstrip(b"\0")
    assert b"\0" not in content
    escaped = header.get(f"TESC{number}") == "unicode_escape"
    text = content.decode("unicode_escape") if escaped else content.decode("ascii")
    assert content.decode("ascii").isprintable()
    if not content:
        return "" if is_text(kind) else None
    return from_text(kind, text)


def read_votable(content: bytes, schema: pa.Schema) -> list[tuple[Any, ...]]:
    """BINARY2 and TABLEDATA, from the XML as the standard describes it."""
    space = "{http://www.ivoa.net/xml/VOTable/v1.3}"
    root = ElementTree.fromstring(content)  # noqa: S314  # our own
    table = root.find(f"{space}RESOURCE/{space}TABLE")
    assert table is not None
    fields = table.findall(f"{space}FIELD")
    assert [field.get("name") for field in fields] == schema.names
    kinds = [
        (field.get("datatype") or "", field.get("arraysize"), kind)
        for field, kind in zip(fields, schema.types, strict=True)
    ]
    stream = table.find(f"{space}DATA/{space}BINARY2/{space}STREAM")
    if stream is not None:
        return _binary2(base64.b64decode(stream.text or "", validate=False), kinds)
    found = []
    for row in table.iterfind(f"{space}DATA/{space}TABLEDATA/{space}TR"):
        found.append(tuple(_cell(cell.text, *kind) for cell, kind in zip(row, kinds, strict=True)))
    return found


_NUMBERS = {"unsignedByte": ">B", "short": ">h", "int": ">i", "long": ">q", "float": ">f", "double": ">d"}


def _binary2(data: bytes, kinds: Sequence[tuple[str, str | None, pa.DataType]]) -> list[tuple[Any, ...]]:
    found, place = [], 0

    def take(count: int) -> bytes:
        nonlocal place
        place += count
        assert place <= len(data)
        return data[place - count : place]

    while place < len(data):
        flags = take((len(kinds) + 7) // 8)
        row = []
        for number, (datatype, arraysize, kind) in enumerate(kinds):
            value: Any
            if arraysize == "*":
                count = int.from_bytes(take(4), "big")
                content = take(2 * count if datatype == "unicodeChar" else count)
                coding = {"unicodeChar": "utf-16-be", "char": "ascii"}.get(datatype)
                value = content.decode(coding) if coding else content
            elif datatype == "boolean":
                value = {b"T": True, b"F": False, b"?": None}[take(1)]
            else:
                (value,) = struct.unpack(_NUMBERS[datatype], take(struct.calcsize(_NUMBERS[datatype])))
                value = normal(value)
            if flags[number // 8] & (0x80 >> number % 8):
                value = None
            elif arraysize == "*" and isinstance(value, str):
                value = from_text(kind, value)
            row.append(value)
        found.append(tuple(row))
    return found


def _cell(text: str | None, datatype: str, arraysize: str | None, kind: pa.DataType) -> Any:
    if text is None:
        return None
    if datatype == "unsignedByte" and arraysize == "*":
        return bytes(map(int, text.split()))
    return from_text(kind, text)


READERS: dict[str, Callable[[bytes, pa.Schema], list[tuple[Any, ...]]]] = {
    "json-array": read_json,
    "ndjson": read_ndjson,
    "csv": read_csv,
    "tsv": read_tsv,
    "arrow": read_arrow,
    "parquet": read_parquet,
    "fits": read_fits,
    "votable": read_votable,
    "votable-td": read_votable,
}


def expected(format: str, schema: pa.Schema, table: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """What is documented to come back from a format."""
    columns = [list(column) for column in zip(*table, strict=True)] or [[] for _ in schema]
    found = [
        [_documented(format, kind, value, nulls=None in column, single=len(schema) == 1) for value in column]
        for kind, column in zip(schema.types, columns, strict=True)
    ]
    return list(zip(*found, strict=True))


def is_text(kind: pa.DataType) -> bool:
    """Strings in any layout."""
    types = pa.types
    if types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _documented(format: str, kind: pa.DataType, value: Any, *, nulls: bool, single: bool) -> Any:
    if pa.types.is_nested(kind) and format not in ("arrow", "parquet"):
        return None if value is None else as_json(kind, value)
    text = is_text(kind)
    if format in ("json-array", "ndjson") and value == NAN and pa.types.is_floating(kind):
        return None
    if format in ("csv", "tsv") and text and value == "" and single:
        return None
    if format == "votable-td" and value in ("", b""):
        return None
    if format == "fits" and text and nulls:
        # The undefined string is read as "", and the empty one is a blank.
        return {None: "", "": " "}.get(value, value)
    return value


def as_json(kind: pa.DataType, value: Any) -> Any:
    """What stands for a nested value in JSON, with floats as Python reads them."""
    if value is None or value == NAN:
        return None
    if pa.types.is_map(kind):
        return {str(key): as_json(kind.item_type, item) for key, item in value}
    if pa.types.is_struct(kind):
        return {field.name: as_json(field.type, value[field.name]) for field in kind}
    if pa.types.is_nested(kind):
        return [as_json(kind.value_type, item) for item in value]
    return value


# -- tables

_INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
"""With NUL, quotes, line ends, and characters of four bytes."""


def _integers(kind: pa.DataType) -> st.SearchStrategy[Any]:
    bounds = np.iinfo(kind.to_pandas_dtype())
    ends = st.sampled_from([int(bounds.min), int(bounds.max), 0])
    return st.one_of(ends, st.integers(int(bounds.min), int(bounds.max)))


def _decimals(kind: pa.DataType) -> st.SearchStrategy[Any]:
    most = 10**kind.precision - 1
    return st.integers(-most, most).map(lambda number: Decimal(number).scaleb(-kind.scale, _EXACT))


_EXACT = Context(prec=60)

_SCALARS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    *[(kind, _integers(kind)) for kind in _INTEGERS],
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    *[(kind, _decimals(kind)) for kind in (pa.decimal128(9, 4), pa.decimal128(38, 0), pa.decimal128(38, 20))],
    (pa.string(), _TEXT),
    (pa.string(), st.sampled_from(["", " ", "GALAXY", "a\\b", "trailing  ", "x" * 300])),
    (pa.large_string(), _TEXT),
    (pa.string_view(), _TEXT),
    (pa.dictionary(pa.int16(), pa.string()), st.sampled_from(["STAR", "GALAXY", "é", ""])),
    (pa.binary(), st.binary(max_size=8)),
    (pa.date32(), st.integers(-(2**31) + 1, 2**31 - 1)),
    (pa.date32(), st.integers(-800_000, 3_000_000)),
    (pa.time64("us"), st.integers(0, 86_400 * 10**6)),
    *[
        (
            pa.timestamp(unit, zone),
            st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 2 * 10**9 * TICKS[unit])),
        )
        for unit in ("ms", "us", "ns")
        for zone in (None, "Etc/UTC")
    ],
    (pa.timestamp("s"), st.integers(-9 * 10**12, 9 * 10**12)),
    (
        pa.month_day_nano_interval(),
        st.tuples(st.integers(-99, 99), st.integers(-99, 99), st.integers(-(10**15), 10**15)).map(pa.MonthDayNano),
    ),
    (pa.null(), st.none()),
]
_FINITE = st.floats(allow_nan=False)
_NESTED: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.list_(pa.int64()), st.lists(st.none() | _integers(pa.int64()), max_size=3)),
    (pa.list_(pa.string()), st.lists(st.none() | _TEXT, max_size=3)),
    (pa.list_(pa.float64(), 2), st.lists(_FINITE, min_size=2, max_size=2)),
    (
        pa.struct([("a", pa.float64()), ('b"', pa.list_(pa.string()))]),
        st.fixed_dictionaries({"a": _FINITE | st.none(), 'b"': st.none() | st.lists(_TEXT, max_size=2)}),
    ),
    (
        pa.map_(pa.string(), pa.int32()),
        st.dictionaries(_TEXT, st.none() | st.integers(-9, 9), max_size=3).map(lambda found: list(found.items())),
    ),
]

_NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Cn"]), min_size=1, max_size=8
)


@st.composite
def columns(draw: st.DrawFn, length: int) -> pa.Array:
    """One column, which may be a part of a longer array."""
    kind, value = draw(st.sampled_from(_SCALARS * 2 + _NESTED))
    if draw(st.booleans()):
        value = st.none() | value
    before = draw(st.integers(0, 2))
    found = draw(st.lists(value, min_size=before + length, max_size=before + length))
    types = pa.types
    if types.is_date32(kind):
        array = pa.array(found, pa.int32()).cast(kind)
    elif types.is_timestamp(kind) or types.is_time64(kind):
        array = pa.array(found, pa.int64()).cast(kind)
    elif types.is_dictionary(kind):
        array = pa.array(found, kind.value_type).dictionary_encode().cast(kind)
    else:
        array = pa.array(found, kind)
    return array[before:]


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """A table with names that differ, in several batches."""
    length = draw(st.integers(0, 8))
    found = draw(st.lists(columns(length), min_size=1, max_size=4))
    names = draw(st.lists(_NAMES, min_size=len(found), max_size=len(found), unique_by=str.lower))
    batch = pa.RecordBatch.from_arrays(found, names=names)
    cut = draw(st.integers(0, length))
    return batch.schema, [batch[:cut], batch[cut:]]
