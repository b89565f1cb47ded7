"""Arrow streams that come in pieces of any size."""

from __future__ import annotations

import datetime
import decimal
import io

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import given
from SciServer.core.arrow import Decoder

TABLES = {
    "numbers": pa.table({"id": [2**53 + 1, None, -1], "x": [1.5, float("nan"), None], "ok": [True, None, False]}),
    "texts": pa.table({"name": ["Größe", None, ""], "data": [b"\0\xff", None, b""]}),
    "times": pa.table(
        {
            "at": pa.array([datetime.datetime(2026, 1, 2), None], pa.timestamp("us")),
            "day": pa.array([datetime.date(2026, 1, 2), None]),
            "exact": pa.array([decimal.Decimal("1.25"), None]),
        }
    ),
    "nested": pa.table({"list": [[1, 2], None, []], "struct": [{"a": 1}, None, {"a": 3}]}),
    "dictionary": pa.table({"class": pa.array(["STAR", "GALAXY", None, "STAR"]).dictionary_encode()}),
    "no columns": pa.table({}),
    "no rows": pa.table({"a": pa.array([], pa.int64())}),
}


def stream(table: pa.Table, rows: int = 2, compression: str | None = None) -> bytes:
    target = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=True)
    with pa.ipc.new_stream(target, table.schema, options=options) as writer:
        for batch in table.to_batches(max_chunksize=rows):
            writer.write_batch(batch)
    return target.getvalue()


def decoded(data: bytes, sizes: list[int]) -> pa.Table:
    decoder, found, position = Decoder(), [], 0
    while position < len(data):
        size = sizes[position % len(sizes)]
        found += decoder.feed(data[position : position + size])
        position += size
    assert decoder.is_complete
    assert decoder.schema is not None
    return pa.Table.from_batches(found, decoder.schema)


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("name", TABLES)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_pieces_of_any_size(name: str, compression: str | None, sizes: list[int]) -> None:
    table = TABLES[name].replace_schema_metadata({"name": "x"})
    data = stream(table, compression=compression)
    found = decoded(data, sizes)
    assert found.schema.equals(table.schema, check_metadata=True)
    # NaN is not equal to itself.
    assert str(found.to_pydict()) == str(table.to_pydict())


def test_a_dictionary_that_changes_from_batch_to_batch() -> None:
    parts = [pa.array(values).dictionary_encode() for values in (["a", "b"], ["c"], ["a", "d"])]
    table = pa.table({"x": pa.chunked_array(parts)})
    found = decoded(stream(table, rows=10), [7])
    assert found["x"].to_pylist() == ["a", "b", "c", "a", "d"]


def test_rows_come_before_the_stream_has_ended() -> None:
    data = stream(TABLES["numbers"], rows=1)
    decoder, seen = Decoder(), []
    for position in range(len(data)):
        seen += [batch.num_rows for batch in decoder.feed(data[position : position + 1])]
        if position < len(data) - 1:
            assert not decoder.is_complete
    assert seen == [1, 1, 1]


@pytest.mark.parametrize("said", [None, {"casjobs.cut": "true"}, {"other": "x"}])
def test_rows_that_the_service_has_left_out(said: dict[str, str] | None) -> None:
    table, target = TABLES["numbers"], io.BytesIO()
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
        writer.write_batch(pa.RecordBatch.from_pylist([], table.schema), custom_metadata=said)
    decoder = Decoder()
    assert sum(batch.num_rows for batch in decoder.feed(target.getvalue())) == 3
    assert decoder.is_cut == (said is not None and "casjobs.cut" in said)


@given(st.binary(min_size=8, max_size=200))
def test_something_else(data: bytes) -> None:
    decoder = Decoder()
    try:
        decoder.feed(data)
    except ValueError:
        return
    # It may be the end of a stream, or the beginning of a message whose rest has not come.
    assert decoder.schema is None


@given(st.data())
def test_a_damaged_stream_never_crashes(data: st.DataObject) -> None:
    whole = bytearray(stream(TABLES["texts"]))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    try:
        found = decoder.feed(bytes(whole))
    except (ValueError, OSError):
        return
    assert sum(batch.num_rows for batch in found) <= 3 or decoder.is_complete
