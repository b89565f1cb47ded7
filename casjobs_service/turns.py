"""Whose long job is next.

The user with the fewest running jobs comes first, among those the one who was served longest ago; of each user the
oldest job.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from casjobs_service.models import Job, JobKind, Status, User

ACTIVE = (Status.STARTED, Status.CANCELING)
"""A job in one of these is somebody's to run."""


@dataclass(frozen=True)
class Place:
    """Where a waiting job stands.

    Attributes
    ----------
    position
        From 1: this many jobs start until it has started, itself included, if none is added.
    own
        How many of the same user are before it.
    running
        Long jobs of the same user that run.
    """

    position: int
    own: int
    running: int


def place_of(database: Session, job: Job) -> Place | None:
    """Where a waiting job stands; None if it has been started in this moment."""
    theirs = select(Job.user_id, func.count().label("n")).where(*is_waiting()).group_by(Job.user_id).subquery()
    running = _running().subquery()
    crowd = database.execute(
        select(theirs.c.user_id, theirs.c.n, func.coalesce(running.c.n, 0), User.served)
        .join(User, User.id == theirs.c.user_id)
        .outerjoin(running, running.c.user_id == theirs.c.user_id)
    ).all()
    own = database.scalar(select(func.count()).where(*is_waiting(), Job.user_id == job.user_id, Job.id < job.id))
    if all(row[0] != job.user_id for row in crowd):
        return None
    return _position(job.user_id, own or 0, [tuple(row) for row in crowd])


def is_waiting() -> tuple[Any, ...]:
    """Conditions on a job."""
    return Job.status == Status.READY, Job.kind == JobKind.LONG


def _running() -> Select[int, int]:
    return (
        select(Job.user_id, func.count().label("n"))
        .where(Job.status.in_(ACTIVE), Job.kind == JobKind.LONG)
        .group_by(Job.user_id)
    )


def running_of(user_id: int) -> Any:
    """How many long jobs of a user run."""
    wanted = select(func.count()).where(Job.status.in_(ACTIVE), Job.kind == JobKind.LONG, Job.user_id == user_id)
    return wanted.scalar_subquery()


def next_user(per_user: int) -> Select[User]:
    """Whose turn it is; the row is locked, and users whom another service looks at just now are passed over."""
    waiting = select(Job.user_id).where(*is_waiting()).group_by(Job.user_id).subquery()
    running = _running().subquery()
    count = func.coalesce(running.c.n, 0)
    return (
        select(User)
        .join(waiting, waiting.c.user_id == User.id)
        .outerjoin(running, running.c.user_id == User.id)
        .where(count < per_user)
        .order_by(count, User.served.asc().nulls_first(), User.id)
        .limit(1)
        # SQLite has no such words, and needs none: only one transaction writes at a time.
        .with_for_update(of=User, skip_locked=True)
    )


def _position(user_id: int, own: int, crowd: list[tuple[int, int, int, datetime.datetime | None]]) -> Place:
    """Position of the job of `user_id` that has `own` jobs of theirs before it.

    `crowd` are users with their numbers of waiting and running jobs and when they were served last. If nothing ends
    meanwhile, the queue fills level after level: a user's next job starts at the level of how many they have running.
    On one level those come first who were there to begin with, by when they were served; then those who have just
    been raised to it, in the order in which that happened, which is the order of the level before.
    """
    order = {
        user: (-running, served is not None, served or datetime.datetime.min, user)
        for user, _, running, served in crowd
    }
    running = next(row[2] for row in crowd if row[0] == user_id)
    level = running + own
    ahead = own
    for other, count, base, _ in crowd:
        if other != user_id:
            ahead += min(count, max(0, level - base))
            if base <= level < base + count and order[other] < order[user_id]:
                ahead += 1
    return Place(ahead + 1, own, running)
