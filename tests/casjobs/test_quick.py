"""Quick queries with real workers: streamed, in turn, limited, cancelled, handed over."""

from __future__ import annotations

import asyncio
import csv
import io
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from casjobs_service.errors import Kind, QueryError
from casjobs_service.models import Job, JobKind, Status, User
from casjobs_service.places import Busy, Places
from casjobs_service.results import open_spool
from tests.casjobs.queue_support import RUNAWAY, SECONDS, Service, cross_join, eventually, is_dead, service, worker_of

CSV = {"format": "csv"}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with service(
        tmp_path_factory.mktemp("quick"), quick={"running": 4, "per_user": 2, "wait_seconds": 300.0}
    ) as running:
        yield running


@pytest.fixture
async def parts(shared: Service) -> AsyncIterator[Service]:
    """A service that nobody else uses."""
    seconds, places = shared.quick.seconds, shared.quick.places
    yield shared
    shared.quick.seconds, shared.quick.places = seconds, places
    shared.scheduler.per_user = 1
    for user in await shared.store.users():
        for job in await shared.store.jobs(user.id, status=[Status.READY, Status.STARTED, Status.CANCELING]):
            await shared.scheduler.cancel(job.id)
            await shared.ended(job)


_users = iter(range(10**6))


async def somebody(parts: Service) -> User:
    return await parts.store.user(f"user{next(_users)}")


async def history(parts: Service, user: User) -> list[Job]:
    return await parts.store.jobs(user.id)


async def the_job(parts: Service, user: User, status: Status) -> Job:
    """The only job of somebody, as soon as it has a status."""

    async def found() -> Job | None:
        jobs = await history(parts, user)
        assert len(jobs) <= 1
        return jobs[0] if jobs and jobs[0].status == status else None

    job: Job = await eventually(found)
    return job


async def test_a_query_is_recorded_before_it_runs_streamed_and_recorded_when_it_has_ended(parts: Service) -> None:
    user = await somebody(parts)
    stream = parts.quick.run_quick(
        user, query="select 4 as a, 5 as b", context="MyDB", output=CSV, task_name="one", host_ip="::1", groups=["g"]
    )
    first = await anext(stream)
    [job] = await history(parts, user)
    assert (job.status, job.kind, job.attempts) == (Status.STARTED, JobKind.QUICK, 1)
    events = [first, *[event async for event in stream]]
    assert b"".join(event for event in events if isinstance(event, bytes)) == b"a,b\n4,5\n"
    assert isinstance(events[-1], dict)
    assert events[-1]["event"] == "done"
    [job] = await history(parts, user)
    assert (job.status, job.rows, job.task_name, job.host_ip, job.groups) == (Status.FINISHED, 1, "one", "::1", ["g"])
    assert (len(job.translated), job.results, job.seconds) == (1, [], parts.quick.seconds)


async def test_an_error_is_raised_and_recorded(parts: Service) -> None:
    user = await somebody(parts)
    with pytest.raises(QueryError) as raised:
        await parts.ask(user, "select cast('x' as int) as n")
    [job] = await history(parts, user)
    assert (job.status, job.failure) == (Status.FAILED, raised.value)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_when_the_client_goes_its_query_ends(parts: Service, how: str) -> None:
    user = await somebody(parts)

    async def handler() -> None:
        async with aclosing(parts.quick.run_quick(user, query=RUNAWAY, context="MyDB", output=CSV)) as stream:
            async for _ in stream:
                if how == "close":  # the plan has come
                    return

    task = asyncio.create_task(handler())
    if how == "cancel":
        job = await the_job(parts, user, Status.STARTED)
        pid = await worker_of(parts, job)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: is_dead(pid))
    await asyncio.wait({task})
    job = await the_job(parts, user, Status.CANCELED)
    assert "client went away" in job.message
    assert parts.quick.places.taken == 0
    assert job.id not in parts.scheduler.live


async def test_a_client_that_goes_while_its_query_waits_or_is_noted_leaves_nothing_behind(parts: Service) -> None:
    parts.quick.places = Places(4, 1, 10, 10, 60)
    user = await somebody(parts)
    blocker = asyncio.create_task(parts.ask(user, RUNAWAY))
    first = await the_job(parts, user, Status.STARTED)
    for turns in range(12):
        # After so many steps of the event loop it is somewhere between its first line and its wait for a place.
        task = asyncio.create_task(parts.ask(user, "select 1 as x"))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.wait({task})
    await parts.scheduler.cancel(first.id)
    with pytest.raises(QueryError, match="cancelled"):
        await blocker

    async def nothing_runs() -> bool:
        return all(job.ended for job in await history(parts, user))

    await eventually(nothing_runs)
    assert (parts.quick.places.taken, parts.quick.places.queued, len(parts.scheduler.live)) == (0, 0, 0)
    assert (await parts.ask(user, "select 1 as x"))[0] == b"x\n1\n"


async def test_a_query_can_be_cancelled_by_its_number_while_it_runs_and_while_it_waits(parts: Service) -> None:
    parts.quick.places = Places(4, 1, 10, 10, 60)
    user = await somebody(parts)
    tasks = [asyncio.create_task(parts.ask(user, RUNAWAY)) for _ in range(2)]

    async def both() -> list[Job] | None:
        jobs = await history(parts, user)
        return jobs if sorted(job.status for job in jobs) == [Status.READY, Status.STARTED] else None

    for job in sorted(await eventually(both), key=lambda job: job.status):
        await parts.scheduler.cancel(job.id)
    for task in tasks:
        with pytest.raises(QueryError) as raised:
            await task
        assert raised.value.kind == Kind.CANCELLED
    assert {job.status for job in await history(parts, user)} == {Status.CANCELED}


async def test_the_time_limit_ends_a_query(parts: Service) -> None:
    user = await somebody(parts)
    with pytest.raises(QueryError) as raised:
        await parts.ask(user, RUNAWAY, seconds=0.3)
    assert raised.value.kind == Kind.TIMEOUT
    assert "long queue" in str(raised.value)
    [job] = await history(parts, user)
    assert (job.status, job.failure) == (Status.FAILED, raised.value)


# -- on to the long queue


async def test_a_query_that_ends_in_time_sends_its_result_also_when_it_could_have_gone_on(parts: Service) -> None:
    user = await somebody(parts)
    output, events = await parts.ask(user, "select 4 as a", queue_on_timeout=True)
    assert output == b"a\n4\n"
    assert [event["event"] for event in events].count("done") == 1
    [job] = await history(parts, user)
    assert (job.kind, job.status, job.rows, job.results) == (JobKind.QUICK, Status.FINISHED, 1, [])


async def test_a_query_that_runs_out_of_time_goes_on_as_a_long_job_and_is_not_started_again(parts: Service) -> None:
    user = await somebody(parts)
    parts.quick.seconds = 0.5
    stream = parts.quick.run_quick(user, query=SECONDS, context="MyDB", output=CSV, queue_on_timeout=True)
    async with aclosing(stream):
        await anext(stream)
        [job] = await history(parts, user)
        pid = await worker_of(parts, job)
        last: Any = [event async for event in stream][-1]
    assert last == {"event": "queued", "job": job.id, "continues": True}
    assert await worker_of(parts, job) == pid
    assert parts.quick.places.taken == 0
    job = await parts.ended(job)
    assert (job.kind, job.status, job.attempts, job.rows) == (JobKind.LONG, Status.FINISHED, 1, 1)
    assert job.seconds == parts.scheduler.time_limit()
    _, batches, _ = open_spool(parts.directory / "results" / job.results[0]["file"])
    assert [batch.to_pylist() for batch in batches] == [[{"s": 8 * 45 * 10**7}]]


async def test_where_no_long_job_more_may_run_it_waits_for_its_turn(parts: Service) -> None:
    user = await somebody(parts)
    blocker = await parts.until(await parts.submit(user, RUNAWAY), lambda job: job.status == Status.STARTED)
    _, events = await parts.ask(user, cross_join(7), queue_on_timeout=True, seconds=0.01)
    assert events[-1]["event"] == "queued"
    assert not events[-1]["continues"]
    job = await parts.store.job(events[-1]["job"])
    assert job is not None
    assert (job.kind, job.status, job.attempts) == (JobKind.LONG, Status.READY, 0)
    await parts.scheduler.cancel(blocker.id)
    job = await parts.ended(job)
    assert (job.status, job.attempts, job.rows) == (Status.FINISHED, 1, 1)


async def test_a_query_that_went_on_can_be_cancelled(parts: Service) -> None:
    user = await somebody(parts)
    _, events = await parts.ask(user, RUNAWAY, queue_on_timeout=True, seconds=0.3)
    assert events[-1]["continues"]
    job = await parts.scheduler.cancel(events[-1]["job"])
    assert job is not None
    assert (await parts.ended(job)).status == Status.CANCELED


# -- many at once


async def test_who_has_too_many_waiting_is_refused_and_that_is_recorded(parts: Service) -> None:
    parts.quick.places = Places(4, 1, 3, 2, 60)
    ada, bob = await somebody(parts), await somebody(parts)
    tasks = [asyncio.create_task(parts.ask(ada, RUNAWAY)) for _ in range(3)]

    async def waiting(count: int) -> bool:
        return parts.quick.places.queued == count

    await eventually(lambda: waiting(2))
    with pytest.raises(Busy) as raised:
        await parts.ask(ada, "select 1 as x")
    assert (raised.value.status, raised.value.kind) == (429, Kind.UNAVAILABLE)
    refused = (await history(parts, ada))[0]
    assert (refused.status, refused.message) == (Status.FAILED, str(raised.value))
    assert (await parts.ask(bob, "select 1 as x"))[0] == b"x\n1\n"  # others are not affected
    tasks += [asyncio.create_task(parts.ask(bob, RUNAWAY)) for _ in range(2)]
    await eventually(lambda: waiting(3))
    with pytest.raises(Busy) as raised:
        await parts.ask(bob, "select 1 as x")
    assert raised.value.status == 503
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_nobody_waits_for_ever(parts: Service) -> None:
    parts.quick.places = Places(1, 1, 3, 2, 0.2)
    ada, bob = await somebody(parts), await somebody(parts)
    task = asyncio.create_task(parts.ask(ada, RUNAWAY))
    await the_job(parts, ada, Status.STARTED)
    with pytest.raises(Busy, match="waited for its turn"):
        await parts.ask(bob, "select 1 as x")
    assert (await the_job(parts, bob, Status.FAILED)).attempts == 0
    task.cancel()
    await asyncio.wait({task})


async def test_places_go_round_between_users() -> None:
    places = Places(total=2, per_user=2, waiting=100, waiting_per_user=100, seconds=60)
    served: list[str] = []

    async def query(name: str, user: int) -> None:
        await places.take(user)
        served.append(name)
        await asyncio.sleep(0.001)
        places.give(user)

    names = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
    await asyncio.gather(*(query(name, ord(name[0])) for name in names))
    # The first two were there before anybody else; then who has fewest, and of those who was served longest ago.
    assert served == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    assert (places.taken, places.queued) == (0, 0)


async def test_places_are_not_lost_when_many_go_in_the_same_moment() -> None:
    places = Places(total=2, per_user=1, waiting=100, waiting_per_user=100, seconds=60)

    async def query(user: int) -> None:
        await places.take(user)
        try:
            await asyncio.sleep(60)
        finally:
            places.give(user)

    tasks = [asyncio.create_task(query(number % 4)) for number in range(20)]
    await asyncio.sleep(0)
    for order in (tasks[::2], tasks[::-1]):  # some while others get a place
        for task in order:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert (places.taken, places.queued) == (0, 0)
    await asyncio.gather(places.take(1), places.take(2))


async def test_200_queries_of_20_users_at_once_all_get_their_own_answer(parts: Service) -> None:
    users = [await somebody(parts) for _ in range(20)]

    async def one(number: int) -> None:
        output, _ = await parts.ask(users[number % 20], f"select {number} as number, 'user {number % 20}' as who")
        assert list(csv.reader(io.StringIO(output.decode()))) == [
            ["number", "who"],
            [str(number), f"user {number % 20}"],
        ]

    await asyncio.gather(*(one(number) for number in range(200)))
    for user in users:
        assert [job.status for job in await history(parts, user)] == [Status.FINISHED] * 10


async def test_a_runaway_query_of_one_user_does_not_hold_up_another(parts: Service) -> None:
    ada, bob = await somebody(parts), await somebody(parts)

    async def p90() -> float:
        times = []
        for _ in range(10):
            begun = time.monotonic()
            await parts.ask(ada, cross_join(6))
            times.append(time.monotonic() - begun)
        return statistics.quantiles(times, n=10)[-1]

    await parts.ask(ada, cross_join(6))
    measured = []
    # The machine may do something else in the midst of one measurement, but hardly of three.
    for _ in range(3):
        alone = await p90()
        runaways = [asyncio.create_task(parts.ask(bob, RUNAWAY)) for _ in range(4)]
        beside = await p90()
        for task in runaways:
            task.cancel()
        await asyncio.wait(runaways)
        measured.append((alone, beside))
        if beside < 3 * alone:
            break
    else:
        pytest.fail(f"alone and beside runaways, seconds: {measured}")


# -- other requests, and the end


async def test_other_requests_have_places_of_their_own_and_a_record_only_if_wanted(parts: Service) -> None:
    parts.quick.places = Places(1, 1, 1, 1, 60)
    user = await somebody(parts)
    task = asyncio.create_task(parts.ask(user, RUNAWAY))
    await the_job(parts, user, Status.STARTED)
    seen: list[Any] = []
    record = {"kind": JobKind.UPLOAD, "query": "-- x.csv", "context": "MyDB"}
    asked = {"do": "query", "text": "select 1 as x", "context": "MyDB", "output": CSV}
    for wanted in (None, record):
        events = [event async for event in parts.quick.ask(user, asked, prepare=seen.append, record=wanted)]
        assert b"x\n1\n" in events
    assert len(seen) == 2
    assert all(session.directory.is_relative_to(parts.directory) for session in seen)
    upload, query = await history(parts, user)
    assert (upload.kind, upload.status, upload.query, query.kind) == ("upload", Status.FINISHED, "-- x.csv", "quick")
    task.cancel()
    await asyncio.wait({task})


async def test_stopping_tells_those_who_wait_and_records_it(parts: Service) -> None:
    user = await somebody(parts)
    parts.quick.places = Places(1, 1, 5, 5, 60)
    tasks = [asyncio.create_task(parts.ask(user, RUNAWAY)) for _ in range(3)]

    async def all_there() -> bool:
        return len(await history(parts, user)) == 3

    await eventually(all_there)
    await parts.quick.stop()
    for task in tasks:
        with pytest.raises(QueryError) as raised:
            await task
        assert raised.value.kind == Kind.UNAVAILABLE
    assert {job.status for job in await history(parts, user)} == {Status.FAILED}
