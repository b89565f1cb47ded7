"""What a database contains, as the translator, the schema pages and the results' metadata need it.

Types are DuckDB's names (``BIGINT``, ``DOUBLE``, ``DECIMAL(18,4)``, ``VARCHAR``, ``TIMESTAMP`` …) for every engine:
the adapter of an engine maps its own to them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sciserver_common import atomic

MYDB = "MyDB"
MYSCRATCH = "MyScratch"
OWN = (MYDB, MYSCRATCH)
"""Databases that belong to the user, in the spelling that we show."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, view or table function.

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
    """Schema in the engine, where it is not the engine's default (PostgreSQL, SQL Server, Trino)."""

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


@dataclass(slots=True)
class Catalog:
    """One database: a context, somebody's MyDB or MyScratch.

    Attributes
    ----------
    database
        Name by which users write it, in the spelling that we show. Names are found in any case.
    engine
        ``duckdb``, ``postgresql``, ``trino`` or ``mssql``: which SQL it understands.
    """

    database: str
    engine: str = "duckdb"
    tables: list[Table] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)

    def table(self, name: str) -> Table | None:
        """By name, in any case."""
        wanted = name.lower()
        return next((table for table in self.tables if table.name.lower() == wanted), None)

    def function(self, name: str) -> Function | None:
        """By name, in any case."""
        wanted = name.lower()
        return next((function for function in self.functions if function.name.lower() == wanted), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Catalog:
        """The opposite of `to_json`."""
        return cls(
            value["database"],
            value["engine"],
            [
                Table(
                    **{
                        **table,
                        "columns": [Column(**column) for column in table["columns"]],
                        "sky": Sky(**table["sky"]) if table["sky"] else None,
                    }
                )
                for table in value["tables"]
            ],
            [
                Function(
                    **{
                        **function,
                        "parameters": [Column(**column) for column in function["parameters"]],
                        "columns": [Column(**column) for column in function["columns"]],
                    }
                )
                for function in value["functions"]
            ],
        )

    @classmethod
    def load(cls, path: Path) -> Catalog:
        """Read what `save` has written."""
        return cls.from_json(json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        atomic.write_text(path, json.dumps(self.to_json(), separators=(",", ":")))
