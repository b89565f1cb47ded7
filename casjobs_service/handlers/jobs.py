"""The long queue, and the history of all queries."""

from __future__ import annotations

import datetime
import re
from typing import Any

from casjobs_service import models
from casjobs_service.contexts import Context
from casjobs_service.handlers.base import Handler, Problem
from casjobs_service.handlers.queries import read
from casjobs_service.handlers.streams import output, send
from sciserver_common.handlers import needs
from sciserver_common.scopes import CASJOBS_QUERY, CASJOBS_WRITE

LONGEST_WAIT = 60
"""Seconds; proxies give up on silent requests after a while."""

DAY = re.compile(r"\d{4}-?\d{2}-?\d{2}")


class JobsHandler(Handler):
    """Base of those below."""

    async def owner(self) -> models.User:
        """Whose jobs are meant: the caller's, or for administrators those of ``?owner=``.

        Raises
        ------
        Problem
            403: the caller is no administrator. 404: nobody of this name has ever used the service.
        """
        name = self.parameter("owner")
        if name is None or name == self.user["name"]:
            return await self.space()
        if not self.is_admin:
            raise Problem(403, "Only administrators see the jobs of others.")
        found = [user for user in await self.parts.store.users() if user.name == name]
        if not found:
            raise Problem(404, "Nobody of this name has used CasJobs.")
        return found[0]

    async def job(self, number: str) -> models.Job:
        """A job of the caller, or for administrators any.

        Raises
        ------
        Problem
            404: there is none of this number, or it is somebody else's.
        """
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise Problem(404, "A job's number has only digits.")
        found = await self.parts.store.job(int(number), None if self.is_admin else (await self.space()).id)
        if found is None:
            raise Problem(404, f"There is no job {int(number)} of yours.")
        return found

    async def described(self, job: models.Job) -> dict[str, Any]:
        """A job as clients get it."""
        return {**self.record(job), "Position": None, **await self.parts.scheduler.waiting(job)}

    def record(self, job: models.Job) -> dict[str, Any]:
        """The same without its place in the queue, which takes a question to the database."""
        value = job.to_json()
        if value["Results"]:
            number = value["Results"][0]["index"]
            value["OutputLoc"] = f"{self.parts.public_url}/RestApi/jobs/{job.id}/results/{number}"
        return value

    def longest(self, context: str) -> float | None:
        """The context's own limit for long jobs, in seconds."""
        found = self.database(context)
        return found.long_seconds if isinstance(found, Context) else None


class Submission(JobsHandler):
    """``PUT contexts/{context}/jobs``: to the long queue. The answer is the job's number and nothing else."""

    @needs(CASJOBS_WRITE)
    async def put(self, context: str) -> None:
        request = read(self, context)
        job = await self.parts.scheduler.submit(
            await self.space(),
            query=request.query,
            context=request.context,
            groups=self.groups,
            may_write=True,
            dialect=request.dialect,
            parameters=request.parameters,
            limit=request.limit,
            task_name=request.task_name,
            estimate=request.estimate,
            longest=self.longest(context),
            into=request.into,
        )
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        await self.finish(str(job.id))


class Jobs(JobsHandler):
    """``GET jobs``: the history, the latest first."""

    @needs(CASJOBS_QUERY)
    async def get(self) -> None:
        before = self.parameter("before")
        found = await self.parts.store.jobs(
            (await self.owner()).id,
            submitted_from=moment("submittedFrom", self.parameter("submittedFrom")),
            submitted_to=moment("submittedTo", self.parameter("submittedTo"), end=True),
            status=statuses(self.parameter("status")),
            context=self.parameter("context") or "",
            search=self.parameter("search") or "",
            kinds=kinds(self.parameter("kind")),
            top=self.number("top", 0, lowest=1, highest=100_000) or None,
            before=self.number("before", 0, lowest=1, highest=2**62) if before else None,
        )
        self.answer([self.record(job) for job in found])


class Job(JobsHandler):
    """``jobs/{job}``: one query."""

    ends_with_client = True

    @needs(CASJOBS_QUERY)
    async def get(self, job: str) -> None:
        seconds = self.number("wait", 0, lowest=0, highest=LONGEST_WAIT)
        found = await self.job(job)
        if seconds and not found.ended:
            found = await self.parts.scheduler.wait(found, seconds)
        self.answer(await self.described(found))

    @needs(CASJOBS_WRITE)
    async def delete(self, job: str) -> None:
        found = await self.job(job)
        found = await self.parts.scheduler.cancel(found.id) or found
        self.answer(await self.described(found))


class Result(JobsHandler):
    """``GET jobs/{job}/results/{result}``: what a query of the long queue has returned, in any format."""

    ends_with_client = True

    @needs(CASJOBS_QUERY)
    async def get(self, job: str, result: str) -> None:
        form = self.form()
        found = await self.job(job)
        wanted = [each for each in found.results if str(each["index"]) == result.lstrip("0")]
        if not wanted:
            raise Problem(404, self.absence(found, result))
        name = f"job-{found.id}-{wanted[0]['index']}"
        events = self.parts.kept(await self.owner_of(found), wanted, output(self, form))
        try:
            await send(self, events, form, name)
        except FileNotFoundError as error:
            raise Problem(404, f"The results of job {found.id} have just been removed. Submit it again.") from error

    async def owner_of(self, job: models.Job) -> models.User:
        """Whose job it is: the worker that reads the result is theirs."""
        own = await self.space()
        return own if own.id == job.user_id else (await self.parts.store.users([job.user_id]))[0]

    @staticmethod
    def absence(job: models.Job, result: str) -> str:
        """Why there is nothing."""
        if not job.ended:
            return f"Job {job.id} has not ended yet."
        if job.status != models.Status.FINISHED:
            return f"Job {job.id} has not finished: {job.message}"
        if job.results:
            return f"Job {job.id} has no result {result[:20]}."
        return f"Job {job.id} has no results, or they were removed because they are too old. Submit it again."


class Resubmission(JobsHandler):
    """``POST jobs/{job}/resubmit``: once more, to the long queue."""

    @needs(CASJOBS_WRITE)
    async def post(self, job: str) -> None:
        found = await self.job(job)
        if found.kind == models.JobKind.UPLOAD:
            raise Problem(400, "An upload cannot be run again: send the file again.")
        new = await self.parts.scheduler.resubmit(
            found,
            await self.space(),
            groups=self.groups,
            may_write=True,
            longest=self.longest(found.context),
        )
        self.answer(await self.described(new))


def moment(name: str, text: str | None, *, end: bool = False) -> datetime.datetime | None:
    """A date or time in UTC without a zone; with `end`, the end of a day.

    Raises
    ------
    Problem
        400: it is neither.
    """
    if not text or not text.strip():
        return None
    text = text.strip()
    try:
        # A "+" of a zone that was not encoded is a blank by now.
        value = datetime.datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        if end and DAY.fullmatch(text):
            value += datetime.timedelta(days=1, microseconds=-1)
    except (ValueError, OverflowError) as error:
        raise Problem(400, f"{name} is not a date or time such as 2026-01-31 or 2026-01-31T12:00:00Z.") from error
    return value


def statuses(text: str | None) -> list[int]:
    """Numbers or names, with commas.

    Raises
    ------
    Problem
        400: there is another one.
    """
    found = []
    for word in filter(None, (part.strip() for part in (text or "").split(","))):
        names = {status.name.lower(): status for status in models.Status}
        names |= {str(int(status)): status for status in models.Status}
        if word.lower() not in names:
            raise Problem(400, f"There is no status {word[:20]!r}.", hint="Use numbers from 0 to 5.")
        found.append(int(names[word.lower()]))
    return found


def kinds(text: str | None) -> list[str]:
    """Kinds of queries, with commas.

    Raises
    ------
    Problem
        400: there is another one.
    """
    found = [part.strip().lower() for part in (text or "").split(",") if part.strip()]
    for word in found:
        if word not in set(models.JobKind):
            raise Problem(400, f"There is no kind {word[:20]!r}.", hint=f"There is: {', '.join(models.JobKind)}.")
    return found
