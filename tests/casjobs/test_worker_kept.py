"""A worker that serves more than one session: for whom, for how long, and that nothing of the first is left."""

from __future__ import annotations

import ast
import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from casjobs_service.errors import Kind, QueryError
from casjobs_service.feed import closing
from casjobs_service.mydb import UserSpace
from casjobs_service.worker import sandbox
from casjobs_service.worker.session import Session
from tests.casjobs.worker_support import ALICE, BOB, LIMITS, Bench, bench, collect, eventually, make_context, query

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="no worker is used again where there are no mounts")

ENDLESS = "SELECT count(*) AS n FROM Sky.Huge a JOIN Sky.Huge b ON a.h % 100 = b.h % 101"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    directory = tmp_path_factory.mktemp("casjobs")
    # So long that a slow machine finds what it has kept.
    async with bench(directory, [make_context(directory, "Sky")], keep_seconds=120.0) as made:
        yield made


@pytest.fixture
async def pool(shared: Bench) -> Bench:
    """A pool that keeps nothing yet."""
    await emptied(shared)
    return shared


async def emptied(pool: Bench) -> None:
    pool.workers._resting.end(0)
    await eventually(lambda: not list((pool.directory / "sessions").iterdir()), "all sessions are swept")
    assert not pool.workers.locks._files
    assert pool.workers._slots._value == pool.workers.max_workers


async def settled(pool: Bench) -> None:
    """Wait until all that are kept are ready."""
    await eventually(lambda: all(each.ready.done() for each in pool.workers._resting._all), "they are ready")


async def process_of(pool: Bench, text: str = "SELECT 1 AS a", user: UserSpace = ALICE, **limits: Any) -> int:
    """Run a query; the worker's number."""
    async with pool.workers.session(user, replace(LIMITS, **limits), pool.contexts) as session:
        await collect(session, query(text))
        return session.process.pid


async def raw(session: Session, sql: str, contexts: tuple[str, ...] = ()) -> str:
    answer = await collect(session, {"do": "raw", "sql": sql, "contexts": contexts})
    rows: str = answer.event("done")["rows"]
    return rows


async def python(session: Session, code: str) -> Any:
    done = (await collect(session, {"do": "python", "code": code})).event("done")
    return ast.literal_eval(done["result"])


# -- for whom


async def test_the_next_query_of_the_same_user_gets_the_same_worker(pool: Bench) -> None:
    first = await process_of(pool)
    assert [await process_of(pool) for _ in range(3)] == [first] * 3
    assert pool.workers.state()["kept"] == 1


async def test_nobody_else_gets_it(pool: Bench) -> None:
    first = await process_of(pool)
    assert await process_of(pool, user=BOB) != first
    assert await process_of(pool) == first


async def test_two_queries_at_once_have_two_workers(pool: Bench) -> None:
    first = await process_of(pool)
    async with (
        pool.workers.session(ALICE, LIMITS, pool.contexts) as one,
        pool.workers.session(ALICE, LIMITS, pool.contexts) as two,
    ):
        assert one.process.pid == first != two.process.pid
        assert one.directory != two.directory


async def test_other_limits_need_another_worker(pool: Bench) -> None:
    first = await process_of(pool)
    for name in ("memory", "temp", "quota", "scratch", "seconds", "rows", "nice"):
        assert await process_of(pool, **{name: getattr(LIMITS, name) + 1}) != first


async def test_what_may_not_be_seen_any_more_is_not_seen(pool: Bench, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    more = [*pool.contexts, make_context(tmp_path, "Private")]
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)
    text = "SELECT count(*) AS n FROM Private.Stars"
    async with pool.workers.session(ALICE, LIMITS, more) as session:
        first = session.process.pid
        assert (await collect(session, query(text))).rows == [[10_000]]
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        assert session.process.pid != first
        with pytest.raises(QueryError) as caught:
            await collect(session, query(text))
        assert caught.value.kind is Kind.NAME
    async with pool.workers.session(ALICE, LIMITS, more) as session:
        assert session.process.pid == first
    # Another file at the same place.
    data = more[-1].data
    assert data is not None
    shutil.copy(data, data.with_suffix(".new"))
    data.with_suffix(".new").chmod(0o755)
    data.with_suffix(".new").rename(data)
    async with pool.workers.session(ALICE, LIMITS, more) as session:
        assert session.process.pid != first


async def test_a_worker_refuses_what_it_is_not_locked_in_for(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        other = {**session.process.assignment, "user": BOB.id}
        session.process.send({"do": "assign", **other})
        message = await session.process.receive()
        assert isinstance(message, dict)
        assert message["event"] == "failed"


# -- with nothing left

WITH = [
    "CREATE TEMP TABLE left_temp AS SELECT 1 AS a",
    "CREATE TABLE memory.main.left_table AS SELECT 1 AS a",
    "CREATE TEMP VIEW left_view AS SELECT 1 AS a",
    "CREATE VIEW memory.main.left_view2 AS SELECT 1 AS a",
    "CREATE TEMP MACRO left_macro(a) AS a + 1",
    "CREATE MACRO memory.main.left_macro2(a) AS a + 1",
    "CREATE SCHEMA memory.left_schema",
    "CREATE SEQUENCE memory.main.left_sequence",
    "CREATE TYPE memory.main.left_type AS ENUM ('left')",
    "SET VARIABLE left_variable = 'left'",
    "PREPARE left_statement AS SELECT 1",
    "ATTACH ':memory:' AS left_database",
    "USE left_database",
    "BEGIN TRANSACTION",
    "CREATE TABLE left_uncommitted AS SELECT 1 AS a",
]
STATE = [
    "SELECT name, value FROM duckdb_settings() ORDER BY ALL",
    "SELECT database_name, internal, readonly FROM duckdb_databases() ORDER BY ALL",
    "SELECT database_name, schema_name FROM duckdb_schemas() ORDER BY ALL",
    "SELECT database_name, table_name FROM duckdb_tables() ORDER BY ALL",
    "SELECT database_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "SELECT database_name, count(*), count(*) FILTER (NOT internal) FROM duckdb_functions() GROUP BY ALL ORDER BY ALL",
    "SELECT database_name, sequence_name FROM duckdb_sequences() ORDER BY ALL",
    "SELECT database_name, type_name FROM duckdb_types() WHERE NOT internal ORDER BY ALL",
    "SELECT name FROM duckdb_variables() ORDER BY ALL",
    "SELECT name FROM duckdb_prepared_statements() ORDER BY ALL",
    "SELECT name FROM duckdb_secrets() ORDER BY ALL",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT current_database(), current_schema()",
    "SELECT getvariable('left_variable')",
]


async def state(session: Session) -> dict[str, str]:
    """All that a query past the translator could find out about the one before."""
    found = {text: await raw(session, text) for text in STATE}
    # Without mounts it is part of paths.
    found = {text: rows.replace(str(session.directory), "/session") for text, rows in found.items()}
    directory = "worker.session"
    return {**found, "files": repr(await python(session, f"result = sorted(os.listdir({directory}))"))}


async def test_nothing_of_a_query_is_left_for_the_next(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        new = await state(session)
        for text in WITH:
            await raw(session, text)
        changed = await state(session)
        # The probes see what there is: all but secrets and files that the engine spills.
        assert {text for text in STATE if new[text] == changed[text]} <= {STATE[0], STATE[-4], STATE[-3]}
        code = "os.makedirs(f'{worker.session}/left/deep'); open(f'{worker.session}/left/file', 'w').write('left')"
        await python(session, code)
        await collect(session, query("SELECT 1 AS a", output={"spool": True}))
        assert list(session.directory.iterdir())
        first = session.process
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        assert session.process is first
        assert await state(session) == new


async def test_scripts_find_nothing_of_others(pool: Bench) -> None:
    first = await process_of(pool, "DECLARE @n INT = 3; SELECT 1 AS a INTO #mine; SELECT a FROM #mine WHERE a < @n")
    for text in ("SELECT a FROM #mine", "SELECT @n AS n"):
        async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
            assert session.process.pid == first
            with pytest.raises(QueryError):
                await collect(session, query(text))
        first = await process_of(pool)
    assert await process_of(pool, "SELECT 2 AS a INTO #mine; SELECT a FROM #mine") == first


async def test_what_was_spilled_is_gone(pool: Bench) -> None:
    small = 60_000_000
    text = "SELECT count(*) AS n FROM (SELECT DISTINCT id, h FROM Sky.Huge) q"
    first = await process_of(pool, text, memory=small)
    async with pool.workers.session(ALICE, replace(LIMITS, memory=small), pool.contexts) as session:
        assert session.process.pid == first
        assert not list(session.directory.iterdir())
        assert await raw(session, "SELECT * FROM duckdb_temporary_files()") == "[]"
        assert (await collect(session, query(text))).rows == [[2_000_000]]


async def test_a_kept_worker_has_no_file_open(pool: Bench) -> None:
    first = await process_of(
        pool, "SELECT 1 AS a INTO MyDB.closed; SELECT * FROM closed; SELECT TOP 1 * FROM Sky.Stars"
    )
    await settled(pool)
    for link in Path(f"/proc/{first}/fd").iterdir():
        assert not str(link.readlink()).endswith((".duckdb", ".wal", ".arrow", ".tmp"))
    assert not pool.workers.locks._files
    with duckdb.connect(str(pool.workers.files.file(ALICE, "MyDB"))) as connection:
        connection.execute("INSERT INTO closed VALUES (2)")
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        assert session.process.pid == first
        # What others have done meanwhile is seen.
        assert (await collect(session, query("SELECT count(*) AS n FROM closed"))).rows == [[2]]
    with duckdb.connect(str(pool.workers.files.file(ALICE, "MyDB"))) as connection:
        connection.execute("CREATE OR REPLACE TABLE closed AS SELECT 'x' AS b")
    assert await pool.rows("SELECT b FROM closed; DROP TABLE closed") == [["x"]]


# -- not after anything that leaves doubts


@pytest.mark.parametrize(
    "code",
    [
        "worker.leak = open(f'{worker.session}/leak', 'w')",
        "worker.leak = worker.engine._connection.cursor(); os.open(f'{worker.session}/x', os.O_CREAT | os.O_RDWR)",
        "worker.leak = bytearray(600_000_000)",
        "worker.engine.renew = None",
    ],
    ids=["open file", "open file beside the engine", "memory", "no new database"],
)
async def test_a_worker_that_has_something_left_ends(pool: Bench, code: str) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        await python(session, code)
        process = session.process
    await asyncio.wait_for(process.ended, 10)
    assert await process_of(pool) != process.pid
    await emptied(pool)


async def test_a_worker_that_has_used_up_its_processor_time_ends(pool: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await process_of(pool)
    await settled(pool)
    # The kernel has its limit, in which half a margin of so long is not left.
    monkeypatch.setattr(sandbox, "SECONDS", 1000)
    assert await process_of(pool) == first
    assert await process_of(pool) != first


async def test_a_worker_that_does_not_answer_is_not_waited_for(pool: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casjobs_service.worker.resting.PATIENCE", 0.2)
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        await python(session, "import time; worker._rest = lambda: time.sleep(100)")
        first = session.process
    assert await process_of(pool) != first.pid
    await asyncio.wait_for(first.ended, 10)


@pytest.mark.parametrize("text", ["SELECT 1/0 AS a", "SELECT nothing", "SELECT (1", "SELECT a FROM MyDB.nothing"])
async def test_not_after_an_error(pool: Bench, text: str) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        with pytest.raises(QueryError):
            await collect(session, query(text))
        # Nor if something went well afterwards.
        await collect(session, query("SELECT 1 AS a"))
        process = session.process
    await asyncio.wait_for(process.ended, 10)


async def test_not_after_memory_ran_out(pool: Bench) -> None:
    text = "SELECT count(*) AS n FROM (SELECT DISTINCT id, h FROM Sky.Huge) q"
    async with pool.workers.session(
        ALICE, replace(LIMITS, memory=40_000_000, temp=10_000_000), pool.contexts
    ) as session:
        with pytest.raises(QueryError):
            await collect(session, query(text))
        process = session.process
    await asyncio.wait_for(process.ended, 10)


@pytest.mark.parametrize("how", ["cancel", "time", "left", "kill", "renice"])
async def test_not_after_an_end_from_outside(pool: Bench, how: str) -> None:
    limits = replace(LIMITS, seconds=0.5) if how == "time" else LIMITS
    async with pool.workers.session(ALICE, limits, pool.contexts) as session:
        process = session.process
        if how == "renice":
            session.renice(5)
            await collect(session, query("SELECT 1 AS a"))
        else:
            task = asyncio.ensure_future(collect(session, query(ENDLESS)))
            await eventually(lambda: psutil.Process(process.pid).cpu_times().user > 0.3 or task.done(), "it runs")
            if how == "cancel":
                await session.cancel(Kind.CANCELLED, "Enough.")
            elif how == "kill":
                os.kill(process.pid, signal.SIGKILL)
            elif how == "left":
                task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() or task.exception() is not None
    await asyncio.wait_for(process.ended, 10)
    await emptied(pool)


async def test_not_when_a_result_was_not_read_to_its_end(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        process = session.process
        async with closing(session.run(query("SELECT id, h FROM Sky.Huge", output={"format": "arrow"}))) as events:
            async for event in events:
                if isinstance(event, bytes):
                    break
    await asyncio.wait_for(process.ended, 10)


# -- and for how long


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_kept_worker_that_is_killed_is_noticed(pool: Bench, at_once: bool) -> None:
    first = await process_of(pool)
    await settled(pool)
    os.kill(first, signal.SIGKILL)
    if not at_once:
        await eventually(lambda: pool.workers.state()["kept"] == 0, "it is not kept any more")
        await emptied(pool)
    assert await process_of(pool) != first


async def test_it_stays_for_so_long_and_serves_so_many(tmp_path: Path) -> None:
    context = make_context(tmp_path, "Sky")
    async with bench(tmp_path, [context], keep_seconds=0.3, keep_sessions=2) as pool:
        async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
            await collect(session, query("SELECT 1 AS a"))
        await asyncio.wait_for(session.process.ended, 10)
        await emptied(pool)
        pool.workers.keep_seconds = 120.0
        pids = [await process_of(pool) for _ in range(4)]
        assert pids[0] == pids[1] != pids[2] == pids[3]


async def test_the_oldest_goes_when_there_are_many(tmp_path: Path) -> None:
    async with bench(tmp_path, [make_context(tmp_path, "Sky")], keep=2, keep_seconds=120.0) as pool:
        users = [UserSpace(number, f"user{number}") for number in range(31, 34)]
        pids = [await process_of(pool, user=user) for user in users]
        assert pool.workers.state()["kept"] == 2
        assert [await process_of(pool, user=user) == pid for user, pid in zip(users[1:], pids[1:], strict=True)] == [
            True,
            True,
        ]
        assert await process_of(pool, user=users[0]) != pids[0]
    async with bench(tmp_path, pool.contexts, keep=0) as pool:
        assert await process_of(pool) != await process_of(pool)
        assert pool.workers.state()["kept"] == 0


async def test_nobody_waits_because_of_it(tmp_path: Path) -> None:
    """It has a place among all that may run, and leaves it to who needs one."""
    async with bench(tmp_path, [make_context(tmp_path, "Sky")], max_workers=2, keep_seconds=120.0) as pool:
        first = await process_of(pool)
        assert pool.workers.state()["kept"] == 1
        async with (
            pool.workers.session(BOB, LIMITS, pool.contexts) as one,
            asyncio.timeout(20),
            pool.workers.session(BOB, LIMITS, pool.contexts) as two,
        ):
            assert pool.workers.state()["kept"] == 0
            assert first not in (one.process.pid, two.process.pid)
            assert len(list((tmp_path / "sessions").iterdir())) <= 2 + 1  # one may be on its way out


async def test_giving_up_at_any_moment_loses_no_place(pool: Bench) -> None:
    for number in range(30):
        task = asyncio.ensure_future(process_of(pool))
        await asyncio.sleep(number * 0.002)
        task.cancel()
        await asyncio.wait({task})
        if number % 3 == 0:
            await process_of(pool)
    await emptied(pool)


async def test_with_the_service_they_end(tmp_path: Path) -> None:
    async with bench(tmp_path, [make_context(tmp_path, "Sky")], keep_seconds=120.0) as pool:
        first = psutil.Process(await process_of(pool))
        # Also one that is just getting ready.
        second = psutil.Process(await process_of(pool, user=BOB))
    _, alive = await asyncio.to_thread(psutil.wait_procs, [first, second], 10)
    assert not alive
    assert not list((tmp_path / "sessions").iterdir())


async def test_with_the_forking_process_they_end(pool: Bench) -> None:
    first = await process_of(pool)
    assert pool.workers._forkserver is not None
    os.kill(pool.workers._forkserver.pid, signal.SIGKILL)
    assert await process_of(pool) != first
    await eventually(lambda: not psutil.pid_exists(first), "it has ended")
