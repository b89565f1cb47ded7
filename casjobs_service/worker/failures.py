"""Errors of the engine and of libraries, in words for users."""

from __future__ import annotations

import re
from dataclasses import replace

import duckdb
import pyarrow as pa

from casjobs_service.dialect import locate, place
from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits
from casjobs_service.plan import Statement

_PATH = re.compile(r"[\"']?(?<![\w.)/])(?:/[\w.-]+){2,}[\"']?")
_PREFIX = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
_LINE = re.compile(r"\n\s*\nLINE \d+:.*", re.DOTALL)
"""DuckDB shows the translated text with a mark; the user has written another one."""

_THROUGH_ARROW = re.compile(r"(?:Unknown error: )?([A-Z][A-Za-z ]*) Error: ")

_CLASSES: dict[str, type[duckdb.Error]] = {
    "Out of Memory": duckdb.OutOfMemoryException,
    "INTERRUPT": duckdb.InterruptException,
    "INTERNAL": duckdb.InternalException,
    "IO": duckdb.IOException,
    "Not implemented": duckdb.NotImplementedException,
}
"""Of DuckDB's errors by what their texts begin with, where it is not just the values' fault."""

_KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (duckdb.ParserException, Kind.SYNTAX),
    (duckdb.SyntaxException, Kind.SYNTAX),
    (duckdb.BinderException, Kind.NAME),
    (duckdb.CatalogException, Kind.NAME),
    (duckdb.PermissionException, Kind.FORBIDDEN),
    (duckdb.NotImplementedException, Kind.UNSUPPORTED),
    (duckdb.NotSupportedError, Kind.UNSUPPORTED),
    (duckdb.InternalException, Kind.INTERNAL),
    (duckdb.FatalException, Kind.INTERNAL),
    (duckdb.Error, Kind.DATA),
)

_ENGINES_OWN = (Kind.SYNTAX, Kind.NAME, Kind.UNSUPPORTED, Kind.FORBIDDEN, Kind.DATA)
_OF_STATEMENTS = (*_ENGINES_OWN, Kind.LIMIT, Kind.QUOTA)
"""Kinds of errors that belong to a place in the text."""


def engines_own(error: Exception) -> Exception:
    """An error that the engine has raised while Arrow read its rows, as the engine's: Arrow keeps the text only."""
    if isinstance(error, OSError | pa.ArrowException) and (found := _THROUGH_ARROW.match(str(error))):
        return _CLASSES.get(found[1], duckdb.DataError)(str(error))
    return error


def explained(error: Exception, limits: Limits) -> QueryError:
    """The error as users may see it."""
    if isinstance(error, QueryError):
        return error
    error = engines_own(error)
    if isinstance(error, RecursionError):
        return QueryError("The query is nested too deeply. Split it into several statements.", Kind.LIMIT)
    text = str(error)
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException | pa.ArrowMemoryError):
        if "max_temp_directory_size" in text:
            return QueryError(
                f"The query needs more than {limits.temp / 1e9:.3g} GB of temporary space. Read fewer rows or "
                "columns, or do it in several steps.",
                Kind.LIMIT,
            )
        return QueryError(
            f"The query needs more than {limits.memory / 1e9:.3g} GB of memory. Read fewer rows or columns, or do it "
            "in several steps.",
            Kind.LIMIT,
        )
    if isinstance(error, OSError | duckdb.Error | pa.ArrowException):
        if "No space left on device" in text:
            return QueryError(
                "The server's disk is full. Nothing was changed; please try again later, or tell the operator.",
                Kind.UNAVAILABLE,
            )
        if "File too large" in text:
            return QueryError(
                "The query needs larger files than it may make. Read fewer rows or columns, or do it in steps.",
                Kind.LIMIT,
            )
    for kind, meaning in _KINDS:
        if isinstance(error, kind):
            if meaning is Kind.INTERNAL:
                break
            return QueryError(_readable(text), meaning)
    return QueryError("The service has failed to run the query; the operator finds details in its log.", Kind.INTERNAL)


def located(error: Exception, statement: Statement, limits: Limits) -> Exception:
    """The error with its place in the user's text, if it is one of the statement."""
    error = engines_own(error)
    if isinstance(error, duckdb.InterruptException):
        return error
    if isinstance(error, duckdb.Error):
        plain = explained(error, limits)
        if plain.kind in _ENGINES_OWN:
            found = locate(_PATH.sub("a file", str(error)), statement)
            # It knows the words, the class of the exception knows the kind.
            error = replace(found, kind=plain.kind if found.kind is Kind.DATA else found.kind)
        else:
            error = plain
    if isinstance(error, QueryError) and error.line is None and error.kind in _OF_STATEMENTS:
        # Of another engine, whose process has made its error one of ours.
        error.line, error.column = place(error.message, statement)
    return error


def _readable(text: str) -> str:
    return _PATH.sub("a file", _PREFIX.sub("", _LINE.sub("", text))).strip()
