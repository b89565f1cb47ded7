"""Queries and jobs that are waited for: progress is shown, an interrupt cancels them on the server."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from SciServer.core import Client, Job, JobStatus, QueryError, QueryQueued, QueryTimeout, Result, SciServerError
from SciServer.core.errors import ServiceError
from SciServer.magics.errors import excerpt, shown_as
from SciServer.magics.progress import Reporter, can_answer

if TYPE_CHECKING:
    from SciServer.magics.templates import Query


@dataclass(frozen=True)
class Wish:
    """How a query is to run.

    Attributes
    ----------
    again
        A sentence that says how to run it in the long queue.
    limit
        Rows that are wanted at most.
    """

    context: str
    again: str = ""
    limit: int | None = None
    on_timeout: str = "fail"
    dialect: str | None = None
    name: str = ""
    minutes: int | None = None


class explained:
    """For ``with``: errors of the services are shown without a traceback, and at their place in the query.

    It is no generator of `contextlib`, which would give the error back the frames that are to be dropped.
    """

    def __init__(self, query: Query | None = None) -> None:
        self.query = query

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, SciServerError | KeyboardInterrupt):
            return
        # If it was in such a block before, that one knew more of it.
        if not hasattr(error, "_render_traceback_"):
            lines = _lines(error, self.query) if isinstance(error, SciServerError) else ["Interrupted."]
            shown_as(error, lines)
        raise error.with_traceback(None) from None


def _lines(error: SciServerError, query: Query | None) -> list[str]:
    lines = [str(error)]
    if isinstance(error, QueryError):
        lines = [error.message]
        if error.line is not None and query is not None:
            lines += query.excerpt(error.line, error.column or 1)
        lines += [error.hint] if error.hint else []
    elif isinstance(error, ServiceError) and error.request_id and (error.status or 0) >= 500:
        lines.append(f"If you report this, name the request {error.request_id}.")
    return lines


def act(actions: Callable[[], object], name: str, options: argparse.Namespace) -> Any:
    """Carry out a command; what goes wrong is shown without a traceback.

    Parameters
    ----------
    actions
        Makes the object that has a method for each command.
    """
    with explained():
        try:
            return getattr(actions(), name)(options)
        except OSError as error:
            raise SciServerError(f"{error.filename or 'The file'}: {error.strerror}") from None


class Runner:
    """Runs queries for a shell; who calls it stands in a block of `explained`."""

    def __init__(self, shell: Any, client: Client) -> None:
        self.shell = shell
        self.casjobs = client.casjobs

    def results(self, query: Query, wish: Wish) -> list[Result]:
        """Run a query now; its results, with all rows.

        A stream holds one result. A script with several runs as a job, whose results are fetched one by one.

        Raises
        ------
        QueryError
            It cannot be run, or has failed.
        KeyboardInterrupt
            The user has interrupted it; it is cancelled.
        """
        on_timeout: Literal["fail", "queue"] = "fail"
        if wish.on_timeout == "queue" or (wish.on_timeout == "ask" and can_answer(self.shell)):
            on_timeout = "queue"
        # With "queue" the service finds out only at the end, when everything has been done.
        if on_timeout == "queue" and self._selects(query, wish) > 1:
            return self.by_job(query, wish)
        try:
            return [self._streamed(query, wish, on_timeout)]
        except QueryQueued as queued:
            job = self._accepted(queued.job) if wish.on_timeout == "ask" else queued.job
            return self.fetched(self.wait(job, query), limit=wish.limit)
        except QueryTimeout as error:
            error.hint = f"As a job it has hours. {wish.again}"
            raise
        except QueryError as error:
            if error.kind != "unsupported" or error.line is not None or self._selects(query, wish) < 2:
                raise
        return self.by_job(query, wish)

    def by_job(self, query: Query, wish: Wish) -> list[Result]:
        """The same in the long queue."""
        return self.fetched(self.wait(self.submit(query, wish), query), limit=wish.limit)

    def submit(self, query: Query, wish: Wish, into: str | None = None) -> Job:
        """Send it to the long queue."""
        return self.casjobs.submit(
            query.sql,
            wish.context,
            parameters=query.parameters,
            into=into,
            name=wish.name,
            minutes=wish.minutes,
            dialect=wish.dialect,
        )

    def wait(self, job: Job, query: Query | None = None, *, keep: bool = False) -> Job:
        """Wait until a job has ended well.

        Parameters
        ----------
        query
            Which the job runs, if it is known how the user wrote it.
        keep
            An interrupt does not cancel it.

        Raises
        ------
        QueryError
            It has failed, or was cancelled.
        """
        reporter = Reporter(self.shell, f"Job {job.id}")
        try:
            with reporter:
                found = self.casjobs.wait(job, progress=reporter)
        except KeyboardInterrupt as interrupt:
            raise self._interrupted(interrupt, job, keep) from None
        if found.error is not None:
            raise shown_as(found.error, _failed(found, found.error, query)) from None
        return found

    def fetched(self, job: Job, number: int | None = None, limit: int | None = None) -> list[Result]:
        """What a job has returned: one of its results, or all."""
        numbers = job.results if number is None else (number,)
        found = []
        for each in numbers:
            reporter = Reporter(self.shell, f"Result {each} of job {job.id}")
            with reporter:
                result = self.casjobs.job_result(job, each, limit=limit, progress=reporter)
                result.arrow()
            found.append(result)
        return found

    def _streamed(self, query: Query, wish: Wish, on_timeout: Literal["fail", "queue"]) -> Result:
        reporter = Reporter(self.shell, f"Query in {wish.context}")
        try:
            with reporter:
                result = self.casjobs.query(
                    query.sql,
                    wish.context,
                    parameters=query.parameters,
                    dialect=wish.dialect,
                    limit=wish.limit,
                    on_timeout=on_timeout,
                    name=wish.name,
                    progress=reporter,
                )
                # If it is interrupted here, the block closes the stream, and the service cancels the query.
                with result:
                    result.arrow()
        except KeyboardInterrupt as interrupt:
            said = "Interrupted. The server cancels the query."
            raise shown_as(interrupt, [said]) from None
        return result

    def _selects(self, query: Query, wish: Wish) -> int:
        """How many results it will have; nothing is run for that."""
        plan = self.casjobs.explain(query.sql, wish.context, parameters=query.parameters, dialect=wish.dialect)
        return sum(statement.get("action") == "select" for statement in plan["statements"])

    def _accepted(self, job: Job) -> Job:
        """Ask whether to wait for a query that was too slow; if not, cancel it."""
        answer = "n"
        try:
            answer = input(f"The time of a quick query is over. Go on with it as job {job.id}? [Y/n] ")
        except (KeyboardInterrupt, EOFError):
            pass
        if answer.strip().lower() in {"", "y", "yes"}:
            return job
        self.casjobs.cancel(job)
        raise QueryTimeout("The time of a quick query is over, and it was cancelled.", status=504, kind="timeout")

    def _interrupted(self, interrupt: KeyboardInterrupt, job: Job, keep: bool) -> BaseException:
        """What the user sees who has interrupted the waiting for a job."""
        if keep:
            return shown_as(interrupt, [f"Interrupted. Job {job.id} goes on: %casjobs wait {job.id}"])
        cancelled = self.casjobs.cancel(job)
        what = "had ended before" if cancelled.status in {JobStatus.FINISHED, JobStatus.FAILED} else "is cancelled"
        return shown_as(interrupt, [f"Interrupted. Job {job.id} {what}."])


def _failed(job: Job, error: QueryError, query: Query | None) -> list[str]:
    """What to say of a job that has not ended well."""
    first = f"Job {job.id}: {error.message}"
    if error.line is None:
        return [first, *([error.hint] if error.hint else [])]
    place = (error.line, error.column or 1)
    shown = query.excerpt(*place) if query is not None else excerpt(job.query, *place)
    return [first, *shown, *([error.hint] if error.hint else [])]
