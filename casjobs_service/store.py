"""The metadata database: who has run what, what waits, what runs where.

Several services may share one database (PostgreSQL). Each change of a job's state is one statement or one short
transaction that names the state it starts from, so that of two services only one succeeds.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError

from casjobs_service.database import Database, StoreError, clean, storable, threaded
from casjobs_service.errors import Kind, QueryError
from casjobs_service.models import Job, JobKind, Status, User, cancelled, now
from casjobs_service.turns import ACTIVE, Place, is_waiting, next_user, place_of, running_of

__all__ = ["Store", "StoreError"]


class Store(Database):
    """The database. Methods that touch it are coroutines; they raise `StoreError` when it does not work.

    Parameters
    ----------
    url
        SQLAlchemy URL, e.g. ``sqlite:////…/casjobs.sqlite`` or ``postgresql://user@host/name``. Tables are made, or
        migrated, when the store is opened.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._users: dict[str, User] = {}

    # -- users

    @threaded
    def user(self, name: str) -> User:
        """The user of that name at the hub; made at first use."""
        if name in self._users:
            return self._users[name]
        wanted = select(User).where(User.name == name)
        with self.reading() as database:
            user = database.scalar(wanted)
        if user is None:
            try:
                with self.writing() as database:
                    user = User(name=name)
                    database.add(user)
            except IntegrityError:  # another request of theirs was faster
                with self.reading() as database:
                    user = database.scalars(wanted).one()
        self._users[name] = user
        return user

    @threaded
    def users(self, ids: Collection[int] | None = None) -> list[User]:
        """Those with these ids, or everybody, in order of their ids."""
        wanted = select(User).order_by(User.id)
        with self.reading() as database:
            return list(database.scalars(wanted if ids is None else wanted.where(User.id.in_(ids))))

    # -- history

    @threaded
    def add(self, user_id: int, *, lease: float | None = None, **fields: Any) -> Job:
        """Note a query before anything is done with it.

        Parameters
        ----------
        lease
            Seconds until others may take it to be left, unless it is renewed.
        fields
            Columns of `Job`.
        """
        fields["lease_until"] = None if lease is None else _in(lease)
        job = Job(user_id=user_id, **{name: storable(name, value) for name, value in fields.items()})
        with self.writing() as database:
            database.add(job)
        return job

    @threaded
    def job(self, job_id: int, user_id: int | None = None) -> Job | None:
        """One job; None if there is none, or it is not this user's."""
        if not -(2**63) <= job_id < 2**63:
            return None
        with self.reading() as database:
            job = database.get(Job, job_id)
        return job if job is not None and user_id in {None, job.user_id} else None

    @threaded
    def jobs(
        self,
        user_id: int,
        *,
        submitted_from: datetime.datetime | None = None,
        submitted_to: datetime.datetime | None = None,
        status: Collection[int] = (),
        context: str = "",
        search: str = "",
        kinds: Collection[str] = (),
        top: int | None = None,
        before: int | None = None,
    ) -> list[Job]:
        """Queries of a user, the latest first.

        Parameters
        ----------
        submitted_from, submitted_to
            UTC without a zone; both included.
        context
            In any case.
        search
            Text, in any case, that the query or its task name contains.
        top
            At most so many.
        before
            Only ids below this one: the last id of one page asks for the next.
        """
        wanted = select(Job).where(Job.user_id == user_id)
        if submitted_from is not None:
            wanted = wanted.where(Job.time_submit >= submitted_from)
        if submitted_to is not None:
            wanted = wanted.where(Job.time_submit <= submitted_to)
        if status:
            wanted = wanted.where(Job.status.in_(status))
        if context:
            wanted = wanted.where(func.lower(Job.context) == context.lower())
        if search:
            text = storable("search", search)
            wanted = wanted.where(
                or_(Job.query.icontains(text, autoescape=True), Job.task_name.icontains(text, autoescape=True))
            )
        if kinds:
            wanted = wanted.where(Job.kind.in_(kinds))
        if before is not None:
            wanted = wanted.where(Job.id < before)
        with self.reading() as database:
            return list(database.scalars(wanted.order_by(Job.id.desc()).limit(top)))

    # -- a job's life

    @threaded
    def start(self, job_id: int, owner: str, lease: float) -> bool:
        """A quick query that has waited begins; false if it was cancelled meanwhile."""
        return self._change(
            job_id,
            Status.READY,
            status=Status.STARTED,
            time_start=now(),
            attempts=1,
            owner=owner,
            lease_until=_in(lease),
        )

    @threaded
    def progress(self, job_id: int, owner: str, **fields: Any) -> None:
        """Note how far a running job is."""
        with self.writing() as database:
            database.execute(update(Job).where(*_mine(job_id, owner)).values(**clean(fields)))

    @threaded
    def end(self, job_id: int, owner: str, status: Status, **fields: Any) -> bool:
        """Note how a job has ended.

        Returns
        -------
        Whether that is now in the record. False: another service has it since our lease ran out, and what we have
        made must be thrown away. Doing it again, because nobody knows whether the first time worked, does no harm.
        """
        fields = {"time_end": now(), "lease_until": None, **clean(fields)}
        with self.writing() as database:
            changed = database.execute(
                update(Job).where(*_mine(job_id, owner)).values(status=status, **fields).returning(Job.id)
            ).all()
            if changed:
                return True
            found = database.execute(select(Job.status, Job.owner).where(Job.id == job_id)).one_or_none()
            return found is not None and tuple(found) == (status, owner)

    @threaded
    def cancel(self, job_id: int) -> Job | None:
        """Cancel what waits, mark what runs; what has ended stays as it is. The job afterwards."""
        with self.writing() as database:
            waiting = update(Job).where(Job.id == job_id, Job.status == Status.READY)
            ended = {"status": Status.CANCELED, "time_end": now(), "lease_until": None}
            if not database.execute(waiting.values(**ended, error=cancelled().to_json()).returning(Job.id)).all():
                running = update(Job).where(Job.id == job_id, Job.status == Status.STARTED)
                database.execute(running.values(status=Status.CANCELING))
            return database.get(Job, job_id, populate_existing=True)

    @threaded
    def cancelling(self, owner: str) -> list[int]:
        """Jobs that `owner` runs and somebody has cancelled."""
        with self.reading() as database:
            wanted = select(Job.id).where(Job.status == Status.CANCELING, Job.owner == owner)
            return list(database.scalars(wanted))

    # -- the queue

    @threaded
    def claim(self, owner: str, per_user: int, lease: float) -> tuple[Job, User] | None:
        """Start the next long job.

        The user with the fewest running jobs comes first, among those the one who was served longest ago; theirs is
        the oldest job.

        Parameters
        ----------
        per_user
            So many of one user run at once, whichever service runs them.
        lease
            Seconds.

        Returns
        -------
        The job, now Started and ours, and its user; None if nothing may start.
        """
        while True:
            with self.writing() as database:
                user = database.scalar(next_user(per_user))
                if user is None:
                    return None
                # Another service may have started one of theirs between the count and our lock on them.
                if (database.scalar(select(running_of(user.id))) or 0) >= per_user:
                    continue
                oldest = select(func.min(Job.id)).where(*is_waiting(), Job.user_id == user.id)
                job = database.scalar(
                    update(Job)
                    .where(Job.id == oldest.scalar_subquery(), Job.status == Status.READY)
                    .values(
                        status=Status.STARTED,
                        time_start=now(),
                        owner=owner,
                        lease_until=_in(lease),
                        attempts=Job.attempts + 1,
                    )
                    .returning(Job)
                )
                if job is not None:  # else it was cancelled in this instant
                    user.served = job.time_start
                    return job, user

    @threaded
    def place(self, job_id: int) -> Place | None:
        """Where a long job stands; None if it does not wait."""
        with self.reading() as database:
            job = database.get(Job, job_id)
            if job is None or job.status != Status.READY or job.kind != JobKind.LONG:
                return None
            return place_of(database, job)

    @threaded
    def counts(self) -> dict[str, int]:
        """Long jobs: how many are ``waiting`` and ``running``, and of how many ``users``."""
        with self.reading() as database:
            rows = database.execute(
                select(Job.status, Job.user_id, func.count())
                .where(Job.kind == JobKind.LONG, Job.status.in_((Status.READY, *ACTIVE)))
                .group_by(Job.status, Job.user_id)
            ).all()
        return {
            "waiting": sum(count for status, _, count in rows if status == Status.READY),
            "running": sum(count for status, _, count in rows if status != Status.READY),
            "users": len({user for _, user, _ in rows}),
        }

    @threaded
    def running(self, user_id: int) -> int:
        """How many long jobs of a user run."""
        with self.reading() as database:
            return database.scalar(select(running_of(user_id))) or 0

    @threaded
    def waiting(self, user_id: int) -> int:
        """How many long jobs of a user wait."""
        with self.reading() as database:
            return database.scalar(select(func.count()).where(*is_waiting(), Job.user_id == user_id)) or 0

    @threaded
    def to_queue(self, job_id: int, owner: str, *, running: bool, **fields: Any) -> bool:
        """Make a quick query that runs a long job: one that goes on, or one that waits."""
        waits = {"status": Status.READY, "attempts": 0, "owner": "", "lease_until": None, "time_start": None}
        status = {} if running else waits
        with self.writing() as database:
            changed = database.execute(
                update(Job)
                .where(*_mine(job_id, owner), Job.status == Status.STARTED)
                .values(kind=JobKind.LONG, **status, **clean(fields))
                .returning(Job.id)
            )
            return bool(changed.all())

    # -- leases

    @threaded
    def renew(self, owner: str, ids: Collection[int], lease: float) -> set[int]:
        """Say that `owner` still has these jobs; returns those that are its own indeed."""
        with self.writing() as database:
            changed = database.scalars(
                update(Job)
                .where(Job.id.in_(ids), Job.owner == owner, Job.status.in_((Status.READY, *ACTIVE)))
                .values(lease_until=_in(lease))
                .returning(Job.id)
            )
            return set(changed)

    @threaded
    def reclaim(self, gone: Callable[[str], bool], living: Collection[int], attempts: int) -> list[Job]:
        """Deal with jobs that nobody runs any more.

        Parameters
        ----------
        gone
            Whether the process of that `owner` is known to have ended, whatever its leases say.
        living
            Ids that this process runs: theirs cannot have run out.
        attempts
            A long job that was started less often goes back into the queue, another one has failed.

        Returns
        -------
        The jobs in their new states.
        """
        with self.writing() as database:
            held = select(Job).where(
                or_(
                    Job.status.in_(ACTIVE),
                    (Job.status == Status.READY) & (Job.kind != JobKind.LONG),
                )
            )
            if not self.sqlite:
                held = held.with_for_update(skip_locked=True)
            moment = now()
            lost = [
                job
                for job in database.scalars(held)
                if job.id not in living and (job.lease_until is None or job.lease_until < moment or gone(job.owner))
            ]
            for job in lost:
                _give_up(job, attempts)
            return lost

    @threaded
    def give_back(self, owner: str) -> None:
        """Let others run the long jobs of `owner`, as if they had not begun; cancelled ones end."""
        with self.writing() as database:
            mine = (Job.owner == owner, Job.kind == JobKind.LONG)
            back = {"lease_until": None, "owner": "", "statement": 0, "fraction": None}
            database.execute(
                update(Job)
                .where(*mine, Job.status == Status.STARTED)
                .values(status=Status.READY, time_start=None, attempts=Job.attempts - 1, **back)
            )
            database.execute(
                update(Job)
                .where(*mine, Job.status == Status.CANCELING)
                .values(status=Status.CANCELED, time_end=now(), error=cancelled().to_json(), **back)
            )

    @threaded
    def retry(self, job_id: int, owner: str) -> bool:
        """Put a job whose worker has died back into the queue, as one attempt more; false if it is not ours."""
        return self._change(
            job_id,
            Status.STARTED,
            Job.owner == owner,
            status=Status.READY,
            owner="",
            lease_until=None,
            time_start=None,
            statement=0,
            fraction=None,
        )

    # -- results

    @threaded
    def forget_results(self) -> None:
        """Strike results whose time is over from the record; their files can go then."""
        with self.writing() as database:
            database.execute(update(Job).where(Job.results_until < now()).values(results=[], results_until=None))

    @threaded
    def homes(self, ids: Collection[int]) -> dict[int, str | None]:
        """Directories of the results of those of these jobs that have some; None for jobs that may get some."""
        wanted = select(Job.id, Job.results).where(
            Job.id.in_(ids), or_(Job.results_until.is_not(None), Job.status < Status.CANCELED)
        )
        with self.reading() as database:
            found = database.execute(wanted).all()
        return {job: results[0]["file"].partition("/")[0] if results else None for job, results in found}

    # --

    def _change(self, job_id: int, before: Status, *conditions: Any, **values: Any) -> bool:
        with self.writing() as database:
            statement = update(Job).where(Job.id == job_id, Job.status == before, *conditions)
            return bool(database.execute(statement.values(**values).returning(Job.id)).all())


def _mine(job_id: int, owner: str) -> tuple[Any, ...]:
    return Job.id == job_id, Job.owner == owner, Job.status < Status.CANCELED


def _give_up(job: Job, attempts: int) -> None:
    """The service that had the job is gone."""
    job.lease_until = None
    if job.status == Status.CANCELING:
        job.status, job.error = Status.CANCELED, cancelled().to_json()
    elif job.kind != JobKind.LONG:
        job.status = Status.FAILED
        job.error = QueryError(
            "The service was restarted while this query ran. It was not run again.", Kind.INTERNAL
        ).to_json()
    elif job.attempts < attempts:
        job.status, job.time_start, job.statement, job.fraction = Status.READY, None, 0, None
    else:
        job.status = Status.FAILED
        job.error = QueryError(
            f"The service ended {job.attempts} times while this query ran; it is not tried again.",
            Kind.INTERNAL,
            hint="If the query needs very much memory, try it in smaller steps.",
        ).to_json()
    if Status(job.status).ended:
        job.time_end = now()
    else:
        job.owner = ""


def _in(seconds: float) -> datetime.datetime:
    return now() + datetime.timedelta(seconds=seconds)
