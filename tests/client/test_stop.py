"""Queries that are no longer wanted end on the server; services that end are noticed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from SciServer.core import AsyncClient, Client, JobStatus, ServiceUnavailableError, TransferError

from tests.casjobs.casjobs_platform import CasJobsPlatform, make_context
from tests.client.conftest import NewClient
from tests.client.support import ENDLESS, MANY, batches, casjobs_settings, got
from tests.support import wait_until

INTERRUPTED = """
import json, sys
from SciServer.core import Client, Settings
given = json.loads(sys.stdin.read())
client = Client(Settings(**given["settings"]), token=given["token"])
print("begun", flush=True)
try:
    for batch in client.casjobs.query(given["sql"], "Sky").batches():
        print("rows", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.close()
    client.casjobs.contexts()
    print("goes on", flush=True)
"""


def ended(client: Client, sql: str) -> Any:
    """The record of the latest query with this text, when it has ended."""
    return wait_until(lambda: (job := client.casjobs.jobs(1, search=sql)[0]).status.ended and job, what="it ends")


@pytest.fixture
def watcher(casjobs_site: CasJobsPlatform) -> Iterator[Client]:
    """Another client of the same person's, who looks into the history."""
    with Client(casjobs_settings(casjobs_site), token=casjobs_site.token("ada-l")) as client:
        yield client


async def test_a_result_that_is_closed(queries: Any, watcher: Client) -> None:
    sql = f"{MANY} where a.objID > {id(queries)}"
    result = await got(queries.query(sql, "Sky"))
    await got(result.close())
    assert ended(watcher, sql).status == JobStatus.CANCELED


async def test_a_loop_that_is_left(casjobs_site: CasJobsPlatform, watcher: Client) -> None:
    sql = f"{MANY} where a.objID > {id(watcher)}"
    for batch in watcher.casjobs.query(sql, "Sky").batches():
        assert batch.num_rows
        break
    assert ended(watcher, sql).status == JobStatus.CANCELED


@pytest.mark.parametrize("sql", [ENDLESS, MANY], ids=["before the first row", "between rows"])
def test_control_c(casjobs_site: CasJobsPlatform, watcher: Client, sql: str) -> None:
    """The server learns of it, and the client can be used afterwards."""
    sql += " and 0 < 1" if sql == ENDLESS else " where 0 < 1"
    settings = vars(casjobs_settings(casjobs_site))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"settings": settings, "token": casjobs_site.token("ada-l"), "sql": sql}))
    process.stdin.close()
    process.stdin = None
    assert process.stdout.readline() == "begun\n"
    if sql.startswith(MANY):
        assert process.stdout.readline() == "rows\n"
    else:
        wait_until(
            lambda: [job for job in watcher.casjobs.jobs(1, search=sql) if job.status == JobStatus.STARTED],
            what="the query runs",
        )
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output.replace("rows\n", "") == "interrupted\ngoes on\n", errors
    assert process.returncode == 0
    assert ended(watcher, sql).status == JobStatus.CANCELED


async def test_a_task_that_is_cancelled(casjobs_site: CasJobsPlatform, watcher: Client) -> None:
    sql = f"{ENDLESS} and 1 < 2"
    async with AsyncClient(casjobs_settings(casjobs_site), token=casjobs_site.token("ada-l")) as client:
        task = asyncio.ensure_future(client.casjobs.query(sql, "Sky"))
        while not [job for job in await client.casjobs.jobs(1, search=sql) if job.status == JobStatus.STARTED]:
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended(watcher, sql).status == JobStatus.CANCELED
        assert await client.casjobs.contexts()


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CasJobsPlatform]:
    """A CasJobs that may be killed."""
    platform = CasJobsPlatform(tmp_path_factory.mktemp("client-fragile"))
    make_context(platform.contexts, "Sky", public=True)
    with platform.running():
        yield platform


async def test_a_service_that_is_killed(new_client: NewClient, fragile: CasJobsPlatform, tmp_path: Path) -> None:
    client: Any = new_client(casjobs_settings(fragile), token=fragile.token("ada-l"), retries=0)
    result = await got(client.casjobs.query(MANY, "Sky"))
    fragile.kill_service()
    try:
        with pytest.raises(TransferError, match="broke off before its end"):
            await batches(result)
        with pytest.raises(ServiceUnavailableError):
            await got(client.casjobs.contexts())
    finally:
        fragile.start_service()
    wait_until(lambda: fragile.client("ada-l").call("GET", "contexts").ok, what="the service answers again")
    assert await got(client.casjobs.contexts())
