"""Files as the clients' own libraries read them, and the special cases that the formats' documentation names."""

from __future__ import annotations

import io
import json
import math
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fitsio
import numpy as np
import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table

from casjobs_service.catalog import Column
from casjobs_service.errors import Kind, QueryError
from casjobs_service.results import FORMATS, NO_COLUMNS, Stats, duckdb_types, with_columns, writer
from casjobs_service.results.metadata import unique_names
from tests.casjobs.results_support import READERS, rows, spooled, write

BIG = 2**53 + 1

QUERY = """
    SELECT * FROM (VALUES
        (9007199254740993::BIGINT, 1::SMALLINT, 180.5::DOUBLE, 14.1::FLOAT, true, 'GALAXY', 'M 31',
            DATE '2026-01-31', TIMESTAMP '2026-01-31 12:00:00.25', 12.50::DECIMAL(9,2)),
        (-9223372036854775808, -1, 'nan', 'inf', false, 'STAR', 'Größe "x", y', DATE '1970-01-01',
            TIMESTAMP '1969-12-31 23:59:59', -0.01),
        (9223372036854775807, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (0, 7, '-inf', -0.0, true, 'STAR', '', DATE '9999-12-31', TIMESTAMP '2000-02-29', 0.00)
    ) AS objects(objID, type, ra, g, clean, class, name, "day", seen, price)
"""

COLUMNS = [
    Column("objID", "BIGINT", ucd="meta.id;meta.main", description="Identifier"),
    Column("type", "SMALLINT"),
    Column("ra", "DOUBLE", unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension, <ICRS> & J2000"),
    Column("g", "REAL", unit="mag", description="It's the ä band. " + "Long text with 'quotes'. " * 8),
    *[Column(name, "") for name in ("clean", "class", "name", "day", "seen", "price")],
]


@pytest.fixture
def table(tmp_path: Path) -> tuple[pa.Schema, Any, Stats]:
    """Rows of the engine, spooled, with what a catalogue knows of them."""
    with duckdb.connect() as connection:
        reader = connection.sql(QUERY).to_arrow_reader(3)
        schema = with_columns(reader.schema, COLUMNS, "Objects", "Nearby objects")
        return spooled(tmp_path / "spool", schema, reader)


# -- CSV


def test_pandas_reads_csv(table: tuple[pa.Schema, Any, Stats]) -> None:
    frame = pd.read_csv(io.BytesIO(write("csv", ("", *table))), parse_dates=["day", "seen"])
    assert list(frame.columns) == table[0].names
    assert frame["objID"].tolist() == [BIG, -(2**63), 2**63 - 1, 0]
    assert frame["objID"].dtype == np.int64
    assert frame["clean"].dropna().tolist() == [True, False, True]
    assert frame["ra"].tolist()[3] == -math.inf
    assert frame["name"].tolist()[1] == 'Größe "x", y'
    assert frame["seen"].dtype.kind == "M"
    assert frame["seen"][1] == pd.Timestamp("1969-12-31 23:59:59")


def test_contract_example() -> None:
    with duckdb.connect() as connection:
        reader = connection.sql("SELECT 4 AS Column1, 5 AS Column2").to_arrow_reader(10)
        batches = list(reader)
    content = write("csv", ("", reader.schema, batches, None))
    assert content == b"Column1,Column2\n4,5\n"
    assert pd.read_csv(io.BytesIO(content), index_col=None).to_csv(index=False) == "Column1,Column2\n4,5\n"
    assert write("tsv", ("", reader.schema, batches, None)) == b"Column1\tColumn2\n4\t5\n"
    content = write("json-array", ("", reader.schema, batches, None))
    assert content == b'{"Result":[{"TableName":"Table1","Columns":["Column1","Column2"],"Data":[[4,5]]}]}'


def test_the_engine_tells_null_and_empty_text_apart_in_csv(
    tmp_path: Path, table: tuple[pa.Schema, Any, Stats]
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(write("csv", ("", *table)))
    with duckdb.connect() as connection:
        relation = connection.read_csv(str(path), allow_quoted_nulls=False)
        assert relation.project("name").fetchall() == [("M 31",), ('Größe "x", y',), (None,), ("",)]
        assert [str(kind) for kind in relation.types][-3:-1] == ["DATE", "TIMESTAMP"]


def test_csv_of_one_column_keeps_its_rows() -> None:
    batch = pa.record_batch({"a": pa.array([1, None, 3])})
    content = write("csv", ("", batch.schema, [batch], None))
    assert content == b'a\n1\n""\n3\n'
    assert len(pd.read_csv(io.BytesIO(content))) == 3


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\nb", "é", " ", "#a"])
def test_names_in_csv(name: str) -> None:
    batch = pa.record_batch([pa.array([1]), pa.array([2])], names=[name, "b"])
    assert pd.read_csv(io.BytesIO(write("csv", ("", batch.schema, [batch], None)))).columns.tolist() == [name, "b"]


def test_float32_is_short_and_exact() -> None:
    values = np.frombuffer(np.random.default_rng(1).bytes(4 * 20_000), np.float32)
    batch = pa.record_batch({"a": pa.array(values), "b": pa.array(values.astype(np.float64))})
    lines = write("csv", ("", batch.schema, [batch], None)).decode().splitlines()[1:]
    single = [line.partition(",")[0] for line in lines]
    np.testing.assert_array_equal(np.array(single, np.float32), values)
    for text, value in zip(single, values, strict=True):
        # numpy's own shortest form has as many digits.
        digits = [character for character in text.partition("e")[0] if character.isdigit()]
        wanted = [character for character in str(value).partition("e")[0] if character.isdigit()]
        assert len("".join(digits).strip("0")) == len("".join(wanted).strip("0"))


# -- JSON


def test_client_reads_json(table: tuple[pa.Schema, Any, Stats]) -> None:
    result = json.loads(write("json-array", ("", *table)))["Result"]
    frame = pd.DataFrame(result[0]["Data"], columns=result[0]["Columns"])
    assert frame["objID"].dtype == np.int64
    assert frame["objID"].tolist() == [BIG, -(2**63), 2**63 - 1, 0]
    assert frame["ra"].dtype == np.float64
    assert frame["ra"].isna().tolist() == [False, True, True, False]
    assert frame["g"].tolist()[1] == math.inf
    assert result[0]["Data"][0] == [
        BIG, 1, 180.5, 14.1, True, "GALAXY", "M 31", "2026-01-31", "2026-01-31T12:00:00.250000", 12.5
    ]  # fmt: skip


def test_decimals_and_large_integers_have_all_digits_in_json() -> None:
    query = """
        SELECT 12345678901234567890.123456789012345678::DECIMAL(38,18) AS d,
            170141183460469231731687303715884105727::HUGEINT AS h
    """
    with duckdb.connect() as connection:
        batches = list(connection.sql(query).to_arrow_reader(10))
    for format in ("json-array", "ndjson"):
        loaded = json.loads(write(format, ("", batches[0].schema, batches, None)), parse_float=Decimal)
        row = loaded["Result"][0]["Data"][0] if "Result" in loaded else list(loaded.values())
        assert row == [Decimal("12345678901234567890.123456789012345678"), 2**127 - 1]


def test_several_results_in_json(table: tuple[pa.Schema, Any, Stats]) -> None:
    content = write("json-array", ("", *table), ("", NO_COLUMNS, [], Stats()), ("Named", *table))
    first, second, third = json.loads(content)["Result"]
    assert second == {"TableName": "Table2", "Columns": [], "Data": []}
    # The first one's name is in its metadata.
    assert (first["TableName"], third["TableName"]) == ("Objects", "Named")
    assert first["Data"] == third["Data"]


def test_strings_in_json() -> None:
    values = [chr(number) for number in range(0xD800)] + ["\U0001f986", '"', "\\", "</script>", None]
    batch = pa.record_batch({'na"me\\': pa.array(values)})
    content = write("json-array", ("", batch.schema, [batch], None))
    assert [row[0] for row in orjson.loads(content)["Result"][0]["Data"]] == values
    lines = write("ndjson", ("", batch.schema, [batch], None)).split(b"\n")
    assert [orjson.loads(line)['na"me\\'] for line in lines[:-1]] == values


def test_polars_and_pandas_read_ndjson(table: tuple[pa.Schema, Any, Stats]) -> None:
    content = write("ndjson", ("", *table))
    frame = pl.read_ndjson(io.BytesIO(content.replace(b"1e999", b"1")))
    assert frame["objID"].to_list() == [BIG, -(2**63), 2**63 - 1, 0]
    assert pd.read_json(io.BytesIO(content), lines=True)["name"].tolist()[3] == ""


# -- Arrow, Parquet


def test_arrow_and_parquet_carry_types_and_metadata(table: tuple[pa.Schema, Any, Stats]) -> None:
    schema, batches, _ = table
    for format, read in (("arrow", pa.ipc.open_stream), ("parquet", pq.ParquetFile)):
        opened = read(io.BytesIO(write(format, ("", *table))))
        found = opened.read_all() if format == "arrow" else opened.read()
        assert found.schema.equals(schema, check_metadata=True)
        assert found.schema.field("ra").metadata[b"unit"] == b"deg"
        assert found.schema.metadata[b"name"] == b"Objects"
        assert rows(found.schema, found.to_batches()) == rows(schema, batches)
    with duckdb.connect() as connection:
        kept = pl.read_parquet(io.BytesIO(write("parquet", ("", *table))))
        assert kept["objID"].to_list() == [BIG, -(2**63), 2**63 - 1, 0]
        assert connection.sql("SELECT sum(price) FROM kept").fetchall() == [(Decimal("12.49"),)]


def test_names_that_repeat() -> None:
    batch = pa.record_batch([pa.array([number]) for number in range(5)], names=["a", "a", "A", "a_1", ""])
    assert unique_names(batch.schema.names) == ["a", "a_2", "A", "a_1", "Column5"]
    assert unique_names(batch.schema.names, ignore_case=True) == ["a", "a_2", "A_3", "a_1", "Column5"]
    spool = (batch.schema, [batch], None)
    assert pl.read_ipc_stream(io.BytesIO(write("arrow", ("", *spool)))).columns == ["a", "a_2", "A", "a_1", "Column5"]
    assert pl.read_parquet(io.BytesIO(write("parquet", ("", *spool)))).columns == ["a", "a_2", "A", "a_1", "Column5"]
    assert list(json.loads(write("ndjson", ("", *spool)))) == ["a", "a_2", "A", "a_1", "Column5"]
    assert json.loads(write("json-array", ("", *spool)))["Result"][0]["Columns"] == ["a", "a", "A", "a_1", ""]
    with fits.open(io.BytesIO(write("fits", ("", *spool)))) as file:
        assert file[1].columns.names == ["a", "a_2", "A_3", "a_1", "Column5"]


def test_row_groups_of_parquet_are_of_a_good_size() -> None:
    batches = [pa.record_batch({"a": pa.array(range(start, start + 50_000))}) for start in range(0, 500_000, 50_000)]
    content = write("parquet", ("", batches[0].schema, batches, None))
    metadata = pq.ParquetFile(io.BytesIO(content)).metadata
    assert metadata.num_rows == 500_000
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100_000] * 5
    # Ids in order are small.
    assert len(content) < 100_000


# -- FITS


def test_astropy_reads_fits(table: tuple[pa.Schema, Any, Stats]) -> None:
    content = write("fits", ("Objects", *table))
    with fits.open(io.BytesIO(content)) as file:
        file.verify("exception")
        header = file[1].header
        assert not [key for key in header if key.startswith("TDIM")]
        assert (header["EXTNAME"], header["TUNIT3"], header["TUCD3"]) == ("Objects", "deg", "pos.eq.ra;meta.main")
        assert header["TCOMM3"] == COLUMNS[2].description
        assert header["TCOMM4"].encode().decode("unicode_escape") == COLUMNS[3].description.strip()
        assert str(header["COMMENT"]) == "Nearby objects"
        assert "TNULL1" not in header
        assert header["TNULL2"] == -(2**15)
    found = Table.read(io.BytesIO(content), hdu=1)
    assert found["objID"].tolist() == [BIG, -(2**63), 2**63 - 1, 0]
    assert found["type"].tolist() == [1, -1, None, 7]
    assert found["ra"].unit == "deg"
    assert found["ra"].filled(np.nan).tolist()[::3] == [180.5, -math.inf]
    assert found["clean"].tolist() == [1, 0, None, 1]
    for name, texts in (
        ("class", ["GALAXY", "STAR", None, "STAR"]),
        ("day", ["2026-01-31", "1970-01-01", None, "9999-12-31"]),
        ("price", ["12.50", "-0.01", None, "0.00"]),
    ):
        assert found[name].mask.tolist() == [text is None for text in texts]
        assert list(found[name].filled("")) == [text or "" for text in texts]
    assert header["TESC7"] == "unicode_escape"
    assert found["name"][1].encode().decode("unicode_escape") == 'Größe "x", y'


def test_fitsio_reads_fits(tmp_path: Path, table: tuple[pa.Schema, Any, Stats]) -> None:
    path = tmp_path / "table.fits"
    path.write_bytes(write("fits", ("Objects", *table), ("More", *table)))
    with fitsio.FITS(str(path)) as file:
        assert len(file) == 3
        for name in ("Objects", "More"):
            found = file[name].read()
            assert found["objID"].tolist() == [BIG, -(2**63), 2**63 - 1, 0]
            np.testing.assert_array_equal(found["g"], np.array([14.1, np.inf, np.nan, -0.0], np.float32))
            assert found["class"].tolist() == ["GALAXY", "STAR", "", "STAR"]


def test_null_and_nan_differ_in_fits(table: tuple[pa.Schema, Any, Stats]) -> None:
    found = READERS["fits"](write("fits", ("", *table)), table[0])
    assert [row[2] for row in found] == [180.5, "NaN", None, -math.inf]


INTEGERS = [
    # type, values, TFORM, TNULL
    (pa.int16(), [None, 5], "I", -(2**15)),
    (pa.int16(), [None, -(2**15)], "I", 2**15 - 1),
    (pa.int16(), [None, -(2**15), 2**15 - 1], "J", -(2**31)),
    (pa.int32(), [None, -(2**31), 2**31 - 1], "K", -(2**63)),
    (pa.int64(), [None, -(2**63), 3], "K", 2**63 - 1),
    (pa.int64(), [None, -(2**63), 2**63 - 1], "20A", None),
    (pa.int64(), [-(2**63), 2**63 - 1], "K", None),
    (pa.uint8(), [0, 255], "B", None),
    (pa.uint8(), [None, 0, 254], "B", 255),
    (pa.uint8(), [None, 255, 1], "B", 0),
    (pa.uint8(), [None, 0, 255], "I", -(2**15)),
    (pa.int8(), [-128, 127], "B", None),
    (pa.int8(), [None, -128, 127], "I", -(2**15)),
    (pa.uint16(), [0, 65535], "I", None),
    (pa.uint16(), [None, 0, 65535], "J", -(2**31)),
    (pa.uint32(), [0, 2**32 - 1], "J", None),
    (pa.uint32(), [None, 2**32 - 1], "K", -(2**63)),
    (pa.uint64(), [0, 2**64 - 1], "K", None),
    (pa.uint64(), [None, 0, 2**63 - 1], "K", -(2**63)),
    (pa.uint64(), [None, 2**64 - 1], "20A", None),
    (pa.int32(), [None, None], "J", -(2**31)),
]


@pytest.mark.parametrize(("kind", "values", "form", "null"), INTEGERS)
def test_integers_in_fits(kind: pa.DataType, values: list[int | None], form: str, null: int | None) -> None:
    # The value for NULL is one that does not occur, however the table is cut into batches.
    batches = [pa.record_batch({"a": pa.array([value], kind)}) for value in values]
    content = write("fits", ("", batches[0].schema, batches, None))
    with fits.open(io.BytesIO(content)) as file:
        assert (file[1].columns[0].format, file[1].header.get("TNULL1")) == (form, null)
    found = Table.read(io.BytesIO(content), hdu=1)["a"]
    if "A" in form:
        assert found.mask.tolist() == [value is None for value in values]
        assert list(found.filled("")) == ["" if value is None else str(value) for value in values]
    else:
        assert found.tolist() == values


def test_few_long_texts_do_not_make_a_fits_file_large(tmp_path: Path) -> None:
    texts = ["short"] * 2000 + ["x" * 100_000, None, ""] + ["y"] * 2000
    batch = pa.record_batch({"a": pa.array(range(len(texts))), "b": pa.array(texts), "c": pa.array(texts[::-1])})
    batches = [batch[:2001], batch[2001:]]
    content = write("fits", ("", *spooled(tmp_path / "spool", batch.schema, batches)))
    assert len(content) < 1_000_000
    path = tmp_path / "table.fits"
    path.write_bytes(content)
    filled = [" " if text == "" else text or "" for text in texts]
    with fits.open(path) as file:
        file.verify("exception")
        assert file[1].columns.formats == ["K", "QA(100000)", "QA(100000)"]
        assert ["".join(text) for text in file[1].data[1990:2000]["b"]] == ["short"] * 10
    with fitsio.FITS(str(path)) as file:
        # Not the long one, at which fitsio 1.4 ends with a segmentation fault.
        assert file[1]["b"][2001:2004].tolist() == filled[2001:2004]
    assert [row[1] for row in READERS["fits"](content, batch.schema)] == filled


def test_unusual_names_and_texts_in_a_fits_header() -> None:
    names = ["ä", "it's", "x" * 90, "'" * 80, "tab\t"]
    schema = pa.schema([pa.field(name, pa.int32()) for name in names], {b"description": "€" * 100})
    content = write("fits", ("Tafel für 'x'", schema, [], Stats.of(schema)))
    with fits.open(io.BytesIO(content)) as file:
        file.verify("exception")
        assert file[1].columns.names == ["\\xe4", "it's", "x" * 60, "'" * 30, "tab"]
        assert file[1].header["EXTNAME"] == "Tafel f\\xfcr 'x'"
        assert "".join(file[1].header["COMMENT"]) == "\\u20ac" * 100
        assert file[1].header["TCOMM3"] == "x" * 90 + ":"


def test_fits_has_a_thousand_columns_at_most() -> None:
    schema = pa.schema([(f"c{number}", pa.int8()) for number in range(1000)])
    with pytest.raises(QueryError, match="999") as error:
        write("fits", ("", schema, [], Stats.of(schema)))
    assert error.value.kind is Kind.LIMIT


def test_fits_refuses_batches_that_are_not_those_of_the_statistics(table: tuple[pa.Schema, Any, Stats]) -> None:
    schema, batches, stats = table
    with pytest.raises(ValueError, match="rows were announced"):
        write("fits", ("", schema, list(batches)[:1], stats))


# -- VOTable


@pytest.mark.parametrize("format", ["votable", "votable-td"])
@pytest.mark.parametrize("with_stats", [True, False])
def test_astropy_reads_votable(format: str, with_stats: bool, table: tuple[pa.Schema, Any, Stats]) -> None:
    schema, batches, stats = table
    content = write(format, ("Objects", schema, batches, stats if with_stats else None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = votable.parse(io.BytesIO(content), verify="exception")
    assert file.version == "1.4"
    found = file.get_first_table()
    assert found.name == "Objects"
    assert found.description == "Nearby objects"
    fields = {field.name: field for field in found.fields}
    assert (fields["ra"].unit, fields["ra"].ucd) == ("deg", "pos.eq.ra;meta.main")
    assert fields["ra"].description == COLUMNS[2].description
    kinds = {name: field.datatype for name, field in fields.items()}
    assert kinds == {
        "objID": "long", "type": "short", "ra": "double", "g": "float", "clean": "boolean", "name": "unicodeChar",
        "class": "char" if with_stats else "unicodeChar", "day": "char", "seen": "char", "price": "char",
    }  # fmt: skip
    assert fields["seen"].xtype == "timestamp"
    array = found.array
    assert array["objID"].tolist() == [BIG, -(2**63), 2**63 - 1, 0]
    assert array["type"].tolist() == [1, -1, None, 7]
    assert array["clean"].tolist() == [True, False, None, True]
    assert array["g"].tolist()[1] == math.inf
    assert list(array["name"].filled("")) == ["M 31", 'Größe "x", y', "", ""]
    assert list(array["price"].filled("")) == ["12.50", "-0.01", "", "0.00"]


def test_several_tables_in_a_votable(table: tuple[pa.Schema, Any, Stats]) -> None:
    for format in ("votable", "votable-td"):
        content = write(format, ("", *table), ("", NO_COLUMNS, [], Stats()), ("", *table))
        found = list(votable.parse(io.BytesIO(content), verify="exception").iter_tables())
        assert [entry.name for entry in found] == ["Objects", "Table2", "Objects"]
        assert [len(entry.array) for entry in found] == [4, 0, 4]


def test_control_characters_are_refused_in_tabledata_only() -> None:
    batch = pa.record_batch({"a": pa.array(["a\0b", "c"])})
    with pytest.raises(QueryError, match="control character") as error:
        write("votable-td", ("", batch.schema, [batch], None))
    assert "BINARY2" in error.value.hint
    found = votable.parse(io.BytesIO(write("votable", ("", batch.schema, [batch], None)))).get_first_table()
    assert found.array["a"].tolist() == ["a\0b", "c"]


@pytest.mark.filterwarnings("ignore:.*W03.*")
def test_names_that_xml_has_not_and_ucds_that_are_none() -> None:
    field = pa.field("a\x01<b>", pa.int32(), metadata={b"ucd": "größe".encode()})
    content = write("votable", ("", pa.schema([field]), [], None))
    found = votable.parse(io.BytesIO(content), verify="exception").get_first_table().fields[0]
    assert (found.name, found.ucd, found.description) == ("a\\x01<b>", None, "(UCD: größe)")


# -- all


@pytest.mark.parametrize("format", FORMATS)
def test_no_result_set(format: str) -> None:
    target = writer(format)
    nothing = target.begin() + target.end()
    assert write(format, ("", NO_COLUMNS, [], Stats())) == nothing
    match format:
        case "json-array":
            assert json.loads(nothing) == {"Result": [{"TableName": "Table1", "Columns": [], "Data": []}]}
        case "csv" | "tsv" | "ndjson":
            assert nothing == b""
        case "arrow":
            assert pa.ipc.open_stream(nothing).read_all().num_columns == 0
        case "parquet":
            assert pq.read_table(io.BytesIO(nothing)).num_columns == 0
        case "fits":
            with fits.open(io.BytesIO(nothing)) as file:
                file.verify("exception")
                assert len(file[1].columns) == 0
        case _:
            votable.parse(io.BytesIO(nothing), verify="exception")


@pytest.mark.parametrize("format", FORMATS)
def test_no_rows(format: str, table: tuple[pa.Schema, Any, Stats]) -> None:
    schema = table[0]
    empty = pa.RecordBatch.from_pylist([], schema)
    for batches in ([], [empty]):
        content = write(format, ("", schema, batches, Stats.of(schema)))
        if format != "ndjson":
            assert content
        assert READERS[format](content, schema) == []


@pytest.mark.parametrize("format", FORMATS)
def test_tables_per_file(format: str, table: tuple[pa.Schema, Any, Stats]) -> None:
    if FORMATS[format].many:
        assert write(format, ("", *table), ("", *table))
    else:
        with pytest.raises(ValueError, match="one table"):
            write(format, ("", *table), ("", *table))


def test_table_of_formats() -> None:
    media_types = [kind.media_type for kind in FORMATS.values()]
    assert len(set(media_types)) == len(media_types)
    assert {name for name, kind in FORMATS.items() if kind.needs_spool} == {"fits"}
    assert all(name == kind.name and not kind.extension.startswith(".") for name, kind in FORMATS.items())
    with pytest.raises(KeyError):
        writer("xls")


def test_types_that_arrow_loses_become_text() -> None:
    query = """
        SELECT '101'::BIT AS a, 1 AS "q""\\", TIMETZ '12:00:00+02' AS a,
            [340282366920938463463374607431768211455::UHUGEINT] AS c,
            {'k': 123456789012345678901234567890123456789012::BIGNUM} AS d, [[1]]::INT[1][1] AS e
    """
    with duckdb.connect() as connection:
        relation = duckdb_types.exact(connection.sql(query))
        batch = relation.to_arrow_reader(10).read_next_batch()
        assert batch.schema.names == ["a", 'q"\\', "a", "c", "d", "e"]
        assert [column.to_pylist()[0] for column in batch.columns] == [
            "101", 1, "12:00:00+02", "[340282366920938463463374607431768211455]",
            "{'k': 123456789012345678901234567890123456789012}", [[1]],
        ]  # fmt: skip
        plain = connection.sql("SELECT 1 AS a")
        assert duckdb_types.exact(plain) is plain
