"""From the tree to text in the SQL of an engine."""

from __future__ import annotations

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.postgres import Postgres
from sqlglot.dialects.trino import Trino
from sqlglot.errors import UnsupportedError

from casjobs_service.dialect.source import Source
from casjobs_service.dialect.tsql import DIALECT
from casjobs_service.errors import Kind

DIALECTS: dict[str, Dialect] = {
    "duckdb": DuckDB(),
    "postgresql": Postgres(),
    "trino": Trino(),
    "mssql": DIALECT,
}
"""sqlglot's dialects by engine."""


def generate(tree: exp.Expr, engine: str, source: Source, at: int | None = None) -> str:
    """Text of a statement.

    Raises
    ------
    QueryError
        Something has no words in that engine's SQL.
    """
    generator = DIALECTS[engine].generator(
        unsupported_level=ErrorLevel.RAISE, comments=False, normalize_functions=False
    )
    try:
        return generator.generate(tree, copy=False)
    except UnsupportedError as error:
        raise source.error("This cannot be said in the SQL of the engine.", Kind.UNSUPPORTED, at) from error
