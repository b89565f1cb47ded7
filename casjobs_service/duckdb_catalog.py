"""What a DuckDB database contains, and where its columns' units and descriptions are kept.

DuckDB keeps a comment with tables and columns. Ours are JSON: of a column ``{"unit", "ucd", "description"}``, of a
table ``{"description", "created", "sky"}``; keys without a value are left out. A comment that is no JSON object is a
description.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from casjobs_service.catalog import Catalog, Column, Sky, Table

Run = Callable[[str, list[Any] | None], list[tuple[Any, ...]]]
"""Runs a query with parameters, and returns its rows."""

_TABLES = """
    SELECT table_name, 'table', comment, estimated_size FROM duckdb_tables()
    WHERE database_name = $1 AND schema_name = 'main' AND NOT internal
    UNION ALL
    SELECT view_name, 'view', comment, NULL FROM duckdb_views()
    WHERE database_name = $1 AND schema_name = 'main' AND NOT internal
    ORDER BY lower(table_name)
"""
_COLUMNS = """
    SELECT table_name, column_name, data_type, comment FROM duckdb_columns()
    WHERE database_name = $1 AND schema_name = 'main' AND NOT internal
    ORDER BY table_name, column_index
"""


def read_catalog(run: Run, database: str, *, sizes: bool = False) -> Catalog:
    """The tables and views of an attached database.

    Parameters
    ----------
    run
        Runs a query on the connection.
    database
        Under which it is attached.
    sizes
        Find out how many bytes each table has on disk, which reads the tables' metadata.
    """
    columns: dict[str, list[Column]] = {}
    for table, name, kind, comment in run(_COLUMNS, [database]):
        about = read_comment(comment)
        columns.setdefault(table, []).append(
            Column(name, kind, about.get("unit", ""), about.get("ucd", ""), about.get("description", ""))
        )
    tables = []
    for name, kind, comment, rows in run(_TABLES, [database]):
        about = read_comment(comment)
        sky = about.get("sky")
        table = Table(
            name,
            columns.get(name, []),
            kind,
            about.get("description", ""),
            rows,
            date=about.get("created", ""),
            sky=Sky(**sky) if isinstance(sky, dict) else None,
        )
        if sizes and kind == "table":
            table.size = table_size(run, database, name)
        tables.append(table)
    return Catalog(database, tables=tables)


def table_size(run: Run, database: str, table: str) -> int:
    """Bytes of a table's own blocks; a table in a block with others has none of its own."""
    name = ".".join('"' + part.replace('"', '""') + '"' for part in (database, "main", table))
    [(blocks,)] = run("SELECT count(DISTINCT block_id) FROM pragma_storage_info($1) WHERE block_id >= 0", [name])
    [(size,)] = run("SELECT block_size FROM pragma_database_size() WHERE database_name = $1", [database])
    return int(blocks) * int(size)


def read_comment(comment: str | None) -> dict[str, Any]:
    """What a comment says."""
    if not comment:
        return {}
    try:
        value = json.loads(comment)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"description": comment}


def comment_statements(
    database: str,
    table: str,
    columns: Sequence[Column],
    *,
    description: str = "",
    created: str = "",
    sky: Sky | None = None,
) -> list[str]:
    """Statements that write down what is known of a table and its columns.

    Parameters
    ----------
    created
        When the table was made, ISO 8601 in UTC.
    """
    name = ".".join(_identifier(part) for part in (database, "main", table))
    texts = []
    about: dict[str, Any] = {"description": description, "created": created}
    if sky:
        about["sky"] = asdict(sky)
    if any(about.values()):
        texts.append(f"COMMENT ON TABLE {name} IS {_comment(about)}")
    for column in columns:
        known = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
        if any(known.values()):
            texts.append(f"COMMENT ON COLUMN {name}.{_identifier(column.name)} IS {_comment(known)}")
    return texts


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _comment(about: dict[str, Any]) -> str:
    text = json.dumps({key: value for key, value in about.items() if value}, ensure_ascii=False)
    return "'" + text.replace("'", "''") + "'"
