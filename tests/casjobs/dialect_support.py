"""Runs translated scripts in a real DuckDB, as a worker does, over small tables whose content is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from casjobs_service.catalog import Catalog, Column, Table
from casjobs_service.dialect import ENGINE_SETTINGS, translate
from casjobs_service.plan import Action, Statement, TableName

DATA = """
CREATE TABLE Sky.main.Photo (objID BIGINT, ra DOUBLE, dec DOUBLE, u FLOAT, g FLOAT, r FLOAT, type SMALLINT,
    flags BIGINT, run SMALLINT, camcol UTINYINT, clean INTEGER, isPrimary BOOLEAN, name VARCHAR, taken TIMESTAMP,
    price DECIMAL(10,2), htmID BIGINT);
INSERT INTO Sky.main.Photo VALUES
    (1237648720693755918, 180.0, -0.5, 19.5, 18.25, 17.5, 3, 268435456, 756, 1, 1, true, 'Galaxy',
     '2001-03-15 08:30:00', 10.50, 16492674416640),
    (1237648720693755919, 180.1, 0.25, 21.0, 20.5, 20.0, 6, 70368744177664, 756, 2, 0, true, 'STAR',
     '2001-03-31 23:59:59', 2.25, 16492674416641),
    (1237648720693755920, 181.5, 1.0, 17.5, 16.5, 16.0, 3, 0, 1035, 6, 1, false, 'galaxy',
     '2002-12-31 00:00:00', NULL, 8246337208320),
    (1237648720693755921, 359.9, 60.0, NULL, 22.5, 21.5, 6, 4, 1035, 3, NULL, true, NULL,
     NULL, 7.00, 5);
CREATE TABLE Sky.main.Spec (specObjID BIGINT, bestObjID BIGINT, z FLOAT, zErr FLOAT, class VARCHAR, plate SMALLINT,
    mjd INTEGER, fiberID SMALLINT, subClass VARCHAR);
INSERT INTO Sky.main.Spec VALUES
    (75094092974915584, 1237648720693755918, 0.2, 0.0001, 'GALAXY', 266, 51602, 1, 'STARFORMING'),
    (75094367852822528, 1237648720693755919, 0.0001, 0.00001, 'STAR', 266, 51602, 2, 'K5'),
    (75095467364450304, 1237648720693755920, 0.1, 0.0002, 'Galaxy', 267, 51608, 5, ''),
    (75095742242357248, 0, 2.5, 0.01, 'QSO', 267, 51608, 6, 'BROADLINE');
CREATE TABLE Sky.main.Pairs (objID BIGINT, neighborObjID BIGINT, distance DOUBLE);
INSERT INTO Sky.main.Pairs VALUES (1237648720693755918, 1237648720693755919, 0.3),
    (1237648720693755919, 1237648720693755918, 0.3);
CREATE TABLE MyDB.main.mine (id INTEGER, name VARCHAR, x DOUBLE);
INSERT INTO MyDB.main.mine VALUES (1, 'one  ', 1.5), (2, 'Two', 2.5), (3, NULL, NULL), (-4, 'two', 7.75);
"""
DESCRIBED = {"ra": ("deg", "pos.eq.ra", "J2000 right ascension")}


CORPUS = Path(__file__).parent / "corpus"


def corpus(name: str) -> list[tuple[str, Any]]:
    """Scripts of a file and what stands after ``-->``: blocks separated by empty lines; ``# `` starts a remark."""
    cases = []
    for block in (CORPUS / name).read_text().split("\n\n"):
        text = "\n".join(line for line in block.splitlines() if not line.startswith("# ")).strip("\n")
        if text:
            script, _, expected = text.rpartition("\n--> ")
            cases.append((script, eval(expected, {"D": Decimal, "datetime": datetime})))  # noqa: S307 (our own file)
    return cases


class Databases:
    """Catalogues read from the engine, as a worker's are."""

    def __init__(self, engine: duckdb.DuckDBPyConnection, *more: Catalog) -> None:
        self._engine = engine
        self._more = {catalog.database.lower(): catalog for catalog in more}
        self._contexts: dict[str, Catalog] = {}

    def catalog(self, name: str) -> Catalog | None:
        """By name, in any case."""
        if name.lower() in self._more:
            return self._more[name.lower()]
        database = next((item for item in ("Sky", "MyDB", "MyScratch") if item.lower() == name.lower()), None)
        if database is None:
            return None
        if database == "Sky" and self._contexts:
            # Contexts change only when they are loaded.
            return self._contexts[database]
        rows = self._engine.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = ?"
            " AND NOT internal ORDER BY table_oid, column_index",
            [database],
        ).fetchall()
        views = {
            row[0]
            for row in self._engine.execute(
                "SELECT view_name FROM duckdb_views() WHERE database_name = ? AND NOT internal", [database]
            ).fetchall()
        }
        tables: dict[str, Table] = {}
        for table, column, kind in rows:
            unit, ucd, description = DESCRIBED.get(column, ("", "", ""))
            tables.setdefault(table, Table(table, [], "view" if table in views else "table")).columns.append(
                Column(column, kind, unit, ucd, description)
            )
        catalog = Catalog(database, tables=list(tables.values()))
        if database == "Sky":
            self._contexts[database] = catalog
        return catalog

    def names(self) -> list[str]:
        """All of them."""
        return ["Sky", "MyDB", "MyScratch", *(catalog.database for catalog in self._more.values())]


@dataclass
class Outcome:
    """What a script has given: rows and column names of each SELECT, and its plan."""

    results: list[list[tuple[Any, ...]]] = field(default_factory=list)
    names: list[list[str]] = field(default_factory=list)
    types: list[list[str]] = field(default_factory=list)
    plan: list[Statement] = field(default_factory=list)

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Of the last SELECT."""
        return self.results[-1]

    @property
    def value(self) -> Any:
        """The only value of the last SELECT."""
        ((value,),) = self.rows
        return value


def quoted(name: TableName) -> str:
    """In DuckDB's words."""
    table = name.table.replace('"', '""')
    return f'temp.main."{table}"' if name.database == "temp" else f'"{name.database}".main."{table}"'


class Laboratory:
    """A DuckDB with three databases."""

    def __init__(self, data: str = DATA, *more: Catalog) -> None:
        self.engine = duckdb.connect()
        for name, value in ENGINE_SETTINGS["tsql"].items():
            self.engine.execute(f"SET {name} = '{value}'")
        for name in ("Sky", "MyDB", "MyScratch"):
            self.engine.execute(f"ATTACH ':memory:' AS \"{name}\"")
        self.engine.execute(data)
        self.databases = Databases(self.engine, *more)
        self.changed = False

    def translate(self, script: str, context: str = "Sky", **options: Any) -> list[Statement]:
        """Only the plan."""
        return translate(script, self.databases, context, **options)

    def run(self, script: str, context: str = "Sky", **options: Any) -> Outcome:
        """Translate and run."""
        outcome = Outcome(plan=self.translate(script, context, **options))
        self.changed = self.changed or any(item.action not in (Action.SELECT, Action.NOTHING) for item in outcome.plan)
        for statement in outcome.plan:
            for text in statement.prelude:
                self.engine.execute(text)
            match statement.action:
                case Action.SELECT:
                    result = self.engine.execute(statement.sql)
                    outcome.names.append([item[0] for item in result.description])
                    outcome.types.append([str(item[1]) for item in result.description])
                    outcome.results.append(result.fetchall())
                    if statement.columns:
                        assert [column.name for column in statement.columns] == outcome.names[-1]
                case Action.INTO:
                    assert statement.target is not None
                    temporary = "TEMP " if statement.target.database == "temp" else ""
                    self.engine.execute(f"CREATE {temporary}TABLE {quoted(statement.target)} AS {statement.sql}")
                case Action.INSERT:
                    assert statement.target is not None
                    columns = ", ".join(f'"{name}"' for name in statement.target_columns)
                    into = f"{quoted(statement.target)} {f'({columns})' if columns else ''}"
                    self.engine.execute(f"INSERT INTO {into} {statement.sql}")
                case Action.CHANGE | Action.SESSION:
                    self.engine.execute(statement.sql)
                case Action.NOTHING:
                    assert statement.sql == ""
        return outcome
