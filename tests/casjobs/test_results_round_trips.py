"""Every format gives back what went in, or what its documentation says instead."""

from __future__ import annotations

import io
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from astropy.io import votable
from hypothesis import HealthCheck, assume, given, settings

from casjobs_service.results.duckdb_types import exact
from tests.casjobs.results_support import READERS, expected, rows, spooled, tables, write

DETERMINISTIC = settings(
    derandomize=True,
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def _storable_in_xml(table: list[tuple[object, ...]]) -> bool:
    def good(letter: str) -> bool:
        return letter in "\t\n\r" or (letter >= " " and letter not in "\ufffe\uffff")

    return all(good(letter) for row in table for value in row if isinstance(value, str) for letter in value)


def _nested_in_xml(schema: pa.Schema) -> bool:
    return any(pa.types.is_nested(kind) for kind in schema.types)


@pytest.mark.parametrize("format", READERS)
@DETERMINISTIC
@given(table=tables())
def test_round_trip(format: str, tmp_path: Path, table: tuple[pa.Schema, list[pa.RecordBatch]]) -> None:
    schema, batches = table
    wanted = rows(schema, batches)
    if format == "votable-td":
        assume(_storable_in_xml(wanted) and not _nested_in_xml(schema))
    spool = spooled(tmp_path / "spool", schema, batches)
    content = write(format, ("", *spool))
    assert READERS[format](content, schema) == expected(format, schema, wanted)


# astropy says that names with blanks or signs are no XML identifiers, which they need not be.
@pytest.mark.filterwarnings("ignore:.*W03.*", "ignore:.*W32.*")
@DETERMINISTIC
@given(table=tables())
def test_votable_is_valid_and_read_by_astropy(tmp_path: Path, table: tuple[pa.Schema, list[pa.RecordBatch]]) -> None:
    schema, batches = table
    assume(not any(pa.types.is_nested(kind) for kind in schema.types))
    # Without statistics: text is unicodeChar.
    content = write("votable", ("", schema, batches, None))
    found = votable.parse(io.BytesIO(content), verify="exception").get_first_table()
    assert [field.name for field in found.fields] == schema.names
    assert len(found.array) == sum(batch.num_rows for batch in batches)


@pytest.fixture(scope="module")
def engine_types() -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """DuckDB's own table with the smallest and largest value of each of its types."""
    with duckdb.connect() as connection:
        reader = exact(connection.sql("FROM test_all_types()")).to_arrow_reader(2)
        return reader.schema, list(reader)


def test_csv_is_read_back_by_the_engine_itself(
    tmp_path: Path, engine_types: tuple[pa.Schema, list[pa.RecordBatch]]
) -> None:
    # DuckDB's CAST from our text must give DuckDB's value, for each type that has such a cast.
    schema, batches = engine_types
    path = tmp_path / "all.csv"
    path.write_bytes(write("csv", ("", schema, batches, None)))
    with duckdb.connect() as connection:
        relation = connection.sql("FROM test_all_types()")
        types = dict(zip(relation.columns, map(str, relation.types), strict=True))
        not_cast = ("blob", "interval", "date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_tz")
        names = [name for name, type in types.items() if "[" not in type and "(" not in type and name not in not_cast]
        names = [name for name in names if name not in ("empty_struct", "timestamp_tz_ns")]
        connection.execute("CREATE TABLE text AS FROM read_csv(?, all_varchar=true, header=true)", [str(path)])
        assert len(names) > 20
        for name in names:
            wanted = relation.project(f'"{name}"').fetchall()
            found = connection.table("text").project(f'CAST("{name}" AS {types[name]})').fetchall()
            assert found == wanted, name


@pytest.mark.parametrize("format", READERS)
def test_all_types_of_the_engine_can_be_written(
    format: str, tmp_path: Path, engine_types: tuple[pa.Schema, list[pa.RecordBatch]]
) -> None:
    schema, batches = engine_types
    if format == "votable-td":
        # Its text has a NUL, on purpose.
        schema = pa.schema([field for field in schema if field.name != "varchar"])
        batches = [batch.select(schema.names) for batch in batches]
    # Python has no date for the infinite ones inside of lists.
    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    simple = pa.schema([field for field in schema if field.name not in nested])
    content = write(format, ("", *spooled(tmp_path / "spool", schema, batches)))
    assert len(content) > 1000
    batches = [batch.select(simple.names) for batch in batches]
    content = write(format, ("", *spooled(tmp_path / "spool", simple, batches)))
    assert READERS[format](content, simple) == expected(format, simple, rows(simple, batches))


def test_nested_values_are_the_json_of_the_engine(engine_types: tuple[pa.Schema, list[pa.RecordBatch]]) -> None:
    schema, batches = engine_types
    result = json.loads(write("json-array", ("", schema, batches, None)))["Result"][0]
    names = [field.name for field in schema if pa.types.is_nested(field.type)]
    # Its to_json writes dates in another form, and cannot write infinity as a number. Tuples are structs in Arrow.
    names = [name for name in names if not name.startswith(("date", "timestamp", "double", "tuple"))]
    assert len(names) > 15
    with duckdb.connect() as connection:
        relation = connection.sql("FROM test_all_types()")
        for name in names:
            wanted = relation.project(f'to_json("{name}")').fetchall()
            found = [row[schema.names.index(name)] for row in result["Data"]]
            assert found == [json.loads(text or "null") for (text,) in wanted], name
