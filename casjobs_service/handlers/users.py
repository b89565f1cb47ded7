"""Who somebody is here, what they may use, and what waits."""

from __future__ import annotations

from typing import Any

from casjobs_service import models
from casjobs_service.catalog import MYDB, MYSCRATCH
from casjobs_service.handlers.base import Handler, Problem
from casjobs_service.limits import Limits as QueryLimits
from casjobs_service.models import JobKind, Status
from casjobs_service.mydb import UserSpace
from sciserver_common.handlers import needs
from sciserver_common.scopes import CASJOBS_QUERY

PLACES = 20
"""Of so many waiting jobs the places are told."""


class User(Handler):
    """``GET users/{user}``: the number that names a user's schema in MyScratch (``wsid_<number>``)."""

    @needs(CASJOBS_QUERY)
    async def get(self, user: str) -> None:
        if user.lower() == self.user["name"].lower():
            found: models.User | None = await self.space()
        elif self.is_admin:
            found = next((each for each in await self.parts.store.users() if each.name == user), None)
        else:
            raise Problem(403, "You can ask about yourself only.")
        if found is None:
            raise Problem(404, "Nobody of this name has used CasJobs.")
        self.answer({"WebServicesId": found.id, "Name": found.name})


class Limits(Handler):
    """``GET limits``: what somebody may use, and does use."""

    @needs(CASJOBS_QUERY)
    async def get(self) -> None:
        parts, user = self.parts, await self.space()
        own = await active(self, user)
        space = UserSpace(user.id, user.name)
        files, limits = parts.workers.files, parts.scheduler.limits
        self.answer(
            {
                "Quick": of_a_query(parts.quick.limits, parts.quick.seconds),
                "Long": of_a_query(limits, parts.scheduler.time_limit()),
                "MyDB": {"used": files.size(space, MYDB), "quota": limits.quota},
                "MyScratch": {
                    "used": files.size(space, MYSCRATCH),
                    "quota": limits.scratch,
                    "days": parts.scheduler.scratch_days,
                },
                "Running": sum(job.status != Status.READY for job in own),
                "Waiting": sum(job.status == Status.READY for job in own),
                "UploadBytes": parts.upload_bytes,
                "ResultDays": parts.scheduler.result_days,
            }
        )


class Queues(Handler):
    """``GET queues``: what runs and waits, and one's own places."""

    @needs(CASJOBS_QUERY)
    async def get(self) -> None:
        parts = self.parts
        state = await parts.scheduler.state()
        own = await active(self, await self.space(), JobKind.LONG)
        own.sort(key=lambda job: job.id)
        state["Quick"] = {
            "Seconds": parts.quick.seconds,
            "AtOnce": parts.quick.running,
            "AtOncePerUser": parts.quick.per_user,
        }
        state["Yours"] = [
            {
                "JobID": job.id,
                "Status": job.status,
                "Position": None,
                **(await parts.scheduler.waiting(job) if place < PLACES else {}),
            }
            for place, job in enumerate(own)
        ]
        self.answer(state)


async def active(handler: Handler, user: models.User, *kinds: str) -> list[models.Job]:
    """A user's queries that have not ended."""
    statuses = [status for status in Status if not status.ended]
    return await handler.parts.store.jobs(user.id, status=statuses, kinds=kinds)


def of_a_query(limits: QueryLimits, seconds: float) -> dict[str, Any]:
    """What one query may use; sizes in bytes."""
    return {
        "Seconds": seconds,
        "Memory": limits.memory,
        "TemporaryFiles": limits.temp,
        "Result": limits.result,
    }
