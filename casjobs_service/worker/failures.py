"""Errors of the engine and of libraries, in words for users."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa

from casjobs_service.errors import Kind, QueryError
from casjobs_service.limits import Limits

_PATH = re.compile(r"(?<![\w.])(?:/[^\s\"':;,)]+)+")

_KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (duckdb.ParserException, Kind.SYNTAX),
    (duckdb.SyntaxException, Kind.SYNTAX),
    (duckdb.BinderException, Kind.NAME),
    (duckdb.CatalogException, Kind.NAME),
    (duckdb.PermissionException, Kind.FORBIDDEN),
    (duckdb.NotImplementedException, Kind.UNSUPPORTED),
    (duckdb.InternalException, Kind.INTERNAL),
    (duckdb.FatalException, Kind.INTERNAL),
    (duckdb.Error, Kind.DATA),
    (pa.ArrowInvalid, Kind.DATA),
)


def explained(error: Exception, limits: Limits) -> QueryError:
    """The error as users may see it."""
    if isinstance(error, QueryError):
        return error
    if isinstance(error, RecursionError):
        return QueryError("The query is nested too deeply. Split it into several statements.", Kind.LIMIT)
    if isinstance(error, (MemoryError, duckdb.OutOfMemoryException, pa.ArrowMemoryError)):
        return QueryError(
            f"The query needs more memory and temporary space than it may use ({limits.memory / 1e9:.3g} GB and "
            f"{limits.temp / 1e9:.3g} GB). Read fewer rows or columns, or do it in several steps.",
            Kind.LIMIT,
        )
    for kind, meaning in _KINDS:
        if isinstance(error, kind):
            return QueryError(_PATH.sub("a file", str(error)), meaning)
    return QueryError("The service has failed to run the query; the operator finds details in its log.", Kind.INTERNAL)
