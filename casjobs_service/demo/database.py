"""Writing a DuckDB file by a schema, and saying what it contains."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.catalog import Sky, Table
from casjobs_service.demo.schema import Definition
from casjobs_service.demo.sky import ZONE_HEIGHT

SOURCE = "source_"
"""Begins the names of relations, which otherwise could be those of tables."""


def arrow(columns: Mapping[str, npt.NDArray]) -> pa.Table:
    """Columns of numpy as a table; NaN, by which numpy says that nothing is known, is NULL there."""
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def write(
    path: Path,
    definitions: Mapping[str, Definition],
    relations: Mapping[str, pa.Table],
    prelude: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
    mostly_unknown: Collection[str] = (),
    threads: int = 2,
) -> list[Table]:
    """Make the tables and views of a schema in a new file.

    Parameters
    ----------
    relations
        Rows of the tables, by the name that the schema gives them.
    prelude
        Statements that come first, e.g. for temporary tables that are relations too; their names begin with `SOURCE`.
    sources
        FROM clauses of further relations, which may use tables of the schema that are before them.
    mostly_unknown
        Tables with hundreds of columns that are NULL throughout: those are not written, for that takes long. Queries
        of views on such a table take longer to be understood, so it is for tables that are rarely asked.

    Returns
    -------
    list of Table
        For the catalogue.
    """
    with duckdb.connect(str(path), config={"threads": threads, "memory_limit": "2GB"}) as connection:
        for name, relation in relations.items():
            connection.register(SOURCE + name, relation)
        for statement in prelude:
            connection.execute(statement)
        for definition in definitions.values():
            _create(connection, definition, sources or {}, definition.name in mostly_unknown)
        counts = {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchall()[0][0]  # noqa: S608 - our names
            for name in definitions
        }
        for name in relations:
            connection.unregister(SOURCE + name)
        connection.execute("CHECKPOINT")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [_table(definition, counts[name], now) for name, definition in definitions.items()]


def _create(
    connection: duckdb.DuckDBPyConnection, definition: Definition, sources: Mapping[str, str], mostly_unknown: bool
) -> None:
    name = f'"{definition.name}"'
    source = sources.get(definition.base, f'"{SOURCE if definition.kind == "table" else ""}{definition.base}"')
    fields = definition.fields
    if definition.kind == "table":
        written = [one for one in fields if not one.computed and (one.value or not mostly_unknown)]
        columns = ", ".join(
            f'"{one.column.name}" {one.column.type}'
            + ("" if one in written else f" GENERATED ALWAYS AS ({one.value or 'NULL'})")
            for one in fields
        )
        connection.execute(f"CREATE TABLE {name} ({columns})")
        if definition.base:
            values = ", ".join(f"({one.value or 'NULL'})::{one.column.type}" for one in written)
            connection.execute(f"INSERT INTO {name} SELECT {values} FROM {source}")  # noqa: S608 - our own names
        return
    values = ", ".join(
        f'"{one.column.name}"' if one.taken else f'({one.value or "NULL"})::{one.column.type} AS "{one.column.name}"'
        for one in fields
    )
    if definition.whole:
        # A view is read anew for each query: 600 names take longer than a star.
        values = "*"
    condition = f" WHERE {definition.where}" if definition.where else ""
    connection.execute(f"CREATE VIEW {name} AS SELECT {values} FROM {source}{condition}")  # noqa: S608 - our own names


def _table(definition: Definition, count: int, now: str) -> Table:
    columns = [one.column for one in definition.fields]
    names = {column.name.lower() for column in columns}
    sky = None
    if {"ra", "dec"} <= names and count:
        sky = Sky("ra", "dec", "zoneID" if "zoneid" in names else "", ZONE_HEIGHT)
    return Table(definition.name, columns, definition.kind, definition.description, count, date=now, sky=sky)
