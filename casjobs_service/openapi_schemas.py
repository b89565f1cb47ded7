"""What requests and answers look like, in JSON Schema."""

from __future__ import annotations

from typing import Any

from casjobs_service.parameters import MOST

TEXT: dict[str, Any] = {"type": "string"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
SECONDS: dict[str, Any] = {"type": "number", "minimum": 0}
MOMENT_OR_NONE: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
PLACE: dict[str, Any] = {"type": ["integer", "null"]}


def _or_none(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _object(_optional: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties | (_optional or {})}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


COLUMN = _object(Name=TEXT, Type=TEXT, Unit=TEXT, UCD=TEXT, Description=TEXT)

TABLE = {
    "Name": TEXT,
    "Date": _or_none(COUNT) | {"description": ".NET ticks: 100 ns since the year 1, UTC."},
    "Rows": _or_none(COUNT),
    "Size": _or_none(COUNT) | {"description": "In kB."},
    "Type": {"enum": ["table", "view"]},
    "Description": TEXT,
}

VALUE: dict[str, Any] = {"type": ["boolean", "number", "string", "null"]}

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "maxProperties": MOST,
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$"},
    "additionalProperties": {
        "anyOf": [
            VALUE | {"description": "bit, bigint, float, nvarchar(max), or NULL without a type."},
            _object(value=VALUE, type=TEXT | {"description": "One of T-SQL, such as datetime or decimal(10,2)."})
            | {"additionalProperties": False},
        ]
    },
}

SPACE = _object(
    {"days": SECONDS | {"description": "After which tables are removed."}},
    used=COUNT | {"description": "Bytes."},
    quota=COUNT | {"description": "Bytes."},
)

OF_A_QUERY = _object(
    Seconds=SECONDS,
    Memory=COUNT | {"description": "Bytes; what is more goes to temporary files."},
    TemporaryFiles=COUNT | {"description": "Bytes."},
    Result=COUNT | {"description": "Bytes of one result, before it gets its form."},
)

ERROR_OF_QUERY = _object(message=TEXT, kind=TEXT, line=PLACE, column=PLACE, hint=TEXT)

SCHEMAS: dict[str, Any] = {
    "Error": _object(
        {"line": {"type": "integer"}, "column": {"type": "integer"}, "hint": TEXT},
        **{
            "status": {"const": "error"},
            "error": TEXT | {"description": "What happened and what to do."},
            "Error Code": {"type": "integer", "description": "The HTTP status."},
            "Error Type": TEXT | {"description": "For programs: syntax, name, unsupported, quota …"},
            "Error Message": TEXT | {"description": "As error."},
            "LogMessageID": TEXT | {"description": "By which operators find it in the log."},
        },
    ),
    "Health": _object(status={"const": "ok"}, version=TEXT, protections={"type": "object"}),
    "User": _object(WebServicesId=COUNT, Name=TEXT),
    "Limits": _object(
        Quick=OF_A_QUERY,
        Long=OF_A_QUERY,
        MyDB=SPACE,
        MyScratch=SPACE,
        Running=COUNT | {"description": "Your queries that run."},
        Waiting=COUNT | {"description": "Your queries that wait."},
        UploadBytes=COUNT,
        ResultDays=SECONDS,
    ),
    "Queues": _object(
        Queues=_array(_object(Name=TEXT, Minutes=SECONDS)),
        Waiting=COUNT,
        Running=COUNT,
        Users=COUNT | {"description": "Who have jobs that wait or run."},
        AtOnce=COUNT,
        AtOncePerUser=COUNT,
        ResultDays=SECONDS,
        Quick=_object(Seconds=SECONDS, AtOnce=COUNT, AtOncePerUser=COUNT),
        Yours=_array(_object({"Reason": TEXT}, JobID=COUNT, Status=COUNT, Position=PLACE)),
    ),
    "Context": _object(
        Name=TEXT,
        Title=TEXT,
        Description=TEXT,
        Engine=TEXT,
        Writable=BOOLEAN,
        Public=BOOLEAN,
        Rights=TEXT,
        Cite=TEXT,
        Source=TEXT,
        Loaded=_or_none(TEXT),
        QuickSeconds=SECONDS,
        LongSeconds=SECONDS,
    ),
    "Table": _object(**TABLE),
    "TableDetails": _object(**TABLE, Columns=_array(COLUMN)),
    "Function": _object(
        Name=TEXT,
        Kind={"enum": ["scalar", "table"]},
        Parameters=_array(COLUMN),
        Returns=TEXT,
        Columns=_array(COLUMN),
        Description=TEXT,
    ),
    "Uploaded": _object(Name=TEXT, Rows=COUNT),
    "Renaming": _object(Name=TEXT | {"minLength": 1}),
    "Done": _object(status={"const": "success"}),
    "Query": _object(
        {
            "TaskName": TEXT | {"description": "What the client is doing; kept with the query."},
            "Dialect": {"enum": ["tsql", "duckdb", "postgresql", "trino", "mssql"]},
            "Estimate": {"type": "number", "minimum": 0, "maximum": 999_999, "description": "Minutes."},
            "CreateTable": BOOLEAN | {"description": "Jobs only: keep the result as a table of MyDB."},
            "TableName": TEXT | {"description": "Its name."},
            "Limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": 2**53 - 1,
                "description": "Most rows of each result. What is left out is said: see the formats.",
            },
            "Parameters": PARAMETERS | {"description": "Values of @name in T-SQL, and of $name in other dialects."},
        },
        Query=TEXT | {"description": "T-SQL, unless Dialect says otherwise."},
    ),
    "Queued": _object(JobID=COUNT, Status=COUNT, Location=TEXT),
    "Results": _object(
        Result=_array(
            _object(
                {"Cut": {"const": True, "description": "Rows were left out, as Limit wanted."}},
                TableName=TEXT,
                Columns=_array(TEXT),
                Data=_array({"type": "array"}) | {"description": "Rows; integers are exact, NULL is null."},
            )
        )
    ),
    "Explanation": _object(
        statements=_array(
            _object(
                action={"enum": ["select", "into", "insert", "change", "session", "nothing"]},
                line=COUNT,
                column=COUNT,
                source=TEXT | {"description": "The statement as it was written."},
                engine=TEXT | {"description": "The context whose own engine runs it; empty for ours."},
                sql=TEXT | {"description": "As the engine would run it."},
                note=TEXT | {"description": "Why it would have no effect, if it is one that has none here."},
                columns=_array(_object(name=TEXT, type=TEXT, unit=TEXT, ucd=TEXT, description=TEXT)),
                reads=_array(TEXT) | {"description": "Tables, with their databases."},
                target=_or_none(TEXT) | {"description": "Table that it writes."},
                plan=_or_none(TEXT),
                estimated_rows=_or_none(COUNT),
            )
        ),
        tables=_array(
            _object(database=TEXT, table=TEXT, rows=_or_none(COUNT), access=_array({"enum": ["read", "write"]}))
        ),
        estimated_rows=_or_none(COUNT),
        parameters=_array(TEXT)
        | {"description": "Variables that the script uses, does not declare, and were not sent under Parameters."},
    ),
    "Job": _object(
        {
            "Position": PLACE | {"description": "In the long queue, from 1; null if it does not wait."},
            "Reason": TEXT | {"description": "Why it does not run yet."},
            "Attempts": COUNT,
            "Limit": COUNT | {"description": "0 if all rows were wanted."},
            "Parameters": PARAMETERS | {"description": "As they were sent."},
            "Statement": COUNT,
            "Statements": COUNT,
            "Fraction": {"type": ["number", "null"]},
            "TimeLimit": SECONDS,
            "ResultsUntil": MOMENT_OR_NONE,
            "Error": {"anyOf": [ERROR_OF_QUERY, {"type": "null"}]},
        },
        JobID=COUNT,
        Rows=COUNT,
        WebServicesID=COUNT,
        TimeSubmit=MOMENT_OR_NONE,
        TimeStart=MOMENT_OR_NONE,
        TimeEnd=MOMENT_OR_NONE,
        SendEmail=COUNT,
        Status={
            "enum": [0, 1, 2, 3, 4, 5],
            "description": "0 ready, 1 started, 2 canceling, 3 canceled, 4 failed, 5 finished.",
        },
        AutoComplete=COUNT,
        Estimate=COUNT,
        TaskName=TEXT,
        OutputLoc=TEXT | {"description": "Where the first result is, if there is one."},
        HostIP=TEXT,
        Message=TEXT,
        Query=TEXT,
        ModifiedQuery=TEXT | {"description": "As the database ran it."},
        Target=TEXT,
        OutputType=TEXT,
        Params=TEXT,
        Created_Table=TEXT,
        Kind=TEXT,
        Dialect=TEXT,
        Results=_array({"type": "object"}),
    ),
}
