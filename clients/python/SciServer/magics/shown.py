"""What CasJobs tells, as tables that people read."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING

from SciServer.magics.tables import Field, Listing, duration, size

if TYPE_CHECKING:
    from SciServer.core import Column, Context, Function, Job, Table, TableDetails


def contexts(found: Iterable[Context], default: str) -> Listing[Context]:
    """Databases; `default` is the one in use."""
    fields: list[Field[Context]] = [
        Field("Context", lambda context: context.name),
        Field("Title", lambda context: context.title),
        Field("Description", lambda context: context.description),
        Field("Yours", lambda context: context.writable),
    ]
    note = f"Queries without --context run in {default}."
    return Listing(found, fields, empty="There is no database that you may query.", note=note)


def tables(found: Iterable[Table], context: str) -> Listing[Table]:
    """Tables of a database."""
    fields: list[Field[Table]] = [
        Field("Table", lambda table: table.name),
        Field("Type", lambda table: table.type),
        Field("Rows", lambda table: table.rows, number=True),
        Field("Size", lambda table: size(table.size_bytes), number=True),
        Field("Description", lambda table: table.description),
    ]
    return Listing(found, fields, empty=f"There is no such table in {context}.")


def columns(table: TableDetails) -> Listing[Column]:
    """Columns of a table."""
    fields: list[Field[Column]] = [
        Field("Column", lambda column: column.name),
        Field("Type", lambda column: column.type),
        Field("Unit", lambda column: column.unit),
        Field("UCD", lambda column: column.ucd),
        Field("Description", lambda column: column.description),
    ]
    rows = "" if table.rows is None else f"{table.rows:,} rows. "
    return Listing(table.columns, fields, empty="It has no columns.", note=f"{table.name}: {rows}{table.description}")


def functions(found: Iterable[Function], context: str) -> Listing[Function]:
    """Functions of a database."""
    fields: list[Field[Function]] = [
        Field("Function", signature),
        Field("Returns", returned),
        Field("Description", lambda function: function.description),
    ]
    return Listing(found, fields, empty=f"There is no such function in {context}.")


def signature(function: Function) -> str:
    """``fGetNearbyObjEq(ra float, dec float, r float)``."""
    return f"{function.name}({', '.join(_named(each) for each in function.parameters)})"


def returned(function: Function) -> str:
    """A type, or the columns of a table."""
    return function.returns or f"table({', '.join(column.name for column in function.columns)})"


def _named(column: Column) -> str:
    return f"{column.name} {column.type}".strip()


def jobs(found: Iterable[Job], *, empty: str = "There is no such query of yours.") -> Listing[Job]:
    """Queries."""
    fields: list[Field[Job]] = [
        Field("Job", lambda job: str(job.id), number=True),
        Field("Status", status),
        Field("Context", lambda job: job.context),
        Field("Rows", lambda job: job.rows, number=True),
        Field("Submitted (UTC)", lambda job: job.submitted),
        Field("Time", time, number=True),
        Field("Query", lambda job: job.query),
        Field("Message", lambda job: job.message),
    ]
    return Listing(found, fields, empty=empty)


def status(job: Job) -> str:
    """In words."""
    words = {0: "waiting", 1: "running", 2: "being cancelled", 3: "cancelled", 4: "failed", 5: "finished"}
    place = f", place {job.position}" if job.position is not None else ""
    return words[int(job.status)] + place


def time(job: Job) -> str:
    """How long it runs, or has run."""
    if job.started is None:
        return ""
    end = job.ended or datetime.datetime.now(datetime.UTC)
    return duration(max(0.0, (end - job.started).total_seconds()))
