"""Whatever a query does too much of ends it with words, and the worker's neighbours do not notice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import MEGABYTE
from tests.casjobs.worker_support import AGES, LIMITS, Bench, bench, collect, make_context, query


@pytest.fixture(scope="module", params=AGES)
async def pool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    directory = tmp_path_factory.mktemp("casjobs")
    reused = request.param == "reused"
    traits = {} if reused else {"keep": 0}
    async with bench(directory, [make_context(directory, "Sky")], reused=reused, **traits) as made:
        yield made


SMALL = replace(LIMITS, memory=40 * MEGABYTE, temp=10 * MEGABYTE)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT count(*) AS n FROM (SELECT DISTINCT id, h FROM Sky.Huge) q",
        "SELECT a.id, b.mag INTO #t FROM Sky.Huge a CROSS JOIN Sky.Stars b",
        "SELECT TOP 1 * FROM Sky.Huge a JOIN Sky.Huge b ON a.id % 100000 = b.id % 100000 ORDER BY a.id + b.id",
    ],
)
async def test_memory_and_temporary_space_end_a_query(pool: Bench, text: str) -> None:
    error = await pool.failure(text, limits=SMALL)
    assert error.kind is Kind.LIMIT
    assert "memory" in error.message or "temporary space" in error.message


async def test_larger_than_memory_goes_to_temporary_files(pool: Bench) -> None:
    limits = replace(LIMITS, memory=60 * MEGABYTE, temp=500 * MEGABYTE)
    text = "SELECT count(*) AS n FROM (SELECT DISTINCT id, h FROM Sky.Huge) q"
    assert (await pool.query(text, limits=limits)).rows == [[2_000_000]]


@pytest.mark.parametrize("code", ["bytearray(10**11)", "x = []\nwhile True: x.append(bytearray(10**8))"])
async def test_memory_outside_the_engine_ends_too(pool: Bench, code: str) -> None:
    answer = await pool.do({"do": "python", "code": code})
    assert answer.event("done")["error_class"] == "MemoryError"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
        "SELECT " + "-" * 1 + "(-" * 100_000 + "1" + ")" * 100_000,
        "SELECT " + "1+" * 60_000 + "1 AS a",
        "SELECT CASE WHEN 1=1 THEN " * 30_000 + "1" + " END" * 30_000,
        "SELECT * FROM " + "(SELECT * FROM " * 30_000 + "Sky.Stars" + ") q" * 30_000,
        "SELECT 1 AS a WHERE " + "NOT " * 100_000 + "1=1",
    ],
    ids=["parentheses", "signs", "sum", "case", "subqueries", "not"],
)
async def test_deep_texts_are_errors(pool: Bench, text: str) -> None:
    async with pool.session() as session:
        kind = Kind.LIMIT
        try:
            await collect(session, query(text))
        except QueryError as error:
            kind = error.kind
        assert kind in (Kind.LIMIT, Kind.UNSUPPORTED, Kind.SYNTAX)
        assert (await collect(session, query("SELECT 1 AS a"))).rows == [[1]], "the worker lives"


async def test_a_text_has_a_longest_length(pool: Bench) -> None:
    error = await pool.failure("SELECT '" + "x" * 1_000_000 + "'")
    assert (error.kind, "1,000,000 bytes" in error.message) == (Kind.LIMIT, True)
    assert len((await pool.rows("SELECT '" + "é" * 400_000 + "' AS a"))[0][0]) == 400_000


async def test_processor_time_ends_what_nobody_watches(pool: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass"
    error = None
    try:
        await pool.do({"do": "python", "code": code})
    except Exception as caught:
        error = caught
    assert getattr(error, "kind", None) is Kind.TIMEOUT


async def test_niceness_and_threads_are_those_of_the_limits(pool: Bench) -> None:
    limits = replace(LIMITS, nice=7, threads=2)
    async with pool.session(limits=limits) as session:
        raw = await collect(session, {"do": "raw", "sql": "SELECT current_setting('threads')"})
        assert raw.event("done")["rows"] == "[(2,)]"
        levels = []
        for thread in Path(f"/proc/{session.process.pid}/task").iterdir():
            # One that has just done its work may end.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                levels.append((thread / "stat").read_text().rpartition(")")[2].split()[16])
        assert set(levels) == {"7"}


async def test_a_runaway_does_not_stop_others(pool: Bench) -> None:
    text = "SELECT count(*) AS n FROM Sky.Huge a CROSS JOIN Sky.Huge b WHERE a.h > b.h"
    async with pool.session(limits=replace(LIMITS, nice=10)) as session:
        runaway = asyncio.ensure_future(collect(session, query(text)))
        for _ in range(3):
            assert await pool.rows("SELECT 1 AS a") == [[1]]
        assert not runaway.done()
        await session.cancel(Kind.CANCELLED, "Enough.")
        with pytest.raises(Exception, match="Enough"):
            await runaway
