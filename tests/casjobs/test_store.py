"""The metadata database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, event, text

from casjobs_service import owner
from casjobs_service.database import MIGRATIONS
from casjobs_service.errors import Kind, QueryError
from casjobs_service.models import Base, Job, JobKind, Status, now
from casjobs_service.store import Store, StoreError
from tests.casjobs.engines_support import OWNER, PostgreSQL

ME, OTHER = "me", "other"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.remove()


def postgresql_url(server: PostgreSQL) -> str:
    """URL of an empty database."""
    name = f"d{uuid.uuid4().hex}"
    server.sql(f"CREATE DATABASE {name}")
    return f"postgresql://{OWNER}@/{name}?host={server.home}&port={server.port}"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('store')}/casjobs.sqlite"
    return postgresql_url(request.getfixturevalue("postgresql"))


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An empty store."""
    store = Store(url)
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
        connection.execute(text("DELETE FROM users"))
    yield store
    store.close()


async def add(store: Store, user: int, kind: JobKind = JobKind.LONG, **fields: Any) -> Job:
    return await store.add(user, **{"kind": kind, "context": "MyDB", "query": "select 1", **fields})


async def claim(store: Store, per_user: int = 100, name: str = ME) -> Job:
    claimed = await store.claim(name, per_user, 30)
    assert claimed is not None
    return claimed[0]


async def again(store: Store, job: Job) -> Job:
    found = await store.job(job.id)
    assert found is not None
    return found


def test_migrations_make_the_tables_of_the_models(url: str) -> None:
    Store(url).close()
    Store(url).close()  # nothing left to do
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        options = {"version_table": "casjobs_version", "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    engine.dispose()


OLD_JOB = {
    **dict.fromkeys(("translated", "groups", "results"), "[]"),
    **dict.fromkeys(("task_name", "output_type", "params", "into", "host_ip", "created_table", "owner"), ""),
    **dict.fromkeys(("may_write", "send_email", "auto_complete"), False),
    **dict.fromkeys(("estimate", "seconds", "rows", "statement", "statements", "attempts"), 0),
    "id": 7,
    "user_id": 3,
    "key": 1,
    "kind": "long",
    "status": 0,
    "context": "Sky",
    "dialect": "tsql",
    "query": "select 1",
    "time_submit": datetime.datetime(2026, 1, 2),
}
"""A row of version 0001."""


async def test_jobs_of_an_older_version_stay(url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "base")
        alembic.command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO users (id, name, created) VALUES (3, 'eva', '2026-01-01')"))
        names = ", ".join(f'"{name}"' for name in OLD_JOB)
        places = ", ".join(f":{name}" for name in OLD_JOB)
        connection.execute(text(f"INSERT INTO jobs ({names}) VALUES ({places})"), OLD_JOB)  # noqa: S608 - our own names
    engine.dispose()
    store = Store(url)
    job = await store.job(7)
    assert job is not None
    assert (job.query, job.parameters, job.limit) == ("select 1", {}, 0)
    store.close()


async def test_parameters_are_kept_as_they_are(store: Store) -> None:
    eva = await store.user("eva")
    sent = {"t": "a\0b 😀 '", "n": 2**63 - 1, "f": 0.1, "typed": {"value": None, "type": "int"}}
    job = await add(store, eva.id, parameters=sent)
    assert (await again(store, job)).parameters == sent


async def test_two_services_that_start_at_once_make_the_tables_once(postgresql: PostgreSQL) -> None:
    url = postgresql_url(postgresql)
    for store in await asyncio.gather(*(asyncio.to_thread(Store, url) for _ in range(4))):
        store.close()


async def test_a_user_has_one_id_however_often_and_at_the_same_time_they_come(store: Store, url: str) -> None:
    other = Store(url)
    users = await asyncio.gather(*((store, other)[n % 2].user("zoë@x.org") for n in range(12)))
    assert len({user.id for user in users}) == 1
    assert (await store.user("Zoë@x.org")).id != users[0].id  # names at the hub differ by case
    assert [user.name for user in await store.users([users[0].id])] == ["zoë@x.org"]
    other.close()


async def test_ids_are_never_given_again(store: Store) -> None:
    user = await store.user("ada")
    last = await add(store, user.id)
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM jobs"))
    assert (await add(store, user.id)).id > last.id


async def test_a_job_is_stored_whole_and_looks_as_casjobs_clients_expect(store: Store) -> None:
    user = await store.user("ada")
    added = await add(
        store,
        user.id,
        query="select 'ø' as \U0001f30c",
        task_name="t" * 300,
        groups=["a", "b"],
        estimate=30,
        seconds=1800.0,
        into="T",
        host_ip="::1",
    )
    assert await store.end((await claim(store)).id, ME, Status.FINISHED, rows=2**62, translated=["a", "b"])
    job = await again(store, added)
    assert (job.query, job.groups, job.key) == (added.query, ["a", "b"], added.key)
    value = job.to_json()
    assert list(value)[:20] == [
        *("JobID", "Rows", "WebServicesID", "TimeSubmit", "TimeStart", "TimeEnd", "SendEmail", "Status"),
        *("AutoComplete", "Estimate", "TaskName", "OutputLoc", "HostIP", "Message", "Query", "ModifiedQuery"),
        *("Target", "OutputType", "Params", "Created_Table"),
    ]
    assert (value["JobID"], value["WebServicesID"], value["Status"], value["Rows"]) == (job.id, user.id, 5, 2**62)
    assert (value["TaskName"], value["ModifiedQuery"], value["Target"]) == ("t" * 255, "a;\nb", "MyDB")
    assert value["TimeSubmit"].endswith("Z")
    assert value["TimeSubmit"] <= value["TimeStart"] <= value["TimeEnd"]


async def test_text_that_databases_refuse_is_stored_all_the_same(store: Store) -> None:
    user = await store.user("ada")
    job = await again(store, await add(store, user.id, query="a\x00b\ud800c", task_name="\x00", context="\udfff"))
    assert job.query == "a\ufffdb?c"
    assert [found.id for found in await store.jobs(user.id, search="A\x00B")] == [job.id]


async def test_history_is_filtered_and_paged(store: Store) -> None:
    user, other = await store.user("ada"), await store.user("bob")
    day = datetime.datetime(2026, 1, 1)
    jobs = [
        await add(
            store,
            user.id,
            JobKind.QUICK if number % 2 else JobKind.LONG,
            query=" ".join(["select", "10%" if number == 3 else "100", "from", f"T{number}"]),
            task_name="Night" if number < 2 else "",
            context="MyDB" if number % 3 else "Sky",
            status=Status.FINISHED if number < 5 else Status.FAILED,
            time_submit=day + datetime.timedelta(days=number),
        )
        for number in range(6)
    ]
    theirs = await add(store, other.id)
    numbers = {job.id: number for number, job in enumerate(jobs)}

    async def found(**conditions: Any) -> list[int]:
        return [numbers[job.id] for job in await store.jobs(user.id, **conditions)]

    assert await found() == [5, 4, 3, 2, 1, 0]
    assert await found(top=2) == [5, 4]
    assert await found(top=2, before=jobs[4].id) == [3, 2]
    assert await found(submitted_from=jobs[2].time_submit, submitted_to=jobs[4].time_submit) == [4, 3, 2]
    assert await found(status=[Status.FAILED, Status.READY]) == [5]
    assert await found(context="sKY") == [3, 0]
    assert await found(kinds=[JobKind.QUICK], search="FROM t") == [5, 3, 1]
    assert await found(search="nIGHT") == [1, 0]
    assert await found(search="10%") == [3]  # no wildcard
    assert await found(search="_") == []
    assert await store.job(theirs.id, user.id) is None
    assert await store.job(theirs.id, other.id) is not None
    assert await store.job(2**70) is None


# -- the queue


@pytest.mark.parametrize("seed", range(6))
async def test_positions_are_the_order_in_which_jobs_start(store: Store, seed: int) -> None:
    random_ = random.Random(seed)
    users = [await store.user(f"u{number}") for number in range(4)]
    # Some run already, and were served at different times.
    for _ in range(random_.randrange(6)):
        await add(store, random_.choice(users).id)
        job = await claim(store)
        if random_.random() < 0.4:
            await store.end(job.id, ME, Status.FINISHED)
    for _ in range(10):
        await add(store, random_.choice(users).id)
        await add(store, random_.choice(users).id, JobKind.QUICK)  # not in the queue
    waiting = [job for user in users for job in await store.jobs(user.id, status=[0], kinds=[JobKind.LONG])]
    places = {job.id: await store.place(job.id) for job in waiting}
    expected = sorted(places, key=lambda id_: places[id_].position)
    assert [places[id_].position for id_ in expected] == list(range(1, len(waiting) + 1))
    assert [(await claim(store)).id for _ in waiting] == expected
    assert await store.claim(ME, 100, 30) is None
    assert await store.place(expected[0]) is None


async def test_users_take_turns_and_their_jobs_keep_their_order(store: Store) -> None:
    ada, bob = await store.user("ada"), await store.user("bob")
    first = [await add(store, ada.id) for _ in range(3)]
    second = [await add(store, bob.id) for _ in range(2)]
    order = []
    while (claimed := await store.claim(ME, 1, 30)) is not None:
        order.append(claimed[0].id)
        await store.end(claimed[0].id, ME, Status.FINISHED)
    assert order == [job.id for job in (first[0], second[0], first[1], second[1], first[2])]


async def test_no_user_has_more_than_the_cap_however_many_services_ask(store: Store, url: str) -> None:
    users = [await store.user(name) for name in ("ada", "bob", "cyd")]
    for _ in range(8):
        for user in users:
            await add(store, user.id)
    services = [Store(url) for _ in range(3)]

    async def take(number: int) -> list[int]:
        taken = []
        while (claimed := await services[number].claim(f"s{number}", 3, 30)) is not None:
            taken.append(claimed[0].id)
        return taken

    taken = [job for jobs in await asyncio.gather(*(take(number) for number in range(3))) for job in jobs]
    assert len(taken) == len(set(taken)) == 9
    assert [await store.running(user.id) for user in users] == [3, 3, 3]
    assert await store.counts() == {"waiting": 15, "running": 9, "users": 3}
    for service in services:
        service.close()


# -- a job's life


async def test_what_waits_is_cancelled_at_once_and_what_runs_is_marked(store: Store) -> None:
    user = await store.user("ada")
    running, waiting = await add(store, user.id), await add(store, user.id)
    await claim(store)
    assert (await store.cancel(waiting.id)).status == Status.CANCELED
    assert (await again(store, waiting)).failure.kind == Kind.CANCELLED
    assert (await store.cancel(running.id)).status == Status.CANCELING
    assert (await store.cancel(running.id)).status == Status.CANCELING
    assert await store.cancelling(ME) == [running.id]
    assert await store.cancelling(OTHER) == []
    assert await store.end(running.id, ME, Status.CANCELED)
    ended = await again(store, running)
    assert (await store.cancel(running.id)).time_end == ended.time_end
    assert await store.cancel(10**6) is None


async def test_a_job_ends_once_and_by_its_owner(store: Store) -> None:
    user = await store.user("ada")
    await add(store, user.id)
    job = await claim(store)
    assert not await store.end(job.id, OTHER, Status.FINISHED, rows=1)
    assert (await again(store, job)).status == Status.STARTED
    assert await store.end(job.id, ME, Status.FINISHED, rows=2)
    # Who does not know whether it worked may say it again; nothing else is heard any more.
    assert await store.end(job.id, ME, Status.FINISHED, rows=3)
    assert not await store.end(job.id, ME, Status.FAILED)
    await store.progress(job.id, ME, rows=4)
    assert not await store.retry(job.id, ME)
    assert (await again(store, job)).rows == 2


async def test_jobs_that_nobody_runs_any_more_wait_again_fail_or_are_cancelled(store: Store) -> None:
    user = await store.user("ada")
    long = [await add(store, user.id) for _ in range(4)]
    for _ in long:
        await claim(store)
    quick = await add(store, user.id, JobKind.QUICK, status=Status.STARTED, owner=ME, lease=30)
    queued = await add(store, user.id, JobKind.QUICK, status=Status.READY, owner=ME, lease=30)
    await store.cancel(long[1].id)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET attempts = 2 WHERE id = :id"), {"id": long[2].id})

    assert await store.reclaim(lambda owner: False, [], 2) == []  # the leases hold
    changed = await store.reclaim(lambda owner: owner == ME, [long[3].id], 2)
    status = {job.id: job.status for job in changed}
    assert status == {
        long[0].id: Status.READY,
        long[1].id: Status.CANCELED,
        long[2].id: Status.FAILED,
        quick.id: Status.FAILED,
        queued.id: Status.FAILED,
    }
    assert "2 times" in (await again(store, long[2])).message
    assert (await again(store, quick)).failure.kind == Kind.INTERNAL
    assert (await claim(store, name=OTHER)).id == long[0].id
    assert (await again(store, long[0])).attempts == 2


async def test_a_lease_that_is_renewed_holds(store: Store) -> None:
    user = await store.user("ada")
    first, second = await add(store, user.id), await add(store, user.id)
    for _ in range(2):
        await store.claim(ME, 2, -1)
    assert await store.renew(ME, [first.id], 30) == {first.id}
    assert await store.renew(OTHER, [first.id], 30) == set()
    assert [job.id for job in await store.reclaim(lambda owner: False, [], 2)] == [second.id]
    assert await store.renew(ME, [first.id, second.id], 30) == {first.id}


async def test_what_is_given_back_was_not_an_attempt(store: Store) -> None:
    user = await store.user("ada")
    jobs = [await add(store, user.id) for _ in range(3)]
    for _ in range(2):
        await claim(store)
    await claim(store, name=OTHER)
    await store.cancel(jobs[1].id)
    await store.give_back(ME)
    found = [await again(store, job) for job in jobs]
    assert [job.status for job in found] == [Status.READY, Status.CANCELED, Status.STARTED]
    assert (found[0].attempts, found[0].time_start) == (0, None)


@pytest.mark.parametrize("running", [True, False])
async def test_a_quick_query_becomes_a_long_job(store: Store, running: bool) -> None:
    user = await store.user("ada")
    job = await add(store, user.id, JobKind.QUICK, status=Status.STARTED, owner=ME, lease=30, attempts=1)
    assert not await store.to_queue(job.id, OTHER, running=running)
    assert await store.to_queue(job.id, ME, running=running, seconds=99.0)
    found = await again(store, job)
    assert (found.kind, found.seconds) == (JobKind.LONG, 99.0)
    assert found.status == (Status.STARTED if running else Status.READY)
    assert (await store.claim(OTHER, 1, 30) is None) == running


async def test_results_are_forgotten_when_their_time_is_over(store: Store) -> None:
    user = await store.user("ada")
    homes = {}
    for name, until in (("old", -1), ("new", 60)):
        await add(store, user.id)
        job = await claim(store)
        results = [{"index": 1, "file": f"{name}/1.arrow"}]
        until_ = now() + datetime.timedelta(seconds=until)
        await store.end(job.id, ME, Status.FINISHED, results=results, results_until=until_)
        homes[name] = job.id
    running = await add(store, user.id)
    everything = [*homes.values(), running.id, 10**6]
    await store.forget_results()
    assert await store.homes(everything) == {homes["new"]: "new", running.id: None}
    old = await store.job(homes["old"])
    assert (old.results, old.results_until, old.status) == ([], None, Status.FINISHED)


async def test_errors_are_kept_with_their_place(store: Store) -> None:
    user = await store.user("ada")
    await add(store, user.id)
    job = await claim(store)
    error = QueryError("There is no column x.", Kind.NAME, 3, 7, "Did you mean y?")
    await store.end(job.id, ME, Status.FAILED, error=error.to_json())
    job = await again(store, job)
    assert job.failure == error
    assert job.message == "Line 3, column 7: There is no column x. Did you mean y?"


# -- trouble


async def test_a_full_disk_is_said_clearly_and_passes(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/casjobs.sqlite")
    user = await store.user("ada")

    def limit(connection: Any, record: Any, proxy: Any) -> None:
        connection.execute("PRAGMA max_page_count = 60")

    event.listen(store.engine, "checkout", limit)

    async def fill() -> None:
        for _ in range(100):
            await add(store, user.id, query="x" * 10_000)

    with pytest.raises(StoreError) as refused:
        await fill()
    assert refused.value.kind == Kind.UNAVAILABLE
    assert "nothing was run" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert await store.jobs(user.id, top=1)
    event.remove(store.engine, "checkout", limit)
    with store.engine.begin() as connection:
        connection.execute(text("PRAGMA max_page_count = 100000"))
    await add(store, user.id, query="x" * 10_000)
    store.close()


async def test_a_database_that_was_killed_is_used_again_when_it_is_back(postgresql: PostgreSQL) -> None:
    store = Store(postgresql_url(postgresql))
    user = await store.user("ada")
    job = await add(store, user.id)
    postgresql.kill()
    with pytest.raises(StoreError):
        await store.jobs(user.id)
    with pytest.raises(StoreError):
        await store.claim(ME, 1, 30)
    postgresql.start()
    assert (await claim(store)).id == job.id
    store.close()


def test_an_owner_is_gone_when_its_process_has_ended() -> None:
    mine = owner.identity()
    assert mine != owner.identity()
    assert not owner.gone(mine)
    boot, namespace, pid, created, token = mine.split()
    assert owner.gone(f"{boot} {namespace} {pid} 1.00 {token}")  # the number was given to another process
    assert owner.gone(f"{boot} {namespace} {2**22 + 1} {created} {token}")
    assert not owner.gone(f"another-boot {namespace} {2**22 + 1} {created} {token}")
    assert not owner.gone(f"{boot} 1 {2**22 + 1} {created} {token}")
    assert not owner.gone("")
