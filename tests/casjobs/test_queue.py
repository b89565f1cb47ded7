"""The long queue with real workers."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from casjobs_service.errors import Kind, QueryError
from casjobs_service.models import Job, JobKind, Status, User, now
from casjobs_service.results import open_spool
from casjobs_service.store import Store
from tests.casjobs.engines_support import PostgreSQL
from tests.casjobs.queue_support import (
    RUNAWAY,
    SECONDS,
    Service,
    ServiceProcess,
    eventually,
    is_dead,
    large,
    service,
    worker_of,
)


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with service(tmp_path_factory.mktemp("queue")) as running:
        yield running


@pytest.fixture
async def parts(shared: Service) -> AsyncIterator[Service]:
    """A service with nothing in its queue."""
    before = dict(shared.scheduler.trait_values())
    yield shared
    for user in await shared.store.users():
        for job in await shared.store.jobs(user.id, status=[Status.READY, Status.STARTED, Status.CANCELING]):
            await shared.scheduler.cancel(job.id)
            await shared.ended(job)
    for name in ("running", "per_user", "attempts", "result_days", "queues", "waiting_per_user"):
        setattr(shared.scheduler, name, before[name])


_users = iter(range(10**6))


async def somebody(parts: Service) -> User:
    return await parts.store.user(f"user{next(_users)}")


def started(job: Job) -> bool:
    return job.status == Status.STARTED


async def test_a_job_runs_and_its_results_are_kept(parts: Service) -> None:
    user = await somebody(parts)
    job = await parts.ended(await parts.submit(user, "select 1 as a; select 2 as b, 'x' as c", task_name="two"))
    assert (job.status, job.rows, job.attempts, job.message) == (Status.FINISHED, 2, 1, "Query Complete")
    assert [(result["index"], result["rows"]) for result in job.results] == [(1, 1), (2, 1)]
    assert [column["name"] for column in job.results[1]["columns"]] == ["b", "c"]
    assert len(job.translated) == job.statements == 2
    schema, batches, _ = open_spool(parts.directory / "results" / job.results[1]["file"])
    assert schema.names == ["b", "c"]
    assert [row for batch in batches for row in batch.to_pylist()] == [{"b": 2, "c": "x"}]


async def test_kept_results_are_lent_to_a_session_that_cannot_change_them(parts: Service, tmp_path: Path) -> None:
    job = await parts.ended(await parts.submit(await somebody(parts), "select 42 as answer"))
    session = parts.directory / "lent"
    session.mkdir()
    [name] = parts.scheduler.kept.lend(job.results, session)
    assert (session / name).stat().st_mode & 0o222 == 0
    parts.scheduler.kept.remove([job.results[0]["file"].partition("/")[0]])
    _, batches, _ = open_spool(session / name)
    assert [batch.to_pylist() for batch in batches] == [[{"answer": 42}]]


async def test_a_link_that_a_worker_left_is_not_taken_for_a_result(parts: Service, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for users")
    for make in (Path.symlink_to, Path.hardlink_to):
        make(tmp_path / "result-1.arrow", secret)
        with pytest.raises(QueryError, match="could not be kept"):
            parts.scheduler.kept.take(7, tmp_path, [{"index": 1}])
    assert not [home for home, job in parts.scheduler.kept.homes().items() if job == 7]
    assert secret.read_text() == "not for users"


async def test_a_job_that_fails_says_where_and_why(parts: Service) -> None:
    job = await parts.ended(await parts.submit(await somebody(parts), "select cast('x' as int) as n"))
    assert (job.status, job.rows, job.results) == (Status.FAILED, 0, [])
    assert job.failure is not None
    assert job.failure.kind == Kind.DATA
    assert job.failure.message in job.message


async def test_a_waiting_job_has_a_place_and_a_reason_and_is_cancelled_at_once(parts: Service) -> None:
    ada, bob = await somebody(parts), await somebody(parts)
    parts.scheduler.running = 1
    first = await parts.until(await parts.submit(ada, RUNAWAY), started)
    second, third = await parts.submit(ada, "select 1 as x"), await parts.submit(bob, "select 1 as x")
    assert await parts.scheduler.waiting(first) == {}
    assert await parts.scheduler.waiting(third) == {"Position": 1, "Reason": "It is the next to start."}
    assert (await parts.scheduler.waiting(second))["Position"] == 2
    assert "You have 1 running" in (await parts.scheduler.waiting(second))["Reason"]
    fourth = await parts.submit(await somebody(parts), "select 1 as x")
    assert await parts.scheduler.waiting(fourth) == {"Position": 2, "Reason": "One starts before it."}
    state = await parts.scheduler.state()
    assert (state["Waiting"], state["Running"], state["Users"]) == (3, 1, 3)
    for waiting in (second, third, fourth):
        cancelled = await parts.scheduler.cancel(waiting.id)
        assert cancelled is not None
        assert cancelled.status == Status.CANCELED


async def test_a_running_job_is_cancelled_and_its_worker_is_gone(parts: Service) -> None:
    job = await parts.until(await parts.submit(await somebody(parts), RUNAWAY), started)
    pid = await worker_of(parts, job)
    cancelled = await parts.scheduler.cancel(job.id)
    assert cancelled is not None
    assert cancelled.status == Status.CANCELING
    job = await parts.ended(cancelled)
    assert (job.status, job.message) == (Status.CANCELED, "The query was cancelled.")
    assert job.time_end is not None
    await eventually(lambda: is_dead(pid))
    again = await parts.scheduler.cancel(job.id)
    assert again is not None
    assert (again.status, again.time_end) == (Status.CANCELED, job.time_end)


async def test_a_job_is_cancelled_while_it_waits_for_a_worker(parts: Service) -> None:
    # As soon as it was started nothing is certain: neither the session nor its worker need be there.
    for _ in range(5):
        job = await parts.until(await parts.submit(await somebody(parts), RUNAWAY), started)
        await parts.scheduler.cancel(job.id)
        assert (await parts.ended(job)).status == Status.CANCELED
    assert (await parts.ended(await parts.submit(await somebody(parts), "select 1 as x"))).status == Status.FINISHED


async def test_a_job_makes_tables_and_names_them(parts: Service) -> None:
    user = await somebody(parts)
    job = await parts.ended(await parts.submit(user, "select 1 as a, 'x' as b into MyDB.first"))
    assert (job.status, job.rows, job.created_table, job.results) == (Status.FINISHED, 1, "MyDB.first", [])
    # What older clients ask for with CreateTable and TableName.
    job = await parts.ended(await parts.submit(user, "select a + 1 as a from MyDB.first", into="second"))
    assert (job.status, job.created_table, job.results) == (Status.FINISHED, "MyDB.second", [])
    assert (await parts.ask(user, "select a from MyDB.second"))[0] == b"a\n2\n"
    job = await parts.ended(await parts.submit(user, "select 1 as a into MyDB.first"))
    assert (job.status, job.created_table) == (Status.FAILED, "")


async def test_a_job_without_the_right_to_write_writes_nothing(parts: Service) -> None:
    user = await somebody(parts)
    job = await parts.ended(await parts.submit(user, "select 1 as a into MyDB.t", may_write=False))
    assert job.failure is not None
    assert job.failure.kind == Kind.FORBIDDEN


async def test_old_tables_in_scratch_are_purged(parts: Service) -> None:
    user = await somebody(parts)
    await parts.ended(await parts.submit(user, "select 1 as a into MyScratch.t; select 2 as a into MyDB.t"))
    await parts.scheduler.purge_scratch()
    assert (await parts.ask(user, "select a from MyScratch.t"))[0] == b"a\n1\n"
    days = parts.scheduler.scratch_days
    parts.scheduler.scratch_days = 0.0
    try:
        await parts.scheduler.purge_scratch()
    finally:
        parts.scheduler.scratch_days = days
    with pytest.raises(QueryError) as raised:
        await parts.ask(user, "select a from MyScratch.t")
    assert raised.value.kind == Kind.NAME
    assert (await parts.ask(user, "select a from MyDB.t"))[0] == b"a\n2\n"


async def test_users_take_turns(parts: Service) -> None:
    ada, bob = await somebody(parts), await somebody(parts)
    parts.scheduler.running = 1
    blocker = await parts.until(await parts.submit(await somebody(parts), RUNAWAY), started)
    jobs = [await parts.submit(user, "select 1 as x") for user in (ada, ada, ada, bob, bob)]
    await parts.scheduler.cancel(blocker.id)
    ended = [await parts.ended(job) for job in jobs]
    order = sorted(ended, key=lambda job: job.time_start or now())
    assert [job.id for job in order] == [jobs[number].id for number in (0, 3, 1, 4, 2)]


async def test_the_estimate_chooses_the_queue(parts: Service) -> None:
    parts.scheduler.queues = {"short": 10, "long": 480, "huge": 3000}
    limits = [parts.scheduler.time_limit(minutes) / 60 for minutes in (0, 1, 10, 11, 480, 9999)]
    assert limits == [3000, 10, 10, 480, 480, 3000]
    assert parts.scheduler.time_limit(9999, longest=90) == 90


async def test_nobody_fills_the_queue(parts: Service) -> None:
    user = await somebody(parts)
    blocker = await parts.until(await parts.submit(user, RUNAWAY), started)
    parts.scheduler.waiting_per_user = 2
    for _ in range(2):
        await parts.submit(user, "select 1 as x")
    with pytest.raises(QueryError, match="2 jobs of yours wait") as raised:
        await parts.submit(user, "select 1 as x")
    assert raised.value.kind == Kind.LIMIT
    await parts.submit(await somebody(parts), "select 1 as x")
    await parts.scheduler.cancel(blocker.id)


async def test_the_time_of_a_queue_ends_a_job(parts: Service) -> None:
    parts.scheduler.queues = {"short": 0.005}
    job = await parts.ended(await parts.submit(await somebody(parts), RUNAWAY))
    assert job.status == Status.FAILED
    assert job.failure is not None
    assert job.failure.kind == Kind.TIMEOUT
    assert "0.005 minutes" in job.message


async def test_waiting_ends_with_each_change_and_with_the_time(parts: Service) -> None:
    parts.scheduler.running = 1
    blocker = await parts.until(await parts.submit(await somebody(parts), RUNAWAY), started)
    job = await parts.submit(await somebody(parts), RUNAWAY)
    assert (await parts.scheduler.wait(job, 0.1)).status == Status.READY
    waiters = [asyncio.create_task(parts.scheduler.wait(job, 60)) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert not any(waiter.done() for waiter in waiters)
    await parts.scheduler.cancel(blocker.id)
    for waiter in waiters:
        assert (await waiter).status == Status.STARTED
    waiters = [asyncio.create_task(parts.scheduler.wait(await waiters[0], 60)) for _ in range(3)]
    await asyncio.sleep(0.1)
    await parts.scheduler.cancel(job.id)
    assert {(await waiter).status for waiter in waiters} <= {Status.CANCELING, Status.CANCELED}
    assert (await parts.scheduler.wait(await parts.ended(job), 60)).status == Status.CANCELED  # at once


async def test_a_job_is_submitted_again_with_todays_rights(parts: Service) -> None:
    user = await somebody(parts)
    job = await parts.ended(await parts.submit(user, "select 1 as x", groups=["old"], into="", task_name="again"))
    again = await parts.scheduler.resubmit(job, user, groups=["new"], may_write=False)
    again = await parts.ended(again)
    assert again.id != job.id
    assert again.key != job.key
    assert (again.query, again.task_name, again.groups, again.may_write) == (job.query, "again", ["new"], False)
    assert again.status == Status.FINISHED


async def test_progress_is_recorded_while_a_job_runs(parts: Service) -> None:
    job = await parts.submit(await somebody(parts), "select 1 as x; " + RUNAWAY)
    job = await parts.until(job, lambda job: job.rows == 1)
    assert (job.status, job.statements, len(job.translated)) == (Status.STARTED, 2, 2)


# -- death


async def test_a_job_whose_worker_was_killed_runs_once_more(parts: Service) -> None:
    job = await parts.until(await parts.submit(await somebody(parts), SECONDS), started)
    os.kill(await worker_of(parts, job), signal.SIGKILL)
    job = await parts.until(job, lambda job: job.attempts == 2)
    job = await parts.ended(job)
    assert (job.status, job.rows, job.attempts) == (Status.FINISHED, 1, 2)


async def test_a_job_that_kills_its_workers_fails_after_the_second(parts: Service) -> None:
    job = await parts.submit(await somebody(parts), RUNAWAY)
    for attempt in (1, 2):
        job = await parts.until(job, lambda job, attempt=attempt: started(job) and job.attempts == attempt)
        os.kill(await worker_of(parts, job), signal.SIGKILL)
    job = await parts.ended(job)
    assert (job.status, job.attempts) == (Status.FAILED, 2)
    assert "failed 2 times" in job.message


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServiceProcess]:
    process = ServiceProcess(tmp_path / "service", f"sqlite:///{tmp_path}/casjobs.sqlite")
    yield process
    process.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """The database of `process`."""
    store = Store(f"sqlite:///{tmp_path}/casjobs.sqlite")
    yield store
    store.close()


async def queued(store: Store, query: str, user: str = "ada", **fields: Any) -> Job:
    user_id = (await store.user(user)).id
    return await store.add(user_id, kind=JobKind.LONG, query=query, context="MyDB", seconds=600.0, **fields)


async def reached(store: Store, job: Job, status: Status, attempts: int = 1) -> Job:
    async def found() -> Job | None:
        now_ = await store.job(job.id)
        assert now_ is not None
        return now_ if now_.status == status and now_.attempts >= attempts else None

    found_: Job = await eventually(found, 60)
    return found_


async def test_a_killed_service_runs_its_jobs_again_writes_nothing_twice_and_a_stopped_one_gives_them_back(
    process: ServiceProcess, store: Store
) -> None:
    numbers = await queued(store, "select 7 as n into MyDB.numbers")
    # Three times some seconds: also on a fast machine it is in the middle of them when it is killed.
    middle = [SECONDS] * 3
    script = ["insert into MyDB.numbers select n + 1 from MyDB.numbers", *middle, "select * from MyDB.numbers"]
    job, other = await queued(store, "; ".join(script)), await queued(store, RUNAWAY, "bob")
    process.start()
    await reached(store, numbers, Status.FINISHED)

    async def has_written() -> bool:
        found = await store.job(job.id)
        return found is not None and found.statement in {2, 3}

    await eventually(has_written)
    process.kill()
    assert (await reached(store, other, Status.STARTED)).attempts == 1  # nobody has noticed yet
    process.start()
    await reached(store, other, Status.STARTED, attempts=2)
    job = await reached(store, job, Status.FINISHED)
    assert (job.attempts, [result["rows"] for result in job.results]) == (2, [1, 1, 1, 2])
    process.kill(signal.SIGTERM)
    assert (await reached(store, other, Status.READY)).attempts == 1  # to be stopped is no attempt
    process.start()
    await reached(store, other, Status.STARTED, attempts=2)
    process.kill()
    process.start()
    other = await reached(store, other, Status.FAILED)
    assert "ended 2 times" in other.message


async def test_a_full_disk_is_a_clear_error_and_the_service_goes_on(tmp_path: Path, store: Store) -> None:
    process = ServiceProcess(tmp_path / "service", f"sqlite:///{tmp_path}/casjobs.sqlite", disk=8_000_000)
    jobs = [await queued(store, query) for query in (large(), large() + "; select 1 as x")]
    process.start()

    async def works_again() -> bool:
        job: Job | None = await queued(store, "select 1 as x")
        while job is not None and not job.ended:
            await asyncio.sleep(0.1)
            job = await store.job(job.id)
        return job is not None and job.status == Status.FINISHED

    try:
        for job in jobs:
            failed = await reached(store, job, Status.FAILED)
            assert failed.failure is not None
            assert (failed.failure.kind, failed.attempts, failed.results) == (Kind.UNAVAILABLE, 1, [])
            assert "disk is full" in failed.message
            assert str(tmp_path) not in failed.message
        # What the one before has left is removed a moment after its end; a job that starts at once finds no room.
        await eventually(works_again)
    finally:
        process.close()


async def test_two_services_share_a_database_and_no_job_runs_twice(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.empty_database()
    traits: dict[str, Any] = {"scheduler": {"running": 2, "per_user": 2}, "workers": {"warm": 1}}
    async with service(tmp_path / "a", url, **traits) as first, service(tmp_path / "b", url, **traits) as second:
        users = [await first.store.user(name) for name in ("ada", "bob", "cyd")]
        jobs = [await first.submit(users[number % 3], f"select {number} as x") for number in range(18)]
        ended = [await first.ended(job) for job in jobs]
        assert {job.status for job in ended} == {Status.FINISHED}
        assert {job.attempts for job in ended} == {1}
        by_owner = {job.owner for job in ended}
        assert by_owner == {first.scheduler.owner, second.scheduler.owner}
        # Cancelled at the one, it ends at the other.
        jobs = [await first.submit(user, RUNAWAY) for user in users]
        jobs = [await first.until(job, started) for job in jobs]
        for number, job in enumerate(jobs):
            await (first, second)[number % 2].scheduler.cancel(job.id)
        assert {(await second.ended(job)).status for job in jobs} == {Status.CANCELED}


async def test_a_database_that_dies_during_a_job_loses_nothing(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.empty_database()
    async with service(tmp_path / "a", url, scheduler={"lease_seconds": 3.0}) as parts:
        user = await parts.store.user("ada")
        job = await parts.until(await parts.submit(user, SECONDS), started)
        waiting = await parts.submit(user, "select 1 as x")
        postgresql.kill()
        pid = await worker_of(parts, job)
        await eventually(lambda: is_dead(pid))  # it has done its work, and its end cannot be recorded
        postgresql.start()
        job = await parts.ended(job)
        assert (job.status, job.attempts, job.rows, len(job.results)) == (Status.FINISHED, 1, 1, 1)
        assert (await parts.ended(waiting)).status == Status.FINISHED


# -- what is too old


async def test_results_go_after_their_time_and_the_history_stays(parts: Service) -> None:
    user = await somebody(parts)
    kept = await parts.ended(await parts.submit(user, "select 1 as x"))
    parts.scheduler.result_days = 0.0
    old = await parts.ended(await parts.submit(user, "select 2 as x"))
    orphan = parts.directory / "results" / f"{old.id}-left"
    stranger = parts.directory / "results" / "999999-left"
    for left in (orphan, stranger):
        left.mkdir()
    await parts.scheduler.remove_old_results()
    assert not orphan.exists()
    assert not stranger.exists()
    homes = parts.scheduler.kept.homes().values()
    assert old.id not in homes
    assert kept.id in homes
    found = await parts.store.job(old.id)
    assert found is not None
    assert (found.status, found.results, found.rows) == (Status.FINISHED, [], 1)
    assert kept.results_until is not None
    assert kept.results_until - now() > datetime.timedelta(days=6)
