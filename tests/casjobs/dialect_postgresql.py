"""T-SQL over tables in a real PostgreSQL."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import adbc_driver_postgresql.dbapi as postgresql

from casjobs_service.catalog import Catalog, Column, Table
from tests.casjobs.dialect_support import DATA, Databases, Laboratory
from tests.casjobs.engines_support import OWNER, PostgreSQL

KINDS = {
    "BIGINT": "bigint",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "SMALLINT": "smallint",
    "UTINYINT": "smallint",
    "INTEGER": "integer",
    "BOOLEAN": "boolean",
    "VARCHAR": "text",
    "TIMESTAMP": "timestamp",
}


class Remote:
    """The tables of `tests.casjobs.dialect_support` in PostgreSQL, as the context ``Pg`` with the schema ``sky``."""

    def __init__(self, server: PostgreSQL) -> None:
        self.local = Laboratory()
        sky = self.local.databases.catalog("Sky")
        assert sky is not None
        statements = ["DROP SCHEMA IF EXISTS sky CASCADE; CREATE SCHEMA sky; CREATE TABLE sky.one (n int);"]
        statements.append("INSERT INTO sky.one VALUES (1);")
        tables = [Table("one", [Column("n", "INTEGER")], schema="sky")]
        for table in sky.tables:
            columns = ", ".join(
                f'"{column.name}" {KINDS.get(column.type, column.type.lower())}' for column in table.columns
            )
            statements.append(f'CREATE TABLE sky."{table.name}" ({columns});')
            tables.append(Table(table.name, table.columns, schema="sky"))
        for insert in DATA.split(";"):
            if "INSERT INTO Sky" in insert:
                name = insert.split("Sky.main.")[1].split()[0]
                statements.append(insert.replace(f"Sky.main.{name}", f'sky."{name}"') + ";")
        server.sql("\n".join(statements))
        self.databases = Databases(self.local.engine, Catalog("Pg", "postgresql", tables))
        self.connection = postgresql.connect(f"postgresql://{OWNER}@/science?host={server.home}&port={server.port}")

    def rows(self, script: str) -> list[tuple[Any, ...]]:
        """Of the only remote statement of a script."""
        from casjobs_service.dialect import translate

        found: list[tuple[Any, ...]] = []
        for statement in translate(script, self.databases, "Pg"):
            if not statement.engine:
                # Variables are filled in by the translator.
                assert statement.action in ("session", "nothing")
                continue
            assert (statement.engine, statement.prelude) == ("Pg", [])
            with self.connection.cursor() as cursor:
                try:
                    cursor.execute(statement.sql)
                    found = cursor.fetchall()
                except Exception:
                    self.connection.rollback()
                    raise
        return found


def same(value: Any, expected: Any) -> bool:
    """Equal, whatever the driver makes of decimals and bytes."""
    if isinstance(expected, float):
        return isinstance(value, float) and abs(value - expected) <= 1e-12 * max(1.0, abs(expected))
    if isinstance(expected, Decimal):
        return Decimal(str(value)) == expected
    if isinstance(expected, list | tuple):
        return len(value) == len(expected) and all(same(a, b) for a, b in zip(value, expected, strict=True))
    return bool(value == expected)
