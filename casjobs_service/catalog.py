"""What a database contains, as the translator, the schema pages and the results' metadata need it.

Types are DuckDB's names (``BIGINT``, ``DOUBLE``, ``DECIMAL(18,4)``, ``VARCHAR``, ``TIMESTAMP`` …) for every engine:
the adapter of an engine maps its own to them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sciserver_common import atomic

MYDB = "MyDB"
MYSCRATCH = "MyScratch"
OWN = (MYDB, MYSCRATCH)
"""Databases that belong to the user, in the spelling that we show."""


class Column(NamedTuple):
    """A column of a table, view or table function.

    A tuple, because a large catalogue has 20,000 of them, and each query that names it reads it.

    Attributes
    ----------
    unit
        Standard VOUnits text, e.g. ``mas.yr**-1``; empty if there is none or it is not known.
    ucd
        IVOA UCD1+, e.g. ``pos.eq.ra;meta.main``.
    """

    name: str
    type: str
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Sky:
    """How a table is ordered on the sky, so that searches by position read little of it.

    Attributes
    ----------
    ra, dec
        Names of the columns with right ascension and declination in degrees (ICRS).
    zone
        Integer column ``floor((dec + 90) / zone_height)`` by which, then by `ra`, the rows are sorted; empty when the
        table has none and is not sorted.
    zone_height
        In degrees.
    """

    ra: str
    dec: str
    zone: str = ""
    zone_height: float = 30 / 3600


@dataclass(frozen=True, slots=True)
class Grid:
    """How a table of places `x`, `y`, `z` in a periodic box is ordered, so that searches by place read little of it.

    Attributes
    ----------
    key
        Integer column by which the rows are sorted within a snapshot (column `snapnum`): the number of the cell along
        Morton's curve, whose bits are those of the cell's place in x, y and z in turn, from the lowest.
    side
        Of the box, in the unit of the places, which lie between 0 and `side`.
    bits
        The box has 2**bits cells along each side.
    """

    key: str
    side: float
    bits: int


@dataclass(slots=True)
class Table:
    """A table or view."""

    name: str
    columns: list[Column]
    kind: str = "table"
    description: str = ""
    rows: int | None = None
    size: int | None = None
    """Bytes on disk, where known."""
    date: str = ""
    """Creation or last load, ISO 8601 in UTC; empty where not known."""
    sky: Sky | None = None
    schema: str = ""
    """Schema in the engine, where it is not the engine's default (PostgreSQL, SQL Server, Trino). In our own engine
    only a name that users may write before the table's."""
    grid: Grid | None = None

    def column(self, name: str) -> Column | None:
        """By name, in any case."""
        wanted = name.lower()
        return next((column for column in self.columns if column.name.lower() == wanted), None)


@dataclass(slots=True)
class Function:
    """A function that users can call in this database.

    Attributes
    ----------
    kind
        ``scalar`` or ``table``.
    parameters
        Names and types.
    returns
        Type of a scalar function.
    columns
        Of a table function.
    """

    name: str
    kind: str
    parameters: list[Column]
    returns: str = ""
    columns: list[Column] = field(default_factory=list)
    description: str = ""


class Catalog:
    """One database: a context, somebody's MyDB or MyScratch.

    Read from a file, it makes a table when somebody asks for it: SDSS has 300 of them with 16,000 columns, and a query
    names a few.

    Parameters
    ----------
    database
        Name by which users write it, in the spelling that we show. Names are found in any case.
    engine
        ``duckdb``, ``postgresql``, ``trino`` or ``mssql``: which SQL it understands.
    """

    def __init__(
        self,
        database: str,
        engine: str = "duckdb",
        tables: list[Table] | None = None,
        functions: list[Function] | None = None,
    ) -> None:
        self.database = database
        self.engine = engine
        self.functions = functions or []
        self._tables: list[Table] | None = tables or []
        # Of a file: names in small letters, and each table's line until it was made.
        self._lines: dict[str, bytes | Table] = {}

    @property
    def tables(self) -> list[Table]:
        """All of them."""
        if self._tables is None:
            self._tables = [table for name in self._lines if (table := self.table(name)) is not None]
        return self._tables

    @tables.setter
    def tables(self, tables: list[Table]) -> None:
        self._tables = tables

    def table(self, name: str) -> Table | None:
        """By name, in any case."""
        wanted = name.lower()
        if self._tables is not None:
            return next((table for table in self._tables if table.name.lower() == wanted), None)
        found = self._lines.get(wanted)
        if isinstance(found, bytes):
            found = self._lines[wanted] = _table(orjson.loads(found))
        return found

    def function(self, name: str) -> Function | None:
        """By name, in any case."""
        wanted = name.lower()
        return next((function for function in self.functions if function.name.lower() == wanted), None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalog) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Catalog({self.database!r}, {self.engine!r}, {len(self._lines or self.tables)} tables)"

    def to_json(self) -> dict[str, Any]:
        """Plain values; a column is an array in the order of its fields."""
        return {
            "database": self.database,
            "engine": self.engine,
            "functions": [asdict(function) for function in self.functions],
            "tables": [asdict(table) for table in self.tables],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Catalog:
        """The opposite of `to_json`."""
        tables = [_table(table) for table in value["tables"]]
        return cls(value["database"], value["engine"], tables, [_function(each) for each in value["functions"]])

    @classmethod
    def load(cls, path: Path) -> Catalog:
        """Read what `save` has written."""
        head, *lines = path.read_bytes().split(b"\n")
        value = orjson.loads(head + b"]}")
        catalog = cls(value["database"], value["engine"], None, [_function(each) for each in value["functions"]])
        catalog._tables = None
        catalog._lines = {
            name: line.rstrip(b",") for name, line in zip(value["names"], lines, strict=False) if line != b"]}"
        }
        return catalog

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically; each table is a line of its own."""
        value = self.to_json()
        tables = value.pop("tables")
        value["names"] = [table["name"].lower() for table in tables]
        head = _compact({**value, "tables": []}).removesuffix("]}")
        atomic.write_text(path, "\n".join([head, ",\n".join(map(_compact, tables)), "]}"]))


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _table(value: dict[str, Any]) -> Table:
    columns = [Column(*column) for column in value["columns"]]
    sky = Sky(**value["sky"]) if value["sky"] else None
    # Catalogues of older versions have no grids.
    grid = Grid(**value["grid"]) if value.get("grid") else None
    return Table(**{**value, "columns": columns, "sky": sky, "grid": grid})


def _function(value: dict[str, Any]) -> Function:
    parameters = [Column(*column) for column in value["parameters"]]
    columns = [Column(*column) for column in value["columns"]]
    return Function(**{**value, "parameters": parameters, "columns": columns})
