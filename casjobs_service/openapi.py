"""The REST interface as an OpenAPI 3.1 document."""

from __future__ import annotations

from typing import Any

from casjobs_service.openapi_schemas import SCHEMAS
from casjobs_service.readers import FORMATS as UPLOADS
from casjobs_service.results import FORMATS
from sciserver_common import openapi
from sciserver_common.openapi import (
    CHALLENGE,
    JSON,
    NAME,
    RETRY_AFTER,
    TEXT,
    answer,
    array,
    number,
    parameter,
    reference,
    with_head,
)


def _error(description: str, **more: Any) -> dict[str, Any]:
    return answer(description, reference("Error"), **more)


ERRORS = {
    "400": _error("The request, or the query in it, cannot be understood or run; the text says why."),
    "401": _error("There is no token in the request, or it is not valid.", headers=CHALLENGE),
    "403": _error("The token may not do this."),
    "404": _error("There is no such thing, or not for you."),
    "406": _error("There is no form that the request accepts; the text lists those that there are."),
    "413": _error("The body is too large."),
    "415": _error("There is no reader for this kind of file."),
    "429": _error("You do too many of these at once.", headers=RETRY_AFTER),
    "500": _error("Our fault. The operators find it by LogMessageID."),
    "503": _error("A part of the service does not answer, or too much is going on.", headers=RETRY_AFTER),
    "504": _error("The query has not ended within the time that it may take."),
}

OFTEN = ("400", "401", "403", "404", "413", "429", "500", "503", "504")


PATH = {
    "user": parameter("user", "path", "The hub's name of the user: yours.", NAME),
    "context": parameter("context", "path", "A context, or MyDB or MyScratch; in any case.", NAME, example="MyDB"),
    "table": parameter("table", "path", "A table, in any case.", NAME, example="MyTable"),
    "job": parameter(
        "job", "path", "Number of the job.", {"type": "integer", "format": "int64", "minimum": 1}, example=1
    ),
    "result": parameter("result", "path", "Which result of the job, from 1.", number(1, 10_000), example=1),
}
TASK_NAME = parameter("TaskName", "query", "What the client is doing; kept with the query.")
OWNER = parameter("owner", "query", "Somebody else; for administrators.")
FORMAT = parameter("format", "query", "Name of a format; wins over the header Accept.", {"enum": list(FORMATS)})


def _form_parameters(*, several: bool = False) -> list[dict[str, Any]]:
    result = parameter("result", "query", "Only this result, from 1, of several.", number(1, 10_000))
    return [FORMAT, *([result] if several else [])]


def _file(description: str) -> dict[str, Any]:
    """The answer in every form that there is."""
    types = [writer.media_type.partition(";")[0].strip() for writer in FORMATS.values()]
    content: dict[str, Any] = {media_type: {} for media_type in [*types, "text/plain", "text/json"]}
    for media_type in ("application/json+array", JSON, "text/json"):
        content[media_type] = {"schema": reference("Results")}
    headers = {
        "Content-Disposition": {"description": "A name for the file.", "schema": TEXT},
        "Content-Encoding": {"description": "zstd or gzip, if the client takes it.", "schema": TEXT},
    }
    return {"description": description, "content": content, "headers": headers}


def _operation(
    summary: str,
    answers: dict[str, Any],
    *,
    parameters: tuple[dict[str, Any], ...] | list[dict[str, Any]] = (),
    body: dict[str, Any] | None = None,
    errors: tuple[str, ...] = (),
    is_open: bool = False,
) -> dict[str, Any]:
    statuses = () if is_open else sorted({*OFTEN, *errors})
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [*parameters] if is_open else [*parameters, TASK_NAME],
        "responses": {**answers, **{status: ERRORS[status] for status in statuses}},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body, **_example(body)}}}
    if is_open:
        operation["security"] = []
    return operation


def _example(body: dict[str, Any]) -> dict[str, Any]:
    query = {"Query": "select 1 as one", "TaskName": "my script"}
    return {"example": query if body == reference("Query") else {"Name": "NewName"}}


UPLOAD = {
    "required": True,
    "description": "CSV with the columns' names in its first line, unless Content-Type says otherwise.",
    "content": {
        media_type: {"schema": {"type": "string", "contentMediaType": media_type}}
        for media_type in (
            "text/csv",
            "text/plain",
            "application/x-votable+xml",
            "application/fits",
            "application/vnd.apache.parquet",
            "application/vnd.apache.arrow.stream",
        )
    },
}


def _paths() -> dict[str, Any]:
    context, table, job = PATH["context"], PATH["table"], PATH["job"]
    query_errors = ("406",)
    accepted = {
        "202": answer(
            "With onTimeout=queue: the query goes on in the long queue.",
            reference("Queued"),
            headers={"Location": {"description": "Address of the job.", "schema": TEXT}},
        )
    }
    return {
        "/health": with_head(
            _operation("Whether the service answers.", {"200": answer("It does.", reference("Health"))}, is_open=True)
        ),
        "/openapi.json": with_head(
            _operation("This document.", {"200": answer("It.", {"type": "object"})}, is_open=True)
        ),
        "/RestApi/users/{user}": {
            "get": _operation(
                "Your number, which names your schema in MyScratch.",
                {"200": answer("You.", reference("User"))},
                parameters=[PATH["user"]],
            )
        },
        "/RestApi/limits": {
            "get": _operation("What you may use, and do use.", {"200": answer("Limits.", reference("Limits"))})
        },
        "/RestApi/queues": {
            "get": _operation("What runs and waits.", {"200": answer("The queues.", reference("Queues"))})
        },
        "/RestApi/contexts": {
            "get": _operation("Databases that you may read.", {"200": answer("Databases.", array("Context"))})
        },
        "/RestApi/contexts/{context}": {
            "get": _operation(
                "One database.", {"200": answer("The database.", reference("Context"))}, parameters=[context]
            )
        },
        "/RestApi/contexts/{context}/Functions": {
            "get": _operation(
                "Functions of a database.", {"200": answer("Functions.", array("Function"))}, parameters=[context]
            )
        },
        "/RestApi/contexts/{context}/Tables": {
            "get": _operation(
                "Tables and views of a database.", {"200": answer("Tables.", array("Table"))}, parameters=[context]
            )
        },
        "/RestApi/contexts/{context}/Tables/{table}": {
            "get": _operation(
                "One table and its columns.",
                {"200": answer("The table.", reference("TableDetails"))},
                parameters=[context, table],
            ),
            "post": _operation(
                "Make a table of MyDB from a file, or add to one.",
                {"200": answer("It is there.", reference("Uploaded"))},
                parameters=[
                    context,
                    table,
                    parameter(
                        "format", "query", "Format of the file; wins over Content-Type.", {"enum": list(UPLOADS)}
                    ),
                    MODE,
                ],
                errors=("415",),
            )
            | {"requestBody": UPLOAD},
            "patch": _operation(
                "Rename a table of MyDB.",
                {"200": answer("It has the name.", reference("Table"))},
                parameters=[context, table],
                body=reference("Renaming"),
            ),
            "delete": _operation(
                "Drop a table of MyDB.",
                {"200": answer("It is gone.", reference("Done"))},
                parameters=[context, table],
            ),
        },
        "/RestApi/contexts/{context}/Tables/{table}/sample": {
            "get": _operation(
                "Some rows of a table.",
                {"200": _file("The rows.")},
                parameters=[
                    context,
                    table,
                    parameter("rows", "query", "How many at most; 10 if not said.", number(1, 1000)),
                    *_form_parameters(),
                ],
                errors=query_errors,
            )
        },
        "/RestApi/contexts/{context}/Tables/{table}/data": {
            "get": _operation(
                "All rows of a table.",
                {"200": _file("The rows.")},
                parameters=[context, table, *_form_parameters()],
                errors=query_errors,
            )
        },
        "/RestApi/contexts/{context}/query": {
            "post": _operation(
                "Run a query now.",
                {"200": _file("Its rows."), **accepted},
                parameters=[context, *_form_parameters(several=True), ON_TIMEOUT],
                body=reference("Query"),
                errors=query_errors,
            )
        },
        "/RestApi/contexts/{context}/explain": {
            "post": _operation(
                "What a query would do; it is not run.",
                {"200": answer("What it would do.", reference("Explanation"))},
                parameters=[context],
                body=reference("Query"),
            )
        },
        "/RestApi/contexts/{context}/jobs": {
            "put": _operation(
                "Submit a query to the long queue.",
                {
                    "200": {
                        "description": "Number of the job.",
                        "content": {"text/plain": {"schema": {"type": "string", "pattern": "^[0-9]+$"}}},
                    }
                },
                parameters=[context],
                body=reference("Query"),
            )
        },
        "/RestApi/jobs": {
            "get": _operation(
                "Your queries, the latest first.",
                {"200": answer("Queries.", array("Job"))},
                parameters=[*FILTERS, OWNER],
            )
        },
        "/RestApi/jobs/{job}": {
            "get": _operation(
                "One query.",
                {"200": answer("The query.", reference("Job"))},
                parameters=[
                    job,
                    parameter("wait", "query", "Seconds to wait for its end, or for a change.", number(0, 60)),
                    OWNER,
                ],
            ),
            "delete": _operation(
                "Cancel a query; one that has ended stays as it is.",
                {"200": answer("The query.", reference("Job"))},
                parameters=[job, OWNER],
            ),
        },
        "/RestApi/jobs/{job}/results/{result}": {
            "get": _operation(
                "A result of a query of the long queue.",
                {"200": _file("Its rows.")},
                parameters=[job, PATH["result"], *_form_parameters(), OWNER],
                errors=query_errors,
            )
        },
        "/RestApi/jobs/{job}/resubmit": {
            "post": _operation(
                "Submit a query once more, to the long queue.",
                {"200": answer("The new one.", reference("Job"))},
                parameters=[job],
            )
        },
    }


MODE = parameter(
    "mode",
    "query",
    "Add rows to a table that exists (append), make one (create), or make it anew (replace). If nothing is said, rows "
    "are added if it exists, and else it is made.",
    {"enum": ["append", "create", "replace"]},
)
ON_TIMEOUT = parameter(
    "onTimeout",
    "query",
    "What happens when the time of a quick query is over: it fails, or goes on in the long queue.",
    {"enum": ["fail", "queue"]},
)
FILTERS = [
    parameter("submittedFrom", "query", "Date or time, ISO 8601; UTC without a zone."),
    parameter("submittedTo", "query", "Date or time, included."),
    parameter("status", "query", "Numbers 0 to 5, or names, with commas."),
    parameter("kind", "query", "quick, long or upload, with commas."),
    parameter("context", "query", "The database in which it ran."),
    parameter("search", "query", "Text in the query or in its task name."),
    parameter("top", "query", "At most so many.", number(1, 100_000)),
    parameter("before", "query", "Only queries before this number.", number(1, 2**53)),
]


def document(url: str) -> dict[str, Any]:
    """The document; `url` is where the service is reached, without a slash at its end."""
    return openapi.document(
        "SciServer CasJobs",
        "SQL on science databases. Paths are understood in any case of letters, and with doubled slashes; unknown "
        "parameters are ignored.",
        url,
        _paths(),
        SCHEMAS,
    )
