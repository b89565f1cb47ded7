"""Readers of files: what other programs write comes as it is, and what our own results are can be brought back."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import fitsio
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.table import MaskedColumn
from astropy.table import Table as AstropyTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casjobs_service.errors import Kind, QueryError
from casjobs_service.readers import FORMATS, format_of, open_table
from tests.casjobs.results_support import spooled, write


def read(path: Path, format: str) -> pa.Table:
    """The whole table."""
    with open_table(path, format) as reading:
        table = reading.reader().read_all()
    if reading.rows is not None:
        assert reading.rows == table.num_rows
    return table


def about(table: pa.Table, column: str) -> dict[str, str]:
    """Unit, UCD and description of a column."""
    return {key.decode(): value.decode() for key, value in (table.schema.field(column).metadata or {}).items()}


def csv(tmp_path: Path, content: str | bytes) -> pa.Table:
    """Read a CSV file with this content."""
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, "csv")


# -- CSV


@pytest.mark.parametrize(
    ("values", "type", "expected"),
    [
        (["1", "-2", "9223372036854775807"], pa.int64(), [1, -2, 2**63 - 1]),
        (["1", "", "null", '""', "\\N"], pa.int64(), [1, None, None, None, None]),
        (["+12", "3"], pa.int64(), [12, 3]),
        (["1", "9223372036854775808"], pa.decimal128(38, 0), [Decimal(1), Decimal(2**63)]),
        (["1", "9" * 39], pa.string(), ["1", "9" * 39]),
        (["1.5", "9" * 30], pa.string(), ["1.5", "9" * 30]),
        (["007", "12"], pa.string(), ["007", "12"]),
        (["1", "-0123"], pa.string(), ["1", "-0123"]),
        (["1", "1_000"], pa.string(), ["1", "1_000"]),
        (["0x10"], pa.string(), ["0x10"]),
        (["1", "2.5", "1e-5", ".5", "3.", "-inf"], pa.float64(), [1.0, 2.5, 1e-5, 0.5, 3.0, -math.inf]),
        (["0.1", "nan"], pa.float64(), [0.1, math.nan]),
        ([" 1.5", "2.5 "], pa.float64(), [1.5, 2.5]),
        (["1", "a"], pa.string(), ["1", "a"]),
        (["a", "", '""', "null"], pa.string(), ["a", None, "", "null"]),
        (["true", "FALSE", ""], pa.bool_(), [True, False, None]),
        (["true", "1"], pa.string(), ["true", "1"]),
        (["2020-02-29", ""], pa.date32(), [date(2020, 2, 29), None]),
        (["2020-02-30"], pa.string(), ["2020-02-30"]),
        (
            ["2020-01-02T03:04:05.678901", "2020-01-02 03:04", "2020-01-02"],
            pa.timestamp("us"),
            [datetime(2020, 1, 2, 3, 4, 5, 678901), datetime(2020, 1, 2, 3, 4), datetime(2020, 1, 2)],
        ),
        (
            ["2020-01-02T03:04:05Z", "2020-01-02 03:04:05+02"],
            pa.timestamp("us", "UTC"),
            [
                datetime(2020, 1, 2, 3, 4, 5, tzinfo=ZoneInfo("UTC")),
                datetime(2020, 1, 2, 1, 4, 5, tzinfo=ZoneInfo("UTC")),
            ],
        ),
        (["12:34:56.7", "-01:02:03"], pa.string(), ["12:34:56.7", "-01:02:03"]),
        (["", ""], pa.string(), [None, None]),
    ],
)
def test_a_column_of_csv_is_what_every_value_is(
    tmp_path: Path, values: list[str], type: pa.DataType, expected: list[Any]
) -> None:
    table = csv(tmp_path, "x,id\n" + "".join(f"{value},{number}\n" for number, value in enumerate(values)))
    assert table.schema.field("x").type == type
    assert repr(table.column("x").to_pylist()) == repr(expected)


def test_one_value_far_into_the_file_decides(tmp_path: Path) -> None:
    lines = "".join(f"{number},x\n" for number in range(200_000))
    assert csv(tmp_path, f"a,b\n{lines}007,x\n").schema.field("a").type == pa.string()
    assert csv(tmp_path, f"a,b\n{lines}0.5,x\n").column("a")[-1].as_py() == 0.5


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ('Name,"a b","c""d",é\n1,2,3,4\n', ["Name", "a b", 'c"d', "é"], [(1, 2, 3, 4)]),
        (b"\xef\xbb\xbfa;b\r\n1;2\r\n", ["a", "b"], [(1, 2)]),
        ("a\tb\n1\tx,y\n", ["a", "b"], [(1, "x,y")]),
        ("#Table1\na,b\n1,2\n", ["a", "b"], [(1, 2)]),
        ("# ra, dec\n1,2\n", ["ra", "dec"], [(1, 2)]),
        ("#ID,Column1\n1,4.5\n", ["#ID", "Column1"], [(1, 4.5)]),
        (",x\n0,5\n", ["Column1", "x"], [(0, 5)]),
        ("a,b\n", ["a", "b"], []),
        ('a,b\n1,"x\ny"\n2,"say ""hi"""', ["a", "b"], [(1, "x\ny"), (2, 'say "hi"')]),
        ('"two\nlines",b\n1,2\n', ["two\nlines", "b"], [(1, 2)]),
    ],
)
def test_names_and_rows_of_csv(
    tmp_path: Path, content: str | bytes, names: list[str], rows: list[tuple[Any, ...]]
) -> None:
    table = csv(tmp_path, content)
    assert table.schema.names == names
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n3\n", "Line 3 has 1 fields, and the header has 2"),
        ('a,b\n"x\ny",2\n3\n', "Line 4 has 1 fields"),
        ("a,b\n1,2,3\n", "Line 2 has 3 fields"),
        ('a,b\n1,2\n3,"4\n5,6\n', "Line 3 has a quotation mark that is not closed"),
        ('a,b\n1,"2"3\n', "Line 2 has a quotation mark"),
        (b"a,b\n1,2\n1,\xe9\n", "Line 3 is not UTF-8"),
        (b"a,\xe9\n1,2\n", "Line 1 is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("", "The file is empty"),
        ("ra,RA\n1,2\n", "Two columns have the names ra and RA"),
        ("a,b,\n1,2,\n", "ends with a delimiter"),
        (",".join(f"c{number}" for number in range(3000)) + "\n", "3000 columns"),
    ],
)
def test_faults_of_csv_name_the_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        csv(tmp_path, content)
    assert caught.value.kind == Kind.DATA
    assert str(tmp_path) not in str(caught.value)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_what_pandas_writes_comes_back(tmp_path: Path, rows: list[tuple[int, float, str]]) -> None:
    """As sciscript uploads a DataFrame; the letters before the text keep it text."""
    frame = pd.DataFrame([(i, f, "t" + t) for i, f, t in rows], columns=["i", "f", "t"])
    table = csv(tmp_path, frame.to_csv(index=False).encode())
    assert table.schema.field("i").type == pa.int64()
    assert [(row["i"], float(row["f"]), row["t"]) for row in table.to_pylist()] == [
        (i, f, "t" + t) for i, f, t in rows
    ]


# -- what astropy, fitsio, pyarrow write


def _masked() -> AstropyTable:
    table = AstropyTable(
        {
            "i": MaskedColumn(np.array([1, 2, -3], "i4"), mask=[False, True, False]),
            "k": np.array([2**62, -1, 0], "i8"),
            "by": np.array([0, 200, 255], "u1"),
            "f": np.array([1.5, np.nan, -2.5], "f4") * units.mJy,
            "d": [0.1, 1e300, -0.0],
            "b": [True, False, True],
            "s": ["abc", " x", "é"],
            "v": np.arange(6).reshape(3, 2),
        },
        masked=True,
    )
    table["f"].description = "Flux density"
    table["f"].meta["ucd"] = "phot.flux"
    return table


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_votable_of_astropy(tmp_path: Path, form: str) -> None:
    source = _masked()
    if form == "binary":
        # It has no place for NULL in integers.
        source["i"].mask = False
    if form != "tabledata":
        source["s"] = np.array(["abc", " x", "y"], dtype=object)
    source.write(tmp_path / "t.vot", format="votable", tabledata_format=form)
    table = read(tmp_path / "t.vot", "votable")
    kinds = {"i": pa.int32(), "k": pa.int64(), "by": pa.int16(), "f": pa.float32(), "d": pa.float64()}
    assert {name: table.schema.field(name).type for name in kinds} == kinds
    assert about(table, "f") == {"unit": "mJy", "ucd": "phot.flux", "description": "Flux density"}
    columns = {name: table.column(name).to_pylist() for name in table.schema.names}
    assert columns["i"] == [1, 2 if form == "binary" else None, -3]
    assert columns["k"] == [2**62, -1, 0]
    assert columns["by"] == [0, 200, 255]
    # With flags for NULL, NaN is a value.
    assert repr(columns["f"]) == ("[1.5, nan, -2.5]" if form == "binary2" else "[1.5, None, -2.5]")
    assert columns["d"] == [0.1, 1e300, -0.0]
    assert columns["b"] == [True, False, True]
    assert columns["s"] == ["abc", " x", "é" if form == "tabledata" else "y"]
    assert columns["v"] == [[0, 1], [2, 3], [4, 5]]


def test_fits_of_astropy(tmp_path: Path) -> None:
    source = _masked()
    source["s"] = ["abc", "", " x"]
    source["u2"] = np.array([0, 1, 65535], "u2")
    source["u8"] = np.array([0, 1, 2**64 - 1], "u8")
    source.meta["EXTNAME"] = "STARS"
    source.write(tmp_path / "t.fits")
    table = read(tmp_path / "t.fits", "fits")
    assert about(table, "f")["unit"] == "mJy"
    assert table.schema.metadata == {b"name": b"STARS"}
    columns = {name: table.column(name).to_pylist() for name in table.schema.names}
    assert columns == {
        "i": [1, None, -3],
        "k": [2**62, -1, 0],
        "by": [0, 200, 255],
        "f": [1.5, None, -2.5],
        "d": [0.1, 1e300, -0.0],
        "b": [True, False, True],
        # What begins with NUL is undefined, says the standard.
        "s": ["abc", None, " x"],
        "v": [[0, 1], [2, 3], [4, 5]],
        "u2": [0, 1, 65535],
        "u8": [0, 1, 2**64 - 1],
    }


def test_fits_of_fitsio_with_arrays_of_any_length_and_scaled_columns(tmp_path: Path) -> None:
    rows = np.zeros(3, dtype=[("x", "O"), ("t", "O"), ("n", "i2"), ("s", "S4"), ("empty", "i4", (2, 2))])
    rows["x"] = [np.array([1, 2, 3], "i4"), np.array([], "i4"), np.array([-5], "i4")]
    rows["t"] = ["a", "bcd", ""]
    rows["n"], rows["s"] = [1, -1, 30000], [b"ab", b"  ", b"x y "]
    path = tmp_path / "t.fits"
    with fitsio.FITS(str(path), "rw") as file:
        file.write(rows, units=["m", "", "", "", ""], extname="E")
        file[1].write_key("TSCAL3", 0.5)
        file[1].write_key("TZERO3", 10.0)
        file[1].write_key("TUCD3", "meta.number")
        file[1].write_key("TCOMM3", "A remark that is longer than one card of a header can be, so it goes on and on")
    table = read(path, "fits")
    columns = {name: table.column(name).to_pylist() for name in table.schema.names}
    assert columns["x"] == [[1, 2, 3], [], [-5]]
    assert columns["t"] == ["a", "bcd", ""]
    assert columns["n"] == [10.5, 9.5, 15010]
    assert columns["s"] == ["ab", "", "x y"]
    assert columns["empty"] == [[0] * 4] * 3
    assert about(table, "n")["ucd"] == "meta.number"
    assert about(table, "n")["description"].endswith("on and on")


def test_parquet_and_arrow_keep_types_and_lose_their_disguises(tmp_path: Path) -> None:
    source = pa.table(
        [
            pa.array([1, None], pa.uint64()),
            pa.array(["a", None]).dictionary_encode(),
            pa.array([[1], None], pa.large_list(pa.int8())),
            pa.array([1.5, math.nan], pa.float16()),
            pa.array([1, None], pa.timestamp("ns", "Europe/Paris")),
            pa.array(["é", None], pa.large_string()),
            pa.array([Decimal("1.25"), None], pa.decimal128(9, 2)),
            pa.array([None, None], pa.null()),
        ],
        schema=pa.schema(
            [
                pa.field("u", pa.uint64(), metadata={"unit": "s", "ucd": "time", "description": "D", "other": "1"}),
                *[pa.field(name, type) for name, type in (
                    ("d", pa.dictionary(pa.int32(), pa.string())), ("l", pa.large_list(pa.int8())),
                    ("h", pa.float16()), ("t", pa.timestamp("ns", "Europe/Paris")), ("s", pa.large_string()),
                    ("n", pa.decimal128(9, 2)),
                    ("z", pa.null()))],
            ]
        ),
    )  # fmt: skip
    pq.write_table(source, tmp_path / "t.parquet")
    for name, new in (("t.arrow", pa.ipc.new_file), ("t.arrows", pa.ipc.new_stream)):
        with new(str(tmp_path / name), source.schema) as writer:
            writer.write_table(source)
    for name in ("t.parquet", "t.arrow", "t.arrows"):
        table = read(tmp_path / name, format_of(name))
        assert about(table, "u") == {"unit": "s", "ucd": "time", "description": "D"}
        assert [str(type) for type in table.schema.types] == [
            "uint64",
            "string",
            "list<item: int8>" if name != "t.parquet" else str(table.schema.field("l").type),
            "float",
            "timestamp[ns, tz=Europe/Paris]",
            "string",
            "decimal128(9, 2)",
            "string",
        ]
        assert table.column("d").to_pylist() == ["a", None]
        assert table.column("n").to_pylist() == [Decimal("1.25"), None]
        assert repr(table.column("h").to_pylist()) == "[1.5, nan]"


def test_what_tables_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1], "nested": [{"a": 1}]}), tmp_path / "t.parquet")
    AstropyTable({"z": np.array([1j])}).write(tmp_path / "t.fits")
    AstropyTable({"z": np.array([1j])}).write(tmp_path / "t.vot", format="votable")
    for name, column in (("t.parquet", "nested"), ("t.fits", "z"), ("t.vot", "z")):
        with pytest.raises(QueryError, match=f"The column {column} ") as caught:
            read(tmp_path / name, format_of(name))
        assert caught.value.kind == Kind.UNSUPPORTED


# -- our own results


@pytest.mark.parametrize("format", ["csv", "fits", "votable", "parquet", "arrow"])
def test_our_own_results_come_back(tmp_path: Path, format: str) -> None:
    fields = {
        "objID": pa.array([2**63 - 1, None, -(2**63) + 1], pa.int64()),
        "small": pa.array([-32768, 0, None], pa.int16()),
        "ra": pa.array([0.1, None, 359.99999999999994]),
        "mag": pa.array([0.1, 1e-30, None], pa.float32()),
        # FITS has ASCII only.
        "name": pa.array(["'x'" if format == "fits" else "é☃😀 'x'", "a,b" if format == "fits" else "a,b\nc", None]),
        "flag": pa.array([True, None, False]),
    }
    schema = pa.schema(
        [
            pa.field(name, array.type, metadata={"unit": "deg", "ucd": "pos.eq.ra"} if name == "ra" else None)
            for name, array in fields.items()
        ]
    )
    batch = pa.RecordBatch.from_arrays(list(fields.values()), schema=schema)
    path = tmp_path / "result"
    path.write_bytes(write(format, ("Result", *spooled(tmp_path / "spool", schema, [batch]))))
    table = read(path, format)
    expected = {name: array.to_pylist() for name, array in fields.items()}
    found = {name: table.column(name).to_pylist() for name in table.schema.names}
    if format == "csv":
        # A decimal number has no kind there: a single is read as the double nearest to its shortest form.
        expected["mag"] = [0.1, 1e-30, None]
    assert found == expected
    if format != "csv":
        assert about(table, "ra") == {"unit": "deg", "ucd": "pos.eq.ra"}


# -- files that mean harm


def _fits(cards: str, data: bytes = b"") -> bytes:
    def header(text: str) -> bytes:
        lines = [line.ljust(80) for line in [*text.strip().splitlines(), "END"]]
        content = "".join(lines).encode()
        return content.ljust(-(-len(content) // 2880) * 2880)

    return header("SIMPLE  =                    T\nBITPIX  = 8\nNAXIS   = 0") + header(cards) + data


def _table_header(**cards: object) -> str:
    keys = {"BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": 1, "PCOUNT": 0, "GCOUNT": 1, "TFIELDS": 1}
    keys |= {"TFORM1": "'D'", **cards}
    return "XTENSION= 'BINTABLE'\n" + "\n".join(f"{key:<8}= {value}" for key, value in keys.items())


_VOTABLE = (
    '<?xml version="1.0"?>{before}<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
    '<FIELD name="x" datatype="{type}" {more}/><DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>'
)


def _votable(data: str, type: str = "double", more: str = "", before: str = "") -> bytes:
    return _VOTABLE.format(data=data, type=type, more=more, before=before).encode()


_CELL = "<TABLEDATA><TR><TD>{}</TD></TR></TABLEDATA>"


@pytest.mark.parametrize(
    ("format", "content", "words"),
    [
        ("fits", _fits(_table_header(NAXIS2=10**18)), "ends before its table"),
        ("fits", _fits(_table_header(NAXIS2=-1)), "ends before its table"),
        ("fits", _fits(_table_header(NAXIS1=4), b"\0" * 8), "rows are said to be 4 bytes"),
        ("fits", _fits(_table_header(TFIELDS=10**9)), "1000000000 columns"),
        ("fits", _fits(_table_header(TFORM1="'999999999999D'")), "too long"),
        ("fits", _fits(_table_header(TFORM1="'7000000D'", NAXIS1=56_000_000)), "ends before its table"),
        ("fits", _fits(_table_header(TSCAL1="1E999"), b"\0" * 8), "not a number"),
        ("fits", _fits(_table_header(NAXIS1="'x'"), b"\0" * 8), "not a whole number"),
        ("fits", _fits(_table_header(TFORM1="'0D'", NAXIS1=0, NAXIS2=10**18)), "0 bytes"),
        ("fits", _fits(_table_header(TFORM1="'PD(9)'", PCOUNT=8), b"\0\0\0\x7f\0\0\0\0" + b"\0" * 8), "outside"),
        ("fits", _fits(_table_header(TFORM1="'PD(9)'", PCOUNT=8), b"\0\0\0\1\xff\xff\xff\xf0" + b"\0" * 8), "outside"),
        ("fits", b"SIMPLE  =                    T".ljust(2880), "ends within a header"),
        ("fits", _fits("XTENSION= 'IMAGE'\nBITPIX  = -64\nNAXIS   = 1\nNAXIS1  = -5"), "no binary table|negative"),
        ("votable", _votable("<BINARY2><STREAM href='file:///etc/passwd'/></BINARY2>"), "elsewhere"),
        ("votable", _votable("<FITS><STREAM href='http://x/'/></FITS>"), "FITS"),
        (
            "votable",
            _votable(_CELL.format("&a;"), "char", 'arraysize="*"', '<!DOCTYPE v [<!ENTITY a SYSTEM "/etc/passwd">]>'),
            "declares entities",
        ),
        (
            "votable",
            _votable(_CELL.format("&b;"), "char", 'arraysize="*"', '<!DOCTYPE v [<!ENTITY b "bbbb">]>'),
            "declares entities",
        ),
        ("votable", _votable(_CELL.format("&nope;")), "not XML"),
        ("votable", _votable(_CELL.format("abc")), "not double"),
        ("votable", _votable(_CELL.format("300"), "unsignedByte")[:-30], "no table|not XML"),
        ("votable", _votable(_CELL.format("99999"), "short"), "not short"),
        ("votable", _votable("<TABLEDATA><TR><TD/><TD/></TR></TABLEDATA>"), "2 cells"),
        ("votable", _votable("<BINARY><STREAM>AAAA</STREAM></BINARY>"), "ends within a row"),
        ("votable", _votable("<BINARY><STREAM>!!!!</STREAM></BINARY>"), "not base64"),
        ("votable", _votable("<BINARY><STREAM encoding='gzip'>AAAA</STREAM></BINARY>"), "not in base64"),
        ("votable", _votable("<BINARY/>", more='arraysize="999999999999"'), "too long"),
        ("votable", _votable("<BINARY><STREAM>f////w==</STREAM></BINARY>", more='arraysize="*"'), "ends within a row"),
        ("votable", b"<a>" * 1000, "nested too deeply|not XML"),
        ("votable", b"<a/>", "no table"),
        ("parquet", b"PAR1" + b"\xff" * 100 + b"PAR1", "damaged"),
        ("arrow", b"ARROW1\0\0" + b"\xff" * 100, "damaged"),
        ("arrow", b"\xff\xff\xff\xff\xff\xff\xff\x7f", "damaged"),
        ("arrow", b"", "damaged"),
    ],
)
def test_damage_and_malice_are_told(tmp_path: Path, format: str, content: bytes, words: str) -> None:
    path = tmp_path / "t"
    path.write_bytes(content)
    with pytest.raises(QueryError, match=words) as caught:
        read(path, format)
    assert caught.value.kind == Kind.DATA
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_or_changed_anywhere_never_breaks_the_reader(tmp_path: Path, format: str) -> None:
    """It is read, to something, or refused; nothing else happens."""
    schema = pa.schema(
        [("i", pa.int64()), ("s", pa.string()), ("l", pa.list_(pa.float64()))][: 2 if format == "csv" else 3]
    )
    rows = {"i": list(range(20)), "s": ["text"] * 20, "l": [[1.0, 2.0]] * 20}
    batch = pa.RecordBatch.from_pydict({name: rows[name] for name in schema.names}, schema)
    whole = write(format, ("Result", *spooled(tmp_path / "spool", schema, [batch])))
    random = np.random.default_rng(7)
    refused = 0
    for number in range(60):
        content = bytearray(whole)
        if number % 2:
            del content[random.integers(len(content)) :]
        else:
            for place in random.integers(len(content), size=5):
                content[place] = random.integers(256)
        path = tmp_path / f"{number}"
        path.write_bytes(content)
        try:
            read(path, format)
        except QueryError as error:
            refused += error.kind in (Kind.DATA, Kind.UNSUPPORTED)
    assert refused > 5


@pytest.mark.parametrize("format", ["csv", "fits", "votable"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, format: str) -> None:
    """Of 100 MB of rows, the last four fifths take no more than the first."""
    schema = pa.schema([("i", pa.int64()), ("x", pa.float64()), ("s", pa.string())])
    random = np.random.default_rng(1)
    arrays = [pa.array(np.arange(40_000)), pa.array(random.random(40_000)), pa.array(["some text " * 10] * 40_000)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    count = 20
    path = tmp_path / "large"
    path.write_bytes(write(format, ("Result", *spooled(tmp_path / "spool", schema, [batch] * count))))
    script = f"""
import pathlib
from casjobs_service.readers import open_table
def peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10
rows = early = 0
with open_table(pathlib.Path({str(path)!r}), {format!r}, memory=200_000_000) as reading:
    for batch in reading.batches:
        rows += batch.num_rows
        if rows > {count * 8000} and not early:
            early = peak()
print(rows, early, peak())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    rows, early, late = map(int, done.stdout.split())
    assert rows == 40_000 * count
    assert late - early < 40
