"""A small sky in DuckDB, and the same in numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from casjobs_service.catalog import Catalog, Column, Sky, Table
from casjobs_service.dialect import translate
from casjobs_service.plan import Action, Statement

Array = npt.NDArray[np.float64]
HEIGHT = 30 / 3600
UPLOADED = 240
"""Rows of MyDB.up."""


def unit(ra: Any, dec: Any) -> Array:
    """Unit vectors, shape (n, 3)."""
    alpha, delta = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack([np.cos(delta) * np.cos(alpha), np.cos(delta) * np.sin(alpha), np.sin(delta)], -1)


def arcmin(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Array:
    """Distances in arc minutes by vectors: another formula than the translator's, precise at all angles."""
    a, b = unit(ra1, dec1), unit(ra2, dec2)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, -1))) * 60


def points(count: int, seed: int) -> tuple[Array, Array]:
    """All over the sphere, with crowds at the poles and at right ascension 0, and the extremes themselves."""
    random = np.random.default_rng(seed)
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    crowd = count // 16
    dec[:crowd] = 90 - random.exponential(0.05, crowd)
    dec[crowd : 2 * crowd] = -90 + random.exponential(0.05, crowd)
    ra[2 * crowd : 3 * crowd] = random.normal(0, 0.02, crowd) % 360
    dec[2 * crowd : 3 * crowd] = random.normal(0, 0.02, crowd)
    near = slice(3 * crowd, 4 * crowd)
    ra[near] = (120 + random.normal(0, 0.0005, crowd)) % 360
    dec[near] = 60 + random.normal(0, 0.0005, crowd)
    ra[-8:] = [0, 0, 0, 180, 359.9999999, 0, 360, 90]
    dec[-8:] = [90, -90, 0, 0, 0, HEIGHT, 0, -HEIGHT]
    return ra, dec


@dataclass
class World:
    """Databases of a session: ``SkyDemo`` (sorted by zone), ``Flat`` (not sorted), MyDB; all attached."""

    connection: duckdb.DuckDBPyConnection
    catalogs: dict[str, Catalog] = field(default_factory=dict)

    def catalog(self, name: str) -> Catalog | None:
        return self.catalogs.get(name.lower())

    def names(self) -> list[str]:
        return [catalog.database for catalog in self.catalogs.values()]

    def add(self, database: str, table: str, data: pa.Table, sky: Sky | None = None) -> None:
        """Make a table, and the database around it."""
        if database.lower() not in self.catalogs:
            self.connection.execute(f"ATTACH ':memory:' AS \"{database}\"")
            self.catalogs[database.lower()] = Catalog(database)
        self.connection.register("incoming", data)
        order = f"ORDER BY {sky.zone}, {sky.ra}" if sky and sky.zone else ""
        self.connection.execute(f'CREATE OR REPLACE TABLE "{database}".main."{table}" AS FROM incoming {order}')
        self.connection.unregister("incoming")
        described = self.connection.execute(f'DESCRIBE "{database}".main."{table}"').fetchall()
        catalog = self.catalogs[database.lower()]
        catalog.tables = [other for other in catalog.tables if other.name != table]
        columns = [Column(row[0], row[1]) for row in described]
        catalog.tables.append(Table(table, columns, rows=data.num_rows, sky=sky))

    def know_rows(self, known: bool) -> None:
        """Whether the catalogue says how many rows MyDB's tables have: the translator joins few rows another way."""
        for table in self.catalogs["mydb"].tables:
            row = self.connection.execute(f'SELECT count(*) FROM MyDB.main."{table.name}"').fetchall()[0]  # noqa: S608
            table.rows = row[0] if known else None

    def statements(self, text: str, context: str = "SkyDemo") -> list[Statement]:
        return translate(text, self, context)

    def run(self, text: str, context: str = "SkyDemo") -> pa.Table:
        """Translate and run a script; rows of its last statement."""
        result = None
        for statement in self.statements(text, context):
            for prelude in statement.prelude:
                self.connection.execute(prelude)
            if statement.action in (Action.INTO, Action.INSERT):
                self._write(statement)
            elif statement.sql:
                result = self._rows(statement.sql)
        assert result is not None
        return result

    def _write(self, statement: Statement) -> None:
        """What the worker does with rows for a table."""
        target = statement.target
        assert target is not None
        name = f'"{target.database}".main."{target.table}"'
        columns = f"({', '.join(statement.target_columns)})" if statement.target_columns else ""
        verb = f"CREATE TABLE {name} AS" if statement.action is Action.INTO else f"INSERT INTO {name} {columns}"
        self.connection.execute(f"{verb} {statement.sql}")

    def _rows(self, sql: str) -> pa.Table | None:
        relation = self.connection.sql(sql)
        return relation.to_arrow_table() if relation is not None else None

    def plan(self, text: str) -> str:
        """How the engine would run the only statement of a script."""
        (statement,) = self.statements(text)
        for prelude in statement.prelude:
            self.connection.execute(prelude)
        return str(self.connection.execute("EXPLAIN " + statement.sql).fetchall()[0][1])


def photo_table(ra: Array, dec: Array) -> pa.Table:
    """Columns of SDSS's PhotoObjAll, as far as the functions answer them, except htmID; and the zone."""
    count = len(ra)
    ids = np.arange(count, dtype=np.int64) + (1 << 60)
    vectors = unit(ra, dec)
    return pa.table(
        {
            "objID": ids,
            "run": pa.array(np.arange(count) % 1000, pa.int16()),
            "camcol": pa.array(np.arange(count) % 6 + 1, pa.int8()),
            "field": pa.array(np.arange(count) % 800, pa.int16()),
            "rerun": pa.array(np.full(count, 301), pa.int16()),
            "type": pa.array(np.where(np.arange(count) % 2, 3, 6), pa.int16()),
            "mode": pa.array(np.where(np.arange(count) % 4 == 3, 2, 1), pa.int8()),
            "ra": ra,
            "dec": dec,
            "cx": vectors[:, 0],
            "cy": vectors[:, 1],
            "cz": vectors[:, 2],
            "zoneID": pa.array(np.floor((dec + 90) / HEIGHT), pa.int32()),
        }
    )


def world(count: int = 10_000) -> tuple[World, Array, Array]:
    """The databases, and the positions of PhotoObjAll in the order of its objID."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    here = World(connection)
    ra, dec = points(count, 1)
    here.add("SkyDemo", "PhotoObjAll", photo_table(ra, dec), Sky("ra", "dec", "zoneID", HEIGHT))
    here.add("Flat", "PhotoObjAll", photo_table(ra, dec).drop_columns(["zoneID", "cx", "cy", "cz", "camcol"]))
    spectra = pa.table(
        {
            "specObjID": pa.array(np.arange(500) + (1 << 62), pa.int64()),
            "plate": pa.array(np.arange(500) + 266, pa.int16()),
            "z": pa.array(np.linspace(0, 1, 500), pa.float32()),
            "sciencePrimary": pa.array(np.arange(500) % 2, pa.int16()),
            "ra": ra[:500],
            "dec": dec[:500],
        }
    )
    here.add("SkyDemo", "SpecObjAll", spectra)
    here.add(
        "SkyDemo", "Run", pa.table({"run": pa.array([94, 752]), "stripe": pa.array([82, 10]), "strip": ["N", "S"]})
    )
    up_ra, up_dec = points(UPLOADED, 2)
    here.add("MyDB", "up", pa.table({"up_id": np.arange(UPLOADED), "up_ra": up_ra, "up_dec": up_dec}))
    return here, ra, dec
