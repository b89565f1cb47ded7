"""Users and their queries, as the metadata database holds them."""

from __future__ import annotations

import datetime
import enum
import secrets
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from casjobs_service.errors import Kind, QueryError


def now() -> datetime.datetime:
    """UTC without a zone, as the columns hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Status(enum.IntEnum):
    """CasJobs' own numbers; 3, 4 and 5 are for ever."""

    READY = 0
    STARTED = 1
    CANCELING = 2
    CANCELED = 3
    FAILED = 4
    FINISHED = 5

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self >= Status.CANCELED


class JobKind(enum.StrEnum):
    """How a query came here, which decides who runs it."""

    QUICK = "quick"
    """Somebody holds the line for its answer; it is never run a second time."""
    LONG = "long"
    """Waits its turn, and is run again when the service or its worker dies."""
    UPLOAD = "upload"
    """A table that somebody has sent; runs like a quick one."""


class Base(DeclarativeBase):
    """Base of the tables; `migrations` must follow every change to them."""


# SQLite counts by itself only in a column that is declared exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")


class User(Base):
    """Somebody who has used CasJobs.

    Attributes
    ----------
    id
        WebServicesId; also names the directory of MyDB.
    name
        The hub's name of the user. A user whom the hub deletes keeps the row: whoever gets the name later also gets
        MyDB and history. The operator must delete them with the user.
    served
        When a long job of theirs was started last.
    """

    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    created: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)
    served: Mapped[datetime.datetime | None] = mapped_column(DateTime)


class Job(Base):
    """One attempt of somebody to run a query: quick or long, whatever became of it.

    Attributes
    ----------
    key
        Names the job in the journal of MyDB (what it has written there must not be written again). Random, because
        ids begin anew when the metadata database is lost and MyDB is not.
    context
        Where unqualified names resolve; CasJobs' "Target".
    groups
        The hub's groups of the user at submission: they decide which contexts the job sees.
    may_write
        Whether the token that submitted it had the right to change MyDB.
    translated
        SQL of each statement, once it is known.
    estimate
        Minutes, as the user said; 0 if nothing was said.
    seconds
        Wall time that it may run.
    parameters
        As they were sent; see `casjobs_service.parameters`.
    limit
        Rows of each result that the client wants at most; 0 for all.
    into
        Table of MyDB for the result; empty if the query itself says where its rows go.
    created_table
        Tables that it has made, with commas.
    error
        `QueryError.to_json`; None while there is none.
    statement, statements, fraction
        Progress: the statement that runs now (from 1), of how many, and how much of it is done.
    attempts
        How often it was started and not given back.
    owner, lease_until
        The service that runs it (`queue.identity`), and until when the others believe that it does.
    results
        ``{"index", "name", "rows", "bytes", "columns", "file"}`` of each kept result.
    results_until
        When they are removed; None when there are none (any more).
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_user_id_id", "user_id", "id"),
        Index("ix_jobs_status_kind_user_id_id", "status", "kind", "user_id", "id"),
        Index("ix_jobs_results_until", "results_until"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[int] = mapped_column(BigInteger, default=lambda: secrets.randbits(62))
    kind: Mapped[str] = mapped_column(String(10))
    status: Mapped[int] = mapped_column(Integer, default=Status.READY)
    context: Mapped[str] = mapped_column(String(255))
    dialect: Mapped[str] = mapped_column(String(20), default="tsql")
    query: Mapped[str] = mapped_column(Text)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    translated: Mapped[list[str]] = mapped_column(JSON, default=list)
    task_name: Mapped[str] = mapped_column(String(255), default="")
    groups: Mapped[list[str]] = mapped_column(JSON, default=list)
    may_write: Mapped[bool] = mapped_column(default=True)
    estimate: Mapped[int] = mapped_column(Integer, default=0)
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    output_type: Mapped[str] = mapped_column(String(40), default="QUERY")
    params: Mapped[str] = mapped_column(String(1000), default="")
    limit: Mapped[int] = mapped_column("row_limit", BigInteger, default=0)
    into: Mapped[str] = mapped_column(String(255), default="")
    send_email: Mapped[bool] = mapped_column(default=False)
    auto_complete: Mapped[bool] = mapped_column(default=False)
    host_ip: Mapped[str] = mapped_column(String(64), default="")
    time_submit: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)
    time_start: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    time_end: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    created_table: Mapped[str] = mapped_column(Text, default="")
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    statement: Mapped[int] = mapped_column(Integer, default=0)
    statements: Mapped[int] = mapped_column(Integer, default=0)
    fraction: Mapped[float | None] = mapped_column(Float)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str] = mapped_column(String(200), default="")
    lease_until: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    results: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    results_until: Mapped[datetime.datetime | None] = mapped_column(DateTime)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return Status(self.status).ended

    @property
    def failure(self) -> QueryError | None:
        """Why it failed or was cancelled."""
        return None if self.error is None else QueryError.from_json(self.error)

    @property
    def message(self) -> str:
        """One line for people; CasJobs' own clients print it when a job has failed."""
        if self.failure is not None:
            return str(self.failure)
        return "Query Complete" if self.status == Status.FINISHED else ""

    def to_json(self) -> dict[str, Any]:
        """CasJobs' job object with its own names, and after `Results` what only we have."""
        failure = self.failure
        return {
            "JobID": self.id,
            "Rows": self.rows,
            "WebServicesID": self.user_id,
            "TimeSubmit": _iso(self.time_submit),
            "TimeStart": _iso(self.time_start),
            "TimeEnd": _iso(self.time_end),
            "SendEmail": int(self.send_email),
            "Status": int(self.status),
            "AutoComplete": int(self.auto_complete),
            "Estimate": self.estimate,
            "TaskName": self.task_name,
            "OutputLoc": "",
            "HostIP": self.host_ip,
            "Message": self.message,
            "Query": self.query,
            "ModifiedQuery": ";\n".join(self.translated),
            "Target": self.context,
            "OutputType": self.output_type,
            "Params": self.params,
            "Created_Table": self.created_table,
            "Results": [{key: value for key, value in result.items() if key != "file"} for result in self.results],
            "ResultsUntil": _iso(self.results_until),
            "Parameters": self.parameters,
            "Limit": self.limit,
            "Kind": self.kind,
            "Dialect": self.dialect,
            "TimeLimit": self.seconds,
            "Error": None if failure is None else failure.to_json(),
            "Statement": self.statement,
            "Statements": self.statements,
            "Fraction": self.fraction,
            "Attempts": self.attempts,
        }


def cancelled() -> QueryError:
    """What stands in the record of a job that its user has cancelled."""
    return QueryError("The query was cancelled.", Kind.CANCELLED)


def _iso(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds") + "Z"
