"""Quick queries, and what a query would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from casjobs_service import parameters
from casjobs_service.catalog import Column
from casjobs_service.contexts import Context
from casjobs_service.handlers.base import Handler, Problem
from casjobs_service.handlers.streams import output, send
from sciserver_common.handlers import needs
from sciserver_common.scopes import CASJOBS_QUERY, CASJOBS_WRITE

DIALECTS = ("tsql", "duckdb", "postgresql", "trino", "mssql")


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants to run.

    Attributes
    ----------
    context
        Where unqualified names resolve.
    into
        Table of MyDB for the result; empty if the query says where its rows go.
    estimate
        Minutes, as the user said; 0 if nothing was said.
    parameters
        As they were sent: each is one that can be bound.
    limit
        Rows of each result; 0 for all.
    """

    context: str
    query: str
    task_name: str
    dialect: str
    into: str
    estimate: int
    parameters: dict[str, Any]
    limit: int


def read(handler: Handler, context: str) -> Request:
    """The body of a request that names a query.

    Raises
    ------
    Problem
        400: it does not. 404: there is no such context.
    QueryError
        A parameter cannot be one.
    """
    name = handler.database_name(context)
    body = handler.json_body()
    query = body.get("Query")
    if not isinstance(query, str):
        raise Problem(400, 'The body has no text under "Query".', hint='Send an object such as {"Query": "select 1"}.')
    dialect = str(body.get("Dialect") or DIALECTS[0]).strip().lower()
    if dialect not in DIALECTS:
        raise Problem(400, f"There is no dialect {dialect[:40]!r}.", hint=f"There is: {', '.join(DIALECTS)}.")
    into = body.get("TableName")
    if into is not None and not isinstance(into, str):
        raise Problem(400, "TableName is not text.")
    if not handler.truth("CreateTable", body.get("CreateTable", into is not None)):
        into = None
    elif not (into or "").strip():
        raise Problem(400, "CreateTable needs the table's name under TableName.")
    estimate = body.get("Estimate") or 0
    if not isinstance(estimate, int | float) or not 0 <= estimate < 1e6:
        raise Problem(400, "Estimate is not a number of minutes.")
    limit = body.get("Limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit < 2**53):
        raise Problem(400, "Limit is not a number of rows, 1 or more.")
    sent = body.get("Parameters") or {}
    parameters.read(sent)
    return Request(
        context=name,
        query=query,
        task_name=str(body.get("TaskName") or handler.parameter("TaskName") or ""),
        dialect=dialect,
        into=(into or "").strip(),
        estimate=int(estimate),
        parameters=sent,
        limit=limit or 0,
    )


class Query(Handler):
    """``POST contexts/{context}/query``: run it now, and send the rows as they come."""

    ends_with_client = True

    @needs(CASJOBS_QUERY)
    async def post(self, context: str) -> None:
        form = self.form()
        request = read(self, context)
        if request.into:
            raise Problem(
                400, "A quick query sends its rows.", hint='Write "select … into MyDB.name", or submit a job.'
            )
        on_timeout = (self.parameter("onTimeout") or "").lower()
        if on_timeout not in {"", "queue", "fail"}:
            raise Problem(400, "onTimeout is either queue or fail.")
        may_write = self.has_scope(CASJOBS_WRITE)
        if on_timeout == "queue" and not may_write:
            raise Problem(403, f"Queries in the long queue need a token with the scope {CASJOBS_WRITE}.")
        found = self.database(context)
        own_limits = (found.quick_seconds, found.long_seconds) if isinstance(found, Context) else (None, None)
        events = self.parts.quick.run_quick(
            await self.space(),
            query=request.query,
            context=request.context,
            groups=self.groups,
            may_write=may_write,
            dialect=request.dialect,
            parameters=request.parameters,
            limit=request.limit,
            task_name=request.task_name,
            output=output(self, form),
            seconds=own_limits[0],
            longest=own_limits[1],
            queue_on_timeout=on_timeout == "queue",
        )
        await send(self, events, form, "result")


class Explain(Handler):
    """``POST contexts/{context}/explain``: what would run, which tables it touches, about how many rows."""

    ends_with_client = True

    @needs(CASJOBS_QUERY)
    async def post(self, context: str) -> None:
        request = read(self, context)
        asked: dict[str, Any] = {
            "do": "explain",
            "text": request.query,
            "parameters": request.parameters,
            "context": request.context,
            "dialect": request.dialect,
            "may_write": self.has_scope(CASJOBS_WRITE),
        }
        found = await self.parts.ask(await self.space(), asked, self.groups)
        self.answer(
            {
                "statements": [explained(statement) for statement in found["statements"]],
                "tables": found["tables"],
                "estimated_rows": found["rows"],
                "parameters": found["parameters"],
            }
        )


def explained(statement: dict[str, Any]) -> dict[str, Any]:
    """What people want to know of a statement."""
    known = {name: statement[name] for name in ("action", "line", "column", "source", "engine", "sql", "note")}
    target = statement["target"]
    return {
        **known,
        "columns": [Column(*column)._asdict() for column in statement["columns"]],
        "reads": [f"{table['database']}.{table['table']}" for table in statement["reads"]],
        "target": target and f"{target['database']}.{target['table']}",
        "plan": statement["plan"] or None,
        "estimated_rows": statement["estimate"],
    }
