"""A small copy of SDSS's schema: the tables and columns that scripts use, with a row each."""

from __future__ import annotations

from tests.casjobs.dialect_support import CORPUS

TYPES = {
    "l": "BIGINT",
    "i": "INTEGER",
    "s": "SMALLINT",
    "t": "UTINYINT",
    "d": "DOUBLE",
    "f": "FLOAT",
    "v": "VARCHAR",
    "b": "BIGINT",
    "x": "BLOB",
    "w": "TIMESTAMP",
}
VALUES = {"VARCHAR": "'x'", "BLOB": "'x'::BLOB", "TIMESTAMP": "TIMESTAMP '2010-01-01'"}


def schema_sql(database: str) -> str:
    """Statements that make all tables, each with one row of plain values."""
    statements = []
    for line in (CORPUS / "sdss_schema.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        names, columns = line.split(" = ")
        kinds: dict[str, tuple[str, str]] = {}
        for column in columns.split():
            title, kind = column.split(":")
            kinds.setdefault(title.lower(), (title, TYPES[kind]))
        definitions = ", ".join(f'"{title}" {kind}' for title, kind in kinds.values())
        row = ", ".join(VALUES.get(kind, "1") for _, kind in kinds.values())
        for name in names.split():
            table = f'"{database}".main."{name}"'
            statements += [f"CREATE TABLE {table} ({definitions})", f"INSERT INTO {table} VALUES ({row})"]  # noqa: S608
    return ";\n".join(statements)
