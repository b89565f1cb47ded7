"""Real workers for tests: a pool in a directory of its own, a small science database, and sessions in one call."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from casjobs_service import adopt
from casjobs_service.catalog import Column, Sky
from casjobs_service.contexts import Contexts, ContextSource
from casjobs_service.duckdb_catalog import comment_statements, read_catalog
from casjobs_service.errors import QueryError
from casjobs_service.limits import MEGABYTE, Limits
from casjobs_service.worker.pool import UserSpace, Workers
from casjobs_service.worker.session import Session
from tests.casjobs.engines_support import PASSWORD, shared_server

ALICE, BOB = UserSpace(7, "alice"), UserSpace(8, "bob")

LIMITS = Limits(seconds=60, memory=600 * MEGABYTE, temp=500 * MEGABYTE, quota=20 * MEGABYTE, scratch=40 * MEGABYTE)

SKY = """
CREATE TABLE Stars AS
    SELECT range AS objID, range * 0.01 AS ra, range * 0.001 - 5 AS dec, 10 + range % 10 AS mag,
           CASE WHEN range % 2 = 0 THEN 'STAR' ELSE 'GALAXY' END AS class
    FROM range(10000);
CREATE TABLE Huge AS SELECT range AS id, hash(range) AS h FROM range(2000000);
"""


def make_context(directory: Path, name: str, script: str = SKY) -> ContextSource:
    """A context of the embedded engine, with units for the columns of positions."""
    home = directory / "contexts" / name
    home.mkdir(parents=True)
    data, catalog = home / "data-1.duckdb", home / "catalog-1.json"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{data}' AS {name}; USE {name}")
        connection.execute(script)

        def run(sql: str, values: list[Any] | None) -> list[tuple[Any, ...]]:
            return connection.execute(sql, values).fetchall()

        for table in read_catalog(run, name).tables:
            columns = [
                Column(column.name, column.type, "deg", "pos.eq." + column.name, f"The {column.name}")
                if column.name in ("ra", "dec")
                else column
                for column in table.columns
            ]
            sky = Sky("ra", "dec") if table.column("ra") else None
            for statement in comment_statements(name, table.name, columns, description=table.name, sky=sky):
                connection.execute(statement)
        read_catalog(run, name).save(catalog)
    return ContextSource(name, "duckdb", home, data, catalog)


@dataclass
class Answer:
    """What a request has brought."""

    events: list[dict[str, Any]] = field(default_factory=list)
    data: bytes = b""

    def event(self, name: str) -> dict[str, Any]:
        """The only event of this name."""
        [found] = [event for event in self.events if event["event"] == name]
        return found

    def named(self, name: str) -> list[dict[str, Any]]:
        """All events of this name."""
        return [event for event in self.events if event["event"] == name]

    @property
    def json(self) -> Any:
        """The output, as JSON."""
        return json.loads(self.data)

    @property
    def rows(self) -> list[Any]:
        """Rows of the first result, from JSON."""
        found: list[Any] = self.json["Result"][0]["Data"]
        return found

    @property
    def csv(self) -> list[list[str]]:
        """The output, as CSV."""
        return list(csv.reader(io.StringIO(self.data.decode())))


async def collect(session: Session, request: dict[str, Any]) -> Answer:
    """Everything that a request brings."""
    answer = Answer()
    async with contextlib.aclosing(session.run(request)) as events:
        async for event in events:
            if isinstance(event, bytes):
                answer.data += event
            else:
                answer.events.append(event)
    return answer


class ProbedWorkers(Workers):
    """Workers that also do what `tests.casjobs.worker_probe` adds."""

    program = "tests.casjobs.worker_probe"


BEFORE = "DECLARE @before INT = 1; SELECT 7 AS a INTO #before; SELECT a FROM #before WHERE a > @before"
"""What a worker has run that is not new any more."""


AGES = ("new", "reused") if os.geteuid() == 0 else ("new",)
"""Of workers; none is used again where there are no mounts."""


class Bench:
    """A pool of workers, and the contexts of everybody.

    Attributes
    ----------
    reused
        `session` gives workers that have served another session before.
    """

    def __init__(
        self, directory: Path, contexts: Sequence[ContextSource] = (), *, reused: bool = False, **traits: Any
    ) -> None:
        self.directory = directory
        self.contexts = contexts
        self.reused = reused
        self.workers = ProbedWorkers(directory, **{"warm": 2, **traits})

    async def do(self, request: dict[str, Any], user: UserSpace = ALICE, limits: Limits = LIMITS) -> Answer:
        """One request in a session of its own."""
        async with self.session(user, limits) as session:
            return await collect(session, request)

    @contextlib.asynccontextmanager
    async def session(self, user: UserSpace = ALICE, limits: Limits = LIMITS) -> AsyncIterator[Session]:
        """A session."""
        if self.reused:
            async with self.workers.session(user, limits, self.contexts) as before:
                await collect(before, query(BEFORE))
        async with self.workers.session(user, limits, self.contexts) as session:
            assert session.process.sessions > 1 or not self.reused
            yield session

    async def query(self, text: str, user: UserSpace = ALICE, limits: Limits = LIMITS, **more: Any) -> Answer:
        """A script in T-SQL, which may write."""
        return await self.do(query(text, **more), user, limits)

    async def rows(self, text: str, user: UserSpace = ALICE, **more: Any) -> list[Any]:
        """Rows of its first result."""
        return (await self.query(text, user, **more)).rows

    async def failure(self, text: str, user: UserSpace = ALICE, limits: Limits = LIMITS, **more: Any) -> QueryError:
        """The error of a script that must fail."""
        try:
            answer = await self.query(text, user, limits, **more)
        except QueryError as error:
            return error
        raise AssertionError(f"{text} has worked: {answer}")


def query(text: str, **more: Any) -> dict[str, Any]:
    """The request for a script."""
    return {"do": "query", "text": text, "context": "MyDB", "may_write": True, "output": {}, **more}


@contextlib.asynccontextmanager
async def bench(directory: Path, contexts: Sequence[ContextSource] = (), **traits: Any) -> AsyncIterator[Bench]:
    """A pool for a while."""
    made = Bench(directory, contexts, **traits)
    await made.workers.start()
    try:
        yield made
    finally:
        await made.workers.stop()


@contextlib.asynccontextmanager
async def bench_with_postgresql(directory: Path) -> AsyncIterator[Bench]:
    """A pool with the contexts Sky, embedded, and PG, on a real server."""
    server = await asyncio.to_thread(shared_server)
    # Asks the server for its tables with an event loop of its own.
    context = await asyncio.to_thread(
        adopt.add, Contexts(directory / "contexts"), "PG", server.url, password=PASSWORD, public=True
    )
    async with bench(directory, [make_context(directory, "Sky"), context.source()]) as made:
        yield made


async def eventually(condition: Any, what: str, seconds: float = 60) -> None:
    """Wait until something is so."""
    for _ in range(int(seconds * 100)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never: {what}")
