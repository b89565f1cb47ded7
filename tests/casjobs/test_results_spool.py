"""The spool: what it counts, what it refuses, and what is left of a writer that died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from casjobs_service.catalog import Column
from casjobs_service.errors import Kind, QueryError
from casjobs_service.results import SpoolError, SpoolWriter, open_spool, with_columns
from casjobs_service.results.metadata import about, table_name
from tests.casjobs.results_support import READERS, rows, spooled, write

BATCHES = [
    pa.record_batch({"id": pa.array([1, None, 2**62]), "name": ["M 31", None, "é"], "blob": [b"\0", b"", None]}),
    pa.record_batch({"id": pa.array([-(2**63), 5]), "name": ["back\\slash", ""], "blob": [b"abc", None]}),
]
SCHEMA = BATCHES[0].schema


def test_counts(tmp_path: Path) -> None:
    schema, batches, stats = spooled(tmp_path / "spool", SCHEMA, BATCHES)
    assert (stats.rows, stats.bytes) == (5, sum(batch.nbytes for batch in BATCHES))
    number, name, blob = stats.columns
    assert (number.nulls, number.low, number.high) == (1, -(2**63), 2**62)
    assert (name.nulls, name.width, name.total, name.printable) == (1, 10, 4 + 2 + 10, False)
    # The backslash counts twice, as it is written if any text of the column is escaped.
    assert name.escaped == 11
    assert (blob.nulls, blob.width, blob.total) == (2, 3, 4)
    assert schema.equals(SCHEMA)
    assert rows(schema, batches) == rows(SCHEMA, BATCHES)


def test_batches_can_be_read_again_and_by_readers_of_arrow(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    _, batches, _ = spooled(path, SCHEMA, BATCHES)
    assert list(batches) == list(batches) == BATCHES
    with pa.OSFile(str(path)) as file:
        assert pa.ipc.open_stream(file).read_all().to_batches() == BATCHES


def test_metadata_comes_back(tmp_path: Path) -> None:
    columns = [
        Column("id", "BIGINT"),
        Column("name", "VARCHAR", ucd="meta.id", description="Größe"),
        Column("blob", ""),
    ]
    schema, _, _ = spooled(tmp_path / "spool", with_columns(SCHEMA, columns, "Objects", "All of them"), BATCHES)
    assert about(schema.field("name")).description == "Größe"
    assert about(schema.field("name")).ucd == "meta.id"
    assert schema.field("id").metadata is None
    assert (table_name(schema), about(schema).description) == ("Objects", "All of them")


def test_no_rows_and_no_columns(tmp_path: Path) -> None:
    for schema in (SCHEMA, pa.schema([])):
        found, batches, stats = spooled(tmp_path / "spool", schema, [])
        assert (found, list(batches), stats.rows, stats.bytes) == (schema, [], 0, 0)
        assert len(stats.columns) == len(schema)


def test_dictionaries_may_change(tmp_path: Path) -> None:
    parts = [pa.record_batch({"a": pa.array(values).dictionary_encode()}) for values in (["x", "y"], ["z", None, "x"])]
    schema, batches, stats = spooled(tmp_path / "spool", parts[0].schema, parts)
    assert rows(schema, batches) == [("x",), ("y",), ("z",), (None,), ("x",)]
    assert (stats.columns[0].width, stats.columns[0].nulls) == (1, 1)
    inside = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), pa.array(["x", None]))
    batch = pa.record_batch({"a": inside})
    _, batches, stats = spooled(tmp_path / "spool", batch.schema, [batch])
    assert stats.columns[0].nulls == 1
    for format in ("csv", "json-array", "votable", "fits"):
        found = READERS[format](write(format, ("", batch.schema, batches, stats)), batch.schema)
        assert found == [("x",), ("" if format == "fits" else None,), ("x",)]


def test_limit(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    batch = pa.record_batch({"a": pa.array(range(1000), pa.int64())})
    with SpoolWriter(path, batch.schema, 16_000) as spool:
        spool.write(batch)
        spool.write(batch)
        assert spool.close().rows == 2000
    with pytest.raises(QueryError) as error:
        spooled(path, batch.schema, [batch] * 3, limit=16_000)
    assert error.value.kind is Kind.LIMIT
    assert "0.016 MB" in error.value.message
    assert "INTO MyDB" in error.value.hint
    with pytest.raises(SpoolError):
        open_spool(path)


@pytest.mark.parametrize("durable", [False, True])
def test_every_truncation_is_recognised(tmp_path: Path, durable: bool) -> None:
    path, cut = tmp_path / "spool", tmp_path / "cut"
    with SpoolWriter(path, SCHEMA, 0, durable=durable) as spool:
        for batch in BATCHES:
            spool.write(batch)
    content = path.read_bytes()
    for length in {*range(0, len(content), 61), *range(len(content) - 60, len(content), 7), len(content) - 1}:
        cut.write_bytes(content[:length])
        with pytest.raises(SpoolError):
            open_spool(cut)
    # Bytes that are added, or lost in the middle, do not fit the length either.
    for damaged in (content + b"x", content[:100] + content[101:], b"x" * 1000):
        cut.write_bytes(damaged)
        with pytest.raises(SpoolError):
            open_spool(cut)
    with pytest.raises(FileNotFoundError):
        open_spool(tmp_path / "none")


_WRITER = """
import pathlib, sys
import pyarrow as pa
from casjobs_service.results import SpoolWriter
batch = pa.record_batch({"a": pa.array(range(10_000))})
spool = SpoolWriter(pathlib.Path(sys.argv[1]), batch.schema, 0)
while True:
    spool.write(batch)
    print("wrote", flush=True)
"""


def test_writer_that_is_killed_leaves_no_spool(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        for _ in range(3):
            assert process.stdout.readline() == b"wrote\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert path.stat().st_size > 10_000
    with pytest.raises(SpoolError):
        open_spool(path)


def test_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    batch = pa.record_batch({"a": pa.array(os.urandom(8) for _ in range(10_000))})
    with pytest.raises(OSError, match="No space"):
        spooled(Path("/dev/full"), batch.schema, [batch] * 100)
