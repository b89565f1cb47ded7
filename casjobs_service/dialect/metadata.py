"""What scripts ask a database about itself: information_schema and SQL Server's list of tables."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from casjobs_service.catalog import Catalog, Column, Table
from casjobs_service.dialect import types
from casjobs_service.dialect.names import Session, parts
from casjobs_service.dialect.source import literal_text
from casjobs_service.errors import Kind

_NAMES = {
    "string": "varchar",
    "decimal": "decimal",
    "datetime": "datetime",
    "binary": "varbinary",
    "uuid": "uniqueidentifier",
    "unknown": "sql_variant",
}

_BYTES = {"bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "real": 4, "float": 8, "datetime": 8}
_DOCUMENTED = (
    ("enum", "VARCHAR"),
    ("name", "VARCHAR"),
    ("type", "VARCHAR"),
    ("length", "INTEGER"),
    ("unit", "VARCHAR"),
    ("ucd", "VARCHAR"),
    ("description", "VARCHAR"),
    ("rank", "INTEGER"),
)

VIEWS: dict[str, tuple[tuple[str, str], ...]] = {
    "information_schema.tables": (
        ("TABLE_CATALOG", "VARCHAR"),
        ("TABLE_SCHEMA", "VARCHAR"),
        ("TABLE_NAME", "VARCHAR"),
        ("TABLE_TYPE", "VARCHAR"),
    ),
    "information_schema.columns": (
        ("TABLE_CATALOG", "VARCHAR"),
        ("TABLE_SCHEMA", "VARCHAR"),
        ("TABLE_NAME", "VARCHAR"),
        ("COLUMN_NAME", "VARCHAR"),
        ("ORDINAL_POSITION", "INTEGER"),
        ("IS_NULLABLE", "VARCHAR"),
        ("DATA_TYPE", "VARCHAR"),
        ("NUMERIC_PRECISION", "INTEGER"),
        ("NUMERIC_SCALE", "INTEGER"),
    ),
    "sys.tables": (
        ("name", "VARCHAR"),
        ("object_id", "INTEGER"),
        ("schema_id", "INTEGER"),
        ("type", "VARCHAR"),
        ("type_desc", "VARCHAR"),
        ("xtype", "VARCHAR"),
        ("create_date", "TIMESTAMP"),
    ),
}
"""Columns of what there is."""
VIEWS["sys.columns"] = (
    ("object_id", "INTEGER"),
    ("name", "VARCHAR"),
    ("column_id", "INTEGER"),
    ("is_nullable", "BOOLEAN"),
)
_SAME = {
    "sys.objects": "sys.tables",
    "sys.views": "sys.tables",
    "sys.sysobjects": "sys.tables",
    "sysobjects": "sys.tables",
    "information_schema.views": "information_schema.tables",
}


def view_name(session: Session, node: exp.Table) -> str:
    """Name of the view of metadata that a table's name means, or nothing."""
    if not isinstance(node.this, exp.Identifier):
        return ""
    schema, name = node.text("db").lower(), node.name.lower()
    full = f"{schema}.{name}" if schema in ("information_schema", "sys") else name if name == "sysobjects" else ""
    return full if full in VIEWS or full in _SAME else ""


def as_values(session: Session, node: exp.Table) -> tuple[exp.Subquery, list[tuple[str, str]]]:
    """A query that gives the view's rows, and its columns with DuckDB's types."""
    asked = view_name(session, node)
    kind = _SAME.get(asked, asked)
    name = parts(session, node)
    catalog = session.catalog(name.database or session.context, node)
    columns = VIEWS[kind]
    tables = [table for table in tables_of(session, catalog) if _wanted(asked, table)]
    rows: list[list[str | int | None]]
    if kind == "information_schema.columns":
        rows = [
            row for table in tables for row in (_column(catalog, table, i, c) for i, c in enumerate(table.columns, 1))
        ]
    elif kind == "sys.columns":
        rows = [
            [number, column.name, place, 1]
            for number, table in enumerate(tables, 1)
            for place, column in enumerate(table.columns, 1)
        ]
    elif kind == "information_schema.tables":
        rows = [
            [catalog.database, table.schema or "dbo", table.name, "VIEW" if table.kind == "view" else "BASE TABLE"]
            for table in tables
        ]
    else:
        rows = [
            [
                table.name,
                number,
                1,
                "V" if table.kind == "view" else "U",
                "VIEW" if table.kind == "view" else "USER_TABLE",
                "V" if table.kind == "view" else "U",
                table.date[:19].replace("T", " ") or None,
            ]
            for number, table in enumerate(tables, 1)
        ]
    return rows_of(columns, rows), list(columns)


def rows_of(columns: Sequence[tuple[str, str]], rows: list[list[str | int | None]]) -> exp.Subquery:
    """A query that gives these rows, under these names and with these types of DuckDB's."""
    empty = not rows
    if empty:
        rows = [[None] * len(columns)]
    select = exp.select(
        *[
            exp.alias_(
                exp.Cast(
                    this=exp.column(exp.to_identifier(f"c{index}", quoted=True), table="v"),
                    to=types.from_duckdb(kind_).node(),
                ),
                exp.to_identifier(title, quoted=True),
            )
            for index, (title, kind_) in enumerate(columns)
        ]
    )
    values = exp.Values(
        expressions=[exp.Tuple(expressions=[_literal(value) for value in row]) for row in rows],
        alias=exp.TableAlias(
            this=exp.to_identifier("v", quoted=True),
            columns=[exp.to_identifier(f"c{index}", quoted=True) for index in range(len(columns))],
        ),
    )
    select.set("from_", exp.From(this=values))
    if empty:
        select.set("where", exp.Where(this=exp.false()))
    return exp.Subquery(this=select)


DOCUMENTS: dict[str, tuple[tuple[str, str], ...]] = {
    name: tuple((title, kind) for title, kind in _DOCUMENTED if title != "rank" or name.endswith("withrank"))
    for name in ("fdoccolumns", "fdoccolumnswithrank")
}
"""SDSS's functions that list a table's columns: name in lower case → columns with DuckDB's types."""


def documents(session: Session, call: exp.Expr, catalog: Catalog) -> exp.Subquery:
    """Rows of a call ``fDocColumns('PhotoObj')``.

    Raises
    ------
    QueryError
        The table's name is no constant.
    """
    arguments = call.expressions
    name = literal_text(arguments[0]) if len(arguments) == 1 else None
    if name is None:
        raise session.source.error(f"{call.name} takes a table's name as a text.", Kind.UNSUPPORTED, call)
    table = next((item for item in tables_of(session, catalog) if item.name.lower() == name.strip().lower()), None)
    rows: list[list[str | int | None]] = []
    for place, column in enumerate(table.columns if table else [], 1):
        kind = types.of_column(column)
        values: dict[str, str | int | None] = {
            "enum": "",
            "name": column.name,
            "type": _NAMES.get(kind.kind, kind.kind),
            "length": _BYTES.get(kind.kind),
            "unit": column.unit,
            "ucd": column.ucd,
            "description": column.description,
            "rank": place,
        }
        rows.append([values[title] for title, _ in DOCUMENTS[call.name.lower()]])
    return rows_of(DOCUMENTS[call.name.lower()], rows)


def tables_of(session: Session, catalog: Catalog) -> list[Table]:
    """Tables as the script has left them so far."""
    database = catalog.database.lower()
    tables = {table.name.lower(): table for table in catalog.tables}
    for (made_in, name), table in session.made.items():
        if made_in == database:
            tables.pop(name, None)
            if table is not None:
                tables[name] = table
    return list(tables.values())


def _wanted(asked: str, table: Table) -> bool:
    if asked in ("sys.tables",):
        return table.kind != "view"
    if asked in ("sys.views", "information_schema.views"):
        return table.kind == "view"
    return True


def _column(catalog: Catalog, table: Table, place: int, column: Column) -> list[str | int | None]:
    kind = types.of_column(column)
    precision = kind.precision if kind.kind == "decimal" else types.DIGITS.get(kind.kind)
    if kind.is_approximate:
        precision = 53 if kind.kind == "float" else 24
    scale = kind.scale if kind.kind == "decimal" else 0 if kind.is_integer else None
    return [
        catalog.database,
        table.schema or "dbo",
        table.name,
        column.name,
        place,
        "YES",
        _NAMES.get(kind.kind, kind.kind),
        precision,
        scale,
    ]


def _literal(value: str | int | None) -> exp.Expr:
    if value is None:
        return exp.Null()
    return exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(value)


def refuse_other(session: Session, node: exp.Table) -> None:
    """Other tables of SQL Server's own are refused with a hint rather than not found."""
    if node.text("db").lower() in ("information_schema", "sys"):
        raise session.source.error(
            f"There is no {node.text('db')}.{node.name} here.",
            Kind.UNSUPPORTED,
            node,
            "There are information_schema.tables, information_schema.columns, sys.tables and sys.columns.",
        )
