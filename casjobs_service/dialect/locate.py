"""An engine's complaint about a translated statement, in words and at a place of the user's text."""

from __future__ import annotations

import re

from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import Statement

_PREFIX = re.compile(r"^(?:[A-Z][\w ]* Error|ERROR|FATAL|\w+Exception|\[[\w ]+\]|\(\d+, b?)[:,]?\s*", re.ASCII)
_TAIL = re.compile(r"\n\s*(?:LINE|Line) \d+:.*|\n\s*\^.*|\nDETAIL:.*|\nCONTEXT:.*|\nPOSITION:.*", re.DOTALL)
_ADVICE = re.compile(
    r"\s*(?:Either add it |Use TRY\(|, or SET |Use \"?SET |In order to |You might need to add"
    r"|Please (?:report|file|add explicit)"
    r"|Candidate (?:functions|macros|bindings)|HINT:).*",
    re.DOTALL,
)
_INTERNAL = re.compile(r"\b(?:ss_|cj_)(\w+)", re.IGNORECASE)
_QUOTED = re.compile(r"[\"'`]([^\"'`\n]{1,128})[\"'`]")
_NAMED = re.compile(r"(?:with name|name|column|relation|table|function) [\"']?([\w.#@]+)", re.IGNORECASE)
_EXPRESSION = re.compile(r"in expression \((.*)\)")
_SUGGESTED = re.compile(r"Did you mean [\"']?([\w.]+)[\"']?", re.IGNORECASE)
_GUESS = re.compile(r"\bPerhaps you meant\b|\bDid you mean\b")
_PLACE = re.compile(r"^line \d+:\d+:\s*", re.IGNORECASE)

MEANINGS: tuple[tuple[str, str, Kind, str], ...] = (
    (
        r"division by zero|divide by zero",
        "Division by zero.",
        Kind.DATA,
        "Write x / NULLIF(y, 0) to get NULL instead.",
    ),
    (
        r"overflow in |value .*out of range|out of range for|arithmetic overflow|because the value is out",
        "",
        Kind.DATA,
        "CAST to a larger type, e.g. bigint or float.",
    ),
    (
        r"more than one row returned by a subquery",
        "A subquery gives more than one row.",
        Kind.DATA,
        "Use TOP 1 or max(…).",
    ),
    (r"out of memory|memory limit|exceeded.*memory", "", Kind.LIMIT, "Read fewer rows or columns, or work in steps."),
    (r"statement timeout|query_max_run_time|maximum (?:run|execution) time", "The time is over.", Kind.TIMEOUT, ""),
    (r"duplicate key|unique constraint|primary key constraint|already exists", "", Kind.DATA, ""),
    (r"not null constraint|violates not-null", "", Kind.DATA, ""),
    (r"must appear in the group by", "", Kind.SYNTAX, "Add it to GROUP BY, or take its min(…) or max(…)."),
    (r"permission denied", "This database does not let the service read that.", Kind.FORBIDDEN, ""),
    (
        r"does not exist|not found|cannot be resolved|invalid object name|invalid column name|unknown column",
        "",
        Kind.NAME,
        "",
    ),
    (r"syntax error|parser error|mismatched input", "", Kind.SYNTAX, ""),
    (
        r"connection (?:refused|reset|to server)|could not connect|server closed the connection|is starting up",
        "The database of this context does not answer.",
        Kind.UNAVAILABLE,
        "Try again later.",
    ),
)
"""What an error says, in any engine: what we say (empty: its own words), its kind, and a hint."""


def locate(error_text: str, statement: Statement) -> QueryError:
    """The error as users see it: in their words, at a place of their text.

    Parameters
    ----------
    error_text
        What DuckDB, PostgreSQL, Trino or SQL Server says.
    statement
        What was run.
    """
    text = _TAIL.sub("", error_text.strip())
    suggestion = _SUGGESTED.search(text)
    lower = text.lower()
    message, kind, hint = "", Kind.DATA, ""
    for pattern, words, found, advice in MEANINGS:
        if re.search(pattern, lower):
            message, kind, hint = words, found, advice
            break
    own = text
    while (shorter := _PREFIX.sub("", own)) != own:
        own = shorter
    own = _PLACE.sub("", own)
    own = _SUGGESTED.sub("", own)
    own = _ADVICE.sub("", own)
    own = _INTERNAL.sub(r"\1", own).strip().rstrip("!?,;")
    own = re.sub(r"\s*\n\s*", " ", own)
    if own and own[-1] not in ".!?…":
        own += "."
    line, column = place(own if not message else text, statement)
    if suggestion and not suggestion[1].lower().startswith(("pg_", "duckdb_", "information_schema", "sqlite_")):
        hint = f"Did you mean {suggestion[1]}?"
    own = own[:1].upper() + own[1:]
    return QueryError(message or own or "The engine refused the statement.", kind, line, column, hint)


def place(message: str, statement: Statement) -> tuple[int, int]:
    """Where the first name that the message mentions stands in the user's text; else where the statement starts."""
    message = _GUESS.split(message)[0]
    places: dict[str, tuple[int, int]] = {}
    for name, line, column in statement.positions:
        places.setdefault(name, (line, column))
    for pattern in (_QUOTED, _NAMED):
        for match in pattern.finditer(message):
            for part in reversed(match[1].split(".")):
                if part.lower() in places:
                    return places[part.lower()]
    if expression := _EXPRESSION.search(message):
        for word in re.findall(r"\w+", expression[1]):
            if word.lower() in places:
                return places[word.lower()]
    return statement.line, statement.column
