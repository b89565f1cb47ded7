"""What a PostgreSQL database contains, read from its own catalogue with the rights of the connected account."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from casjobs_service.catalog import Catalog, Column, Function, Table

Rows = Callable[[str], list[dict[str, Any]]]

_RELATIONS = """
SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint AS id,
       c.relkind IN ('v', 'm') AS is_view, c.reltuples::bigint AS rows,
       CASE WHEN c.relkind IN ('r', 'm', 'p') THEN pg_total_relation_size(c.oid) END AS size,
       obj_description(c.oid, 'pg_class') AS comment, n.nspname = current_schema() AS is_default
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                  AND d.deptype = 'e')
ORDER BY n.nspname <> current_schema(), n.nspname, c.relname
"""

_COLUMNS = """
SELECT a.attrelid::bigint AS id, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END,
                   CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END) AS base,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
ORDER BY a.attrelid, a.attnum
"""

# The parameters as text: arrays of names and of types have to be put side by side.
_FUNCTIONS = """
SELECT p.proname AS name, p.proretset AS is_table, format_type(p.prorettype, NULL) AS returns,
       obj_description(p.oid, 'pg_proc') AS comment,
       (SELECT json_agg(json_build_object('name', coalesce(p.proargnames[i], ''), 'type', format_type(type, NULL),
                                          'mode', coalesce(p.proargmodes[i]::text, 'i')) ORDER BY i)
        FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS u(type, i)
       )::text AS parameters
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind = 'f' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
  AND p.prorettype NOT IN ('trigger'::regtype, 'internal'::regtype, 'event_trigger'::regtype)
  AND NOT p.proargtypes::oid[] @> ARRAY['internal'::regtype::oid]
ORDER BY p.proname, p.pronargs DESC
"""

_TYPES = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "boolean": "BOOLEAN",
    "bytea": "BLOB",
    "date": "DATE",
    "time without time zone": "TIME",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
}


def duckdb_type(name: str) -> str:
    """DuckDB's name of a PostgreSQL type; what it has no type for comes, and is shown, as text.

    A numeric column without a scale has none until its values are seen: ``DECIMAL(38,10)`` stands for it.
    """
    name = name.strip()
    if name.endswith("[]"):
        element = duckdb_type(name.rstrip("[]"))
        return "VARCHAR" if element.startswith(("VARCHAR", "DECIMAL")) and "char" not in name else f"{element}[]"
    if match := re.fullmatch(r"numeric(?:\((\d+),(-?\d+)\))?", name):
        if match[1] and int(match[1]) <= 38 and 0 <= int(match[2]) <= int(match[1]):
            return f"DECIMAL({match[1]},{match[2]})"
        return "DECIMAL(38,10)"
    # Precision of times: time(3) without time zone.
    return _TYPES.get(re.sub(r"\(\d+\)", "", name), "VARCHAR")


def described(comment: str | None) -> dict[str, str]:
    """Unit, UCD and description out of a comment: plain text, or JSON with these keys."""
    if comment and comment.lstrip().startswith("{"):
        try:
            value = json.loads(comment)
            if isinstance(value, dict):
                return {key: str(value[key]) for key in ("unit", "ucd", "description") if value.get(key)}
        except ValueError:
            pass
    return {"description": comment} if comment else {}


def read(rows: Rows, database: str) -> Catalog:
    """Tables, views and functions that the account may use; the same name in two schemas: that of the search path."""
    columns: dict[int, list[Column]] = {}
    for row in rows(_COLUMNS):
        column = Column(row["name"], duckdb_type(row["base"]), **described(row["comment"]))
        columns.setdefault(row["id"], []).append(column)
    catalog = Catalog(database, "postgresql")
    seen = set()
    for row in rows(_RELATIONS):
        if row["name"] in seen or row["id"] not in columns:
            continue
        seen.add(row["name"])
        catalog.tables.append(
            Table(
                row["name"],
                columns[row["id"]],
                "view" if row["is_view"] else "table",
                described(row["comment"]).get("description", ""),
                # -1: never analysed; a view has none.
                row["rows"] if row["rows"] >= 0 and not row["is_view"] else None,
                row["size"],
                schema="" if row["is_default"] else row["schema"],
            )
        )
    for row in rows(_FUNCTIONS):
        if catalog.function(row["name"]) is None:
            catalog.functions.append(_function(row))
    return catalog


def _function(row: dict[str, Any]) -> Function:
    arguments = json.loads(row["parameters"] or "[]")
    inputs = [item for item in arguments if item["mode"] in "ibv"]
    outputs = [item for item in arguments if item["mode"] in "ot"]
    return Function(
        row["name"],
        "table" if row["is_table"] else "scalar",
        [
            Column(item["name"] or f"parameter{number}", duckdb_type(item["type"]))
            for number, item in enumerate(inputs, 1)
        ],
        "" if row["is_table"] else duckdb_type(row["returns"]),
        [Column(item["name"], duckdb_type(item["type"])) for item in outputs] if row["is_table"] else [],
        row["comment"] or "",
    )
