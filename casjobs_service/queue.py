"""The long queue: whose job runs next, and everything that can happen to it until its end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

from traitlets import Dict, Float, Integer
from traitlets.config import LoggingConfigurable

from casjobs_service import owner
from casjobs_service.contexts import ContextSource
from casjobs_service.errors import Kind, QueryError
from casjobs_service.feed import Feed, Outcome
from casjobs_service.kept import Kept
from casjobs_service.limits import Limits
from casjobs_service.models import Job, JobKind, Status, User, cancelled
from casjobs_service.store import Store, StoreError
from casjobs_service.worker.pool import UserSpace, Workers
from casjobs_service.worker.session import Session

Sources = Callable[[Sequence[str]], Sequence[ContextSource]]
"""The contexts that somebody in these groups of the hub may use. It may read files."""

_TICK = 0.5
"""Seconds between two looks at what other services have put into the database."""

_PROGRESS = 1.0
"""Seconds between two notes of a job's progress."""


class Run:
    """A job that this process runs."""

    def __init__(self, job: Job, user: User) -> None:
        self.job = job
        self.user = user
        self.outcome = Outcome()
        self.session: Session | None = None
        self.task: asyncio.Task[None] | None = None
        self.why: QueryError | None = None
        """Why we end it, if we do."""
        self.given_back = False

    async def stop(self, why: QueryError) -> None:
        """End it; `why` goes into its record."""
        self.why = self.why or why
        if self.session is not None:
            await self.session.cancel(why.kind, why.message)
        elif self.task is not None:
            self.task.cancel()


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
        self.live: set[int] = set()
        """Jobs of any kind that this process runs: their leases are renewed."""
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

        Raises
        ------
        StoreError
        """
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
        same = {name: getattr(job, name) for name in ("query", "context", "dialect", "task_name", "estimate", "into")}
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
        if job is not None and job.status == Status.CANCELING and job_id in self._runs:
            await self._runs[job_id].stop(cancelled())
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
        return {
            "Queues": [{"Name": name, "Minutes": minutes} for name, minutes in self.queues.items()],
            "Waiting": (counts := await self.store.counts())["waiting"],
            "Running": counts["running"],
            "Users": counts["users"],
            "AtOnce": self.running,
            "AtOncePerUser": self.per_user,
            "ResultDays": self.result_days,
        }

    # -- for quick queries

    def changed(self, job_id: int) -> None:
        """Wake those who wait for a change of this job."""
        change = self._changes.pop(job_id, None)
        if change is not None:
            change.set()

    async def adopt(
        self, job: Job, user: User, seconds: float, feed: Feed, outcome: Outcome, stack: contextlib.AsyncExitStack
    ) -> bool:
        """Take over a quick query that runs, as a long job.

        Where a place is free it goes on as it is; else it waits, and begins anew.

        Parameters
        ----------
        stack
            Holds the session; ours after this returns.

        Returns
        -------
        Whether it goes on.
        """
        raise NotImplementedError

    # -- life

    async def start(self) -> None:
        """Take up what a dead service has left, and begin."""
        await asyncio.to_thread(self.kept.prepare)

    async def stop(self) -> None:
        """Give back what runs: another service, or the next one, runs it from the beginning."""
