"""Contexts that hold one catalogue each, whole and as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from casjobs_service.catalog import Catalog
from casjobs_service.demo import database, schema, sky, sources

_DIRECTORY = Path(__file__).parent / "catalogues"


def write(name: str, path: Path, relations: dict[str, pa.Table], threads: int) -> Catalog:
    """Write the database file `path` by the schema of the context `name`, and return what it contains."""
    definitions = schema.read([_DIRECTORY / f"{name}.txt"])
    return Catalog(name, "duckdb", database.write(path, definitions, relations, threads=threads))


def hipparcos() -> dict[str, pa.Table]:
    """Relations of the context `Hipparcos`."""
    stars = sources.hipparcos()
    return {"stars": _placed(stars | {"ra": np.degrees(stars["RArad"]), "dec": np.degrees(stars["DErad"])})}


def gaia() -> dict[str, pa.Table]:
    """Relations of the context `Gaia10`."""
    return {"stars": _placed(sources.gaia())}


def tycho(stars: sources.Columns) -> dict[str, pa.Table]:
    """Relations of the context `Tycho2`."""
    return {"stars": _placed(stars | {"row_number": np.arange(1, len(stars["ra"]) + 1)})}


def openngc() -> dict[str, pa.Table]:
    """Relations of the context `OpenNGC`."""
    tables = {}
    connection = sources.openngc_rows()
    for relation, table in (("objects", "objects"), ("identifiers", "objIdentifiers"), ("types", "objTypes")):
        cursor = connection.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608 - names from above
        names = [column[0] for column in cursor.description]
        tables[relation] = pa.table(dict(zip(names, map(pa.array, zip(*cursor, strict=True)), strict=True)))
    connection.close()
    objects = tables["objects"]
    ra, dec = (np.degrees(objects[name].to_numpy().astype(float)) for name in ("ra", "dec"))
    columns = {name: objects[name] for name in objects.column_names if name not in ("ra", "dec")}
    places = _places(ra, dec)
    order = places.pop("order")
    rest = pa.table(columns).take(pa.array(order))
    for name, values in places.items():
        rest = rest.append_column(name, pa.array(values, from_pandas=True))
    return tables | {"objects": rest}


def _placed(columns: sources.Columns) -> pa.Table:
    places = _places(columns["ra"], columns["dec"])
    order = places.pop("order")
    return database.arrow({name: values[order] for name, values in columns.items()} | places)


def _places(ra: sky.Array, dec: sky.Array) -> sources.Columns:
    """`order` of the rows by zone and right ascension, and positions with what belongs to them in that order."""
    ra, dec = sky.rounded(ra, dec)
    known = np.isfinite(ra)
    zone = np.full(len(ra), -1, np.int32)
    zone[known] = sky.zones(dec[known])
    order = np.lexsort((ra, zone))
    masked = np.where(zone[order] >= 0, zone[order].astype(float), np.nan)
    return {
        "order": order,
        "ra": ra[order],
        "dec": dec[order],
        "zoneid": masked,
    }
