"""What can go wrong. The text of an error never has a token in it, nor an address that has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from SciServer.core.models import Job


class SciServerError(Exception):
    """Base of all errors of this package; the text says what to do."""


class SettingsError(SciServerError):
    """`sciscript.json`, or a setting, cannot be used."""


class ServiceError(SciServerError):
    """A service has refused, or failed.

    Attributes
    ----------
    status
        HTTP status; None if no answer came.
    request_id
        By which an operator finds the request in the service's log; empty if the service gave none.
    """

    def __init__(self, message: str, *, status: int | None = None, request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.request_id = request_id


class NotSignedInError(ServiceError):
    """There is no token, or the service does not accept it."""


class ServiceUnavailableError(ServiceError):
    """A service does not answer, or is too busy; trying later may help."""


class TransferError(ServiceError):
    """An answer or a file broke off on the way."""


@dataclass(frozen=True)
class Failure:
    """A file of a folder that was not made.

    Attributes
    ----------
    path
        Below the folder.
    error
        Why not.
    status
        HTTP status, as if it had been sent by itself.
    """

    path: str
    error: str
    status: int | None


class FolderError(ServiceError):
    """Not all files of a folder were made; those that were stay.

    Attributes
    ----------
    made
        How many files were.
    failures
        Those that were not.
    is_complete
        All were tried; else what followed the last failure was not.
    why
        What has ended it, if they were not.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        request_id: str = "",
        made: int = 0,
        failures: Sequence[Failure] = (),
        is_complete: bool = True,
        why: str = "",
    ) -> None:
        super().__init__(message, status=status, request_id=request_id)
        self.made = made
        self.why = why
        self.failures = tuple(failures)
        self.is_complete = is_complete

    @classmethod
    def of(cls, made: int, failures: Sequence[Failure]) -> FolderError:
        """All were tried."""
        statuses = {each.status for each in failures}
        text = f"{len(failures):,} of {made + len(failures):,} were not made: {_listed(failures)}. The others were."
        return cls(text, status=statuses.pop() if len(statuses) == 1 else 409, made=made, failures=failures)

    @classmethod
    def ended(
        cls, why: str, status: int | None, request_id: str, made: int, failures: Sequence[Failure]
    ) -> FolderError:
        """Something has ended it before all were tried."""
        text = f"Not all was sent, {made:,} files were made. {why}"
        text += f" Not made: {_listed(failures)}, and what follows." if failures else ""
        return cls(
            text, status=status, request_id=request_id, made=made, failures=failures, is_complete=False, why=why
        )

    def after(self, made: int, failures: Sequence[Failure]) -> FolderError:
        """The same, with what became of the files before."""
        made, failures = made + self.made, (*failures, *self.failures)
        if self.is_complete:
            return self.of(made, failures)
        return self.ended(self.why, self.status, self.request_id, made, failures)


def _listed(failures: Sequence[Failure], shown: int = 3) -> str:
    """The first few."""
    texts = [f"{each.path} ({each.error.rstrip('.')})" for each in failures[:shown]]
    return "; ".join(texts) + (f"; and {len(failures) - shown:,} more" if len(failures) > shown else "")


class WaitTimeout(SciServerError, TimeoutError):
    """What was waited for has not ended in time. It goes on."""


class QueryError(ServiceError):
    """A query cannot be run, or has failed.

    Attributes
    ----------
    message
        What is wrong, without the place and the hint, which ``str(error)`` adds.
    line, column
        Where in the query's text, both from 1; None where no place can be named.
    hint
        A suggestion such as "Did you mean ra?"; may be empty.
    kind
        For programs: ``syntax``, ``name``, ``unsupported``, ``forbidden``, ``data``, ``limit``, ``quota``,
        ``timeout``, ``cancelled``, ``internal``.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        request_id: str = "",
        line: int | None = None,
        column: int | None = None,
        hint: str = "",
        kind: str = "",
    ) -> None:
        super().__init__(message, status=status, request_id=request_id)
        self.line = line
        self.column = column
        self.hint = hint
        self.kind = kind

    def __str__(self) -> str:
        place = f"Line {self.line}, column {self.column}: " if self.line is not None else ""
        return place + self.message + (f" {self.hint}" if self.hint else "")


class QueryTimeout(QueryError):
    """The time of a quick query is over: submit it as a job, or ask with ``on_timeout="queue"``."""


class QueryQueued(QueryError):
    """A quick query's time was over, and it goes on in the long queue, as ``on_timeout="queue"`` wanted.

    Attributes
    ----------
    job
        The job that it is now.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(
            f"The time of a quick query is over. It goes on as job {job.id}: wait for it, then take its result.",
            status=202,
            kind="timeout",
        )
        self.job = job

    def __reduce__(self) -> tuple[type[QueryQueued], tuple[Job]]:
        return type(self), (self.job,)
