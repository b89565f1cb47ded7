"""What can go wrong. The text of an error never has a token in it, nor an address that has one."""

from __future__ import annotations

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
