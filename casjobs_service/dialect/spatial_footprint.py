# ruff: noqa: S608  (the names in this SQL come from catalogues, in quotes)
"""Whether a position is within the survey, by the regions that a context has.

SDSS keeps a survey's limits as half spaces (`HalfSpace`: x, y, z · position > c), which together bound a convex; a
region has one or more. Its function widens the regions by 7.85 arc minutes beyond the radius that is given, and so
does this one.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from casjobs_service.catalog import Catalog
from casjobs_service.dialect.spatial_kinds import READS, TableFunction
from casjobs_service.dialect.spatial_zones import quoted, raw
from casjobs_service.errors import Kind, QueryError
from casjobs_service.plan import TableName

WIDER = 7.85
"""Arc minutes."""
TABLES = {
    "HalfSpace": ("regionid", "convexid", "x", "y", "z", "c"),
    "Region": ("regionid", "id"),
    "sdssPolygons": ("sdssPolygonID", "primaryFieldID"),
    "Field": ("fieldID",),
}
"""Tables that say where the survey is, and the columns of them that are needed."""


def complete(catalog: Catalog) -> bool:
    """The database says where its survey is."""
    return all(
        (found := catalog.table(table)) is not None and all(found.column(column) for column in needed)
        for table, needed in TABLES.items()
    )


def footprint(
    function: TableFunction, given: Mapping[str, exp.Expr], catalog: Catalog, answer: str = "'POLYGON' AS \"type\""
) -> exp.Subquery:
    """Query with one row if the position is within the survey; or one row that says whether (`answer`)."""
    if not complete(catalog):
        raise QueryError(
            f"{function.name} needs the tables {', '.join(TABLES)}, which {catalog.database} does not have.",
            Kind.NAME,
            hint="Write conditions on ra and dec.",
        )
    names = {}
    for table in TABLES:
        found = catalog.table(table)
        names[table] = TableName(catalog.database, found.name if found else table)
    tables = {table: f"{quoted(name.database)}.main.{quoted(name.table)}" for table, name in names.items()}
    ra, dec, r = (f"CAST(ss_{name} AS DOUBLE)" for name in ("ra", "dec", "r"))
    inside = (
        f"h.x * COS(RADIANS({dec})) * COS(RADIANS({ra})) + h.y * COS(RADIANS({dec})) * SIN(RADIANS({ra}))"
        f" + h.z * SIN(RADIANS({dec}))"
        f" >= COS(LEAST(PI(), ACOS(GREATEST(-1e0, LEAST(1e0, h.c))) + RADIANS(({r} + {WIDER}e0) / 60e0)))"
    )
    sql = (
        f"SELECT {answer} FROM (SELECT h.regionid FROM {tables['HalfSpace']} AS h"
        f" JOIN {tables['Region']} AS r ON r.regionid = h.regionid"
        f" JOIN {tables['sdssPolygons']} AS s ON s.sdssPolygonID = r.id"
        f" WHERE s.primaryFieldID IN (SELECT fieldID FROM {tables['Field']})"
        f" GROUP BY h.regionid, h.convexid HAVING BOOL_AND({inside}) LIMIT 1) AS ss_f"
    )
    query = exp.Subquery(this=raw(sql, {f"ss_{name}": node for name, node in given.items()}))
    query.meta[READS] = list(names.values())
    return query
