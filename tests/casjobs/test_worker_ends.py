# ruff: noqa: S608 - SQL of constants
"""However a worker, the process that forks them, or the service ends: nothing stays, nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from casjobs_service.errors import Kind, QueryError
from casjobs_service.worker.session import Session, WorkerLost
from tests.casjobs.worker_support import ALICE, BOB, LIMITS, Bench, bench, collect, eventually, make_context, query

ENDLESS = "SELECT count(*) AS n FROM Sky.Huge a JOIN Sky.Huge b ON a.h % 100 = b.h % 101"


@pytest.fixture(scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    directory = tmp_path_factory.mktemp("casjobs")
    async with bench(directory, [make_context(directory, "Sky")], client_seconds=1.5) as made:
        yield made


def left_over(pool: Bench) -> list[Any]:
    """Sessions' directories and locks."""
    return [*(pool.directory / "sessions").iterdir(), *pool.workers.locks._files]


def has_ended(process: psutil.Process) -> bool:
    """Also a process that nobody has waited for yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def running(session: Session, request: dict[str, Any]) -> asyncio.Task[Any]:
    """The task of a request of which the worker is busy."""
    task = asyncio.ensure_future(collect(session, request))
    await eventually(lambda: psutil.Process(session.process.pid).cpu_times().user > 0.3, "the worker is busy")
    return task


async def failure(task: asyncio.Task[Any]) -> QueryError:
    with pytest.raises(QueryError) as caught:
        await task
    return caught.value


async def test_a_cancelled_query_ends_with_its_reason(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        task = await running(session, query(ENDLESS))
        await session.cancel(Kind.CANCELLED, "Stopped by you.")
        error = await failure(task)
        assert (error.kind, error.message) == (Kind.CANCELLED, "Stopped by you.")
        assert (await failure(asyncio.ensure_future(collect(session, query("SELECT 1 AS a"))))).kind is Kind.CANCELLED
    await eventually(lambda: not left_over(pool), "the session is swept")


async def test_what_does_not_listen_is_killed(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        # A regular expression holds the interpreter: no other thread of the worker runs.
        code = "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')"
        task = await running(session, {"do": "python", "code": code})
        process = psutil.Process(session.process.pid)
        await session.cancel(Kind.CANCELLED, "Stopped by you.")
        assert (await failure(task)).message == "Stopped by you."
        await eventually(lambda: has_ended(process), "the worker is gone")


async def test_time_is_up(pool: Bench) -> None:
    error = await pool.failure(ENDLESS, limits=replace(LIMITS, seconds=1.0))
    assert error.kind is Kind.TIMEOUT
    assert "1 seconds" in error.message


async def test_the_clock_stands_while_the_client_is_slow(pool: Bench) -> None:
    async with pool.workers.session(ALICE, replace(LIMITS, seconds=20.0), pool.contexts) as session:
        before = session._left
        events = session.run(query("SELECT id, h FROM Sky.Huge", output={"format": "arrow"}))
        async for event in events:
            if isinstance(event, bytes):
                break
        left = session._left
        began = time.monotonic()
        await asyncio.sleep(1)
        await anext(events)
        # What the worker has needed for the next rows, on a busy machine, does count.
        assert left - session._left < time.monotonic() - began - 0.9
        assert session._left < before
        await events.aclose()


async def test_a_client_that_takes_nothing_loses_its_result(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        events = session.run(query("SELECT id, h FROM Sky.Huge", output={"format": "arrow"}))
        async for event in events:
            if isinstance(event, bytes):
                break
        await asyncio.wait_for(session.process.ended, 20)
        with pytest.raises(QueryError) as caught:
            async for _ in events:
                pass
        assert caught.value.kind is Kind.CANCELLED


async def test_a_session_that_is_left_ends_its_worker(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        task = await running(session, query(ENDLESS))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        process = session.process
    await asyncio.wait_for(process.ended, 10)
    await eventually(lambda: not left_over(pool), "the session is swept")


async def test_a_killed_worker_is_an_error_and_leaves_nothing(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        task = await running(session, query(ENDLESS))
        os.kill(session.process.pid, signal.SIGKILL)
        assert isinstance(await failure(task), WorkerLost)
    await eventually(lambda: not left_over(pool), "the session is swept")


async def test_a_crashed_worker_is_an_error(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        task = asyncio.ensure_future(collect(session, {"do": "python", "code": "import ctypes; ctypes.string_at(0)"}))
        assert isinstance(await failure(task), WorkerLost)


async def test_killed_idle_workers_are_replaced(pool: Bench) -> None:
    await eventually(lambda: pool.workers.state()["warm"] == 2, "two are ready")
    old = {worker.pid for worker in pool.workers._idle}
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    # Also at once, while nobody knows yet.
    assert await pool.rows("SELECT 1 AS a") == [[1]]
    await eventually(lambda: pool.workers.state()["warm"] == 2, "two are ready again")
    assert not old & {worker.pid for worker in pool.workers._idle}


async def test_with_the_forking_process_its_workers_end_and_a_new_one_begins(pool: Bench) -> None:
    async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
        task = await running(session, query(ENDLESS))
        server = pool.workers._forkserver
        assert server is not None
        family = psutil.Process(server.pid).children(recursive=True)
        assert len(family) >= 1
        os.kill(server.pid, signal.SIGKILL)
        assert isinstance(await failure(task), WorkerLost)
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 30)
    assert not alive
    assert await pool.rows("SELECT 1 AS a") == [[1]]
    await eventually(lambda: not left_over(pool), "the session is swept")


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3])
async def test_killed_while_it_writes_a_job_is_done_once_when_it_runs_again(pool: Bench, moment: float) -> None:
    """Whatever was finished is kept, whatever was not is done by the second run, nothing is done by both."""
    job = int(moment * 1000) + 1
    script = (
        f"SELECT TOP 200000 id, h INTO MyDB.first{job} FROM Sky.Huge; "
        f"SELECT count(*) AS n INTO #t FROM MyDB.first{job}; "
        f"INSERT INTO MyDB.first{job} SELECT n, 0 FROM #t; "
        f"SELECT TOP 300000 id, h INTO MyDB.second{job} FROM Sky.Huge; "
        f"DROP TABLE MyDB.first{job}; SELECT count(*) AS n FROM MyDB.second{job}"
    )
    roomy = replace(LIMITS, quota=200_000_000)
    async with pool.workers.session(BOB, roomy, pool.contexts) as session:
        task = asyncio.ensure_future(collect(session, query(script, job=job)))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.1 + moment)
        os.kill(session.process.pid, signal.SIGKILL)
        with contextlib.suppress(QueryError):
            await task
    again = await pool.query(script, BOB, roomy, job=job)
    assert again.rows == [[300_000]]
    first, _, third, fourth = [event["rows"] for event in again.named("statement")][:4]
    assert (first, third, fourth) == (200_000, 1, 300_000)
    tables = {table["name"] for table in (await catalog(pool))["tables"]}
    assert f"second{job}" in tables
    assert f"first{job}" not in tables
    # And a third time: nothing changes.
    assert (await pool.query(script, BOB, roomy, job=job)).rows == [[300_000]]


@pytest.mark.parametrize("rest", ["SELECT n FROM #t", "INSERT INTO MyDB.kept{0} SELECT n FROM #t"])
async def test_what_cannot_be_repeated_exactly_is_refused(pool: Bench, rest: str) -> None:
    """The temporary table was made of a table that the job has changed since: its second making would differ."""
    job = 9000 + len(rest)
    script = (
        f"SELECT 1 AS n INTO MyDB.kept{job}; SELECT count(*) AS n INTO #t FROM MyDB.kept{job}; "
        f"INSERT INTO MyDB.kept{job} SELECT n FROM #t; SELECT count(*) AS n FROM Sky.Huge a JOIN Sky.Huge b "
        "ON a.h % 100 = b.h % 101; " + rest.format(job)
    )
    async with pool.workers.session(BOB, LIMITS, pool.contexts) as session:
        events = session.run(query(script, job=job))
        async for event in events:
            if isinstance(event, dict) and event.get("index") == 2 and event["event"] == "statement":
                break
        os.kill(session.process.pid, signal.SIGKILL)
        await events.aclose()
    error = await pool.failure(script, BOB, job=job)
    assert (error.kind, "restarted" in error.message) == (Kind.INTERNAL, True)
    assert await pool.rows(f"SELECT count(*) FROM MyDB.kept{job}", BOB) == [[2]]


async def catalog(pool: Bench) -> dict[str, Any]:
    answer = await pool.do({"do": "catalog", "database": "MyDB"}, BOB)
    found: dict[str, Any] = answer.event("done")["catalog"]
    return found


SERVICE = """
import asyncio, sys
from pathlib import Path
from tests.casjobs.worker_support import ALICE, LIMITS, bench, collect, make_context, query
from casjobs_service.contexts import ContextSource

async def main():
    home = Path(sys.argv[1])
    context = ContextSource("Sky", "duckdb", home / "contexts/Sky", home / "contexts/Sky/data-1.duckdb",
                            home / "contexts/Sky/catalog-1.json")
    async with bench(home, [context]) as pool:
        async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
            print(pool.workers._forkserver.pid, session.process.pid, flush=True)
            await collect(session, query(sys.argv[2]))

asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_with_the_service_everything_ends_and_the_next_one_sweeps(tmp_path: Path, end: signal.Signals) -> None:
    context = make_context(tmp_path, "Sky")
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(tmp_path), ENDLESS], stdout=subprocess.PIPE)
    assert service.stdout is not None
    numbers = (await asyncio.to_thread(service.stdout.readline)).split()
    family = psutil.Process(service.pid).children(recursive=True)
    assert {int(number) for number in numbers} <= {process.pid for process in family}
    await eventually(lambda: psutil.Process(int(numbers[1])).cpu_times().user > 0.2, "the query runs")
    assert list((tmp_path / "sessions").iterdir())
    service.send_signal(end)
    await asyncio.to_thread(service.wait, 20)
    service.stdout.close()
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 30)
    assert not alive
    async with bench(tmp_path, [context]) as pool:
        assert not left_over(pool)
        assert await pool.rows("SELECT 1 AS a") == [[1]]


async def test_two_services_do_not_share_a_directory(pool: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casjobs_service.worker.pool.CLAIM_SECONDS", 0.3)
    with pytest.raises(RuntimeError, match="Another CasJobs service"):
        async with bench(pool.directory):
            pass


async def test_sessions_wait_their_turn(tmp_path: Path) -> None:
    async with bench(tmp_path, [make_context(tmp_path, "Sky")], max_workers=2, warm=1) as pool:
        order: list[int] = []

        async def one(number: int) -> None:
            async with pool.workers.session(ALICE, LIMITS, pool.contexts) as session:
                order.append(number)
                assert len(list((tmp_path / "sessions").iterdir())) <= 2 + 1  # one may be on its way out
                assert (await collect(session, query("SELECT 1 AS a"))).rows == [[1]]

        tasks = []
        for number in range(12):
            tasks.append(asyncio.ensure_future(one(number)))
            await asyncio.sleep(0)
        waiting = tasks.pop(5)
        waiting.cancel()
        await asyncio.gather(*tasks)
        assert sorted(order) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
        assert all(abs(order.index(number) - place) <= 1 for place, number in enumerate(sorted(order)))
        await eventually(lambda: not left_over(pool), "all are swept")


async def test_a_worker_that_cannot_start_is_said_and_not_waited_for(tmp_path: Path) -> None:
    async with bench(tmp_path, [make_context(tmp_path, "Sky")], warm=0) as pool:
        (tmp_path / "jail").rmdir()
        begun = time.monotonic()
        error = await pool.failure("SELECT 1 AS a")
        assert error.kind is Kind.UNAVAILABLE
        assert time.monotonic() - begun < 60
        (tmp_path / "jail").mkdir()
        assert await pool.rows("SELECT 1 AS a") == [[1]]
