"""Statements for a database that is reached by network, in a script: a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from casjobs_service.errors import Kind, QueryError
from tests.casjobs.engines_support import shared_server
from tests.casjobs.worker_support import (
    ALICE,
    LIMITS,
    Bench,
    bench_with_postgresql,
    collect,
    eventually,
    query,
)


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with bench_with_postgresql(tmp_path_factory.mktemp("home") / "casjobs") as made:
        yield made


async def test_rows_come_from_there_with_their_units(pool: Bench) -> None:
    answer = await pool.query("SELECT TOP 2 id, ra, name FROM stars ORDER BY id", context="PG")
    assert answer.event("plan")["statements"][0]["engine"] == "PG"
    assert [row[0] for row in answer.rows] == [1, 2]
    assert answer.rows[0][2] == "Star 1"
    await pool.query("SELECT id, ra INTO MyDB.copied FROM PG.stars WHERE id <= 1000")
    catalog = (await pool.do({"do": "catalog", "database": "MyDB"})).event("done")["catalog"]
    [table] = [table for table in catalog["tables"] if table["name"] == "copied"]
    assert table["rows"] == 1000
    assert table["columns"][1][2] == "deg"


async def test_a_table_of_the_user_is_joined_there(pool: Bench) -> None:
    await pool.query("SELECT id INTO MyDB.wanted FROM PG.stars WHERE id % 10000 = 0")
    rows = await pool.rows("SELECT count(*) AS n, max(s.name) AS m FROM PG.stars s JOIN MyDB.wanted w ON s.id = w.id")
    assert rows == [[10, "Star 90000"]]
    error = await pool.failure("SELECT count(*) FROM PG.stars s JOIN MyDB.many m ON s.id = m.id")
    assert error.kind is Kind.NAME
    await pool.query("SELECT id INTO MyDB.many FROM Sky.Huge WHERE id < 200000")
    error = await pool.failure("SELECT count(*) AS n FROM PG.stars s JOIN MyDB.many m ON s.id = m.id")
    assert (error.kind, "100,000" in error.message) == (Kind.LIMIT, True)


async def test_a_plan_comes_from_there(pool: Bench) -> None:
    asked = {"do": "explain", "text": "SELECT id FROM stars WHERE id = 5", "context": "PG"}
    answer = (await pool.do(asked)).event("done")
    assert "Scan" in answer["statements"][0]["plan"]
    assert answer["rows"] == 1
    assert answer["tables"] == [{"database": "PG", "table": "stars", "rows": 100_000, "access": ["read"]}]


async def test_its_errors_are_told(pool: Bench) -> None:
    error = await pool.failure("SELECT 1 / (id - 1) AS x FROM stars", context="PG")
    assert error.kind is Kind.DATA
    assert error.line == 1


async def test_a_cancelled_statement_ends_there_too(pool: Bench) -> None:
    server = shared_server()
    busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%stars%stars%'"
    busy += " AND query NOT LIKE '%activity%'"
    text = "SELECT count(*) AS n FROM stars a, stars b WHERE (a.id + b.id) % 7 = 3"
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        task = asyncio.ensure_future(collect(session, query(text, context="PG")))
        await eventually(lambda: server.sql(busy) != "0", "the statement runs there")
        await session.cancel(Kind.CANCELLED, "Stopped by you.")
        with pytest.raises(QueryError) as caught:
            await task
        assert caught.value.message == "Stopped by you."
    await eventually(lambda: server.sql(busy) == "0", "the statement has ended there")


async def test_a_worker_cannot_reach_what_it_was_not_given(pool: Bench) -> None:
    """Whatever a worker says: names of contexts and files are the service's."""
    async with pool.workers.session(ALICE, LIMITS, [pool.contexts[0]]) as session:
        for asked in (
            {"ask": "remote", "context": "PG", "sql": "SELECT 1", "uploads": {}},
            {"ask": "remote", "context": "Sky", "sql": "SELECT 1", "uploads": {}},
            {"ask": "explain", "context": "PG", "sql": "SELECT 1"},
            {"ask": "other"},
            {"ask": "remote"},
            {"ask": "locks", "files": "MyDB"},
        ):
            code = f"worker.link.ask({{'event': 'ask', **{asked!r}}})"
            answer = (await collect(session, {"do": "python", "code": code})).event("done")
            assert answer["error_class"] == "QueryError", answer
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        (session.directory / "up").symlink_to("/etc/passwd")
        asked = {
            "ask": "remote",
            "context": "PG",
            "sql": "SELECT 1",
            "uploads": {"t": "../../../etc/passwd", "u": "up"},
        }
        code = f"worker.link.ask({{'event': 'ask', **{asked!r}}})"
        answer = (await collect(session, {"do": "python", "code": code})).event("done")
        assert "error_class" in answer
        assert "root" not in answer["text"]
