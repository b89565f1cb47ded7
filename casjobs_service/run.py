"""One job of the long queue, from its start to its record."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casjobs_service.errors import Kind, QueryError
from casjobs_service.feed import Feed, Outcome
from casjobs_service.kept import Kept
from casjobs_service.models import Job, Status, User, cancelled, now
from casjobs_service.store import Store, StoreError
from casjobs_service.worker.session import Session, WorkerLost

PROGRESS = 1.0
"""Seconds between two notes of a job's progress."""

RETRY = 1.0
"""Seconds until the database is asked again to take what has become of a job."""


def request(job: Job, output: dict[str, Any], *, again: bool) -> dict[str, Any]:
    """What a worker is asked to do for a job; `again`: it may be run a second time, and must not write twice."""
    return {
        "do": "query",
        "text": job.query,
        "parameters": job.parameters,
        "limit": job.limit,
        "context": job.context,
        "dialect": job.dialect,
        "may_write": job.may_write,
        # Not the id: see `Job.key`.
        "job": job.key if again else None,
        "into": job.into or None,
        "output": output,
    }


def verdict(error: QueryError) -> dict[str, Any]:
    """Columns of a job that has ended with this error."""
    status = Status.CANCELED if error.kind == Kind.CANCELLED else Status.FAILED
    return {"status": status, "error": error.to_json()}


@dataclass(frozen=True)
class Terms:
    """What all jobs of a service have in common.

    Attributes
    ----------
    owner
        The name under which this service has its jobs.
    attempts
        How often a job is started.
    keep
        How long its results stay.
    """

    store: Store
    kept: Kept
    owner: str
    attempts: int
    keep: datetime.timedelta
    log: logging.Logger | Any


class Run:
    """A long job that this service runs.

    Attributes
    ----------
    task
        Runs `go`.
    """

    def __init__(self, job: Job, user: User, terms: Terms, outcome: Outcome | None = None) -> None:
        self.job = job
        self.user = user
        self.task: asyncio.Task[None] | None = None
        self._terms = terms
        self._outcome = outcome or Outcome()
        self._session: Session | None = None
        self._why: QueryError | None = None
        self._given_back = False
        self._settled = False

    async def stop(self, why: QueryError) -> None:
        """End it, unless it has just ended; `why` goes into its record."""
        self._why = self._why or why
        if self._session is not None:
            await self._session.cancel(self._why.kind, self._why.message)
        else:
            self._interrupt()

    async def give_back(self) -> None:
        """End it without a record: somebody else will run it."""
        self._given_back = True
        self._interrupt()
        if self.task is not None:
            # A database that does not answer must not keep the service from stopping.
            await asyncio.wait({self.task}, timeout=5)

    def _interrupt(self) -> None:
        if self.task is not None and not self._settled:
            self.task.cancel()

    async def go(self, stack: AsyncExitStack, begin: Callable[[], AbstractAsyncContextManager[Session]]) -> None:
        """Run it in a new session, and record its end."""

        async def work() -> dict[str, Any]:
            self._session = await stack.enter_async_context(begin())
            return await self._follow(
                self._session, Feed(self._session.run(request(self.job, {"spool": True}, again=True)))
            )

        await self._to_its_end(stack, work)

    async def go_on(self, stack: AsyncExitStack, session: Session, feed: Feed) -> None:
        """Run the rest of it, in a session that `stack` holds, and record its end."""
        self._session = session
        await self._to_its_end(stack, lambda: self._follow(session, feed))

    async def _to_its_end(self, stack: AsyncExitStack, work: Callable[[], Any]) -> None:
        async with stack:
            try:
                columns = await work()
            except QueryError as error:
                columns = self._failed(error)
            except asyncio.CancelledError:
                if self._why is None:  # given back
                    raise
                columns = verdict(self._why)
            except Exception:
                self._terms.log.exception("Job %s", self.job.id)
                columns = verdict(QueryError("The service has failed.", Kind.INTERNAL, hint="Submit the query again."))
            self._settled = True
            self._session = None
        if not self._given_back:
            await settle(self.job, self._terms, {**self._outcome.fields, **columns})

    def _failed(self, error: QueryError) -> dict[str, Any]:
        if self._why is not None:
            return verdict(self._why)
        if isinstance(error, WorkerLost):
            if self.job.attempts < self._terms.attempts:
                return {"status": Status.READY}
            error = QueryError(
                f"The engine has failed {self.job.attempts} times while it ran this query; it is not tried again.",
                Kind.INTERNAL,
                hint="Try it in smaller steps. The operators can see more in the log.",
            )
        elif error.kind == Kind.TIMEOUT:
            error = QueryError(
                f"The query has used up its time of {self.job.seconds / 60:g} minutes.",
                Kind.TIMEOUT,
                hint="Submit it with a longer estimate if there is a longer queue, or in smaller steps.",
            )
        return verdict(error)

    async def _follow(self, session: Session, feed: Feed) -> dict[str, Any]:
        """Read the events until the last one, keep the results; returns columns of the finished job."""
        noted: dict[str, Any] = {}
        loop = asyncio.get_running_loop()
        next_note = loop.time() + PROGRESS
        try:
            while True:
                fields = self._outcome.fields
                try:
                    event = await feed.next(None if fields == noted else max(0.0, next_note - loop.time()))
                except TimeoutError:
                    noted, next_note = dict(fields), loop.time() + PROGRESS
                    with contextlib.suppress(StoreError):  # the next note may work
                        await self._terms.store.progress(self.job.id, self._terms.owner, **noted)
                    continue
                if event is None:
                    break
                self._outcome.note(event)
        finally:
            feed.close()
        directory, results = Path(session.directory), self._outcome.results
        kept = await asyncio.to_thread(self._terms.kept.take, self.job.id, directory, results)
        until = now() + self._terms.keep if kept else None
        return {"status": Status.FINISHED, "results": kept, "results_until": until, "fraction": None}


async def settle(job: Job, terms: Terms, columns: dict[str, Any]) -> None:
    """Write down what has become of a job, as soon as the database takes it."""
    while True:
        try:
            if columns["status"] == Status.READY:
                if await terms.store.retry(job.id, terms.owner):
                    return
                columns = verdict(cancelled())
            if not await terms.store.end(job.id, terms.owner, **columns):
                terms.log.warning("Job %s: another service has it now", job.id)
            return
        except StoreError:
            # It would all be done again: so keep it in mind until it can be written down.
            await asyncio.sleep(RETRY)
        except Exception:
            terms.log.exception("Job %s: its end cannot be recorded", job.id)
            if set(columns) == {"status", "error"}:
                return  # its lease runs out
            columns = verdict(QueryError("The service has failed.", Kind.INTERNAL))
