"""The long queue: whose job runs next, and everything that can happen to it until its end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import functools
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from traitlets import Dict, Float, Integer
from traitlets.config import LoggingConfigurable

from casjobs_service import owner
from casjobs_service.contexts import ContextSource
from casjobs_service.errors import Kind, QueryError
from casjobs_service.feed import Feed, Outcome
from casjobs_service.kept import Kept
from casjobs_service.limits import Limits
from casjobs_service.models import Job, JobKind, Status, User, cancelled
from casjobs_service.run import Run, Terms
from casjobs_service.store import Store, StoreError
from casjobs_service.worker.pool import UserSpace, Workers
from casjobs_service.worker.session import Session

Sources = Callable[[Sequence[str]], Sequence[ContextSource]]
"""The contexts that somebody in these groups of the hub may use. It may read files."""

_TICK = 0.5
"""Seconds between two looks at what other services have put into the database."""

_TROUBLE = 3.0
"""Seconds until a database that does not work is tried again."""

_PURGE = 86400.0
"""Seconds between two searches for old tables in MyScratch."""


class Stoppable(Protocol):
    """Something that runs for a job."""

    async def stop(self, why: QueryError) -> None:
        """End it; `why` goes into the job's record."""


class Scheduler(LoggingConfigurable):
    """Runs long jobs: in turn between users, again after a crash, with results that are kept.

    Parameters
    ----------
    store
        Shared with other services, if there are any.
    workers
        Started, and stopped after this.
    sources
        See `Sources`.
    directory
        The service's directory of data; results are below it.
    limits
        Of each job; time and niceness are this class's.
    """

    queues = Dict(
        {"long": 480.0},
        help="""Queues by name, with their time limits in minutes. A job goes to the shortest whose limit is not below
        the job's estimate; without an estimate, to the longest.""",
    ).tag(config=True)
    running = Integer(max(2, os.cpu_count() or 1), help="Long jobs that run at once, all users together.").tag(
        config=True
    )
    per_user = Integer(1, help="Long jobs of one user that run at once.").tag(config=True)
    waiting_per_user = Integer(5000, help="Long jobs of one user that may wait; more are refused.").tag(config=True)
    attempts = Integer(2, help="How often a job is started when the service or its worker dies while it runs.").tag(
        config=True
    )
    nice = Integer(10, help="Added to the niceness of long jobs, so that quick queries go first.").tag(config=True)
    lease_seconds = Float(
        30.0,
        help="""Where several services share a database, another one takes a job over when its own has not been heard
        of for this time. Seconds.""",
    ).tag(config=True)
    result_days = Float(7.0, help="Results of long jobs are kept for so many days; the history stays.").tag(
        config=True
    )
    scratch_days = Float(30.0, help="Tables in MyScratch are dropped after so many days.").tag(config=True)
    clean_seconds = Float(3600.0, help="Time between two removals of what is too old. Seconds.").tag(config=True)

    def __init__(
        self, store: Store, workers: Workers, sources: Sources, directory: Path, limits: Limits, **traits: Any
    ) -> None:
        super().__init__(**traits)
        self.store = store
        self.workers = workers
        self.sources = sources
        self.directory = directory
        self.limits = limits
        self.kept = Kept(directory / "results")
        self.owner = owner.identity()
        self.live: dict[int, Stoppable] = {}
        """Jobs of any kind that this service has: their leases are renewed."""
        self._runs: dict[int, Run] = {}
        self._changes: dict[int, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False

    # -- for the handlers

    async def submit(
        self,
        user: User,
        *,
        query: str,
        context: str,
        groups: Iterable[str] = (),
        may_write: bool = True,
        dialect: str = "tsql",
        task_name: str = "",
        estimate: int = 0,
        longest: float | None = None,
        into: str = "",
        parameters: Mapping[str, Any] | None = None,
        limit: int = 0,
        output_type: str = "QUERY",
        host_ip: str = "",
    ) -> Job:
        """Put a query into the queue.

        Parameters
        ----------
        estimate
            Minutes; 0 for none.
        longest
            The context's own limit in seconds.
        into
            Table of MyDB for the result.
        parameters
            As they were sent.
        limit
            Rows of each result at most; 0 for all.

        Raises
        ------
        QueryError
            The user has too many waiting, or the database does not work.
        """
        if await self.store.waiting(user.id) >= self.waiting_per_user:
            raise QueryError(
                f"{self.waiting_per_user} jobs of yours wait already.",
                Kind.LIMIT,
                hint="Wait until some have ended, or do more in one job.",
            )
        job = await self.store.add(
            user.id,
            kind=JobKind.LONG,
            query=query,
            context=context,
            groups=sorted(groups),
            may_write=may_write,
            dialect=dialect,
            task_name=task_name,
            estimate=estimate,
            seconds=self.time_limit(estimate, longest),
            into=into,
            parameters=dict(parameters or {}),
            limit=limit,
            output_type=output_type,
            host_ip=host_ip,
        )
        self._wake.set()
        return job

    async def resubmit(
        self,
        job: Job,
        user: User,
        *,
        groups: Iterable[str] = (),
        may_write: bool = True,
        longest: float | None = None,
        host_ip: str = "",
    ) -> Job:
        """Put what somebody ran before, quick or long, into the queue again, with the rights that they have now."""
        names = ("query", "context", "dialect", "task_name", "estimate", "into", "parameters", "limit")
        same = {name: getattr(job, name) for name in names}
        return await self.submit(
            user,
            **same,
            output_type=job.output_type,
            groups=groups,
            may_write=may_write,
            longest=longest,
            host_ip=host_ip,
        )

    def time_limit(self, estimate: int = 0, longest: float | None = None) -> float:
        """Seconds that a job of this estimate (minutes) may run."""
        limits = sorted(self.queues.values())
        minutes = next((limit for limit in limits if limit >= estimate > 0), limits[-1])
        return min(minutes * 60.0, longest or float("inf"))

    async def cancel(self, job_id: int) -> Job | None:
        """Cancel a job of any kind that this service runs; what has ended stays as it is. The job afterwards."""
        job = await self.store.cancel(job_id)
        self.changed(job_id)
        if job is not None and job.status in {Status.CANCELING, Status.CANCELED} and job_id in self.live:
            await self.live[job_id].stop(cancelled())
        return job

    async def wait(self, job: Job, seconds: float) -> Job:
        """The job as soon as it has another status than `job`, or after this time."""
        until = time.monotonic() + seconds
        while True:
            # Before we look: what happens between look and wait must not be missed.
            change = self._changes.setdefault(job.id, asyncio.Event())
            found = await self.store.job(job.id)
            if found is None or found.status != job.status or found.ended or time.monotonic() >= until:
                if found is None or found.ended:
                    self._changes.pop(job.id, None)
                return found or job
            with contextlib.suppress(TimeoutError):
                # Another service may run it, and cannot wake us.
                async with asyncio.timeout(min(2.0, max(0.0, until - time.monotonic()))):
                    await change.wait()

    async def waiting(self, job: Job) -> dict[str, Any]:
        """Where a waiting job stands, and why it does not run yet; empty if it does not wait."""
        place = await self.store.place(job.id) if job.status == Status.READY else None
        if place is None:
            return {}
        ahead = place.position - 1
        if place.running >= self.per_user:
            reason = f"You have {place.running} running; this one starts when one of them has ended."
        elif ahead:
            reason = f"{ahead} start before it." if ahead > 1 else "One starts before it."
        else:
            reason = "It is the next to start."
        return {"Position": place.position, "Reason": reason}

    async def state(self) -> dict[str, Any]:
        """The queues, and what is in them."""
        counts = await self.store.counts()
        return {
            "Queues": [{"Name": name, "Minutes": minutes} for name, minutes in self.queues.items()],
            "Waiting": counts["waiting"],
            "Running": counts["running"],
            "Users": counts["users"],
            "AtOnce": self.running,
            "AtOncePerUser": self.per_user,
            "ResultDays": self.result_days,
        }

    # -- for quick queries

    async def adopt(
        self,
        job: Job,
        user: User,
        seconds: float,
        session: Session,
        feed: Feed,
        outcome: Outcome,
        stack: contextlib.AsyncExitStack,
    ) -> bool | None:
        """Take over a quick query that runs, as a long job.

        Where a place is free it goes on as it is; else it waits, and begins anew.

        Parameters
        ----------
        seconds
            Time limit as a long job.
        stack
            Holds the session; ours from now on.

        Returns
        -------
        Whether it goes on; None if it has ended in this moment.
        """
        # Some more than the queue itself starts, or somebody's could go on only when all others pause.
        free = len(self._runs) < 2 * self.running and await self.store.running(user.id) < self.per_user
        taken = await self.store.to_queue(
            job.id, self.owner, running=free, seconds=seconds, task_name=job.task_name, **outcome.fields
        )
        if not taken or not free:
            feed.close()
            await stack.aclose()
            self._wake.set()
            return False if taken else None
        job.seconds = seconds
        run = Run(job, user, self.terms, outcome)
        session.renice(self.nice)
        self._launch(run, run.go_on(stack, session, feed))
        return True

    def changed(self, job_id: int) -> None:
        """Wake those who wait for a change of this job."""
        change = self._changes.pop(job_id, None)
        if change is not None:
            change.set()

    # -- life

    async def start(self) -> None:
        """Take up what a dead service has left, and begin."""
        await asyncio.to_thread(self.kept.prepare)
        await self._reclaim()
        self._loops = [asyncio.create_task(loop()) for loop in (self._dispatch, self._hold, self._clean)]

    async def stop(self) -> None:
        """Give back what runs: the next service runs it from the beginning, and it does not count as an attempt."""
        self._stopping = True
        self._wake.set()
        if self._loops:
            dispatch, *others = self._loops
            for loop in others:
                loop.cancel()
            # Not cancelled: what it has claimed must be given back.
            await asyncio.wait({dispatch}, timeout=10)
            await asyncio.gather(*others, return_exceptions=True)
        await asyncio.gather(*(run.give_back() for run in self._runs.values()))
        with contextlib.suppress(StoreError):
            await self.store.give_back(self.owner)

    def _launch(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        job_id = run.job.id
        run.task = asyncio.create_task(work)
        self._runs[job_id] = self.live[job_id] = run

        def ended(task: asyncio.Task[None]) -> None:
            del self._runs[job_id], self.live[job_id]
            self.changed(job_id)
            self._wake.set()
            if not task.cancelled() and task.exception() is not None:
                self.log.error("Job %s", job_id, exc_info=task.exception())

        run.task.add_done_callback(ended)
        self.changed(job_id)

    @property
    def terms(self) -> Terms:
        """What its jobs have in common."""
        keep = datetime.timedelta(days=self.result_days)
        return Terms(self.store, self.kept, self.owner, self.attempts, keep, self.log)

    @contextlib.asynccontextmanager
    async def _session(self, user: User, groups: Sequence[str], seconds: float) -> AsyncIterator[Session]:
        sources = await asyncio.to_thread(self.sources, groups)
        limits = dataclasses.replace(self.limits, seconds=seconds, nice=self.nice)
        async with self.workers.session(UserSpace(user.id, user.name), limits, sources) as session:
            yield session

    async def _dispatch(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause = _TICK
            try:
                while len(self._runs) < self.running and not self._stopping:
                    claimed = await self.store.claim(self.owner, self.per_user, self.lease_seconds)
                    if claimed is None:
                        break
                    job, user = claimed
                    run = Run(job, user, self.terms)
                    session = functools.partial(self._session, user, job.groups, job.seconds)
                    self._launch(run, run.go(contextlib.AsyncExitStack(), session))
                # Somebody may have cancelled at another service.
                for job_id in await self.store.cancelling(self.owner) if self.live else ():
                    if job_id in self.live:
                        await self.live[job_id].stop(cancelled())
            except Exception as error:
                if not isinstance(error, StoreError):
                    self.log.exception("The queue")
                pause = _TROUBLE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _hold(self) -> None:
        """Renew the leases of what runs here; take up what runs nowhere."""
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            with contextlib.suppress(StoreError):
                asked = set(self.live)
                held = await self.store.renew(self.owner, asked, self.lease_seconds)
                for job_id in (asked - held) & set(self.live):
                    # Ended in this moment; or the database was away for so long that another service has it.
                    job = await self.store.job(job_id)
                    if (job is None or job.owner != self.owner) and job_id in self.live:
                        await self.live[job_id].stop(QueryError("Another service runs it.", Kind.INTERNAL))
                await self._reclaim()

    async def _reclaim(self) -> None:
        for job in await self.store.reclaim(owner.gone, set(self.live), self.attempts):
            self.log.warning("Job %s was left by a service that is gone; its status is now %s", job.id, job.status)
            self.changed(job.id)
        self._wake.set()

    async def _clean(self) -> None:
        purged = -math.inf
        while True:
            try:
                await self.remove_old_results()
                if time.monotonic() - purged > _PURGE:
                    purged = time.monotonic()
                    await self.purge_scratch()
            except Exception as error:
                if not isinstance(error, StoreError):
                    self.log.exception("What is too old could not be removed")
            await asyncio.sleep(self.clean_seconds)

    async def remove_old_results(self) -> None:
        """Remove results whose time is over, and what dead services have left."""
        await self.store.forget_results()
        # In this order: a result that is kept meanwhile is not among those that we look at.
        homes = await asyncio.to_thread(self.kept.homes)
        named = await self.store.homes(set(homes.values()))
        idle = [home for home, job in homes.items() if job not in named or named[job] not in {None, home}]
        await asyncio.to_thread(self.kept.remove, idle)

    async def purge_scratch(self) -> None:
        """Drop tables in MyScratch that are too old, one user after the other."""
        ids = await asyncio.to_thread(self._scratch_users)
        for user in await self.store.users(ids):
            try:
                async with self._session(user, (), 600.0) as session:
                    async for _ in session.run({"do": "purge", "days": self.scratch_days}):
                        pass
            except QueryError as error:
                self.log.warning("MyScratch of user %s: %s", user.id, error)

    def _scratch_users(self) -> list[int]:
        found = (self.directory / "scratch").glob("[0-9]*/scratch.duckdb")
        return [int(path.parent.name) for path in found]
