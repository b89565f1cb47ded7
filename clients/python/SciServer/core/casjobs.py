"""CasJobs' operations (docs/reference/casjobs.md): both clients' ``casjobs`` are made of them.

Each takes the group of methods that it is one of, `SciServer.core.Client.casjobs`, where methods have ``self``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from SciServer.core import parameters as values
from SciServer.core.errors import QueryQueued, SciServerError, ServiceError, WaitTimeout
from SciServer.core.models import Column, Context, Function, Job, JobStatus, Progress, Table, TableDetails, table
from SciServer.core.rows import Report, Rows, opened, whole
from SciServer.core.uploads import ARROW, of_table
from SciServer.core.wire import Api, Open, Operation, Request, Sleep, json_body, path

QUERY_SECONDS = 600.0
"""How long a query may send nothing: it waits for its turn, runs, and its first rows come."""

ANSWER_SECONDS = 60.0
"""How long the service may take to tell of a job, beside what it was asked to wait."""

RECORDED_SECONDS = 5.0
"""How long the service may take to record that a query has failed."""

ACCEPTED = 202

TASK = "sciserver-client"


def contexts(api: Api) -> Operation[list[Context]]:
    """The databases that you may query, MyDB and MyScratch among them."""
    return [Context.of(each) for each in (yield from _get(api, "/contexts"))]


def tables(api: Api, context: str = "MyDB") -> Operation[list[Table]]:
    """The tables and views of a database."""
    found = yield from _get(api, "/contexts" + path(context) + "/Tables")
    return [Table(**table(each)) for each in found]


def table_details(api: Api, context: str, name: str) -> Operation[TableDetails]:
    """A table with its columns."""
    value = yield from _get(api, "/contexts" + path(context) + "/Tables" + path(name))
    return TableDetails(**table(value), columns=[Column.of(each) for each in value.get("Columns") or ()])


def functions(api: Api, context: str = "MyDB") -> Operation[list[Function]]:
    """The functions that can be called in a database."""
    return [Function.of(each) for each in (yield from _get(api, "/contexts" + path(context) + "/Functions"))]


def query(
    api: Api,
    sql: str,
    context: str = "MyDB",
    *,
    parameters: Mapping[str, object] | None = None,
    dialect: str | None = None,
    limit: int | None = None,
    on_timeout: Literal["fail", "queue"] = "fail",
    name: str = "",
    progress: Report | None = None,
) -> Operation[Rows]:
    """Run a quick query; its rows come while they are made.

    Parameters
    ----------
    parameters
        Values for ``@name`` in T-SQL, ``$name`` in other dialects. They are bound, and never become part of the text.
    dialect
        ``tsql`` if not given; see docs/reference/sql.md.
    limit
        At most so many rows; `Result.is_cut` tells whether there were more.
    on_timeout
        ``queue``: when the time of a quick query is over, it goes on as a job. Then nothing is sent before the query
        has ended.
    name
        For the history.
    progress
        Called when rows arrive.

    Raises
    ------
    QueryError
        The query cannot be run, or has failed.
    QueryTimeout
        The time of a quick query is over.
    QueryQueued
        It is, and the query goes on; the error has the job.
    """
    if limit is not None and limit < 0:
        raise SciServerError("limit must be a number of rows, or None for all of them.")
    body = _body(sql, parameters, dialect, name) | ({"Limit": limit} if limit else {})
    request = _sql_request("POST", api, context, "query", body)
    stream = yield Open(_arrow(request, {"onTimeout": on_timeout} if on_timeout != "fail" else {}))
    if stream.status == ACCEPTED:
        number = json.loads((yield from whole(stream)))["JobID"]
        raise QueryQueued((yield from job(api, number)))
    rows = Rows(stream, request.url, limit, progress, lambda: _failure(api, sql))
    return (yield from rows.begin())


def _failure(api: Api, sql: str) -> Operation[ServiceError | None]:
    """Why a query has failed after its first rows, which no status can tell any more; None if unknown."""
    try:
        found = [each for each in (yield from jobs(api, kind="quick")) if each.query == sql]
        return (yield from wait(api, found[0], timeout=RECORDED_SECONDS)).error if found else None
    except (ServiceError, WaitTimeout):
        return None


def explain(
    api: Api,
    sql: str,
    context: str = "MyDB",
    *,
    parameters: Mapping[str, object] | None = None,
    dialect: str | None = None,
) -> Operation[dict[str, Any]]:
    """What a query would do: its translation, tables, plan and estimated rows, as the service tells it."""
    answer = yield _sql_request("POST", api, context, "explain", _body(sql, parameters, dialect, ""), repeatable=True)
    found: dict[str, Any] = answer.json()
    return found


def submit(
    api: Api,
    sql: str,
    context: str = "MyDB",
    *,
    parameters: Mapping[str, object] | None = None,
    into: str | None = None,
    name: str = "",
    minutes: int | None = None,
    dialect: str | None = None,
) -> Operation[Job]:
    """Send a query to the long queue.

    Parameters
    ----------
    into
        Table of MyDB for its result. Without it, and without INTO in the query, the service keeps the result for some
        days: `job_result`.
    minutes
        How long you think that it takes.

    Raises
    ------
    QueryError
        It cannot be run.
    """
    body = _body(sql, parameters, dialect, name)
    if into:
        body["TableName"] = into
    if minutes is not None:
        body["Estimate"] = minutes
    answer = yield _sql_request("PUT", api, context, "jobs", body)
    return (yield from job(api, int(answer.text)))


def job(api: Api, number: int | Job) -> Operation[Job]:
    """A job, as it is now."""
    return Job.of((yield from _get(api, f"/jobs/{_number(number)}")))


def jobs(
    api: Api,
    top: int | None = 10,
    *,
    status: JobStatus | str | Sequence[JobStatus | str] | None = None,
    context: str | None = None,
    search: str | None = None,
    kind: str | None = None,
) -> Operation[list[Job]]:
    """Your queries, the latest first.

    Parameters
    ----------
    top
        At most so many; None: all.
    status, kind
        Only these, e.g. ``"failed"``; kinds are ``long``, ``quick`` and ``upload``.
    search
        Only queries with this in their text.
    """
    wanted = [status] if isinstance(status, JobStatus | str) else list(status or ())
    names = ",".join(str(int(each)) if isinstance(each, JobStatus) else each for each in wanted)
    given = {"top": top, "status": names, "context": context, "search": search, "kind": kind}
    found = yield from _get(api, "/jobs", {key: str(value) for key, value in given.items() if value})
    return [Job.of(each) for each in found]


def wait(
    api: Api, number: int | Job, *, timeout: float | None = None, progress: Report | None = None
) -> Operation[Job]:
    """Wait until a job has ended, in whatever way: its ``status`` and ``error`` tell.

    Parameters
    ----------
    timeout
        Seconds.
    progress
        Called about every second.

    Raises
    ------
    WaitTimeout
        It has not ended within `timeout`. It goes on.
    """
    started = time.monotonic()
    pause = 20.0 if progress is None else 1.0
    while True:
        seconds = time.monotonic() - started
        left = pause if timeout is None else min(pause, timeout - seconds)
        held = max(0, int(left))
        value = yield from _get(api, f"/jobs/{_number(number)}", {"wait": str(held)}, patience=held + ANSWER_SECONDS)
        found = Job.of(value)
        if progress is not None:
            progress(_progress(found, time.monotonic() - started))
        if found.status.ended:
            return found
        if timeout is not None and time.monotonic() - started >= timeout:
            raise WaitTimeout(
                f"Job {found.id} has not ended within {timeout:g} s. It goes on: wait again, or cancel it."
            )
        if left < 1:
            yield Sleep(max(0.05, left))


def _progress(found: Job, seconds: float) -> Progress:
    state = "done" if found.status.ended else "waiting" if found.status == JobStatus.READY else "running"
    return Progress(
        state, seconds, rows=found.rows, fraction=found.fraction, position=found.position, message=found.message
    )


def cancel(api: Api, number: int | Job) -> Operation[Job]:
    """Cancel a job; one that has ended stays as it is."""
    answer = yield Request("DELETE", f"{api.settings.casjobs_url}/jobs/{_number(number)}", is_repeatable=True)
    return Job.of(answer.json())


def resubmit(api: Api, number: int | Job) -> Operation[Job]:
    """Run a job's query again, as a new job."""
    answer = yield Request("POST", f"{api.settings.casjobs_url}/jobs/{_number(number)}/resubmit")
    return Job.of(answer.json())


def job_result(
    api: Api, number: int | Job, result: int = 1, *, limit: int | None = None, progress: Report | None = None
) -> Operation[Rows]:
    """What a job has returned.

    Parameters
    ----------
    result
        Which of its results, from 1.

    Raises
    ------
    QueryError
        The job has failed or was cancelled.
    SciServerError
        It has not ended, or has no such result.
    """
    found = number if isinstance(number, Job) and number.status.ended else (yield from job(api, number))
    if found.error is not None:
        raise found.error
    url = f"{api.settings.casjobs_url}/jobs/{found.id}/results/{result}"
    return (yield from opened(_arrow(Request("GET", url, is_repeatable=True), {}), limit, progress))


def read(
    api: Api, context: str, name: str, *, limit: int | None = None, progress: Report | None = None
) -> Operation[Rows]:
    """All rows of a table."""
    url = f"{api.settings.casjobs_url}/contexts{path(context)}/Tables{path(name)}/data"
    return (yield from opened(_arrow(Request("GET", url, is_repeatable=True), {}), limit, progress))


def upload(
    api: Api,
    name: str,
    data: Any,
    *,
    mode: Literal["create", "append", "replace"] = "create",
    progress: Report | None = None,
) -> Operation[Table]:
    """Make a table of yours from data, or add to one.

    Parameters
    ----------
    name
        Of the table, in MyDB; or ``MyScratch.name``.
    data
        A DataFrame of pandas or polars, an Arrow or astropy table, or the path of a CSV, FITS, VOTable, Parquet or
        Arrow file.
    mode
        When the table exists: ``create`` fails, ``append`` adds rows, ``replace`` drops it first.

    Raises
    ------
    QueryError
        It cannot be read, or MyDB is full.
    """
    if mode not in {"create", "append", "replace"}:
        raise SciServerError(f"mode is create, append or replace, not {mode!r}.")
    context, short = _place(name)
    body = of_table(data)
    answer = yield Request(
        "POST",
        f"{api.settings.casjobs_url}/contexts{path(context)}/Tables{path(short)}",
        params={"mode": mode},
        headers={"Content-Type": body.media_type},
        body=body.counted(progress, name),
        length=body.length,
        patience=QUERY_SECONDS,
    )
    made = answer.json()
    return Table(name=str(made["Name"]), type="table", rows=made.get("Rows"))


def drop(api: Api, name: str) -> Operation[None]:
    """Drop a table of yours, in MyDB or as ``MyScratch.name``."""
    context, short = _place(name)
    yield Request("DELETE", f"{api.settings.casjobs_url}/contexts{path(context)}/Tables{path(short)}")


# -- what they share


def _get(api: Api, place: str, params: Mapping[str, str] | None = None, **options: Any) -> Operation[Any]:
    url = api.settings.casjobs_url + place
    answer = yield Request("GET", url, params=params or {}, is_repeatable=True, **options)
    return answer.json()


def _arrow(request: Request, params: Mapping[str, str]) -> Request:
    return replace(request, params=params, headers={**request.headers, "Accept": ARROW})


def _body(sql: str, parameters: Mapping[str, object] | None, dialect: str | None, name: str) -> dict[str, Any]:
    body: dict[str, Any] = {"Query": sql, "TaskName": name or TASK}
    if parameters:
        body["Parameters"] = values.to_json(parameters)
    if dialect:
        body["Dialect"] = dialect
    return body


def _sql_request(
    method: str, api: Api, context: str, what: str, body: dict[str, Any], *, repeatable: bool = False
) -> Request:
    url = f"{api.settings.casjobs_url}/contexts{path(context)}/{what}"
    return Request(method, url, **json_body(body), patience=QUERY_SECONDS, is_repeatable=repeatable)


def _number(job: int | Job) -> int:
    return job.id if isinstance(job, Job) else int(job)


def _place(name: str) -> tuple[str, str]:
    """Database and table of a name such as ``MyDB.stars``."""
    context, dot, short = name.partition(".")
    if dot and context.lower() in {"mydb", "myscratch"}:
        return context, short
    return "MyDB", name
