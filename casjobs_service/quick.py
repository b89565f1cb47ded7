"""Quick queries: somebody holds the line, so they start soon, end soon, and are streamed."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from casjobs_service.errors import Kind, QueryError
from casjobs_service.feed import Event, Feed, Outcome, closing
from casjobs_service.limits import Limits
from casjobs_service.models import Job, JobKind, Status, User, cancelled, now
from casjobs_service.places import Busy, Places
from casjobs_service.queue import Scheduler
from casjobs_service.run import request, settle, verdict
from casjobs_service.store import StoreError
from casjobs_service.worker.pool import UserSpace
from casjobs_service.worker.session import Session

_T = TypeVar("_T")

Work = Callable[[Session, "Line"], AsyncGenerator[Event, None]]
"""What is done in a session."""


class Line:
    """Somebody who waits for an answer.

    Attributes
    ----------
    job
        The record in the history; None where none is kept.
    stack
        Holds the session.
    handed_over
        The job, and what the stack holds, are the scheduler's now.
    """

    def __init__(self, places: Places, user: User) -> None:
        self.places = places
        self.user = user
        self.job: Job | None = None
        self.outcome = Outcome()
        self.stack = contextlib.AsyncExitStack()
        self.handed_over = False
        self.seated = False
        self._session: Session | None = None
        self._why: QueryError | None = None
        self._waiting: asyncio.Timeout | None = None

    async def stop(self, why: QueryError) -> None:
        """End it; `why` goes into the record, and to the one who waits."""
        self._why = self._why or why
        if self._session is not None:
            await self._session.cancel(self._why.kind, self._why.message)
        elif self._waiting is not None:
            # Raises TimeoutError where it waits, without touching the caller's task for longer than that.
            self._waiting.reschedule(0)
            self._waiting = None

    async def opened(self, opening: Callable[[], Coroutine[Any, Any, Session]]) -> Session:
        """Wait for the session, unless stopped."""
        try:
            async with asyncio.timeout(None) as self._waiting:
                session = None if self._why is not None else await opening()
        except TimeoutError:
            session = None
        finally:
            self._waiting = None
        if self._why is not None or session is None:
            raise self._why or cancelled()
        self._session = session
        self.stack.callback(self._closed)
        return session

    def _closed(self) -> None:
        self._session = None

    @property
    def recorded(self) -> Job:
        """The record, of a line that has one."""
        if self.job is None:
            raise RuntimeError("nothing was recorded")
        return self.job

    def leave(self) -> None:
        """Return the place."""
        if self.seated:
            self.seated = False
            self.places.give(self.user.id)


class Quick(LoggingConfigurable):
    """Runs quick queries, and whatever else needs a session for somebody who waits.

    Parameters
    ----------
    scheduler
        Its store, workers and sources are used; it takes over what runs out of time. Stopped after this.
    limits
        Of each query; the time is this class's.
    """

    seconds = Float(60.0, help="Time limit of quick queries. Seconds.").tag(config=True)
    running = Integer(
        max(4, 2 * (os.cpu_count() or 1)), help="Quick queries that run at once, all users together."
    ).tag(config=True)
    per_user = Integer(2, help="Quick queries of one user that run at once.").tag(config=True)
    waiting = Integer(1000, help="Quick queries that may wait for their turn, all users together.").tag(config=True)
    waiting_per_user = Integer(100, help="Quick queries of one user that may wait for their turn.").tag(config=True)
    wait_seconds = Float(60.0, help="A quick query waits no longer for its turn. Seconds.").tag(config=True)
    slow_seconds = Float(
        2.0, help="A quick query that has run for so long goes behind those that have not. Seconds."
    ).tag(config=True)
    slow_nice = Integer(5, help="Added to the niceness of quick queries that have run for `slow_seconds`.").tag(
        config=True
    )

    def __init__(self, scheduler: Scheduler, limits: Limits, **traits: Any) -> None:
        super().__init__(**traits)
        self.scheduler = scheduler
        self.store = scheduler.store
        self.limits = limits
        places = (self.running, self.per_user, self.waiting, self.waiting_per_user, self.wait_seconds)
        self.places = Places(*places)
        # Somebody whose queries take a minute can still look at tables.
        self.other_places = Places(*places)
        self._lines: set[Line] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    def run_quick(
        self,
        user: User,
        *,
        query: str,
        context: str,
        output: dict[str, Any],
        groups: Iterable[str] = (),
        may_write: bool = True,
        dialect: str = "tsql",
        parameters: Mapping[str, Any] | None = None,
        limit: int = 0,
        task_name: str = "",
        seconds: float | None = None,
        longest: float | None = None,
        queue_on_timeout: bool = False,
        host_ip: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Run a query and stream its result; close the generator when the client has gone.

        Parameters
        ----------
        output
            ``format``, ``compression``, ``result``, for the worker.
        parameters
            Of the query, as they were sent.
        limit
            Rows of each result at most; 0 for all.
        seconds, longest
            The context's own limits of quick and of long queries; None where it has none.
        queue_on_timeout
            Go on in the long queue when the time is over. The result is then complete before its first byte is sent.

        Yields
        ------
        The session's events and bytes. With `queue_on_timeout` perhaps, as the last one, ``{"event": "queued", "job":
        id, "continues": bool}``: in the long queue it goes on, or (no place was free) begins anew.

        Raises
        ------
        QueryError
            `places.Busy` if there are too many.
        """
        groups = sorted(groups)
        quick = seconds or self.seconds
        fields = {
            "kind": JobKind.QUICK,
            "query": query,
            "context": context,
            "groups": groups,
            "may_write": may_write,
            "dialect": dialect,
            "parameters": dict(parameters or {}),
            "limit": limit,
            "task_name": task_name,
            "seconds": quick,
            "host_ip": host_ip,
        }
        line = Line(self.places, user)
        if queue_on_timeout:
            most = self.scheduler.time_limit(0, longest)
            work = functools.partial(self._query_or_queue, output=output, seconds=quick, most=most)
            return self._serve(line, groups, most, work, fields)
        return self._serve(line, groups, quick, functools.partial(_query, output=output), fields)

    def ask(
        self,
        user: User,
        asked: dict[str, Any],
        *,
        groups: Iterable[str] = (),
        seconds: float | None = None,
        prepare: Callable[[Session], None] | None = None,
        record: dict[str, Any] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Have a session do something else than a query: ``explain``, ``sample``, ``read``, ``convert`` …

        Parameters
        ----------
        seconds
            Time limit; that of quick queries if None.
        prepare
            Called in a thread before the session is asked, e.g. to put a file into its directory.
        record
            Columns of `Job`, with `kind`, `query` and `context`, if it is to stand in the history.
        """

        async def work(session: Session, line: Line) -> AsyncGenerator[Event, None]:
            if prepare is not None:
                await asyncio.to_thread(prepare, session)
            async with closing(session.run(asked)) as events:
                async for event in events:
                    line.outcome.note(event)
                    yield event

        return self._serve(Line(self.other_places, user), sorted(groups), seconds or self.seconds, work, record)

    async def stop(self) -> None:
        """End what runs, and record that."""
        why = QueryError("The service is being restarted.", Kind.UNAVAILABLE, hint="Run it again in a minute.")
        await asyncio.gather(*(line.stop(why) for line in self._lines))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._quiet.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    # --

    async def _serve(
        self, line: Line, groups: Sequence[str], seconds: float, work: Work, fields: dict[str, Any] | None
    ) -> AsyncGenerator[Event, None]:
        """Do `work` in a session, in the user's turn; record it as a job with these `fields`, if there are any."""
        loop = asyncio.get_running_loop()
        self._lines.add(line)
        self._quiet.clear()
        end = verdict(QueryError("The client went away before the end.", Kind.CANCELLED))
        try:
            if fields is not None:
                await self._note(line, fields)
            async with line.stack:
                session = await line.opened(lambda: self._open(line, groups, seconds))
                async with contextlib.aclosing(work(session, line)) as events:
                    async for event in events:
                        # A client that takes nothing loses its session; this code goes on only when the client goes.
                        patience = loop.call_later(self.scheduler.workers.client_seconds, line.leave)
                        try:
                            yield event
                        finally:
                            patience.cancel()
            end = {"status": Status.FINISHED}
        except QueryError as error:
            end = verdict(error)
            raise
        except Exception:
            end = verdict(QueryError("The service has failed.", Kind.INTERNAL))
            raise
        finally:
            line.leave()
            self._lines.discard(line)
            if line.job is not None and not line.handed_over:
                # Waited for, so that who has the answer finds it in the history; but not for ever.
                await asyncio.wait({self._spawn(self._end(line.job, line, end))}, timeout=5)
            if not self._lines:
                self._quiet.set()

    async def _note(self, line: Line, fields: dict[str, Any]) -> None:
        """Record the attempt, and take a place if one is free."""
        user_id = line.user.id
        refusal = line.places.refusal(user_id)
        if refusal is not None:
            await self.store.add(user_id, **fields, **verdict(refusal), time_end=now())
            raise refusal
        line.seated = line.places.take_free(user_id)
        state: dict[str, Any] = {"status": Status.READY}
        if line.seated:
            state = {"status": Status.STARTED, "time_start": now(), "attempts": 1}
        lease = self.scheduler.lease_seconds
        adding = self._spawn(self.store.add(user_id, owner=self.scheduler.owner, lease=lease, **state, **fields))
        try:
            job = line.job = await asyncio.shield(adding)
        except asyncio.CancelledError:
            self._spawn(self._end_when_added(adding, line))
            raise
        self.scheduler.live[job.id] = line

    async def _open(self, line: Line, groups: Sequence[str], seconds: float) -> Session:
        """Wait for a place and a session."""
        if not line.seated:
            await line.places.take(line.user.id)
            line.seated = True
            if line.job is not None:
                if not await self.store.start(line.job.id, self.scheduler.owner, self.scheduler.lease_seconds):
                    raise cancelled()
                self.scheduler.changed(line.job.id)
        sources = await asyncio.to_thread(self.scheduler.sources, groups)
        limits = dataclasses.replace(self.limits, seconds=seconds)
        space = UserSpace(line.user.id, line.user.name)
        opening = self.scheduler.workers.session(space, limits, sources)
        try:
            async with asyncio.timeout(self.wait_seconds):
                session: Session = await line.stack.enter_async_context(opening)
        except TimeoutError:
            raise Busy("The server is too busy to begin with the query.", 503, 30) from None
        slow = asyncio.get_running_loop().call_later(self.slow_seconds, session.renice, self.slow_nice)
        line.stack.callback(slow.cancel)
        return session

    async def _query_or_queue(
        self, session: Session, line: Line, *, output: dict[str, Any], seconds: float, most: float
    ) -> AsyncGenerator[Event, None]:
        """Run the query to its end before anything is sent, or leave it to the long queue."""
        job = line.recorded
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        feed = Feed(session.run(request(job, {"spool": True}, again=True)))
        try:
            while (event := await feed.next(max(0.0, until - loop.time()))) is not None:
                line.outcome.note(event)
                if isinstance(event, dict) and event["event"] != "done":
                    yield event
        except TimeoutError:
            line.handed_over = True
            line.leave()
            handing = self._spawn(self._hand_over(session, line, job, feed, most))
            continues = await asyncio.shield(handing)
            yield {"event": "queued", "job": job.id, "continues": continues}
            return
        finally:
            if not line.handed_over:
                feed.close()
        spools = [f"result-{result['index']}.arrow" for result in line.outcome.results]
        async with closing(session.run({"do": "convert", "spools": spools, "output": output})) as converted:
            async for event in converted:
                yield event

    async def _hand_over(self, session: Session, line: Line, job: Job, feed: Feed, most: float) -> bool:
        stack = line.stack.pop_all()
        try:
            adopted = await self.scheduler.adopt(job, line.user, most, session, feed, line.outcome, stack)
            if adopted is None:
                raise cancelled()
        except QueryError as error:
            feed.close()
            await stack.aclose()
            await self._end(job, line, verdict(error))
            raise
        return adopted

    async def _end_when_added(self, adding: asyncio.Task[Job], line: Line) -> None:
        with contextlib.suppress(StoreError):
            await self._end(await adding, line, verdict(QueryError("The client went away.", Kind.CANCELLED)))

    async def _end(self, job: Job, line: Line, columns: dict[str, Any]) -> None:
        """Write it into the history."""
        await settle(job, self.scheduler.terms, {**line.outcome.fields, **columns})
        if self.scheduler.live.get(job.id) is line:
            del self.scheduler.live[job.id]
        self.scheduler.changed(job.id)

    def _spawn(self, coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _query(session: Session, line: Line, *, output: dict[str, Any]) -> AsyncGenerator[Event, None]:
    async with closing(session.run(request(line.recorded, output, again=False))) as events:
        async for event in events:
            line.outcome.note(event)
            yield event
