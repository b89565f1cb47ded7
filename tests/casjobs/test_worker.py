"""A session, as those who use it see it: scripts, requests, formats, errors."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from casjobs_service.errors import Kind, QueryError
from casjobs_service.results import FORMATS, open_spool
from tests.casjobs.worker_support import AGES, BOB, LIMITS, Bench, bench, collect, make_context, query


@pytest.fixture(scope="module", params=AGES)
async def pool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    directory = tmp_path_factory.mktemp("casjobs")
    reused = request.param == "reused"
    traits = {} if reused else {"keep": 0}
    async with bench(directory, [make_context(directory, "Sky")], reused=reused, **traits) as made:
        yield made


async def test_a_query_is_answered_in_the_form_that_was_asked_for(pool: Bench) -> None:
    answer = await pool.query(
        "SELECT TOP 3 objID, ra, class FROM Stars ORDER BY objID", context="Sky", output={"format": "csv"}
    )
    assert answer.csv == [
        ["objID", "ra", "class"],
        ["0", "0.00", "STAR"],
        ["1", "0.01", "GALAXY"],
        ["2", "0.02", "STAR"],
    ]
    assert answer.event("begin") == {"event": "begin", "media_type": "text/csv", "encoding": "identity"}
    assert answer.event("plan")["statements"][0]["sql"].startswith("SELECT")
    assert answer.event("statement")["rows"] == 3
    assert answer.event("done")["rows"] == 3
    assert answer.events[-1]["event"] == "done"


async def test_units_and_ucds_reach_the_result(pool: Bench) -> None:
    answer = await pool.query("SELECT TOP 1 ra, mag FROM Sky.Stars", output={"format": "arrow"})
    schema = pa.ipc.open_stream(answer.data).schema
    assert schema.field("ra").metadata == {b"unit": b"deg", b"ucd": b"pos.eq.ra", b"description": b"The ra"}
    assert schema.field("mag").metadata is None


async def test_text_is_compared_as_sql_server_does_and_stays_as_it_is(pool: Bench) -> None:
    assert await pool.rows("SELECT count(*) AS n FROM Sky.Stars WHERE class = 'galaxy'") == [[5000]]
    assert await pool.rows("SELECT DISTINCT class FROM Sky.Stars ORDER BY class") == [["GALAXY"], ["STAR"]]


async def test_in_its_own_dialect_the_engine_compares_as_it_does(pool: Bench) -> None:
    text = "SELECT count(*) AS n FROM Sky.Stars WHERE class = '{}'"
    assert await pool.rows(text.format("galaxy"), dialect="duckdb") == [[0]]
    assert await pool.rows(text.format("GALAXY"), dialect="duckdb") == [[5000]]
    async with pool.session() as session:
        for dialect, number in (("tsql", 5000), ("duckdb", 0), ("tsql", 5000)):
            answer = await collect(session, query(text.format("galaxy"), dialect=dialect))
            assert answer.rows == [[number]]


async def test_every_format_can_be_made_inside_the_sandbox(pool: Bench, caplog: pytest.LogCaptureFixture) -> None:
    text = (
        "SELECT TOP 70000 id, CAST(h % 1000 AS FLOAT) AS x, CAST(h % 1000 AS REAL) AS y, 'a\u00e9\"' AS s, "
        "CAST('2020-01-02T03:04:05' AS DATETIME) AS t, CAST(id AS DECIMAL(12,3)) AS d, CAST(NULL AS INT) AS nothing "
        "FROM Sky.Huge"
    )
    async with pool.session() as session:
        for name, format in FORMATS.items():
            for compression in ("gzip", "zstd", "identity") if name == "ndjson" else ("identity",):
                wish = {"format": name, "compression": compression}
                answer = await collect(session, query(text, output=wish))
                assert answer.event("begin")["media_type"] == format.media_type
                assert len(answer.data) > 100_000
        assert not caplog.records, "what is imported too late must be named in preload"
        await collect(session, {"do": "python", "code": "import turtle"})
        assert "turtle" in caplog.text


async def test_a_script_has_temporary_tables_and_variables_and_ends_with_them(pool: Bench) -> None:
    answer = await pool.query(
        "DECLARE @n INT = 3; SELECT TOP 5 objID INTO #t FROM Sky.Stars ORDER BY objID; "
        "INSERT INTO #t VALUES (100); SELECT count(*) AS n FROM #t WHERE objID > @n"
    )
    assert answer.rows == [[2]]
    assert (await pool.failure("SELECT * FROM #t")).kind is Kind.NAME


async def test_tables_of_the_user_are_made_changed_and_dropped(pool: Bench) -> None:
    made = await pool.query("SELECT TOP 10 objID, ra INTO MyDB.mine FROM Sky.Stars ORDER BY objID")
    assert made.event("statement")["table"] == "MyDB.mine"
    assert made.event("statement")["rows"] == 10
    assert made.json["Result"][0]["Data"] == []
    catalog = (await pool.do({"do": "catalog", "database": "MyDB"})).event("done")["catalog"]
    [table] = [table for table in catalog["tables"] if table["name"] == "mine"]
    assert table["rows"] == 10
    assert table["size"] >= 0
    assert table["date"].endswith("Z")
    assert table["columns"][1][2] == "deg"
    await pool.query(
        "INSERT INTO mine SELECT 77, 1.5; UPDATE mine SET ra = 9 WHERE objID = 0; DELETE FROM mine WHERE objID = 1"
    )
    assert await pool.rows("SELECT count(*), sum(objID), max(ra) FROM mine") == [[10, 121, 9]]
    await pool.query("DROP TABLE mine")
    assert (await pool.failure("SELECT * FROM mine")).kind is Kind.NAME


async def test_a_table_that_exists_is_not_overwritten(pool: Bench) -> None:
    await pool.query("SELECT 1 AS a INTO MyDB.taken")
    error = await pool.failure("SELECT 2 AS a INTO MyDB.TAKEN")
    assert (error.kind, "already" in error.message) == (Kind.DATA, True)
    assert await pool.rows("SELECT a FROM taken") == [[1]]


async def test_a_job_can_have_its_result_put_into_a_table(pool: Bench) -> None:
    answer = await pool.query("SELECT TOP 2 objID FROM Sky.Stars", into="collected")
    assert answer.event("statement")["table"] == "MyDB.collected"
    assert await pool.rows("SELECT count(*) FROM collected") == [[2]]


async def test_several_results_need_a_format_for_several_or_a_choice(pool: Bench) -> None:
    text = "SELECT 1 AS a; SELECT 2 AS b"
    assert [table["Data"] for table in (await pool.query(text)).json["Result"]] == [[[1]], [[2]]]
    error = await pool.failure(text, output={"format": "csv"})
    assert (error.kind, "result=" in error.hint) == (Kind.UNSUPPORTED, True)
    assert (await pool.query(text, output={"format": "csv", "result": 2})).data == b"b\n2\n"
    assert (await pool.failure(text, output={"format": "csv", "result": 3})).kind is Kind.DATA


async def test_columns_may_have_the_same_name(pool: Bench) -> None:
    assert (await pool.query("SELECT 1 AS a, 2 AS a")).json["Result"][0]["Columns"] == ["a", "a"]


async def test_results_can_be_kept_and_formatted_later(pool: Bench) -> None:
    async with pool.session() as session:
        kept = await collect(session, query("SELECT 1 AS a; SELECT 'x' AS b", output={"spool": True}))
        assert kept.data == b""
        assert [event["index"] for event in kept.named("result")] == [1, 2]
        files = [f"result-{event['index']}.arrow" for event in kept.named("result")]
        assert open_spool(session.directory / files[1])[2].rows == 1
        later = await collect(session, {"do": "convert", "spools": files, "output": {"format": "json-array"}})
        assert [table["Data"] for table in later.json["Result"]] == [[[1]], [["x"]]]
        second = await collect(session, {"do": "convert", "spools": files, "output": {"format": "csv", "result": 2}})
        assert second.data == b"b\nx\n"
    await asyncio.sleep(0)


async def test_an_error_before_the_first_bytes_comes_without_any(pool: Bench) -> None:
    async with pool.session() as session:
        events = []
        error = None
        try:
            async for event in session.run(query("SELECT 1 AS a; SELECT CAST('x' AS INT) AS b")):
                events.append(event)
        except QueryError as caught:
            error = caught
        assert error is not None
        assert error.kind is Kind.DATA
        assert not [event for event in events if isinstance(event, bytes) or event["event"] == "begin"]
        assert (await collect(session, query("SELECT 5 AS a"))).rows == [[5]]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("SELECT nope FROM Sky.Stars", Kind.NAME, "nope"),
        ("SELECT 1/0 AS x", Kind.DATA, "Division by zero"),
        ("SELECT * FROM Nowhere.Stars", Kind.NAME, "Nowhere"),
        ("SELECT CAST('abc' AS INT) AS x", Kind.DATA, "abc"),
        ("SELECT (1", Kind.SYNTAX, ""),
        ("SELECT 1 AS a INTO Sky.mine", Kind.FORBIDDEN, "Sky"),
        ("INSERT INTO Sky.Stars SELECT * FROM Sky.Stars", Kind.FORBIDDEN, "Sky"),
    ],
)
async def test_errors_are_for_people(pool: Bench, text: str, kind: Kind, words: str) -> None:
    error = await pool.failure(text)
    assert error.kind is kind
    assert words in error.message
    assert error.line == 1
    assert not any(word in str(error) for word in ("/mydb", "/session", "Traceback", str(pool.directory)))


async def test_who_may_not_write_may_make_temporary_tables(pool: Bench) -> None:
    error = await pool.failure("SELECT 1 AS a INTO MyDB.forbidden", may_write=False)
    assert error.kind is Kind.FORBIDDEN
    assert await pool.rows("SELECT 1 AS a INTO #t; SELECT a FROM #t", may_write=False) == [[1]]


async def test_a_plan_is_shown_without_running_it(pool: Bench) -> None:
    text = "SELECT * INTO MyDB.planned FROM Sky.Stars WHERE mag < 12; SELECT count(*) AS n FROM planned"
    answer = (await pool.do({"do": "explain", "text": text, "context": "MyDB", "may_write": True})).event("done")
    first, second = answer["statements"]
    assert "Stars" in first["plan"]
    assert 0 < first["estimate"] <= 10_000
    assert second["estimate"] is None
    assert {"database": "Sky", "table": "Stars", "rows": 10_000, "access": ["read"]} in answer["tables"]
    assert answer["rows"] == first["estimate"]
    assert (await pool.failure("SELECT * FROM planned")).kind is Kind.NAME


async def test_rows_of_a_table_and_its_name(pool: Bench) -> None:
    asked = {"do": "read", "database": "sky", "table": "STARS", "rows": 2, "output": {"format": "csv"}}
    assert (await pool.do(asked)).data.count(b"\n") == 3
    await pool.query("SELECT 1 AS a INTO MyDB.old")
    await pool.do({"do": "rename", "database": "mydb", "table": "OLD", "to": "Größe neu"})
    assert await pool.rows("SELECT a FROM [größe neu]") == [[1]]
    await pool.do({"do": "rename", "database": "MyDB", "table": "größe neu", "to": "größe neu2; drop"})
    with pytest.raises(QueryError) as caught:
        await pool.do({"do": "rename", "database": "MyDB", "table": "nope", "to": "x"})
    assert caught.value.kind is Kind.NAME
    await pool.do({"do": "drop", "database": "MyDB", "table": "Größe neu2; DROP"})
    with pytest.raises(QueryError) as caught:
        await pool.do({"do": "drop", "database": "Sky", "table": "Stars"})
    assert caught.value.kind is Kind.FORBIDDEN


async def test_old_tables_of_myscratch_go(pool: Bench) -> None:
    await pool.query("SELECT 1 AS a INTO MyScratch.fresh; SELECT 1 AS a INTO MyScratch.stale", BOB)
    file = pool.workers.files.file(BOB, "MyScratch")
    with duckdb.connect(str(file)) as connection:
        connection.execute("""COMMENT ON TABLE stale IS '{"created": "2020-01-01T00:00:00Z"}'""")
    purged = await pool.do({"do": "purge", "days": 30}, BOB)
    assert purged.event("done")["tables"] == ["stale"]
    assert await pool.rows("SELECT a FROM MyScratch.fresh", BOB) == [[1]]
    assert (await pool.failure("SELECT a FROM MyScratch.stale", BOB)).kind is Kind.NAME


async def test_a_result_too_large_is_an_error_and_not_cut(pool: Bench) -> None:
    few = replace(LIMITS, rows=1000)
    assert len((await pool.query("SELECT TOP 1000 id FROM Sky.Huge", limits=few)).rows) == 1000
    error = await pool.failure("SELECT TOP 1001 id FROM Sky.Huge", limits=few)
    assert (error.kind, "1,000" in error.message) == (Kind.LIMIT, True)
    error = await pool.failure("SELECT id FROM Sky.Huge", limits=replace(LIMITS, result=1_000_000))
    assert (error.kind, "1 MB" in error.message) == (Kind.LIMIT, True)


async def test_progress_is_told(pool: Bench) -> None:
    text = "SELECT 1 AS a; SELECT count(*) AS n FROM Sky.Huge a JOIN Sky.Huge b ON a.h % 100 = b.h % 101"
    async with (
        pool.session() as session,
        contextlib.aclosing(session.run(query(text))) as events,
    ):
        told = [event async for event in until_progress(events, 2)]
    assert {(event["statement"], event["of"]) for event in told} == {(1, 2)}
    assert all(event["fraction"] is None or 0 <= event["fraction"] <= 1 for event in told)


async def until_progress(events: AsyncIterator[dict[str, Any] | bytes], number: int) -> AsyncIterator[dict[str, Any]]:
    """So many reports of progress."""
    async for event in events:
        if isinstance(event, dict) and event["event"] == "progress" and event["statement"] == 1:
            yield event
            number -= 1
            if not number:
                return


async def test_a_large_result_is_streamed(pool: Bench) -> None:
    """The client has the beginning while the query runs, and the worker's memory stays small."""
    async with pool.session() as session:
        sizes, total = [], 0
        async for event in session.run(
            query("SELECT id, h, h AS i, h AS j FROM Sky.Huge", output={"format": "arrow"})
        ):
            if isinstance(event, bytes):
                total += len(event)
                status = Path(f"/proc/{session.process.pid}/status").read_text()
                sizes.append(int(status.split("RssAnon:")[1].split()[0]))
    assert total > 60_000_000
    assert len(sizes) > 20
    assert sizes[-1] - sizes[2] < 40_000, "kB that memory has grown by while 60 MB went through"


async def test_arrow_reads_back(pool: Bench) -> None:
    answer = await pool.query("SELECT id FROM Sky.Huge ORDER BY id", output={"format": "arrow"})
    table = pa.ipc.open_stream(io.BytesIO(answer.data)).read_all()
    assert table.column("id").to_numpy().tolist() == list(range(2_000_000))
